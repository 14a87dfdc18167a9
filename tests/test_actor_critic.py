"""Distributions against SciPy, encoders, and the agent's one contract: step = sequence = chunks, whatever the memory."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import diffmem
from diffmem.envs import Box, Discrete, MultiDiscrete
from diffmem.models import ActorCritic, Categorical, FlatEncoder, Gaussian, GridEncoder, MultiCategorical, distribution
from diffmem.models.distributions import LOG_STD
from tests.programs import REGISTERED, TIME, kinds

pytestmark = pytest.mark.usefixtures("strict_types")
ROWS = 16


# --- Distributions ----------------------------------------------------------------------------------------------------


def test_categorical_is_scipys():
    logits = np.array([0.3, -1.2, 2.0, 0.0], np.float32)
    p = np.exp(logits) / np.exp(logits).sum()
    got = [float(Categorical(4).log_prob(logits, a)) for a in range(4)]
    np.testing.assert_allclose(got, np.log(p), rtol=1e-5)
    np.testing.assert_allclose(Categorical(4).entropy(logits), scipy.stats.entropy(p), rtol=1e-6)
    assert int(Categorical(4).mode(logits)) == 2


def test_categorical_takes_impossible_actions():
    """Logits of -inf, a mask, have probability and entropy zero, and gradients are finite."""
    logits = jnp.array([0.0, -jnp.inf, 0.0])
    np.testing.assert_allclose(Categorical(3).entropy(logits), np.log(2), rtol=1e-6)
    np.testing.assert_allclose(Categorical(3).log_prob(logits, 2), -np.log(2), rtol=1e-6)


def test_multicategorical_is_independent_choices():
    outputs = np.random.default_rng(0).normal(size=5).astype(np.float32)
    both = MultiCategorical((2, 3))
    parts = ((Categorical(2), outputs[:2]), (Categorical(3), outputs[2:]))
    for action in ((0, 2), (1, 0)):
        want = sum(float(one.log_prob(x, a)) for (one, x), a in zip(parts, action, strict=True))
        np.testing.assert_allclose(both.log_prob(outputs, jnp.array(action)), want, rtol=1e-6)
    np.testing.assert_allclose(both.entropy(outputs), sum(float(one.entropy(x)) for one, x in parts), rtol=1e-6)
    np.testing.assert_array_equal(both.mode(outputs), [outputs[:2].argmax(), outputs[2:].argmax()])
    everything = [float(both.log_prob(outputs, jnp.array([a, b]))) for a in range(2) for b in range(3)]
    np.testing.assert_allclose(np.exp(everything).sum(), 1, rtol=1e-6)


def test_gaussian_is_scipys():
    mean, log_std = np.array([0.5, -1.0], np.float32), np.array([0.2, -0.7], np.float32)
    outputs, action = np.concatenate([mean, log_std]), np.array([0.1, -2.0], np.float32)
    normal = scipy.stats.norm(mean, np.exp(log_std))
    np.testing.assert_allclose(Gaussian((2,)).log_prob(outputs, action), normal.logpdf(action).sum(), rtol=1e-5)
    np.testing.assert_allclose(Gaussian((2,)).entropy(outputs), normal.entropy().sum(), rtol=1e-5)
    np.testing.assert_array_equal(Gaussian((2,)).mode(outputs), mean)
    wild = np.array([0, 1e9], np.float32)
    assert np.isfinite(Gaussian((1,)).log_prob(wild, np.zeros(1, np.float32)))
    np.testing.assert_allclose(Gaussian((1,)).entropy(wild) - Gaussian((1,)).entropy(0 * wild), LOG_STD[1], rtol=1e-5)


@pytest.mark.parametrize("space", [Discrete(3), MultiDiscrete((2, 3)), Box(-1.0, 1.0, (2,))])
def test_samples_follow_the_log_probabilities(space):
    """The mean of exp(log_prob - log_prob') over samples is one, and the mean of -log_prob is the entropy."""
    policy = distribution(space)
    here, there = np.random.default_rng(1).normal(size=(2, policy.size)).astype(np.float32) * 0.3
    actions = jax.vmap(policy.sample, (0, None))(jax.random.split(jax.random.key(2), 4000), here)
    assert actions.shape == (4000, *space.shape)
    own, other = (jax.vmap(policy.log_prob, (None, 0))(x, actions) for x in (here, there))
    np.testing.assert_allclose(np.exp(other - own).mean(), 1, atol=0.06)
    np.testing.assert_allclose(-own.mean(), policy.entropy(here), atol=0.06)


def test_space_without_distribution():
    with pytest.raises(ValueError, match="action_space is 7; legal: Discrete"):
        distribution(7)


# --- The agent --------------------------------------------------------------------------------------------------------


def agent(memory, observations=Box(-1.0, 1.0, (3,)), actions=Discrete(4), **options):  # noqa: B008
    return ActorCritic(observations, actions, memory, FlatEncoder(memory.input_size), heads=(6,), **options)


AGENT = agent(diffmem.GRU(5, 6))


@functools.cache
def program(memory, skip=False):
    """One compiled batch: single steps, the sequence, and two chunks of it."""
    model = agent(memory, skip=skip)

    def run(params, state, observations, actions, starts):
        seen = (observations, actions, starts)
        stepped = jax.lax.scan(lambda state, one: model.step(params, state, *one), state, seen)
        whole = model.sequence(params, state, *seen)
        middle, first = model.sequence(params, state, *(a[:3] for a in seen))
        last, second = model.sequence(params, middle, *(a[3:] for a in seen))
        return stepped, whole, (last, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, second))

    return model, jax.jit(jax.vmap(run, (None, 0, 0, 0, 0)))


def batch(model, seed=0, rows=ROWS):
    rng = np.random.default_rng(seed)
    params = model.init_params(jax.random.key(seed))
    params["actor"]["output"]["kernel"] *= 100  # small at first: differences would not show
    state = jax.vmap(lambda _: model.init_state(params))(jnp.arange(rows))
    observations = rng.normal(size=(rows, TIME, 3)).astype(np.float32)
    actions, starts = rng.integers(0, 4, (rows, TIME)), rng.random((rows, TIME)) < 0.3
    return params, state, observations, actions.astype(np.int32), starts


def close(a, b, tolerance=1e-5):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", kinds())
def test_step_is_sequence_is_chunks(name):
    """With random resets, in float32, for every memory: what an agent does is what a learner recomputes."""
    model, run = program(REGISTERED[name])
    stepped, whole, chunks = run(*batch(model))
    close(stepped, whole)
    close(stepped, chunks)
    assert np.std(stepped[1].outputs, axis=(0, 1)).min() > 1e-4  # it says something


@pytest.mark.parametrize("name", kinds())
def test_nan_stays_in_its_episode(name):
    """An episode that broke leaves nothing behind: neither its observations nor a state that it spoiled."""
    model, run = program(REGISTERED[name])
    params, state, observations, actions, starts = batch(model)
    starts[:, 4] = True
    want = run(params, state, observations, actions, starts)
    observations[:, :4] = np.nan
    broken = jax.tree.map(lambda a: a + np.nan if jnp.issubdtype(a.dtype, jnp.floating) else a, state)
    got = run(params, broken, observations, actions, starts)
    after = lambda outs: [(state, decision.outputs[:, 4:], decision.value[:, 4:]) for state, decision in outs]  # noqa: E731
    close(after(got), after(want))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after(got)))


def test_start_comes_before_the_step():
    """At a start the memory is fresh and the previous action counts as none; the flag itself is seen."""
    model, _ = program(REGISTERED["gru"])
    params, state, observations, *_ = batch(model)
    fresh = model.init_state(params)
    used = jax.tree.map(lambda a: a[0] + 1, state)
    step = lambda state, action, start: model.step(params, state, observations[0, 0], action, jnp.bool_(start))[1].outputs  # noqa: E731
    np.testing.assert_array_equal(step(used, 1, True), step(fresh, 2, True))
    assert (step(used, 1, False) != step(fresh, 1, False)).any()
    assert (step(fresh, 1, False) != step(fresh, 2, False)).any()
    assert (step(fresh, 1, True) != step(fresh, 1, False)).any()


def test_skip_shows_the_heads_the_observation():
    memory = REGISTERED["gru"]
    with_skip = agent(memory, skip=True).init_params(jax.random.key(0))["actor"]["hidden_0"]["kernel"]
    assert with_skip.shape == (memory.hidden_size + memory.input_size, 6)


@pytest.mark.parametrize("actions", [MultiDiscrete((2, 3)), Box(-1.0, 1.0, (2,))])
def test_other_actions(actions):
    """Previous actions of every space are seen, and the actor's outputs fit the distribution."""
    model = agent(REGISTERED["gru"], actions=actions)
    params = model.init_params(jax.random.key(0))
    outputs = []
    for seed in (0, 1):
        action = jnp.clip(actions.sample(jax.random.key(seed)), -1, 1)
        step = model.step(params, model.init_state(params), jnp.zeros(3), action, jnp.bool_(False))
        outputs.append(step[1].outputs)
    assert outputs[0].shape == (5,) if isinstance(actions, MultiDiscrete) else (4,)
    assert (outputs[0] != outputs[1]).any()


def test_all_actions_are_likely_at_first():
    model = agent(diffmem.GRU(128, 128))
    params = model.init_params(jax.random.key(0))
    outputs = model.step(params, model.init_state(params), jnp.ones(3), 0, jnp.bool_(True))[1].outputs
    assert np.ptp(jax.nn.softmax(outputs)) < 0.01


def test_grid_encoder_sees_every_cell():
    board = Box(0.0, 1.0, (4, 3))
    model = ActorCritic(board, Discrete(4), diffmem.GRU(5, 6), GridEncoder(5, channels=(2,)), heads=(6,))
    params = model.init_params(jax.random.key(0))
    outputs = lambda x: model.step(params, model.init_state(params), x, 0, jnp.bool_(True))[1].outputs.sum()  # noqa: E731
    assert (np.abs(jax.grad(outputs)(jnp.full((4, 3), 0.5))) > 1e-9).all()


def test_types_propagate():
    model = agent(REGISTERED["gru"])
    for dtype in (jnp.bfloat16, jnp.float32):
        params = jax.tree.map(lambda a, dtype=dtype: a.astype(dtype), model.init_params(jax.random.key(0)))
        state, decision = model.step(params, model.init_state(params), jnp.ones(3, dtype), 0, jnp.bool_(True))
        assert {leaf.dtype for leaf in jax.tree.leaves((state, decision))} == {jnp.dtype(dtype)}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: agent(diffmem.GRU(5, 6), Box(0.0, 1.0, (4, 3, 2))), r"not flat: pass encoder=GridEncoder\(\).*ravel=True"),
        (lambda: agent(diffmem.GRU(5, 6), Box(0.0, 1.0, (4, 3, 2, 2))), r"not flat: pass encoder=FlatEncoder\(ravel=True\)"),
        (lambda: dataclasses.replace(AGENT, encoder=GridEncoder(5)), "no picture or board"),
        (lambda: dataclasses.replace(AGENT, encoder=FlatEncoder(7)), "takes vectors of 5, .* width is 7"),
        (lambda: agent(diffmem.GRU(5, 6), actions=None), "action_space is None; legal"),
        (lambda: dataclasses.replace(AGENT, heads=64), "ActorCritic.heads is 64; it must be a tuple of integers"),
        (lambda: dataclasses.replace(AGENT, heads=(6, 0)), r"ActorCritic.heads\[1\] is 0"),
        (lambda: dataclasses.replace(AGENT, memory="gru"), "ActorCritic.memory is 'gru'; it must be a memory"),
        (lambda: GridEncoder(5, channels=3), "GridEncoder.channels is 3"),
        (lambda: FlatEncoder(0), "FlatEncoder.width is 0"),
        (lambda: FlatEncoder(activation="swish"), "FlatEncoder.activation is 'swish'; legal: 'leaky_relu'"),
    ],
)
def test_messages(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_ravel_takes_any_array():
    model = ActorCritic(Box(0.0, 1.0, (4, 3)), Discrete(4), diffmem.GRU(5, 6), FlatEncoder(5, ravel=True))
    params = model.init_params(jax.random.key(0))
    assert params["encoder"]["dense"]["kernel"].shape == (4 * 3 + 4 + 1, 5)
