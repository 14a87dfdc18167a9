"""A memory network (Weston et al. 2015) over the newest inputs: pick after pick, by comparing pairs of candidates.

Candidate N, behind the slots, is "no more". Ages are the slots' numbers. Float64, one sequence at a time.
"""

import numpy as np

from tests.oracles import append


def known(config, params, query, sentences):
    """x: what is known after these picks."""
    of_query, of_facts = params["address"]
    x = append.embed(config, of_query, query) + np.asarray(params["biases"], np.float64)[len(sentences)]
    for j, sentence in enumerate(sentences):
        x += np.asarray(params["picks"], np.float64)[j] * append.embed(config, of_facts, sentence)
    return np.tanh(x)


def respond(config, params, query, sentences, ended):
    """The response r after these sentences, each of which is "no more" to the degree in `ended`."""
    kernel, bias = (np.asarray(params["update"][name], np.float64) for name in ("kernel", "bias"))
    u = append.embed(config, params["response"][0], query)
    r = u.copy()
    for sentence, stay in zip(sentences, ended, strict=True):
        f = append.embed(config, params["response"][1], sentence)
        parts = [r, f, u, f * r, np.abs(f - r), f * u, np.abs(f - u)]
        new = bias.copy()
        for i, part in enumerate(parts):
            new += part @ kernel[i * len(r) : (i + 1) * len(r)]
        r = stay * r + (1.0 - stay) * np.tanh(new)
    return r


def compare(config, params, state, x, age, y, other):
    """s(y, y'): positive where y suits x better than y' does. `age` is that of x."""
    no_more = config["slots"]

    def embedding(candidate):
        if candidate == no_more:
            return np.asarray(params["no_more"], np.float64)
        return append.embed(config, params["candidates"], state["slots"][candidate])

    older = np.zeros(3)
    if y != no_more and age > y:
        older[0] = 1.0
    if other != no_more and age > other:
        older[1] = 1.0
    if y != no_more and other != no_more and y > other:
        older[2] = 1.0
    score = float(np.sum(x * (embedding(y) - embedding(other))))
    time = np.asarray(params["time"], np.float64)
    for i in range(len(x)):
        for feature in range(3):
            score += x[i] * time[i, feature] * older[feature]
    return score


def read(config, params, state, query):
    """(value [W], weights [K, N + 1])."""
    number, hops = config["slots"], config["hops"]
    no_more = number
    slots = np.asarray(state["slots"], np.float64)
    free = append.filled(config, state)
    weights = np.zeros((hops, number + 1))
    picked, returned, age = [], [], -1
    for hop in range(hops):
        x = known(config, params, query, picked)
        if config["hard"]:
            best = no_more
            for slot in sorted(free, reverse=True):
                if compare(config, params, state, x, age, best, slot) < 0.0:
                    best = slot
            weights[hop, best] = 1.0
        else:
            candidates = [*free, no_more]
            leads = {}
            for y in candidates:
                total = 0.0
                for other in candidates:
                    total += compare(config, params, state, x, age, y, other)
                leads[y] = total / len(candidates)
            for y, weight in append.softmax(leads).items():
                weights[hop, y] = weight
            best = max(candidates, key=lambda y: leads[y])
        if best == no_more:
            picked.append(np.zeros(config["input_size"]))
            age = -1
        else:
            picked.append(slots[best].copy())
            free.remove(best)
            age = best
        if config["hard"]:
            returned.append(picked[-1])
        else:
            mixed = np.zeros(config["input_size"])
            for n in range(number):
                mixed += weights[hop, n] * slots[n]
            returned.append(mixed)
    return respond(config, params, query, returned, weights[:, number]), weights


def unroll(config, params, state, xs, starts=None):
    """All steps: (last state, {"value": [T, W], "weights": [T, K, N + 1]}, the state after each step)."""
    return append.unroll(read, config, params, state, xs, starts)
