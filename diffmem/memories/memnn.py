"""The memory network of Weston et al. 2015: supporting facts picked by hard argmax."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from diffmem import addressing, layers
from diffmem.append import AppendMemory, AppendState
from diffmem.base import Array, Params, Readout, check_counts, register


@register(
    "memnn",
    paper="Weston et al. 2015, Memory Networks",
    small=dict(input_size=10, slots=8, width=3, hops=2, hard=False),
)
@dataclass(frozen=True)
class MemNN(AppendMemory):
    """A memory network: stored sentences, of which K are picked one after the other.

    What is known after k picks is x = tanh(Q q + sum_j a_j * (F m_j) + b_k). A candidate y beats y' if s(x, y, y') > 0:

    s(x, y, y') = x . (Y y - Y y') + (T x) . [x older than y, x older than y', y older than y']

    where "x" is as old as the last picked sentence, or as the question. A candidate "no more" ends the picking.

    The response r comes from the question and the picks in their order, with embeddings Q', F' of its own:
    u = Q' q;  r_0 = u;  f = F' m_k;  r_k = tanh(W [r, f, u, f * r, |f - r|, f * u, |f - u|] + b), with r = r_(k-1)
    "No more" leaves r as it is.

    Args:
        input_size: length of a sentence and of the question: the vocabulary's size, twice that with encoding="position".
        slots: N, sentences that are remembered; older ones are dropped.
        mask: whether sentences of zeros are passed over.
        width: d, the embedding's size.
        hops: K, the largest number of supporting facts.
        encoding: "position" or "bag"; see `addressing.position_factors`.
        hard: True picks the winner of a tournament from the oldest to the newest sentence, which has no gradient: train
            with `comparisons`. False weights all candidates by the softmax of their mean lead over the others.

    `Readout.value` is r after the last pick, `read_shape` (width,).
    `Readout.weights` [K, N + 1] is what was picked, one-hot if hard; the last column is "no more".

    Raises:
        ValueError: a size below one, an unknown encoding, an odd input_size with encoding="position".

    Example:
        >>> import jax, diffmem
        >>> memory = diffmem.MemNN(input_size=20, width=8)
        >>> params = memory.init_params(jax.random.key(0))
        >>> story = diffmem.store(memory, params, None, jax.numpy.ones((4, 20)))
        >>> memory.read(params, story, jax.numpy.ones(20))[1].weights.sum(-1)
        Array([1., 1., 1.], dtype=float32)

    Source: Weston, Chopra & Bordes 2015, sections 3.1 and 3.4; Weston et al. 2015 (arXiv:1502.05698), section 5, for the
    adaptive number of facts and the non-linearity.

    Differences from the paper:
        - word order comes from the position encoding instead of N-grams.
        - a sentence is picked at most once.
        - the order of the picks enters through a_j and b_k, learned per pick.
        - the response sees products and differences of question and picks, one after the other; in the paper, their sum.
    """

    width: int = 50
    hops: int = 3
    encoding: Literal["position", "bag"] = "position"
    hard: bool = True

    def __post_init__(self):
        super().__post_init__()
        check_counts(self, width=self.width, hops=self.hops)
        layers.check_encoding(self)

    @property
    def read_shape(self) -> tuple[int, ...]:
        return (self.width,)

    def init_params(self, key: Array) -> Params:
        words = layers.vocabulary_size(self)
        keys = jax.random.split(key, 6)
        normal = lambda key, *shape: 0.1 * jax.random.normal(key, shape, layers.DTYPE)  # noqa: E731
        return {
            "candidates": normal(keys[0], words, self.width),
            "no_more": normal(keys[1], self.width),
            "time": normal(keys[2], self.width, 3),
            "address": normal(keys[3], 2, words, self.width),
            "response": normal(keys[4], 2, words, self.width),
            "update": layers.init_dense(keys[5], 7 * self.width, self.width),
            "picks": jnp.ones((self.hops, self.width), layers.DTYPE),
            "biases": jnp.zeros((self.hops, self.width), layers.DTYPE),
        }

    def known(self, params: Params, query: Array, picked: Array) -> Array:
        """What is known before each pick and after the last one, x [k + 1, W], from query and picks [k, D] (zeros: none)."""
        asked = layers.embed_bags(params["address"][0], query, self.encoding)
        found = layers.embed_bags(params["address"][1], picked, self.encoding) * params["picks"][: len(picked)]
        sums = jnp.pad(jnp.cumsum(found, 0), ((1, 0), (0, 0)))
        return jnp.tanh(asked + sums + params["biases"][: len(sums)])

    def response(self, params: Params, query: Array, picked: Array, ended: Array) -> Array:
        """The response r [W] to the query and the picks [k, D], ended [k] being 1 for "no more"."""
        u = layers.embed_bags(params["response"][0], query, self.encoding)

        def update(r, pick):
            f, stay = pick
            seen = jnp.concatenate([r, f, u, f * r, jnp.abs(f - r), f * u, jnp.abs(f - u)])
            return stay * r + (1 - stay) * jnp.tanh(layers.dense(params["update"], seen)), None

        facts = layers.embed_bags(params["response"][1], picked, self.encoding)
        return lax.scan(update, u, (facts, ended))[0]

    def candidates(self, params: Params, state: AppendState) -> Array:
        """What can be picked, embedded [N + 1, W]: the slots, and "no more"."""
        slots = layers.embed_bags(params["candidates"], state.slots, self.encoding)
        # Padded, here and below, as on explicit mesh axes a batch cannot be concatenated with what has none (JAX 0.10).
        return jnp.pad(slots, ((0, 1), (0, 0))).at[-1].set(params["no_more"])

    def comparisons(self, params: Params, candidates: Array, x: Array, own: Array) -> Array:
        """The scores s [N + 1, N + 1] of all pairs (y, y'), given x [W] and its age: a slot's number, -1 for the question."""
        merit = candidates @ x
        place = jnp.arange(len(candidates), dtype=own.dtype)
        is_fact = place < place[-1]  # "no more" has no age
        age = jnp.where(is_fact, place, -1)
        first = (own > age) & is_fact
        older = [first[:, None], first, (age[:, None] > age) & is_fact[:, None] & is_fact]
        time = x @ params["time"]
        return merit[:, None] - merit + sum(time[i] * flags.astype(time.dtype) for i, flags in enumerate(older))

    def _hard(self, lead: Array, free: Array) -> Array:
        """The winner of the tournament [N + 1], one-hot: "no more" is challenged by each sentence, oldest first."""
        slots = len(lead) - 1
        challenge = lambda best, i: (jnp.where(free[i] & (lead[best, i] < 0), i, best), None)  # noqa: E731
        best = lax.scan(challenge, jnp.int32(slots), jnp.arange(slots, dtype=jnp.int32), reverse=True)[0]
        return jax.nn.one_hot(best, slots + 1, dtype=lead.dtype)

    def read(self, params: Params, state: AppendState, query: Array) -> tuple[AppendState, Readout]:
        candidates = self.candidates(params, state)
        sentences = jnp.pad(state.slots, ((0, 1), (0, 0)))
        none = jnp.int32(len(candidates) - 1)
        place = jnp.arange(len(candidates), dtype=jnp.int32)

        def pick(carry, k):
            free, picks = carry
            x = self.known(params, query, sentences[picks[:-1]])[k]
            own = jnp.where(k > 0, picks[k - 1], none)
            lead = self.comparisons(params, candidates, x, jnp.where(own < none, own, -1))
            if self.hard:
                chosen = self._hard(lead, free)
            else:
                mean = jnp.where(free, lead, 0).sum(-1) / free.sum(dtype=lead.dtype)
                chosen = addressing.masked_softmax(mean, free)
            best = jnp.argmax(chosen).astype(jnp.int32)
            free = free & ((place != best) | (place == none))  # picked once, but "no more" as often as it takes
            return (free, picks.at[k].set(best)), chosen

        free, picks = jnp.pad(self.filled(state), (0, 1), constant_values=True), jnp.full(self.hops, none)
        weights = lax.scan(pick, (free, picks), jnp.arange(self.hops, dtype=jnp.int32))[1]
        return state, Readout(self.response(params, query, weights @ sentences, weights[:, -1]), weights)
