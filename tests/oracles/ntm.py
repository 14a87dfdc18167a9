"""The memory of the Neural Turing Machine (Graves, Wayne, Danihelka 2014, section 3), loop by loop in float64.

One sequence at a time. A memory of N slots of width W is stored as `slots[W, N]`: slot n is the column `slots[:, n]`.
The helper functions below take the memory as rows, `memory[n]`, which is `slots.T`.
"""

import numpy as np

# --- Squashing functions ---------------------------------------------------------------------------------------------


def sigmoid(z):
    return np.exp(-np.logaddexp(0.0, -z))


def softplus(z):
    return np.logaddexp(0.0, z)


def softmax(z):
    e = np.exp(z - np.max(z))
    return e / np.sum(e)


# --- Addressing, one head: equations 5 to 9 --------------------------------------------------------------------------


def cosine(key, slot, epsilon):
    """Equation 6, for one key and one slot, with one of three guards against zero vectors."""
    if epsilon == "clamped":  # this convention also moves both vectors a hair away from zero
        key, slot = key + 1e-16, slot + 1e-16
    dot = np.sum(key * slot)
    if epsilon == "smooth":
        return dot / (np.sqrt(np.sum(key**2) + 1e-8) * np.sqrt(np.sum(slot**2) + 1e-8))
    key_norm, slot_norm = np.sqrt(np.sum(key**2)), np.sqrt(np.sum(slot**2))
    if epsilon == "clamped":
        return dot / (max(key_norm, 1e-8) * max(slot_norm, 1e-8))
    if epsilon == "product":
        return dot / (key_norm * slot_norm + 1e-8)
    raise ValueError(f"unknown epsilon {epsilon!r}")


def content(key, memory, strength, epsilon):
    """Equation 5: a softmax over the slots of strength times similarity."""
    number = memory.shape[0]
    scores = np.zeros(number)
    for n in range(number):
        scores[n] = strength * cosine(key, memory[n], epsilon)
    return softmax(scores)


def interpolate(weights, previous, gate):
    """Equation 7."""
    return gate * weights + (1.0 - gate) * previous


def shift(weights, kernel):
    """Equation 8: a circular convolution. `kernel[j]` is the share of the move j - r, from -r to +r."""
    number, reach = len(weights), len(kernel) // 2
    moved = np.zeros(number)
    for n in range(number):
        for j in range(len(kernel)):
            move = j - reach
            moved[n] += kernel[j] * weights[(n - move) % number]
    return moved


def sharpen(weights, gamma):
    """Equation 9. Numerator and denominator are divided by max(w)^gamma, so the denominator is at least 1."""
    largest = np.max(weights)
    if largest == 0.0:  # nothing to sharpen: all w^gamma are zero
        return np.zeros(len(weights))
    powers = np.zeros(len(weights))
    for n in range(len(weights)):
        powers[n] = (weights[n] / largest) ** gamma
    return powers / np.sum(powers)


# --- Reading and writing, one head: equations 2 to 4 -----------------------------------------------------------------


def read_slots(memory, weights):
    """Equation 2."""
    value = np.zeros(memory.shape[1])
    for n in range(memory.shape[0]):
        value += weights[n] * memory[n]
    return value


def write_slots(memory, weights, erase, add):
    """Equations 3 and 4: erase, then add."""
    written = np.zeros(memory.shape)
    for n in range(memory.shape[0]):
        erased = memory[n] * (1.0 - weights[n] * erase)
        written[n] = erased + weights[n] * add
    return written


# --- Heads -----------------------------------------------------------------------------------------------------------


def activate(config, z):
    if config["activation"] == "tanh":
        return np.tanh(z)
    if config["activation"] == "linear":
        return z
    raise ValueError(f"unknown activation {config['activation']!r}")


def emit(config, layer, number, x):
    """The raw outputs of a linear layer, one row per head, clipped."""
    raw = np.asarray(x, np.float64) @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"], np.float64)
    if config.get("clip") is not None:
        raw = np.minimum(np.maximum(raw, -config["clip"]), config["clip"])
    return raw.reshape(number, -1)


def split(config, row, writes):
    """The parameters of one head, by name, out of its row of raw outputs."""
    width, taps = config["width"], 2 * config["shift_range"] + 1
    sizes = [("key", width), ("strength", 1)]
    if config["addressing"] == "content_location":
        sizes += [("gate", 1), ("kernel", taps), ("gamma", 1)]
    elif config["addressing"] != "content":
        raise ValueError(f"unknown addressing {config['addressing']!r}")
    if writes:
        sizes += [("erase", width), ("add", width)]
    raw, start = {}, 0
    for name, size in sizes:
        raw[name] = row[start : start + size]
        start += size
    if start != len(row):
        raise ValueError(f"a head has {len(row)} outputs, expected {start}")

    head = {"key": activate(config, raw["key"]), "strength": softplus(raw["strength"][0])}
    if config["addressing"] == "content_location":
        head["gate"] = sigmoid(raw["gate"][0])
        head["kernel"] = softmax(raw["kernel"])
        head["gamma"] = 1.0 + softplus(raw["gamma"][0])
    if writes:
        head["erase"] = sigmoid(raw["erase"])
        head["add"] = activate(config, raw["add"])
    return head


def read_heads(config, params, x):
    rows = emit(config, params["read_heads"], config["read_heads"], x)
    return [split(config, row, writes=False) for row in rows]


def write_heads(config, params, x):
    rows = emit(config, params["write_heads"], config["write_heads"], x)
    return [split(config, row, writes=True) for row in rows]


def address(config, head, memory, previous):
    """Figure 2: content, then interpolation with the weights of the step before, shift and sharpening."""
    weights = content(head["key"], memory, head["strength"], config["epsilon"])
    if config["addressing"] == "content":
        return weights
    weights = interpolate(weights, previous, head["gate"])
    weights = shift(weights, head["kernel"])
    return sharpen(weights, head["gamma"])


# --- The memory ------------------------------------------------------------------------------------------------------


def unpack(state):
    """The memory as rows and the weights, as fresh float64 arrays that may be overwritten."""
    memory = np.array(state["slots"], np.float64).T.copy()
    return memory, np.array(state["read_weights"], np.float64), np.array(state["write_weights"], np.float64)


def pack(memory, of_reads, of_writes):
    return {"slots": memory.T.copy(), "read_weights": of_reads, "write_weights": of_writes}


def init_state(config, params):
    number, width = config["slots"], config["width"]
    reads, writes = config["read_heads"], config["write_heads"]

    if config["initial_memory"] == "constant":
        slots = np.full((width, number), 1e-6)
    elif config["initial_memory"] == "learned":
        slots = np.array(params["slots"], np.float64)
    elif config["initial_memory"] == "random":
        slots = np.array(config["random_slots"], np.float64)  # the oracle draws nothing itself
    else:
        raise ValueError(f"unknown initial_memory {config['initial_memory']!r}")
    if slots.shape != (width, number):
        raise ValueError(f"initial slots have shape {slots.shape}, expected {(width, number)}")

    weights = np.zeros((reads + writes, number))
    for head in range(reads + writes):
        if config["initial_weights"] == "first":
            weights[head, 0] = 1.0
        elif config["initial_weights"] == "uniform":
            weights[head, :] = 1.0 / number
        elif config["initial_weights"] == "learned":
            weights[head] = softmax(np.asarray(params["weights"], np.float64)[head])
        elif config["initial_weights"] != "zero":
            raise ValueError(f"unknown initial_weights {config['initial_weights']!r}")
    return {"slots": slots, "read_weights": weights[:reads].copy(), "write_weights": weights[reads:].copy()}


def read(config, params, state, query):
    """All read heads address and read the memory of `state`. Only the read weights change."""
    memory, of_reads, of_writes = unpack(state)
    values = np.zeros((config["read_heads"], config["width"]))
    for h, head in enumerate(read_heads(config, params, query)):
        of_reads[h] = address(config, head, memory, of_reads[h])
        values[h] = read_slots(memory, of_reads[h])
    return pack(memory, of_reads, of_writes), values, of_reads.copy()


def write(config, params, state, x):
    """The write heads write one after the other.

    They address the memory of `state`; with the order "interleaved" each addresses what those before it have left.
    """
    memory, of_reads, of_writes = unpack(state)
    before = memory.copy()
    for h, head in enumerate(write_heads(config, params, x)):
        seen = memory if config["order"] == "interleaved" else before
        of_writes[h] = address(config, head, seen, of_writes[h])
        memory = write_slots(memory, of_writes[h], head["erase"], head["add"])
    return pack(memory, of_reads, of_writes)


def step(config, params, state, x):
    """One step: (state, value [R, W], weights [R, N])."""
    if config["order"] == "read_write":
        state, value, weights = read(config, params, state, x)  # leaves the memory as it was
        return write(config, params, state, x), value, weights
    if config["order"] == "write_read":
        return read(config, params, write(config, params, state, x), x)
    if config["order"] != "interleaved":
        raise ValueError(f"unknown order {config['order']!r}")

    memory, of_reads, of_writes = unpack(state)
    values = np.zeros((config["read_heads"], config["width"]))
    readers, writers = read_heads(config, params, x), write_heads(config, params, x)
    for h in range(max(len(readers), len(writers))):
        if h < len(readers):
            of_reads[h] = address(config, readers[h], memory, of_reads[h])
            values[h] = read_slots(memory, of_reads[h])
        if h < len(writers):
            of_writes[h] = address(config, writers[h], memory, of_writes[h])
            memory = write_slots(memory, of_writes[h], writers[h]["erase"], writers[h]["add"])
    return pack(memory, of_reads, of_writes), values, of_reads.copy()


def unroll(config, params, state, xs, starts=None):
    """All steps: (last state, {"value": [T, R, W], "weights": [T, R, N]}, the state after each step)."""
    if state is None:
        state = init_state(config, params)
    values, weights, states = [], [], []
    for t in range(len(xs)):
        if starts is not None and starts[t]:
            state = init_state(config, params)
        state, value, weight = step(config, params, state, xs[t])
        values.append(value)
        weights.append(weight)
        states.append(state)
    return state, {"value": np.stack(values), "weights": np.stack(weights)}, states
