"""Sparse Access Memory: a large memory of which each step touches a few slots, forward and backward."""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp

from diffmem import layers, sparse
from diffmem.access import SparseAccess
from diffmem.base import Array, Params, Readout, register
from diffmem.sparse import Recency, SparseWeights


class SAMState(NamedTuple):
    """What a SAM remembers.

    Attributes:
        slots: [N, W].
        written: where each head wrote last, [heads, K + 1].
        read: where each head read last, [heads, K].
        recency: when each slot was used, but for the latest step.
        buckets: [tables, codes, bucket], int32: the slots whose content has a code, -1 where there is none. None unless hashed.
    """

    slots: Array
    written: SparseWeights
    read: SparseWeights
    recency: Recency
    buckets: Array | None


@register(
    "sam",
    paper="Rae et al. 2016, Scaling Memory-Augmented Neural Networks with Sparse Reads and Writes",
    small=dict(input_size=5, slots=11, width=6, heads=2, nearest=3),
)
@dataclass(frozen=True)
class SAM(SparseAccess):
    """A memory of up to millions of slots: reads the K nearest ones, writes where it has just read or where it is longest ago.

    A linear map of x gives each head a key q, strength beta, write vector a, write gate alpha and interpolation gate gamma.
    A step writes, then reads:
        w_W = alpha (gamma w_R + (1 - gamma) onehot(l)),  w_R of the step before, l = the least recently used slot
        M_l <- 0;  M_n <- M_n + w_W[n] a
        w_R = softmax over the K slots that are nearest to q of beta cos(q, M_n), and 0 elsewhere;  r = sum_n w_R[n] M_n
    A slot is used at a step when a head's w_W[n] + w_R[n] is above `threshold`. Several heads find their keys in the same
    memory; before they add, each clears a least recently used slot of its own.

    The backward pass costs as much as the forward pass, whatever the number of slots, and stores K rows per step: see
    `diffmem.sparse`. So does any training through `unroll` or `lax.scan`, with or without a controller, except that resets by
    `starts` copy the memory once per step (in time, not in space). Forward-mode differentiation is not supported, nor are
    second derivatives over a sequence. The order of use is kept by an int32 clock of accesses, which lasts for
    2^31 / (heads (2 K + 1)) steps without a reset, 239 million by default.

    Args:
        input_size: length of x and of the query, the controller's output.
        slots: N. Nothing in the parameters depends on it.
        width: W.
        heads: each reads and writes.
        nearest: K, how many slots a head reads.
        threshold: delta; a slot counts as used where a head writes and reads with more weight than that.
        lookup: how the nearest slots are found. "linear" compares the key with all; "approximate" does so too, with
            `lax.approx_max_k`, which is fast on TPUs; "hashed" compares it with the slots that share a locality-sensitive hash
            code with it in one of the tables and with those that were read last, at a cost that does not grow with N.
        tables: "hashed": number of hash tables; more find more.
        bucket: "hashed": how many slots of one code are remembered; there are about 2 N / bucket codes.

    `read_shape` is (heads, width). `Readout.weights` is a `SparseWeights`: distributions [heads, K] and their places.

    Raises:
        ValueError: a count below 1, more heads or nearest slots than slots, an unknown lookup, a negative threshold.

    Example:
        >>> import jax, diffmem
        >>> memory = diffmem.SAM(input_size=8, slots=1000, width=4, nearest=3, lookup="hashed")
        >>> params = memory.init_params(jax.random.key(0))
        >>> state, readout = memory.step(params, memory.init_state(params), jax.numpy.ones(8))
        >>> readout.value.shape, readout.weights.places.shape
        ((1, 4), (1, 3))

    Source: Rae et al. 2016, section 3.

    Differences from the paper:
        - nothing is rolled back: the gradient of the slots is updated in place, which needs the rows that were read only.
        - hash tables hold one place per slot and bucket, and are compared with the slots themselves, instead of a library's
          index that is rebuilt from time to time. The slots read last always take part, so K of them are found.
        - slots that were used last at the same step, which the paper leaves equal, are told apart: an earlier head's come
          first, what was only written before what was read, and the nearer ones before the others. Slots that were never used
          come in the order of their numbers.
        - the strength is 1 + softplus, as in the DNC; the paper leaves it open.
    """

    def init_state(self, params: Params) -> SAMState:
        return SAMState(**self._start(params, self.nearest))

    def read(self, params: Params, state: SAMState, query: Array) -> tuple[SAMState, Readout]:
        raw = layers.by_head(params["read_heads"], query, self.heads)
        keys, strength = raw[:, :-1], raw[:, -1]
        places = self._find(state, keys)
        slots, rows = sparse.read_rows(state.slots, places)
        read = SparseWeights(self._weigh(keys, strength, rows), places)
        return state._replace(slots=slots, read=read), Readout(jnp.einsum("hk,hkw->hw", read.weights, rows), read)
