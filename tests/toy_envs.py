"""Environments of a few lines for the tests of agents: what they do can be followed by hand."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from diffmem import envs
from diffmem.envs import Box, Discrete, MultiDiscrete, NoParams


class EchoState(NamedTuple):
    seen: jax.Array  # [lag + 1], the newest first
    time: jax.Array


@dataclass(frozen=True)
class Echo:
    """Shows one of `symbols` a step; the right action is the symbol that was shown `lag` steps ago.

    With cut=True the clock cuts an episode off after max_steps; otherwise it terminates there. With hazard > 0 it may also
    terminate at any step before. `kind` changes what observations and actions look like, not what is right.
    """

    symbols: int = 3
    lag: int = 1
    max_steps: int = 5
    cut: bool = False
    hazard: float = 0.0
    kind: str = "discrete"

    @property
    def observation_space(self) -> Any:
        n = self.symbols
        return {"multi": MultiDiscrete((n, n)), "box": Box(0.0, 1.0, (n,)), "grid": Box(0.0, 1.0, (3, 2, 1))}.get(
            self.kind, Discrete(n)
        )

    @property
    def action_space(self) -> Any:
        n = self.symbols
        return {"multi": MultiDiscrete((n, 2)), "box": Box(-1.0, 1.0, (2,))}.get(self.kind, Discrete(n))

    def init_params(self):
        return NoParams()

    def _show(self, state):
        symbol = state.seen[0]
        if self.kind == "multi":
            return jnp.stack([symbol, symbol])
        if self.kind == "box":
            return jax.nn.one_hot(symbol, self.symbols)
        return jnp.full((3, 2, 1), symbol / self.symbols) if self.kind == "grid" else symbol

    def reset(self, key, params):
        seen = jnp.zeros(self.lag + 1, jnp.int32).at[0].set(jax.random.randint(key, (), 0, self.symbols))
        state = EchoState(seen, jnp.int32(0))
        return state, self._show(state)

    def advance(self, key, params, state, action):
        next_key, hazard_key = jax.random.split(key)
        target, time = state.seen[-1], state.time + 1
        if self.kind == "multi":
            action = action[0]
        right = jnp.abs(action[0] - target / self.symbols) < 0.2 if self.kind == "box" else action == target
        reward = jnp.where(state.time >= self.lag, right.astype(jnp.float32) / (self.max_steps - self.lag), 0.0)
        seen = jnp.roll(state.seen, 1).at[0].set(jax.random.randint(next_key, (), 0, self.symbols))
        late = time >= self.max_steps
        died = jax.random.bernoulli(hazard_key, self.hazard) if self.hazard else jnp.bool_(False)
        state = EchoState(seen, time)
        return state, self._show(state), reward, died | (late & (not self.cut)), late & self.cut & ~died

    def oracle(self, params, state):
        return state.seen[-1]

    def render(self, state):
        return str(state.seen)


def register(monkeypatch) -> None:
    """Makes `echo` known to `envs.make` for as long as the patch lasts."""
    kinds = {kind: {"kind": kind} for kind in ("discrete", "multi", "box", "grid")}
    levels = {"easy": {}, "long": {"max_steps": 51, "lag": 3, "symbols": 4}, **kinds}
    monkeypatch.setitem(envs.base._REGISTRY, "echo", envs.base.Entry(Echo, "tests", levels))
