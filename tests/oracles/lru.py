"""The linear recurrent unit, in complex numbers.

One sequence at a time. The state is `{"real": [N], "imaginary": [N]}`, zero at first unless `params` has "initial".
"""

import numpy as np


def init_state(config, params):
    if config["learned_state"]:
        return {name: np.array(value, np.float64) for name, value in params["initial"].items()}
    return {"real": np.zeros(config["hidden_size"]), "imaginary": np.zeros(config["hidden_size"])}


def step(config, params, state, x):
    """`h <- lambda h + e^gamma B x`, then `y = Re(C h) + D x + d`."""
    units, x = config["hidden_size"], np.asarray(x, np.float64)
    write, read = (np.asarray(params[name]["kernel"], np.float64) for name in ("write", "read"))
    inputs = x @ (write[:, :units] + 1j * write[:, units:])
    new = np.zeros(units, complex)
    for n in range(units):
        eigenvalue = np.exp(-np.exp(float(params["nu"][n])) + 1j * np.exp(float(params["theta"][n])))
        old = state["real"][n] + 1j * state["imaginary"][n]
        new[n] = eigenvalue * old + np.exp(float(params["gamma"][n])) * inputs[n]
    outputs = new @ (read[:units] - 1j * read[units:])  # the kernel's second half is minus the imaginary part of C
    skip = x @ np.asarray(params["skip"]["kernel"], np.float64) + np.asarray(params["skip"]["bias"], np.float64)
    return {"real": new.real, "imaginary": new.imag}, outputs.real + skip


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
