"""Sparse Access Memory (Rae et al. 2016, section 3), slot by slot in float64: every weighting is a vector over all slots.

One sequence at a time. The state is what the library's state is, so that both can be compared; the order of use is kept as
the time of each slot's latest use, where a slot that was never used is as old as its number.
"""

import numpy as np

from tests.oracles.ntm import sigmoid, softmax, softplus


def heads(params, x, number):
    return (np.asarray(x, np.float64) @ params["kernel"] + params["bias"]).reshape(number, -1)


def cosine(key, slot):
    return np.sum(key * slot) / (np.sqrt(np.sum(key**2) + 1e-8) * np.sqrt(np.sum(slot**2) + 1e-8))


def init_state(config, params):
    number, heads, nearest = config["slots"], config["heads"], config["nearest"]
    nowhere = lambda k: {"weights": np.zeros((heads, k)), "places": np.tile(np.arange(k) % number, (heads, 1))}  # noqa: E731
    return {
        "slots": np.zeros((number, config["width"])),
        "written": nowhere(nearest + 1),
        "read": nowhere(nearest),
        "used": np.arange(number),
        "clock": number,
    }


def write(config, params, state, x):
    number, threshold = config["slots"], config["threshold"]
    used, clock = np.array(state["used"]), state["clock"]
    for h in range(config["heads"]):
        places = np.concatenate([state[access]["places"][h] for access in ("written", "read")])
        each = np.concatenate([state[access]["weights"][h] for access in ("written", "read")])
        total = np.bincount(places, each, number)
        for place, weight in zip(places, each, strict=True):
            if weight > 0 and total[place] > threshold:
                used[place] = clock
            clock += 1
    oldest = np.argsort(used)[: config["heads"]]

    dense, written = [], []
    for h, row in enumerate(heads(params["write_heads"], x, config["heads"])):
        gate, again = sigmoid(row[-2]), sigmoid(row[-1])
        weights = np.zeros(number)
        for place, weight in zip(state["read"]["places"][h], state["read"]["weights"][h], strict=True):
            weights[place] += gate * again * weight
        weights[oldest[h]] += gate * (1 - again)
        dense.append((weights, row[:-2]))
        sparse = [gate * again * weight for weight in state["read"]["weights"][h]]
        written.append([*sparse, gate * (1 - again)])
    slots = np.array(state["slots"])
    slots[oldest] = 0
    for weights, add in dense:
        slots += np.outer(weights, add)
    places = np.concatenate([state["read"]["places"], oldest[:, None]], 1)
    return {
        **state,
        "slots": slots,
        "written": {"weights": np.array(written), "places": places},
        "used": used,
        "clock": clock,
    }


def read(config, params, state, query):
    values, weights, places = [], [], []
    for row in heads(params["read_heads"], query, config["heads"]):
        cosines = np.array([cosine(row[:-1], slot) for slot in state["slots"]])
        best = np.argsort(-cosines, kind="stable")[: config["nearest"]]
        here = softmax((1 + softplus(row[-1])) * cosines[best])
        values.append(sum(w * state["slots"][n] for w, n in zip(here, best, strict=True)))
        weights.append(here)
        places.append(best)
    sparse = {"weights": np.array(weights), "places": np.array(places)}
    return {**state, "read": sparse}, np.array(values), sparse


def unroll(config, params, state, xs, starts=None):
    """All steps: (last state, readouts, the state after each step). The order of use is not compared, but decides."""
    state = init_state(config, params) if state is None else state
    values, weights, states = [], [], []
    hidden = ("used", "clock")
    for t in range(len(xs)):
        if starts is not None and starts[t]:
            state = init_state(config, params)
        state, value, sparse = read(config, params, write(config, params, state, xs[t]), xs[t])
        values.append(value)
        weights.append(sparse)
        states.append({name: part for name, part in state.items() if name not in hidden})
    stacked = {name: np.stack([one[name] for one in weights]) for name in ("weights", "places")}
    return states[-1], {"value": np.stack(values), "weights": stacked}, states
