"""Card games of POPGym about what came when: repeat the first, repeat the one k before, repeat all backwards.

Source: Morad, Kortvelesy, Bettini, Liwicki, Prorok 2023, POPGym: Benchmarking Partially Observable Reinforcement Learning,
arXiv:2303.01859, and the authors' package popgym 1.0.7, which the tests compare with step by step.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp

from diffmem.base import Array, check_counts
from diffmem.envs import decks
from diffmem.envs.base import POPGYM, Discrete, MultiDiscrete, NoParams, register, verdict
from diffmem.unroll import where


class RepeatFirstState(NamedTuple):
    """first: the suit to name. card: the one on view. remaining [4]: what is left in the deck, by suit."""

    first: Array
    card: Array
    remaining: Array


@register("repeat_first", source=POPGYM, levels=dict(easy=dict(decks=1), medium=dict(decks=8), hard=dict(decks=16)))
@dataclass(frozen=True)
class RepeatFirst:
    """Name the suit of the very first card, again and again, while others come by.

        cards     ♥ ♠ ♣ ♥ ...    observation: the suit, 0..3
        answers   ♥ ♥ ♥ ♥ ...    action: a suit; +1/(N-1) if right, else -1/(N-1)

    N = 52 decks cards make N-1 steps. Nothing in the observation marks the first card: that is the first-step flag's part.

    Args:
        decks: number of decks shuffled into one.

    Example:
        >>> import diffmem.envs
        >>> env = diffmem.envs.make("repeat_first", "hard")
        >>> env.max_steps, env.observation_space, env.action_space
        (831, Discrete(n=4), Discrete(n=4))

    Source: POPGym's RepeatFirst.

    Differences from the paper: none.
    """

    decks: int = 1

    def __post_init__(self):
        check_counts(self, decks=self.decks)

    observation_space = action_space = Discrete(4)
    max_steps = property(lambda self: decks.CARDS * self.decks - 1)

    def init_params(self) -> NoParams:
        return NoParams()

    def reset(self, key: Array, params: NoParams) -> tuple[RepeatFirstState, Array]:
        card, remaining = decks.deal(key, decks.full(self.decks, 4))
        return RepeatFirstState(card, card, remaining), card

    def advance(self, key: Array, params: NoParams, state: RepeatFirstState, action: Array) -> tuple[Any, ...]:
        reward = verdict(action == state.first, 1 / self.max_steps)
        card, remaining = decks.deal(key, state.remaining)
        return RepeatFirstState(state.first, card, remaining), card, reward, *decks.ends(remaining)

    def oracle(self, params: NoParams, state: RepeatFirstState) -> Array:
        """The first suit: it is always right."""
        return state.first

    def render(self, state: RepeatFirstState) -> str:
        return f"card {decks.SUITS[state.card]}  first {decks.SUITS[state.first]}  left {decks.describe(state.remaining)}"


class RepeatPreviousState(NamedTuple):
    """recent [k]: the last k suits, the card on view first; 0 before there were any. remaining [4]: what is left, by suit."""

    recent: Array
    remaining: Array


@register(
    "repeat_previous",
    source=POPGYM,
    levels=dict(easy=dict(decks=1, k=4), medium=dict(decks=2, k=32), hard=dict(decks=3, k=64)),
)
@dataclass(frozen=True)
class RepeatPrevious:
    """Name the suit of the k-th most recent card, the one on view counting as the first.

        k = 3     cards     ♥ ♠ ♣ ♥ ♦ ...    observation: the suit, 0..3
                  answers   . . ♥ ♠ ♣ ...    action: a suit; +1/(N-k) if right, else -1/(N-k); 0 while there is no answer

    N = 52 decks cards make N-1 steps, of which N-k are scored.

    Args:
        decks: number of decks shuffled into one.
        k: which card to name, 1 the one on view; less than N.

    Example:
        >>> import jax, diffmem.envs
        >>> env = diffmem.envs.make("repeat_previous", "easy")
        >>> state, suit = env.reset(jax.random.key(0), env.init_params())
        >>> env.max_steps, suit.shape, state.recent.shape, state.remaining.sum().item()
        (51, (), (4,), 51)

    Source: POPGym's RepeatPrevious.

    Differences from the paper: none.
    """

    decks: int = 1
    k: int = 4

    def __post_init__(self):
        check_counts(self, decks=self.decks, k=self.k)
        if self.k >= self._cards:
            raise ValueError(f"RepeatPrevious.k is {self.k}; it must be less than the number of cards, {self._cards}")

    observation_space = action_space = Discrete(4)
    max_steps = property(lambda self: self._cards - 1)
    _cards = property(lambda self: decks.CARDS * self.decks)

    def init_params(self) -> NoParams:
        return NoParams()

    def reset(self, key: Array, params: NoParams) -> tuple[RepeatPreviousState, Array]:
        card, remaining = decks.deal(key, decks.full(self.decks, 4))
        return RepeatPreviousState(self._shift(card, jnp.zeros(self.k, jnp.int8)), remaining), card

    def advance(self, key: Array, params: NoParams, state: RepeatPreviousState, action: Array) -> tuple[Any, ...]:
        scored = self._cards - decks.count(state.remaining) >= self.k
        reward = verdict(action == state.recent[-1].astype(jnp.int32), 1 / (self._cards - self.k))
        card, remaining = decks.deal(key, state.remaining)
        state = RepeatPreviousState(self._shift(card, state.recent), remaining)
        return state, card, jnp.where(scored, reward, jnp.float32(0)), *decks.ends(remaining)

    @staticmethod
    def _shift(card: Array, recent: Array) -> Array:
        return jnp.concatenate([card.astype(recent.dtype)[None], recent[:-1]])

    def oracle(self, params: NoParams, state: RepeatPreviousState) -> Array:
        """The suit k back: it is always right."""
        return state.recent[-1].astype(jnp.int32)

    def render(self, state: RepeatPreviousState) -> str:
        seen = min(self._cards - int(decks.count(state.remaining)), self.k)
        cards = " ".join(decks.SUITS[card] for card in state.recent[:seen])
        return f"cards, latest first: {cards}  left {decks.describe(state.remaining)}"


class AutoencodeState(NamedTuple):
    """cards [N]: the suits in the order shown. held: how many are yet to be named. remaining [4]: what is left to show."""

    cards: Array
    held: Array
    remaining: Array


@register("autoencode", source=POPGYM, levels=dict(easy=dict(decks=1), medium=dict(decks=2), hard=dict(decks=3)))
@dataclass(frozen=True)
class Autoencode:
    """Watch a whole deck, then name the suits backwards.

        mode      1 1 1 . . 1 0 0 0 . . 0    observation: mode (1 watch, 0 play) and suit
        cards     ♥ ♠ ♣ . . ♦ ♠ ♠ ♠ . . ♠    action: a suit
        answers   . . . . . . ♦ . . ♣ ♠ ♥    +1/N if right, else -1/N, in play; 0 while watching

    N = 52 decks cards make 2N-1 steps: the mode changes with the last card, which is the first to be named. While playing the
    suit shown is always 0.

    Args:
        decks: number of decks shuffled into one.

    Example:
        >>> import jax, diffmem.envs
        >>> env = diffmem.envs.make("autoencode", "easy")
        >>> state, (mode, suit) = env.reset(jax.random.key(0), env.init_params())
        >>> env.max_steps, env.observation_space, mode.item()
        (103, MultiDiscrete(counts=(2, 4)), 1)

    Source: POPGym's Autoencode.

    Differences from the paper: none.
    """

    decks: int = 1

    def __post_init__(self):
        check_counts(self, decks=self.decks)

    observation_space, action_space = MultiDiscrete((2, 4)), Discrete(4)
    max_steps = property(lambda self: 2 * self._cards - 1)
    _cards = property(lambda self: decks.CARDS * self.decks)

    def init_params(self) -> NoParams:
        return NoParams()

    def reset(self, key: Array, params: NoParams) -> tuple[AutoencodeState, Array]:
        empty = jnp.zeros(self._cards, jnp.int8), jnp.zeros((), jnp.int32), decks.full(self.decks, 4)
        state, card = self._show(key, AutoencodeState(*empty))
        return state, jnp.stack([jnp.ones_like(card), card])

    def advance(self, key: Array, params: NoParams, state: AutoencodeState, action: Array) -> tuple[Any, ...]:
        watching = decks.count(state.remaining) > 0
        shown, card = self._show(key, state)
        named = state._replace(held=state.held - 1)
        reward = verdict(action == self.oracle(params, state), 1 / self._cards)
        state = where(watching, shown, named)
        observation = where(watching, jnp.stack([(decks.count(state.remaining) > 0).astype(card.dtype), card]), 0)
        terminated = state.held == 0
        return state, observation, where(watching, jnp.float32(0), reward), terminated, jnp.zeros_like(terminated)

    def _show(self, key: Array, state: AutoencodeState) -> tuple[AutoencodeState, Array]:
        card, remaining = decks.deal(key, state.remaining)
        cards = jnp.where(jnp.arange(self._cards, dtype=jnp.int32) == state.held, card.astype(jnp.int8), state.cards)
        return AutoencodeState(cards, state.held + 1, remaining), card

    def oracle(self, params: NoParams, state: AutoencodeState) -> Array:
        """The last suit that is yet to be named: in play it is always right."""
        return state.cards[state.held - 1].astype(jnp.int32)

    def render(self, state: AutoencodeState) -> str:
        mode = "watch" if decks.count(state.remaining) else "play"
        cards = " ".join(decks.SUITS[card] for card in state.cards[: state.held])
        return f"{mode}  cards, latest last: {cards}"
