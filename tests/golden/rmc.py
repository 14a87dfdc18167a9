"""Golden files of the Relational Memory Core: Sonnet 1 and the PyTorch port `L0SG/relational-rnn-pytorch`."""

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp

import diffmem
from diffmem import addressing, layers
from diffmem.base import Readout
from diffmem.memories.rmc import RMCState
from tests.golden.ntm import run


def build(cls, config, **options):
    """The memory of the file's sizes; the constants of its gates go into the parameters."""
    rows = config.get("input_rows") or 1
    return cls(
        input_size=config["input"] * rows, input_rows=rows, slots=config["slots"], heads=config["heads"],
        width=config["heads"] * config["head_size"], key_size=config["key_size"], blocks=config["blocks"],
        mlp_layers=config["mlp_layers"], gate=config["gate_style"] or "none", **options,
    )  # fmt: skip


def dense(tensors, name):
    return {"kernel": tensors[f"param.{name}.W"], "bias": tensors[f"param.{name}.b"]}


def norm(tensors, name):
    return {"scale": tensors[f"param.{name}.g"], "bias": tensors[f"param.{name}.b"]}


def blocks(config, tensors, names):
    """The parameters of every block; `names` of its number are those of its linear map and three norms in the file."""
    params = {}
    for i in range(config["blocks"]):
        qkv, *norms = names(i)
        parts = {"qkv_norm": norms[0], "attention_norm": norms[1], "mlp_norm": norms[2]}
        params[f"block_{i}"] = {"qkv": dense(tensors, qkv), **{key: norm(tensors, name) for key, name in parts.items()}}
    return params


def gates(tensors, input_bias, forget_bias):
    """The gates' parameters, with both linear maps' biases and the constants in one."""
    both = dense(tensors, "gate_in"), dense(tensors, "gate_mem")
    constants = jnp.repeat(jnp.stack([input_bias, forget_bias]), both[0]["bias"].size // 2)
    bias = both[0]["bias"] + both[1]["bias"] + constants.astype(both[0]["bias"].dtype)
    return {"gates": {"input": both[0]["kernel"], "slots": {"kernel": both[1]["kernel"], "bias": bias}}}


@dataclass(frozen=True)
class Traced:
    """A memory whose weights are its gates, [2, N, 1 or W]."""

    memory: diffmem.RMC

    @property
    def input_size(self):
        return self.memory.input_size

    def step(self, params, state, x):
        traced = ()
        if self.memory.gate != "none":
            traced = jnp.stack(self.memory._gates(params, state.slots, self.memory._project(params, x)))
        moved, readout = self.memory.step(params, state, x)
        return moved, Readout((readout.value, traced))


def outputs(memory, params, tensors):
    """Everything that a file can hold, under its names."""
    xs, initial = tensors["input.x"], tensors["init.memory"]
    flat = {**tensors, "input.x": xs.reshape(*xs.shape[:2], -1)}

    def one(initial, inputs):
        batch = {key: value[None] for key, value in {**flat, **inputs}.items() if key.startswith("input.")}
        return jax.tree.map(lambda a: a[0], run(Traced(memory), params, RMCState(initial), batch))

    inputs = {key: value for key, value in flat.items() if key.startswith("input.")}
    (values, gates), states, kept = jax.vmap(one)(initial, inputs)
    found = {
        "out.y": jnp.where(kept[..., None], values, 0),
        "trace.memory": states.slots,
        "final.memory": states.slots[:, -1],
    }
    for i, name in enumerate(("input_gate", "forget_gate") if memory.gate != "none" else ()):
        found[f"trace.{name}"] = jnp.broadcast_to(gates[:, :, i], states.slots.shape)
    return found


def forward_sonnet(config, tensors):
    """google-deepmind/sonnet 1.36: its layout of queries, keys and values within a head is ours."""
    memory = build(diffmem.RMC, config)
    last = config["mlp_layers"] - 1
    params = {
        "input": dense(tensors, "input"),
        **blocks(config, tensors, lambda i: (f"qkv{i}", f"ln_qkv{i}", f"ln1_{i}", f"ln2_{i}")),
        "mlp": {"output" if i == last else f"hidden_{i}": dense(tensors, f"mlp{i}") for i in range(last + 1)},
    }
    if memory.gate != "none":
        params |= gates(tensors, jnp.asarray(config["input_bias"]), jnp.asarray(config["forget_bias"]))
    return outputs(memory, params, tensors)


class PortRMC(diffmem.RMC):
    """The PyTorch port: norms over rows and numbers together, one linear layer for the whole MLP, a ReLU at its end."""

    def _block(self, params, mlp, rows, kept):
        both = dict.fromkeys(("reduction_axes", "feature_axes"), (-2, -1))

        def joint(params, rows):
            with jax.numpy_dtype_promotion("standard"):  # as in layers.layer_norm
                return layers.apply(nn.LayerNorm(epsilon=1e-5, parent=None, **both), params, rows)

        qkv = joint(params["qkv_norm"], layers.dense(params["qkv"], rows))
        query, key, value = jnp.split(qkv.reshape(len(rows), self.heads, -1), (self._key_size, 2 * self._key_size), -1)
        weights = addressing.attention(query, key)
        rows = rows + jnp.einsum("hnm,mhv->nhv", weights, value).reshape(rows.shape)
        rows = joint(params["attention_norm"], rows)
        hidden = rows
        for _ in range(self.mlp_layers):
            hidden = jax.nn.relu(layers.dense(mlp, hidden))
        return joint(params["mlp_norm"], rows + hidden)[:kept], weights


def forward_port(config, tensors):
    """L0SG/relational-rnn-pytorch: blocks share everything, and the constants of the gates are trained."""
    memory = build(PortRMC, config)
    params = {
        "input": dense(tensors, "input"),
        **blocks(config, tensors, lambda _: ("qkv", "ln_qkv", "ln1", "ln2")),
        "mlp": dense(tensors, "mlp"),
    }
    if memory.gate != "none":
        params |= gates(tensors, tensors["param.input_bias"], tensors["param.forget_bias"])
    return outputs(memory, params, tensors)


CONVERTERS = {"sonnet-v1.36": forward_sonnet, "L0SG-pytorch": forward_port}
