"""Matrices from keys to values: the base of the memories that write outer products, and their steps a chunk at a time.

In a chunk of L steps the head axis comes first: keys [H, L, K], values [H, L, V], so that all products are batches of
matrix products. Taken alone, as in `write`, a step has keys [H, K] and values [H, V].
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from diffmem import edits, fused, layers
from diffmem.base import Array, Params, Readout, check_counts


class MatrixState(NamedTuple):
    """matrix [H, K, V]: one associative matrix per head."""

    matrix: Array


@dataclass(frozen=True)
class MatrixMemory:
    """An associative matrix per head, read by a query: r = q^T A. `write` is left to the memory that derives from this one."""

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

    @property
    def matrix_shape(self) -> tuple[int, ...]:
        """[H, K, V], where K counts the features of a key."""
        return (self.heads, self.key_size, self.value_size)

    def init_params(self, key: Array) -> Params:
        sizes = {"key": self.key_size, "value": self.value_size, "query": self.key_size}
        keys = jax.random.split(key, len(sizes))
        return {
            name: layers.init_dense(one, self.input_size, self.heads * size)
            for one, (name, size) in zip(keys, sizes.items(), strict=True)
        }

    def init_state(self, params: Params) -> Any:
        return MatrixState(jnp.zeros(self.matrix_shape, layers.dtype_of(params)))

    def project(self, params: Params, name: str, x: Array) -> Array:
        """One of the projections: of x [D] as [H, S], of xs [L, D] as [H, L, S]."""
        weights = params[name]
        flat = layers.dense(weights, x) if jnp.ndim(x) == 1 else fused.project(weights["kernel"], x) + weights["bias"]
        return jnp.moveaxis(flat.reshape(*x.shape[:-1], self.heads, -1), -2, 0)

    def write(self, params: Params, state: Any, x: Array) -> Any:
        raise NotImplementedError

    def read(self, params: Params, state: Any, query: Array) -> tuple[Any, Readout]:
        raise NotImplementedError

    def step(self, params: Params, state: Any, x: Array) -> tuple[Any, Readout]:
        """Writes x, then reads with x as the query."""
        return self.read(params, self.write(params, state, x), x)


class Added(NamedTuple):
    """What some writes do to any state: state <- rate state + added. rate [H]; added is like a state."""

    rate: Array
    added: Any


class AddingMemory(MatrixMemory):
    """A matrix memory whose writes add to a state that fades, which makes it a `ScanMemory`.

    Each head has one learned rate, sigmoid(decay), if there is "decay" [H] among the parameters; else nothing fades.
    """

    def init_decay(self) -> Array:
        """Half-lives from a few steps to about a hundred."""
        return jnp.linspace(2.0, 5.0, self.heads, dtype=layers.DTYPE)

    def faded(self, params: Params, state: Any) -> Any:
        """The state before the next write adds to it."""
        if "decay" not in params:
            return state
        return jax.tree.map(lambda a: jax.vmap(edits.decay)(a, jax.nn.sigmoid(params["decay"])), state)

    def fading(self, params: Params, starts: Array) -> "Fading":
        """How a chunk fades; see the function of this name."""
        if "decay" not in params:
            return fading(starts, None, layers.dtype_of(params))
        log_rates = jax.nn.log_sigmoid(params["decay"])[:, None]
        return fading(starts, jnp.broadcast_to(log_rates, (self.heads, len(starts))), log_rates.dtype)

    def element(self, params: Params, x: Array) -> Added:
        rate = jax.nn.sigmoid(params["decay"]) if "decay" in params else jnp.ones(self.heads, x.dtype)
        return Added(rate, self.write(params, self.init_state(params), x))

    def combine(self, params: Params, a: Added, b: Added) -> Added:
        added = jax.tree.map(lambda old, new: jax.vmap(edits.decay)(old, b.rate) + new, a.added, b.added)
        return Added(a.rate * b.rate, added)

    def lift(self, state: Any) -> Added:
        return Added(jnp.ones(self.heads, state.matrix.dtype), state)

    def drop(self, element: Added) -> Any:
        return element.added


class Fading(NamedTuple):
    """What is left after some steps of a chunk; the head axis is 1 where all heads are alike.

    within: [H, L, L], at step i of what step j wrote: the product of the rates of the steps j+1..i; 0 for j > i and
        where a sequence began in between.
    carried: [H, L], at step i of the state before the chunk.
    """

    within: Array
    carried: Array


def fading(starts: Array, log_rates: Array | None, dtype) -> Fading:
    """How what is written in a chunk fades.

    Args:
        starts: [L] bool, where a sequence begins.
        log_rates: [H, L], the logarithm of the rate that step i multiplies the state by; None: nothing fades.
        dtype: of the result.
    """
    step, segment = jnp.arange(len(starts)), jnp.cumsum(starts)
    seen = (segment[:, None] == segment) & (step[:, None] >= step)
    if log_rates is None:
        return Fading(seen.astype(dtype)[None], (segment == 0).astype(dtype)[None])
    # A sum of its own for every pair of steps: in a difference of two sums over the chunk, a rate near 0 would drown
    # all that comes after it.
    between = jnp.cumsum(jnp.where(step[:, None] > step, log_rates[..., None], 0), -2)
    within = jnp.where(seen, jnp.exp(between), 0)
    return Fading(within, jnp.where(segment == 0, jnp.exp(jnp.cumsum(log_rates, -1)), 0))


def add_chunk(matrix: Array, query: Array, key: Array, value: Array, fade: Fading) -> tuple[Array, Array]:
    """L steps of A <- rate A + k v^T, each followed by a read q^T A.

    Args:
        matrix: [H, K, V] before.
        query: [H, L, K].
        key: [H, L, K].
        value: [H, L, V].
        fade: from `fading`.

    Returns:
        The matrix after, and the reads [H, L, V].
    """
    scores = fade.within * (query @ key.mT)
    reads = scores @ value + fade.carried[..., None] * (query @ matrix)
    return fade.carried[:, -1, None, None] * matrix + (fade.within[:, -1, :, None] * key).mT @ value, reads
