"""The delta rule, float64, loop by loop: each head's matrix moves what a key reads towards the value.

One sequence at a time. The state is `{"matrix": [H, K, V]}`, zero at first; K counts features.
"""

import numpy as np

from tests.oracles.hebbian import project, sigmoid


def features(config, x):
    """The feature map of one vector."""
    if config["feature_map"] == "elu":
        return np.array([np.exp(z) if z < 0 else z + 1 for z in x])
    if config["feature_map"] == "dpfp":
        y = [max(z, 0.0) for z in x] + [max(-z, 0.0) for z in x]
        return np.array([y[j] * y[j - i] for i in range(1, config["rolls"] + 1) for j in range(len(y))])
    return np.asarray(x)


def addresses(config, layer, x):
    """Normalised keys or queries, one row per head."""
    rows = []
    for one in project(layer, x, config["heads"], config["key_size"]):
        phi = features(config, one)
        total = np.sqrt(np.sum(phi**2) + 1e-12) if config["norm"] == "unit" else np.sum(phi)
        rows.append(phi / total if total else phi)
    return np.stack(rows)


def init_state(config, params):
    size = config["key_size"] * (2 * config["rolls"] if config["feature_map"] == "dpfp" else 1)
    return {"matrix": np.zeros((config["heads"], size, config["value_size"]))}


def write(config, params, state, x):
    """`A <- rate A`, then `A <- A + k (beta (v - A^T k))^T`."""
    keys = addresses(config, params["key"], x)
    values = project(params["value"], x, config["heads"], config["value_size"])
    gates = sigmoid(project(params["gate"], x, config["heads"], 1))[:, 0]
    matrix = np.array(state["matrix"], np.float64)
    for h in range(config["heads"]):
        if config["decay"]:
            matrix[h] *= sigmoid(project(params["decay"], x, config["heads"], 1))[h, 0]
        read = np.zeros(config["value_size"])
        for i, k in enumerate(keys[h]):
            read += k * matrix[h, i]
        for i, k in enumerate(keys[h]):
            matrix[h, i] += k * gates[h] * (values[h] - read)
    return {"matrix": matrix}


def read(config, params, state, query):
    """`r_h = q_h A_h`: (state, value [H, V]). The state does not change."""
    queries = addresses(config, params["query"], query)
    matrix = np.array(state["matrix"], np.float64)
    value = np.zeros((config["heads"], config["value_size"]))
    for h in range(config["heads"]):
        for i, q in enumerate(queries[h]):
            value[h] += q * matrix[h, i]
    return {"matrix": matrix}, value


def step(config, params, state, x):
    """Write, then read with the same x: (state, value [H, V])."""
    return read(config, params, write(config, params, state, x), x)


def unroll(config, params, state, xs, starts=None):
    """All steps: (last state, {"value": [T, H, V]}, the state after each step)."""
    if state is None:
        state = init_state(config, params)
    values, states = [], []
    for t in range(len(xs)):
        if starts is not None and starts[t]:
            state = init_state(config, params)
        state, value = step(config, params, state, xs[t])
        values.append(value)
        states.append(state)
    return state, {"value": np.stack(values)}, states
