"""LSTM and GRU, gate by gate in float64, on parameters laid out as Flax lays them out. One sequence at a time.

Every function takes a `config` first, as those of the other oracles do, and does not use it: the sizes are in `params`.
"""

import numpy as np


def sigmoid(z):
    return np.exp(-np.logaddexp(0.0, -z))


def linear(layer, x):
    """`x @ kernel + bias`, the bias where there is one, summed input by input."""
    kernel = np.asarray(layer["kernel"], np.float64)
    result = np.zeros(kernel.shape[1])
    if "bias" in layer:
        result += np.asarray(layer["bias"], np.float64)
    for i in range(kernel.shape[0]):
        result += x[i] * kernel[i]
    return result


def normalised(norm, z):
    """Mean 0 and variance 1 (of the z there are), then scaled and moved."""
    mean = sum(z) / len(z)
    variance = sum((z - mean) ** 2) / len(z)
    return np.asarray(norm["scale"], np.float64) * (z - mean) / np.sqrt(variance + 1e-5) + np.asarray(norm["bias"], np.float64)


def _unroll(init_state, step, config, params, state, xs, starts):
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


# --- LSTM ------------------------------------------------------------------------------------------------------------


def lstm_init_state(config, params):
    hidden = np.asarray(params["hi"]["kernel"]).shape[0]
    if "initial" in params:
        return {name: np.array(params["initial"][name], np.float64) for name in ("cell", "hidden")}
    return {"cell": np.zeros(hidden), "hidden": np.zeros(hidden)}


def lstm_step(config, params, state, x):
    """One step: (state, value), where the value is the new hidden vector."""
    x = np.asarray(x, np.float64)
    h, c = np.asarray(state["hidden"], np.float64), np.asarray(state["cell"], np.float64)
    # Ba et al. 2016, appendix, equations 20 to 22: one norm over all that the inputs say, one over all that h says.
    norms = params.get("norms")
    said_by_x = np.concatenate([linear(params["i" + gate], x) for gate in "ifgo"])
    said_by_h = np.concatenate([linear({"kernel": params["h" + gate]["kernel"]}, h) for gate in "ifgo"])
    if norms is not None:
        said_by_x, said_by_h = normalised(norms["input"], said_by_x), normalised(norms["hidden"], said_by_h)
    bias = np.concatenate([np.asarray(params["h" + gate]["bias"], np.float64) for gate in "ifgo"])
    i, f, g, o = np.split(said_by_x + said_by_h + bias, 4)
    cell = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    hidden = sigmoid(o) * np.tanh(cell if norms is None else normalised(norms["cell"], cell))
    if config.get("clip") is not None:
        cell, hidden = (np.minimum(np.maximum(part, -config["clip"]), config["clip"]) for part in (cell, hidden))
    return {"cell": cell, "hidden": hidden}, hidden.copy()


def lstm_unroll(config, params, state, xs, starts=None):
    """All steps: (last state, {"value": [T, hidden]}, the state after each step)."""
    return _unroll(lstm_init_state, lstm_step, config, params, state, xs, starts)


# --- GRU -------------------------------------------------------------------------------------------------------------


def gru_init_state(config, params):
    if "initial" in params:
        return {"hidden": np.array(params["initial"]["hidden"], np.float64)}
    return {"hidden": np.zeros(np.asarray(params["hn"]["kernel"]).shape[0])}


def gru_step(config, params, state, x):
    """One step: (state, value), where the value is the new hidden vector."""
    x = np.asarray(x, np.float64)
    h = np.asarray(state["hidden"], np.float64)
    r = sigmoid(linear(params["ir"], x) + linear(params["hr"], h))
    z = sigmoid(linear(params["iz"], x) + linear(params["hz"], h))
    n = np.tanh(linear(params["in"], x) + r * linear(params["hn"], h))
    hidden = (1.0 - z) * n + z * h
    return {"hidden": hidden}, hidden.copy()


def gru_unroll(config, params, state, xs, starts=None):
    """All steps: (last state, {"value": [T, hidden]}, the state after each step)."""
    return _unroll(gru_init_state, gru_step, config, params, state, xs, starts)
