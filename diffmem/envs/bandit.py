"""The bandit of POPGym: find out within an episode which arm pays.

Source: Morad, Kortvelesy, Bettini, Liwicki, Prorok 2023, POPGym: Benchmarking Partially Observable Reinforcement Learning,
arXiv:2303.01859, and the authors' package popgym 1.0.7, which the tests compare with step by step.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from diffmem.base import Array, check_counts
from diffmem.envs.base import POPGYM, Discrete, NoParams, register, verdict


class MultiarmedBanditState(NamedTuple):
    """chances [arms]: how likely each arm pays. paid: whether the last one did. time: steps taken."""

    chances: Array
    paid: Array
    time: Array


@register(
    "multiarmed_bandit",
    source=POPGYM,
    levels=dict(easy=dict(arms=10, steps=200), medium=dict(arms=20, steps=400), hard=dict(arms=30, steps=600)),
)
@dataclass(frozen=True)
class MultiarmedBandit:
    """Pull arms that pay with unknown chances, uniform in [0, 1] and new in each episode.

    Observation: whether the last arm paid, 0 or 1. Action: an arm; +1/L if it pays, else -1/L. L steps, then the clock cuts.
    The observation does not say which arm it was: the agent needs its previous action as an input.

    Args:
        arms: number of arms.
        steps: length L of an episode.

    Example:
        >>> import diffmem.envs
        >>> env = diffmem.envs.make("multiarmed_bandit", "easy")
        >>> env.max_steps, env.observation_space, env.action_space
        (200, Discrete(n=2), Discrete(n=10))

    Source: POPGym's MultiarmedBandit.

    Differences from the paper: none.
    """

    arms: int = 10
    steps: int = 200

    def __post_init__(self):
        check_counts(self, arms=self.arms, steps=self.steps)

    observation_space = Discrete(2)
    action_space = property(lambda self: Discrete(self.arms))
    max_steps = property(lambda self: self.steps)

    def init_params(self) -> NoParams:
        return NoParams()

    def reset(self, key: Array, params: NoParams) -> tuple[MultiarmedBanditState, Array]:
        zero = jnp.zeros((), jnp.int32)
        return MultiarmedBanditState(jax.random.uniform(key, (self.arms,), jnp.float32), zero, zero), zero

    def advance(self, key: Array, params: NoParams, state: MultiarmedBanditState, action: Array) -> tuple[Any, ...]:
        pays = jax.random.uniform(key, (), jnp.float32) < state.chances[action]
        state = MultiarmedBanditState(state.chances, pays.astype(jnp.int32), state.time + 1)
        return state, state.paid, verdict(pays, 1 / self.steps), jnp.zeros_like(pays), state.time == self.steps

    def oracle(self, params: NoParams, state: MultiarmedBanditState) -> Array:
        """The arm that pays most often."""
        return jnp.argmax(state.chances).astype(jnp.int32)

    def render(self, state: MultiarmedBanditState) -> str:
        chances = " ".join(f"{chance:.2f}" for chance in state.chances.tolist())
        return f"step {state.time}/{self.steps}  paid {state.paid}  chances {chances}"
