"""Fast and Forgetful Memory: a trace that decays and turns, so that what is in it says how long ago it came."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from diffmem import layers
from diffmem.base import Array, Params, check_choice, check_counts, check_range, register
from diffmem.diagonal import DiagonalMemory, DiagonalState, Parts

DOUBLE_LIMIT = math.log(1.7976931348623157e308) / 1024 - 0.01  # exp(limit * 1024) is the largest double, nearly
TINY = 1e-8  # keeps the slope of a root finite where nothing fades


@register(
    "ffm",
    paper="Morad et al. 2023, Reinforcement Learning with Fast and Forgetful Memory",
    small=dict(input_size=5, output_size=8, trace_size=6, context_size=2, chunk=3),
)
@dataclass(frozen=True)
class FFM(DiagonalMemory):
    """Fast and Forgetful Memory. A `ScanMemory` and a `ChunkMemory`: it trains in parallel over time.

    Write:  x~ = (W1 x) * sigmoid(W2 x) [* scale];  S_t = gamma * S_{t-1} + x~,  gamma_jk = exp(-|alpha_j| + i omega_k)
    Read:   z = W3 [Re S; Im S];  g = sigmoid(W4 x);  y = LN(z * g) + (W5 x) * (1 - g)
    Step:   write, then read with the same x as the query.

    x~ has M numbers, which each of the C contexts receives. Every trace j fades at its own rate, every context k turns at its
    own speed, so that the angle between them tells how long ago something came. LN has no parameters of its own.

    Args:
        input_size: length of x and of the query.
        output_size: length of y.
        learned_state: whether the initial trace is a parameter; zero otherwise.
        chunk: steps that `unroll` takes at once; None: 32 on a CPU, all of them on an accelerator.
        trace_size: number M of traces.
        context_size: number C of contexts.
        order: "gate_norm", LN(z * g), or "norm_gate", LN(z) * g.
        init: where alpha and 2 pi / omega, the periods, start. "log": spaced logarithmically, alpha from 0.001 to e, periods
            from 4 to 1024. "jax" and "torch", as published: spaced linearly, periods from 1 to 1024, and alpha from e to
            0.000001 or from 0.683 to 0.0045.
        scale: what is added to a trace is multiplied by, so that slow traces do not outgrow quick ones: "none", as published;
            "variance", sqrt(1 - |gamma|^2), as in the LRU, which keeps the variance of unrelated inputs; "mean", 1 - |gamma|,
            which makes a trace a weighted mean.
        decay_limits: None for |alpha|; (least, most) clips alpha instead. (1e-6, inf) and (1e-8, 0.6832) were published.

    The state's arrays are [C, M]: loops over the long axis are fast. `Readout.weights` is None: nothing is addressed by slot.

    Raises:
        ValueError: a count below 1, an unknown order, init or scale, or decay_limits that are no pair 0 <= least < most.

    Example:
        >>> import jax, diffmem
        >>> memory = diffmem.FFM(input_size=5, output_size=7)
        >>> params = memory.init_params(jax.random.key(0))
        >>> diffmem.unroll(memory, params, None, jax.numpy.ones((4, 5)))[1].value.shape
        (4, 7)

    Source: Morad et al. 2023, section 4, and the authors' two implementations.

    Differences from the paper:
        - periods start spaced logarithmically. With four contexts, linear ones are 1 (a full turn per step: no information),
          342, 683 and 1024, and nothing can tell short delays apart until they have been learned.
        - alpha starts spaced logarithmically.
        - nothing is divided by gamma^t, so that alpha needs no upper limit, and the length of a sequence has none.
    """

    trace_size: int = 32
    context_size: int = 4
    order: str = "gate_norm"
    init: str = "log"
    scale: str = "none"
    decay_limits: tuple[float, float] | None = None

    def __post_init__(self):
        super().__post_init__()
        check_counts(self, trace_size=self.trace_size, context_size=self.context_size)
        check_choice(self, "order", ("gate_norm", "norm_gate"))
        check_choice(self, "init", ("log", "jax", "torch"))
        check_choice(self, "scale", ("none", "variance", "mean"))
        if self.decay_limits is not None:
            legal = "None or a pair (least, most), 0 <= least < most"
            check_range(self, "decay_limits", legal, lambda least, most: 0 <= least < most)

    @property
    def trace_shape(self) -> tuple[int, ...]:
        return (self.context_size, self.trace_size)

    def init_params(self, key: Array) -> Params:
        write, read, mix = jax.random.split(key, 3)
        alpha, omega = self.init_rates()
        return {
            "write": layers.init_dense(write, self.input_size, 2 * self.trace_size),  # W1 and W2 side by side
            "read": layers.init_dense(read, self.input_size, 2 * self.output_size),  # W5 and W4
            "mix": layers.init_dense(mix, 2 * self.context_size * self.trace_size, self.output_size),
            "alpha": alpha.astype(layers.DTYPE),
            "omega": omega.astype(layers.DTYPE),
            **self._init_learned(),
        }

    def init_rates(self) -> tuple[Array, Array]:
        """Where alpha [M] and omega [C] start."""
        if self.init == "log":
            alpha = jnp.geomspace(math.e, 1e-3, self.trace_size)
            periods = jnp.geomspace(4, 1024, self.context_size)
        else:
            published = (math.e, 1e-6) if self.init == "jax" else (DOUBLE_LIMIT - 0.01, -math.log(0.01) / 1024)
            alpha = jnp.linspace(*published, self.trace_size)
            periods = jnp.linspace(1, 1024, self.context_size)
        return alpha, 2 * math.pi / periods

    def _log_gamma(self, params: Params) -> tuple[Array, Array]:
        alpha = params["alpha"]
        alpha = jnp.abs(alpha) if self.decay_limits is None else jnp.clip(alpha, *self.decay_limits)
        return -jnp.broadcast_to(alpha, self.trace_shape), jnp.broadcast_to(params["omega"][:, None], self.trace_shape)

    def _inject(self, params: Params, x: Array) -> Parts:
        value, gate = jnp.split(layers.dense(params["write"], x), 2, -1)
        written = value * jax.nn.sigmoid(gate)
        if self.scale != "none":
            rate = self._log_gamma(params)[0][0]
            written = written * (jnp.sqrt(TINY - jnp.expm1(2 * rate)) if self.scale == "variance" else -jnp.expm1(rate))
        return written[..., None, :], None

    def _answer(self, params: Params, state: DiagonalState, x: Array) -> Array:
        features = jnp.concatenate(state, -2)
        mixed = layers.dense(params["mix"], features.reshape(*features.shape[:-2], -1))
        skip, gate = jnp.split(layers.dense(params["read"], x), 2, -1)
        gate = jax.nn.sigmoid(gate)
        normed = _layer_norm(mixed * gate) if self.order == "gate_norm" else _layer_norm(mixed) * gate
        return normed + skip * (1 - gate)


def _layer_norm(z: Array) -> Array:
    """Without parameters. (Flax's layer mixes types inside; JAX's own variance is a difference of large numbers.)"""
    return jax.nn.standardize(z, variance=jnp.var(z, -1, keepdims=True), epsilon=1e-5)
