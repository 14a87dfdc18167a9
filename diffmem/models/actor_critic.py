"""An agent with a memory: an encoder, any memory, an actor and a critic."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffmem import layers
from diffmem.base import Array, Memory, Params, check_choice, check_counts, check_sizes
from diffmem.models.distributions import Distribution, distribution
from diffmem.unroll import unroll, where


class Encoder(Protocol):
    """Turns an observation, and what else the agent knows, into the vector that the memory takes.

    Attributes:
        width: its length.
    """

    @property
    def width(self) -> int: ...

    def check(self, observation_space: Any) -> None:
        """Raises ValueError where it cannot take these observations, naming one that can."""
        ...

    def init_params(self, key: Array, observation_space: Any, others: int) -> Params:
        """Parameters for observations of this space beside a vector of `others` numbers."""
        ...

    def __call__(self, params: Params, observation_space: Any, observation: Array, others: Array) -> Array: ...


def _init_normed(key: Array, inputs: int, width: int) -> Params:
    return {"dense": layers.init_dense(key, inputs, width), "norm": layers.init_layer_norm(width)}


def _normed(params: Params, activation: str, x: Array) -> Array:
    """activation(layer norm(dense(x)))."""
    return getattr(jax.nn, activation)(layers.layer_norm(params["norm"], layers.dense(params["dense"], x)))


@dataclass(frozen=True)
class FlatEncoder:
    """One dense layer, layer norm and an activation over everything side by side.

    Args:
        width: length of the result.
        activation: "leaky_relu", "relu", "tanh" or "silu".
        ravel: whether arrays with more than one axis are taken too, as their numbers in a row.
    """

    width: int = 128
    activation: Literal["leaky_relu", "relu", "tanh", "silu"] = "leaky_relu"
    ravel: bool = False

    def __post_init__(self):
        check_counts(self, width=self.width)
        check_choice(self, "activation", ("leaky_relu", "relu", "tanh", "silu"))

    def check(self, observation_space: Any) -> None:
        shape = observation_space.shape
        if len(shape) > 1 and not self.ravel:
            grids = "GridEncoder() for a picture or board of [height, width, channels], or "
            raise ValueError(
                f"observation_space is {observation_space}, which is not flat: pass "
                f"encoder={grids if len(shape) in (2, 3) else ''}FlatEncoder(ravel=True), its numbers in a row"
            )

    def init_params(self, key: Array, observation_space: Any, others: int) -> Params:
        return _init_normed(key, observation_space.size + others, self.width)

    def __call__(self, params: Params, observation_space: Any, observation: Array, others: Array) -> Array:
        flat = observation_space.flatten(observation).astype(others.dtype)
        return _normed(params, self.activation, jnp.concatenate([flat, others]))


@dataclass(frozen=True)
class GridEncoder:
    """3 x 3 convolutions with ReLU over a picture or board [height, width, channels], or [height, width]; then a `FlatEncoder`.

    Args:
        width: length of the result.
        channels: of each convolution.
        activation: of the dense layer.
    """

    width: int = 128
    channels: tuple[int, ...] = (16, 16)
    activation: Literal["leaky_relu", "relu", "tanh", "silu"] = "leaky_relu"

    def __post_init__(self):
        check_counts(self, width=self.width)
        check_sizes(self, "channels")
        check_choice(self, "activation", ("leaky_relu", "relu", "tanh", "silu"))

    def check(self, observation_space: Any) -> None:
        if len(observation_space.shape) not in (2, 3):
            raise ValueError(
                f"observation_space is {observation_space}, which is no picture or board of [height, width, channels]: pass "
                "encoder=FlatEncoder(), with ravel=True for more than one axis"
            )

    def init_params(self, key: Array, observation_space: Any, others: int) -> Params:
        dense, *keys = jax.random.split(key, 1 + len(self.channels))
        height, width, *inputs = observation_space.shape
        sizes = [inputs[0] if inputs else 1, *self.channels]
        shapes = [(height, width, size) for size in sizes]
        convolutions = {
            f"convolution_{i}": layers.init(nn.Conv(n, (3, 3)), k, shape)
            for i, (n, k, shape) in enumerate(zip(self.channels, keys, shapes[:-1], strict=True))
        }
        return {**convolutions, **_init_normed(dense, layers.size_of(shapes[-1]) + others, self.width)}

    def __call__(self, params: Params, observation_space: Any, observation: Array, others: Array) -> Array:
        x = observation.reshape(*observation_space.shape[:2], -1).astype(others.dtype)
        for i, n in enumerate(self.channels):
            x = jax.nn.relu(layers.apply(nn.Conv(n, (3, 3)), params[f"convolution_{i}"], x))
        return _normed(params, self.activation, jnp.concatenate([x.ravel(), others]))


class Decision(NamedTuple):
    """outputs [size], what `ActorCritic.distribution` takes; value [], the critic's; weights, where the memory read."""

    outputs: Array
    value: Array
    weights: Any = None


@dataclass(frozen=True)
class ActorCritic:
    """A policy and a value function on top of one memory.

    x_t = encoder([observation_t, action_{t-1}, start_t]);  m_t = memory.step(x_t);  outputs = actor(m_t);  value = critic(m_t)

    `start` is True where the observation is the first of an episode. It is the flag BEFORE a step: the memory is in its
    initial state before it takes that observation, and the previous action counts as zero. It is not the flag after a step
    that says whether an episode has ended.

    Args:
        observation_space: of the environment.
        action_space: of the environment; it decides about the distribution.
        memory: any memory that takes vectors of the encoder's width.
        encoder: `FlatEncoder`, `GridEncoder` or another `Encoder`.
        heads: sizes of the hidden ReLU layers of the actor and of the critic.
        skip: whether the heads see x_t beside the memory's read.
        remat: see `diffmem.unroll`.

    Raises:
        ValueError: a memory that does not fit the encoder, observations that the encoder does not take, an action space that
            has no distribution.

    Example:
        >>> import jax, diffmem
        >>> from diffmem.envs import Discrete
        >>> from diffmem.models import ActorCritic
        >>> model = ActorCritic(Discrete(5), Discrete(4), diffmem.make("gru", input_size=128))
        >>> params = model.init_params(jax.random.key(0))
        >>> state, decision = model.step(params, model.init_state(params), 3, 0, True)
        >>> int(model.distribution.mode(decision.outputs)) in range(4)
        True

    Source: Morad et al. 2023, POPGym, section 5 (the network); Schulman et al. 2017 (the heads).

    Differences from the paper:
        - one encoder layer and one hidden layer per head, where POPGym has two each.
    """

    observation_space: Any
    action_space: Any
    memory: Memory
    encoder: Any = field(default_factory=FlatEncoder)
    heads: tuple[int, ...] = (128,)
    skip: bool = False
    remat: int = 0

    def __post_init__(self):
        check_sizes(self, "heads")
        distribution(self.action_space)
        if not hasattr(self.memory, "input_size"):
            raise ValueError(
                f"ActorCritic.memory is {self.memory!r}; it must be a memory, such as diffmem.make('gru', input_size="
                f"{self.encoder.width})"
            )
        self.encoder.check(self.observation_space)
        if self.memory.input_size != self.encoder.width:
            raise ValueError(
                f"ActorCritic.memory takes vectors of {self.memory.input_size}, but the encoder's width is "
                f"{self.encoder.width}; they must be equal"
            )

    @property
    def distribution(self) -> Distribution:
        """What the outputs mean."""
        return distribution(self.action_space)

    def init_params(self, key: Array) -> Params:
        """Parameters of all parts. The actor's last layer is small: at first all actions are about equally likely."""
        encoder, memory, actor, critic = jax.random.split(key, 4)
        seen = layers.size_of(self.memory.read_shape) + self.skip * self.encoder.width
        heads = {
            "actor": layers.init_mlp(actor, (seen, *self.heads, self.distribution.size)),
            "critic": layers.init_mlp(critic, (seen, *self.heads, 1)),
        }
        heads["actor"]["output"]["kernel"] *= 0.01
        return {
            "encoder": self.encoder.init_params(encoder, self.observation_space, self.action_space.size + 1),
            "memory": self.memory.init_params(memory),
            **heads,
        }

    def init_state(self, params: Params) -> Any:
        """The memory's state before an episode."""
        return self.memory.init_state(params["memory"])

    def _encode(self, params: Params, observation: Array, previous_action: Array, start: Array) -> Array:
        dtype = layers.dtype_of(params)
        previous = self.action_space.flatten(jnp.asarray(previous_action)).astype(dtype)
        previous = jnp.where(start, jnp.zeros_like(previous), previous)
        others = jnp.append(previous, jnp.asarray(start, dtype))
        return self.encoder(params["encoder"], self.observation_space, jnp.asarray(observation), others)

    def _decide(self, params: Params, x: Array, read: Array) -> tuple[Array, Array]:
        seen = jnp.concatenate([read.ravel(), x]) if self.skip else read.ravel()
        return layers.mlp(params["actor"], seen), layers.mlp(params["critic"], seen)[0]

    def step(
        self, params: Params, state: Any, observation: Array, previous_action: Array, start: Array
    ) -> tuple[Any, Decision]:
        """One step of one agent.

        Args:
            params: from `init_params`.
            state: the memory's state before; whatever it is, the initial one counts where `start` is True.
            observation: one of the observation space.
            previous_action: the action that led to it; anything of the right shape where `start` is True.
            start: bool, whether the observation is the first of an episode.

        Returns:
            The memory's state and a `Decision`.
        """
        x = self._encode(params, observation, previous_action, start)
        state = where(jnp.asarray(start), self.init_state(params), state)
        state, readout = self.memory.step(params["memory"], state, x)
        return state, Decision(*self._decide(params, x, readout.value), readout.weights)

    def sequence(
        self, params: Params, state: Any, observations: Array, previous_actions: Array, starts: Array, *, method: str = "auto"
    ) -> tuple[Any, Decision]:
        """What `step` gives over a sequence, with `diffmem.unroll`.

        Args:
            params: from `init_params`.
            state: the memory's state before; None means the initial one.
            observations: [T, ...].
            previous_actions: [T, ...].
            starts: [T] bool.
            method: see `diffmem.unroll`.

        Returns:
            The memory's state after the last step, and a `Decision` with a leading T.
        """
        xs = jax.vmap(partial(self._encode, params))(observations, previous_actions, starts)
        state, readout = unroll(self.memory, params["memory"], state, xs, starts=starts, method=method, remat=self.remat)
        return state, Decision(*jax.vmap(partial(self._decide, params))(xs, readout.value), readout.weights)
