"""Memories whose state is a complex array that decays and turns by itself: what FFM and the LRU share.

The recurrence is elementwise, S_t = gamma * S_{t-1} + u_t, so that gamma^n leads over n steps at once. Real and imaginary
parts are separate arrays: parameters, states and gradients stay real, and of any type.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from diffmem import layers
from diffmem.base import Array, Params, Readout, check_counts
from diffmem.unroll import where

Parts = tuple[Array, Array | None]  # real and imaginary part; real numbers alone where the latter is None


class DiagonalState(NamedTuple):
    """real and imaginary [*trace_shape]: the two parts of the trace."""

    real: Array
    imaginary: Array


class DiagonalElement(NamedTuple):
    """What some writes do to any state: S <- gamma^steps * S + (real + i imaginary). steps [] is how much time they take."""

    steps: Array
    real: Array
    imaginary: Array


def times(a: DiagonalState, b: DiagonalState) -> DiagonalState:
    """The complex product, element by element."""
    return DiagonalState(a.real * b.real - a.imaginary * b.imaginary, a.real * b.imaginary + a.imaginary * b.real)


def plus(a: DiagonalState, b: Parts) -> DiagonalState:
    """The complex sum."""
    real, imaginary = b
    return DiagonalState(a.real + real, a.imaginary if imaginary is None else a.imaginary + imaginary)


def scan_trace(gamma: DiagonalState, inputs: Parts, state: DiagonalState, initial: DiagonalState, starts: Array):
    """The states [L, *trace_shape] after each of L inputs, one step after another.

    Args:
        gamma: [*trace_shape].
        inputs: [L, *] what is added, to be broadcast to the trace's shape.
        state: before the first input.
        initial: what stands in for the state before, where a sequence begins.
        starts: [L] bool.
    """

    def step(state, now):
        u, start = now
        state = plus(times(gamma, where(start, initial, state)), u)
        return state, state

    return lax.scan(step, state, (inputs, starts))[1]


def doubling_trace(powers, inputs: Parts, state: DiagonalState, initial: DiagonalState, starts: Array):
    """The same in log2(L) passes over all steps: after k of them a state holds the last 2^k inputs.

    Args:
        powers: gives gamma^n [*trace_shape] for a whole number n.
        inputs: as in `scan_trace`, like all that follow.
        state: before the first input.
        initial: what stands in for the state before, where a sequence begins.
        starts: [L] bool.
    """
    length = len(starts)
    step = jnp.arange(length)
    since = step - lax.cummax(jnp.where(starts, step, 0))  # how far a step may look back

    # The state before the first step, and the initial one before each start, come in as if they were written there.
    before = jax.vmap(where, (0, None, None))(starts, initial, state)
    enters = starts.at[0].set(True)
    entering = jax.vmap(where, (0, 0, 0))(enters, times(powers(1), before), jax.tree.map(jnp.zeros_like, before))
    states = plus(entering, inputs)
    reach = 1
    while reach < length:
        earlier = times(powers(reach), jax.tree.map(lambda a, n=reach: a[:-n], states))
        seen = jax.vmap(where, (0, 0, 0))(since[reach:] >= reach, earlier, jax.tree.map(jnp.zeros_like, earlier))
        states = jax.tree.map(lambda a, b, n=reach: a.at[n:].add(b), states, seen)
        reach *= 2
    return states


@dataclass(frozen=True)
class DiagonalMemory:
    """A `ScanMemory` and a `ChunkMemory`. A memory that derives from it says what gamma is, what to write and what to read."""

    input_size: int
    output_size: int = 128
    learned_state: bool = False
    chunk: int | None = None

    def __post_init__(self):
        check_counts(self, input_size=self.input_size, output_size=self.output_size)
        if self.chunk is not None:
            check_counts(self, chunk=self.chunk)

    @property
    def query_size(self) -> int:
        return self.input_size

    @property
    def read_shape(self) -> tuple[int, ...]:
        return (self.output_size,)

    @property
    def trace_shape(self) -> tuple[int, ...]:
        raise NotImplementedError

    def _log_gamma(self, params: Params) -> tuple[Array, Array]:
        """Real and imaginary part of log gamma [*trace_shape]; the real part is not positive."""
        raise NotImplementedError

    def _inject(self, params: Params, x: Array) -> Parts:
        """What x [*, input_size] adds to the trace, to be broadcast to its shape."""
        raise NotImplementedError

    def _answer(self, params: Params, state: DiagonalState, x: Array) -> Array:
        """What x [*, input_size] reads from a state [*, *trace_shape]: [*, output_size]."""
        raise NotImplementedError

    def _powers(self, params: Params, steps) -> DiagonalState:
        """gamma^steps."""
        rate, angle = self._log_gamma(params)
        steps = jnp.asarray(steps, rate.dtype)
        size = jnp.exp(rate * steps)
        return DiagonalState(size * jnp.cos(angle * steps), size * jnp.sin(angle * steps))

    def _zeros(self, dtype) -> DiagonalState:
        return DiagonalState(jnp.zeros(self.trace_shape, dtype), jnp.zeros(self.trace_shape, dtype))

    def _init_learned(self) -> Params:
        return {"initial": self._zeros(layers.DTYPE)._asdict()} if self.learned_state else {}

    def init_state(self, params: Params) -> DiagonalState:
        return DiagonalState(**params["initial"]) if self.learned_state else self._zeros(layers.dtype_of(params))

    def write(self, params: Params, state: DiagonalState, x: Array) -> DiagonalState:
        return plus(times(self._powers(params, 1), state), self._inject(params, x))

    def read(self, params: Params, state: DiagonalState, query: Array) -> tuple[DiagonalState, Readout]:
        return state, Readout(self._answer(params, state, query))

    def step(self, params: Params, state: DiagonalState, x: Array) -> tuple[DiagonalState, Readout]:
        return self.read(params, self.write(params, state, x), x)

    def step_all(self, params: Params, state: DiagonalState, xs: Array, starts: Array) -> tuple[DiagonalState, Readout]:
        """Backpropagation keeps the state before the chunk and recomputes the others, so that its memory is the chunk's."""

        def steps(params, state, xs, starts):
            inputs, initial = self._inject(params, xs), self.init_state(params)
            if jax.default_backend() == "cpu":
                states = scan_trace(self._powers(params, 1), inputs, state, initial, starts)
            else:
                states = doubling_trace(lambda n: self._powers(params, n), inputs, state, initial, starts)
            return jax.tree.map(lambda a: a[-1], states), Readout(self._answer(params, states, xs))

        return jax.checkpoint(steps, prevent_cse=False)(params, state, xs, starts)

    def element(self, params: Params, x: Array) -> DiagonalElement:
        return DiagonalElement(jnp.int32(1), *plus(self._zeros(x.dtype), self._inject(params, x)))

    def combine(self, params: Params, a: DiagonalElement, b: DiagonalElement) -> DiagonalElement:
        return DiagonalElement(a.steps + b.steps, *plus(times(self._powers(params, b.steps), self.drop(a)), self.drop(b)))

    def lift(self, state: DiagonalState) -> DiagonalElement:
        return DiagonalElement(jnp.int32(0), *state)

    def drop(self, element: DiagonalElement) -> DiagonalState:
        return DiagonalState(element.real, element.imaginary)
