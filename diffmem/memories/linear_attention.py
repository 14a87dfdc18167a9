"""Linear attention: a matrix that sums outer products, and a running normaliser."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from diffmem import addressing, edits, layers
from diffmem.base import Array, Params, Readout, check_number, register
from diffmem.matrix import AddingMemory, add_chunk


class LinearAttentionState(NamedTuple):
    """matrix [H, K, V], one per head; normaliser [H, K], the sum of the keys, or None without `normalise`."""

    matrix: Array
    normaliser: Array | None


@register(
    "linear_attention",
    paper="Katharopoulos et al. 2020, Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention",
    small=dict(input_size=5, key_size=8, value_size=6, heads=2, chunk=3),
)
@dataclass(frozen=True)
class LinearAttention(AddingMemory):
    """Attention without a softmax, as a recurrence. A `ScanMemory` and a `ChunkMemory`: it trains in parallel over time.

    Write:  A_t = rate A_{t-1} + k_t v_t^T,  z_t = rate z_{t-1} + k_t
            k = phi(W_k x),  v = W_v x,  rate = sigmoid(decay) learned per head with `decay`, else 1
    Read:   r = q^T A / (q . z + epsilon),  q = phi(W_q query);  without `normalise` r = q^T A / sqrt(K)
    Step:   write, then read with the same x as the query.

    K is the number of features that phi makes of a key.

    Args:
        input_size: length of x and of the query.
        key_size: length of keys and queries, before the feature map.
        value_size: length V of values.
        heads: number of matrices.
        chunk: steps that `unroll` takes at once.
        feature_map: phi, "identity", "elu" or "dpfp"; see `addressing.features`.
        rolls: nu of "dpfp": keys have 2 nu key_size features.
        normalise: divide what is read by the sum of its weights.
        epsilon: added to that sum. With "dpfp" it can be zero, where nothing stored is like the query: a read is 0 there.
        decay: matrix and normaliser fade at a learned rate.

    Raises:
        ValueError: a size below 1, an unknown choice, too many rolls, an epsilon that is not positive, or `normalise` with a
            feature map that can be negative.

    `Readout.weights` is None: nothing is addressed by slot. `read_shape` is (heads, value_size).

    Example:
        >>> import jax, diffmem
        >>> memory = diffmem.LinearAttention(input_size=5, key_size=3, value_size=7, feature_map="dpfp")
        >>> params = memory.init_params(jax.random.key(0))
        >>> state, readout = diffmem.unroll(memory, params, None, jax.numpy.ones((4, 5)), method="parallel")
        >>> state.normaliser.shape, readout.value.shape
        ((1, 6), (4, 1, 7))

    Source: Katharopoulos et al. 2020, equations 16 to 20; DPFP from Schlag et al. 2021, section 5.3; the decay per head from
    Sun et al. 2023 (RetNet), there not learned.

    Differences from the paper:
        - the denominator has an epsilon.
        - decay and the unnormalised form are additions.
    """

    feature_map: str = "elu"
    rolls: int = 1
    normalise: bool = True
    epsilon: float = 1e-6
    decay: bool = False

    def __post_init__(self):
        super().__post_init__()
        addressing.check_features(self)
        if self.normalise and self.feature_map == "identity":
            raise ValueError(
                "LinearAttention.feature_map is 'identity', which can be negative, so that the normaliser may vanish; with "
                "normalise=True it must be 'elu' or 'dpfp'"
            )
        check_number(self, "epsilon", "a number > 0", lambda epsilon: epsilon > 0)

    @property
    def matrix_shape(self) -> tuple[int, ...]:
        return (self.heads, addressing.feature_size(self.key_size, self.feature_map, self.rolls), self.value_size)

    def init_params(self, key: Array) -> Params:
        return {**super().init_params(key), **({"decay": self.init_decay()} if self.decay else {})}

    def init_state(self, params: Params) -> LinearAttentionState:
        matrix = jnp.zeros(self.matrix_shape, layers.dtype_of(params))
        return LinearAttentionState(matrix, matrix[..., 0] if self.normalise else None)

    def address(self, params: Params, name: str, x: Array) -> Array:
        """The features of "key" or "query" of x [D] as [H, K], of xs [L, D] as [H, L, K]."""
        features = addressing.features(self.project(params, name, x), self.feature_map, self.rolls)
        return features * self.matrix_shape[1] ** -0.5 if name == "query" and not self.normalise else features

    def write(self, params: Params, state: LinearAttentionState, x: Array) -> LinearAttentionState:
        key, before = self.address(params, "key", x), self.faded(params, state)
        matrix = jax.vmap(edits.outer)(before.matrix, key, self.project(params, "value", x))
        return LinearAttentionState(matrix, before.normaliser + key if self.normalise else None)

    def read(self, params: Params, state: LinearAttentionState, query: Array) -> tuple[LinearAttentionState, Readout]:
        query = self.address(params, "query", query)
        value = jnp.einsum("hk,hkv->hv", query, state.matrix)
        if state.normaliser is not None:
            value = value / (jnp.sum(query * state.normaliser, -1, keepdims=True) + self.epsilon)
        return state, Readout(value)

    def step_all(
        self, params: Params, state: LinearAttentionState, xs: Array, starts: Array
    ) -> tuple[LinearAttentionState, Readout]:
        matrix, normaliser = state
        query, key, value = (
            self.address(params, "query", xs),
            self.address(params, "key", xs),
            self.project(params, "value", xs),
        )
        fade = self.fading(params, starts)
        if normaliser is None:
            matrix, reads = add_chunk(matrix, query, key, value, fade)
        else:  # the normaliser is what a value of 1 would make
            matrix = jnp.concatenate([matrix, normaliser[..., None]], -1)
            value = jnp.concatenate([value, jnp.ones_like(value[..., :1])], -1)
            matrix, reads = add_chunk(matrix, query, key, value, fade)
            matrix, normaliser = matrix[..., :-1], matrix[..., -1]
            reads = reads[..., :-1] / (reads[..., -1:] + self.epsilon)
        return LinearAttentionState(matrix, normaliser), Readout(reads.swapaxes(0, 1))
