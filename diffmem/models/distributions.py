"""Distributions over actions, as functions of the numbers that an actor puts out.

Each is a small frozen dataclass that belongs to one kind of action space. `size` is how many numbers it takes; everything is
for one action, and `jax.vmap` is the batch.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from diffmem.base import Array
from diffmem.envs import Box, Discrete, MultiDiscrete

# Standard deviations stay between e^-5 and e^2, so that neither a density nor a sample can overflow.
LOG_STD = (-5.0, 2.0)


class Distribution(Protocol):
    """What the actor's numbers `outputs` [size] mean."""

    @property
    def size(self) -> int: ...

    def sample(self, key: Array, outputs: Array) -> Array:
        """A random action."""
        ...

    def mode(self, outputs: Array) -> Array:
        """The most likely action."""
        ...

    def log_prob(self, outputs: Array, action: Array) -> Array:
        """The logarithm of the action's probability, or of its density."""
        ...

    def entropy(self, outputs: Array) -> Array:
        """In nats."""
        ...


@dataclass(frozen=True)
class Categorical:
    """One of n actions: P(a) = softmax(outputs)[a].

    Example:
        >>> import jax.numpy as jnp
        >>> f"{Categorical(4).entropy(jnp.zeros(4)):.4f}"  # log 4
        '1.3863'
    """

    n: int

    @property
    def size(self) -> int:
        return self.n

    def sample(self, key: Array, outputs: Array) -> Array:
        return jax.random.categorical(key, outputs)

    def mode(self, outputs: Array) -> Array:
        return jnp.argmax(outputs)

    def log_prob(self, outputs: Array, action: Array) -> Array:
        # A sum over a one-hot row, not an index: gradients of gathers are scatters, which are slow.
        logs = jax.nn.log_softmax(outputs)
        return jnp.sum(jnp.where(jnp.arange(self.n) == action, logs, 0))

    def entropy(self, outputs: Array) -> Array:
        logs = jax.nn.log_softmax(outputs)
        p = jnp.exp(logs)
        return -jnp.sum(jnp.where(p > 0, p * logs, 0))


@dataclass(frozen=True)
class MultiCategorical:
    """Independent choices, the i-th of counts[i]; outputs are their logits side by side."""

    counts: tuple[int, ...]

    @property
    def size(self) -> int:
        return sum(self.counts)

    def _each(self, outputs: Array) -> list[tuple[Categorical, Array]]:
        ends = [sum(self.counts[: i + 1]) for i in range(len(self.counts))]
        return [(Categorical(n), outputs[end - n : end]) for n, end in zip(self.counts, ends, strict=True)]

    def sample(self, key: Array, outputs: Array) -> Array:
        keys = jax.random.split(key, len(self.counts))
        return jnp.stack([one.sample(keys[i], logits) for i, (one, logits) in enumerate(self._each(outputs))])

    def mode(self, outputs: Array) -> Array:
        return jnp.stack([one.mode(logits) for one, logits in self._each(outputs)])

    def log_prob(self, outputs: Array, action: Array) -> Array:
        return jnp.stack([one.log_prob(logits, action[i]) for i, (one, logits) in enumerate(self._each(outputs))]).sum()

    def entropy(self, outputs: Array) -> Array:
        return jnp.stack([one.entropy(logits) for one, logits in self._each(outputs)]).sum()


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution with a diagonal covariance; outputs are the means, then the log standard deviations.

    The support is not bounded. An environment takes an action beyond its bounds for the nearest legal one, and the density
    is that of the action before this.
    """

    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return 2 * math.prod(self.shape)

    def _split(self, outputs: Array) -> tuple[Array, Array]:
        mean, log_std = outputs.reshape(2, *self.shape)
        return mean, jnp.clip(log_std, *LOG_STD)

    def sample(self, key: Array, outputs: Array) -> Array:
        mean, log_std = self._split(outputs)
        return mean + jnp.exp(log_std) * jax.random.normal(key, self.shape, outputs.dtype)

    def mode(self, outputs: Array) -> Array:
        return self._split(outputs)[0]

    def log_prob(self, outputs: Array, action: Array) -> Array:
        mean, log_std = self._split(outputs)
        return jnp.sum(-0.5 * jnp.square((action - mean) * jnp.exp(-log_std)) - log_std - 0.5 * math.log(2 * math.pi))

    def entropy(self, outputs: Array) -> Array:
        return jnp.sum(self._split(outputs)[1] + 0.5 * math.log(2 * math.pi * math.e))


def distribution(space: Any) -> Distribution:
    """The distribution that belongs to an action space.

    Raises:
        ValueError: the space is none of `Discrete`, `MultiDiscrete` and `Box`.
    """
    if isinstance(space, Discrete):
        return Categorical(space.n)
    if isinstance(space, MultiDiscrete):
        return MultiCategorical(tuple(space.counts))
    if isinstance(space, Box):
        return Gaussian(tuple(space.shape))
    raise ValueError(f"action_space is {space!r}; legal: Discrete, MultiDiscrete, Box of diffmem.envs")
