"""Agents in vector environments of Gymnasium: what was done is what is recomputed, advantages, fillers, learning."""

import functools

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from diffmem import envs
from diffmem.adapters.gymnasium import from_space, space_of, to_gymnasium
from experiments.rl import learn, make_optimizer
from experiments.rl.gymnasium import Actor, vector_config
from experiments.rl.learning import samples_of
from tests.test_env_adapters import clocks
from tests.test_experiments import same
from tests.toy_envs import Echo

MODES = list(AutoresetMode)
SMALL = {"width": 6, "heads": (5,), "rollout": 10, "minibatches": 1, "epochs": 1, "memory_options": ("hidden_size=7",)}


def act(vector, **settings):
    """A config, parameters whose policy is not uniform, and two rollouts, so that the second begins within episodes."""
    config = vector_config(vector, **{**SMALL, **settings})
    params = config.model().init_params(jax.random.key(0))
    params["actor"]["output"]["kernel"] *= 100
    actor = Actor(config, vector, seed=3)
    return config, params, (actor.act(params), actor.act(params))


@functools.cache
def learner(config):
    return jax.jit(functools.partial(learn, config))


def update(config, params, rollout):
    return learner(config)(params, make_optimizer(config).init(params), rollout, jax.random.key(1))


@pytest.mark.parametrize("settings", [{"state": "refresh", "chunk": 2}, {"state": "burn_in", "burn_in": 2}, {"state": "zero"}])
def test_first_ratio_is_one(settings):
    config, params, rollouts = act(clocks(AutoresetMode.NEXT_STEP), **settings)
    for rollout in rollouts:
        assert update(config, params, rollout)[2]["ratio_error"] < 1e-5
    assert rollouts[1].start[0].all() == (settings["state"] == "zero")


@pytest.mark.parametrize("kind", ["discrete", "multi", "box", "grid"])
def test_first_ratio_is_one_in_our_environments(kind):
    """Exported, they come back with the spaces that they had. Actions are drawn beyond a box, and clipped for it."""
    env = Echo(kind=kind, cut=True, hazard=0.1)
    config, params, (_, rollout) = act(to_gymnasium(env, 4), chunk=5)
    assert config.spaces == (env.observation_space, env.action_space)
    assert update(config, params, rollout)[2]["ratio_error"] < 1e-5
    wrong = rollout._replace(memory=jax.tree.map(lambda a: a[:, ::-1], rollout.memory))
    assert update(config, params, wrong)[2]["ratio_error"] > 1e-3
    assert rollout.ended.any()
    if kind == "box":
        assert np.abs(rollout.action).max() > 1
        np.testing.assert_array_equal(rollout.previous_action[1:], np.clip(rollout.action[:-1], -1, 1))


@pytest.mark.parametrize("mode", MODES)
def test_advantages_are_a_loop_per_episode(mode):
    """Episode by episode, without fillers: the clock says what came last. One environment terminates, the other is cut off."""
    config, params, (first, rollout) = act(clocks(mode), chunk=5, discount=0.9, trace=0.7)
    model, step = config.model(), jax.jit(config.model().step)
    got = np.asarray(samples_of(config, rollout).advantage)
    got = got.reshape(5, 2, 2).swapaxes(0, 1).reshape(10, 2)  # chunks side by side, back to time
    assert update(config, params, rollout)[2]["ratio_error"] < 1e-5
    ends = 0
    for b in (0, 1):
        begin = (jax.tree.map(lambda a, b=b: a[0, b], rollout.memory), rollout.observation, rollout.previous_action)
        steps = np.flatnonzero(rollout.valid[:, b])
        for episode in np.split(steps, np.flatnonzero(rollout.start[steps, b])):
            if not len(episode):
                continue
            memory = model.init_state(params) if rollout.start[episode[0], b] else begin[0]
            values = []
            for t in episode:
                memory, decision = step(params, memory, *(a[t, b] for a in begin[1:]), rollout.start[t, b])
                values.append(float(decision.value))
            t = episode[-1]
            after = rollout.observation[t, b] + np.float32([0, 1])
            bootstrap = float(step(params, memory, after, rollout.action[t, b], False)[1].value)
            ended = after[1] == (3, 2)[b]
            assert rollout.ended[t, b] == ended
            assert ended or t == 9
            ends += ended
            values.append(0 if ended and b == 0 else bootstrap)
            assert abs(bootstrap) > 1e-3
            rewards = rollout.action[episode, b]  # a clock pays the action
            deltas = [reward + 0.9 * values[i + 1] - values[i] for i, reward in enumerate(rewards)]
            want = [sum(0.63**k * delta for k, delta in enumerate(deltas[i:])) for i in range(len(deltas))]
            np.testing.assert_allclose(got[episode, b], want, rtol=1e-5, atol=1e-4)
    assert ends == (7 if mode is AutoresetMode.NEXT_STEP else 8)
    assert rollout.valid.all() == (mode is not AutoresetMode.NEXT_STEP)
    running = np.zeros(2)
    for one in (first, rollout):  # the return of an episode that began in the rollout before has its rewards
        for t in range(10):
            running += np.where(one.valid[t], one.action[t], 0)
            np.testing.assert_allclose(one.returned[t][one.ended[t]], running[one.ended[t]], rtol=1e-6)
            running[one.ended[t]] = 0


def test_the_modes_that_reset_at_once_agree():
    (config, params, a), (_, _, b) = (act(clocks(mode), chunk=5) for mode in (AutoresetMode.SAME_STEP, AutoresetMode.DISABLED))
    assert same(a, b)
    assert not same(update(config, params, a[0])[0], params)


def test_fillers_change_nothing():
    """Whatever a filler showed, did, earned and was worth, the update is the same."""
    config, params, (_, rollout) = act(clocks(AutoresetMode.NEXT_STEP), chunk=5, minibatches=2, epochs=2)
    filler = ~rollout.valid
    assert filler.sum() >= 6
    assert filler[[4, 9]].any()  # some are the last of their chunk
    assert filler[[0, 5]].any()  # or the first

    def other(values):
        values = np.asarray(values)
        return np.where(filler.reshape(filler.shape + (1,) * (values.ndim - 2)), values + 5, values).astype(values.dtype)

    names = ("observation", "previous_action", "action", "log_prob", "value", "reward", "next_value")
    changed = rollout._replace(**{name: other(getattr(rollout, name)) for name in names})
    assert same(update(config, params, changed), update(config, params, rollout))
    counted = rollout._replace(valid=np.ones_like(filler))
    assert not same(update(config, params, counted)[0], update(config, params, rollout)[0])


# --- Spaces and messages ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "space",
    [
        envs.Discrete(4),
        envs.MultiDiscrete((2, 3)),
        envs.Box(-1.0, float("inf"), (2, 3)),
        envs.Box((0.0, -1.0), (1.0, 2.0), (2,)),
        envs.Box(0.0, 1.0, ()),
    ],
    ids=str,
)
def test_from_space_is_the_inverse(space):
    assert from_space(space_of(space)) == space
    hash(from_space(space_of(space)))


def test_from_space_of_pictures():
    assert from_space(gymnasium.spaces.Box(0, 255, (4, 4, 3), np.uint8)) == envs.Box(0.0, 255.0, (4, 4, 3))


@pytest.mark.parametrize(
    "space",
    [
        gymnasium.spaces.Discrete(3, start=1),
        gymnasium.spaces.MultiDiscrete([2, 3], start=[0, 1]),
        gymnasium.spaces.MultiDiscrete([[2, 3]]),
        gymnasium.spaces.MultiBinary(3),
        gymnasium.spaces.Dict(a=gymnasium.spaces.Discrete(2)),
    ],
    ids=str,
)
def test_from_space_of_other_kinds(space):
    with pytest.raises(ValueError, match=r"legal: Discrete and MultiDiscrete that begin at 0, .*, and Box"):
        from_space(space)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"envs": 3}, "envs is 3; leave it out: the environments have 2"),
        ({"rolout": 3}, "VectorConfig has no field 'rolout'.*did you mean 'rollout'"),
        ({"chunk": 3}, "VectorConfig.chunk is 3; it must divide rollout, 10"),
        ({"state": "zero", "chunk": 5}, "VectorConfig.state is 'zero', .* chunk 5; use chunk=0"),
        ({"timescales": ("decay",)}, "VectorConfig.timescales has 'decay', but gru has no such"),
    ],
    ids=str,
)
def test_messages(settings, message):
    with pytest.raises(ValueError, match=message):
        vector_config(clocks(AutoresetMode.SAME_STEP), **{**SMALL, **settings})


def test_actor_for_other_environments():
    vector = clocks(AutoresetMode.SAME_STEP)
    config = vector_config(to_gymnasium(Echo(), 3), **SMALL)
    with pytest.raises(ValueError, match=r"config\.envs is 3; it must be the number of environments, 2"):
        Actor(config, vector)


# --- Learning ---------------------------------------------------------------------------------------------------------


class Recall(gymnasium.Env):
    """Shows 0 or 1, then nothing; the action after that must be what was shown."""

    observation_space, action_space = gymnasium.spaces.Discrete(3), gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.symbol, self.time = int(self.np_random.integers(2)), 0
        return self.symbol, {}

    def step(self, action):
        self.time += 1
        return 2, float(self.time == 2 and action == self.symbol), self.time == 2, False, {}


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_it_learns(mode):
    """Chance is a half; without memory there is nothing better."""
    vector = SyncVectorEnv([Recall] * 8, autoreset_mode=mode)
    config = vector_config(vector, width=16, heads=(16,), rollout=24, minibatches=2, learning_rate=1e-2, steps=24 * 8 * 25)
    params = config.model().init_params(jax.random.key(0))
    optimizer = make_optimizer(config).init(params)
    actor, step = Actor(config, vector), jax.jit(functools.partial(learn, config))
    means = []
    for key in jax.random.split(jax.random.key(1), config.iterations):
        rollout = actor.act(params)
        params, optimizer, _ = step(params, optimizer, rollout, key)
        means.append(rollout.returned[rollout.ended].mean())
    assert means[0] < 0.8
    assert np.mean(means[-3:]) > 0.95
