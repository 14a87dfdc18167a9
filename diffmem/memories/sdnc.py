"""Sparse Differentiable Neural Computer: a SAM whose heads can also follow the order in which they have written."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from diffmem import layers, sparse
from diffmem import links as temporal
from diffmem.access import SparseAccess
from diffmem.base import Array, Params, Readout, check_counts, register
from diffmem.links import Links
from diffmem.sparse import Recency, SparseWeights


class SDNCState(NamedTuple):
    """What an SDNC remembers.

    Attributes:
        slots: [N, W].
        written: where each head wrote last, [heads, K + 2 K_L + 1].
        read: where each head read last, [heads, K + 2 K_L]: by content, backward, forward.
        recency: when each slot was used, but for the latest step.
        buckets: [tables, codes, bucket], int32: the slots whose content has a code, -1 where there is none. None unless hashed.
        links: the order of each head's writing, with a leading axis of heads.
    """

    slots: Array
    written: SparseWeights
    read: SparseWeights
    recency: Recency
    buckets: Array | None
    links: Links


@register(
    "sdnc",
    paper="Rae et al. 2016, Scaling Memory-Augmented Neural Networks with Sparse Reads and Writes",
    small=dict(input_size=5, slots=11, width=6, heads=2, nearest=3, links=8),
)
@dataclass(frozen=True)
class SDNC(SparseAccess):
    """SAM with sparse temporal links: each head mixes what is nearest with what it wrote before and after what it read.

    As SAM, but a head has a read mode pi = softmax over three ways, too. A step writes, then reads:
        w_W and M as in SAM, w_R of the step before being all of the mixture below
        N[a, b] <- (1 - w_W[a]) N[a, b] + w_W[a] p[b];  P[b, a] <- (1 - w_W[a]) P[b, a] + w_W[a] p[b]
        p <- (1 - sum_n w_W[n]) p + w_W
        c = softmax over the K nearest slots as in SAM;  b = N^T w_R, f = P^T w_R, of the step before
        w_R = pi_c c + pi_b b + pi_f f;  r = sum_n w_R[n] M_n
    Rows of N and of P, p, b and f keep their K_L largest numbers. N and P are the DNC's link matrix and its transpose, each
    by the rows that are needed: P's to go forward from where was read, N's to go backward.

    What was said of SAM's costs and of its clock holds here, with 2 K + 4 K_L + 1 accesses of each head in a step: the memory
    and its links are not copied from step to step, and the backward pass stores K + 2 K_L rows per step. To the gradient links
    are constants, as in the paper; it reaches the read modes and, through b and f, where the head read before.

    Args:
        input_size: length of x and of the query, the controller's output.
        slots: N. Nothing in the parameters depends on it.
        width: W.
        heads: number of heads, at most N. Each reads, writes, and has links of its own.
        nearest: K, how many slots a head finds by content.
        threshold: a slot counts as used where a head writes and reads with more weight than that.
        lookup: how the nearest slots are found, see SAM.
        tables: "hashed": number of hash tables; more find more.
        bucket: "hashed": how many slots of one code are remembered; there are about 2 N / bucket codes.
        links: K_L, how many links each slot keeps either way, at most N.

    `read_shape` is (heads, width). `Readout.weights` is a `SparseWeights` of [heads, K + 2 K_L]: by content, backward, forward,
    and a place may occur in each. They sum to less than one where a head follows links from where there are none.

    Raises:
        ValueError: a count below 1; more heads, nearest slots or links than slots; an unknown lookup; a negative threshold.

    Example:
        >>> import jax, diffmem
        >>> memory = diffmem.SDNC(input_size=8, slots=1000, width=4, nearest=3, links=2)
        >>> params = memory.init_params(jax.random.key(0))
        >>> state, readout = memory.step(params, memory.init_state(params), jax.numpy.ones(8))
        >>> readout.value.shape, readout.weights.places.shape, state.links.after.weights.shape
        ((1, 4), (1, 7), (1, 1000, 2))

    Source: Rae et al. 2016, section 3 and supplementary D.1.

    Differences from the paper:
        - those of SAM.
        - no slot is linked with itself, as in the dense links that N and P stand for; equations 19 and 20 leave it open.
        - b and f go by the rows of N and P at the places that were read. The paper's b = P w_R and f = N w_R go by their
          columns, which is the same as long as no row is cut: P is the transpose of N.
        - an entry of P fades with a write to its slot only as long as a row of N that is written, or p, names its row, so
          that a write need not look through all rows of P.
        - each head of several follows its own links; the paper does not say whose.
    """

    links: int = 8

    def __post_init__(self):
        super().__post_init__()
        check_counts(self, links=self.links)
        self._check_at_most_slots("links")

    @property
    def _read_size(self) -> int:
        """How many numbers a head needs for reading: key, strength, read modes (content, backward, forward)."""
        return self.width + 4

    def init_state(self, params: Params) -> SDNCState:
        links = temporal.no_links(self.slots, self.links, layers.dtype_of(params))
        links = jax.tree.map(lambda a: jnp.zeros((self.heads, *a.shape), a.dtype), links)
        return SDNCState(links=links, **self._start(params, self.nearest + 2 * self.links))

    def write(self, params: Params, state: SDNCState, x: Array) -> SDNCState:
        state = super().write(params, state, x)
        return state._replace(links=jax.vmap(temporal.link)(state.links, lax.stop_gradient(state.written)))

    def read(self, params: Params, state: SDNCState, query: Array) -> tuple[SDNCState, Readout]:
        raw = layers.by_head(params["read_heads"], query, self.heads)
        keys, strength, modes = raw[:, :-4], raw[:, -4], jax.nn.softmax(raw[:, -3:])
        ways = [
            jax.vmap(temporal.follow)(jax.vmap(temporal.rows)(linked, state.read.places), state.read.weights)
            for linked in (state.links.before, state.links.after)
        ]
        found = self._find(state, keys)
        places = jnp.concatenate([found, *(way.places for way in ways)], axis=1)
        slots, rows = sparse.read_rows(state.slots, places)
        parts = [self._weigh(keys, strength, rows[:, : self.nearest]), *(way.weights for way in ways)]
        weights = jnp.concatenate([modes[:, i : i + 1] * part for i, part in enumerate(parts)], axis=1)
        read = SparseWeights(weights, places)
        return state._replace(slots=slots, read=read), Readout(jnp.einsum("hk,hkw->hw", weights, rows), read)
