"""CartPole and Pendulum of which only a part is seen, with or without noise: the rest must be inferred from the past.

Source: Morad et al. 2023, POPGym, arXiv:2303.01859; the dynamics are those of Gymnasium's CartPole and Pendulum.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from diffmem.base import Array, check_choice, check_counts, check_number
from diffmem.envs.base import Box, Discrete, register

POPGYM = "POPGym, arXiv:2303.01859"
SIGMAS = dict(easy=0.1, medium=0.2, hard=0.3)
X_LIMIT, ANGLE_LIMIT = 2.4, 12 * 2 * math.pi / 360
INFINITY = float("inf")


def check_noise(env) -> None:
    """Raises ValueError unless the noise is a number >= 0."""
    check_number(env, "noise", "a finite number >= 0", lambda noise: 0 <= noise < INFINITY)


def blurred(key: Array, space: Box, clean: Array, sigma: Array) -> Array:
    """The observation plus normal noise, within its space, float32."""
    clean = clean.astype(jnp.float32)
    return space.clip(clean + sigma * jax.random.normal(key, clean.shape, jnp.float32))


# --- CartPole ---------------------------------------------------------------------------------------------------------


class CartPoleParams(NamedTuple):
    """Any of them may be traced: standard deviation of the noise, gravity, masses, half the pole's length, force, time step."""

    noise: Any
    gravity: Any = 9.8
    cart_mass: Any = 1.0
    pole_mass: Any = 0.1
    half_length: Any = 0.5
    force: Any = 10.0
    tau: Any = 0.02


class CartPoleState(NamedTuple):
    """time: steps made. motion [4]: position, velocity, angle from upright, angular velocity."""

    time: Array
    motion: Array


@register(
    "position_only_cartpole",
    source=POPGYM,
    levels={name: dict(steps=steps) for name, steps in dict(easy=200, medium=400, hard=600).items()},
)
@register(
    "noisy_position_only_cartpole",
    source=POPGYM,
    levels={name: dict(steps=200, noise=noise) for name, noise in SIGMAS.items()},
)
@register(
    "velocity_only_cartpole",
    source=POPGYM,
    levels={name: dict(steps=steps, observe="velocity") for name, steps in dict(easy=200, medium=400, hard=600).items()},
)
@dataclass(frozen=True)
class CartPole:
    """Balance a pole on a cart, seeing positions without velocities, or velocities without positions.

        temp   = (F + m l w² sin θ) / M                            F = ±10, m pole, M pole and cart, l half the length
        w'     = (g sin θ - temp cos θ) / (l (4/3 - m cos² θ / M))
        v'     = temp - m l w' cos θ / M
        x, v, θ, w  +=  τ (v, v', w, w')

    The actions are 0, push left, and 1, push right. Every step earns 1/steps, the one that fails included. The episode
    terminates where |x| > 2.4 or |θ| > 12°, and is truncated after `steps`.

    Args:
        steps: number of steps after which the episode is cut off.
        noise: standard deviation of the noise in the observation; the published value of the params.
        observe: "position", (x, θ) in ±(4.8, 24°), or "velocity", (v, w) without bounds.

    Example:
        >>> import jax
        >>> from diffmem import envs
        >>> env = envs.make("noisy_position_only_cartpole", "hard")
        >>> params = env.init_params()
        >>> state, observation = env.reset(jax.random.key(0), params)
        >>> print(observation.shape, params.noise)
        (2,) 0.3

    Raises:
        ValueError: steps below 1, a negative noise, an unknown observation.

    Differences from the paper:
        - With velocities only, POPGym's first observation is (x, θ); here it is (v, w) like all others.
    """

    steps: int = 200
    noise: float = 0.0
    observe: str = "position"

    def __post_init__(self):
        check_counts(self, steps=self.steps)
        check_noise(self)
        check_choice(self, "observe", ("position", "velocity"))

    action_space = property(lambda self: Discrete(2))
    max_steps = property(lambda self: self.steps)

    @property
    def observation_space(self) -> Box:
        high = (2 * X_LIMIT, 2 * ANGLE_LIMIT) if self.observe == "position" else (INFINITY, INFINITY)
        return Box(tuple(-x for x in high), high, (2,))

    def init_params(self) -> CartPoleParams:
        return CartPoleParams(self.noise)

    def reset(self, key: Array, params: CartPoleParams) -> tuple[CartPoleState, Array]:
        key, noise_key = jax.random.split(key)
        state = CartPoleState(jnp.int32(0), jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05))
        return state, self._observe(noise_key, params, state)

    def advance(self, key: Array, params: CartPoleParams, state: CartPoleState, action: Array):
        _, v, angle, w = state.motion
        sin, cos = jnp.sin(angle), jnp.cos(angle)
        mass, moment = params.cart_mass + params.pole_mass, params.pole_mass * params.half_length
        temp = (jnp.where(action == 1, params.force, -params.force) + moment * w**2 * sin) / mass
        w_dot = (params.gravity * sin - cos * temp) / (params.half_length * (4 / 3 - params.pole_mass * cos**2 / mass))
        v_dot = temp - moment * w_dot * cos / mass
        motion = state.motion + params.tau * jnp.stack([v, v_dot, w, w_dot])
        state = CartPoleState(state.time + 1, motion)
        terminated = (jnp.abs(motion[0]) > X_LIMIT) | (jnp.abs(motion[2]) > ANGLE_LIMIT)
        truncated = (state.time >= self.steps) & ~terminated
        return state, self._observe(key, params, state), jnp.float32(1 / self.steps), terminated, truncated

    def oracle(self, params: CartPoleParams, state: CartPoleState) -> Array:
        """A reference policy: push towards where a weighted sum of the four quantities points, a linear regulator's sign."""
        return (state.motion @ jnp.array([1.0, 2.0, 30.0, 8.0], state.motion.dtype) > 0).astype(jnp.int32)

    def render(self, state: CartPoleState) -> str:
        """The cart on its track, and which way the pole leans."""
        x, _, angle, _ = (float(value) for value in state.motion)
        place = min(max(round((x + X_LIMIT) / (2 * X_LIMIT) * 40), 0), 40)
        pole = "|" if abs(angle) < 0.02 else "/" if angle > 0 else "\\"
        return f"{' ' * place}{pole}\n{'-' * place}#{'-' * (40 - place)}  angle {math.degrees(angle):.1f}°"

    def _observe(self, key: Array, params: CartPoleParams, state: CartPoleState) -> Array:
        first = 0 if self.observe == "position" else 1
        return blurred(key, self.observation_space, state.motion[first::2], params.noise)


# --- Pendulum ---------------------------------------------------------------------------------------------------------


class PendulumParams(NamedTuple):
    """Any of them may be traced: standard deviation of the noise, gravity, mass, length, time step."""

    noise: Any
    gravity: Any = 10.0
    mass: Any = 1.0
    length: Any = 1.0
    dt: Any = 0.05


class PendulumState(NamedTuple):
    """time: steps made. angle from upright, not wrapped. velocity: its derivative."""

    time: Array
    angle: Array
    velocity: Array


WORST = math.pi**2 + 0.1 * 8**2 + 0.001 * 2**2  # the greatest cost of one step: hanging, at the greatest speed and torque


@register(
    "position_only_pendulum",
    source=POPGYM,
    levels={name: dict(steps=steps) for name, steps in dict(easy=200, medium=150, hard=100).items()},
)
@register(
    "noisy_position_only_pendulum",
    source=POPGYM,
    levels={name: dict(steps=200, noise=noise) for name, noise in SIGMAS.items()},
)
@dataclass(frozen=True)
class Pendulum:
    """Swing a pendulum up and hold it there, seeing where it is but not how fast it moves.

        ω  ←  clip(ω + (3g / 2l sin θ + 3 / (m l²) u) dt, ±8)
        θ  ←  θ + ω dt
        reward  =  (1 - 2 cost / 16.27) / steps,   cost  =  θ² + 0.1 ω² + 0.001 u²  of the state before the step

    The action is the torque u in ±2. The episode never terminates; it is truncated after `steps`.

    Args:
        steps: number of steps.
        noise: standard deviation of the noise in the observation (cos θ, sin θ); the published value of the params.

    Example:
        >>> import jax
        >>> from diffmem import envs
        >>> env = envs.make("position_only_pendulum", "hard")
        >>> state, observation = env.reset(jax.random.key(0), env.init_params())
        >>> env.max_steps, observation.shape, env.action_space
        (100, (2,), Box(low=-2.0, high=2.0, shape=(1,)))

    Raises:
        ValueError: steps below 1 or a negative noise.

    Differences from the paper: none.
    """

    steps: int = 200
    noise: float = 0.0

    def __post_init__(self):
        check_counts(self, steps=self.steps)
        check_noise(self)

    observation_space = property(lambda self: Box(-1.0, 1.0, (2,)))
    action_space = property(lambda self: Box(-2.0, 2.0, (1,)))
    max_steps = property(lambda self: self.steps)

    def init_params(self) -> PendulumParams:
        return PendulumParams(self.noise)

    def reset(self, key: Array, params: PendulumParams) -> tuple[PendulumState, Array]:
        key, noise_key = jax.random.split(key)
        angle, velocity = jax.random.uniform(key, (2,), minval=-1.0)
        state = PendulumState(jnp.int32(0), math.pi * angle, velocity)
        return state, self._observe(noise_key, params, state)

    def advance(self, key: Array, params: PendulumParams, state: PendulumState, action: Array):
        _, angle, velocity = state
        torque = action[0].astype(angle.dtype)
        wrapped = (angle + math.pi) % (2 * math.pi) - math.pi
        cost = wrapped**2 + 0.1 * velocity**2 + 0.001 * torque**2
        fall = 3 * params.gravity / (2 * params.length) * jnp.sin(angle)
        velocity = jnp.clip(velocity + (fall + 3 / (params.mass * params.length**2) * torque) * params.dt, -8, 8)
        state = PendulumState(state.time + 1, angle + velocity * params.dt, velocity)
        reward = ((1 - 2 / WORST * cost) / self.steps).astype(jnp.float32)
        return state, self._observe(key, params, state), reward, jnp.bool_(False), state.time >= self.steps

    def oracle(self, params: PendulumParams, state: PendulumState) -> Array:
        """A reference policy: pump energy until it suffices to stand, then hold with a linear regulator."""
        angle, velocity = (state.angle + math.pi) % (2 * math.pi) - math.pi, state.velocity
        energy = velocity**2 / 2 + 15 * (jnp.cos(angle) - 1)  # 0 upright and at rest
        pump = jnp.where((velocity >= 0) == (energy < 0), 2.0, -2.0).astype(angle.dtype)
        hold = -(12 * angle + 3 * velocity)
        near = (jnp.abs(angle) < 0.6) & (jnp.abs(hold) < 8)
        return jnp.clip(jnp.where(near, hold, pump), -2, 2).astype(jnp.float32)[None]

    def render(self, state: PendulumState) -> str:
        """The tip of the pendulum around its pivot."""
        row, column = 3 - round(3 * math.cos(state.angle)), 6 + round(6 * math.sin(state.angle))
        rows = [[" "] * 13 for _ in range(7)]
        rows[3][6] = "+"
        rows[row][column] = "o"
        return "\n".join("".join(row).rstrip() for row in rows)

    def _observe(self, key: Array, params: PendulumParams, state: PendulumState) -> Array:
        place = jnp.stack([jnp.cos(state.angle), jnp.sin(state.angle)])
        return blurred(key, self.observation_space, place, params.noise)
