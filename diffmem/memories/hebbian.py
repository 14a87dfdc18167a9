"""Hebbian associative memory: outer products in a matrix that fades."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from diffmem import edits
from diffmem.base import Array, Params, Readout, register
from diffmem.matrix import AddingMemory, MatrixState, add_chunk


@register(
    "hebbian",
    paper="Kohonen 1972, Correlation Matrix Memories",
    small=dict(input_size=5, key_size=8, value_size=6, heads=2, chunk=3),
)
@dataclass(frozen=True)
class Hebbian(AddingMemory):
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

    def init_params(self, key: Array) -> Params:
        return {**super().init_params(key), "decay": self.init_decay()}

    def _scaled(self, params: Params, name: str, x: Array) -> Array:
        """Keys or queries of x [D] or of xs [L, D]."""
        return self.project(params, name, x) * self.key_size**-0.25

    def write(self, params: Params, state: MatrixState, x: Array) -> MatrixState:
        matrix = self.faded(params, state).matrix
        return MatrixState(jax.vmap(edits.outer)(matrix, self._scaled(params, "key", x), self.project(params, "value", x)))

    def read(self, params: Params, state: MatrixState, query: Array) -> tuple[MatrixState, Readout]:
        return state, Readout(jnp.einsum("hk,hkv->hv", self._scaled(params, "query", query), state.matrix))

    def step_all(self, params: Params, state: MatrixState, xs: Array, starts: Array) -> tuple[MatrixState, Readout]:
        query, key = self._scaled(params, "query", xs), self._scaled(params, "key", xs)
        value = self.project(params, "value", xs)
        matrix, reads = add_chunk(state.matrix, query, key, value, self.fading(params, starts))
        return MatrixState(matrix), Readout(reads.swapaxes(0, 1))
