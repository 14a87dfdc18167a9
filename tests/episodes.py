"""Episodes played with `step` and its automatic resets, cut apart again for the tests of the environments."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from diffmem import envs


class Play(NamedTuple):
    """Environments side by side, in NumPy, [T, B, ...], and what they showed before the first step, [B, ...]."""

    first: np.ndarray
    states: Any  # before each step
    actions: np.ndarray
    steps: envs.Step


class Episode(NamedTuple):
    """One whole episode of T steps, in NumPy: observations [T+1, ...], everything else [T, ...]."""

    observations: np.ndarray
    states: Any
    actions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


def play(env, key, batch: int, steps: int) -> tuple[Play, Play]:
    """A batch of environments played at random and as many by the oracle: one program, since compiling takes longest."""
    params = env.init_params()

    def one(state, key, by_oracle):
        action_key, key = jax.random.split(key)
        action = jnp.where(by_oracle, env.oracle(params, state), env.action_space.sample(action_key))
        after, outcome = envs.step(env, key, params, state, action)
        return after, (state, action, outcome)

    @jax.jit
    def run(key):
        reset_key, key = jax.random.split(key)
        state, first = jax.vmap(env.reset, (0, None))(jax.random.split(reset_key, 2 * batch), params)
        by_oracle = jnp.arange(2 * batch) >= batch
        keys = jax.random.split(key, (steps, 2 * batch))
        _, played = lax.scan(lambda state, keys: jax.vmap(one)(state, keys, by_oracle), state, keys)
        return first, *played

    first, *played = jax.tree.map(np.asarray, run(key))
    halves = (slice(None, batch), slice(batch, None))
    random, oracle = (Play(first[half], *jax.tree.map(lambda x: x[:, half], played)) for half in halves)  # noqa: B023
    return random, oracle


def cut(played: Play) -> list[Episode]:
    """The whole episodes in what was played; the unfinished ones at the end are left out."""
    steps, found = played.steps, []
    ended = steps.terminated | steps.truncated
    shown = np.concatenate([played.first[None], steps.observation[:-1]])  # before each step
    for b in range(ended.shape[1]):
        ends = np.flatnonzero(ended[:, b]) + 1
        for i, j in zip([0, *ends], ends, strict=False):
            inside = (played.states, played.actions, steps.reward, steps.terminated, steps.truncated)
            observations = np.concatenate([shown[i:j, b], steps.final_observation[j - 1 : j, b]])
            found.append(Episode(observations, *jax.tree.map(lambda x: x[i:j, b], inside)))  # noqa: B023
    return found


def returns(episodes: list[Episode]) -> np.ndarray:
    """Their returns; rewards are added in float64."""
    return np.array([episode.rewards.sum(dtype=np.float64) for episode in episodes])


def assert_mean(values: np.ndarray, expected: float, error: float = 0.0):
    """The mean is what it should be within three standard errors; `error` is that of the expected value."""
    spread = np.hypot(values.std(ddof=1) / np.sqrt(len(values)), error)
    assert abs(values.mean() - expected) <= 3 * spread + 1e-6, f"{values.mean():.4f} ± {spread:.4f}, expected {expected}"
