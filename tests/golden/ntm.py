"""Golden files of the Neural Turing Machine: `pytorch-ntm` and `NTMCell-tf`, whole models and primitives."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import diffmem
from diffmem import addressing, edits
from diffmem.base import Readout
from diffmem.controller import ControlledState
from diffmem.memories.ntm import NTMState
from diffmem.memories.recurrent import LSTMState
from diffmem.unroll import where


@dataclass(frozen=True)
class Recorded:
    """A memory that starts from a state in its parameters, can hold its state for a step, and records every state."""

    memory: Any

    @property
    def input_size(self) -> int:
        return self.memory.input_size + 1  # the last number: whether the step counts

    def init_state(self, params):
        return params["initial"]

    def step(self, params, state, x):
        keep = x[-1] > 0
        moved, readout = self.memory.step(params["memory"], state, x[:-1])
        state = where(keep, moved, state)
        return state, Readout(readout.value, (state, keep))


def run(memory, params, initial, tensors):
    """Runs a batch [B, T, ..] with the file's masks and resets: read vectors [B, T, ..], states and masks by step."""
    xs = tensors["input.x"]
    mask = tensors.get("input.mask", jnp.ones(xs.shape[:2], bool))
    starts = tensors.get("input.reset", jnp.zeros(xs.shape[:2], bool)).astype(bool)
    xs = jnp.concatenate([xs, mask.astype(xs.dtype)[..., None]], -1)
    both = {"memory": params, "initial": initial}
    _, (values, (states, kept)) = jax.vmap(
        lambda x, s: diffmem.unroll(Recorded(memory), both, None, x, starts=s), in_axes=(0, 0)
    )(xs, starts)
    return values, states, kept


def lstm_params(tensors, prefix, order, sizes, forget=0.0):
    """Flax LSTM parameters from one matrix per input with the gates side by side in the given order."""
    if f"{prefix}.Wx" in tensors:
        wx, wh = tensors[f"{prefix}.Wx"], tensors[f"{prefix}.Wh"]
    else:
        wx, wh = jnp.split(tensors[f"{prefix}.W"], [sizes[0]])
    params = {}
    bias = jnp.split(tensors[f"{prefix}.b"], 4)
    for gate, x, h, b in zip(order, jnp.split(wx, 4, 1), jnp.split(wh, 4, 1), bias, strict=True):
        params[f"i{gate}"] = {"kernel": x}
        params[f"h{gate}"] = {"kernel": h, "bias": b + forget * (gate == "f")}
    return params


def build(config, ntm_options, read_size):
    """The memory behind the file's stack of LSTM layers."""
    heads = (config.get("heads", config.get("read_heads")), config.get("heads", config.get("write_heads")))
    ntm = diffmem.NTM(
        input_size=config["controller"], slots=config["N"], width=config["M"], read_heads=heads[0], write_heads=heads[1],
        **ntm_options,
    )  # fmt: skip
    memory = diffmem.control(ntm, input_size=config["input"], depth=config["layers"])
    assert memory.controller.input_size == read_size
    return memory


def controller_state(config, hidden, cell):
    layers = tuple(LSTMState(cell=c, hidden=h) for h, c in zip(hidden, cell, strict=True))
    return layers[0] if config["layers"] == 1 else layers


def controller_params(config, layers):
    return layers[0] if config["layers"] == 1 else {f"memory_{i}": layer for i, layer in enumerate(layers)}


def controller_trace(config, states):
    """The h and c of every layer, [B, T, layers, C]."""
    layers = (states.controller,) if config["layers"] == 1 else states.controller
    return jnp.stack([s.hidden for s in layers], 2), jnp.stack([s.cell for s in layers], 2)


def columns(head, tensor_order, taps, start):
    """Reorders the shift columns of one head's matrix (last axis) to moves -r, .., +r. `start`: where they begin."""
    moves = list(range(-(taps // 2), taps // 2 + 1))
    source = [tensor_order.index(move) for move in moves]
    kernel = head[..., start : start + taps]
    return jnp.concatenate([head[..., :start], kernel[..., np.array(source)], head[..., start + taps :]], -1)


def forward_pytorch(config, tensors):
    """loudinthecloud/pytorch-ntm: read and write heads in turn, linear keys, three taps [+1, 0, -1]."""
    if config.get("kind") == "primitives":
        return primitives(tensors, [1, 0, -1], epsilon="clamped")
    heads, width, hidden = config["heads"], config["M"], config["controller"]
    read_size = config["input"] + heads * width
    options = {"order": "interleaved", "activation": "linear", "epsilon": "clamped", "initial_weights": "zero"}
    memory = build(config, options, read_size)

    def side_by_side(name, part):
        parts = [tensors[f"param.{name}{i}.{part}"] for i in range(heads)]
        return jnp.concatenate([columns(p, [1, 0, -1], 3, width + 2) for p in parts], -1)

    layers = [
        lstm_params(tensors, f"param.lstm{i}", "ifgo", (read_size if i == 0 else hidden, hidden))
        for i in range(config["layers"])
    ]
    params = {
        "controller": controller_params(config, layers),
        "memory": {
            "read_heads": {"kernel": side_by_side("read", "W"), "bias": side_by_side("read", "b")},
            "write_heads": {"kernel": side_by_side("write", "W"), "bias": side_by_side("write", "b")},
        },
    }
    slots = tensors["init.memory"].T
    zeros = jnp.zeros((heads, config["N"]), slots.dtype)
    initial = ControlledState(
        controller_state(config, tensors["init.h"], tensors["init.c"]),
        NTMState(slots, zeros, zeros),
        tensors["init.reads"],
    )
    values, states, kept = run(memory, params, initial, tensors)
    outputs = jax.nn.sigmoid(values @ tensors["param.out.W"] + tensors["param.out.b"])
    hidden, cell = controller_trace(config, states)
    traces = {
        "read_w": states.memory.read_weights,
        "write_w": states.memory.write_weights,
        "reads": states.reads,
        "memory": jnp.swapaxes(states.memory.slots, 2, 3),
        "h": hidden,
        "c": cell,
    }
    return collect(jnp.where(kept[..., None], outputs, 0), traces)


def forward_tf(config, tensors):
    """MarkPKCollier/NeuralTuringMachine: all heads look at the memory before the step, tanh keys, clipping."""
    reach = config.get("shift_range", 1)
    tensor_order = [*range(reach + 1), *range(-reach, 0)]
    if config.get("kind") == "primitives":
        return primitives(tensors, tensor_order, epsilon="product")
    reads, writes, width, hidden = config["read_heads"], config["write_heads"], config["M"], config["controller"]
    read_size = config["input"] + reads * width
    content_only = config["addressing_mode"] == "content"
    taps = 2 * reach + 1
    block = width + 3 + taps
    options = {
        "addressing": "content" if content_only else "content_location",
        "epsilon": "product",
        "clip": config["clip"],
        "shift_range": reach,
    }
    memory = build(config, options, read_size)

    def split(part):
        """The single matrix of all heads, as read heads' and write heads' matrices."""
        blocks = [
            columns(tensors[f"param.heads.{part}"][..., i * block : (i + 1) * block], tensor_order, taps, width + 2)
            for i in range(reads + writes)
        ]
        blocks = [b[..., : width + 1] if content_only else b for b in blocks]
        edited = tensors[f"param.heads.{part}"][..., (reads + writes) * block :]
        edited = jnp.split(edited, writes, -1)
        writing = [p for pair in zip(blocks[reads:], edited, strict=True) for p in pair]
        return jnp.concatenate(blocks[:reads], -1), jnp.concatenate(writing, -1)

    kernels, biases = split("W"), split("b")
    layers = [
        lstm_params(tensors, f"param.lstm{i}", "igfo", (read_size if i == 0 else hidden, hidden), forget=1.0)
        for i in range(config["layers"])
    ]
    params = {
        "controller": controller_params(config, layers),
        "memory": {
            "read_heads": {"kernel": kernels[0], "bias": biases[0]},
            "write_heads": {"kernel": kernels[1], "bias": biases[1]},
        },
    }
    zeros = jnp.zeros((config["layers"], hidden), tensors["init.memory"].dtype)
    weights = tensors["init.w"]
    initial = ControlledState(
        controller_state(config, zeros, zeros),
        NTMState(tensors["init.memory"].T, weights[:reads], weights[reads:]),
        tensors["init.reads"],
    )
    values, states, kept = run(memory, params, initial, tensors)
    outputs = jnp.clip(values @ tensors["param.out.W"] + tensors["param.out.b"], -config["clip"], config["clip"])
    hidden, cell = controller_trace(config, states)
    traces = {
        "w": jnp.concatenate([states.memory.read_weights, states.memory.write_weights], 2),
        "reads": states.reads,
        "memory": jnp.swapaxes(states.memory.slots, 2, 3),
        "h": hidden,
        "c": cell,
    }
    return collect(jnp.where(kept[..., None], outputs, 0), traces)


def collect(outputs, traces):
    """Outputs, states after each step and final states under the file's names."""
    named = {f"trace.{name}": value for name, value in traces.items()}
    return {"out.y": outputs, **named, **{f"final.{name}": value[:, -1] for name, value in traces.items()}}


def primitives(tensors, tensor_order, epsilon):
    """The addressing chain stage by stage, one head, a batch of cases."""

    def chain(k, beta, g, s, gamma, w_prev, memory, erase=None, add=None):
        kernel = columns(s, tensor_order, s.shape[-1], 0)
        content = addressing.content(k[None], memory, beta, epsilon=epsilon)
        gated = addressing.interpolate(content, w_prev[None], g)
        shifted = addressing.shift(gated, kernel[None])
        sharp = addressing.sharpen(shifted, gamma, epsilon=1e-16 if epsilon == "clamped" else 0.0)[0]
        stages = {"content": content[0], "gated": gated[0], "shifted": shifted[0], "sharp": sharp}
        if erase is not None:
            stages |= {"read": sharp @ memory, "memory": edits.erase_add(memory, sharp, erase, add)}
        return stages

    names = ["k", "beta", "g", "s", "gamma", "w_prev", "memory", "erase", "add"]
    arguments = [tensors[f"input.{name}"] for name in names if f"input.{name}" in tensors]
    return {f"out.{name}": value for name, value in jax.vmap(chain)(*arguments).items()}


CONVERTERS = {"pytorch-ntm": forward_pytorch, "NTMCell-tf": forward_tf}
