"""An end-to-end memory network (Sukhbaatar et al. 2015) over the newest inputs, hop by hop in float64."""

import numpy as np

from tests.oracles import append


def tables(config, params, name, hop):
    """The tables of input and output memory, A_k and C_k, of hop k = 1..K."""
    if config["tying"] == "adjacent":
        return params[name][hop - 1], params[name][hop]
    if config["tying"] != "layerwise":
        raise ValueError(f"unknown tying {config['tying']!r}")
    first = 1 if name == "embeddings" else 0  # embeddings are B, A, C and times T_A, T_C
    return params[name][first], params[name][first + 1]


def memories(config, params, state, hop):
    """Every slot's m and c, zero in slots that hold nothing, or zeros."""
    number, width = config["slots"], config["width"]
    m, c = np.zeros((number, width)), np.zeros((number, width))
    to_match, to_return = tables(config, params, "embeddings", hop)
    for i in append.filled({**config, "mask": True}, state):
        m[i] = append.embed(config, to_match, state["slots"][i])
        c[i] = append.embed(config, to_return, state["slots"][i])
        if config["time"]:
            time_match, time_return = tables(config, params, "times", hop)
            m[i] += np.asarray(time_match, np.float64)[i]
            c[i] += np.asarray(time_return, np.float64)[i]
    return m, c


def read(config, params, state, query):
    """(value [W], weights [K, N])."""
    number, width, hops = config["slots"], config["width"], config["hops"]
    u = append.embed(config, params["embeddings"][0], query)
    among = append.filled(config, state) if config["mask"] else range(number)
    weights = np.zeros((hops, number))
    for hop in range(1, hops + 1):
        m, c = memories(config, params, state, hop)
        p = {i: float(np.sum(u * m[i])) for i in among}
        if config["softmax"]:
            p = append.softmax(p)
        o = np.zeros(width)
        for i in p:
            weights[hop - 1, i] = p[i]
            o += p[i] * c[i]
        if config["tying"] == "layerwise":
            matrix, moved = np.asarray(params["hop"], np.float64), np.zeros(width)
            for j in range(width):
                moved += u[j] * matrix[j]
            u = moved
        u = u + o
        for i in range(width - config["relu"], width):  # the last so many units are rectified
            u[i] = max(u[i], 0.0)
    return u, weights


def unroll(config, params, state, xs, starts=None):
    """All steps: (last state, {"value": [T, W], "weights": [T, K, N]}, the state after each step)."""
    return append.unroll(read, config, params, state, xs, starts)
