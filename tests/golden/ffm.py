"""Golden files of Fast and Forgetful Memory: the authors' JAX and PyTorch versions, whole models and the recurrence alone.

Complex tensors arrive as real ones with [real, imaginary] in a last axis. The file's traces are [M, C], ours [C, M].
"""

import math

import jax
import jax.numpy as jnp

import diffmem
from diffmem.diagonal import DiagonalState, scan_trace
from diffmem.memories.ffm import DOUBLE_LIMIT
from tests.golden.ntm import Recorded


def to_state(complex_trace):
    """[.., M, C, 2] -> the library's state."""
    return DiagonalState(*(jnp.swapaxes(complex_trace[..., i], -1, -2) for i in range(2)))


def from_state(state):
    """The library's state -> [.., M, C, 2]."""
    return jnp.stack([jnp.swapaxes(part, -1, -2) for part in state], -1)


def side_by_side(tensors, *names):
    """One dense layer from several."""
    kernel, bias = (jnp.concatenate([tensors[f"param.{name}.{part}"] for name in names], -1) for part in ("W", "b"))
    return {"kernel": kernel, "bias": bias}


def mix(tensors, config, axes):
    """The features' order in the file, given by its axes M, C and (re, im), becomes (re, im), C, M."""
    sizes = {"M": config["memory_size"], "C": config["context_size"], "2": 2}
    kernel = tensors["param.mix.W"].reshape(*(sizes[axis] for axis in axes), -1)
    kernel = kernel.transpose(*(axes.index(axis) for axis in "2CM"), 3)
    return {"kernel": kernel.reshape(-1, kernel.shape[-1]), "bias": tensors["param.mix.b"]}


def run(config, tensors, params, **options):
    """The whole model: outputs in chunks where no step is masked, states step by step."""
    sizes = dict(trace_size=config["memory_size"], context_size=config["context_size"])
    memory = diffmem.FFM(config["input"], config["output"], chunk=5, **sizes, **options)
    params = {**params, "alpha": -tensors["param.a"], "omega": tensors["param.b"]}
    xs = tensors["input.x"]
    starts = tensors.get("input.done", tensors.get("input.reset", jnp.zeros(xs.shape[:2]))).astype(bool)
    mask = tensors.get("input.mask", jnp.ones(xs.shape[:2])).astype(bool)
    recorded = {"memory": params, "initial": memory.init_state(params)}

    def one(state, xs, starts, mask):
        noted = jnp.concatenate([xs, mask[:, None].astype(xs.dtype)], -1)
        _, (values, (states, _)) = diffmem.unroll(Recorded(memory), recorded, state, noted, starts=starts)
        if "input.mask" in tensors:
            return jnp.where(mask[:, None], values, 0), states, jax.tree.map(lambda a: a[-1], states)
        last, readout = diffmem.unroll(memory, params, state, xs, starts=starts, method="chunked")
        return readout.value, states, last

    values, states, last = jax.vmap(one)(to_state(tensors["init.state"]), xs, starts, mask)
    return {"out.y": values, "trace.state": from_state(states), "final.state": from_state(last)}


def forward_jax(config, tensors):
    """LN(z * gate), decay at least 1e-6, features (M, (re, im), C)."""
    params = {
        "write": side_by_side(tensors, "pre", "gate_in"),
        "read": side_by_side(tensors, "skip", "gate_out"),
        "mix": mix(tensors, config, "M2C"),
    }
    return run(config, tensors, params, order="gate_norm", decay_limits=(1e-6, math.inf))


def forward_torch(config, tensors):
    """LN(z) * gate, decay from 1e-8 to the limit, features (M, C, (re, im)), one layer for y, thru, in_gate and out_gate."""
    traces, outputs = config["memory_size"], config["output"]
    cuts = [traces, traces + outputs, 2 * traces + outputs]
    for part in ("W", "b"):
        names = zip(("y", "thru", "in_gate", "out_gate"), jnp.split(tensors[f"param.pre.{part}"], cuts, -1), strict=True)
        tensors = {**tensors, **{f"param.{name}.{part}": value for name, value in names}}
    params = {
        "write": side_by_side(tensors, "y", "in_gate"),
        "read": side_by_side(tensors, "thru", "out_gate"),
        "mix": mix(tensors, config, "MC2"),
    }
    return run(config, tensors, params, order="norm_gate", decay_limits=(1e-8, DOUBLE_LIMIT))


def primitive(config, tensors, init, limits):
    """The recurrence alone, and where alpha and omega start."""
    sizes = dict(trace_size=config["memory_size"], context_size=config["context_size"])
    memory = diffmem.FFM(1, 1, **sizes, init=init, decay_limits=limits)
    gamma = memory._powers({"alpha": -tensors["param.a"], "omega": tensors["param.b"]}, 1)
    us, state = tensors["input.u"], to_state(tensors["input.state"])
    starts = tensors.get("input.done", jnp.zeros(us.shape[:2])).astype(bool)
    zeros = jax.tree.map(lambda a: jnp.zeros_like(a[0]), state)

    def trace(us, state, starts):
        return scan_trace(gamma, (us[:, None], None), state, zeros, starts)

    states = jax.vmap(trace)(us, state, starts)
    alpha, omega = memory.init_rates()
    return {"out.state": from_state(states), "out.default_a": -alpha, "out.default_b": omega}


CONVERTERS = {
    "ffm-jax": forward_jax,
    "ffm-torch": forward_torch,
    "ffa-jax": lambda config, tensors: primitive(config, tensors, "jax", (1e-6, math.inf)),
    "ffa-torch": lambda config, tensors: primitive(config, tensors, "torch", (1e-8, config["limit"])),
}
