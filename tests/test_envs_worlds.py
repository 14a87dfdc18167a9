"""Environments: laws that all keep, and returns and episodes that come from papers, other code, or hand."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import popgym.envs
import pytest

from diffmem import envs
from diffmem.envs import ballet, mini_pacman

pytestmark = pytest.mark.usefixtures("strict_types")

# Return of the reference policy and of random play, at each level; None: a test below says what it must be. Random play of
# CartPole and Pendulum is POPGym's own, over 20,000 and 2,000 episodes; -150 is a good pendulum controller's return in
# Gymnasium's unit, which is 0.908 here.
CARTPOLE, PENDULUM = (1.0, 0.1114), (0.908, 0.2504)
ANCHORS = {
    "associative_recall": {"easy": (1.0, -0.5), "medium": (1.0, -0.75), "hard": (1.0, -0.875)},
    "t_maze": {"easy": (1.0, None), "medium": (1.0, None), "hard": (1.0, None)},
    "active_t_maze": {"easy": (1.0, None)},
    "ballet": {"easy": (1.0, None), "medium": (1.0, None), "hard": (1.0, None)},
    "mini_pacman": {"easy": (None, None), "hard": (None, None)},
    "memory_chain": {"easy": (1.0, 0.0), "hard": (1.0, 0.0)},
    "umbrella": {"easy": (None, 0.0)},
    "position_only_cartpole": {"easy": CARTPOLE, "hard": (1.0, CARTPOLE[1] / 3)},
    "noisy_position_only_cartpole": {"easy": CARTPOLE},
    "velocity_only_cartpole": {"easy": CARTPOLE},
    "position_only_pendulum": {"easy": PENDULUM},
    "noisy_position_only_pendulum": {"easy": PENDULUM},
}
# The standard errors of figures that were measured.
MEASURED = {CARTPOLE: (0.0, 0.0004), PENDULUM: (0.01, 0.004)}
LEVELS = [(name, level) for name, levels in ANCHORS.items() for level in levels]
every_level = pytest.mark.parametrize(("name", "level"), LEVELS)


class Played(NamedTuple):
    """First episodes of many environments: their return and length, how they ended, and whether all was as it should be."""

    score: np.ndarray
    length: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    sound: np.ndarray


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _play(env, count, steps, oracles, key) -> Played:
    params, keys = env.init_params(), jax.random.split(key, (steps + 1, count))
    state, first = jax.vmap(env.reset, (0, None))(keys[0], params)

    def one(state, key, by_oracle):
        best, random = env.oracle(params, state), env.action_space.sample(key)
        action = jnp.where(by_oracle, best, random)
        state, out = envs.step(env, key, params, state, action)
        seen = env.observation_space.contains(out.observation) & env.observation_space.contains(out.final_observation)
        sound = seen & env.action_space.contains(best) & jnp.isfinite(out.reward)
        return state, (out.reward, out.terminated, out.truncated, sound)

    def all_of_them(carry, keys):
        state, played = carry
        state, (reward, terminated, truncated, sound) = jax.vmap(one)(state, keys, jnp.arange(count) < oracles)
        going = ~(played.terminated | played.truncated)
        played = Played(
            played.score + jnp.where(going, reward, 0.0),
            played.length + going.astype(jnp.int32),
            played.terminated | (going & terminated),
            played.truncated | (going & truncated),
            played.sound & sound,
        )
        return (state, played), None

    zero, no = jnp.zeros(count), jnp.zeros(count, bool)
    start = Played(zero, zero.astype(jnp.int32), no, no, jax.vmap(env.observation_space.contains)(first))
    return jax.lax.scan(all_of_them, (state, start), keys[1:])[0][1]


def play(env, count, steps=None, oracles=16, seed=1) -> tuple[Played, Played]:
    """Plays episode after episode: the first few environments by the oracle, the others at random."""
    played = _play(env, count + oracles, steps or env.max_steps, oracles, jax.random.key(seed))
    played = Played(*map(np.asarray, played))
    return Played(*(x[:oracles] for x in played)), Played(*(x[oracles:] for x in played))


@partial(jax.jit, static_argnums=(0, 1))
def record(env, steps, key):
    """Steps by the oracle: observations [steps + 1, ...], actions [steps], rewards [steps]."""
    params, keys = env.init_params(), jax.random.split(key, steps + 1)
    state, first = env.reset(keys[0], params)

    def one(state, key):
        action = env.oracle(params, state)
        state, observation, reward, *_ = env.advance(key, params, state, action)
        return state, (observation, action, reward)

    seen, actions, rewards = jax.lax.scan(one, state, keys[1:])[1]
    return jnp.concatenate([first[None], seen]), actions, rewards


# --- laws -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("full_compile")
@every_level
def test_anchors(name, level):
    """The reference policy and random play earn what they should, inside the spaces, and end in time.

    At the first level in a million random steps.
    """
    env, (best, mean) = envs.make(name, level), ANCHORS[name][level]
    first = level == next(iter(ANCHORS[name]))
    steps = min(env.max_steps, 1024)
    count = 1_000_000 // steps if first else max(64, 100_000 // steps)
    oracle, random = play(env, count, steps)
    for played in (oracle, random):
        assert played.sound.all()
        assert (played.terminated | played.truncated).all() or "pacman" in name
        assert played.length.max() <= env.max_steps
    error, random_error = MEASURED.get(ANCHORS[name][level], (0.0, 0.0))
    if name == "mini_pacman":  # no figures are published: the reference policy clears levels, and outlives random play by far
        assert oracle.score.mean() > 138
        assert oracle.length.mean() > 3 * random.length.mean()
    if best is not None:
        np.testing.assert_allclose(oracle.score.mean() if error else oracle.score, best, atol=error + 1e-5)
    if mean is not None:
        assert abs(random.score.mean() - mean) < 4 * np.hypot(random.score.std() / np.sqrt(count), random_error)


@pytest.mark.parametrize("name", ANCHORS)
def test_types_and_reset(name):
    """Float32 rewards, bool flags; a step keeps every type; an ended episode shows the next one's first observation."""
    env = envs.make(name)
    params, key = env.init_params(), jax.random.key(4)
    state, observation = env.reset(key, params)
    after, out = jax.eval_shape(partial(envs.step, env), key, params, state, env.action_space.sample(key))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(lambda x: (x.shape, x.dtype), state)
    assert (out.reward.dtype, out.terminated.dtype, out.truncated.dtype) == (jnp.float32, bool, bool)
    assert (out.observation.shape, out.observation.dtype) == (observation.shape, observation.dtype)
    assert observation.shape == env.observation_space.shape
    assert env.observation_space.flatten(observation).shape == (env.observation_space.size,)
    assert isinstance(env.render(state), str)
    assert hash(env) == hash(envs.make(name))


# --- associative recall -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_recall_read_from_what_is_shown(level):
    """A reader that knows only the observations finds the answers, and the numbers of pairs, bindings and questions."""
    env = envs.make("associative_recall", level)
    seen, actions, rewards = map(np.asarray, record(env, env.max_steps, jax.random.key(5)))
    bound, writes, late = {}, {}, 0
    for t, (key, value, phase) in enumerate(seen[:-1]):
        if phase == 0:
            late += len(bound) == env.pairs
            assert value < env.values
            assert bound.get(key) != value
            bound[key], writes[key] = value, writes.get(key, 0) + 1
        elif phase == 1:
            assert value < env.values
        else:
            assert value == env.values
            assert actions[t] == bound[key]
        assert np.isclose(rewards[t], phase == 2 and 1 / env.queries)
    phases = np.bincount(seen[:-1, 2], minlength=3).tolist()
    assert phases == [env.pairs + env.rebindings, env.gap, env.queries]
    assert sorted(writes.values()) == [1] * (env.pairs - env.rebindings) + [2] * env.rebindings
    assert late < env.rebindings or env.rebindings < 4  # bindings of both kinds are mixed


def test_recall_counts_the_latest_value_only():
    """Key 3 was 1 and is 2: answer 2 earns a quarter, 1 costs a quarter, an answer before the question nothing."""
    env = envs.AssociativeRecall(pairs=2, keys=5, values=3, gap=1, queries=4, rebindings=1)
    params, key = env.init_params(), jax.random.key(0)
    state, _ = env.reset(key, params)
    typed = state._replace(time=jnp.int32(4), bound=jnp.array([0, 0, 0, 2, 0]), writes=jnp.array([0, 1, 0, 2, 0]))
    typed = typed._replace(key=jnp.int32(3), value=jnp.int32(3))
    rewards = [float(env.advance(key, params, typed, jnp.int32(action))[2]) for action in range(3)]
    assert rewards == [-0.25, -0.25, 0.25]
    assert float(env.advance(key, params, typed._replace(time=jnp.int32(3)), jnp.int32(2))[2]) == 0
    ends = [bool(env.advance(key, params, typed._replace(time=jnp.int32(t)), jnp.int32(0))[3]) for t in (6, 7)]
    assert ends == [False, True]


def test_recall_draws_evenly():
    """Each key is as likely as the other, bound, bound again and asked for; and so is each value."""
    env = envs.AssociativeRecall(pairs=3, keys=5, values=4, gap=1, queries=2, rebindings=2)
    keys = jax.random.split(jax.random.key(6), (env.max_steps, 4000))
    state, first = jax.vmap(env.reset, (0, None))(keys[0], env.init_params())

    def advance(state, keys):
        state, observation, *_ = jax.vmap(env.advance, (0, None, 0, None))(keys, env.init_params(), state, jnp.int32(0))
        return state, observation

    seen = np.concatenate([first[None], jax.lax.scan(advance, state, keys[1:])[1]])
    for t, shown in enumerate(seen):
        counts = np.bincount(shown[:, 0], minlength=env.keys)
        assert np.abs(counts - 800).max() < 5 * np.sqrt(800 * 0.8), t
        if shown[0, 2] < 2:
            assert np.abs(np.bincount(shown[:, 1], minlength=4)[:4] - 1000).max() < 5 * np.sqrt(1000 * 0.75), t


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (dict(pairs=9), "pairs is 9; there are only 8 keys"),
        (dict(rebindings=5), "rebindings is 5; there are only 4 pairs"),
        (dict(values=1), "values is 1; it must be an integer >= 2"),
    ],
)
def test_recall_bad_sizes(fields, message):
    with pytest.raises(ValueError, match=message):
        envs.make("associative_recall", **fields)


# --- T-maze -----------------------------------------------------------------------------------------------------------

EPISODES = [
    # active, goal, moves, observations, rewards; length 2. Right, up, left, down are r, u, l, d.
    (False, 1, "rru", [(0, 1), (0, 0), (1, 0), (1, 1)], [0, 0, 1]),
    (False, -1, "rru", [(0, -1), (0, 0), (1, 0), (1, 1)], [0, 0, 0]),
    (False, 1, "lur", [(0, 1), (0, 0), (0, 0), (0, 0)], [-0.5, -0.5, 0]),
    (True, -1, "lrrrd", [(0, 0), (0, -1), (0, 0), (0, 0), (1, 0), (1, -1)], [0, 0, 0, 0, 1]),
    (True, 1, "lrlru", [(0, 0), (0, 1), (0, 0), (0, 0), (0, 0), (0, 0)], [0, 0, -0.5, -0.5, 0]),
    (True, 1, "rruul", [(0, 0), (0, 0), (1, 0), (1, 1), (1, 1), (1, 1)], [0, 0, 0, 0, 1]),
]


@pytest.mark.parametrize(("active", "goal", "moves", "seen", "rewards"), EPISODES)
def test_t_maze_episodes(active, goal, moves, seen, rewards):
    env = envs.TMaze(length=2, active=active)
    params = env.init_params()
    seed = next(s for s in range(99) if int(env.reset(jax.random.key(s), params)[0].goal) == goal)
    state, observation = env.reset(jax.random.key(seed), params)
    assert tuple(observation) == seen[0]
    for t, move in enumerate(moves):
        state, observation, reward, ended, cut = env.advance(jax.random.key(t), params, state, jnp.int32("ruld".index(move)))
        assert (tuple(observation), float(reward)) == (seen[t + 1], rewards[t])
        assert (bool(ended), bool(cut)) == (t + 1 == len(moves), False)


@pytest.mark.parametrize(("active", "length"), [(False, 6), (True, 5)])
def test_t_maze_random_return(active, length):
    """Random play earns what a Markov chain over the cells of the paper's maze says."""
    start, end = int(active), int(active) + length
    cells = [(x, 0) for x in range(end + 1)] + [(end, 1), (end, -1)]
    chance, expected, horizon = {(start, 0): 1.0}, 0.0, length + 2 * start + 1
    for time in range(1, horizon + 1):
        after = dict.fromkeys(cells, 0.0)
        for (x, y), p in chance.items():
            for move in ((1, 0), (0, 1), (-1, 0), (0, -1)):
                to = (x + move[0], y + move[1])
                after[to if to in after else (x, y)] += p / 4
        chance = after
        if time < horizon:
            expected -= sum(p for (x, _), p in chance.items() if x < time - start) / length
    expected += (chance[end, 1] + chance[end, -1]) / 2
    env = envs.TMaze(length=length, active=active)
    score = play(env, 4096)[1].score
    assert abs(score.mean() - expected) < 4 * score.std() / 64


# --- CartPole and Pendulum --------------------------------------------------------------------------------------------


class Injected:
    """A random generator with these starts and this noise."""

    def __init__(self, start, noise):
        self.start, self.noise = np.asarray(start, np.float64), noise

    def uniform(self, low, high, size=None):
        return self.start

    def normal(self, mean, sigma):
        return mean + sigma * self.noise


CONTROLS = [
    ("position_only_cartpole", "hard", {}),
    ("position_only_cartpole", "easy", dict(gravity=5.0)),
    ("noisy_position_only_cartpole", "medium", {}),
    ("velocity_only_cartpole", "easy", {}),
    ("position_only_pendulum", "hard", {}),
    ("noisy_position_only_pendulum", "hard", dict(gravity=5.0)),
]


@pytest.mark.parametrize(("name", "level", "other"), CONTROLS)
def test_control_equals_popgym(name, level, other, monkeypatch):
    """Each step from the same state, with the same noise, shows and earns the same; random play and the oracle's."""
    noise = np.array([0.7, -1.3])
    monkeypatch.setattr(jax.random, "normal", lambda key, shape, dtype: jnp.array(noise, dtype))
    env, is_cart = envs.make(name, level), "cart" in name
    theirs = getattr(popgym.envs, name.title().replace("_", "").replace("pole", "Pole") + level.title())()
    params = env.init_params()._replace(**other)
    if other:
        setattr(theirs, "gravity" if is_cart else "g", other["gravity"])

    @jax.jit
    def episode(key, by_oracle):
        def one(state, key):
            action = jnp.where(by_oracle, env.oracle(params, state), env.action_space.sample(key))
            after, *shown = env.advance(key, params, state, action)
            return after, (state[1:], action, shown)

        keys = jax.random.split(key, env.max_steps + 1)
        state, first = env.reset(keys[0], params)
        return first, jax.lax.scan(one, state, keys[1:])[1]

    for seed, by_oracle in enumerate((True, False, False)):
        first, (states, actions, shown) = jax.tree.map(np.asarray, episode(jax.random.key(seed), by_oracle))
        states = states[0] if is_cart else np.stack(states, 1)
        theirs.np_random = Injected(states[0], noise)
        observation = theirs.reset()[0]
        if name != "velocity_only_cartpole":  # whose first observation in POPGym is of the positions
            np.testing.assert_allclose(first, observation, atol=1e-6)
        for t in range(env.max_steps):
            theirs.state = states[t].astype(np.float64)
            observation, reward, terminated, truncated, _ = theirs.step(actions[t])
            np.testing.assert_allclose(shown[0][t], observation, atol=2e-6)
            np.testing.assert_allclose(shown[1][t], reward, atol=1e-7)
            assert (shown[2][t], shown[3][t]) == (terminated, truncated and not terminated)
            if terminated or truncated:
                break
        assert t > 5


def test_noise_is_normal_and_may_be_traced():
    """The observation less the truth has the given deviation, at each of two noise levels in one program."""
    env = envs.make("noisy_position_only_cartpole")
    keys = jax.random.split(jax.random.key(8), 4000)

    def residuals(sigma):
        params = env.init_params()._replace(noise=sigma)
        return jax.vmap(lambda key: env.reset(key, params)[1] - env.reset(key, params)[0].motion[::2])(keys)

    for sigma, residual in zip((0.05, 0.1), jax.vmap(residuals)(jnp.array([0.05, 0.1])), strict=True):
        np.testing.assert_allclose(residual.std(0), sigma, rtol=4 / np.sqrt(8000))
        np.testing.assert_allclose(residual.mean(0), 0, atol=4 * sigma / np.sqrt(4000))


@pytest.mark.parametrize("noise", [-0.1, float("nan"), float("inf"), "a", True])
@pytest.mark.parametrize("name", ["noisy_position_only_cartpole", "noisy_position_only_pendulum"])
def test_control_bad_noise(name, noise):
    with pytest.raises(ValueError, match="noise is"):
        envs.make(name, noise=noise)


def test_samples_of_a_box():
    """Uniform between two bounds; without bounds, even the greatest numbers, normal; beyond a single bound exponential."""
    least, most, inf = float(jnp.finfo(jnp.float32).min), float(jnp.finfo(jnp.float32).max), float("inf")
    box = envs.Box((2.0, -inf, least, 3.0, -inf), (4.0, inf, most, inf, 3.0), (5,))
    drawn = np.asarray(jax.vmap(box.sample)(jax.random.split(jax.random.key(0), 4000)))
    assert np.asarray(box.contains(drawn)).all()
    np.testing.assert_allclose(drawn.mean(0), [3, 0, 0, 4, 2], atol=0.1)
    np.testing.assert_allclose(drawn.std(0), [2 / np.sqrt(12), 1, 1, 1, 1], rtol=0.1)


# --- the chains of bsuite ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("repeat_first", [False, True])
def test_memory_chain_episode(repeat_first):
    """Length 4, context 0 1 1, asked for bit 2; bsuite shows the first observation twice."""
    env = envs.MemoryChain(length=4, bits=3, repeat_first=repeat_first)
    params, key = env.init_params(), jax.random.key(0)
    state, _ = env.reset(key, params)
    state = state._replace(context=jnp.array([0, 1, 1]), query=jnp.int32(2))
    first = [1, 0, -1, 1, 1]
    typed = [first] * repeat_first + [[0.75, 0, 0, 0, 0], [0.5, 0, 0, 0, 0], [0.25, 2, 0, 0, 0], [0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(env._observe(state), first)
    for t, row in enumerate(typed):
        last = t == len(typed) - 1
        for action in (0, 1):
            after, observation, reward, *ended = env.advance(key, params, state, jnp.int32(action))
            assert observation.tolist() == row
            assert float(reward) == (last and (1 if action == 1 else -1))
            assert [bool(flag) for flag in ended] == [last, False]
        state = after


def test_umbrella_episode():
    """The first action decides; the steps between toss coins of 1 and -1; what is needed is always on view."""
    env = envs.Umbrella(length=3, distractors=4)
    params, key = env.init_params(), jax.random.key(0)
    for need, action in ((0, 0), (0, 1), (1, 0), (1, 1)):
        state = env.reset(key, params)[0]._replace(need=jnp.int32(need))
        for t, chosen in enumerate((action, 1 - action, 0)):
            state, observation, reward, *ended = env.advance(jax.random.fold_in(key, t), params, state, jnp.int32(chosen))
            np.testing.assert_allclose(observation[:3], [need, action, 1 - (t + 1) / 3], atol=1e-7)
            assert float(reward) in ({1.0, -1.0} if t < 2 else {1.0 if need == action else -1.0})
            assert [bool(flag) for flag in ended] == [t == 2, False]


# --- ballet -----------------------------------------------------------------------------------------------------------


def test_dances():
    """All thirteen differ, stay in their 3 x 3 cells and come back; those that mirror another do."""
    assert len({tuple(map(tuple, places)) for places in ballet.PLACES}) == len(ballet.DANCES) == 13
    assert np.abs(ballet.PLACES).max() == 1
    assert ballet.PLACES.shape == (13, 17, 2)
    assert not ballet.PLACES[:, -1].any()
    places = dict(zip(ballet.DANCES, ballet.PLACES, strict=True))
    for name, other, turn in [
        ("circle_cw", "circle_ccw", [1, -1]),
        ("plus_cw", "plus_ccw", [1, -1]),
        ("times_cw", "times_ccw", [1, -1]),
        ("diagonal_uldr", "diagonal_urdl", [1, -1]),
        ("chevron_down", "chevron_up", [-1, -1]),
    ]:
        np.testing.assert_array_equal(places[name] * turn, places[other])
    np.testing.assert_array_equal(places["left_and_right"], -places["up_and_down"][:, ::-1])


def test_ballet_read_from_what_is_shown():
    """A reader of offsets alone names each dance, in turn, 16 moves and a pause apart; the oracle goes where it should."""
    env = envs.make("ballet", dancers=3, delay=5, steps=70)
    seen, actions, rewards = map(np.asarray, record(env, 3 * 20 + 3, jax.random.key(9)))
    cells = seen[:, :-14].reshape(len(seen), 8, -1)
    present = cells[0, :, 0] == 1
    assert present.sum() == 3
    assert not cells[:, ~present].any()
    assert all(len(set(cells[0, present, part].argmax(1))) == 3 for part in (slice(3, 22), slice(22, 37)))
    offsets = np.rint(8 * cells[..., 1:3]).astype(int)
    home = ballet.CELLS - ballet.CENTRE
    found = {}
    for cell in np.flatnonzero(present):
        moved = np.flatnonzero((offsets[:60, cell] != home[cell]).any(1))
        begin = 20 * (moved[0] // 20)
        moves = offsets[begin : begin + 16, cell] - home[cell]
        (dance,) = np.flatnonzero((ballet.PLACES[:, 1:] == moves).all((1, 2)))
        found[cell] = dance
        assert moved[-1] < begin + 16
    assert sorted(20 * (np.flatnonzero((offsets[:60, c] != home[c]).any(1))[0] // 20) for c in found) == [0, 20, 40]
    told = seen[:, -14:].argmax(1)
    assert not told[:60].any()
    assert len(set(told[60:])) == 1
    (right,) = (cell for cell, dance in found.items() if dance + 1 == told[60])
    assert rewards.tolist() == [0] * 62 + [1]
    assert set(actions[60:]) == {np.flatnonzero((np.sign(home[right]) == ballet.DIRECTIONS).all(1))[0]}


def test_ballet_choice():
    """Nothing moves before the end of the dances; a wrong dancer ends the episode with 0, walls hold, time cuts off."""
    env = envs.make("ballet", dancers=2, delay=1, steps=40)
    params, key = env.init_params(), jax.random.key(0)
    state = env.reset(key, params)[0]._replace(turn=jnp.array([0, 1, 2, 3, 4, 5, 6, 7]), target=jnp.int32(0))
    go = lambda state, action: env.advance(key, params, state, jnp.int32(action))  # noqa: E731
    still = go(state._replace(time=jnp.int32(31)), 0)
    assert still[0].agent.tolist() == [4, 4]
    state = state._replace(time=jnp.int32(32))
    for place, action, reward, ended in [
        ((2, 4), 0, 0, True),
        ((2, 2), 7, 1, True),
        ((6, 4), 4, 0, False),
        ((0, 0), 7, 0, False),
    ]:
        after, _, got, *flags = go(state._replace(agent=jnp.array(place)), action)
        assert (float(got), *map(bool, flags)) == (reward, ended, False)
        assert place != (0, 0) or after.agent.tolist() == [0, 0]
    assert [bool(flag) for flag in go(state._replace(time=jnp.int32(39)), 0)[3:]] == [False, True]


def test_ballet_random_return():
    """Of the dancers that random play meets, every eighth is the right one."""
    random = play(envs.make("ballet", delay=1, steps=400, dancers=8), 500)[1]
    assert random.terminated.mean() > 0.9
    assert abs(random.score[random.terminated].mean() - 1 / 8) < 4 * np.sqrt(1 / 8 * 7 / 8 / 450)


@pytest.mark.parametrize(
    ("fields", "message"), [(dict(dancers=9), "room for 8"), (dict(steps=64), "steps is 64; the dances and the way take 65")]
)
def test_ballet_bad_sizes(fields, message):
    with pytest.raises(ValueError, match=message):
        envs.make("ballet", **fields)


# --- Mini PacMan ------------------------------------------------------------------------------------------------------

RIGHT, UP, LEFT, DOWN = 1, 2, 3, 4


def cell(row, column):
    return int(mini_pacman.NUMBER[row, column])


def pacman(mode="regular", **typed):
    """An environment with one ghost at rest, and a state: pacman in the top left corner, all else far away."""
    env = envs.MiniPacMan(view=5, mode=mode, max_ghosts=3)
    state = env.reset(jax.random.key(0), env.init_params())[0]
    usual = dict(level=-4, pacman=cell(1, 1), pills=[cell(13, 17), cell(13, 16)], ghosts=[cell(13, 9)] * 3, facing=[0] * 3)
    usual |= dict(alive=[True, False, False]) | typed  # on level -4 a ghost moves with probability 0
    return env, state._replace(**{name: jnp.array(value) for name, value in usual.items()})


@partial(jax.jit, static_argnums=0)
def advance(env, keys, params, state, action):
    """The same step with several keys."""
    return jax.vmap(env.advance, (0, None, None, None))(keys, params, state, action)


def test_maze():
    """15 x 19, symmetric, everything within reach, no dead ends."""
    walls = mini_pacman.WALLS
    assert walls.shape == (15, 19)
    np.testing.assert_array_equal(walls, walls[::-1])
    np.testing.assert_array_equal(walls, walls[:, ::-1])
    assert mini_pacman.DISTANCES.max() < len(mini_pacman.CELLS) == (~walls).sum()
    assert ((mini_pacman.NEXT[:, 1:] != np.arange(138)[:, None]).sum(1) >= 2).all()
    assert mini_pacman.DISTANCES[cell(1, 1), cell(1, 5)] == 8  # around the wall at (1, 4)


ALL_FOOD, ONE_FOOD = np.ones(138, bool), np.arange(138) == cell(1, 2)
SOME_FOOD = ~np.isin(np.arange(138), [cell(1, 1), cell(1, 2)])
TOUCH = dict(ghosts=[cell(1, 2), cell(1, 2), cell(13, 9)], alive=[True, True, True], food=SOME_FOOD)
RULES = {
    # mode, what differs from the usual state, action, reward, what follows
    "food": ("regular", {}, RIGHT, 1, dict(pacman=cell(1, 2), terminated=False)),
    "food is gone": ("regular", dict(food=SOME_FOOD), RIGHT, 0, dict(pacman=cell(1, 2))),
    "a wall": ("regular", dict(food=SOME_FOOD), UP, 0, dict(pacman=cell(1, 1))),
    "stay": ("regular", dict(food=SOME_FOOD), 0, 0, dict(pacman=cell(1, 1))),
    "down": ("rush", {}, DOWN, -0.1, dict(pacman=cell(2, 1))),
    "left": ("rush", dict(pacman=cell(1, 3)), LEFT, -0.1, dict(pacman=cell(1, 2))),
    "pill": ("regular", dict(pills=[cell(1, 2)] * 2), RIGHT, 1 + 2, dict(power=20, left=[False, True])),
    "power wanes": ("regular", dict(power=7), RIGHT, 1, dict(power=6)),
    "last pill": ("rush", dict(pills=[cell(1, 2)] * 2, left=[False, True]), RIGHT, 10 - 0.1, dict(level=-3, timer=0)),
    "last food": ("regular", dict(food=ONE_FOOD), RIGHT, 1, dict(level=-3, timer=0, food=ALL_FOOD, left=[True, True])),
    "last food of a hunt": ("hunt", dict(food=ONE_FOOD), RIGHT, 0, dict(level=-4, timer=1)),
    "avoid": ("avoid", {}, RIGHT, 0.1 - 0.1, dict(level=-4)),
    "avoid, time is over": ("avoid", dict(timer=127), RIGHT, 0.1 - 0.1, dict(level=-3, timer=0)),
    "death": ("hunt", TOUCH, RIGHT, -20, dict(terminated=True)),
    "death without a price": ("regular", TOUCH, RIGHT, 0, dict(terminated=True)),
    "power over, death": ("hunt", TOUCH | dict(power=1), RIGHT, -20, dict(terminated=True)),
    "no touch, no death": ("hunt", TOUCH, 0, 0, dict(terminated=False)),
    "one ghost a step": ("hunt", TOUCH | dict(power=9), RIGHT, 10, dict(terminated=False, alive=[False, True, True])),
    "last ghost": ("hunt", TOUCH | dict(power=9, alive=[False, True, False]), RIGHT, 10, dict(level=-3, power=0)),
    "time": ("regular", dict(time=2999), RIGHT, 1, dict(truncated=True, terminated=False)),
}


@pytest.mark.parametrize("rule", RULES)
def test_pacman_rules(rule):
    mode, typed, action, reward, follows = RULES[rule]
    env, state = pacman(mode, **typed)
    outcome = advance(env, jax.random.split(jax.random.key(0), 1), env.init_params(), state, jnp.int32(action))
    after, _, got, terminated, truncated = jax.tree.map(lambda x: x[0], outcome)
    np.testing.assert_allclose(got, reward, atol=1e-6)
    after = after._asdict() | dict(terminated=terminated, truncated=truncated)
    for name, value in follows.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)


GHOSTS = [
    # place, facing (0 right, 1 up, 2 left, 3 down), power, where it goes; pacman is in the top left corner
    ((1, 2), 0, 0, (1, 3)),  # a corridor: on, even away from pacman
    ((1, 2), 2, 9, (1, 1)),  # and towards it under power
    ((1, 3), 0, 0, (2, 3)),  # a bend
    ((3, 1), 1, 0, (2, 1)),  # a junction: towards pacman
    ((3, 1), 2, 9, (4, 1)),  # away from it
    ((3, 3), 0, 0, (2, 3)),  # no turning back to (3, 2), as near to pacman
]


@pytest.mark.parametrize(("place", "facing", "power", "goes"), GHOSTS)
def test_ghosts_move(place, facing, power, goes):
    env, state = pacman(level=6, ghosts=[cell(*place)] * 3, facing=[facing] * 3, power=power + 1)
    params = env.init_params()._replace(random=0.0)
    keys = jax.random.split(jax.random.key(1), 400)
    ghosts = np.asarray(advance(env, keys, params, state, jnp.int32(0))[0].ghosts[:, 0])
    speed = (ghosts == cell(*goes)).mean()
    assert set(ghosts.tolist()) <= {cell(*goes), cell(*place)}
    assert speed == 1 if not power else 0.3 < speed < 0.7


def test_ghosts_err_and_begin_far_away():
    env, state = pacman(level=6, ghosts=[cell(3, 1)] * 3, facing=[1] * 3)
    keys = jax.random.split(jax.random.key(2), 8000)
    ghosts = np.asarray(advance(env, keys, env.init_params(), state, jnp.int32(0))[0].ghosts[:, 0])
    strayed = (ghosts == cell(3, 2)).mean()  # one of two ways, one time in twenty
    assert abs(strayed - 0.025) < 4 * np.sqrt(0.025 / 8000)
    state = jax.jit(jax.vmap(env.reset, (0, None)))(keys, env.init_params())[0]
    apart = np.abs(mini_pacman.CELLS[state.ghosts] - mini_pacman.CELLS[state.pacman][:, None]).max(2)
    assert apart.min() == 6
    assert state.alive.sum(1).tolist() == [1] * 8000
    assert [int(env._begin(keys[0], jnp.int32(0), jnp.int32(n)).alive.sum()) for n in (2, 3, 5, 99)] == [1, 2, 3, 3]


def test_pacman_view():
    """The square around pacman is cut from the whole picture; beyond the maze there are walls."""
    env, state = pacman(power=5, ghosts=[cell(1, 3)] * 3, pills=[cell(2, 1), cell(1, 2)], left=[True, False], food=ONE_FOOD)
    seen, whole = env._observe(state), envs.MiniPacMan(view=0)._observe(state)
    assert whole.shape == (15, 19, 6)
    np.testing.assert_array_equal(seen[1:, 1:], whole[:4, :4])
    np.testing.assert_array_equal(seen[0], np.eye(6)[[0] * 5])
    planes = {name: [tuple(map(int, at)) for at in np.argwhere(whole[..., i])] for i, name in enumerate(mini_pacman.PLANES)}
    assert planes.pop("walls") == [tuple(map(int, at)) for at in np.argwhere(mini_pacman.WALLS)]
    typed = {"food": [(1, 2)], "pacman": [(1, 1)], "ghosts": [(1, 3)], "edible ghosts": [(1, 3)], "pills": [(2, 1)]}
    assert planes == typed
    np.testing.assert_allclose(whole[1, 3, 3:5], [0.75, 0.25])


@pytest.mark.parametrize(("fields", "message"), [(dict(view=4), "view is 4; it must be odd"), (dict(mode="x"), "mode is 'x'")])
def test_pacman_bad_fields(fields, message):
    with pytest.raises(ValueError, match=message):
        envs.make("mini_pacman", **fields)
