"""A Transformer that takes a long sequence segment by segment and remembers with Memoria what it has seen."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from diffmem import layers
from diffmem.base import Array, Params, Readout, check_counts, check_heads
from diffmem.memories.memoria import Memoria


def init_abstractor(key: Array, memories: int, size: int, hidden: int) -> Params:
    """Parameters of `abstract`: so many learned queries, and dense layers."""
    query, keys, value, inner, output = jax.random.split(key, 5)
    return {
        "query": size**-0.5 * jax.random.normal(query, (memories, size), layers.DTYPE),
        "key": {"kernel": layers.init_dense(keys, size, size)["kernel"]},  # a bias would be of no effect
        "value": layers.init_dense(value, size, size),
        "hidden": layers.init_dense(inner, size, hidden),
        "output": layers.init_dense(output, hidden, size),
    }


def abstract(params: Params, rows: Array) -> Array:
    """Pools a segment into working memories: W_o (W_h (softmax(Q (W_k x)^T) W_v x)), no scaling and no activation.

    Args:
        params: from `init_abstractor`.
        rows: [S, W].

    Returns:
        [memories, W].

    Source: Park & Bak 2024, section 3.6, and the authors' code.
    """
    weights = jax.nn.softmax(params["query"] @ (rows @ params["key"]["kernel"]).T, -1)
    pooled = weights @ layers.dense(params["value"], rows)
    return layers.dense(params["output"], layers.dense(params["hidden"], pooled))


@dataclass(frozen=True)
class SegmentTransformer:
    """A Transformer over segments of S steps: what it knows of earlier segments is what Memoria reminds it of.

    For each segment:
        h = W_e x + position
        working memories = abstract(h), or, if causal, of the last h of the segment before
        write them; recall engrams M: those at work and the reminded
        blocks times:  h <- h + self-attention(LN h);  h <- h + attention(LN h, M);  h <- h + MLP(LN h)
        reinforce by the weights of the attention to M, all blocks, heads and steps; settle
        y = W LN(h)

    Args:
        input_size: length of a step's input.
        output_size: length of a step's output.
        memory: a `Memoria` whose engrams are as wide as h. None: the same Transformer without memory, which sees one segment.
        segment: S.
        width: length of h.
        heads: of every attention.
        blocks: number of blocks.
        hidden: width of the MLPs, and of the abstractor's layer between its two.
        causal: whether a step sees only what came before it. Otherwise it sees its whole segment.

    Raises:
        ValueError: a count below 1, heads that do not divide the width, or a memory of another width.

    Example:
        >>> import jax, diffmem
        >>> from diffmem.models import SegmentTransformer
        >>> memory = diffmem.Memoria(input_size=2 * 8, working=2, slots=32)
        >>> model = SegmentTransformer(input_size=5, output_size=3, memory=memory, segment=4, width=8)
        >>> params = model.init_params(jax.random.key(0))
        >>> state, outputs, readout = model(params, jax.numpy.ones((10, 5)))  # three segments, the last one half empty
        >>> outputs.shape, readout.weights.shape
        ((10, 3), (3, 1, 2, 4, 32))

    Source: Park & Bak 2024, section 4: Memoria applied to Transformers.

    Differences from the paper:
        - the norms come first, the MLP has a ReLU, and positions are learned for each place in a segment.
        - one round of recall serves all blocks, which attend to the engrams at work and the reminded alike.
    """

    input_size: int
    output_size: int
    memory: Memoria | None = None
    segment: int = 64
    width: int = 64
    heads: int = 2
    blocks: int = 1
    hidden: int = 128
    causal: bool = False

    def __post_init__(self):
        check_counts(self, input_size=self.input_size, output_size=self.output_size, segment=self.segment, width=self.width)
        check_counts(self, heads=self.heads, blocks=self.blocks, hidden=self.hidden)
        check_heads(self, "width")
        if self.memory is not None and self.memory.width != self.width:
            raise ValueError(
                f"SegmentTransformer.memory holds engrams of {self.memory.width} numbers; they must be as wide as width, "
                f"{self.width}: input_size = working * width"
            )

    def init_params(self, key: Array) -> Params:
        """Parameters of the embedding, the blocks, the abstractor and the output."""
        embed, place, pool, output, *blocks = jax.random.split(key, 4 + self.blocks)
        params = {
            "embed": layers.init_dense(embed, self.input_size, self.width),
            "position": 0.02 * jax.random.normal(place, (self.segment, self.width), layers.DTYPE),
            **{f"block_{i}": self._init_block(one) for i, one in enumerate(blocks)},
            "norm": layers.init_layer_norm(self.width),
            "output": layers.init_dense(output, self.width, self.output_size),
        }
        if self.memory is not None:
            params["abstractor"] = init_abstractor(pool, self.memory.working, self.width, self.hidden)
        return params

    def _init_block(self, key: Array) -> Params:
        own, own_out, memory, memory_out, mlp = jax.random.split(key, 5)
        params = {
            "attention": layers.init_attention(own, self.width),
            "attention_output": layers.init_dense(own_out, self.width, self.width),
            "attention_norm": layers.init_layer_norm(self.width),
            "mlp": layers.init_mlp(mlp, (self.width, self.hidden, self.width)),
            "mlp_norm": layers.init_layer_norm(self.width),
        }
        if self.memory is not None:
            params["memory"] = layers.init_attention(memory, self.width)
            params["memory_output"] = layers.init_dense(memory_out, self.width, self.width)
            params["memory_norm"] = layers.init_layer_norm(self.width)
        return params

    def init_state(self, params: Params) -> Any:
        """The engrams before the first segment, and the working memories that await the next one; None without memory."""
        if self.memory is None:
            return None
        return self.memory.init_state(params), jnp.zeros(self.memory.read_shape, layers.dtype_of(params))

    def __call__(self, params: Params, xs: Array, state: Any = None) -> tuple[Any, Array, Readout]:
        """Runs one sequence, segment by segment; a last one that is not full is filled with zeros.

        Args:
            params: from `init_params`.
            xs: [T, input_size].
            state: what an earlier call ended with; None means the initial one.

        Returns:
            The state, the outputs [T, output_size], and a readout: `value` [segments, S, width], the last h; `weights`
            [segments, blocks, heads, S, E], the attention to the engrams, None without memory.
        """
        state = self.init_state(params) if state is None else state
        segments = -(-len(xs) // self.segment)
        xs_all = jnp.zeros((segments * self.segment, self.input_size), xs.dtype).at[: len(xs)].set(xs)
        state, readout = lax.scan(
            lambda state, xs: self.step(params, state, xs), state, xs_all.reshape(segments, self.segment, -1)
        )
        h = readout.value.reshape(-1, self.width)[: len(xs)]
        return state, layers.dense(params["output"], layers.layer_norm(params["norm"], h)), readout

    def step(self, params: Params, state: Any, xs: Array) -> tuple[Any, Readout]:
        """One segment [S, input_size]."""
        h, memory, weights = layers.dense(params["embed"], xs) + params["position"], self.memory, []
        if memory is None:
            for i in range(self.blocks):
                h, _ = self._block(params[f"block_{i}"], h)
            return None, Readout(h)
        engrams, waiting = state
        rows = waiting if self.causal else abstract(params["abstractor"], h)
        engrams, present = memory.recall(memory.write(None, engrams, rows.ravel()), rows)
        for i in range(self.blocks):
            h, attention = self._block(params[f"block_{i}"], h, engrams.data, present)
            weights.append(attention)
        engrams = memory.settle(None, memory.reinforce(None, engrams, jnp.stack(weights)))
        return (engrams, abstract(params["abstractor"], h) if self.causal else waiting), Readout(h, jnp.stack(weights))

    def _block(self, params: Params, h: Array, engrams: Any = None, present: Any = None) -> tuple[Array, Array | None]:
        mask, weights = jnp.tril(jnp.ones((self.segment,) * 2, bool)) if self.causal else None, None
        rows = layers.layer_norm(params["attention_norm"], h)
        h = h + layers.dense(params["attention_output"], layers.attend(params["attention"], rows, rows, self.heads, mask)[0])
        if engrams is not None:
            rows = layers.layer_norm(params["memory_norm"], h)
            value, weights = layers.attend(params["memory"], rows, engrams, self.heads, present)
            h = h + layers.dense(params["memory_output"], value)
        return h + layers.mlp(params["mlp"], layers.layer_norm(params["mlp_norm"], h)), weights
