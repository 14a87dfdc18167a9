"""Recurrent nets with matrices that change as they run: fast weights and differentiable plasticity. Float64, loop by loop.

One sequence at a time. `heads` blocks of units, each with its own matrix.
"""

import numpy as np


def affine(layer, x):
    return np.asarray(x, np.float64) @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer.get("bias", 0), np.float64)


def blocks(config):
    size = config["hidden_size"] // config["heads"]
    return [range(h * size, (h + 1) * size) for h in range(config["heads"])]


def unroll_with(init_state, step):
    """All steps: (last state, {"value": [T, H]}, the state after each step)."""

    def unroll(config, params, state, xs, starts=None):
        state = init_state(config, params) if state is None else state
        states = []
        for t in range(len(xs)):
            if starts is not None and starts[t]:
                state = init_state(config, params)
            state = step(config, params, state, xs[t])
            states.append(state)
        return state, {"value": np.stack([s["hidden"] for s in states])}, states

    return unroll


# --- fast weights ----------------------------------------------------------------------------------------------------


def fast_init_state(config, params):
    size = config["hidden_size"] // config["heads"]
    return {"hidden": np.zeros(config["hidden_size"]), "matrix": np.zeros((config["heads"], size, size))}


def layer_norm(params, z, epsilon):
    mean = sum(z) / len(z)
    variance = sum((one - mean) ** 2 for one in z) / len(z)
    return (z - mean) / np.sqrt(variance + epsilon) * params["scale"] + params["bias"]


def fast_step(config, params, state, x):
    """One step: A <- lambda A + eta k k^T, then the inner steps h <- relu(LN(b + A h))."""
    driven, slow = affine(params["input"], x), params["hidden"]
    boundary = affine(slow, state["hidden"]) + driven
    hidden, key = np.maximum(boundary, 0), state["hidden"]
    if config["key"] == "preliminary":
        key, boundary = hidden, affine(slow, hidden) + driven
    matrix = np.array(state["matrix"], np.float64)
    for h, block in enumerate(blocks(config)):
        for a, i in enumerate(block):
            for b, j in enumerate(block):
                matrix[h, a, b] = config["decay"] * matrix[h, a, b] + config["learning_rate"] * key[i] * key[j]
    for _ in range(config["inner_steps"]):
        settled = boundary.copy()
        for h, block in enumerate(blocks(config)):
            for a, i in enumerate(block):
                for b, j in enumerate(block):
                    settled[i] += matrix[h, a, b] * hidden[j]
        hidden = np.maximum(layer_norm(params["norm"], settled, config["epsilon"]), 0)
    return {"hidden": hidden, "matrix": matrix}


fast_unroll = unroll_with(fast_init_state, fast_step)


# --- plasticity ------------------------------------------------------------------------------------------------------


def plastic_init_state(config, params):
    shape = np.asarray(params["plasticity"]).shape
    state = {"hidden": np.zeros(config["hidden_size"]), "hebb": np.zeros(shape)}
    return {**state, "trace": np.zeros(shape)} if config["rule"] == "retroactive" else state


def plastic_step(config, params, state, x):
    """One step: y <- tanh(y (W + alpha Hebb) + C x), then Hebb by the rule."""
    before, rule = np.asarray(state["hidden"], np.float64), config["rule"]
    total = affine(params["hidden"], before) + affine(params["input"], x)
    for h, block in enumerate(blocks(config)):
        for a, i in enumerate(block):
            for b, j in enumerate(block):
                total[j] += before[i] * params["plasticity"][h, a, b] * state["hebb"][h, a, b]
    after = np.tanh(total)
    eta = float(params.get("learning_rate", 0.0))
    modulation = np.tanh(affine(params["modulator"], after)) if "modulator" in params else None
    new = {"hidden": after, "hebb": np.array(state["hebb"], np.float64)}
    if rule == "retroactive":
        new["trace"] = np.array(state["trace"], np.float64)
    for h, block in enumerate(blocks(config)):
        for a, i in enumerate(block):
            for b, j in enumerate(block):
                old, pair = state["hebb"][h, a, b], before[i] * after[j]
                if rule == "hebb":
                    new["hebb"][h, a, b] = (1 - eta) * old + eta * pair
                elif rule == "oja":
                    new["hebb"][h, a, b] = old + eta * after[j] * (before[i] - after[j] * old)
                elif rule == "modulated":
                    new["hebb"][h, a, b] = min(max(old + modulation[h] * pair, -1), 1)
                else:
                    trace = state["trace"][h, a, b]
                    new["hebb"][h, a, b] = min(max(old + modulation[h] * trace, -1), 1)
                    new["trace"][h, a, b] = (1 - eta) * trace + eta * pair
    return new


plastic_unroll = unroll_with(plastic_init_state, plastic_step)
