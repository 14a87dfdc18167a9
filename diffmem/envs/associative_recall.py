"""AssociativeRecall: bindings of keys to values are shown, some are overwritten, and then they are asked for.

This is the environment for external memories: it wants binding, capacity and erasure apart from each other, by `pairs`,
`values` and `rebindings`. A sum of outer products that never erases fails where a key is bound twice.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from diffmem.base import Array, check_counts
from diffmem.envs.base import Discrete, MultiDiscrete, NoParams, register
from diffmem.envs.draws import at, below, pick

WRITE, GAP, QUERY = range(3)


class AssociativeRecallState(NamedTuple):
    """What a key means now, and what is on view.

    Attributes:
        time: number of steps made.
        bound: [keys] the value bound to each key last.
        writes: [keys] how often a key has been bound; only keys with at least one can be asked for.
        key: the key on view.
        value: the value on view; `values` where there is none.
    """

    time: Array
    bound: Array
    writes: Array
    key: Array
    value: Array


@register(
    "associative_recall",
    source="diffmem; the tasks of Graves et al. 2014, arXiv:1410.5401, and Ba et al. 2016, arXiv:1610.06258, as environment",
    levels=dict(
        easy=dict(pairs=4, keys=8, values=4, gap=0, queries=8, rebindings=0),
        medium=dict(pairs=12, keys=32, values=8, gap=16, queries=16, rebindings=3),
        hard=dict(pairs=32, keys=64, values=16, gap=64, queries=32, rebindings=16),
    ),
)
@dataclass(frozen=True)
class AssociativeRecall:
    """Remember which value each key was given last.

        pairs 2, rebindings 1, gap 1, queries 3     step      0 1 2 3 4 5 6
                                                    phase     w w w g q q q
                                                    key       a b a c a b a
                                                    value     3 1 2 0 . . .
                                                    answer            2 1 2

    In the phase `w` keys are bound: `pairs` different ones, and `rebindings` of them once more, to another value. Whether a
    step binds a new key or one of those bound once is drawn at each step, from what is still to be shown. In the gap random
    pairs are shown which mean nothing, then keys are asked for, each drawn from all that are bound. The action at a query
    is the value; elsewhere it means nothing. A right answer earns 1/queries, a wrong one costs as much.

    Args:
        pairs: number of different keys that are bound.
        keys: number of keys there are.
        values: number of values there are, and of actions.
        gap: number of steps between the last binding and the first question.
        queries: number of questions.
        rebindings: number of keys that are bound a second time.

    Example:
        >>> import jax
        >>> from diffmem import envs
        >>> env = envs.make("associative_recall", "medium")
        >>> state, observation = env.reset(jax.random.key(0), env.init_params())
        >>> env.max_steps, env.observation_space.size, env.action_space
        (47, 44, Discrete(n=8))

    Raises:
        ValueError: a number out of range, more pairs than keys, more rebindings than pairs, or a single value.
    """

    pairs: int = 4
    keys: int = 8
    values: int = 4
    gap: int = 0
    queries: int = 8
    rebindings: int = 0

    def __post_init__(self):
        check_counts(self, pairs=self.pairs, keys=self.keys, queries=self.queries)
        check_counts(self, least=2, values=self.values)
        check_counts(self, least=0, gap=self.gap, rebindings=self.rebindings)
        if self.pairs > self.keys:
            raise ValueError(f"AssociativeRecall.pairs is {self.pairs}; there are only {self.keys} keys")
        if self.rebindings > self.pairs:
            raise ValueError(f"AssociativeRecall.rebindings is {self.rebindings}; there are only {self.pairs} pairs")

    action_space = property(lambda self: Discrete(self.values))
    max_steps = property(lambda self: self.pairs + self.rebindings + self.gap + self.queries)

    @property
    def observation_space(self) -> MultiDiscrete:
        """The key, the value (`values`: none) and the phase (0 binding, 1 gap, 2 question)."""
        return MultiDiscrete((self.keys, self.values + 1, 3))

    def init_params(self) -> NoParams:
        return NoParams()

    def reset(self, key: Array, params: NoParams) -> tuple[AssociativeRecallState, Array]:
        which, what = jax.random.uniform(key, (2,))
        shown, value = below(which, self.keys), below(what, self.values)
        here = jnp.arange(self.keys) == shown
        state = AssociativeRecallState(jnp.int32(0), jnp.where(here, value, 0), here.astype(jnp.int32), shown, value)
        return state, self._observe(state)

    def advance(self, key: Array, params: NoParams, state: AssociativeRecallState, action: Array):
        asked = self._phase(state.time) == QUERY
        sign = jnp.where(action == self.oracle(params, state), 1.0, -1.0)
        reward = jnp.where(asked, sign / self.queries, 0.0)
        state = self._show(key, state)
        return state, self._observe(state), reward, state.time == self.max_steps, jnp.bool_(False)

    def oracle(self, params: NoParams, state: AssociativeRecallState) -> Array:
        """The value bound last."""
        return at(state.bound, state.key)

    def render(self, state: AssociativeRecallState) -> str:
        phase = int(self._phase(state.time))
        shown = f"key {int(state.key)}" + ("" if phase == QUERY else f" value {int(state.value)}")
        table = " ".join(f"{k}={int(state.bound[k])}" for k in range(self.keys) if state.writes[k])
        return f"step {int(state.time)} {('bind', 'gap', 'asks')[phase]} {shown}\nbound: {table}"

    def _phase(self, time: Array) -> Array:
        bindings = self.pairs + self.rebindings
        return (time >= bindings).astype(jnp.int32) + (time >= bindings + self.gap).astype(jnp.int32)

    def _observe(self, state: AssociativeRecallState) -> Array:
        return jnp.stack([state.key, state.value, self._phase(state.time)])

    def _show(self, key: Array, state: AssociativeRecallState) -> AssociativeRecallState:
        """The next state, with a key and a value drawn and, in the first phase, bound."""
        bound, writes, time = state.bound, state.writes, state.time + 1
        phase, (kind, which, what) = self._phase(time), jax.random.uniform(key, (3,))
        # A key is bound again with the probability that keeps what is still to be shown in proportion; once all pairs have
        # been shown that is 1. Where no key can be, because each has been already, a new one is bound.
        left = self.pairs + self.rebindings - time
        once = writes == 1
        again = (below(kind, left) < self.rebindings - (writes == 2).sum(dtype=jnp.int32)) & once.any()
        legal = jnp.select([phase == QUERY, phase == GAP, again], [writes > 0, jnp.bool_(True), once], writes == 0)
        shown = pick(which, legal)
        fresh, other = below(what, self.values), (at(bound, shown) + 1 + below(what, self.values - 1)) % self.values
        value = jnp.where((phase == WRITE) & again, other, fresh)
        here = (jnp.arange(self.keys) == shown) & (phase == WRITE)
        bound, writes = jnp.where(here, value, bound), jnp.where(here, writes + 1, writes)
        return AssociativeRecallState(time, bound, writes, shown, jnp.where(phase == QUERY, self.values, value))
