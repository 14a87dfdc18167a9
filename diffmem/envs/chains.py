"""Two chains of bsuite: one asks for memory alone, the other for credit assignment alone."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from diffmem.base import Array, check_counts
from diffmem.envs.base import Box, Discrete, NoParams, register
from diffmem.envs.draws import at

BSUITE = "Osband et al. 2020, arXiv:1908.03568"


class MemoryChainState(NamedTuple):
    """time: steps made. context [bits] of 0 and 1: what was shown. query: which bit will be asked for."""

    time: Array
    context: Array
    query: Array


@register(
    "memory_chain",
    source=BSUITE,
    levels=dict(easy=dict(length=10, bits=1), medium=dict(length=30, bits=1), hard=dict(length=100, bits=1)),
)
@dataclass(frozen=True)
class MemoryChain:
    """Say one bit of the context that the first observation showed.

        length 3, bits 2        t         0   1   2
        observation             clock     1  2/3 1/3      1 - t/length
                                query     .   .   q       the number of the bit asked for, 0 .. bits-1
                                context  ±1   .   .
                                         ±1   .   .
        reward                            .   .  ±1       1 if the action is that bit, else -1

    Args:
        length: number of observations, the context's and the query's included.
        bits: size of the context.
        repeat_first: whether the first observation is shown twice, as in bsuite (which looks at its clock before moving
            it): an episode then has length + 1 steps.

    Example:
        >>> import jax
        >>> from diffmem import envs
        >>> env = envs.make("memory_chain", "hard", bits=3)
        >>> state, observation = env.reset(jax.random.key(0), env.init_params())
        >>> env.max_steps, observation.shape
        (100, (5,))

    Raises:
        ValueError: a number below 1.
    """

    length: int = 10
    bits: int = 1
    repeat_first: bool = False

    def __post_init__(self):
        check_counts(self, length=self.length, bits=self.bits)

    observation_space = property(lambda self: Box(-1.0, float(max(1, self.bits - 1)), (2 + self.bits,)))
    action_space = property(lambda self: Discrete(2))
    max_steps = property(lambda self: self.length + int(self.repeat_first))

    def init_params(self) -> NoParams:
        return NoParams()

    def reset(self, key: Array, params: NoParams) -> tuple[MemoryChainState, Array]:
        context_key, query_key = jax.random.split(key)
        context = jax.random.bernoulli(context_key, shape=(self.bits,)).astype(jnp.int32)
        state = MemoryChainState(jnp.int32(0), context, jax.random.randint(query_key, (), 0, self.bits, jnp.int32))
        return state, self._observe(state)

    def advance(self, key: Array, params: NoParams, state: MemoryChainState, action: Array):
        ended = state.time == self.max_steps - 1
        right = jnp.where(action == self.oracle(params, state), jnp.float32(1), jnp.float32(-1))
        state = state._replace(time=state.time + 1)
        return state, self._observe(state), jnp.where(ended, right, jnp.float32(0)), ended, jnp.bool_(False)

    def oracle(self, params: NoParams, state: MemoryChainState) -> Array:
        """The bit that is, or will be, asked for."""
        return at(state.context, state.query)

    def render(self, state: MemoryChainState) -> str:
        bits = "".join(str(int(bit)) for bit in state.context)
        return f"step {int(state.time)} of {self.max_steps}  context {bits}  asks for bit {int(state.query)}"

    def _observe(self, state: MemoryChainState) -> Array:
        time = jnp.maximum(state.time - int(self.repeat_first), 0)
        clock = (self.length - time).astype(jnp.float32) / self.length
        query = jnp.where(time == self.length - 1, state.query, 0)
        context = jnp.where(time == 0, 2 * state.context - 1, 0)
        return jnp.concatenate([clock[None], query[None].astype(jnp.float32), context.astype(jnp.float32)])


class UmbrellaState(NamedTuple):
    """time: steps made. need, have: 0 or 1, whether it will rain and whether there is an umbrella."""

    time: Array
    need: Array
    have: Array


@register(
    "umbrella",
    source=BSUITE,
    levels={name: dict(length=n, distractors=20) for name, n in dict(easy=10, medium=30, hard=100).items()},
)
@dataclass(frozen=True)
class Umbrella:
    """Take an umbrella at the first step if the last one needs it.

    Observations are (need, have, 1 - t/length, distractors): what is needed is on view at every step, so that this asks for
    no memory; it is a control for credit assignment. Only the first action counts. Every step but the last earns 1 or -1 by
    the toss of a coin, the last one 1 if need and have are the same, else -1. The distractors are coins too.

    Args:
        length: number of steps.
        distractors: number of coins in the observation.

    Example:
        >>> import jax
        >>> from diffmem import envs
        >>> env = envs.make("umbrella", length=3, distractors=1)
        >>> state, observation = env.reset(jax.random.key(0), env.init_params())
        >>> env.max_steps, observation.shape
        (3, (4,))

    Raises:
        ValueError: a length below 1 or a negative number of distractors.
    """

    length: int = 10
    distractors: int = 20

    def __post_init__(self):
        check_counts(self, length=self.length)
        check_counts(self, least=0, distractors=self.distractors)

    observation_space = property(lambda self: Box(0.0, 1.0, (3 + self.distractors,)))
    action_space = property(lambda self: Discrete(2))
    max_steps = property(lambda self: self.length)

    def init_params(self) -> NoParams:
        return NoParams()

    def reset(self, key: Array, params: NoParams) -> tuple[UmbrellaState, Array]:
        coins = jax.random.bernoulli(key, shape=(2 + self.distractors,)).astype(jnp.int32)
        state = UmbrellaState(jnp.int32(0), coins[0], coins[1])
        return state, self._observe(state, coins[2:])

    def advance(self, key: Array, params: NoParams, state: UmbrellaState, action: Array):
        coins = jax.random.bernoulli(key, shape=(1 + self.distractors,)).astype(jnp.int32)
        have = jnp.where(state.time == 0, action, state.have)
        state = UmbrellaState(state.time + 1, state.need, have)
        ended = state.time == self.length
        good = jnp.where(ended, have == state.need, coins[0] == 1)
        reward = jnp.where(good, jnp.float32(1), jnp.float32(-1))
        return state, self._observe(state, coins[1:]), reward, ended, jnp.bool_(False)

    def oracle(self, params: NoParams, state: UmbrellaState) -> Array:
        """What will be needed."""
        return state.need

    def render(self, state: UmbrellaState) -> str:
        need, have = ("rain" if state.need else "sun"), ("an" if state.have else "no")
        return f"step {int(state.time)} of {self.length}  {need} to come, {have} umbrella"

    def _observe(self, state: UmbrellaState, coins: Array) -> Array:
        clock = (self.length - state.time).astype(jnp.float32) / self.length
        seen = jnp.stack([state.need, state.have]).astype(jnp.float32)
        return jnp.concatenate([seen, clock[None], coins.astype(jnp.float32)])
