"""POPGym's games against POPGym itself, step by step, and their returns against what is known of them.

POPGym plays again the episodes that ours has played: its random generator is rigged to put the cards, the mines and so on
where ours had them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import popgym.envs
import pytest

from diffmem import envs
from tests.episodes import Episode, assert_mean, cut, play, returns

LEVELS = ("easy", "medium", "hard")


class Rigged:
    """A NumPy random generator whose results are given, one after another."""

    def __init__(self, *results):
        self.results = iter(results)

    def shuffle(self, deck):
        deck[:] = next(self.results)

    def random(self, *_, **__):
        return next(self.results)

    choice = random


def order(kinds_of_cards: np.ndarray, dealt: np.ndarray) -> np.ndarray:
    """The order of a deck that deals these kinds, from its end. Fails unless they make up the whole deck."""
    cards = {kind: list(np.flatnonzero(kinds_of_cards == kind)) for kind in np.unique(kinds_of_cards)}
    found = [cards[kind].pop() for kind in dealt.tolist()]
    assert not any(cards.values())
    return np.array(found[::-1])


def suits(theirs: Any, episode: Episode) -> Rigged:
    return Rigged(order(theirs.deck.suits_idx, episode.observations))


def watched_suits(theirs: Any, episode: Episode) -> Rigged:
    return Rigged(order(theirs.deck.suits_idx, episode.observations[: theirs.deck.num_cards, 1]))


def cards_and_questions(theirs: Any, episode: Episode) -> Rigged:
    return Rigged(*(order(theirs.deck_idx_type, dealt) for dealt in episode.observations.T))


def ranks(theirs: Any, episode: Episode) -> Rigged:
    return Rigged(order(theirs.deck.ranks_idx, episode.observations))


def table(theirs: Any, episode: Episode) -> Rigged:
    """Cards that were never looked at may be any of those that are left."""
    shown = episode.observations.min(0)  # face down is the largest
    unseen = shown == theirs.facedown_card
    kinds = np.arange(theirs.facedown_card)
    left = (theirs.deck_idx_type[:, None] == kinds).sum(0) - (shown[:, None] == kinds).sum(0)
    shown[unseen] = np.repeat(kinds, left)
    return Rigged(order(theirs.deck_idx_type, shown)[::-1])


def ships(theirs: Any, episode: Episode) -> Rigged:
    theirs.place_ship = lambda board, size: episode.states.ships[0].astype(np.int8)
    return Rigged()


def mines(theirs: Any, episode: Episode) -> Rigged:
    return Rigged(np.flatnonzero(episode.states.mines[0]))


def payments(theirs: Any, episode: Episode) -> Rigged:
    """Whether an arm pays is POPGym's comparison with a random number: one below, or above, every chance."""
    return Rigged(episode.states.chances[0], *np.where(episode.observations[1:], -1.0, 2.0))


class Game(NamedTuple):
    """What the tests know of a game; tuples are by level.

    Attributes:
        name: its class in POPGym, less the level.
        rig: the generator with which POPGym plays an episode again.
        random: expected return of random play.
        best: expected return of the oracle.
        steps: length of the oracle's episodes, None where it varies.
        error: standard error of the expected returns, at random and by the oracle, where they were measured.
    """

    name: str
    rig: Callable[[Any, Episode], Rigged]
    random: tuple[float, ...]
    best: tuple[float, ...]
    steps: tuple[int | None, ...]
    error: tuple[float, float] = (0.0, 0.0)


ONE, HALF, ZERO, VARIED = (1.0,) * 3, (-0.5,) * 3, (0.0,) * 3, (None,) * 3
# Expected returns are exact where they can be (one answer in four is right: 2/4 - 1), else measured on POPGym itself, random
# play in 1,500 to 8,000 episodes, perfect memory in Concentration in 1,500, counting cards in HigherLower in 3,000.
GAMES = {
    "repeat_first": Game("RepeatFirst", suits, HALF, ONE, (51, 415, 831)),
    "repeat_previous": Game("RepeatPrevious", suits, HALF, ONE, (51, 103, 155)),
    "autoencode": Game("Autoencode", watched_suits, HALF, ONE, (103, 207, 311)),
    "count_recall": Game("CountRecall", cards_and_questions, (2 / 27 - 1, 2 / 27 - 1, 2 / 17 - 1), ONE, (51, 103, 207)),
    "concentration": Game(
        "Concentration", table, (-0.1889, -0.1838, -0.8307), (0.8142, 0.8134, 0.6983), VARIED, (0.0028, 0.0009)
    ),
    "battleship": Game("Battleship", ships, (-0.4527, -0.4158, -0.4008), ONE, (12, 12, 12), (0.0037, 0.0)),
    "minesweeper": Game("MineSweeper", mines, (-0.2301, -0.4018, -0.4323), ONE, (14, 30, 54), (0.0037, 0.0)),
    "higher_lower": Game("HigherLower", ranks, ZERO, (0.5233, 0.5166, 0.5103), (51, 103, 155), (0.0, 0.0018)),
    # The best of A uniform chances is A/(A+1) on average.
    "multiarmed_bandit": Game("MultiarmedBandit", payments, ZERO, (20 / 11 - 1, 40 / 21 - 1, 60 / 31 - 1), (200, 400, 600)),
}
EVERY = [(name, level) for name in GAMES for level in range(3)]


@pytest.fixture(scope="module", params=EVERY, ids=lambda case: f"{case[0]}-{LEVELS[case[1]]}")
def played(request, strict_types):
    """Episodes of random play and of the oracle's, long enough that every environment has begun new ones by itself."""
    name, level = request.param
    env = envs.make(name, LEVELS[level])
    random, oracle = play(env, jax.random.key(3), 8 if env.max_steps > 200 else 48, 2 * env.max_steps + 3)
    return GAMES[name], level, env, cut(random), cut(oracle)


def test_each_step_equals_popgyms(played):
    game, level, env, random, oracle = played
    theirs = getattr(popgym.envs, game.name + LEVELS[level].title())()
    for episode in [*random[: max(6, 2500 // env.max_steps)], *oracle[:3]]:
        theirs.np_random = game.rig(theirs, episode)
        observations = [theirs.reset()[0]]
        outcomes = []
        for action in episode.actions:
            observation, reward, terminated, truncated, _ = theirs.step(action)
            observations.append(observation)
            outcomes.append((np.float32(reward), terminated, truncated))
        np.testing.assert_array_equal(episode.observations, np.array(observations))
        for ours, same in zip(episode[3:], zip(*outcomes, strict=True), strict=True):
            np.testing.assert_array_equal(ours, np.array(same))


def test_spaces_equal_popgyms(played):
    game, level, env, *_ = played
    theirs = getattr(popgym.envs, game.name + LEVELS[level].title())()
    assert sizes(env.action_space) == sizes(theirs.action_space)
    assert sizes(env.observation_space) == sizes(theirs.observation_space)


def sizes(space) -> list[int]:
    """How many values each component of a discrete space has."""
    if hasattr(space, "n"):
        return [int(space.n)]
    parts = getattr(space, "counts", getattr(space, "nvec", None))
    return [int(n) for n in parts] if parts is not None else [int(part.n) for part in space]


def test_random_returns(played):
    game, level, _, random, _ = played
    assert_mean(returns(random), game.random[level], game.error[0])


def test_the_oracle_gets_what_can_be_got(played):
    game, level, _, _, oracle = played
    if game.steps[level]:
        assert {len(episode.actions) for episode in oracle} == {game.steps[level]}
    assert_mean(returns(oracle), game.best[level], game.error[1])


def test_all_is_within_the_spaces(played):
    _, _, env, random, oracle = played
    episodes = random + oracle
    assert env.action_space.contains(np.concatenate([episode.actions for episode in episodes])).all()
    assert env.observation_space.contains(np.concatenate([episode.observations for episode in episodes])).all()
    assert max(len(episode.actions) for episode in episodes) <= env.max_steps


def test_what_is_shown_varies(played):
    for episode in played[3]:
        assert len(np.unique(episode.observations)) > 1
