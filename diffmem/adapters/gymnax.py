"""Environments of gymnax, of its versions 0.0.x and 1.x, as environments of diffmem. Nothing of gymnax is imported."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from diffmem.adapters import bound
from diffmem.base import Array
from diffmem.envs.base import Box, Discrete


@dataclass(frozen=True, eq=False)
class FromGymnax:
    """A gymnax environment; see `from_gymnax`."""

    env: Any
    params: Any
    max_steps: int

    observation_space = property(lambda self: _space(self.env.observation_space(self.params)))
    action_space = property(lambda self: _space(self.env.action_space(self.params)))

    def init_params(self) -> Any:
        return self.params

    def reset(self, key: Array, params: Any) -> tuple[Any, Any]:
        observation, state = self.env.reset_env(key, params)
        return state, observation

    def advance(self, key: Array, params: Any, state: Any, action: Any):
        # `step_env` is the step without gymnax's own reset, so that the last observation is not lost. Its values: in 0.0.x
        # five, of which the flag is true at time-outs too; in 1.x five, of which it is not, beside `is_truncated`; an
        # environment that tells both apart by itself returns six.
        observation, state, reward, ended, *others = self.env.step_env(key, state, action, params)
        ended = jnp.asarray(ended, bool)
        if len(others) == 2:
            truncated = jnp.asarray(others[0], bool)
        elif hasattr(self.env, "is_truncated"):
            truncated = jnp.asarray(self.env.is_truncated(state, params), bool)
        else:
            truncated = ended & _out_of_time(state, params)
            ended = ended & ~truncated
        return state, observation, jnp.float32(reward), ended, truncated & ~ended

    def oracle(self, params: Any, state: Any) -> Any:
        raise NotImplementedError(f"gymnax defines no reference policy for {type(self.env).__name__}")

    def render(self, state: Any) -> str:
        return str(state)


def from_gymnax(env: Any, params: Any = None, *, max_steps: int | None = None) -> FromGymnax:
    """Wraps an environment of gymnax, whatever its version.

    `from_gymnax(*gymnax.make("CartPole-v1"))` is one. Time-outs are told apart from ends. gymnax 0.0.x does not: there an
    episode that ends at its time limit, `state.time >= params.max_steps_in_episode`, counts as timed out.

    Args:
        env: a gymnax environment, without gymnax's wrappers: these are passed by.
        params: its params; None: `env.default_params`.
        max_steps: the longest episode; None: `params.max_steps_in_episode`.

    Returns:
        An environment as `diffmem.envs.step` takes it.

    Raises:
        ValueError: no time limit is known, or a space is neither a Discrete nor a Box.
    """
    params = env.default_params if params is None else params
    if max_steps is None:
        max_steps = getattr(params, "max_steps_in_episode", None)
    if max_steps is None:
        raise ValueError(f"max_steps is None, and the params of {type(env).__name__} have no max_steps_in_episode")
    wrapped = FromGymnax(env, params, int(max_steps))
    _ = wrapped.observation_space, wrapped.action_space  # raises here where a space is of another kind
    return wrapped


def _out_of_time(state: Any, params: Any) -> Array:
    """Whether the time limit of gymnax 0.0.x has been reached; False where there is none."""
    if not (hasattr(state, "time") and hasattr(params, "max_steps_in_episode")):
        return jnp.bool_(False)
    return jnp.asarray(state.time >= params.max_steps_in_episode)


def _space(space: Any) -> Discrete | Box:
    kind = type(space).__name__
    if kind == "Discrete":
        return Discrete(int(space.n))
    if kind == "Box":
        return Box(bound(space.low), bound(space.high), tuple(space.shape))
    raise ValueError(f"space is a gymnax {kind}; legal: Discrete, Box")
