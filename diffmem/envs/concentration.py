"""The memory game of POPGym: find the pairs among cards that lie face down.

Source: Morad, Kortvelesy, Bettini, Liwicki, Prorok 2023, POPGym: Benchmarking Partially Observable Reinforcement Learning,
arXiv:2303.01859, and the authors' package popgym 1.0.7, which the tests compare with step by step.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp

from diffmem.base import Array, check_choice, check_counts
from diffmem.envs import decks
from diffmem.envs.base import POPGYM, Discrete, MultiDiscrete, NoParams, register


class ConcentrationState(NamedTuple):
    """What lies on the table of N cards, and the clock.

    Attributes:
        seen: int8[N], the kind of each card that has been looked at, -1 of the others. A card's kind is drawn from the
            remaining ones when it is first looked at, which has the same law as a shuffled deck.
        matched: bool[N], which cards lie face up for good.
        held: the card that waits for its partner, -1 if none does.
        remaining: [kinds], how many cards of each kind have not been looked at.
        time: steps taken.
    """

    seen: Array
    matched: Array
    held: Array
    remaining: Array
    time: Array


@register(
    "concentration",
    source=POPGYM,
    levels=dict(easy=dict(decks=1, kinds=2), medium=dict(decks=2, kinds=2), hard=dict(decks=1, kinds=13)),
)
@dataclass(frozen=True)
class Concentration:
    """Turn over two cards at a time; a pair stays face up.

        N = 4     observation   action   reward
                  . . . .       0
                  A . . .       1        0        one card turned over
                  A 2 . .       2        -2/L     no pair: both are turned back
                  . . A .       0        0
                  A . A .       ...      +2/N     a pair

    Observation: of each of N = 52 decks cards its kind, or `kinds` if it lies face down; a card that is turned over, and the
    one that was turned over before it, are seen once. Action: a card. To choose one that lies face up for good costs 1/L for
    each card turned over, and the turn is over. L = ceil(2N - N / (2N - 1)) steps, then the clock cuts; it ends when all
    pairs are found. What one card showed two observations ago must be remembered together with its place: the agent needs its
    previous action as an input.

    Args:
        decks: number of decks shuffled into one.
        kinds: what is seen of a card: 2 its colour, 4 its suit, 13 its rank. There must be an even number of each.

    Example:
        >>> import jax, diffmem.envs
        >>> env = diffmem.envs.make("concentration", "hard")
        >>> state, cards = env.reset(jax.random.key(0), env.init_params())
        >>> env.max_steps, cards.shape, cards.max().item(), env.action_space
        (104, (52,), 13, Discrete(n=52))

    Source: POPGym's Concentration.

    Differences from the paper: none.
    """

    decks: int = 1
    kinds: int = 2

    def __post_init__(self):
        check_counts(self, decks=self.decks)
        check_choice(self, "kinds", decks.NAMES)
        if self._cards // self.kinds % 2:
            each = self._cards // self.kinds
            raise ValueError(
                f"Concentration.kinds is {self.kinds}: {each} cards of a kind are not pairs; take an even number of decks"
            )

    observation_space = property(lambda self: MultiDiscrete((self.kinds + 1,) * self._cards))
    action_space = property(lambda self: Discrete(self._cards))
    max_steps = property(lambda self: math.ceil(2 * self._cards - self._cards / (2 * self._cards - 1)))
    _cards = property(lambda self: decks.CARDS * self.decks)

    def init_params(self) -> NoParams:
        return NoParams()

    def reset(self, key: Array, params: NoParams) -> tuple[ConcentrationState, Array]:
        seen, matched = jnp.full(self._cards, -1, jnp.int8), jnp.zeros(self._cards, bool)
        zero = jnp.zeros((), jnp.int32)
        state = ConcentrationState(seen, matched, zero - 1, decks.full(self.decks, self.kinds), zero)
        return state, jnp.full(self._cards, self.kinds, jnp.int32)

    def advance(self, key: Array, params: NoParams, state: ConcentrationState, action: Array) -> tuple[Any, ...]:
        places = jnp.arange(self._cards, dtype=jnp.int32)
        chosen, held = places == action, places == state.held
        card, fewer = decks.deal(key, state.remaining)
        new = state.seen[action] < 0
        seen = jnp.where(chosen & (state.seen < 0), card.astype(jnp.int8), state.seen)
        observation = jnp.where(state.matched | chosen | held, seen.astype(jnp.int32), self.kinds)

        second = state.held >= 0
        wasted = state.matched[action]
        pair = second & ~wasted & (seen[action] == seen[state.held]) & (action != state.held)
        over = second | wasted
        fine = jnp.float32(-1 / self.max_steps) * (1 + second.astype(jnp.float32))
        reward = jnp.where(pair, jnp.float32(2 / self._cards), jnp.where(over, fine, jnp.float32(0)))
        state = ConcentrationState(
            seen,
            state.matched | (pair & (chosen | held)),
            jnp.where(over, -1, action).astype(jnp.int32),
            jnp.where(new, fewer, state.remaining),
            state.time + 1,
        )
        return state, observation, reward, state.matched.all(), state.time == self.max_steps

    def oracle(self, params: NoParams, state: ConcentrationState) -> Array:
        """The reference policy that forgets nothing: a known partner, else a card of a known pair, else an unseen card."""
        places = jnp.arange(self._cards, dtype=jnp.int32)
        known = (state.seen >= 0) & ~state.matched & (places != state.held)
        kinds = known[:, None] & (state.seen[:, None] == jnp.arange(self.kinds, dtype=state.seen.dtype))
        paired = known & (kinds & (kinds.sum(0, dtype=jnp.int32) > 1)).any(-1)
        partner = known & (state.seen == state.seen[state.held])
        wanted = jnp.where(state.held >= 0, partner, paired)
        return jnp.argmax(jnp.where(wanted.any(), wanted, state.seen < 0)).astype(jnp.int32)

    def render(self, state: ConcentrationState) -> str:
        """13 cards a row: face up as they are, seen and turned back in brackets, unseen as dots."""
        names = decks.NAMES[self.kinds]

        def card(place):
            if state.seen[place] < 0:
                return "."
            up = state.matched[place] or place == state.held
            return names[state.seen[place]] if up else f"({names[state.seen[place]]})"

        width = 3 + max(map(len, names))
        cards = [f"{card(place):>{width}}" for place in range(self._cards)]
        return "\n".join("".join(cards[row : row + 13]) for row in range(0, self._cards, 13))
