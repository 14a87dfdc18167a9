"""The gated recurrent networks that every table needs as baselines, and that other memories use as controllers."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from diffmem import layers
from diffmem.base import Array, Params, Readout, check_counts, check_number, register


@dataclass(frozen=True)
class _Recurrent:
    """What LSTM and GRU share: a Flax cell, run through its pure `init` and `apply`."""

    input_size: int
    hidden_size: int = 100
    learned_state: bool = False

    State: ClassVar[Any]
    Cell: ClassVar[Any]

    def __post_init__(self):
        check_counts(self, input_size=self.input_size, hidden_size=self.hidden_size)

    @property
    def query_size(self) -> int:
        return 0

    @property
    def read_shape(self) -> tuple[int, ...]:
        return (self.hidden_size,)

    def _zeros(self, dtype):
        return self.State(*(jnp.zeros(self.hidden_size, dtype) for _ in self.State._fields))

    def _carry(self, state):
        return tuple(state) if len(state) > 1 else state[0]

    def init_params(self, key: Array) -> Params:
        zeros = self._zeros(layers.DTYPE)
        params = dict(
            self.Cell(self.hidden_size, parent=None).init(key, self._carry(zeros), jnp.zeros(self.input_size, layers.DTYPE))[
                "params"
            ]
        )
        return {**params, "initial": zeros._asdict()} if self.learned_state else params

    def init_state(self, params: Params):
        return self.State(**params["initial"]) if self.learned_state else self._zeros(layers.dtype_of(params))

    def write(self, params: Params, state, x: Array):
        weights = {name: value for name, value in params.items() if name != "initial"}
        carry, _ = layers.apply(self.Cell(self.hidden_size, parent=None), weights, self._carry(state), x)
        return self.State(*(carry if isinstance(carry, tuple) else (carry,)))

    def read(self, params: Params, state, query: Array | None = None):
        return state, Readout(state.hidden)

    def step(self, params: Params, state, x: Array):
        return self.read(params, self.write(params, state, x))


class LSTMState(NamedTuple):
    """cell [hidden_size] and hidden [hidden_size]."""

    cell: Array
    hidden: Array


@register("lstm", paper="Hochreiter & Schmidhuber 1997, Long Short-Term Memory", small=dict(input_size=5, hidden_size=6))
@dataclass(frozen=True)
class LSTM(_Recurrent):
    """A long short-term memory layer, `flax.linen.OptimizedLSTMCell`, behind the contract.

    i, f, o = sigmoid(W x + U h + b);  g = tanh(W x + U h + b);  c' = f * c + i * g;  h' = o * tanh(c')

    Args:
        input_size: length of x.
        hidden_size: length of c and h.
        learned_state: whether the initial c and h are parameters; zero otherwise.
        forget_bias: initial bias of the forget gate. 1 helps a layer that has to remember by itself. 0 suits a controller,
            whose memory is elsewhere: NTMs that learned to copy generalised to longer sequences with it.
        clip: if not None, c and h are clipped to +-clip after every step, as the DNC's controller does.
        layer_norm: whether what the gates sum up is normalised, LN(W x) + LN(U h) + b, and c' on its way to h',
            h' = o * tanh(LN(c')) (Ba et al. 2016).

    `read` ignores its query and returns h; `Readout.weights` is None.

    Example:
        >>> import jax, diffmem
        >>> lstm = diffmem.LSTM(input_size=3, hidden_size=5)
        >>> params = lstm.init_params(jax.random.key(0))
        >>> state, readout = lstm.step(params, lstm.init_state(params), jax.numpy.ones(3))
        >>> readout.value.shape
        (5,)

    Source: Hochreiter & Schmidhuber 1997; forget gate of Gers et al. 2000; Ba et al. 2016, Layer Normalization, equations 20
    to 22, for `layer_norm`.

    Differences from the paper:
        - no peepholes.
    """

    forget_bias: float = 0.0
    clip: float | None = None
    layer_norm: bool = False

    State: ClassVar[Any] = LSTMState
    Cell: ClassVar[Any] = nn.OptimizedLSTMCell

    def __post_init__(self):
        super().__post_init__()
        if self.clip is not None:
            check_number(self, "clip", "a number > 0, or None", lambda clip: clip > 0)

    def init_params(self, key: Array) -> Params:
        params = super().init_params(key)
        params = {**params, "hf": {**params["hf"], "bias": params["hf"]["bias"] + self.forget_bias}}
        if self.layer_norm:
            sizes = {"input": 4 * self.hidden_size, "hidden": 4 * self.hidden_size, "cell": self.hidden_size}
            params["norms"] = {name: layers.init_layer_norm(size) for name, size in sizes.items()}
        return params

    def _normalised(self, params: Params, state: LSTMState, x: Array) -> LSTMState:
        """The step with layer norm, which Flax has no cell for; its parameters are the cell's, and `norms`."""
        norms, gates = params["norms"], "ifgo"
        kernel = lambda side: jnp.concatenate([params[side + gate]["kernel"] for gate in gates], axis=1)  # noqa: E731
        summed = layers.layer_norm(norms["input"], x @ kernel("i")) + layers.layer_norm(
            norms["hidden"], state.hidden @ kernel("h")
        )
        i, f, g, o = summed.reshape(4, -1) + jnp.stack([params["h" + gate]["bias"] for gate in gates])
        cell = nn.sigmoid(f) * state.cell + nn.sigmoid(i) * nn.tanh(g)
        return LSTMState(cell, nn.sigmoid(o) * nn.tanh(layers.layer_norm(norms["cell"], cell)))

    def write(self, params: Params, state, x: Array):
        state = self._normalised(params, state, x) if self.layer_norm else super().write(params, state, x)
        return state if self.clip is None else LSTMState(*(jnp.clip(part, -self.clip, self.clip) for part in state))


class GRUState(NamedTuple):
    """hidden [hidden_size]."""

    hidden: Array


@register("gru", paper="Cho et al. 2014, Learning Phrase Representations", small=dict(input_size=5, hidden_size=6))
@dataclass(frozen=True)
class GRU(_Recurrent):
    """A gated recurrent unit layer, `flax.linen.GRUCell`, behind the contract.

    r, z = sigmoid(W x + U h + b);  n = tanh(W x + b + r * (U h + b));  h' = (1 - z) * n + z * h

    Args:
        input_size: length of x.
        hidden_size: length of h.
        learned_state: whether the initial h is a parameter; zero otherwise.

    `read` ignores its query and returns h; `Readout.weights` is None.

    Example:
        >>> import jax, diffmem
        >>> gru = diffmem.GRU(input_size=3, hidden_size=5)
        >>> params = gru.init_params(jax.random.key(0))
        >>> state, readout = gru.step(params, gru.init_state(params), jax.numpy.ones(3))
        >>> readout.value.shape
        (5,)

    Source: Cho et al. 2014, section 2.3.

    Differences from the paper:
        - the reset gate acts after the matrix product, and z keeps the old state, as in cuDNN, PyTorch and Flax.
    """

    State: ClassVar[Any] = GRUState
    Cell: ClassVar[Any] = nn.GRUCell
