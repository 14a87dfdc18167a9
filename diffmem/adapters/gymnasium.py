"""Gymnasium's vector environments, both ways: ours as one of them, and any of them as a source of batches.

Needs Gymnasium: `pip install 'diffmem[rl]'`.
"""

import numbers
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffmem import envs
from diffmem.adapters import bound
from diffmem.unroll import where

try:
    import gymnasium
    from gymnasium import spaces
    from gymnasium.vector import AutoresetMode, VectorEnv
    from gymnasium.vector.utils import batch_space
except ImportError as error:
    raise ImportError("gymnasium is missing: pip install 'diffmem[rl]'") from error


# --- Out --------------------------------------------------------------------------------------------------------------


def to_gymnasium(env: envs.Environment, num_envs: int, seed: int = 0, *, params: Any = None) -> "GymnasiumEnv":
    """A vector environment of Gymnasium that steps `num_envs` environments at once on the device.

    Args:
        env: the environment.
        num_envs: how many.
        seed: of all randomness, as in `reset(seed=...)`.
        params: the environment's params; None: `env.init_params()`.

    Returns:
        A `gymnasium.vector.VectorEnv` with NumPy outputs. It resets in the same step (`AutoresetMode.SAME_STEP`): where an
        episode ends, the observation is already the next one's, `info["final_obs"]` has the last one and
        `info["final_info"]["episode"]` its return "r" and length "l". `reset(seed=5)` gives the environments the seeds 5, 6,
        ...; a list gives each its own, None keeps it; `reset(options={"reset_mask": mask})` resets only where bool[num_envs] is
        True.

    Raises:
        ValueError: num_envs is no integer >= 1.

    Example:
        >>> from diffmem import envs
        >>> from diffmem.adapters.gymnasium import to_gymnasium
        >>> vector = to_gymnasium(envs.make("t_maze", length=2), num_envs=3)
        >>> observations, info = vector.reset(seed=1)
        >>> observations.shape, vector.single_action_space
        ((3, 2), Discrete(4))
    """
    if isinstance(num_envs, bool) or not isinstance(num_envs, numbers.Integral) or num_envs < 1:
        raise ValueError(f"num_envs is {num_envs!r}; it must be an integer >= 1")
    return GymnasiumEnv(env, int(num_envs), seed, env.init_params() if params is None else params)


class GymnasiumEnv(VectorEnv):
    """What `to_gymnasium` returns."""

    def __init__(self, env: envs.Environment, num_envs: int, seed: int, params: Any):
        self.env, self.num_envs, self.params = env, num_envs, params
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": ["ansi"]}
        self.render_mode = "ansi"
        self.single_observation_space = space_of(env.observation_space)
        self.single_action_space = space_of(env.action_space)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._keys = self._seeded(seed)
        self._split = jax.jit(lambda keys: tuple(jax.vmap(jax.random.split, out_axes=1)(keys)))
        self._reset = jax.jit(jax.vmap(env.reset, (0, None)))
        self._step = jax.jit(jax.vmap(partial(envs.step, env), (0, None, 0, 0)))
        self._choose = jax.jit(jax.vmap(where))
        self._state = None

    def reset(self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None):
        mask = self._mask((options or {}).get("reset_mask"))
        super().reset(seed=seed if isinstance(seed, int) else None)
        if seed is not None:
            self._keys = self._choose(mask, self._seeded(seed), self._keys)
        fresh = self._reset(self._next_keys(), self.params)
        if self._state is None:
            self._state, self._observation = fresh
            self._return, self._length = np.zeros(self.num_envs), np.zeros(self.num_envs, np.int64)
        self._state, self._observation = self._choose(mask, fresh, (self._state, self._observation))
        self._return[mask] = self._length[mask] = 0
        return self._shown(self._observation), {}

    def step(self, actions):
        if self._state is None:
            raise RuntimeError("step before reset")
        actions = np.asarray(actions)
        if actions.shape != self.action_space.shape or not np.all(self.env.action_space.contains(actions)):
            legal = f"legal for each of {self.num_envs}: {self.single_action_space}"
            raise ValueError(f"actions are {actions.tolist()!r}; {legal}; given: {actions.dtype}{list(actions.shape)}")
        self._state, out = self._step(self._next_keys(), self.params, self._state, actions)
        self._observation = out.observation
        reward, terminated, truncated = (np.asarray(x) for x in (out.reward, out.terminated, out.truncated))
        self._return, self._length, infos = self._return + reward, self._length + 1, {}
        ended = terminated | truncated
        if ended.any():
            final = self._shown(out.final_observation)
            for i in np.flatnonzero(ended):
                episode = {"r": float(self._return[i]), "l": int(self._length[i])}
                infos = self._add_info(infos, {"final_obs": final[i], "final_info": {"episode": episode}}, i)
            self._return[ended] = self._length[ended] = 0
        return self._shown(out.observation), reward, terminated, truncated, infos

    def render(self) -> tuple[str, ...]:
        """Each environment in characters."""
        if self._state is None:
            raise RuntimeError("render before reset")
        leaves, shape = jax.tree.flatten(self._state)
        return tuple(self.env.render(shape.unflatten([leaf[i] for leaf in leaves])) for i in range(self.num_envs))

    def _next_keys(self):
        self._keys, keys = self._split(self._keys)
        return keys

    def _seeded(self, seed: Any):
        """A key for each environment; where there is no seed, the one that it has."""
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, numbers.Integral) else list(seed)
        if len(seeds) != self.num_envs:
            raise ValueError(f"seed is {seed!r}; legal: an integer, or a list of {self.num_envs}")
        return jnp.stack([self._keys[i] if one is None else jax.random.key(one) for i, one in enumerate(seeds)])

    def _mask(self, mask: Any) -> np.ndarray:
        """Which environments are reset, all without a mask."""
        mask = np.ones(self.num_envs, bool) if mask is None else np.asarray(mask)
        if mask.dtype != bool or mask.shape != (self.num_envs,):
            given = f"{mask.dtype}{list(mask.shape)}"
            raise ValueError(f"options['reset_mask'] is {given}; it must be bool[{self.num_envs}]")
        if self._state is None and not mask.all():
            raise RuntimeError("reset with a reset_mask before a reset of all environments")
        return mask

    def _shown(self, observation) -> np.ndarray:
        return np.array(observation, self.single_observation_space.dtype)


def space_of(space: Any) -> gymnasium.Space:
    """Our space as Gymnasium's.

    Raises:
        ValueError: a space of another kind.
    """
    match space:
        case envs.Discrete():
            return spaces.Discrete(space.n)
        case envs.MultiDiscrete():
            return spaces.MultiDiscrete(space.counts)
        case envs.Box():
            low, high = (np.broadcast_to(np.float32(bound), space.shape) for bound in (space.low, space.high))
            return spaces.Box(low, high, space.shape, np.float32)
    raise ValueError(f"space is {space!r}; legal: Discrete, MultiDiscrete, Box")


# --- In ---------------------------------------------------------------------------------------------------------------


def from_space(space: gymnasium.Space) -> Any:
    """Gymnasium's space as ours.

    Raises:
        ValueError: a space of another kind, integers that do not begin at 0, or a MultiDiscrete with more than one axis.
    """
    match space:
        case spaces.Discrete(start=0):
            return envs.Discrete(int(space.n))
        case spaces.MultiDiscrete() if space.nvec.ndim == 1 and not space.start.any():
            return envs.MultiDiscrete(tuple(space.nvec.tolist()))
        case spaces.Box():
            return envs.Box(bound(space.low), bound(space.high), space.shape)
    raise ValueError(f"space is {space}; legal: Discrete and MultiDiscrete that begin at 0, the latter with one axis, and Box")


class Cursor(NamedTuple):
    """Where a rollout goes on.

    Attributes:
        observations: what the environments show; [B, ...], or a tree of such arrays.
        previous_actions: [B, ...], zeros at first.
        starts: [B] bool, whether an observation is the first of its episode.
        fillers: [B] bool, whether the next step of an environment does nothing but reset it.
        state: the policy's.
    """

    observations: Any
    previous_actions: np.ndarray
    starts: np.ndarray
    fillers: np.ndarray
    state: Any


class Rollout(NamedTuple):
    """What was seen and done, [T, B, ...] in NumPy. The flag `starts` comes before a step, `ended` after it.

    Attributes:
        observations: what each action was chosen at.
        previous_actions: the action before; anything where `starts`.
        starts: whether that observation is the first of its episode: the memory begins anew before it.
        actions: what was done.
        extras: what the policy returned beside its actions.
        rewards: float32.
        terminated: whether the episode has really ended.
        truncated: whether it was cut off, and not terminated.
        ended: either.
        next_observations: what followed within the same episode, the final observation where it ended: bootstrap from it
            where `truncated`.
        mask: False for filler steps, whose action was ignored; leave them out of losses and statistics.
    """

    observations: Any
    previous_actions: np.ndarray
    starts: np.ndarray
    actions: np.ndarray
    extras: Any
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    ended: np.ndarray
    next_observations: Any
    mask: np.ndarray


Policy = Callable[[Any, Any, np.ndarray, np.ndarray], tuple[Any, Any, Any]]


def collect(
    vector: VectorEnv,
    policy: Policy,
    steps: int,
    cursor: Cursor | None = None,
    *,
    state: Any = None,
    seed: int | None = None,
    autoreset_mode: AutoresetMode | str | None = None,
) -> tuple[Cursor, Rollout]:
    """Acts in any vector environment of Gymnasium, however it resets.

        mode         what a step returns where an episode ends     the step after
        SAME_STEP    the next episode's first observation; the     usual
                     last one is in info["final_obs"]
        NEXT_STEP    the last observation                          resets, ignores the action, earns 0: masked
        DISABLED     the last observation, whereupon the           usual
                     collector resets these environments

    Args:
        vector: the vector environment.
        policy: from its state, observations [B, ...], previous actions [B, ...] and starts [B], it makes the new state, the
            actions [B, ...] and whatever else shall be kept (values, log probabilities; None for nothing).
        steps: T.
        cursor: from the call before; None resets the environments.
        state: the policy's first state, without a cursor.
        seed: for the reset, without a cursor.
        autoreset_mode: how the environments reset; None: what `vector.metadata` says.

    Returns:
        A cursor for the next call, and what was collected.

    Raises:
        ValueError: steps below 1, an unknown autoreset_mode, or the environments do not say how they reset.

    Example:
        >>> import gymnasium, numpy as np
        >>> from diffmem.adapters.gymnasium import collect
        >>> vector = gymnasium.make_vec("CartPole-v1", num_envs=2)
        >>> push_left = lambda state, observations, previous, starts: (state, np.zeros(2, int), None)
        >>> cursor, rollout = collect(vector, push_left, 20, seed=0)
        >>> rollout.observations.shape, int(rollout.ended.sum()), int((~rollout.mask).sum())
        ((20, 2, 4), 4, 4)
    """
    if steps < 1:
        raise ValueError(f"steps is {steps!r}; it must be at least 1")
    mode = vector.metadata.get("autoreset_mode") if autoreset_mode is None else autoreset_mode
    modes = {known: known.value for known in AutoresetMode}
    legal = ", ".join(map(repr, modes.values()))
    if mode is None:
        raise ValueError(f"{vector} does not say how it resets in metadata['autoreset_mode']; pass autoreset_mode: {legal}")
    if mode not in (*modes, *modes.values()):
        raise ValueError(f"autoreset_mode is {mode!r}; legal: {legal}")
    mode = AutoresetMode(mode)
    if cursor is None:
        observations, _ = vector.reset(seed=seed)
        none, no = np.zeros_like(np.asarray(vector.action_space.sample())), np.zeros(vector.num_envs, bool)
        cursor = Cursor(_copy(observations), none, ~no, no, state)

    rows = []
    for _ in range(steps):
        observations, previous, starts, fillers, state = cursor
        state, actions, extras = policy(state, observations, previous, starts)
        actions = np.array(actions)
        shown, rewards, terminated, truncated, infos = vector.step(actions)
        shown, terminated = _copy(shown), np.array(terminated, bool)
        truncated = np.array(truncated, bool) & ~terminated
        ended, following = terminated | truncated, shown
        if mode is AutoresetMode.SAME_STEP and ended.any():
            following = _with_final(shown, infos["final_obs"], ended)
        if mode is AutoresetMode.DISABLED and ended.any():
            shown = _copy(vector.reset(options={"reset_mask": ended})[0])
        row = (observations, previous, starts, actions, extras, np.float32(rewards), terminated, truncated, ended)
        rows.append((*row, following, ~fillers))
        next_step = mode is AutoresetMode.NEXT_STEP
        cursor = Cursor(shown, actions, fillers if next_step else ended, ended if next_step else np.zeros_like(ended), state)
    return cursor, Rollout(*jax.tree.map(lambda *leaves: np.stack(leaves), *rows))


def _copy(observations: Any) -> Any:
    """In memory of its own: an environment may show everything in the same array."""
    return jax.tree.map(np.array, observations)


def _with_final(shown: Any, final: Any, ended: np.ndarray) -> Any:
    """The observations, with the final ones where an episode ended."""
    following = _copy(shown)
    for i in np.flatnonzero(ended):
        for all_of_them, one in zip(jax.tree.leaves(following), jax.tree.leaves(final[i]), strict=True):
            all_of_them[i] = one
    return following
