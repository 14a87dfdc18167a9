"""Fast and Forgetful Memory, trace by trace and context by context, in complex numbers.

One sequence at a time. The state is `{"real": [C, M], "imaginary": [C, M]}`, zero at first unless `params` has "initial".
"""

import numpy as np


def sigmoid(z):
    return np.exp(-np.logaddexp(0.0, -np.asarray(z, np.float64)))


def affine(layer, x):
    return np.asarray(x, np.float64) @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"], np.float64)


def layer_norm(z):
    """Without gain and offset."""
    return (z - np.mean(z)) / np.sqrt(np.mean((z - np.mean(z)) ** 2) + 1e-5)


def init_state(config, params):
    if config["learned_state"]:
        return {name: np.array(value, np.float64) for name, value in params["initial"].items()}
    return {name: np.zeros((config["context_size"], config["trace_size"])) for name in ("real", "imaginary")}


def write(config, params, state, x):
    """`S_jk <- exp(-alpha_j + i omega_k) S_jk + u_j`, u = value * sigmoid(gate), scaled as the config says."""
    traces, contexts = config["trace_size"], config["context_size"]
    projected = affine(params["write"], x)
    inputs = projected[:traces] * sigmoid(projected[traces:])
    new = np.zeros((contexts, traces), complex)
    for j in range(traces):
        alpha = float(params["alpha"][j])
        if config["decay_limits"] is None:
            alpha = abs(alpha)
        else:
            alpha = min(max(alpha, config["decay_limits"][0]), config["decay_limits"][1])
        fade = np.exp(-alpha)
        inputs[j] *= {"none": 1.0, "variance": np.sqrt(1 - fade**2 + 1e-8), "mean": 1 - fade}[config["scale"]]
        for k in range(contexts):
            old = state["real"][k, j] + 1j * state["imaginary"][k, j]
            new[k, j] = np.exp(-alpha + 1j * float(params["omega"][k])) * old + inputs[j]
    return {"real": new.real, "imaginary": new.imag}


def read(config, params, state, query):
    """(state, y [O]). Features are the real parts, context by context, then the imaginary ones."""
    outputs = config["output_size"]
    mixed = affine(params["mix"], np.concatenate([np.ravel(state["real"]), np.ravel(state["imaginary"])]))
    projected = affine(params["read"], query)
    skip, gate = projected[:outputs], sigmoid(projected[outputs:])
    normed = layer_norm(mixed * gate) if config["order"] == "gate_norm" else layer_norm(mixed) * gate
    return state, normed + skip * (1 - gate)


def step(config, params, state, x):
    """Write, then read with the same x."""
    return read(config, params, write(config, params, state, x), x)


def unroll(config, params, state, xs, starts=None):
    """All steps: (last state, {"value": [T, O]}, the state after each step)."""
    state = init_state(config, params) if state is None else state
    values, states = [], []
    for t in range(len(xs)):
        if starts is not None and starts[t]:
            state = init_state(config, params)
        state, value = step(config, params, state, xs[t])
        values.append(value)
        states.append(state)
    return state, {"value": np.stack(values)}, states
