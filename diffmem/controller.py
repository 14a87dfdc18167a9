"""Putting memories together: a controller in front of a memory, memories on top of each other."""

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffmem import layers
from diffmem.base import Array, Memory, Params, Readout, check_choice, check_counts
from diffmem.memories.recurrent import GRU, LSTM


class ControlledState(NamedTuple):
    """The controller's state, the memory's state, and what was read last."""

    controller: Any
    memory: Any
    reads: Array


@dataclass(frozen=True)
class Controlled:
    """A controller that drives a memory and sees what was read from it one step before. Itself a memory.

    h_t = controller([x_t, r_{t-1}]);  memory state and r_t = memory.step(h_t);  value = [h_t, r_t]

    Args:
        controller: a memory that takes [x, reads] and whose output drives the memory: `LSTM`, `GRU`, `FeedForward`, a
            `Stack`. `control` builds one that fits.
        memory: any memory.
        learned_reads: whether the reads before the first step are parameters; zero otherwise.
        skip: whether what reaches the controller also goes past it: the memory is driven by [h_t, x_t, r_{t-1}], so that keys
            and what is written can be linear in them. Where a memory takes what is written as it is, as DNC and Hebbian do,
            what is read can then be written back larger, step after step: clip gradients.

    `write` runs the controller and writes; `read` passes its query to the memory and leaves the controller alone; in both
    cases the controller sees the latest read at the next step. `read_shape` is one vector, the controller's output and
    then the flattened read. `Readout.weights` are the memory's.

    Raises:
        ValueError: the controller's output or input does not fit the memory.

    Example:
        >>> import jax, diffmem
        >>> ntm = diffmem.control(diffmem.NTM(input_size=100), input_size=9)
        >>> params = ntm.init_params(jax.random.key(0))
        >>> diffmem.unroll(ntm, params, None, jax.numpy.ones((41, 9)))[1].value.shape
        (41, 120)

    Source: Graves, Wayne & Danihelka 2014, figure 1.

    Differences from the paper:
        - `skip` is not in it; in Graves et al. 2016 inputs skip past the layers of the controller, but not past the last.
    """

    controller: Memory
    memory: Memory
    learned_reads: bool = False
    skip: bool = False

    def __post_init__(self):
        drive = layers.size_of(self.controller.read_shape) + self.controller.input_size * self.skip
        if drive != self.memory.input_size:
            what = "Controlled.controller puts out" if not self.skip else "Controlled.controller takes and puts out"
            raise ValueError(f"{what} {drive} numbers, but {type(self.memory).__name__}.input_size is {self.memory.input_size}")
        if self.input_size < 1:
            raise ValueError(
                f"Controlled.controller takes {self.controller.input_size} numbers, too few: the reads alone are "
                f"{layers.size_of(self.memory.read_shape)}, and x needs at least 1"
            )

    @property
    def input_size(self) -> int:
        return self.controller.input_size - layers.size_of(self.memory.read_shape)

    @property
    def query_size(self) -> int:
        return self.memory.query_size

    @property
    def read_shape(self) -> tuple[int, ...]:
        return (layers.size_of(self.controller.read_shape) + layers.size_of(self.memory.read_shape),)

    def init_params(self, key: Array) -> Params:
        controller, memory = jax.random.split(key)
        params = {
            "controller": self.controller.init_params(controller),
            "memory": self.memory.init_params(memory),
        }
        return {**params, "reads": jnp.zeros(self.memory.read_shape, layers.DTYPE)} if self.learned_reads else params

    def init_state(self, params: Params) -> ControlledState:
        memory = self.memory.init_state(params["memory"])
        zeros = jnp.zeros(self.memory.read_shape, layers.dtype_of(params))
        reads = params["reads"] if self.learned_reads else zeros
        return ControlledState(self.controller.init_state(params["controller"]), memory, reads)

    def _control(self, params: Params, state: ControlledState, x: Array) -> tuple[Any, Array, Array]:
        """The controller's state, its output, and what drives the memory."""
        seen = jnp.concatenate([x, state.reads.ravel()])
        controller, output = self.controller.step(params["controller"], state.controller, seen)
        output = output.value.ravel()
        return controller, output, jnp.concatenate([output, seen]) if self.skip else output

    def write(self, params: Params, state: ControlledState, x: Array) -> ControlledState:
        controller, _, drive = self._control(params, state, x)
        return state._replace(controller=controller, memory=self.memory.write(params["memory"], state.memory, drive))

    def read(self, params: Params, state: ControlledState, query: Array | None) -> tuple[ControlledState, Readout]:
        memory, readout = self.memory.read(params["memory"], state.memory, query)
        _, output = self.controller.read(params["controller"], state.controller, None)
        return ControlledState(state.controller, memory, readout.value), _join(output.value, readout)

    def step(self, params: Params, state: ControlledState, x: Array) -> tuple[ControlledState, Readout]:
        controller, output, drive = self._control(params, state, x)
        memory, readout = self.memory.step(params["memory"], state.memory, drive)
        return ControlledState(controller, memory, readout.value), _join(output, readout)


def _join(output: Array, readout: Readout) -> Readout:
    return Readout(jnp.concatenate([output.ravel(), readout.value.ravel()]), readout.weights)


class FeedForwardState(NamedTuple):
    """output [hidden_size]: the latest output, kept so that it can be read."""

    output: Array


@dataclass(frozen=True)
class FeedForward:
    """A controller without memory: one dense layer and an activation, output = activation(W x + b).

    Args:
        input_size: length of x.
        hidden_size: length of the output.
        activation: "tanh", "relu" or "sigmoid".

    `read` ignores its query and returns the latest output; `Readout.weights` is None.
    """

    input_size: int
    hidden_size: int = 100
    activation: Literal["tanh", "relu", "sigmoid"] = "tanh"

    def __post_init__(self):
        check_counts(self, input_size=self.input_size, hidden_size=self.hidden_size)
        check_choice(self, "activation", ("tanh", "relu", "sigmoid"))

    @property
    def query_size(self) -> int:
        return 0

    @property
    def read_shape(self) -> tuple[int, ...]:
        return (self.hidden_size,)

    def init_params(self, key: Array) -> Params:
        return layers.init_dense(key, self.input_size, self.hidden_size)

    def init_state(self, params: Params) -> FeedForwardState:
        return FeedForwardState(jnp.zeros(self.hidden_size, layers.dtype_of(params)))

    def write(self, params: Params, state: FeedForwardState, x: Array) -> FeedForwardState:
        return FeedForwardState(getattr(nn, self.activation)(layers.dense(params, x)))

    def read(self, params: Params, state: FeedForwardState, query: Array | None = None):
        return state, Readout(state.output)

    def step(self, params: Params, state: FeedForwardState, x: Array) -> tuple[FeedForwardState, Readout]:
        return self.read(params, self.write(params, state, x))


@dataclass(frozen=True)
class Stack:
    """Memories on top of each other: each takes the flattened read of the one below. Itself a memory.

    `write` runs all but the top one and writes the top one; `read` reads the top one. `read_shape` is the top one's;
    `Readout.weights` of a step is a tuple, one entry per memory, and that of a read the top one's.

    Args:
        memories: from the bottom up.

    Raises:
        ValueError: no memories, or two neighbours that do not fit.

    Example:
        >>> import diffmem
        >>> diffmem.Stack((diffmem.LSTM(9, 100), diffmem.LSTM(100, 50))).read_shape
        (50,)
    """

    memories: tuple[Memory, ...]

    def __post_init__(self):
        object.__setattr__(self, "memories", tuple(self.memories))  # a list would not be hashable
        if not self.memories:
            raise ValueError("Stack.memories is empty; it must hold at least one memory")
        for i, (below, above) in enumerate(zip(self.memories, self.memories[1:], strict=False)):
            if layers.size_of(below.read_shape) != above.input_size:
                raise ValueError(
                    f"Stack.memories[{i}] puts out {layers.size_of(below.read_shape)} numbers, but "
                    f"Stack.memories[{i + 1}].input_size is {above.input_size}"
                )

    @property
    def input_size(self) -> int:
        return self.memories[0].input_size

    @property
    def query_size(self) -> int:
        return self.memories[-1].query_size

    @property
    def read_shape(self) -> tuple[int, ...]:
        return self.memories[-1].read_shape

    def _keys(self) -> list[str]:
        return [f"memory_{i}" for i in range(len(self.memories))]

    def init_params(self, key: Array) -> Params:
        keys = jax.random.split(key, len(self.memories))
        return {name: m.init_params(k) for name, m, k in zip(self._keys(), self.memories, keys, strict=True)}

    def init_state(self, params: Params) -> tuple[Any, ...]:
        return tuple(m.init_state(params[name]) for name, m in zip(self._keys(), self.memories, strict=True))

    def _climb(self, params: Params, state: tuple[Any, ...], x: Array):
        """Steps all memories but the top one: their states, their weights, and what reaches the top."""
        states, weights = [], []
        for name, memory, one in zip(self._keys()[:-1], self.memories[:-1], state[:-1], strict=True):
            one, readout = memory.step(params[name], one, x)
            states.append(one)
            weights.append(readout.weights)
            x = readout.value.ravel()
        return states, weights, x

    def write(self, params: Params, state: tuple[Any, ...], x: Array) -> tuple[Any, ...]:
        states, _, x = self._climb(params, state, x)
        return (*states, self.memories[-1].write(params[self._keys()[-1]], state[-1], x))

    def read(self, params: Params, state: tuple[Any, ...], query: Array | None) -> tuple[tuple[Any, ...], Readout]:
        top, readout = self.memories[-1].read(params[self._keys()[-1]], state[-1], query)
        return (*state[:-1], top), readout

    def step(self, params: Params, state: tuple[Any, ...], x: Array) -> tuple[tuple[Any, ...], Readout]:
        states, weights, x = self._climb(params, state, x)
        top, readout = self.memories[-1].step(params[self._keys()[-1]], state[-1], x)
        return (*states, top), Readout(readout.value, (*weights, readout.weights))


CONTROLLERS = {"lstm": LSTM, "gru": GRU, "feedforward": FeedForward}


def control(
    memory: Memory, input_size: int, controller: str = "lstm", depth: int = 1, skip: bool = False, **options
) -> Controlled:
    """A memory behind a controller that fits it: as wide as the memory's input.

    Args:
        memory: any memory; its input_size becomes the controller's size.
        input_size: length of x.
        controller: "lstm", "gru" or "feedforward".
        depth: how many layers the controller has.
        skip: whether what reaches the controller also goes past it, see `Controlled`; the memory's input then grows by that.
        **options: passed to every layer, such as `learned_state=True`.

    Raises:
        ValueError: an unknown controller or a number of layers below 1.
    """
    if controller not in CONTROLLERS:
        raise ValueError(f"controller is {controller!r}; legal: {', '.join(map(repr, CONTROLLERS))}")
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
        raise ValueError(f"depth is {depth!r}; it must be an integer >= 1")
    hidden, seen = memory.input_size, input_size + layers.size_of(memory.read_shape)
    stack = tuple(CONTROLLERS[controller](size, hidden, **options) for size in [seen] + [hidden] * (depth - 1))
    if skip:
        fields: Any = memory
        memory = replace(fields, input_size=hidden + seen)
    return Controlled(stack[0] if depth == 1 else Stack(stack), memory, skip=skip)
