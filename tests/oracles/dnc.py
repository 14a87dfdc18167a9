"""The memory of the Differentiable Neural Computer (Graves et al. 2016, methods), loop by loop in float64.

One sequence at a time. The options of Csordas & Schmidhuber 2019 (masks, deallocation, sharpened links) are here too. The
linear maps put out, per read head: key, strength, mask, read modes (backward by write head, forward by write head, content),
sharpness (backward, forward); per write head: key, strength, mask, erase, add, allocation gate, write gate.
"""

import numpy as np

from tests.oracles.ntm import sigmoid, softmax, softplus


def similarity(config, key, slot, mask):
    """The cosine of the masked vectors, with one of three guards against zero vectors."""
    key, slot = key * mask, slot * mask
    inside = {"smooth": 1e-8, "doubled": 1e-6, "coarse": 0.0}[config["epsilon"]]
    outside = {"smooth": 0.0, "doubled": 1e-6, "coarse": 1e-6}[config["epsilon"]]
    return np.sum(key * slot) / (np.sqrt(np.sum(key**2) + inside) * np.sqrt(np.sum(slot**2) + inside) + outside)


def content(config, head, slots):
    return softmax([head["strength"] * similarity(config, head["key"], slot, head["mask"]) for slot in slots])


def squash(config, z):
    return np.tanh(z) if config["activation"] == "tanh" else z


def heads(config, params, x, number, fields):
    """The interface of each head, by name."""
    flat = np.asarray(x, np.float64) @ params["kernel"] + params["bias"]
    result = []
    for row in flat.reshape(number, -1):
        head, at = {}, 0
        for name, size in fields:
            head[name] = row[at : at + size]
            at += size
        assert at == len(row)
        head["key"] = squash(config, head["key"])
        head["strength"] = softplus(head["strength"][0]) + (1.0 if config["strength"] == "oneplus" else 0.0)
        head["mask"] = sigmoid(head["mask"]) if config["masked"] else np.ones(config["width"])
        result.append(head)
    return result


def allocation(config, usage):
    """Equation 1. An insertion sort, which leaves in order what is equal, and that is a convention."""
    if config["epsilon"] != "smooth":
        usage = 1e-6 + (1 - 1e-6) * usage
    rank = {"smooth": np.round(usage * 2**14), "coarse": usage, "doubled": -(1 - usage)}[config["epsilon"]]
    order = []
    for n in range(len(usage)):
        place = len(order)
        while place > 0 and rank[order[place - 1]] > rank[n]:
            place -= 1
        order.insert(place, n)
    weights, product = np.zeros(len(usage)), 1.0
    for n in order:
        weights[n] = (1 - usage[n]) * product
        product *= usage[n]
    return weights


def init_state(config, params):
    number, writes = config["slots"], config["write_heads"]
    state = {
        "slots": np.zeros((number, config["width"])),
        "usage": np.zeros(number),
        "read_weights": np.zeros((config["read_heads"], number)),
        "write_weights": np.zeros((writes, number)),
    }
    if config["links"]:
        state |= {"links": np.zeros((writes, number, number)), "precedence": np.zeros((writes, number))}
    return state


def write(config, params, state, x):
    width, number = config["width"], config["slots"]
    fields = [("key", width), ("strength", 1), ("mask", width * config["masked"]), ("erase", width), ("add", width)]
    fields += [("allocation", 1), ("write", 1)]
    writers = heads(config, params["write_heads"], x, config["write_heads"], fields)
    free = sigmoid(np.asarray(x, np.float64) @ params["free_gates"]["kernel"] + params["free_gates"]["bias"])

    retained, unwritten = np.ones(number), np.ones(number)
    for gate, weights in zip(free, state["read_weights"], strict=True):
        retained *= 1 - gate * weights
    for weights in state["write_weights"]:
        unwritten *= 1 - weights
    usage = (state["usage"] + (1 - state["usage"]) * (1 - unwritten)) * retained

    expected, written = usage.copy(), []
    for head in writers:
        allocate, gate = sigmoid(head["allocation"][0]), sigmoid(head["write"][0])
        allocated = allocation(config, expected)
        found = content(config, head, state["slots"])
        written.append(gate * (allocate * allocated + (1 - allocate) * found))
        expected = expected + (1 - expected) * gate * allocate * allocated

    slots = np.array(state["slots"])
    for n in range(number):
        if config["deallocate"]:
            slots[n] *= retained[n]
        for head, weights in zip(writers, written, strict=True):
            slots[n] *= 1 - weights[n] * sigmoid(head["erase"])
        for head, weights in zip(writers, written, strict=True):
            slots[n] += weights[n] * squash(config, head["add"])

    moved = {**state, "slots": slots, "usage": usage, "write_weights": np.array(written)}
    if config["links"]:
        links, precedence = np.array(state["links"]), np.array(state["precedence"])
        for h, w in enumerate(written):
            for a in range(number):
                for b in range(number):
                    linked = (1 - w[a] - w[b]) * links[h, a, b] + w[a] * precedence[h, b]
                    links[h, a, b] = 0.0 if a == b else linked
            precedence[h] = (1 - np.sum(w)) * precedence[h] + w
        moved |= {"links": links, "precedence": precedence}
    return moved


def sharpened(weights, power):
    powers = (weights + 1e-6) ** power
    return powers / np.sum(powers)


def read(config, params, state, query):
    width, ways = config["width"], 2 * config["write_heads"]
    fields = [("key", width), ("strength", 1), ("mask", width * config["masked"]), ("modes", (1 + ways) * config["links"])]
    fields += [("sharpness", ways * config["sharpen"])]
    readers = heads(config, params["read_heads"], query, config["read_heads"], fields)
    values, weights = [], []
    for head, before in zip(readers, state["read_weights"], strict=True):
        found = content(config, head, state["slots"])
        if config["links"]:
            backward = [links.T @ before for links in state["links"]]
            forward = [links @ before for links in state["links"]]
            along = backward + forward
            if config["sharpen"]:
                along = [sharpened(one, 1 + softplus(s)) for one, s in zip(along, head["sharpness"], strict=True)]
            modes = softmax(head["modes"])
            found = modes[-1] * found + sum(mode * one for mode, one in zip(modes[:-1], along, strict=True))
        weights.append(found)
        values.append(sum(found[n] * state["slots"][n] for n in range(config["slots"])))
    return {**state, "read_weights": np.array(weights)}, np.array(values), np.array(weights)


def step(config, params, state, x):
    """The paper's order: write, then read."""
    return read(config, params, write(config, params, state, x), x)


def unroll(config, params, state, xs, starts=None):
    """All steps: (last state, {"value": [T, R, W], "weights": [T, R, N]}, the state after each step)."""
    state = init_state(config, params) if state is None else state
    values, weights, states = [], [], []
    for t in range(len(xs)):
        if starts is not None and starts[t]:
            state = init_state(config, params)
        state, value, weight = step(config, params, state, xs[t])
        values.append(value)
        weights.append(weight)
        states.append(state)
    return state, {"value": np.stack(values), "weights": np.stack(weights)}, states
