"""The delta rule: an associative matrix that corrects what a key reads, instead of adding to it."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from diffmem import addressing, edits, fused, layers
from diffmem.base import Array, Params, Readout, check_choice, register
from diffmem.matrix import MatrixMemory, MatrixState, fading


class DeltaControls(NamedTuple):
    """What one step does, or with a further axis L behind H what a chunk does.

    query [H, K], key [H, K], value [H, V], gate [H] in 0..1, log_rate [H] <= 0, or None without decay.
    """

    query: Array
    key: Array
    value: Array
    gate: Array
    log_rate: Array | None


@register(
    "delta_rule",
    paper="Schlag, Irie and Schmidhuber 2021, Linear Transformers Are Secretly Fast Weight Programmers",
    small=dict(input_size=5, key_size=8, value_size=6, heads=2, chunk=3),
)
@dataclass(frozen=True)
class DeltaRule(MatrixMemory):
    """An associative matrix per head, written by the delta rule. A `ChunkMemory`: it trains in parallel over time.

    Write:  A_t = rate_t A_{t-1} + k_t (beta_t (v_t - rate_t A_{t-1}^T k_t))^T
            k = norm(phi(W_k x)),  v = W_v x,  beta = sigmoid(W_b x),  rate = sigmoid(W_r x) with `decay`, else 1
    Read:   r = q^T A,  q = norm(phi(W_q query))
    Step:   write, then read with the same x as the query.

    A chunk of L steps is a triangular system of L equations and a few matrix products (the WY, or UT, form). Time is linear
    in T. For backpropagation a head keeps K V / L + 4 L + 4 (K + V) numbers a step, about; with `remat` of `unroll`, K V /
    remat and no more.

    Args:
        input_size: length of x and of the query.
        key_size: length of keys and queries, before the feature map.
        value_size: length V of values.
        heads: number of matrices.
        chunk: steps that `unroll` takes at once.
        feature_map: phi, "identity", "elu" or "dpfp"; see `addressing.features`.
        rolls: nu of "dpfp": keys have 2 nu key_size features.
        norm: "unit", keys and queries of length 1; "share", divided by their sum, for feature maps that are not negative.
        decay: a learned gate makes the matrix fade, before the error is formed.

    Raises:
        ValueError: a size below 1, an unknown choice, norm="share" with a feature map that can be negative, or too many rolls.

    `Readout.weights` is None: nothing is addressed by slot. `read_shape` is (heads, value_size).

    Example:
        >>> import jax, diffmem
        >>> memory = diffmem.DeltaRule(input_size=5, key_size=3, value_size=7, heads=2)
        >>> params = memory.init_params(jax.random.key(0))
        >>> diffmem.unroll(memory, params, None, jax.numpy.ones((4, 5)))[1].value.shape
        (4, 2, 7)

    Source: Schlag et al. 2021, equations 24 and 25; the chunked form and keys of length 1 from Yang et al. 2024 (DeltaNet);
    the decay from Yang et al. 2025 (Gated DeltaNet), equation 10.

    Differences from the paper:
        - norm="unit" is DeltaNet's, and the default; "share" is the sum normalisation of Schlag et al.
        - queries are not divided by the square root of K, so that a key reads its value as it was written.
        - no short convolution, activation, output norm or gate around the memory: those belong to a block that uses it.
        - the rate is a plain sigmoid of the input, whose bias starts heads with half-lives from a few steps to a hundred;
          Gated DeltaNet takes the parameters of Mamba 2.
    """

    feature_map: str = "identity"
    rolls: int = 1
    norm: str = "unit"
    decay: bool = False

    def __post_init__(self):
        super().__post_init__()
        addressing.check_features(self)
        check_choice(self, "norm", ("unit", "share"))
        if self.norm == "share" and self.feature_map == "identity":
            raise ValueError(
                "DeltaRule.feature_map is 'identity', which can be negative, so that keys may sum to zero; with norm='share' "
                "it must be 'elu' or 'dpfp'"
            )

    @property
    def matrix_shape(self) -> tuple[int, ...]:
        return (self.heads, addressing.feature_size(self.key_size, self.feature_map, self.rolls), self.value_size)

    def init_params(self, key: Array) -> Params:
        rest, gate, decay = jax.random.split(key, 3)
        params = {**super().init_params(rest), "gate": layers.init_dense(gate, self.input_size, self.heads)}
        if self.decay:
            params["decay"] = layers.init_dense(decay, self.input_size, self.heads)
            params["decay"]["bias"] = jnp.linspace(2.0, 5.0, self.heads, dtype=layers.DTYPE)
        return params

    def _address(self, params: Params, name: str, x: Array) -> Array:
        features = addressing.features(self.project(params, name, x), self.feature_map, self.rolls)
        return addressing.unit(features) if self.norm == "unit" else addressing.share(features)

    def controls(self, params: Params, x: Array) -> DeltaControls:
        """What x [D], or xs [L, D], do."""
        return DeltaControls(
            query=self._address(params, "query", x),
            key=self._address(params, "key", x),
            value=self.project(params, "value", x),
            gate=jax.nn.sigmoid(self.project(params, "gate", x))[..., 0],
            log_rate=jax.nn.log_sigmoid(self.project(params, "decay", x))[..., 0] if self.decay else None,
        )

    def write(self, params: Params, state: MatrixState, x: Array) -> MatrixState:
        do = self.controls(params, x)
        matrix = state.matrix if do.log_rate is None else jax.vmap(edits.decay)(state.matrix, jnp.exp(do.log_rate))
        return MatrixState(jax.vmap(edits.delta)(matrix, do.key, do.value, do.gate))

    def read(self, params: Params, state: MatrixState, query: Array) -> tuple[MatrixState, Readout]:
        return state, Readout(jnp.einsum("hk,hkv->hv", self.controls(params, query).query, state.matrix))

    def step_all(self, params: Params, state: MatrixState, xs: Array, starts: Array) -> tuple[MatrixState, Readout]:
        do = self.controls(params, xs)
        fade = fading(starts, do.log_rate, xs.dtype)
        matrix, reads = fused.delta_chunk(state.matrix, do.query, do.key, do.value, do.gate, *fade)
        return MatrixState(matrix), Readout(reads.swapaxes(0, 1))
