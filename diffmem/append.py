"""A memory that keeps what it is given: the base of the memories that are read in several hops or passes."""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp

from diffmem import layers
from diffmem.base import Array, Params, Readout, check_counts


class AppendState(NamedTuple):
    """slots [N, D], the newest first, zero where nothing was stored; length [], int32, how many were stored, at most N."""

    slots: Array
    length: Array


@dataclass(frozen=True)
class AppendMemory:
    """The N newest inputs as they came, newest first: slot n holds what was written n writes ago.

    In this order "how long ago" is the slot's number, so that a recency encoding is a plain sum, and appending is
    associative: a story can be stored in parallel. `read` is left to the memory that derives from this one.

    Slots that hold nothing, and slots into which zeros were written ("empty memories"), take no part in reading where
    `mask` is set.

    `read` goes by the state's own number of slots, which may be smaller than the config's: short stories need not pay for
    long ones.
    """

    input_size: int
    slots: int = 50
    mask: bool = True

    def __post_init__(self):
        check_counts(self, input_size=self.input_size, slots=self.slots)

    @property
    def query_size(self) -> int:
        return self.input_size

    def init_state(self, params: Params) -> AppendState:
        return AppendState(jnp.zeros((self.slots, self.input_size), layers.dtype_of(params)), jnp.int32(0))

    def write(self, params: Params, state: AppendState, x: Array) -> AppendState:
        return self.combine(params, state, self.element(params, x))

    def write_all(self, params: Params, state: AppendState, xs: Array, mask: Array) -> AppendState:
        """Stores the xs [T, D] whose mask [T] is True, the last one as the newest: what T writes do, at once."""
        newest_first = jnp.argsort(~mask[::-1], stable=True)  # the kept ones, then the others
        newest_first = xs.shape[0] - 1 - newest_first
        kept = jnp.where(mask[newest_first][:, None], xs[newest_first], 0)
        slots = state.slots.shape[0]
        kept = kept[:slots] if xs.shape[0] >= slots else jnp.pad(kept, ((0, slots - xs.shape[0]), (0, 0)))
        count = jnp.minimum(mask.sum(dtype=state.length.dtype), slots)
        return self.combine(params, state, AppendState(kept.astype(state.slots.dtype), count))

    def step(self, params: Params, state: AppendState, x: Array) -> tuple[AppendState, Readout]:
        """Stores x, then reads with x as the query."""
        return self.read(params, self.write(params, state, x), x)

    def read(self, params: Params, state: AppendState, query: Array) -> tuple[AppendState, Readout]:
        raise NotImplementedError

    def element(self, params: Params, x: Array) -> AppendState:
        return AppendState(jnp.zeros((self.slots, self.input_size), x.dtype).at[0].set(x), jnp.int32(1))

    def combine(self, params: Params, a: AppendState, b: AppendState) -> AppendState:
        """The slots of b, and behind them those of a, as far as there is room."""
        slots = b.slots.shape[0]
        place = jnp.arange(slots, dtype=b.length.dtype)
        older = jnp.take(a.slots, place - b.length, axis=0, mode="clip")
        joined = jnp.where((place < b.length)[:, None], b.slots, older)
        return AppendState(joined, jnp.minimum(a.length + b.length, slots))

    def lift(self, state: AppendState) -> AppendState:
        return state

    def drop(self, element: AppendState) -> AppendState:
        return element

    def stored(self, state: AppendState) -> Array:
        """[N] bool, which slots were written."""
        return jnp.arange(state.slots.shape[0], dtype=state.length.dtype) < state.length

    def filled(self, state: AppendState) -> Array:
        """[N] bool, which slots hold something to read."""
        stored = self.stored(state)
        return stored & jnp.any(state.slots != 0, -1) if self.mask else stored
