"""What POPGym's games leave to chance: the laws of decks, ships, mines and arms, and what they cost."""

import itertools
from collections import Counter
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from diffmem import envs
from diffmem.envs import decks
from experiments import bench_envs
from tests.test_envs_popgym import GAMES

pytestmark = pytest.mark.usefixtures("strict_types")


def assert_law(seen, law: dict):
    """What was seen has these probabilities, as far as a chi-squared test can tell."""
    found = Counter(map(tuple, seen))
    assert set(found) <= set(law)
    counts = [found[value] for value in law]
    assert chisquare(counts, np.array(list(law.values())) * len(seen)).pvalue > 1e-3


def many(draw, count=20_000):
    """Independent results of a function of a key, as lists."""
    return np.asarray(jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(8), count))).tolist()


def test_every_order_of_a_deck_is_as_likely():
    left = jnp.array([2, 0, 1, 1], jnp.int32)

    def deal_all(key):
        _, dealt = jax.lax.scan(lambda left, key: decks.deal(key, left)[::-1], left, jax.random.split(key, 4))
        return dealt

    orders = set(itertools.permutations([0, 0, 2, 3]))
    assert_law(many(deal_all), {order: 1 / len(orders) for order in orders})


def test_ships_are_placed_one_after_another_uniformly():
    """All boards of two ships of 2 and 3 squares on 3 by 3: the second is uniform given the first, not the pair."""

    def places(length):
        for line, start in itertools.product(range(3), range(4 - length)):
            yield frozenset((line, start + i) for i in range(length))
            yield frozenset((start + i, line) for i in range(length))

    law = Counter()
    firsts = list(places(2))
    for one in firsts:
        seconds = [other for other in places(3) if not one & other]
        for other in seconds:
            law[tuple(int((i, j) in one | other) for i in range(3) for j in range(3))] += 1 / len(firsts) / len(seconds)
    env = envs.make("battleship", size=3, ships=(2, 3))
    boards = many(lambda key: env.reset(key, env.init_params())[0].ships.ravel().astype(jnp.int32))
    assert_law(boards, law)


def test_every_field_of_mines_is_as_likely():
    env = envs.make("minesweeper", size=3, mines=4)
    fields = many(lambda key: env.reset(key, env.init_params())[0].mines.ravel().astype(jnp.int32))
    subsets = {tuple(int(i in mines) for i in range(9)) for mines in itertools.combinations(range(9), 4)}
    assert_law(fields, {field: 1 / len(subsets) for field in subsets})


def test_arms_pay_as_often_as_their_chances_say():
    env = envs.make("multiarmed_bandit")
    params = env.init_params()

    def gap(key):
        """Chances and payments of one arm; their difference is 0 on average."""
        state, _ = env.reset(key, params)
        paid = jax.vmap(lambda key: env.advance(key, params, state, 3)[1])(jax.random.split(jax.random.fold_in(key, 1), 25))
        return jnp.stack([state.chances[3], paid.astype(jnp.float32).mean()])

    chances, paid = np.array(many(gap, 4000)).T
    assert abs(chances.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 4000)
    assert abs((paid - chances).mean()) < 4 * np.sqrt(1 / 6 / 25 / 4000)
    for half in (chances < 0.5, chances >= 0.5):  # and not merely over all arms
        assert abs((paid - chances)[half].mean()) < 4 * np.sqrt(1 / 6 / 25 / half.sum())


def test_shooting_without_repeats_gets_one_thirteenth():
    """The last of 12 hits comes at 12 (n² + 1) / 13 of n² shots on average, so that (n² - 12) / 13 squares are spared."""
    env = envs.make("battleship", "easy")
    params = env.init_params()

    def total(key):
        state, _ = env.reset(key, params)

        def shoot(carry, square):
            state, going = carry
            state, _, reward, terminated, _ = env.advance(key, params, state, jnp.stack([square // 8, square % 8]))
            return (state, going & ~terminated), jnp.where(going, reward, jnp.float32(0))

        order = jax.random.permutation(jax.random.fold_in(key, 1), 64)
        return jax.lax.scan(shoot, (state, jnp.array(True)), order)[1].sum()

    scores = np.array(many(total, 2000))
    assert abs(scores.mean() - 1 / 13) < 3 * scores.std() / np.sqrt(len(scores))


# --- What a step costs ------------------------------------------------------------------------------------------------


def operations(function, *arguments) -> float:
    """Arithmetic operations of the program before XLA's optimisations, in which a loop would count once only."""
    lowered = jax.jit(function).lower(*arguments)
    assert not any(f"stablehlo.{name}" in lowered.as_text() for name in ("sort", "while"))
    return lowered.cost_analysis().get("flops", 0.0)


@pytest.fixture(scope="module")
def key():
    """Of a generator that XLA counts as one operation: what is left is what the environment itself does."""
    return jax.random.key(0, impl="unsafe_rbg")


def costs(env, key):
    """Operations of a reset, of an advance, and of a step with its automatic reset."""
    params = env.init_params()
    state, _ = jax.eval_shape(env.reset, key, params)
    action = jnp.zeros(env.action_space.shape, jnp.int32)
    reset = operations(env.reset, key, params)
    advance = operations(env.advance, key, params, state, action)
    return reset, advance, operations(partial(envs.step, env), key, params, state, action)


@pytest.mark.parametrize("name", ["repeat_first", "repeat_previous", "count_recall", "higher_lower"])
def test_a_fresh_deck_costs_the_same_whatever_its_size(name, key):
    one, sixteen = (costs(envs.make(name, decks=decks), key) for decks in (1, 16))
    assert one == sixteen


@pytest.mark.parametrize("name", GAMES)
def test_automatic_resets_are_cheap(name, key):
    """No sort, no loop; at most twice an advance, or a few operations for each square where ships go and for each arm."""
    for level in envs.entry(name).levels:
        env = envs.make(name, level)
        reset, advance, step = costs(env, key)
        limits = {"battleship": 50 * env.max_steps, "multiarmed_bandit": 8 * getattr(env, "arms", 0)}
        assert reset <= limits.get(name, 2 * advance)
        assert step <= 1.1 * (reset + advance) + 4 * env.action_space.size + 200


def test_the_benchmark_measures_us_and_popgym():
    env = envs.make("repeat_first")
    runs = {"ours": (bench_envs.rollout(env, 3, 5), 15), "theirs": (bench_envs.popgym_rollout(env, "easy", 60), 60)}
    assert min(rate for pair in bench_envs.rates(runs, repeats=1).values() for rate in pair) > 0
    assert bench_envs.popgym_rollout(envs.make("t_maze"), "easy", 5) is None


# --- Misuse -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GAMES)
def test_types_and_pictures(name):
    """A step keeps every type, in 64 bits too, rewards are float32; every state can be drawn."""
    env = envs.make(name)
    params = env.init_params()
    for wide in (False, True):
        with jax.enable_x64(wide):
            key, action = jax.random.key(0), jnp.zeros(env.action_space.shape, jnp.int32)
            state, observation = jax.eval_shape(env.reset, key, params)
            after, out = jax.eval_shape(partial(envs.step, env), key, params, state, action)
            assert after == state
            assert out.observation == out.final_observation == observation
            assert (out.reward.dtype, out.terminated.dtype, out.truncated.dtype) == (jnp.float32, bool, bool)
            assert observation.dtype == jnp.int32
            assert jax.eval_shape(env.oracle, params, state) == jax.ShapeDtypeStruct(action.shape, jnp.int32)
    state, _ = jax.jit(env.reset)(jax.random.key(1), params)
    assert env.render(state).strip()
    with pytest.raises(ValueError, match=f"{type(env).__name__}.render takes the state of one environment"):
        env.render(jax.tree.map(lambda a: a[None], state))


@pytest.mark.parametrize(("decks", "kinds"), [(1, 2), (2, 4), (1, 13)])
def test_cards_of_concentration_are_aligned(decks, kinds):
    """Every row is equally long, whatever has been seen, and cards do not touch."""
    env = envs.Concentration(decks, kinds)
    state, _ = env.reset(jax.random.key(0), env.init_params())
    seen = (jnp.arange(env.action_space.n, dtype=jnp.int8) * 5) % (kinds + 1) - 1
    rows = env.render(state._replace(seen=seen)).split("\n")
    assert {len(row) for row in rows} == {len(rows[0])}
    assert all(len(row.split()) == 13 for row in rows)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("repeat_first", dict(decks=0), "RepeatFirst.decks is 0; it must be an integer >= 1"),
        ("repeat_previous", dict(k=52), "RepeatPrevious.k is 52; it must be less than the number of cards, 52"),
        ("count_recall", dict(kinds=3), "CountRecall.kinds is 3; legal: 2, 4, 13"),
        ("concentration", dict(kinds=4), "13 cards of a kind are not pairs"),
        ("battleship", dict(size=3), "Battleship.ships is .2, 3, 3, 4. on a board of size 3"),
        ("battleship", dict(size=33), "that at most 32"),
        ("battleship", dict(ships=()), "there must be at least one"),
        ("battleship", dict(ships=5), r"Battleship.ships is 5; it must be a tuple of integers >= 1, such as \(3, 2\)"),
        ("battleship", dict(ships=(2, 0)), r"Battleship.ships\[1\] is 0"),
        ("battleship", dict(size=4, ships=(4, 4, 4)), "ship 1 may find no place"),
        ("minesweeper", dict(mines=14), "MineSweeper.mines is 14 on 16 squares; at least 3 must be clear"),
        ("multiarmed_bandit", dict(arms=0), "MultiarmedBandit.arms is 0"),
    ],
)
def test_bad_sizes(name, fields, message):
    with pytest.raises(ValueError, match=message):
        envs.make(name, **fields)


def test_an_action_out_of_range_acts_as_the_nearest():
    env = envs.make("battleship", "easy")
    params, key = env.init_params(), jax.random.key(2)
    step = jax.jit(partial(envs.step, env))
    state, _ = jax.jit(env.reset)(key, params)
    for action, nearest in (((-1, 3), (0, 3)), ((8, 99), (7, 7))):
        shots = step(key, params, state, jnp.array(action))[0].shots
        assert shots[nearest]
        assert shots.sum() == 1
    with pytest.raises(ValueError, match="legal for Battleship"):
        envs.check_action(env, (8, 0))


# --- Long runs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", GAMES)
def test_many_random_steps(name, steps):
    """No NaN, rewards within bounds, observations within the space, at the largest level."""
    env = envs.make(name, "hard")
    params, batch = env.init_params(), steps // 500

    def one(state, key):
        action_key, key = jax.random.split(key)
        state, out = envs.step(env, key, params, state, env.action_space.sample(action_key))
        return state, (env.observation_space.contains(out.observation) & (abs(out.reward) <= 1))

    @jax.jit
    def run(key):
        state, _ = jax.vmap(env.reset, (0, None))(jax.random.split(key, batch), params)

        def body(carry, key):
            state, sound = carry
            state, fine = jax.vmap(one)(state, jax.random.split(key, batch))
            return (state, sound & fine), None

        keys = jax.random.split(jax.random.fold_in(key, 1), 500)
        return jax.lax.scan(body, (state, jnp.ones(batch, bool)), keys)[0][1].all()

    assert run(jax.random.key(5))
