"""The dynamic memory network of Kumar et al. 2016: its episodic memory."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp

from diffmem import addressing, layers
from diffmem.append import AppendMemory, AppendState
from diffmem.base import Array, Params, Readout, check_choice, check_counts, register


@register(
    "dmn",
    paper="Kumar et al. 2016, Ask Me Anything: Dynamic Memory Networks",
    small=dict(input_size=5, slots=8, passes=2, gate="softmax"),
)
@dataclass(frozen=True)
class DMN(AppendMemory):
    """The episodic memory of a dynamic memory network: stored facts, read in P passes of a gated GRU.

    With m = q at first, each pass gates the facts c_t, runs over them from the oldest to the newest, and updates m:

    z = [c, m, q, c * q, c * m, |c - q|, |c - m|, c W_b q, c W_b m];  g_t = sigmoid(W_2 tanh(W_1 z + b_1) + b_2)
    h_t = g_t GRU(c_t, h_{t-1}) + (1 - g_t) h_{t-1};  e = h_T;  m <- GRU(e, m)

    Args:
        input_size: d, length of a fact, of the question q and of m.
        slots: N, facts that are remembered; older ones are dropped.
        mask: whether facts of zeros are passed over.
        passes: P.
        gate: "sigmoid" as in the paper, or "softmax": a softmax over the sigmoids, as an option of a common port.
        shared_gru: whether m is updated by the episode's own GRU, as in that port, or by one of its own.

    `Readout.value` is m after the last pass, `read_shape` (d,). `Readout.weights` is g of every pass [P, N]; only
    gate="softmax" makes it a distribution.

    Raises:
        ValueError: a size below one or an unknown gate.

    Example:
        >>> import jax, diffmem
        >>> memory = diffmem.DMN(input_size=8, passes=3)
        >>> params = memory.init_params(jax.random.key(0))
        >>> facts = diffmem.store(memory, params, None, jax.numpy.ones((4, 8)))
        >>> memory.read(params, facts, jax.numpy.ones(8))[1].weights.shape
        (3, 50)

    Source: Kumar et al. 2016, section 2.3; YerevaNN's port.

    Differences from the paper:
        - the number of passes is fixed; there is no end-of-passes fact.
        - input, question and answer modules are in `diffmem.models`.
    """

    passes: int = 3
    gate: Literal["sigmoid", "softmax"] = "sigmoid"
    shared_gru: bool = False

    def __post_init__(self):
        super().__post_init__()
        check_counts(self, passes=self.passes)
        check_choice(self, "gate", ("sigmoid", "softmax"))

    @property
    def read_shape(self) -> tuple[int, ...]:
        return (self.input_size,)

    def init_params(self, key: Array) -> Params:
        size = self.input_size
        keys = jax.random.split(key, 5)
        params = {
            "bilinear": jax.nn.initializers.glorot_uniform()(keys[0], (size, size), layers.DTYPE),
            "hidden": layers.init_dense(keys[1], 7 * size + 2, size),
            "gate": layers.init_dense(keys[2], size, 1),
            "episode": layers.init_gru(keys[3], size, size),
        }
        return params if self.shared_gru else {**params, "update": layers.init_gru(keys[4], size, size)}

    def gates(self, params: Params, facts: Array, filled: Array, m: Array, q: Array) -> Array:
        """The gates g [N] of one pass."""
        kernel, bias = params["hidden"]["kernel"], params["hidden"]["bias"]
        near = facts @ params["bilinear"]
        each = [facts, facts * q, facts * m, jnp.abs(facts - q), jnp.abs(facts - m), near @ q[:, None], near @ m[:, None]]
        order = [0, 3, 4, 5, 6]  # blocks of the kernel, d rows each; m and q (1 and 2) are the same for all facts
        size = self.input_size
        blocks = [kernel[i * size : (i + 1) * size] for i in range(7)]
        rows = jnp.concatenate([*(blocks[i] for i in order), kernel[7 * size :]])
        hidden = jnp.tanh(jnp.concatenate(each, -1) @ rows + m @ blocks[1] + q @ blocks[2] + bias)
        g = jnp.where(filled, jax.nn.sigmoid(layers.dense(params["gate"], hidden)[:, 0]), 0)
        return g if self.gate == "sigmoid" else addressing.masked_softmax(g, filled)

    def read(self, params: Params, state: AppendState, query: Array) -> tuple[AppendState, Readout]:
        facts, filled = state.slots, self.filled(state)
        m, weights = query, []
        for _ in range(self.passes):
            g = self.gates(params, facts, filled, m, query)
            episode = layers.gru(params["episode"], facts, mask=filled, gates=g, reverse=True)[0]
            m = layers.gru(params["episode" if self.shared_gru else "update"], episode[None], m)[0]
            weights.append(g)
        return state, Readout(m, jnp.stack(weights))
