"""Memoria as a list of engrams that grows and shrinks, one by one. Float64, NumPy only.

An engram is a dict; its edges are counts by id. A slot is only a name here: the place that the library keeps an engram in.
"""

import numpy as np


def init_state(config, params):
    return {"engrams": [], "counts": {}}


def rows_of(config, x):
    return np.asarray(x, np.float64).reshape(config["working"], -1)


def of_kind(state, kind):
    """Those of a kind, by slot: the order in which ties are decided."""
    return sorted((e for e in state["engrams"] if e["kind"] == kind), key=lambda e: e["slot"])


def promote(config, state):
    for e in of_kind(state, "working"):
        e["kind"] = "short"
    by_age = sorted(of_kind(state, "short"), key=lambda e: e["id"])
    for e in by_age[: max(len(by_age) - config["short_term"], 0)]:
        e["kind"] = "long"


def drop(state, engram):
    state["engrams"] = [e for e in state["engrams"] if e["id"] != engram["id"]]
    state["counts"] = {pair: n for pair, n in state["counts"].items() if engram["id"] not in pair}


def write(config, params, state, x):
    """New working memories, in the place of the empty slots or of the least worth keeping."""
    state = {"engrams": [dict(e) for e in state["engrams"]], "counts": dict(state["counts"])}
    promote(config, state)
    newest = max((e["id"] for e in state["engrams"]), default=-1)
    rows = rows_of(config, x)
    free = [s for s in range(config["slots"]) if s not in {e["slot"] for e in state["engrams"]}]
    order = sorted(state["engrams"], key=lambda e: (e["kind"] == "short", e["lifespan"], e["id"]))
    victims = order[: max(len(rows) - len(free), 0)]
    places = free + [e["slot"] for e in victims]
    for e in victims:
        drop(state, e)
    for i, row in enumerate(rows):
        life = float(config["lifespan"])
        state["engrams"].append(
            {"data": row, "kind": "working", "lifespan": life, "age": 0, "id": newest + 1 + i, "slot": places[i]}
        )
    return state


def closest(rows, engrams, k):
    """The k with the least mean squared distance to the rows; the first of equals."""
    distance = [np.mean([np.sum((row - e["data"]) ** 2) for row in rows]) for e in engrams]
    return [engrams[i] for i in np.argsort(distance, kind="stable")[:k]]


def strongest(state, source, among):
    return max(among, key=lambda e: state["counts"].get((source["id"], e["id"]), 0)) if among else None


def remind(config, state, rows):
    short = closest(rows, of_kind(state, "short"), config["short_reminded"])
    found, last = [], short
    for _ in range(config["depth"] + 1):
        known = {e["id"] for e in found}
        rest = [e for e in of_kind(state, "long") if e["id"] not in known]
        next_ones = [strongest(state, e, rest) for e in last]
        last = list({e["id"]: e for e in next_ones if e is not None}.values())
        found += last
    found.sort(key=lambda e: e["slot"])
    return short + closest(rows, found, config["long_reminded"])


def softmax(z):
    z = np.exp(z - np.max(z))
    return z / z.sum()


def dense(layer, x):
    return np.asarray(x) @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer.get("bias", 0.0), np.float64)


def read(config, params, state, query):
    """Reminds, fires and attends: (state, value [R, W], weights [H, R, E])."""
    rows = rows_of(config, query)
    reminded = remind(config, state, rows)
    present = of_kind(state, "working") + reminded
    counts = dict(state["counts"])
    for a in present:
        for b in present:
            counts[a["id"], b["id"]] = counts.get((a["id"], b["id"]), 0) + 1
    heads, size = config["heads"], rows.shape[1] // config["heads"]
    value, weights = np.zeros(rows.shape), np.zeros((heads, len(rows), config["slots"]))
    for h in range(heads):
        part = slice(h * size, (h + 1) * size)
        for r, row in enumerate(rows):
            if not present:
                continue
            q = dense(params["query"], row)[part]
            attention = softmax([q @ dense(params["key"], e["data"])[part] / np.sqrt(size) for e in present])
            for e, weight in zip(present, attention, strict=True):
                value[r, part] += weight * dense(params["value"], e["data"])[part]
                weights[h, r, e["slot"]] = weight
    return {"engrams": state["engrams"], "counts": counts}, value, weights


def step(config, params, state, x):
    """Write, read, reinforce, settle: (state, value, weights)."""
    state, value, weights = read(config, params, write(config, params, state, x), x)
    attention = weights.mean((0, 1))
    stored = [e for e in state["engrams"] if e["kind"] != "working"]
    reminded = sum(attention[e["slot"]] > 0 for e in stored)
    for e in stored:
        e["lifespan"] += config["reinforcement"] * reminded * attention[e["slot"]]
    for e in state["engrams"]:
        e["lifespan"] -= 1
        e["age"] += 1
    promote(config, state)
    for e in [e for e in state["engrams"] if e["lifespan"] <= 0]:
        drop(state, e)
    return state, value, weights


def as_arrays(config, state):
    """The state in the library's layout."""
    slots, width = config["slots"], config["input_size"] // config["working"]
    table = {"data": np.zeros((slots, width)), "kind": np.zeros(slots), "lifespan": np.zeros(slots)}
    table |= {"age": np.zeros(slots), "id": np.full(slots, -1), "counts": np.zeros((slots, slots))}
    where = {e["id"]: e["slot"] for e in state["engrams"]}
    for e in state["engrams"]:
        for name in ("data", "lifespan", "age", "id"):
            table[name][e["slot"]] = e[name]
        table["kind"][e["slot"]] = 1 + ("working", "short", "long").index(e["kind"])
    for (a, b), n in state["counts"].items():
        table["counts"][where[a], where[b]] = n
    return table


def unroll(config, params, state, xs, starts=None):
    """All steps: (last state, {"value": [T, R, W], "weights": [T, H, R, E]}, the state after each step)."""
    state = init_state(config, params) if state is None else state
    values, weights, states = [], [], []
    for t in range(len(xs)):
        if starts is not None and starts[t]:
            state = init_state(config, params)
        state, value, weight = step(config, params, state, xs[t])
        values.append(value)
        weights.append(weight)
        states.append(as_arrays(config, state))
    return states[-1], {"value": np.stack(values), "weights": np.stack(weights)}, states
