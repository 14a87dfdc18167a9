"""Flax layers as pure functions: parameters in, arrays out, no module to hold.

Layers are made with parent=None, so that a memory also works inside a method of a Flax module, which would adopt them.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffmem import addressing
from diffmem.base import Array, Params, check_choice

# What fresh parameters are made of, also where 64-bit numbers are switched on, as in Flax. Cast them to have another type.
DTYPE = jnp.float32


def init(layer: nn.Module, key: Array, *shapes: tuple[int, ...]) -> Params:
    """The layer's parameters for inputs of these shapes."""
    return layer.init(key, *(jnp.zeros(shape, DTYPE) for shape in shapes))["params"]


def apply(layer: nn.Module, params: Params, *inputs):
    """The layer's output."""
    return layer.apply({"params": params}, *inputs)


def init_dense(key: Array, inputs: int, outputs: int) -> Params:
    """{"kernel": [inputs, outputs], "bias": [outputs]}, initialised as `flax.linen.Dense` does."""
    return init(nn.Dense(outputs, parent=None), key, (inputs,))


def dense(params: Params, x: Array) -> Array:
    """The affine map x @ kernel + bias, by `flax.linen.Dense`.

    Raises:
        ValueError: rows of another length than the kernel takes.
    """
    if jnp.shape(x)[-1:] != params["kernel"].shape[:1]:
        raise ValueError(f"x has shape {list(jnp.shape(x))}; these parameters take rows of {params['kernel'].shape[0]} numbers")
    return apply(nn.Dense(params["kernel"].shape[-1], parent=None), params, x)


def by_head(params: Params, x: Array, heads: int) -> Array:
    """What a dense layer says to each head about one x [inputs]: [heads, numbers].

    Raises:
        ValueError: x is no vector, or of another length.
    """
    if jnp.ndim(x) != 1:
        hint = ": a memory takes one vector at a step; for a batch, wrap the call in jax.vmap"
        raise ValueError(f"x has shape {list(jnp.shape(x))}; it must be [{params['kernel'].shape[0]}]{hint}")
    return dense(params, x).reshape(heads, -1)


def init_mlp(key: Array, sizes: tuple[int, ...]) -> Params:
    """Dense layers between these sizes: "hidden_0", "hidden_1", .. and "output"."""
    names = [*(f"hidden_{i}" for i in range(len(sizes) - 2)), "output"]
    keys = jax.random.split(key, len(names)) if len(names) > 1 else [key]
    return {name: init_dense(one, a, b) for name, one, a, b in zip(names, keys, sizes[:-1], sizes[1:], strict=True)}


def mlp(params: Params, x: Array) -> Array:
    """The layers of `init_mlp`, with a ReLU between them; other parameters in the dict are left alone."""
    for i in range(sum(name.startswith("hidden_") for name in params)):
        x = jax.nn.relu(dense(params[f"hidden_{i}"], x))
    return dense(params["output"], x)


def init_layer_norm(size: int) -> Params:
    """{"scale": ones [size], "bias": zeros [size]}, as `flax.linen.LayerNorm` starts."""
    return {"scale": jnp.ones(size, DTYPE), "bias": jnp.zeros(size, DTYPE)}


def layer_norm(params: Params, x: Array, epsilon: float = 1e-5) -> Array:
    """Rows of x [*shape, size] with mean 0 and variance 1 (plus epsilon), scaled and moved: `flax.linen.LayerNorm`."""
    # Flax takes the statistics of short types in float32: a mixture that it means.
    with jax.numpy_dtype_promotion("standard"):
        return apply(nn.LayerNorm(epsilon, parent=None), params, x)


def init_attention(key: Array, size: int, others: int | None = None) -> Params:
    """{"query", "key", "value"}: dense layers for `attend`, from rows of this size and other rows (None: of the same size)."""
    query, keys, values = jax.random.split(key, 3)
    others = size if others is None else others
    # A bias of the keys would add the same to all logits of a row.
    only_kernel = {"kernel": init_dense(keys, others, size)["kernel"]}
    return {"query": init_dense(query, size, size), "key": only_kernel, "value": init_dense(values, others, size)}


def attend(params: Params, rows: Array, others: Array, heads: int, mask: Array | None = None) -> tuple[Array, Array]:
    """Attention of rows [R, W] to others [N, D] by heads: softmax(q k^T / sqrt(W / heads)) v.

    Args:
        params: from `init_attention`.
        rows: who asks.
        others: who answers.
        heads: a divisor of W.
        mask: [N] or [R, N] bool, who takes part; where nobody does, the value and the weights are 0.

    Returns:
        The values [R, W] and the weights [heads, R, N].
    """
    split = lambda a: a.reshape(len(a), heads, -1)  # noqa: E731
    weights = addressing.attention(split(dense(params["query"], rows)), split(others @ params["key"]["kernel"]), mask)
    value = jnp.einsum("hrn,nhk->rhk", weights, split(dense(params["value"], others)))
    return value.reshape(rows.shape[0], -1), weights


def dtype_of(params: Params):
    """The type of the parameters' arrays: states start in it, so that a cast of the parameters casts everything.

    Raises:
        ValueError: there are no arrays.
    """
    leaves = jax.tree.leaves(params)
    if not leaves:
        raise ValueError(f"params is {params!r}, without any array; it is what init_params(key) of this memory returns")
    return leaves[0].dtype


def numbers(x: Array, like: Array) -> Array:
    """Integers and booleans in the type of other numbers; what is in floating point stays as it is."""
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(like.dtype)


def size_of(shape: tuple[int, ...]) -> int:
    """How many numbers an array of this shape holds."""
    return math.prod(shape)


def init_gru(key: Array, inputs: int, size: int) -> Params:
    """The parameters of a `flax.linen.GRUCell`."""
    return init(nn.GRUCell(size, parent=None), key, (size,), (inputs,))


def gru(
    params: Params,
    xs: Array,
    state: Array | None = None,
    *,
    mask: Array | None = None,
    gates: Array | None = None,
    reverse: bool = False,
) -> Array:
    """Runs a GRU over xs [T, D] and returns all hidden states [T, H].

    Args:
        params: of a `flax.linen.GRUCell`, {"ir", "iz", "in", "hr", "hz", "hn"}. Without "iz" and "hz" the cell has no update
            gate, which `gates` stands in for: the attention GRU of DMN+.
        xs: inputs.
        state: [H] before the first step; zero if None.
        mask: [T] bool; where it is False the state stays as it is.
        gates: [T]: h <- gate * new + (1 - gate) * h.
        reverse: from the last x to the first.
    """
    size = params["hn"]["kernel"].shape[-1]

    def attention_cell(h, x):
        reset = jax.nn.sigmoid(dense(params["ir"], x) + h @ params["hr"]["kernel"])
        return jnp.tanh(dense(params["in"], x) + reset * dense(params["hn"], h))

    def step(h, inputs):
        x, keep, gate = inputs
        new = apply(nn.GRUCell(size, parent=None), params, h, x)[0] if "iz" in params else attention_cell(h, x)
        new = new if gate is None else gate * new + (1 - gate) * h
        new = new if keep is None else jnp.where(keep, new, h)
        return new, new

    state = jnp.zeros(size, params["hn"]["kernel"].dtype) if state is None else state
    return jax.lax.scan(step, state, (xs, mask, gates), reverse=reverse)[1]


def embed_bags(tables: Array, x: Array, encoding: str, kind: str = "memn2n") -> Array:
    """Embeds sentences that are bags of words.

    Args:
        tables: [*tables, V, W], word embeddings.
        x: [*shape, V] for encoding="bag"; [*shape, 2 V], two bags, for encoding="position": see
            `addressing.position_factors`.
        encoding: which of the two.
        kind: which position encoding.

    Returns:
        [*shape, *tables, W].
    """
    x = numbers(jnp.asarray(x), tables)  # counts of words
    if encoding == "bag":
        return jnp.tensordot(x, tables, (-1, -2))
    plain, placed = jnp.split(x, 2, axis=-1)
    features = addressing.position_factors(1, tables.shape[-1], kind)[1].astype(x.dtype)
    return jnp.tensordot(plain, tables, (-1, -2)) + features * jnp.tensordot(placed, tables, (-1, -2))


def check_encoding(config) -> None:
    """Raises ValueError unless config.encoding is known and config.input_size fits it."""
    check_choice(config, "encoding", ("position", "bag"))
    if config.encoding == "position" and config.input_size % 2:
        raise ValueError(
            f"{type(config).__name__}.input_size is {config.input_size}; with encoding='position' it is two bags of words "
            "side by side: an even number"
        )


def vocabulary_size(config) -> int:
    """How many words a memory with `encoding` and `input_size` knows."""
    return config.input_size // 2 if config.encoding == "position" else config.input_size
