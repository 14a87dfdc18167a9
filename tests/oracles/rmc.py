"""The Relational Memory Core, row by row and head by head, float64.

One sequence at a time. The state is `{"slots": [N, W]}`.
"""

import numpy as np


def sigmoid(z):
    return np.exp(-np.logaddexp(0.0, -z))


def linear(layer, row):
    return np.asarray(row, np.float64) @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"], np.float64)


def norm(layer, row):
    centred = row - row.mean()
    return centred / np.sqrt((centred**2).mean() + 1e-5) * np.asarray(layer["scale"]) + np.asarray(layer["bias"])


def softmax(z):
    powers = np.exp(z - z.max())
    return powers / powers.sum()


def mlp(layers, row):
    names = sorted(layers, key=lambda name: (name == "output", len(name), name))
    for name in names[:-1]:
        row = np.maximum(linear(layers[name], row), 0)
    return linear(layers["output"], row)


def init_state(config, params):
    if config["learned_state"]:
        return {"slots": np.array(params["slots"], np.float64)}
    slots = np.zeros((config["slots"], config["width"]))
    for i in range(min(slots.shape)):
        slots[i, i] = 1
    return {"slots": slots}


def block(config, params, mlp_layers, rows):
    """Every row looks at every row: (the rows afterwards, weights [H, rows, rows])."""
    heads = config["heads"]
    value_size = config["width"] // heads
    key_size = config["key_size"] or value_size
    mixed = [norm(params["qkv_norm"], linear(params["qkv"], row)) for row in rows]
    weights, after = np.zeros((heads, len(rows), len(rows))), []
    for i, row in enumerate(rows):
        attended = []
        for h in range(heads):
            share = slice(h * (2 * key_size + value_size), (h + 1) * (2 * key_size + value_size))
            query = mixed[i][share][:key_size]
            keys = [other[share][key_size : 2 * key_size] for other in mixed]
            values = [other[share][2 * key_size :] for other in mixed]
            weights[h, i] = softmax(np.array([query @ key for key in keys]) / np.sqrt(key_size))
            attended.append(sum(w * v for w, v in zip(weights[h, i], values, strict=True)))
        row = norm(params["attention_norm"], row + np.concatenate(attended))
        after.append(norm(params["mlp_norm"], row + mlp(mlp_layers, row)))
    return after, weights


def write(config, params, state, x):
    """(the state after, weights [H, N, N + input rows] of the last block)."""
    count = config["slots"]
    inputs = [linear(params["input"], part) for part in np.split(np.asarray(x, np.float64), config["input_rows"])]
    slots = np.asarray(state["slots"], np.float64)
    rows = [*slots, *inputs]
    for i in range(config["blocks"]):
        rows, weights = block(config, params[f"block_{i}"], params["mlp"], rows)
    if config["gate"] == "none":
        return {"slots": np.stack(rows[:count])}, weights[:, :count]
    new = np.zeros(slots.shape)
    for n in range(count):
        both = linear(params["gates"]["slots"], np.tanh(slots[n])) + np.concatenate(inputs) @ np.asarray(
            params["gates"]["input"]
        )
        half = len(both) // 2
        new[n] = sigmoid(both[:half]) * np.tanh(rows[n]) + sigmoid(both[half:]) * slots[n]
    return {"slots": new}, weights[:, :count]


def read(config, params, state, query, weights):
    """(value, weights): all slots side by side, or what each head finds by its share of the query."""
    slots, heads = np.asarray(state["slots"], np.float64), config["heads"]
    if config["readout"] == "flattened":
        return np.concatenate(list(slots)), weights
    queries = np.split(linear(params["query"], query), heads)
    value, where = [], []
    for h in range(heads):
        shares = np.split(slots, heads, axis=1)[h]
        where.append(softmax(np.array([queries[h] @ share for share in shares]) / np.sqrt(len(queries[h]))))
        value.append(where[h] @ shares)
    return np.stack(value), np.stack(where)


def unroll(config, params, state, xs, starts=None):
    """All steps: (last state, {"value": [T, ..], "weights": [T, ..]}, the state after each step)."""
    values, where, states = [], [], []
    for t in range(len(xs)):
        if state is None or (starts is not None and starts[t]):
            state = init_state(config, params)
        state, weights = write(config, params, state, xs[t])
        value, weights = read(config, params, state, xs[t], weights)
        values.append(value)
        where.append(weights)
        states.append(state)
    return state, {"value": np.stack(values), "weights": np.stack(where)}, states
