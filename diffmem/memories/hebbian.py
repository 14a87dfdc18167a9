"""Hebbian associative memory: outer products in a matrix that fades."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from diffmem import edits, layers
from diffmem.base import Array, Params, Readout, check_counts, register


class HebbianState(NamedTuple):
    """matrix [H, K, V]: one associative matrix per head."""

    matrix: Array


class HebbianElement(NamedTuple):
    """What some writes do to any matrix: A <- rate A + matrix. rate [H], matrix [H, K, V]."""

    rate: Array
    matrix: Array


@register(
    "hebbian",
    paper="Kohonen 1972, Correlation Matrix Memories",
    small=dict(input_size=5, key_size=8, value_size=6, heads=2, chunk=3),
)
@dataclass(frozen=True)
class Hebbian:
    """An associative matrix per head, written by a decayed outer product. A `ScanMemory`: it trains in parallel over time.

    Write:  A_t = rate * A_{t-1} + k_t v_t^T,  k = W_k x, v = W_v x, rate = sigmoid(decay) learned per head
    Read:   r = q^T A,  q = W_q query
    Step:   write, then read with the same x as the query.

    Args:
        input_size: length of x and of the query.
        key_size: length K of keys and queries.
        value_size: length V of values.
        heads: number of matrices.
        chunk: steps that `unroll` takes at once.

    `Readout.weights` is None: nothing is addressed by slot. `read_shape` is (heads, value_size).

    Example:
        >>> import jax, diffmem
        >>> memory = diffmem.Hebbian(input_size=5, key_size=3, value_size=7)
        >>> params = memory.init_params(jax.random.key(0))
        >>> diffmem.unroll(memory, params, None, jax.numpy.ones((4, 5)), method="parallel")[1].value.shape
        (4, 1, 7)

    Source: Kohonen 1972; the decay as in Ba et al. 2016, equation 1.

    Differences from the paper:
        - keys, values and queries are learned projections of the input, and the decay is learned.
        - queries and keys are divided by K^(1/4) each, so that the size of a read does not grow with K.
    """

    input_size: int
    key_size: int = 32
    value_size: int = 32
    heads: int = 1
    chunk: int = 32

    def __post_init__(self):
        check_counts(self, input_size=self.input_size, key_size=self.key_size)
        check_counts(self, value_size=self.value_size, heads=self.heads, chunk=self.chunk)

    @property
    def query_size(self) -> int:
        return self.input_size

    @property
    def read_shape(self) -> tuple[int, ...]:
        return (self.heads, self.value_size)

    def init_params(self, key: Array) -> Params:
        sizes = {"key": self.key_size, "value": self.value_size, "query": self.key_size}
        keys = jax.random.split(key, len(sizes))
        params = {
            name: layers.init_dense(one, self.input_size, self.heads * size)
            for one, (name, size) in zip(keys, sizes.items(), strict=True)
        }
        # Heads start with half-lives from a few steps to about a hundred.
        return {**params, "decay": jnp.linspace(2.0, 5.0, self.heads, dtype=layers.DTYPE)}

    def init_state(self, params: Params) -> HebbianState:
        return HebbianState(jnp.zeros((self.heads, self.key_size, self.value_size), layers.dtype_of(params)))

    def _project(self, params: Params, name: str, x: Array) -> Array:
        projected = layers.dense(params[name], x).reshape(self.heads, -1)
        return projected if name == "value" else projected * self.key_size**-0.25

    def write(self, params: Params, state: HebbianState, x: Array) -> HebbianState:
        rate = jax.nn.sigmoid(params["decay"])
        faded = jax.vmap(edits.decay)(state.matrix, rate)
        key, value = self._project(params, "key", x), self._project(params, "value", x)
        return HebbianState(jax.vmap(edits.outer)(faded, key, value))

    def read(self, params: Params, state: HebbianState, query: Array) -> tuple[HebbianState, Readout]:
        return state, Readout(jnp.einsum("hk,hkv->hv", self._project(params, "query", query), state.matrix))

    def step(self, params: Params, state: HebbianState, x: Array) -> tuple[HebbianState, Readout]:
        return self.read(params, self.write(params, state, x), x)

    def step_all(self, params: Params, state: HebbianState, xs: Array, starts: Array) -> tuple[HebbianState, Readout]:
        query, key, value = (jax.vmap(partial(self._project, params, name))(xs) for name in ("query", "key", "value"))
        log_rate = jax.nn.log_sigmoid(params["decay"])[:, None]
        step, segment = jnp.arange(len(xs), dtype=xs.dtype), jnp.cumsum(starts)
        # What step j wrote has faded i - j times when step i reads it, unless a sequence began in between.
        seen = (segment[:, None] == segment) & (step[:, None] >= step)
        faded = jnp.where(seen, jnp.exp(log_rate[..., None] * (step[:, None] - step)), 0)
        carried = jnp.where(segment == 0, jnp.exp(log_rate * (step + 1)), 0)
        scores = faded * jnp.einsum("ihk,jhk->hij", query, key)
        reads = jnp.einsum("hij,jhv->ihv", scores, value)
        reads += jnp.einsum("hi,ihk,hkv->ihv", carried, query, state.matrix)
        written = jnp.einsum("hj,jhk,jhv->hkv", faded[:, -1], key, value)
        return HebbianState(carried[:, -1, None, None] * state.matrix + written), Readout(reads)

    def element(self, params: Params, x: Array) -> HebbianElement:
        empty = HebbianState(jnp.zeros((self.heads, self.key_size, self.value_size), x.dtype))
        return HebbianElement(jax.nn.sigmoid(params["decay"]), self.write(params, empty, x).matrix)

    def combine(self, params: Params, a: HebbianElement, b: HebbianElement) -> HebbianElement:
        return HebbianElement(a.rate * b.rate, jax.vmap(edits.decay)(a.matrix, b.rate) + b.matrix)

    def lift(self, state: HebbianState) -> HebbianElement:
        return HebbianElement(jnp.ones(self.heads, state.matrix.dtype), state.matrix)

    def drop(self, element: HebbianElement) -> HebbianState:
        return HebbianState(element.matrix)
