"""Agents in any vector environment of Gymnasium: they act in Python, step by step, and learn with `learn` like all others."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from jax import lax

from diffmem.adapters import initial_carry
from diffmem.adapters.gymnasium import collect, from_space
from diffmem.base import build
from experiments.rl.config import Settings
from experiments.rl.learning import Rollout


@dataclass(frozen=True, kw_only=True)
class VectorConfig(Settings):
    """An agent with a memory, for these spaces, and how it learns.

    state="zero" resets all environments before every rollout: what is left of their episodes is never seen.
    """

    observation_space: Any
    """Of one environment, as diffmem has it."""
    action_space: Any
    """The same for actions."""

    @property
    def spaces(self) -> tuple[Any, Any]:
        return self.observation_space, self.action_space


def vector_config(vector: VectorEnv, **settings) -> VectorConfig:
    """The config for agents in these environments.

    Args:
        vector: the environments.
        settings: any field of `Settings` but `envs`, which is their number.

    Raises:
        ValueError: a space that is neither Discrete, MultiDiscrete nor Box, an unknown field or an illegal value.
    """
    observation_space, action_space = map(from_space, (vector.single_observation_space, vector.single_action_space))
    own = {"envs": vector.num_envs, "observation_space": observation_space, "action_space": action_space}
    for name in own:
        if name in settings:
            raise ValueError(f"{name} is {settings[name]!r}; leave it out: the environments have {own[name]}")
    return build(VectorConfig, {**settings, **own})


class Actor:
    """Acts in vector environments for a rollout at a time, in the episodes that the one before left off in.

    Args:
        config: from `vector_config`.
        vector: the environments.
        seed: of their first reset and of the actions.
        autoreset_mode: see `diffmem.adapters.gymnasium.collect`.

    Raises:
        ValueError: the config is for another number of environments.
    """

    def __init__(
        self, config: Settings, vector: VectorEnv, *, seed: int = 0, autoreset_mode: AutoresetMode | str | None = None
    ):
        if config.envs != vector.num_envs:
            raise ValueError(f"config.envs is {config.envs}; it must be the number of environments, {vector.num_envs}")
        self.config, self.vector, self.autoreset_mode = config, vector, autoreset_mode
        self._model, self._seed, self._key = config.model(), seed, jax.random.key(seed)
        self._cursor, self._returned = None, np.zeros(vector.num_envs, np.float32)
        self._choose, self._values = jax.jit(self._chosen), jax.jit(self._values_after)

    def act(self, params: Any) -> Rollout:
        """The next `config.rollout` steps.

        Raises:
            ValueError: see `collect`.
        """
        config = self.config
        if self._cursor is None or config.state == "zero":
            memory = initial_carry(self._model.memory, params["memory"], (config.envs, config.width))
            self._cursor, state = None, (memory, self._key)
            self._returned = np.zeros_like(self._returned)
        else:
            state = self._cursor.state
        policy, memories, chunks = partial(self._choose, params), [], []
        for _ in range(config.rollout // config.length):
            memories.append(state[0])
            self._cursor, chunk = collect(
                self.vector,
                lambda state, *seen: policy(state, seen),
                config.length,
                self._cursor,
                state=state,
                seed=self._seed,
                autoreset_mode=self.autoreset_mode,
            )
            chunks.append(chunk)
            state, self._seed = self._cursor.state, None  # a later reset goes on with the environments' own generators
        self._key = state[1]
        rows = jax.tree.map(lambda *parts: np.concatenate(parts), *chunks)
        seen = (rows.observations, rows.previous_actions, rows.starts)
        values = self._values(params, memories[0], seen, rows.actions, rows.next_observations)
        action, log_prob, value = rows.extras
        return Rollout(
            *seen,
            action=action,
            log_prob=log_prob,
            value=value,
            reward=rows.rewards,
            ended=rows.ended,
            next_value=jnp.where(rows.terminated, 0, values),
            returned=self._returns(rows.rewards, rows.ended),
            valid=rows.mask,
            memory=jax.tree.map(lambda *states: jnp.stack(states), *memories),
        )

    def _step(self, params, memory, seen):
        return jax.vmap(self._model.step, (None, 0, 0, 0, 0))(params, memory, *seen)

    def _chosen(self, params, state, seen):
        """A policy of `collect`: its state is (memory, key). It keeps actions as they were drawn, as the density is theirs."""
        memory, key = state
        key, act_key = jax.random.split(key)
        memory, decision = self._step(params, memory, seen)
        policy = self._model.distribution
        action = jax.vmap(policy.sample)(jax.random.split(act_key, self.config.envs), decision.outputs)
        log_prob = jax.vmap(policy.log_prob)(decision.outputs, action)
        return (memory, key), self._model.action_space.clip(action), (action, log_prob, decision.value)

    def _values_after(self, params, memory, seen, actions, following):
        """V of what followed each step within its episode, from the memory after the step."""

        def step(memory, inputs):
            seen, action, following = inputs
            memory, _ = self._step(params, memory, seen)
            return memory, self._step(params, memory, (following, action, jnp.zeros(self.config.envs, bool)))[1].value

        return lax.scan(step, memory, (seen, actions, following))[1]

    def _returns(self, rewards, ended):
        """The sum of rewards of the running episodes after each step."""
        rows = []
        for reward, end in zip(rewards, ended, strict=True):
            rows.append(self._returned + reward)
            self._returned = np.where(end, np.float32(0), rows[-1])
        return np.stack(rows)
