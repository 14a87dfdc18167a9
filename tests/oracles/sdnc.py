"""Sparse Differentiable Neural Computer (Rae et al. 2016, supplementary D.1) in float64, link by link.

Reading and writing are SAM's. Rows of links are dicts from slots to weights, cut to their K_L largest, where what
rounds to the same multiple of 2^-14 is equal and the lower slot comes first; a row that is not full is filled up with slot 0
at no weight. `dense_unroll` is the same memory with whole link matrices, for K_L = N.
"""

import numpy as np

from tests.oracles import sam
from tests.oracles.ntm import softmax, softplus


def cut(row, config):
    row = {place: weight for place, weight in row.items() if weight > 0}
    best = sorted(row.items(), key=lambda entry: (-np.round(entry[1] * 2**14), entry[0]))[: config["links"]]
    return dict(best)


def filled(row, config):
    """Weights and places of a row, the largest first."""
    entries = [*row.items()] + [(0, 0.0)] * (config["links"] - len(row))
    return [weight for _, weight in entries], [place for place, _ in entries]


def init_state(config, params):
    state = sam.init_state({**config, "nearest": config["nearest"] + 2 * config["links"]}, params)
    empty = lambda: [[{} for _ in range(config["slots"])] for _ in range(config["heads"])]  # noqa: E731
    return state | {"before": empty(), "after": empty(), "last": [{} for _ in range(config["heads"])]}


def linked(config, before, after, last, w):
    """Links after a write w [N], equations 11, 19 and 20 without a diagonal."""
    new_before, new_after = [dict(row) for row in before], [dict(row) for row in after]
    reached = set(last)
    for a in np.flatnonzero(w):
        reached |= {*before[a]} | ({0} if len(before[a]) < config["links"] else set())
        row = {b: (1 - w[a]) * weight for b, weight in before[a].items()}
        for b, weight in last.items():
            row[b] = row.get(b, 0.0) + w[a] * weight
        row.pop(a, None)
        new_before[a] = cut(row, config)
    for b in reached:
        row = {a: (1 - w[a]) * weight for a, weight in after[b].items()}
        new_after[b] = cut(row, config) if b not in last else row
    for b, weight in last.items():
        for a in np.flatnonzero(w):
            new_after[b][a] = new_after[b].get(a, 0.0) + w[a] * weight
        new_after[b].pop(b, None)
        new_after[b] = cut(new_after[b], config)
    new_last = {b: (1 - np.sum(w)) * weight for b, weight in last.items()}
    for a in np.flatnonzero(w):
        new_last[a] = new_last.get(a, 0.0) + w[a]
    return new_before, new_after, cut(new_last, config)


def spread(weights, config):
    """Sparse weights as vectors over all slots."""
    dense = np.zeros((config["heads"], config["slots"]))
    for h, row in enumerate(dense):
        for place, weight in zip(weights["places"][h], weights["weights"][h], strict=True):
            row[place] += weight
    return dense


def write(config, params, state, x):
    state = sam.write(config, params, state, x)
    links = [
        linked(config, *old, w)
        for *old, w in zip(state["before"], state["after"], state["last"], spread(state["written"], config), strict=True)
    ]
    return state | dict(zip(("before", "after", "last"), map(list, zip(*links, strict=True)), strict=True))


def follow(config, rows, weights):
    found = {}
    for place, weight in enumerate(weights):
        for other, link in rows[place].items():
            found[other] = found.get(other, 0.0) + weight * link
    return filled(cut(found, config), config)


def read(config, params, state, query):
    values, weights, places = [], [], []
    read_before = spread(state["read"], config)
    for h, row in enumerate(sam.heads(params["read_heads"], query, config["heads"])):
        key, strength, modes = row[:-4], 1 + softplus(row[-4]), softmax(row[-3:])
        cosines = np.array([sam.cosine(key, slot) for slot in state["slots"]])
        best = np.argsort(-cosines, kind="stable")[: config["nearest"]]
        ways = [(softmax(strength * cosines[best]), best)]
        ways += [follow(config, state[name][h], read_before[h]) for name in ("before", "after")]
        weights.append(np.concatenate([mode * np.array(way[0]) for mode, way in zip(modes, ways, strict=True)]))
        places.append(np.concatenate([way[1] for way in ways]).astype(int))
        values.append(sum(w * state["slots"][n] for w, n in zip(weights[-1], places[-1], strict=True)))
    sparse = {"weights": np.array(weights), "places": np.array(places)}
    return {**state, "read": sparse}, np.array(values), sparse


def unroll(config, params, state, xs, starts=None):
    """All steps: (last state, readouts, the state after each step). Links are compared by what is read along them."""
    state = init_state(config, params) if state is None else state
    values, weights, states = [], [], []
    for t in range(len(xs)):
        if starts is not None and starts[t]:
            state = init_state(config, params)
        state, value, sparse = read(config, params, write(config, params, state, xs[t]), xs[t])
        values.append(value)
        weights.append(sparse)
        states.append({name: state[name] for name in ("slots", "written", "read")})
    stacked = {name: np.stack([one[name] for one in weights]) for name in ("weights", "places")}
    return states[-1], {"value": np.stack(values), "weights": stacked}, states


def dense_unroll(config, params, state, xs, starts=None):
    """One link matrix per head and nothing cut, equations 15, 16 and 19; only what is read is compared, and the slots."""
    assert state is None
    number, heads = config["slots"], config["heads"]
    state = sam.init_state({**config, "nearest": number}, params)
    links, last, read = np.zeros((heads, number, number)), np.zeros((heads, number)), np.zeros((heads, number))
    values, states = [], []
    for t in range(len(xs)):
        everywhere = np.tile(np.arange(number), (heads, 1))
        state = sam.write(config, params, {**state, "read": {"weights": read, "places": everywhere}}, xs[t])
        value = []
        for h, w in enumerate(spread(state["written"], config)):
            links[h] = (1 - w[:, None]) * links[h] + np.outer(w, last[h])
            np.fill_diagonal(links[h], 0)
            last[h] = (1 - np.sum(w)) * last[h] + w
            row = sam.heads(params["read_heads"], xs[t], heads)[h]
            modes = softmax(row[-3:])
            found = softmax((1 + softplus(row[-4])) * np.array([sam.cosine(row[:-4], slot) for slot in state["slots"]]))
            read[h] = modes[0] * found + modes[1] * links[h].T @ read[h] + modes[2] * links[h] @ read[h]
            value.append(read[h] @ state["slots"])
        values.append(np.array(value))
        states.append({"slots": state["slots"]})
    return states[-1], {"value": np.stack(values)}, states
