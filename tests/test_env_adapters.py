"""Environments of Gymnasium and gymnax, in and out: typed episodes in every way of resetting."""

import re
import subprocess
import sys
from typing import NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from diffmem import envs
from diffmem.adapters.gymnasium import collect, to_gymnasium
from diffmem.adapters.gymnax import from_gymnax

MODES = list(AutoresetMode)


class Clock(gymnasium.Env):
    """Shows which episode it is and how many steps it has had; ends or is cut off after some. The reward is the action."""

    observation_space = gymnasium.spaces.Box(0, 99, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(100)

    def __init__(self, length, cut):
        self.length, self.cut, self.episode = length, cut, -1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.time = self.episode + 1, 0
        return self.shown(), {}

    def step(self, action):
        self.time += 1
        ended = self.time == self.length
        return self.shown(), float(action), ended and not self.cut, ended and self.cut, {}

    def shown(self):
        return np.array([self.episode, self.time], np.float32)


class Both(Clock):
    """Shows the same as a dictionary."""

    observation_space = gymnasium.spaces.Dict(
        episode=gymnasium.spaces.Box(0, 99, (), np.float32), time=gymnasium.spaces.Box(0, 99, (), np.float32)
    )

    def shown(self):
        return dict(zip(("episode", "time"), super().shown(), strict=True))


def clocks(mode, kind=Clock):
    """One ends after 3 steps, the other is cut off after 2."""
    return SyncVectorEnv([lambda: kind(3, False), lambda: kind(2, True)], autoreset_mode=mode, copy=False)


def count_steps(state, observations, previous, starts):
    """A policy whose action, and state, is the number of the step; it keeps what it was told of the step before."""
    return state + 1, np.array([state, state + 50]), (previous, starts)


def text(rollout, b):
    """Environment b, a word a step, -- where masked: episode and time seen, s at a start, T or C at an end, what followed."""
    words = []
    for t in range(len(rollout.mask)):
        (e, n), (e2, n2) = rollout.observations[t, b].astype(int), rollout.next_observations[t, b].astype(int)
        end = "T" if rollout.terminated[t, b] else "C" if rollout.truncated[t, b] else "."
        assert rollout.ended[t, b] == (end != ".")
        words.append(f"{e}{n}{'.s'[int(rollout.starts[t, b])]}{end}{e2}{n2}" if rollout.mask[t, b] else "--")
    return " ".join(words)


USUAL = ["00s.01 01..02 02.T03 10s.11 11..12 12.T13 20s.21", "00s.01 01.C02 10s.11 11.C12 20s.21 21.C22 30s.31"]
TYPED = {
    AutoresetMode.SAME_STEP: USUAL,
    AutoresetMode.DISABLED: USUAL,
    AutoresetMode.NEXT_STEP: ["00s.01 01..02 02.T03 -- 10s.11 11..12 12.T13", "00s.01 01.C02 -- 10s.11 11.C12 -- 20s.21"],
}


@pytest.mark.parametrize("mode", MODES)
def test_collect_in_every_mode(mode):
    """Seven steps, at once and in two parts."""
    cursor, rollout = collect(clocks(mode), count_steps, 7, state=0, seed=0)
    assert [text(rollout, b) for b in (0, 1)] == TYPED[mode]
    assert cursor.state == 7
    np.testing.assert_array_equal(rollout.actions, np.arange(7)[:, None] + [0, 50])
    np.testing.assert_array_equal(rollout.rewards, np.where(rollout.mask, rollout.actions, 0))
    np.testing.assert_array_equal(rollout.previous_actions[1:], rollout.actions[:-1])
    np.testing.assert_array_equal(rollout.extras[1], rollout.starts)
    assert rollout.rewards.dtype == np.float32
    vector = clocks(mode)
    cursor, first = collect(vector, count_steps, 3, state=0, seed=0)
    _, second = collect(vector, count_steps, 4, cursor)
    halves = jax.tree.map(lambda *parts: np.concatenate(parts), first, second)
    jax.tree.map(np.testing.assert_array_equal, halves, rollout)


@pytest.mark.parametrize("mode", MODES)
def test_collect_trees(mode):
    """Observations in a dictionary come out as one, the final ones too."""
    plain = collect(clocks(mode), count_steps, 7, state=0)[1]
    tree = collect(clocks(mode, Both), count_steps, 7, state=0)[1]
    for i, name in enumerate(("episode", "time")):
        np.testing.assert_array_equal(tree.observations[name], plain.observations[..., i])
        np.testing.assert_array_equal(tree.next_observations[name], plain.next_observations[..., i])


def test_collect_needs_to_know_the_mode():
    vector = clocks(AutoresetMode.SAME_STEP)
    vector.metadata = {}
    with pytest.raises(ValueError, match=r"autoreset_mode: 'NextStep', 'SameStep', 'Disabled'"):
        collect(vector, count_steps, 7, state=0)
    rollout = collect(vector, count_steps, 7, state=0, autoreset_mode="SameStep")[1]
    assert text(rollout, 0) == USUAL[0]
    with pytest.raises(ValueError, match="autoreset_mode is 'foo'; legal: 'NextStep', 'SameStep', 'Disabled'"):
        collect(vector, count_steps, 7, state=0, autoreset_mode="foo")
    with pytest.raises(ValueError, match="steps is 0"):
        collect(vector, count_steps, 0, state=0, autoreset_mode="SameStep")


# --- out --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["t_maze", "associative_recall", "position_only_pendulum", "repeat_first"])
def test_to_gymnasium(name):
    """Outputs in their spaces, in NumPy; the wrapper of Gymnasium that counts returns counts what final_info says."""
    fields = {"t_maze": dict(length=3), "associative_recall": dict(pairs=2, queries=2), "position_only_pendulum": dict(steps=4)}
    env = envs.make(name, **fields.get(name, {}))
    vector = gymnasium.wrappers.vector.RecordEpisodeStatistics(to_gymnasium(env, 5), stats_key="counted")
    assert vector.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    observations, infos = vector.reset(seed=3)
    vector.action_space.seed(0)
    assert infos == {}
    for t in range(2 * env.max_steps):
        assert type(observations) is np.ndarray
        assert observations in vector.observation_space
        observations, rewards, terminated, truncated, infos = vector.step(vector.action_space.sample())
        ended = terminated | truncated
        assert (rewards.dtype, terminated.dtype, truncated.dtype) == (np.float32, bool, bool)
        assert ended.all() == ended.any() == ((t + 1) % env.max_steps == 0)
        if ended.any():
            np.testing.assert_array_equal(infos["_final_obs"], ended)
            assert all(final in vector.single_observation_space for final in infos["final_obs"])
            episode = infos["final_info"]["episode"]
            np.testing.assert_allclose(episode["r"], infos["counted"]["r"], atol=1e-6)
            np.testing.assert_array_equal(episode["l"], env.max_steps)


def test_to_gymnasium_shows_the_end_and_the_beginning():
    """The junction's arm is the final observation, the sign the next episode's first; a seed makes it again."""
    vector = to_gymnasium(envs.TMaze(length=1), 6)

    def policy(state, seen, previous, starts):  # right, then up
        return state, np.where(starts, 0, 1), None

    _, rollout = collect(vector, policy, 4, seed=1)
    np.testing.assert_array_equal(rollout.starts[:, 0], [True, False, True, False])
    np.testing.assert_array_equal(rollout.next_observations[[1, 3]], np.ones((2, 6, 2)))
    assert (rollout.observations[[0, 2], :, 0] == 0).all()
    assert set(rollout.observations[[0, 2], :, 1].ravel()) == {-1, 1}
    np.testing.assert_array_equal(rollout.rewards[1::2], rollout.observations[::2, :, 1] == 1)
    again = collect(vector, policy, 4, seed=1)[1]
    np.testing.assert_array_equal(again.observations, rollout.observations)
    assert "@" in vector.render()[5]


def test_to_gymnasium_seeds_and_masks():
    """Each environment has its own seed, as in Gymnasium; a mask leaves the others, and their clocks and returns, alone."""
    vector = to_gymnasium(envs.make("multiarmed_bandit", arms=3), 3)
    play = lambda: np.stack([vector.step(np.array([0, 1, 2]))[1] for _ in range(9)])  # noqa: E731
    payments = []
    for seed in (4, [4, 5, 6], [9, 5, 4]):
        vector.reset(seed=seed)
        payments.append(play())
    np.testing.assert_array_equal(payments[0], payments[1])
    np.testing.assert_array_equal(payments[0][:, 1], payments[2][:, 1])
    vector.reset(seed=[4, 5, 6])
    vector.reset(seed=[None, 5, None])
    assert (play() != payments[0]).any(0).tolist() == [True, False, True]

    vector = to_gymnasium(envs.TMaze(length=5), 3)
    first, _ = vector.reset(seed=0)
    moved = vector.step(np.zeros(3, int))[0]
    others = vector.reset(options={"reset_mask": np.array([False, True, False])}, seed=[7, 1, 8])[0]
    np.testing.assert_array_equal(others, np.where([[False], [True], [False]], first, moved))
    places = [text.index("@") for text in vector.render()]
    assert places[1] < places[0] == places[2]
    assert all(vector.step(np.array([0, 0, 0]))[4] == {} for _ in range(4))
    up = vector.step(np.array([1, 1, 1]))
    assert up[2].tolist() == [True, False, True]
    assert up[4]["final_info"]["episode"]["l"].tolist() == [6, 0, 6]


def test_to_gymnasium_bad_input():
    for count in (0, 2.5, True, "2"):
        with pytest.raises(ValueError, match=f"num_envs is {count!r}; it must be an integer >= 1"):
            to_gymnasium(envs.TMaze(), count)
    vector = to_gymnasium(envs.TMaze(), 2)
    with pytest.raises(RuntimeError, match="render before reset"):
        vector.render()
    with pytest.raises(RuntimeError, match="before a reset of all"):
        vector.reset(options={"reset_mask": np.array([True, False])})
    vector.reset()
    for seed in ([1, 2, 3], []):
        with pytest.raises(ValueError, match=r"seed is \[.*\]; legal: an integer, or a list of 2"):
            vector.reset(seed=seed)
    for mask, given in ((np.ones(3, bool), r"bool\[3\]"), (np.ones(2), r"float64\[2\]")):
        with pytest.raises(ValueError, match=rf"options\['reset_mask'\] is {given}; it must be bool\[2\]"):
            vector.reset(options={"reset_mask": mask})
    for actions, given in (([0, 4], "int64"), ([0.5, 1.0], "float64"), ([True, False], "bool"), (["a", "b"], "<U1")):
        typed = rf"actions are {re.escape(repr(actions))}; legal for each of 2: Discrete\(4\); given: {given}\[2\]"
        with pytest.raises(ValueError, match=typed):
            vector.step(np.array(actions))


def test_without_gymnasium():
    """The message says what to install; everything else works."""
    code = "import sys; sys.modules['gymnasium'] = None\nimport diffmem.envs, diffmem.adapters.gymnax\n"
    code += "try: import diffmem.adapters.gymnasium\nexcept ImportError as error: print(error)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "gymnasium is missing: pip install 'diffmem[rl]'"


# --- gymnax -----------------------------------------------------------------------------------------------------------


class Walk(NamedTuple):
    time: jax.Array
    place: jax.Array


class Limits(NamedTuple):
    max_steps_in_episode: int = 4
    goal: int = 3


class Discrete:
    n, shape = 2, ()


class Box:
    low, high, shape = jnp.array([0.0, 0.0]), jnp.array([4.0, 1.0]), (2,)


class Old:
    """As gymnax 0.0.x: one step right, or not; done at the goal and at the time limit."""

    default_params = Limits()

    def action_space(self, params):
        return Discrete()

    def observation_space(self, params):
        return Box()

    def reset_env(self, key, params):
        state = Walk(jnp.int32(0), jnp.int32(0))
        return self.shown(state), state

    def shown(self, state):
        return jnp.stack([state.place, 0]).astype(jnp.float32)

    def walk(self, state, action, params):
        state = Walk(state.time + 1, state.place + action)
        return (
            self.shown(state),
            state,
            jnp.float32(action),
            state.place >= params.goal,
            state.time >= params.max_steps_in_episode,
        )

    def step_env(self, key, state, action, params):
        *outcome, there, late = self.walk(state, action, params)
        return *outcome, there | late, {}


class New(Old):
    """As gymnax 1.x: the flag is the goal's, and there is another for the limit."""

    def step_env(self, key, state, action, params):
        *outcome, there, _ = self.walk(state, action, params)
        return *outcome, there, {}

    def is_truncated(self, state, params):
        return state.time >= params.max_steps_in_episode


class Six(Old):
    """Tells both by itself."""

    def step_env(self, key, state, action, params):
        return *self.walk(state, action, params), {}


@pytest.mark.parametrize("kind", [Old, New, Six])
def test_from_gymnax(kind):
    """The goal terminates, the clock truncates, the last observation is kept and a new episode begins."""
    env = from_gymnax(kind())
    assert (env.max_steps, env.action_space, env.observation_space.high) == (4, envs.Discrete(2), (4.0, 1.0))
    params, key = env.init_params(), jax.random.key(0)
    seen = []
    state, _ = env.reset(key, params)
    for action in (1, 1, 1, 0, 1, 1, 0):
        state, out = envs.step(env, key, params, state, jnp.int32(action))
        seen.append((*(int(x[0]) for x in (out.observation, out.final_observation)), bool(out.terminated), bool(out.truncated)))
    walk = [(1, 1), (2, 2), (0, 3), (0, 0), (1, 1), (2, 2), (0, 2)]
    ends = [(False, False)] * 2 + [(True, False)] + [(False, False)] * 3 + [(False, True)]
    assert seen == [(*places, *flags) for places, flags in zip(walk, ends, strict=True)]


def test_from_gymnax_bad_input():
    class Endless(Old):
        default_params = ()

    with pytest.raises(ValueError, match="params of Endless have no max_steps_in_episode"):
        from_gymnax(Endless())
    assert from_gymnax(Endless(), max_steps=9).max_steps == 9

    class Tuple:
        pass

    class Odd(Old):
        def observation_space(self, params):
            return Tuple()

    with pytest.raises(ValueError, match="gymnax Tuple; legal: Discrete, Box"):
        from_gymnax(Odd())
    with pytest.raises(NotImplementedError, match="Old"):
        from_gymnax(Old()).oracle(None, None)
