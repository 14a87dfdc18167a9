"""Card games of POPGym about how many there were: how often has this kind come by, is the next card higher or lower.

Source: Morad, Kortvelesy, Bettini, Liwicki, Prorok 2023, POPGym: Benchmarking Partially Observable Reinforcement Learning,
arXiv:2303.01859, and the authors' package popgym 1.0.7, which the tests compare with step by step.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from diffmem.base import Array, check_choice, check_counts
from diffmem.envs import decks
from diffmem.envs.base import POPGYM, Discrete, MultiDiscrete, NoParams, register, verdict


class CountRecallState(NamedTuple):
    """shown [2]: the card and the kind asked for. remaining [2, kinds]: what is left of the deck, and of that of questions."""

    shown: Array
    remaining: Array


@register(
    "count_recall",
    source=POPGYM,
    levels=dict(easy=dict(decks=1, kinds=2), medium=dict(decks=2, kinds=4), hard=dict(decks=4, kinds=13)),
)
@dataclass(frozen=True)
class CountRecall:
    """Say how often a kind of card has come by so far, the card on view included.

        cards       ♥ ♠ ♥ ♥ ...    observation: the card's kind and the kind asked for
        questions   ♥ ♥ ♠ ♥ ...    action: a number, 0 .. N/kinds
        answers     1 1 1 3 ...    +1/(N-1) if right, else -1/(N-1)

    Cards and questions come from two decks, shuffled independently. N = 52 decks cards make N-1 steps.

    Args:
        decks: number of decks shuffled into one.
        kinds: what is seen of a card: 2 its colour, 4 its suit, 13 its rank.

    Example:
        >>> import diffmem.envs
        >>> env = diffmem.envs.make("count_recall", "hard")
        >>> env.max_steps, env.observation_space, env.action_space
        (207, MultiDiscrete(counts=(13, 13)), Discrete(n=17))

    Source: POPGym's CountRecall.

    Differences from the paper: none.
    """

    decks: int = 1
    kinds: int = 2

    def __post_init__(self):
        check_counts(self, decks=self.decks)
        check_choice(self, "kinds", decks.NAMES)

    observation_space = property(lambda self: MultiDiscrete((self.kinds, self.kinds)))
    action_space = property(lambda self: Discrete(self._each + 1))
    max_steps = property(lambda self: decks.CARDS * self.decks - 1)
    _each = property(lambda self: decks.CARDS * self.decks // self.kinds)

    def init_params(self) -> NoParams:
        return NoParams()

    def reset(self, key: Array, params: NoParams) -> tuple[CountRecallState, Array]:
        fresh = decks.full(self.decks, self.kinds)
        return self._deal(key, jnp.stack([fresh, fresh]))

    def advance(self, key: Array, params: NoParams, state: CountRecallState, action: Array) -> tuple[Any, ...]:
        reward = verdict(action == self.oracle(params, state), 1 / self.max_steps)
        state, shown = self._deal(key, state.remaining)
        return state, shown, reward, *decks.ends(state.remaining)

    @staticmethod
    def _deal(key: Array, remaining: Array) -> tuple[CountRecallState, Array]:
        shown, remaining = jax.vmap(decks.deal)(jax.random.split(key), remaining)
        return CountRecallState(shown, remaining), shown

    def oracle(self, params: NoParams, state: CountRecallState) -> Array:
        """The number asked for: it is always right."""
        return self._each - state.remaining[0, state.shown[1]]

    def render(self, state: CountRecallState) -> str:
        card, asked = (decks.NAMES[self.kinds][kind] for kind in state.shown)
        return f"card {card}  how many {asked}?  left {decks.describe(state.remaining[0])}"


class HigherLowerState(NamedTuple):
    """card: the rank on view. remaining [13]: what is left in the deck, by rank."""

    card: Array
    remaining: Array


@register("higher_lower", source=POPGYM, levels=dict(easy=dict(decks=1), medium=dict(decks=2), hard=dict(decks=3)))
@dataclass(frozen=True)
class HigherLower:
    """Guess whether the next card's rank is higher (0) or lower (1) than that of the card on view.

        cards     7 J 2 2 K ...    observation: the rank, 0 (ace) .. 12 (king)
        answers   0 1 . 0 ...      +1/N if right, else -1/N; 0 if the ranks are equal

    N = 52 decks cards make N-1 steps. A control rather than a test of memory: who only looks at the card gets 0.49, who counts
    every card 0.53.

    Args:
        decks: number of decks shuffled into one.

    Example:
        >>> import diffmem.envs
        >>> env = diffmem.envs.make("higher_lower", "easy")
        >>> env.max_steps, env.observation_space, env.action_space
        (51, Discrete(n=13), Discrete(n=2))

    Source: POPGym's HigherLower.

    Differences from the paper: none.
    """

    decks: int = 1

    def __post_init__(self):
        check_counts(self, decks=self.decks)

    observation_space, action_space = Discrete(13), Discrete(2)
    max_steps = property(lambda self: decks.CARDS * self.decks - 1)

    def init_params(self) -> NoParams:
        return NoParams()

    def reset(self, key: Array, params: NoParams) -> tuple[HigherLowerState, Array]:
        card, remaining = decks.deal(key, decks.full(self.decks, 13))
        return HigherLowerState(card, remaining), card

    def advance(self, key: Array, params: NoParams, state: HigherLowerState, action: Array) -> tuple[Any, ...]:
        card, remaining = decks.deal(key, state.remaining)
        reward = verdict((card > state.card) == (action == 0), 1 / (self.max_steps + 1))
        reward = jnp.where(card == state.card, jnp.float32(0), reward)
        return HigherLowerState(card, remaining), card, reward, *decks.ends(remaining)

    def oracle(self, params: NoParams, state: HigherLowerState) -> Array:
        """The reference policy that counts cards: whichever more of the remaining ones are, higher if as many."""
        ranks = jnp.arange(13, dtype=jnp.int32)
        higher = decks.count(jnp.where(ranks > state.card, state.remaining, 0))
        lower = decks.count(jnp.where(ranks < state.card, state.remaining, 0))
        return (lower > higher).astype(jnp.int32)

    def render(self, state: HigherLowerState) -> str:
        return f"card {decks.RANKS[state.card]}  left {decks.describe(state.remaining)}"
