"""The end-to-end memory network of Sukhbaatar et al. 2015."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp

from diffmem import addressing, layers
from diffmem.append import AppendMemory, AppendState
from diffmem.base import Array, Params, Readout, check_choice, check_counts, register


@register(
    "memn2n",
    paper="Sukhbaatar et al. 2015, End-To-End Memory Networks",
    small=dict(input_size=10, slots=8, width=3, hops=2),
)
@dataclass(frozen=True)
class MemN2N(AppendMemory):
    """An end-to-end memory network: stored sentences, read in K hops of soft attention.

    m_i = A x_i + T_A(i);  c_i = C x_i + T_C(i);  u = B q;  then K times
    p = softmax_i(u . m_i);  o = sum_i p_i c_i;  u <- u + o  (adjacent tying)  or  u <- H u + o  (layer-wise tying)

    Here x_i is a sentence as a bag of words, or as two bags (`encoding="position"`; see `addressing.position_factors` and
    `diffmem.models.Bags`, which makes them), i counts sentences from the newest, and T are learned recency encodings.

    Args:
        input_size: length of x and of the query: the vocabulary's size, twice that with encoding="position".
        slots: N, sentences that are remembered; older ones are dropped. Also the number of recency encodings.
        mask: whether slots that hold nothing are left out of the softmax. By default they take part, with m = c = 0, as in
            the authors' code: that is where attention goes when nothing in the story fits, and what solves yes/no questions.
        width: d, the embedding's size.
        hops: K.
        tying: "adjacent": A of a hop is C of the hop before, and B is the first A. "layerwise": all hops share A and C; H.
        encoding: "position" or "bag".
        softmax: False leaves the softmax out of every hop ("linear start").
        relu: how many components of u, the last ones, pass a rectifier after every hop; the paper's language model: half.
        time: whether there are recency encodings.

    `Readout.value` is u after the last hop, `read_shape` (width,). `Readout.weights` is p of every hop [K, N], a
    distribution unless softmax is False, or the state has fewer slots than N: the rest of p is on those it does without.

    Raises:
        ValueError: a size below one, relu beyond width, an unknown tying or encoding, an odd input_size with
            encoding="position".

    Example:
        >>> import jax, diffmem
        >>> memory = diffmem.MemN2N(input_size=20, width=8)
        >>> params = memory.init_params(jax.random.key(0))
        >>> story = diffmem.store(memory, params, None, jax.numpy.ones((4, 20)))
        >>> memory.read(params, story, jax.numpy.ones(20))[1].weights.shape
        (3, 50)

    Source: Sukhbaatar et al. 2015, section 2 and 4.1; the authors' Matlab code.

    Differences from the paper:
        - none in how empty slots are read, though the paper does not mention it; see `mask`.
        - the recency encodings are tables of their own; in the authors' code they are rows of the word table, scaled by
          the position encoding's last row.
        - the position encoding is the one of the authors' code, twice the printed one at half-shifted indices.
    """

    mask: bool = False
    width: int = 50
    hops: int = 3
    tying: Literal["adjacent", "layerwise"] = "adjacent"
    encoding: Literal["position", "bag"] = "position"
    softmax: bool = True
    relu: int = 0
    time: bool = True

    def __post_init__(self):
        super().__post_init__()
        check_counts(self, width=self.width, hops=self.hops)
        check_counts(self, least=0, relu=self.relu)
        if self.relu > self.width:
            raise ValueError(f"MemN2N.relu is {self.relu}; it must be at most width, {self.width}")
        check_choice(self, "tying", ("adjacent", "layerwise"))
        layers.check_encoding(self)

    @property
    def read_shape(self) -> tuple[int, ...]:
        return (self.width,)

    def init_params(self, key: Array) -> Params:
        words = layers.vocabulary_size(self)
        tables = self.hops + 1 if self.tying == "adjacent" else 3
        embedding, time, hop = jax.random.split(key, 3)
        normal = lambda key, *shape: 0.1 * jax.random.normal(key, shape, layers.DTYPE)  # noqa: E731
        # Adjacent: B = A_1, C_1 = A_2, .., C_K. Layer-wise: B, A, C.
        params = {"embeddings": normal(embedding, tables, words, self.width)}
        if self.time:
            params["times"] = normal(time, tables if self.tying == "adjacent" else 2, self.slots, self.width)
        if self.tying == "layerwise":
            params["hop"] = normal(hop, self.width, self.width)
        return params

    def read(self, params: Params, state: AppendState, query: Array) -> tuple[AppendState, Readout]:
        tables, adjacent = params["embeddings"], self.tying == "adjacent"
        filled = self.stored(state) & jnp.any(state.slots != 0, -1)
        taking_part = filled if self.mask else jnp.ones_like(filled)
        left_out = 0 if self.mask else self.slots - len(filled)  # empty slots that a smaller state does without
        sentences = layers.embed_bags(tables if adjacent else tables[1:], state.slots, self.encoding)  # [N, tables, W]
        if self.time:
            sentences = sentences + jnp.swapaxes(params["times"][:, : len(filled)], 0, 1)
        sentences = jnp.where(filled[:, None, None], sentences, 0)
        u, weights = layers.embed_bags(tables[0], query, self.encoding), []
        for hop in range(self.hops):
            m, c = (sentences[:, hop], sentences[:, hop + 1]) if adjacent else (sentences[:, 0], sentences[:, 1])
            if self.softmax:
                p = addressing.masked_softmax(m @ u, taking_part, zeros=left_out)
            else:
                p = jnp.where(taking_part, m @ u, 0)
            u = (u if adjacent else u @ params["hop"]) + p @ c
            linear = self.width - self.relu
            u = jnp.concatenate([u[:linear], jax.nn.relu(u[linear:])]) if self.relu else u
            weights.append(p)
        return state, Readout(u, jnp.stack(weights))
