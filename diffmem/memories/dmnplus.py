"""DMN+, the dynamic memory network of Xiong et al. 2016: input fusion and episodic memory."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp

from diffmem import addressing, layers
from diffmem.append import AppendMemory, AppendState
from diffmem.base import Array, Params, Readout, check_choice, check_counts, register


@register(
    "dmnplus",
    paper="Xiong et al. 2016, Dynamic Memory Networks for Visual and Textual Question Answering",
    small=dict(input_size=13, slots=8, passes=2),
)
@dataclass(frozen=True)
class DMNPlus(AppendMemory):
    """The memory of DMN+: stored sentences, fused by a bidirectional GRU and read in P passes of an attention GRU.

    f_i = forward GRU_i + backward GRU_i over the sentences (input fusion). With m = q at first, each pass:
    z_i = [f * q, f * m, |f - q|, |f - m|];  g = softmax_i(w_2 . tanh(W_1 z_i + b_1))
    r = sigmoid(W_r f_i + U_r h + b);  h~ = tanh(W f_i + r * (U h) + b);  h <- g_i h~ + (1 - g_i) h;  c = h_N
    m <- relu(W_p [m, c, q] + b_p)

    Args:
        input_size: d, length of a sentence's vector, of the question q and of m.
        slots: N, sentences that are remembered; older ones are dropped.
        mask: whether sentences of zeros are passed over.
        passes: P.
        tied_update: whether all passes share W_p.
        attention: "gru" or "soft": c = sum_i g_i f_i, the paper's simpler alternative, which runs in parallel.
        interactions: whether the update of m also sees c * m, |c - m|, c * q and |c - q|.
        fusion: whether sentences are fused. Without fusion f_i = x_i + T(i), with a recency encoding T learned for each slot.

    `Readout.value` is m after the last pass, `read_shape` (d,). `Readout.weights` is g of every pass [P, N].

    Raises:
        ValueError: a size below one.

    Example:
        >>> import jax, diffmem
        >>> memory = diffmem.DMNPlus(input_size=8, passes=3)
        >>> params = memory.init_params(jax.random.key(0))
        >>> story = diffmem.store(memory, params, None, jax.numpy.ones((4, 8)))
        >>> memory.read(params, story, jax.numpy.ones(8))[1].weights.shape
        (3, 50)

    Source: Xiong et al. 2016, sections 3.1 and 3.3.

    Differences from the paper:
        - no b_2: a softmax does not see a constant.
        - sentence, question and answer modules are in `diffmem.models`.
    """

    passes: int = 3
    tied_update: bool = False
    attention: Literal["gru", "soft"] = "gru"
    fusion: bool = True
    interactions: bool = False

    def __post_init__(self):
        super().__post_init__()
        check_counts(self, passes=self.passes)
        check_choice(self, "attention", ("gru", "soft"))

    @property
    def read_shape(self) -> tuple[int, ...]:
        return (self.input_size,)

    def init_params(self, key: Array) -> Params:
        size = self.input_size
        keys = jax.random.split(key, 6)
        updates = 1 if self.tied_update else self.passes
        inputs = (7 if self.interactions else 3) * size
        params = {
            "hidden": layers.init_dense(keys[2], 4 * size, size),
            "gate": layers.init_dense(keys[3], size, 1)["kernel"][:, 0],
            "update": jax.vmap(lambda key: layers.init_dense(key, inputs, size))(jax.random.split(keys[5], updates)),
        }
        if self.fusion:
            params |= {"forward": layers.init_gru(keys[0], size, size), "backward": layers.init_gru(keys[1], size, size)}
        else:
            params["times"] = 0.1 * jax.random.normal(keys[0], (self.slots, size), layers.DTYPE)
        if self.attention == "gru":
            gru = layers.init_gru(keys[4], size, size)
            params["attention"] = {name: gru[name] for name in ("ir", "in", "hr", "hn")}
        return params

    def facts(self, params: Params, state: AppendState, filled: Array) -> Array:
        """The facts f [N, d]."""
        if not self.fusion:
            return state.slots + params["times"][: state.slots.shape[0]]
        # Slots are the newest first: forward in time is backward in slots.
        run = lambda name, reverse: layers.gru(params[name], state.slots, mask=filled, reverse=reverse)  # noqa: E731
        return run("forward", True) + run("backward", False)

    def read(self, params: Params, state: AppendState, query: Array) -> tuple[AppendState, Readout]:
        filled = self.filled(state)
        facts = self.facts(params, state, filled)
        m, weights = query, []
        for i in range(self.passes):
            z = jnp.concatenate([facts * query, facts * m, jnp.abs(facts - query), jnp.abs(facts - m)], -1)
            g = addressing.masked_softmax(jnp.tanh(layers.dense(params["hidden"], z)) @ params["gate"], filled)
            if self.attention == "gru":
                context = layers.gru(params["attention"], facts, mask=filled, gates=g, reverse=True)[0]
            else:
                context = g @ facts
            update = jax.tree.map(lambda a, i=i: a[0 if self.tied_update else i], params["update"])
            seen = [m, context, query]
            if self.interactions:
                seen += [context * m, jnp.abs(context - m), context * query, jnp.abs(context - query)]
            m = jax.nn.relu(layers.dense(update, jnp.concatenate(seen)))
            weights.append(g)
        return state, Readout(m, jnp.stack(weights))
