"""Golden files of the matrix memories: fla's delta rule and linear attention, lmtool-fwp's layers, and feature maps."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

import diffmem
from diffmem import addressing
from diffmem.memories.delta_rule import DeltaControls
from diffmem.unroll import where


@dataclass(frozen=True)
class GivenDelta(diffmem.DeltaRule):
    """A delta rule whose x is its own controls side by side: query, key, value, gate and log rate."""

    gate_size: int = 1

    def controls(self, params, x):
        x = jnp.moveaxis(x.reshape(*x.shape[:-1], self.heads, -1), -2, 0)
        query, key, value, gate, log_rate = pieces(x, self.key_size, self.key_size, self.value_size, self.gate_size, 1)
        gate = gate[..., 0] if self.gate_size == 1 else gate
        return DeltaControls(query, key, value, gate, log_rate[..., 0] if self.decay else None)


@dataclass(frozen=True)
class GivenLinear(diffmem.LinearAttention):
    """Linear attention whose x is its own query, key and value side by side."""

    def address(self, params, name, x):
        return self.project(params, name, x)

    def project(self, params, name, x):
        x = jnp.moveaxis(x.reshape(*x.shape[:-1], self.heads, -1), -2, 0)
        return dict(zip(("query", "key", "value"), pieces(x, self.key_size, self.key_size, self.value_size), strict=True))[name]


def pieces(x, *sizes):
    """Cuts the last axis."""
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return [x[..., end - size : end] for end, size in zip(ends, sizes, strict=True)]


def given(cls, parts, **options):
    """The memory whose x is these parts [B, H, T, ..] side by side, its parameters, and the xs [B, T, ..]."""
    key, value = parts[1], parts[2]
    xs = jnp.concatenate(parts, -1)
    xs = jnp.moveaxis(xs, 1, 2).reshape(*key.shape[:1], key.shape[2], -1)
    sizes = dict(key_size=key.shape[-1], value_size=value.shape[-1], heads=key.shape[1])
    return cls(xs.shape[-1], **sizes, chunk=5, **options), {"type": jnp.zeros((), xs.dtype)}, xs


def run(memory, params, xs, state=None, starts=None, method="chunked"):
    """A batch: the last state, and the reads as [B, H, T, V]."""
    starts = jnp.zeros(xs.shape[:2], bool) if starts is None else starts.astype(bool)
    last, readout = jax.vmap(
        lambda x, s, b: diffmem.unroll(memory, params, s, x, starts=b, method=method), in_axes=(0, 0 if state else None, 0)
    )(xs, state, starts)
    return last, jnp.moveaxis(readout.value, 2, 1)


def delta(query, key, value, gate, log_rate=None, state=None, starts=None):
    """The delta rule on [B, H, T, ..]: chunked, or step by step where each component of the value has its own gate.

    Returns the last matrix [B, H, K, V], the reads [B, H, T, V], and the memory with its run's arguments.
    """
    wide = gate.ndim == 4
    rate = jnp.zeros_like(key[..., :1]) if log_rate is None else log_rate[..., None]
    parts = [query, key, value, gate if wide else gate[..., None], rate]
    options = dict(decay=log_rate is not None, gate_size=gate.shape[-1] if wide else 1)
    memory, params, xs = given(GivenDelta, parts, **options)
    state = None if state is None else diffmem.MatrixState(state)
    last, reads = run(memory, params, xs, state, starts, "scan" if wide else "chunked")
    return last.matrix, reads, (memory, params, xs, state, starts)


def forward_delta(config, tensors):
    """The naive delta rule of fla: queries are divided by sqrt(K), gates may be one per component of the value."""
    query, key, value, gate = (tensors[f"input.{name}"] for name in ("q", "k", "v", "beta"))
    last, reads, (memory, params, xs, state, starts) = delta(
        query * key.shape[-1] ** -0.5, key, value, gate, state=tensors.get("init.state"), starts=tensors.get("input.reset")
    )

    def step(state, inputs):
        x, start = inputs
        state = memory.write(params, where(start, memory.init_state(params), state), x)
        return state, state.matrix

    state = diffmem.MatrixState(jnp.zeros_like(last)) if state is None else state
    starts = jnp.zeros(xs.shape[:2], bool) if starts is None else starts
    states = jax.vmap(lambda s, *inputs: jax.lax.scan(step, s, inputs)[1])(state, xs, starts)  # step by step, beside the chunks
    return {"out.o": reads, "final.state": last, "trace.state": jnp.moveaxis(states, 1, 2)}


def forward_gated(config, tensors):
    """The naive gated delta rule of fla: time before heads."""
    query, key, value, gate, log_rate = (jnp.moveaxis(tensors[f"input.{name}"], 1, 2) for name in ("q", "k", "v", "beta", "g"))
    last, reads, _ = delta(
        query * key.shape[-1] ** -0.5, key, value, gate, log_rate, tensors.get("init.state"), tensors.get("input.reset")
    )
    return {"out.o": jnp.moveaxis(reads, 1, 2), "final.state": last}


def linear(query, key, value, epsilon=None):
    """Linear attention on [B, H, T, ..], with a normaliser if there is an epsilon: the last state and the reads."""
    options = dict(normalise=False) if epsilon is None else dict(epsilon=epsilon)
    return run(*given(GivenLinear, [query, key, value], feature_map="elu", **options))


def forward_linear(config, tensors):
    """The naive linear attention of fla, whose keys and queries are features already."""
    query, key, value = (jnp.moveaxis(tensors[f"input.{name}"], 1, 2) for name in ("q", "k", "v"))
    last, reads = linear(query * key.shape[-1] ** -0.5, key, value, 1e-10 if config["normalize"] else None)
    outputs = {"out.o": jnp.moveaxis(reads, 1, 2), "final.state": last.matrix}
    return {**outputs, "final.z": last.normaliser[:, None]} if config["normalize"] else outputs


def forward_layer(config, tensors):
    """lmtool-fwp's layers: one projection for q | k | v | beta of each head, the memory, and a residual with layer norm."""
    kind, size, heads = config["reference"], config["d_head"], config["heads"]
    x = tensors["input.x"]

    def norm(h):
        h = (h - h.mean(-1, keepdims=True)) * jax.lax.rsqrt(h.var(-1, keepdims=True) + 1e-5)
        return h * tensors["param.ln.g"] + tensors["param.ln.b"]

    h = norm(x) if config["pre_lnorm"] else x
    projected = jnp.moveaxis((h @ tensors["param.qkvb.W"]).reshape(*x.shape[:2], heads, -1), 2, 1)
    query, key, value, gate = pieces(projected, size, size, size, projected.shape[-1] - 3 * size)
    adds = kind == "CudaFastWeightSumLinearTransformerLayer"
    if "n_roll" in config:
        query, key = (addressing.features(a, "dpfp", config["n_roll"]) for a in (query, key))
    else:
        query, key = addressing.features(query, "elu"), addressing.features(key, "elu")
    if not adds or config.get("use_sum_norm"):
        query, key = addressing.share(query), addressing.share(key)
    sums = jnp.cumsum(key, 2)
    if adds:
        epsilon = None if config["skip_attn_normalization"] else 1e-5
        last, reads = linear(query, key, value, epsilon)
        last = last.matrix
    else:
        gate = jax.nn.sigmoid(gate[..., 0])
        if kind == "CudaNormFastWeightLinearTransformerLayer":
            before = jnp.sum(sums[:, :, :-1] * key[:, :, 1:], -1)
            before = jnp.concatenate([jnp.ones_like(gate[:, :, :1]), before], -1)
            gate, key = gate * before, key / (before[..., None] + 1e-5)
        last, reads, _ = delta(query, key, value, gate)
        if not config["skip_attn_normalization"]:
            reads = reads / (jnp.sum(sums * query, -1, keepdims=True) + 1e-5)
    joined = jnp.moveaxis(reads * size**-0.5, 1, 2).reshape(*x.shape[:2], -1) @ tensors["param.o.W"]
    return {"out.y": h + joined if config["pre_lnorm"] else norm(h + joined), "final.W": last}


def forward_features(config, tensors):
    """The feature maps; fla's DPFP has -relu(x) for relu(-x), which the features of [x, -x] differ from by signs."""
    x = tensors["input.x"]
    positive = addressing.elu1(x)
    outputs = {
        "out.elu1": positive,
        "out.elu1_sumnorm": addressing.share(positive),
        "out.elu1_sumnorm_eps": addressing.share(positive, 1e-5),
    }
    y = jnp.concatenate([jax.nn.relu(x), -jax.nn.relu(x)], -1)
    for rolls in config["nus"]:
        outputs[f"out.dpfp_{rolls}"] = addressing.dpfp(x, rolls)
        outputs[f"out.fla_dpfp_{rolls}"] = jnp.concatenate([y * jnp.roll(y, i, -1) for i in range(1, rolls + 1)], -1)
    return outputs


CONVERTERS = {
    "fla-delta-rule": forward_delta,
    "fla-segments": forward_delta,
    "fla-gated-delta-rule": forward_gated,
    "fla-linear-attention": forward_linear,
    "CudaFastWeightDPFPTransformerLayer": forward_layer,
    "CudaFastWeightLinearTransformerLayer": forward_layer,
    "CudaNormFastWeightLinearTransformerLayer": forward_layer,
    "CudaFastWeightSumLinearTransformerLayer": forward_layer,
    "feature maps": forward_features,
}
