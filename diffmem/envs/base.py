"""What an environment is: spaces, the protocol, the registry, and a step that begins a new episode where one has ended.

An environment is like a memory: a config (a frozen dataclass of static sizes), params (a NamedTuple of numbers that may be
traced, such as a noise level) and a state (a NamedTuple of arrays). Its functions are pure, of ONE environment; `jax.vmap` is
the batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from diffmem.base import Array, Registry, build, check_counts, check_sizes, suggest
from diffmem.unroll import where

C = TypeVar("C", bound=type)
POPGYM = "Morad et al. 2023, POPGym, arXiv:2303.01859"


# --- Spaces -----------------------------------------------------------------------------------------------------------


def typed(value: Any, *kinds: Any) -> Any:
    """The value as an array; where it does not hold numbers of one of these kinds, NaNs, which no space contains."""
    value = value if isinstance(value, jax.Array) else np.asarray(value)
    return value if any(jnp.issubdtype(value.dtype, kind) for kind in kinds) else np.full(value.shape, np.nan, np.float32)


class Space(Protocol):
    """What observations or actions look like. `size` is the length of what `flatten` returns; `clip` is the nearest value.

    `contains` takes a batch, too, with any leading axes: one answer each. Values of another type are not contained.
    """

    @property
    def size(self) -> int: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    def flatten(self, value: Array) -> Array: ...

    def sample(self, key: Array) -> Array: ...

    def contains(self, value: Any) -> Array: ...

    def clip(self, value: Array) -> Array: ...


@dataclass(frozen=True)
class Discrete:
    """Integers 0 .. n-1; flat, a one-hot vector [n].

    Raises:
        ValueError: n is no integer >= 1.
    """

    n: int

    def __post_init__(self):
        check_counts(self, n=self.n)

    shape = ()
    size = property(lambda self: self.n)

    def flatten(self, value: Array) -> Array:
        return jax.nn.one_hot(value, self.n)

    def sample(self, key: Array) -> Array:
        return jax.random.randint(key, (), 0, self.n)

    def contains(self, value: Any) -> Array:
        value = typed(value, jnp.integer)
        return (value >= 0) & (value < self.n)

    def clip(self, value: Array) -> Array:
        return jnp.clip(value, 0, self.n - 1)


@dataclass(frozen=True)
class MultiDiscrete:
    """Vectors of integers, component i in 0 .. counts[i]-1; flat, one-hot vectors side by side [sum of counts].

    Raises:
        ValueError: counts are no integers >= 1.
    """

    counts: tuple[int, ...]

    def __post_init__(self):
        check_sizes(self, "counts")

    shape = property(lambda self: (len(self.counts),))
    size = property(lambda self: sum(self.counts))

    def flatten(self, value: Array) -> Array:
        owners = np.repeat(np.arange(len(self.counts)), self.counts)
        levels = np.concatenate([np.arange(n, dtype=np.int32) for n in self.counts])
        return (value[owners] == levels).astype(jnp.float32)

    def sample(self, key: Array) -> Array:
        return jax.random.randint(key, self.shape, 0, self._ends)

    def contains(self, value: Any) -> Array:
        value = typed(value, jnp.integer)
        return ((value >= 0) & (value < self._ends)).all(-1)

    def clip(self, value: Array) -> Array:
        return jnp.clip(value, 0, self._ends - 1)

    _ends = property(lambda self: np.array(self.counts, np.int32))


@dataclass(frozen=True)
class Box:
    """Real arrays of a shape between two bounds, numbers or (nested) tuples of the shape; flat, the numbers in a row.

    Samples are uniform; where there is no bound, normal; where there is one, exponential from there.

    Raises:
        ValueError: bounds that are no numbers, not of the shape, or low > high.
    """

    low: Any
    high: Any
    shape: tuple[int, ...]

    def __post_init__(self):
        check_sizes(self, "shape")
        try:
            low, high = (np.broadcast_to(bound, self.shape) for bound in self._bounds)
            legal = bool((low <= high).all())
        except (ValueError, TypeError):
            legal = False
        if not legal:
            raise ValueError(
                f"Box.low is {self.low!r}, Box.high is {self.high!r}; they must be numbers, or tuples of the shape "
                f"{self.shape}, with low <= high"
            )

    size = property(lambda self: int(np.prod(self.shape)))

    def flatten(self, value: Array) -> Array:
        return jnp.ravel(value)

    def sample(self, key: Array) -> Array:
        low, high = (np.broadcast_to(bound, self.shape) for bound in self._bounds)
        with np.errstate(over="ignore"):
            within = np.isfinite(high - low)
        uniform = jax.random.uniform(key, self.shape, jnp.float32, np.where(within, low, 0), np.where(within, high, 1))
        if within.all():
            return uniform
        normal_key, tail_key = jax.random.split(key)
        tail, normal = jax.random.exponential(tail_key, self.shape), jax.random.normal(normal_key, self.shape)
        above, below = np.isfinite(low) & np.isinf(high), np.isinf(low) & np.isfinite(high)
        beyond = jnp.where(above, low + tail, jnp.where(below, high - tail, normal))
        return jnp.where(within, uniform, beyond)

    def contains(self, value: Any) -> Array:
        value, (low, high) = typed(value, jnp.integer, jnp.floating), self._bounds
        return ((value >= low) & (value <= high)).all(tuple(range(-len(self.shape), 0)))

    def clip(self, value: Array) -> Array:
        return jnp.clip(value, *self._bounds)

    _bounds = property(lambda self: (np.float32(self.low), np.float32(self.high)))


# --- The protocol -----------------------------------------------------------------------------------------------------


class NoParams(NamedTuple):
    """The params of an environment that has none."""


class Step(NamedTuple):
    """What a step returns.

    Attributes:
        observation: what the agent sees next: of the new episode, where the old one has ended.
        final_observation: what the old episode showed last; a time-out is bootstrapped from it.
        reward: float32.
        terminated: whether the episode has really ended: no value follows.
        truncated: whether it was cut off by the clock: a value would have followed.
    """

    observation: Any
    final_observation: Any
    reward: Array
    terminated: Array
    truncated: Array


class Environment(Protocol):
    """One environment. Implementations are frozen, hashable dataclasses whose constructor validates.

    Attributes:
        observation_space, action_space: see `Space`.
        max_steps: the longest episode.
    """

    @property
    def observation_space(self) -> Any: ...

    @property
    def action_space(self) -> Any: ...

    @property
    def max_steps(self) -> int: ...

    def init_params(self) -> Any:
        """The params of the published environment: a NamedTuple, `NoParams()` where there is nothing to set."""
        ...

    def reset(self, key: Array, params: Any) -> tuple[Any, Any]:
        """Begins an episode: state, observation."""
        ...

    def advance(self, key: Array, params: Any, state: Any, action: Any) -> tuple[Any, Any, Array, Array, Array]:
        """One step within an episode: state, observation, reward (float32), terminated, truncated."""
        ...

    def oracle(self, params: Any, state: Any) -> Any:
        """The best action, or that of a named reference policy, for an agent that sees the hidden state."""
        ...

    def render(self, state: Any) -> str:
        """The state in characters."""
        ...


def step(env: Environment, key: Array, params: Any, state: Any, action: Any) -> tuple[Any, Step]:
    """One step, and the first observation of a new episode where this one ends.

    Args:
        env: the environment.
        key: PRNG key of this step.
        params: `env.init_params()`, or others.
        state: from `env.reset` or the step before.
        action: one action of `env.action_space`. Inside jit nothing can be checked: an action out of range acts as the
            nearest legal one does (`advance` need not care). `check_action` checks outside.

    Returns:
        The state, and a `Step`.
    """
    step_key, reset_key = jax.random.split(key)
    state, observation, reward, terminated, truncated = env.advance(step_key, params, state, env.action_space.clip(action))
    fresh, first = env.reset(reset_key, params)
    ended = terminated | truncated
    return where(ended, fresh, state), Step(where(ended, first, observation), observation, reward, terminated, truncated)


def verdict(right: Array, scale: float) -> Array:
    """The reward of an answer, float32: +scale if right, else -scale."""
    return jnp.where(right, jnp.float32(scale), jnp.float32(-scale))


def check_action(env: Environment, action: Any) -> None:
    """Raises ValueError unless the action, which must not be traced, is in the action space: its type is checked, too."""
    space, action = env.action_space, np.asarray(action)
    if action.shape != space.shape or not bool(space.contains(action)):
        given = f"{action.dtype}{list(action.shape)}"
        raise ValueError(f"action is {action.tolist()!r}; legal for {type(env).__name__}: {space}; given: {given}")


# --- The registry -----------------------------------------------------------------------------------------------------


class Entry(NamedTuple):
    """A registered environment: its class, where it comes from, and its fields by level of difficulty."""

    cls: type
    source: str
    levels: Mapping[str, Mapping[str, Any]]


_REGISTRY = Registry("environment")


def register(name: str, *, source: str, levels: Mapping[str, Mapping[str, Any]]):
    """Class decorator that makes an environment known to `make`, and its `render` refuse a batch of states.

    Args:
        name: what `make` calls it.
        source: paper or code that defines it.
        levels: the fields at each difficulty, "easy" first.

    Raises:
        ValueError: the name is taken by another class.
    """

    def add(cls: C) -> C:
        _REGISTRY.add(name, Entry(cls, source, levels))
        environment: Any = cls
        environment.render = _of_one(environment.render)
        return cls

    return add


@cache
def _axes(env: Environment) -> list[int]:
    state = jax.eval_shape(env.reset, jax.random.key(0), env.init_params())[0]
    return [leaf.ndim for leaf in jax.tree.leaves(state)]


def _of_one(render):
    @wraps(render)
    def checked(env, state):
        if [np.ndim(leaf) for leaf in jax.tree.leaves(state)] != _axes(env):
            one = "jax.tree.map(lambda a: a[0], state) is the first of a batch"
            raise ValueError(f"{type(env).__name__}.render takes the state of one environment; {one}")
        return render(env, state)

    return checked


def names() -> tuple[str, ...]:
    """The names that `make` knows, sorted."""
    return tuple(sorted(_REGISTRY))


def entry(name: str) -> Entry:
    """The registry's entry for a name.

    Raises:
        ValueError: no environment has this name; the message suggests the nearest.
    """
    return _REGISTRY.find(name)


def split_name(name: str) -> tuple[str, str | None]:
    """An environment's name and difficulty from either "repeat_previous" or "repeat_previous_easy".

    Raises:
        ValueError: no environment has this name, or not this level.
    """
    if name in tuple(_REGISTRY) or not isinstance(name, str):
        return name, None
    front, _, level = name.rpartition("_")
    if front not in _REGISTRY:
        _REGISTRY.find(name)
    _check_level(front, level)
    return front, level


def _check_level(name: str, difficulty: Any) -> None:
    levels = tuple(_REGISTRY[name].levels)
    if difficulty not in levels:
        raise ValueError(f"{name} has no difficulty {difficulty!r}{suggest(difficulty, levels)}")


def make(name: str, difficulty: str | None = None, **fields) -> Any:
    """Builds an environment: `make("repeat_previous", "hard")`; without a difficulty, its first level.

    Args:
        name: one of `names()`; without a difficulty, name and difficulty may come in one: "repeat_previous_hard".
        difficulty: one of the environment's levels.
        fields: what differs from that level.

    Raises:
        ValueError: an unknown name, difficulty or field, with the nearest one suggested, or an illegal value.
    """
    if difficulty is None:
        name, difficulty = split_name(name)
    found = entry(name)
    difficulty = next(iter(found.levels)) if difficulty is None else difficulty
    _check_level(name, difficulty)
    return build(found.cls, {**found.levels[difficulty], **fields})
