"""Fast weights: a recurrent net whose hidden state attends to its own recent past through a matrix that fades."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from diffmem import edits, layers
from diffmem.base import Array, Params, Readout, check_choice, check_counts, check_heads, check_number, register
from diffmem.unroll import where

KEYS = ("previous", "preliminary")


class FastWeightsState(NamedTuple):
    """hidden [H] and matrix [heads, K, K], the fast weights A that the last step used; K = H / heads."""

    hidden: Array
    matrix: Array


@register(
    "fast_weights",
    paper="Ba et al. 2016, Using Fast Weights to Attend to the Recent Past",
    small=dict(input_size=5, hidden_size=8, heads=2, inner_steps=3, chunk=6),
)
@dataclass(frozen=True)
class FastWeights:
    """A recurrent net with fast weights. A `ChunkMemory`: a chunk of steps needs no matrix per step.

    A_t     = lambda A_{t-1} + eta h_{t-1} h_{t-1}^T
    b       = W h_{t-1} + C x_t                     (the boundary term, the same in every inner step)
    h^0     = relu(b);  h^{s+1} = relu(LN(b + A_t h^s));  h_t = h^S
    Step:   all of that; h_t is what is read, and `read` ignores its query.

    Since A_t is a sum of outer products of former hidden states, A_t h = eta sum_j lambda^(t-1-j) h_j (h_j . h): attention to
    the recent past. `unroll` uses that form within a chunk, which spares it a matrix for each step.

    Args:
        input_size: length of x.
        hidden_size: length H of h.
        heads: matrices, each over its own H / heads units; 1 is the paper.
        decay: lambda, what is left of the fast weights after a step, 0 to 1.
        learning_rate: eta, how much of the newest association enters; more than 0.
        inner_steps: S, how often the state settles within a step.
        key: which state enters A_t. "previous": h_{t-1}, the paper. "preliminary": h^0 of the same step, which then also
            stands for h_{t-1} in the boundary term of the inner steps, as in published ports.
        epsilon: of the layer norm, inside the square root.
        chunk: steps that `unroll` takes at once.

    `Readout.weights` is None. `read_shape` is (hidden_size,).

    Raises:
        ValueError: a count below 1, heads that do not divide hidden_size, an unknown key, or a decay, learning_rate or epsilon
            out of range.

    Example:
        >>> import jax, diffmem
        >>> memory = diffmem.FastWeights(input_size=37, hidden_size=50)
        >>> params = memory.init_params(jax.random.key(0))
        >>> diffmem.unroll(memory, params, None, jax.numpy.ones((11, 37)))[1].value.shape
        (11, 50)

    Source: Ba et al. 2016, equations 1 and 2, and section 3.2 for the layer norm.

    Differences from the paper:
        - heads, which make A block-diagonal.
        - the paper gives no epsilon for the layer norm; here it is 1e-5.
    """

    input_size: int
    hidden_size: int = 50
    heads: int = 1
    decay: float = 0.95
    learning_rate: float = 0.5
    inner_steps: int = 1
    key: Literal["previous", "preliminary"] = "previous"
    epsilon: float = 1e-5
    chunk: int = 16

    def __post_init__(self):
        check_counts(self, input_size=self.input_size, hidden_size=self.hidden_size, heads=self.heads)
        check_counts(self, inner_steps=self.inner_steps, chunk=self.chunk)
        check_choice(self, "key", KEYS)
        check_heads(self, "hidden_size")
        check_number(self, "decay", "a number from 0 to 1", lambda decay: 0 <= decay <= 1)
        check_number(self, "learning_rate", "a finite number > 0", lambda rate: 0 < rate < math.inf)
        check_number(self, "epsilon", "a finite number >= 0", lambda epsilon: 0 <= epsilon < math.inf)

    @property
    def query_size(self) -> int:
        return 0

    @property
    def read_shape(self) -> tuple[int, ...]:
        return (self.hidden_size,)

    def init_params(self, key: Array) -> Params:
        return {
            "input": layers.init_dense(key, self.input_size, self.hidden_size),
            # A small identity, as in the paper: the net starts as one that forgets quickly and mixes nothing.
            "hidden": {"kernel": 0.05 * jnp.eye(self.hidden_size, dtype=layers.DTYPE)},
            "norm": layers.init_layer_norm(self.hidden_size),
        }

    def init_state(self, params: Params) -> FastWeightsState:
        dtype, size = layers.dtype_of(params), self.hidden_size // self.heads
        return FastWeightsState(jnp.zeros(self.hidden_size, dtype), jnp.zeros((self.heads, size, size), dtype))

    def _begin(self, params: Params, hidden: Array, x: Array) -> tuple[Array, Array, Array]:
        """h^0, the boundary term, and the key that is to be associated with itself, [heads, K]."""
        driven = layers.dense(params["input"], x)
        boundary = driven + hidden @ params["hidden"]["kernel"]
        first = jax.nn.relu(boundary)
        if self.key == "preliminary":
            hidden, boundary = first, driven + first @ params["hidden"]["kernel"]
        return first, boundary, hidden.reshape(self.heads, -1)

    def _settle(self, params: Params, hidden: Array, boundary: Array, recall: Callable[[Array], Array]) -> Array:
        """The inner steps; recall maps h [heads, K] to A h."""
        for _ in range(self.inner_steps):
            recalled = recall(hidden.reshape(self.heads, -1)).ravel()
            hidden = jax.nn.relu(layers.layer_norm(params["norm"], boundary + recalled, self.epsilon))
        return hidden

    def write(self, params: Params, state: FastWeightsState, x: Array) -> FastWeightsState:
        first, boundary, key = self._begin(params, state.hidden, x)
        faded = edits.decay(state.matrix, jnp.asarray(self.decay, key.dtype))
        matrix = jax.vmap(edits.outer)(faded, self.learning_rate * key, key)
        hidden = self._settle(params, first, boundary, lambda h: jnp.einsum("hk,hkv->hv", h, matrix))
        return FastWeightsState(hidden, matrix)

    def read(self, params: Params, state: FastWeightsState, query: Array | None = None) -> tuple[FastWeightsState, Readout]:
        return state, Readout(state.hidden)

    def step(self, params: Params, state: FastWeightsState, x: Array) -> tuple[FastWeightsState, Readout]:
        return self.read(params, self.write(params, state, x))

    def step_all(self, params: Params, state: FastWeightsState, xs: Array, starts: Array) -> tuple[FastWeightsState, Readout]:
        initial, step, dtype = self.init_state(params), jnp.arange(len(xs)), state.matrix.dtype
        segment, decay = jnp.cumsum(starts), jnp.asarray(self.decay, dtype)
        # What step j associated has faded i - j times when step i recalls it, unless a sequence began in between.
        seen = (segment[:, None] == segment) & (step[:, None] >= step)
        age = jnp.where(seen, step[:, None] - step, 0).astype(dtype)
        faded = jnp.where(seen, self.learning_rate * decay**age, 0)
        carried = jnp.where(segment == 0, decay ** (step + 1).astype(dtype), 0)

        def advance(carry, inputs):
            hidden, keys = carry
            x, start, here, faded, carried = inputs
            first, boundary, key = self._begin(params, where(start, initial.hidden, hidden), x)
            keys = keys.at[here].set(key)

            def recall(h):
                scores = faded[:, None] * jnp.einsum("hk,jhk->jh", h, keys)
                return jnp.einsum("jh,jhk->hk", scores, keys) + carried * jnp.einsum("hk,hkv->hv", h, state.matrix)

            hidden = self._settle(params, first, boundary, recall)
            return (hidden, keys), hidden

        empty = jnp.zeros((len(xs), *state.matrix.shape[:2]), dtype)
        (hidden, keys), reads = jax.lax.scan(advance, (state.hidden, empty), (xs, starts, step, faded, carried))
        matrix = carried[-1] * state.matrix + jnp.einsum("j,jhk,jhv->hkv", faded[-1], keys, keys)
        return FastWeightsState(hidden, matrix), Readout(reads)
