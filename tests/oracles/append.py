"""What the memories that keep their newest inputs share, loop by loop in float64. One sequence at a time.

The state is `{"slots": [N, D], "length": int}`: the newest input in slot 0, zeros where nothing is stored.
"""

import numpy as np


def init_state(config, params):
    return {"slots": np.zeros((config["slots"], config["input_size"])), "length": 0}


def write(config, params, state, x):
    """Puts x into slot 0; the others move back by one and the last drops out."""
    old = np.asarray(state["slots"], np.float64)
    new = np.zeros(old.shape)
    new[0] = np.asarray(x, np.float64)
    for n in range(1, len(old)):
        new[n] = old[n - 1]
    return {"slots": new, "length": min(state["length"] + 1, len(old))}


def stored(state):
    """The numbers of the slots in which something is stored, newest first."""
    return [n for n in range(len(state["slots"])) if n < state["length"]]


def filled(config, state):
    """The numbers of the slots that are stored and, under a mask, not all zeros; newest first."""
    return [n for n in stored(state) if not config["mask"] or np.any(state["slots"][n] != 0.0)]


def softmax(scores):
    """A softmax over a dictionary's values: the same keys, with weights."""
    if not scores:
        return {}
    largest = max(scores.values())
    powers = {name: np.exp(score - largest) for name, score in scores.items()}
    total = sum(powers.values())
    return {name: power / total for name, power in powers.items()}


def embed(config, table, x):
    """A bag of words, or the two bags of a position encoding, by a table [V, W]."""
    table, x = np.asarray(table, np.float64), np.asarray(x, np.float64)
    vocabulary, width = table.shape
    result = np.zeros(width)
    for word in range(vocabulary):
        for i in range(width):
            if config["encoding"] == "bag":
                result[i] += x[word] * table[word, i]
            elif config["encoding"] == "position":
                factor = 4.0 * ((i + 1) - (width + 1) / 2.0) / width
                result[i] += x[word] * table[word, i] + factor * x[vocabulary + word] * table[word, i]
            else:
                raise ValueError(f"unknown encoding {config['encoding']!r}")
    if len(x) != vocabulary * (1 if config["encoding"] == "bag" else 2):
        raise ValueError(f"an input of {len(x)} numbers for {vocabulary} words")
    return result


def unroll(read, config, params, state, xs, starts):
    """All steps, each a write and a read with the same x, by a memory's `read(config, params, state, query)`."""
    if state is None:
        state = init_state(config, params)
    values, weights, states = [], [], []
    for t in range(len(xs)):
        if starts is not None and starts[t]:
            state = init_state(config, params)
        state = write(config, params, state, xs[t])
        value, weight = read(config, params, state, np.asarray(xs[t], np.float64))
        values.append(value)
        weights.append(weight)
        states.append(state)
    return state, {"value": np.stack(values), "weights": np.stack(weights)}, states
