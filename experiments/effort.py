"""What writing costs: a term of the loss that keeps idle write heads still."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp

from diffmem.base import Array, Params, Readout


class MeteredState(NamedTuple):
    """A memory's state, and how much its slots have changed so far."""

    memory: Any
    change: Array


@dataclass(frozen=True)
class Metered:
    """What `unroll` needs of a memory with slots, alone or behind a controller, and sum |M_t - M_{t-1}| over slots and steps.

    Nothing in an algorithm that is learned on short sequences keeps a head that has nothing to write from smearing a little
    over all slots at every step, and on long sequences that adds up.
    """

    memory: Any

    input_size = property(lambda self: self.memory.input_size)

    def init_state(self, params: Params) -> MeteredState:
        state = self.memory.init_state(params)
        return MeteredState(state, jnp.zeros((), slots(state).dtype))

    def step(self, params: Params, state: MeteredState, x: Array) -> tuple[MeteredState, Readout]:
        after, readout = self.memory.step(params, state.memory, x)
        return MeteredState(after, state.change + jnp.abs(slots(after) - slots(state.memory)).sum()), readout


def slots(state: Any) -> Array:
    """The slots in a memory's state, which may be part of a controller's."""
    return getattr(state, "memory", state).slots
