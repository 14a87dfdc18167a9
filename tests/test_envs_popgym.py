"""POPGym's games against POPGym itself, step by step, and their returns against what is known of them.

POPGym plays the episodes again that ours has played: with the deck in the order in which ours dealt it.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
import popgym.envs
import pytest

from diffmem import envs
from tests.episodes import Episode, assert_mean, cut, play, returns

LEVELS = ("easy", "medium", "hard")


class Game(NamedTuple):
    """What the tests know of a game; tuples are by level.

    Attributes:
        popgym: its class in POPGym, less the level.
        dealt: the kinds of card that an episode shows, in the order dealt, of each deck.
        field: what POPGym calls these kinds.
        random: expected return of random play.
        best: expected return of the oracle.
        steps: length of the oracle's episodes.
    """

    popgym: str
    dealt: Any
    field: tuple[str, ...]
    random: tuple[float, ...]
    best: tuple[float, ...]
    steps: tuple[int, ...]


def all_seen(episode: Episode) -> list[np.ndarray]:
    return [episode.observations]


SUITS = ("suits_idx",) * 3
GAMES = {
    # One guess in four is right: 2/4 - 1.
    "repeat_first": Game("RepeatFirst", all_seen, SUITS, (-0.5,) * 3, (1.0,) * 3, (51, 415, 831)),
    "repeat_previous": Game("RepeatPrevious", all_seen, SUITS, (-0.5,) * 3, (1.0,) * 3, (51, 103, 155)),
}
EVERY = [(name, level) for name in GAMES for level in range(3)]


class Stacked:
    """A random generator whose shuffles give these orders, one after another."""

    def __init__(self, orders):
        self.orders = list(orders)

    def shuffle(self, deck):
        deck[:] = self.orders.pop(0)


def order(kinds_of_cards: np.ndarray, dealt: np.ndarray) -> np.ndarray:
    """The order of a deck that deals these kinds, from its end. Fails unless they make up the whole deck."""
    cards = {kind: list(np.flatnonzero(kinds_of_cards == kind)) for kind in np.unique(kinds_of_cards)}
    found = [cards[kind].pop() for kind in dealt.tolist()]
    assert not any(cards.values())
    return np.array(found[::-1])


def kinds_of_cards(theirs: Any, field: str) -> np.ndarray:
    deck = theirs.deck if hasattr(theirs, "deck") else theirs.value_deck
    return getattr(deck, field)


@pytest.fixture(scope="module", params=EVERY, ids=lambda case: f"{case[0]}-{LEVELS[case[1]]}")
def played(request, quick_compile, strict_types):
    """Episodes of random play and of the oracle's, long enough that every environment has begun new ones by itself."""
    name, level = request.param
    env = envs.make(name, LEVELS[level])
    random, oracle = play(env, jax.random.key(3), 4 if env.max_steps > 200 else 16, 2 * env.max_steps + 3)
    return GAMES[name], level, env, cut(random), cut(oracle)


def test_each_step_equals_popgyms(played):
    game, level, _, random, oracle = played
    theirs = getattr(popgym.envs, game.popgym + LEVELS[level].title())()
    assert len(random) >= 8
    assert len(oracle) >= 8
    for episode in random + oracle[:2]:
        kinds = kinds_of_cards(theirs, game.field[level])
        theirs.np_random = Stacked([order(kinds, dealt) for dealt in game.dealt(episode)])
        observations = [theirs.reset()[0]]
        outcomes = []
        for action in episode.actions:
            observation, reward, terminated, truncated, _ = theirs.step(action)
            observations.append(observation)
            outcomes.append((np.float32(reward), terminated, truncated))
        np.testing.assert_array_equal(episode.observations, np.array(observations))
        for ours, same in zip(episode[3:], zip(*outcomes, strict=True), strict=True):
            np.testing.assert_array_equal(ours, np.array(same))


def test_random_returns(played):
    game, level, _, random, _ = played
    assert_mean(returns(random), game.random[level])


def test_the_oracle_gets_what_can_be_got(played):
    game, level, env, _, oracle = played
    assert {len(episode.actions) for episode in oracle} == {game.steps[level]}
    np.testing.assert_allclose(returns(oracle), game.best[level], rtol=1e-6)
    assert all(env.action_space.contains(episode.actions).all() for episode in oracle)


def test_what_is_shown_varies(played):
    for episode in played[3]:
        assert len(np.unique(episode.observations)) > 1
