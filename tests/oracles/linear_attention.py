"""Linear attention, float64, loop by loop: each head sums outer products and keys, and divides by the sum of weights.

One sequence at a time. The state is `{"matrix": [H, K, V], "normaliser": [H, K]}`, zero at first; K counts features, and
without `normalise` there is no normaliser.
"""

import numpy as np

from tests.oracles import delta_rule
from tests.oracles.delta_rule import features
from tests.oracles.hebbian import project, sigmoid


def init_state(config, params):
    matrix = delta_rule.init_state(config, params)["matrix"]
    return {"matrix": matrix, **({"normaliser": matrix[:, :, 0].copy()} if config["normalise"] else {})}


def write(config, params, state, x):
    """`A <- rate A + k v^T`, `z <- rate z + k`."""
    values = project(params["value"], x, config["heads"], config["value_size"])
    new = {name: np.array(value, np.float64) for name, value in state.items()}
    for h, row in enumerate(project(params["key"], x, config["heads"], config["key_size"])):
        rate = sigmoid(float(params["decay"][h])) if config["decay"] else 1.0
        for i, k in enumerate(features(config, row)):
            new["matrix"][h, i] = rate * new["matrix"][h, i] + k * values[h]
            if config["normalise"]:
                new["normaliser"][h, i] = rate * new["normaliser"][h, i] + k
    return new


def read(config, params, state, query):
    """`r = q A / (q . z + epsilon)`, or `q A / sqrt(K)`: (state, value [H, V]). The state does not change."""
    value = np.zeros((config["heads"], config["value_size"]))
    for h, row in enumerate(project(params["query"], query, config["heads"], config["key_size"])):
        phi = features(config, row)
        for i, q in enumerate(phi):
            value[h] += q * np.asarray(state["matrix"])[h, i]
        total = np.sum(phi * np.asarray(state["normaliser"])[h]) + config["epsilon"] if config["normalise"] else len(phi) ** 0.5
        value[h] /= total
    return state, value


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
