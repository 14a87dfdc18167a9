"""The Neural Turing Machine's memory: slots addressed by content and by location."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from diffmem import addressing, fused, layers
from diffmem.base import Array, Params, Readout, check_choice, check_counts, check_number, register

Order = Literal["read_write", "write_read", "interleaved"]
Addressing = Literal["content_location", "content"]
InitialMemory = Literal["constant", "learned", "random"]
InitialWeights = Literal["first", "uniform", "zero", "learned"]
Activation = Literal["tanh", "linear"]
Epsilon = Literal["smooth", "clamped", "product"]
CHOICES = {
    "order": Order,
    "addressing": Addressing,
    "initial_memory": InitialMemory,
    "initial_weights": InitialWeights,
    "activation": Activation,
    "epsilon": Epsilon,
}


# Initial bias of gamma's raw number: gamma starts at about 3.1, where a head keeps its focus while it moves or waits.
GAMMA_BIAS = 2.0


class NTMState(NamedTuple):
    """What an NTM remembers.

    Attributes:
        slots: [W, N], width-major: slot n is the column slots[:, n]. The long axis lies contiguous, which makes a train
            step on a CPU about twice as fast as [N, W] (measured; see docs/design.md).
        read_weights: [read_heads, N], where each read head is.
        write_weights: [write_heads, N], where each write head is.
    """

    slots: Array
    read_weights: Array
    write_weights: Array


@register(
    "ntm",
    paper="Graves, Wayne & Danihelka 2014, Neural Turing Machines",
    small=dict(input_size=5, slots=11, width=3, read_heads=2, write_heads=2),
)
@dataclass(frozen=True)
class NTM:
    """Slots that heads find by content and by moving along, read as a weighted sum, written by erasing and adding.

    Each head's share of a linear map of x gives its key k, strength beta, gate g, shift kernel s and gamma:
        w_c = softmax_n(beta cos(k, M_n));  w_g = g w_c + (1 - g) w_{t-1}
        w~[n] = sum_j s_j w_g[n - j];       w = w~^gamma / sum w~^gamma
    Read:   r = sum_n w[n] M_n
    Write:  M_n <- M_n * (1 - w[n] e) + w[n] a,  one write head after the other

    With a constant memory, slots differ only by where the heads have been: with addressing="content", or heads that start
    "uniform" or "zero", all slots would stay equal for ever, so take a learned or random memory there.

    The memory alone: `Controlled` (or `diffmem.control`) puts a controller in front, whose output is x here.

    Args:
        input_size: length of x and of the query, the controller's output.
        slots: N. Unless something initial is learned, it can be changed after training:
            `dataclasses.replace(memory, slots=2048)` takes the same parameters.
        width: W.
        read_heads: number of read heads.
        write_heads: number of write heads.
        shift_range: heads move by up to this many slots per step, so the kernel has 2 * shift_range + 1 taps.
        addressing: "content_location" or "content", which stops at w_c.
        order: what a step does. "read_write": all heads look at the memory as it was, reads come before writes.
            "write_read": writes first, then the read heads look at the new memory. "interleaved": read head 0, write
            head 0, read head 1, ..., each seeing what came before it.
        initial_memory: "constant" (1e-6 everywhere), "learned", or "random" (uniform in +-1/sqrt(N + W), always the same).
        initial_weights: "first" (all heads on slot 0), "uniform", "zero", or "learned" (a softmax).
        activation: of keys and added vectors, "tanh" or "linear".
        clip: if not None, the linear map's outputs are clipped to +-clip before anything else.
        epsilon: what keeps quotients from dividing by zero: "smooth", the fast one with finite gradients everywhere, or
            the conventions of common PyTorch ("clamped") and TensorFlow ("product") ports, see `addressing.cosine`;
            "clamped" also adds 1e-16 to the sharpening's denominator, as those ports do.

    `read_shape` is (read_heads, width). `Readout.weights` is [read_heads, slots], distributions, each row where one head
    read. Where the write heads are is in the state.

    Raises:
        ValueError: a count below 1, an unknown option, a shift kernel wider than the slots, or "interleaved" with
            different numbers of read and write heads.

    Example:
        >>> import jax, diffmem
        >>> memory = diffmem.NTM(input_size=8, slots=16, width=4)
        >>> params = memory.init_params(jax.random.key(0))
        >>> state, readout = memory.step(params, memory.init_state(params), jax.numpy.ones(8))
        >>> readout.value.shape, readout.weights.shape
        ((1, 4), (1, 16))

    Source: Graves, Wayne & Danihelka 2014, sections 3.1 to 3.3.

    Differences from the paper:
        - the paper leaves open the order of reading and writing, the initial memory and weightings, and how head
          parameters are squashed; the defaults are those of Collier & Beel 2018 (tanh keys, softplus strength and
          1 + softplus gamma, constant memory).
        - heads start on slot 0 ("first") where Collier & Beel learn a softmax: it trains as well, and lets the number of
          slots change.
        - sharpening starts strong (gamma about 3.1 instead of 1.7): heads that keep their focus from the beginning learn
          algorithms that hold for longer sequences.
    """

    input_size: int
    slots: int = 128
    width: int = 20
    read_heads: int = 1
    write_heads: int = 1
    shift_range: int = 1
    addressing: Addressing = "content_location"
    order: Order = "read_write"
    initial_memory: InitialMemory = "constant"
    initial_weights: InitialWeights = "first"
    activation: Activation = "tanh"
    clip: float | None = None
    epsilon: Epsilon = "smooth"

    def __post_init__(self):
        check_counts(self, input_size=self.input_size, slots=self.slots, width=self.width)
        check_counts(self, read_heads=self.read_heads, write_heads=self.write_heads)
        check_counts(self, least=0, shift_range=self.shift_range)
        for field, legal in CHOICES.items():
            check_choice(self, field, legal.__args__)
        if self._taps > self.slots:
            raise ValueError(
                f"NTM.shift_range is {self.shift_range}, a kernel of {self._taps} taps, wider than the {self.slots} slots; "
                f"legal: shift_range <= {(self.slots - 1) // 2}, or more slots"
            )
        if self.order == "interleaved" and self.read_heads != self.write_heads:
            raise ValueError(
                f"NTM.order is 'interleaved', which pairs each read head with a write head, but there are "
                f"{self.read_heads} read and {self.write_heads} write heads"
            )
        if self.clip is not None:
            check_number(self, "clip", "a number > 0, or None", lambda clip: clip > 0)

    @property
    def query_size(self) -> int:
        return self.input_size

    @property
    def read_shape(self) -> tuple[int, ...]:
        return (self.read_heads, self.width)

    @property
    def _taps(self) -> int:
        return 2 * self.shift_range + 1

    @property
    def _sizes(self) -> tuple[int, ...]:
        """How many numbers each head needs: for key, strength, and, unless it ignores location, gate, kernel, gamma."""
        return (self.width, 1, 1, self._taps, 1) if self.addressing == "content_location" else (self.width, 1)

    def init_params(self, key: Array) -> Params:
        read, write, memory, weights = jax.random.split(key, 4)
        params = {
            "read_heads": self._init_heads(read, self.read_heads, 0),
            "write_heads": self._init_heads(write, self.write_heads, 2 * self.width),
        }
        if self.initial_memory == "learned":
            params["slots"] = self._random_slots(memory)
        if self.initial_weights == "learned":
            params["weights"] = jax.random.normal(weights, (self.read_heads + self.write_heads, self.slots), layers.DTYPE)
        return params

    def _init_heads(self, key: Array, heads: int, extra: int) -> Params:
        """The linear map of some heads; each has its controls and `extra` more numbers."""
        controls = sum(self._sizes)
        params = layers.init_dense(key, self.input_size, heads * (controls + extra))
        if self.addressing == "content_location":
            bias = params["bias"].reshape(heads, -1).at[:, controls - 1].set(GAMMA_BIAS)
            params = {**params, "bias": bias.ravel()}
        return params

    def _random_slots(self, key: Array) -> Array:
        bound = (self.slots + self.width) ** -0.5
        return jax.random.uniform(key, (self.width, self.slots), layers.DTYPE, -bound, bound)

    def init_state(self, params: Params) -> NTMState:
        dtype = layers.dtype_of(params)
        for name in ("slots", "weights"):
            if name in params and params[name].shape[1] != self.slots:
                raise ValueError(
                    f"NTM.slots is {self.slots}, but the learned initial {name} in the parameters have "
                    f"{params[name].shape[1]}; only a memory with nothing initial learned can change its slots"
                )
        if self.initial_memory == "learned":
            slots = params["slots"]
        elif self.initial_memory == "random":
            slots = self._random_slots(jax.random.key(0)).astype(dtype)
        else:
            slots = jnp.full((self.width, self.slots), 1e-6, dtype)

        heads = (self.read_heads + self.write_heads, self.slots)
        if self.initial_weights == "learned":
            weights = jax.nn.softmax(params["weights"], axis=-1)
        elif self.initial_weights == "first":
            weights = jnp.zeros(heads, dtype).at[:, 0].set(1)
        else:
            weights = jnp.full(heads, 1 / self.slots if self.initial_weights == "uniform" else 0, dtype)
        return NTMState(slots, weights[: self.read_heads], weights[self.read_heads :])

    def _project(self, params: Params, name: str, heads: int, x: Array) -> Array:
        raw = layers.by_head(params[name], x, heads)
        return raw if self.clip is None else jnp.clip(raw, -self.clip, self.clip)

    def _squash(self, raw: Array) -> Array:
        return jnp.tanh(raw) if self.activation == "tanh" else raw

    def _edits(self, raw: Array) -> tuple[Array, Array]:
        """The last 2 W numbers of each write head: what to erase and what to add."""
        erase, add = jnp.split(raw[:, -2 * self.width :], 2, axis=1)
        return jax.nn.sigmoid(erase), self._squash(add)

    def _controls(self, raw: Array) -> list[Array]:
        """Key [H, W], strength [H] and, unless location is ignored, gate [H], kernel [H, taps], gamma [H]."""
        sizes = self._sizes
        ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
        key, strength, *located = jnp.split(raw[:, : ends[-1]], ends[:-1], axis=1)
        controls = [self._squash(key), jax.nn.softplus(strength[:, 0])]
        if located:
            gate, kernel, gamma = located
            controls += [jax.nn.sigmoid(gate[:, 0]), jax.nn.softmax(kernel), 1 + jax.nn.softplus(gamma[:, 0])]
        return controls

    def _address(self, slots: Array, previous: Array, raw: Array) -> Array:
        """Weights [H, N] of heads that were at `previous`, from their raw numbers [H, controls or more]."""
        key, strength, *located = self._controls(raw)
        if located and self.epsilon == "smooth":
            return fused.focus(slots, previous, key, strength, *located)
        weights = addressing.content(key, slots.T, strength, epsilon=self.epsilon)
        if located:
            gate, kernel, gamma = located
            weights = addressing.shift(addressing.interpolate(weights, previous, gate), kernel)
            weights = addressing.sharpen(weights, gamma, epsilon=1e-16 if self.epsilon == "clamped" else 0.0)
        return weights

    def write(self, params: Params, state: NTMState, x: Array) -> NTMState:
        raw = self._project(params, "write_heads", self.write_heads, x)
        # Interleaved heads look one after the other, others all at once.
        one_by_one = self.order == "interleaved"
        groups = [slice(i, i + 1) for i in range(self.write_heads)] if one_by_one else [slice(None)]
        slots, weights = state.slots, []
        for heads in groups:
            weights.append(self._address(slots, state.write_weights[heads], raw[heads]))
            slots = self._edit(slots, weights[-1], raw[heads])
        return state._replace(slots=slots, write_weights=jnp.concatenate(weights))

    def _edit(self, slots: Array, weights: Array, raw: Array) -> Array:
        for one in zip(weights, *self._edits(raw), strict=True):
            slots = fused.erase_add(slots, *one)
        return slots

    def read(self, params: Params, state: NTMState, query: Array) -> tuple[NTMState, Readout]:
        raw = self._project(params, "read_heads", self.read_heads, query)
        weights = self._address(state.slots, state.read_weights, raw)
        return state._replace(read_weights=weights), Readout(_weighted_sum(weights, state.slots), weights)

    def step(self, params: Params, state: NTMState, x: Array) -> tuple[NTMState, Readout]:
        if self.order == "write_read":
            return self.read(params, self.write(params, state, x), x)
        read = self._project(params, "read_heads", self.read_heads, x)
        write = self._project(params, "write_heads", self.write_heads, x)
        if self.order == "interleaved":
            return self._interleaved(state, read, write)
        # All heads look at the same memory, so they are addressed in one go.
        raw = jnp.concatenate([read, write[:, : read.shape[1]]])
        weights = self._address(state.slots, jnp.concatenate([state.read_weights, state.write_weights]), raw)
        reading, writing = weights[: self.read_heads], weights[self.read_heads :]
        value = _weighted_sum(reading, state.slots)
        return NTMState(self._edit(state.slots, writing, write), reading, writing), Readout(value, reading)

    def _interleaved(self, state: NTMState, read: Array, write: Array) -> tuple[NTMState, Readout]:
        slots, values, reading, writing = state.slots, [], [], []
        for i in range(self.read_heads):
            one = slice(i, i + 1)
            reading.append(self._address(slots, state.read_weights[one], read[one]))
            values.append(_weighted_sum(reading[-1], slots))
            writing.append(self._address(slots, state.write_weights[one], write[one]))
            slots = self._edit(slots, writing[-1], write[one])
        values, reading, writing = (jnp.concatenate(parts) for parts in (values, reading, writing))
        return NTMState(slots, reading, writing), Readout(values, reading)


def _weighted_sum(weights: Array, slots: Array) -> Array:
    """Reads [H, W] from slots [W, N]: r = sum_n w[n] M_n, equation 2."""
    return jnp.einsum("hn,wn->hw", weights, slots)
