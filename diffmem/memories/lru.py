"""Linear Recurrent Unit: the smallest linear memory, a baseline."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from diffmem import layers
from diffmem.base import Array, Params, check_counts, check_number, check_range, register
from diffmem.diagonal import DiagonalMemory, DiagonalState, Parts


@register(
    "lru",
    paper="Orvieto et al. 2023, Resurrecting Recurrent Neural Networks for Long Sequences",
    small=dict(input_size=5, output_size=8, hidden_size=6, chunk=3),
)
@dataclass(frozen=True)
class LRU(DiagonalMemory):
    """A linear recurrent unit. A `ScanMemory` and a `ChunkMemory`: it trains in parallel over time.

    Write:  h_t = lambda * h_{t-1} + exp(gamma) * (B x),  lambda = exp(-exp(nu) + i exp(theta)),  B complex
    Read:   y = Re(C h) + D x,  C complex
    Step:   write, then read with the same x as the query.

    Args:
        input_size: length of x and of the query.
        output_size: length of y.
        learned_state: whether the initial h is a parameter; zero otherwise.
        chunk: steps that `unroll` takes at once; None: 32 on a CPU, all of them on an accelerator.
        hidden_size: number N of complex units h.
        radii: |lambda| starts uniformly on the ring between these two.
        max_phase: the angle of lambda starts uniformly between 0 and this.

    `Readout.weights` is None: nothing is addressed by slot.

    Raises:
        ValueError: a count below 1, radii that are no pair 0 <= least < most <= 1, or max_phase outside (0, 2 pi].

    Example:
        >>> import jax, diffmem
        >>> memory = diffmem.LRU(input_size=5, output_size=7)
        >>> params = memory.init_params(jax.random.key(0))
        >>> diffmem.unroll(memory, params, None, jax.numpy.ones((4, 5)))[1].value.shape
        (4, 7)

    Source: Orvieto et al. 2023, sections 3.3 and 3.4, and appendix A.

    Differences from the paper:
        - the recurrent layer alone: the paper's blocks have a layer norm before it and a gated layer behind it.
        - y has a bias, zero at first.
    """

    hidden_size: int = 128
    radii: tuple[float, float] = (0.0, 1.0)
    max_phase: float = 2 * math.pi

    def __post_init__(self):
        super().__post_init__()
        check_counts(self, hidden_size=self.hidden_size)
        legal = "a pair (least, most), 0 <= least < most <= 1"
        check_range(self, "radii", legal, lambda least, most: 0 <= least < most <= 1)
        check_number(self, "max_phase", "a number in (0, 2 pi]", lambda phase: 0 < phase <= 2 * math.pi)

    @property
    def trace_shape(self) -> tuple[int, ...]:
        return (self.hidden_size,)

    def init_params(self, key: Array) -> Params:
        radius, phase, write, read, skip = jax.random.split(key, 5)
        least, most = self.radii
        uniform = lambda key: jax.random.uniform(key, (self.hidden_size,), layers.DTYPE, minval=1e-6)  # noqa: E731
        nu = -0.5 * jnp.log(uniform(radius) * (most**2 - least**2) + least**2)
        nu = jnp.maximum(nu, jnp.finfo(layers.DTYPE).tiny)  # a radius may be rounded to 1
        normal = lambda key, *shape: jax.random.normal(key, shape, layers.DTYPE)  # noqa: E731
        return {
            "nu": jnp.log(nu),
            "theta": jnp.log(uniform(phase) * self.max_phase),
            "gamma": 0.5 * jnp.log(-jnp.expm1(-2 * nu)),  # inputs that never end leave h of the size of B x
            "write": {"kernel": normal(write, self.input_size, 2 * self.hidden_size) / math.sqrt(2 * self.input_size)},
            "read": {"kernel": normal(read, 2 * self.hidden_size, self.output_size) / math.sqrt(self.hidden_size)},
            "skip": layers.init_dense(skip, self.input_size, self.output_size),
            **self._init_learned(),
        }

    def _log_gamma(self, params: Params) -> tuple[Array, Array]:
        return -jnp.exp(params["nu"]), jnp.exp(params["theta"])

    def _inject(self, params: Params, x: Array) -> Parts:
        real, imaginary = jnp.split(x @ params["write"]["kernel"], 2, -1)
        size = jnp.exp(params["gamma"])
        return size * real, size * imaginary

    def _answer(self, params: Params, state: DiagonalState, x: Array) -> Array:
        # Re((C_r + i C_i) h) = C_r Re h - C_i Im h: the sign is part of what is learned in the second half of the kernel.
        return jnp.concatenate(state, -1) @ params["read"]["kernel"] + layers.dense(params["skip"], x)
