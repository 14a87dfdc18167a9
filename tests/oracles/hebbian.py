"""A decaying Hebbian memory: each head's matrix gathers outer products of keys and values. Float64, loop by loop.

One sequence at a time. The state is `{"matrix": [H, K, V]}`, zero at first.
"""

import numpy as np


def sigmoid(z):
    return np.exp(-np.logaddexp(0.0, -z))


def project(layer, x, heads, size):
    """`x @ kernel + bias`, one row of `size` numbers per head."""
    flat = np.asarray(x, np.float64) @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"], np.float64)
    return flat.reshape(heads, size)


def init_state(config, params):
    return {"matrix": np.zeros((config["heads"], config["key_size"], config["value_size"]))}


def write(config, params, state, x):
    """`A_h <- rate_h A_h + k_h v_h^T`."""
    heads, key_size, value_size = config["heads"], config["key_size"], config["value_size"]
    keys = project(params["key"], x, heads, key_size) * key_size**-0.25
    values = project(params["value"], x, heads, value_size)
    old = np.asarray(state["matrix"], np.float64)
    new = np.zeros(old.shape)
    for h in range(heads):
        rate = sigmoid(float(params["decay"][h]))
        for i in range(key_size):
            for j in range(value_size):
                new[h, i, j] = rate * old[h, i, j] + keys[h, i] * values[h, j]
    return {"matrix": new}


def read(config, params, state, query):
    """`r_h = q_h A_h`: (state, value [H, V]). The state does not change."""
    heads, key_size, value_size = config["heads"], config["key_size"], config["value_size"]
    queries = project(params["query"], query, heads, key_size) * key_size**-0.25
    matrix = np.array(state["matrix"], np.float64)
    value = np.zeros((heads, value_size))
    for h in range(heads):
        for i in range(key_size):
            value[h] += queries[h, i] * matrix[h, i]
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
