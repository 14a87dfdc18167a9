"""The Relational Memory Core: slots that attend to each other and to the input at every step."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from diffmem import addressing, edits, layers
from diffmem.base import Array, Params, Readout, check_choice, check_counts, check_number, register

Gate = Literal["unit", "memory", "none"]
Reading = Literal["flattened", "attended"]


class RMCState(NamedTuple):
    """slots [N, W]."""

    slots: Array


@register(
    "rmc",
    paper="Santoro et al. 2018, Relational Recurrent Neural Networks",
    small=dict(input_size=5, slots=8, width=12, heads=2, key_size=3),
)
@dataclass(frozen=True)
class RMC:
    """Slots that attend to each other and to the input, then keep what their gates let through.

    With LN a layer norm of each row by itself, M [N, W] the slots and one row (or several) of input:
        Z = W_in x;  X = [M ; Z]
        blocks times:
            Q, K, V = LN(X W_qkv + b_qkv), split by heads
            X <- LN(X + softmax(Q K^T / sqrt(key_size)) V)
            X <- LN(X + MLP(X))
        M~ = the first N rows of X
    Gates:  i, f = sigmoid(Z W_z + tanh(M) W_m + b);  M' = i * tanh(M~) + f * M
    Step:   write, then read.

    The MLP is the same in all blocks; projections and norms are each block's own.

    Args:
        input_size: length of x.
        slots: N.
        width: W of a slot, all heads together.
        heads: number of attention heads; a head's values have width / heads numbers.
        key_size: length of a head's queries and keys; None: as long as its values.
        blocks: rounds of attention in one step.
        mlp_layers: linear layers of the MLP, all of them as wide as a slot.
        gate: "unit" (i and f for every number of a slot), "memory" (for every slot) or "none" (M' = M~).
        forget_bias: initial bias of f. With +inf, and -inf for i, the slots stay exactly as they are.
        input_bias: initial bias of i.
        learned_state: whether the initial slots are parameters.
        input_rows: x is so many rows of input_size / input_rows numbers each, with one projection for all.
        readout: "flattened", all slots side by side, without a query; or "attended", where each head's share of W_q query
            attends to its share of every slot.

    The initial slots are the rows of the identity matrix, cut or filled with zeros to W numbers. Slots that start alike stay
    alike for ever; that happens where N > W + 1, to those after the first W, which are zero. `learned_state` starts these at
    random.

    `read_shape` is (slots * width,), or (heads, width / heads) when attended. `Readout.weights` of a step is
    [heads, slots, slots + input_rows]: which rows each slot attended to in the last block, the input's rows last. When
    attended it is [heads, slots], where the read came from. A flattened `read` by itself addresses nothing: None.

    Raises:
        ValueError: a count below 1, an unknown option, heads that do not divide width, input_rows that do not divide
            input_size, or a bias that is no number.

    Example:
        >>> import jax, diffmem
        >>> memory = diffmem.RMC(input_size=5, slots=4, width=6, heads=2)
        >>> params = memory.init_params(jax.random.key(0))
        >>> state, readout = memory.step(params, memory.init_state(params), jax.numpy.ones(5))
        >>> readout.value.shape, readout.weights.shape
        ((24,), (2, 4, 5))

    Source: Santoro et al. 2018, sections 3.2 to 3.4, and the authors' code in Sonnet 1.

    Differences from the paper:
        - as in the authors' code, which the equations leave open or write otherwise: all rows attend, also the input's,
          which matters from two blocks on; queries, keys and values are normalised, together; the gates see the slots before
          attention; the candidate goes through a tanh.
        - the two biases of a gate and its constant are one parameter, which starts at the constant.
        - the attended read is not in the paper.
    """

    input_size: int
    slots: int = 8
    width: int = 64
    heads: int = 4
    key_size: int | None = None
    blocks: int = 1
    mlp_layers: int = 2
    gate: Gate = "unit"
    forget_bias: float = 1.0
    input_bias: float = 0.0
    learned_state: bool = False
    input_rows: int = 1
    readout: Reading = "flattened"

    def __post_init__(self):
        check_counts(self, input_size=self.input_size, slots=self.slots, width=self.width, heads=self.heads)
        check_counts(self, blocks=self.blocks, mlp_layers=self.mlp_layers, input_rows=self.input_rows)
        if self.key_size is not None:
            check_counts(self, key_size=self.key_size)
        for bias in ("forget_bias", "input_bias"):
            check_number(self, bias, "a number, which may be infinite, not nan", lambda bias: bias == bias)
        check_choice(self, "gate", Gate.__args__)
        check_choice(self, "readout", Reading.__args__)
        for part, whole in (("heads", "width"), ("input_rows", "input_size")):
            if getattr(self, whole) % getattr(self, part):
                raise ValueError(
                    f"RMC.{part} is {getattr(self, part)}, which does not divide {whole}, {getattr(self, whole)}; "
                    f"legal: divisors of {whole}"
                )

    @property
    def query_size(self) -> int:
        return self.input_size if self.readout == "attended" else 0

    @property
    def read_shape(self) -> tuple[int, ...]:
        return (self.heads, self._value_size) if self.readout == "attended" else (self.slots * self.width,)

    @property
    def _value_size(self) -> int:
        return self.width // self.heads

    @property
    def _key_size(self) -> int:
        return self.key_size or self._value_size

    def init_params(self, key: Array) -> Params:
        row, mlp, gates, query, slots, *blocks = jax.random.split(key, 5 + self.blocks)
        params = {
            "input": layers.init_dense(row, self.input_size // self.input_rows, self.width),
            **{f"block_{i}": self._init_block(one) for i, one in enumerate(blocks)},
            "mlp": layers.init_mlp(mlp, (self.width,) * (self.mlp_layers + 1)),
        }
        if self.gate != "none":
            from_input, from_slots = jax.random.split(gates)
            size = self.width if self.gate == "unit" else 1
            bias = jnp.repeat(jnp.array([self.input_bias, self.forget_bias], layers.DTYPE), size)
            params["gates"] = {
                "input": layers.init_dense(from_input, self.input_rows * self.width, 2 * size)["kernel"],
                "slots": {**layers.init_dense(from_slots, self.width, 2 * size), "bias": bias},
            }
        if self.readout == "attended":
            params["query"] = layers.init_dense(query, self.input_size, self.width)
        if self.learned_state:
            beyond = jnp.arange(self.slots)[:, None] >= self.width
            noise = self.width**-0.5 * jax.random.normal(slots, (self.slots, self.width), layers.DTYPE)
            params["slots"] = jnp.where(beyond, noise, self._identity(layers.DTYPE))
        return params

    def _init_block(self, key: Array) -> Params:
        size = self.heads * (2 * self._key_size + self._value_size)
        norms = {"qkv_norm": size, "attention_norm": self.width, "mlp_norm": self.width}
        return {
            "qkv": layers.init_dense(key, self.width, size),
            **{name: layers.init_layer_norm(width) for name, width in norms.items()},
        }

    def _identity(self, dtype) -> Array:
        return jnp.eye(self.slots, self.width, dtype=dtype)

    def init_state(self, params: Params) -> RMCState:
        return RMCState(params["slots"] if self.learned_state else self._identity(layers.dtype_of(params)))

    def _project(self, params: Params, x: Array) -> Array:
        """The input's rows [input_rows, W]."""
        return layers.dense(params["input"], x.reshape(self.input_rows, -1))

    def _block(self, params: Params, mlp: Params, rows: Array, kept: int) -> tuple[Array, Array]:
        """The first `kept` rows after a block of attention to all rows, and what they attended to [H, kept, rows]."""
        qkv = layers.layer_norm(params["qkv_norm"], layers.dense(params["qkv"], rows))
        query, key, value = jnp.split(qkv.reshape(len(rows), self.heads, -1), (self._key_size, 2 * self._key_size), -1)
        weights = addressing.attention(query[:kept], key)
        attended = jnp.einsum("hnm,mhv->nhv", weights, value).reshape(kept, self.width)
        rows = layers.layer_norm(params["attention_norm"], rows[:kept] + attended)
        return layers.layer_norm(params["mlp_norm"], rows + layers.mlp(mlp, rows)), weights

    def _gates(self, params: Params, slots: Array, inputs: Array) -> tuple[Array, Array]:
        """The input gate and the forget gate, [N, W] or [N, 1]."""
        both = layers.dense(params["gates"]["slots"], jnp.tanh(slots)) + inputs.ravel() @ params["gates"]["input"]
        input_gate, forget_gate = jnp.split(jax.nn.sigmoid(both), 2, -1)
        return input_gate, forget_gate

    def _write(self, params: Params, state: RMCState, x: Array) -> tuple[RMCState, Array]:
        # On a CPU it takes longer to store and re-read what the blocks made than to make it again.
        recomputed = jax.checkpoint(self._attend, prevent_cse=False) if jax.default_backend() == "cpu" else self._attend
        return recomputed(params, state, x)

    def _attend(self, params: Params, state: RMCState, x: Array) -> tuple[RMCState, Array]:
        inputs = self._project(params, x)
        rows = jnp.concatenate([state.slots, inputs])
        for i in range(self.blocks - 1):
            rows, _ = self._block(params[f"block_{i}"], params["mlp"], rows, len(rows))
        # What the input's rows become in the last block is dropped: it is not computed.
        rows, weights = self._block(params[f"block_{self.blocks - 1}"], params["mlp"], rows, self.slots)
        if self.gate != "none":
            rows = edits.gate(state.slots, rows, *self._gates(params, state.slots, inputs))
        return RMCState(rows), weights

    def write(self, params: Params, state: RMCState, x: Array) -> RMCState:
        return self._write(params, state, x)[0]

    def read(self, params: Params, state: RMCState, query: Any = None) -> tuple[RMCState, Readout]:
        if self.readout == "flattened":
            return state, Readout(state.slots.ravel())
        shares = state.slots.reshape(self.slots, self.heads, -1)
        weights = addressing.attention(layers.dense(params["query"], query).reshape(1, self.heads, -1), shares)[:, 0]
        return state, Readout(jnp.einsum("hn,nhv->hv", weights, shares), weights)

    def step(self, params: Params, state: RMCState, x: Array) -> tuple[RMCState, Readout]:
        state, weights = self._write(params, state, x)
        state, readout = self.read(params, state, x)
        return state, readout._replace(weights=weights) if self.readout == "flattened" else readout
