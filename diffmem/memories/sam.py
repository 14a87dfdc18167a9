"""Sparse Access Memory: a large memory of which each step touches a few slots, forward and backward."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from diffmem import addressing, layers, sparse
from diffmem.base import Array, Params, Readout, check_choice, check_counts, register
from diffmem.sparse import Recency, SparseWeights

Lookup = Literal["linear", "approximate", "hashed"]


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
class SAM:
    """A memory of up to millions of slots: reads the K nearest ones, writes where it has just read or where it is longest ago.

    A linear map of x gives each head a key q, strength beta, write vector a, write gate alpha and interpolation gate gamma.
    A step writes, then reads:
        w_W = alpha (gamma w_R + (1 - gamma) onehot(l)),  w_R of the step before, l = the least recently used slot
        M_l <- 0;  M_n <- M_n + w_W[n] a
        w_R = softmax over the K slots that are nearest to q of beta cos(q, M_n), and 0 elsewhere;  r = sum_n w_R[n] M_n
    A slot is used when it is written or read with a weight above `threshold`. Several heads find their keys in the same
    memory; before they add, each clears a least recently used slot of its own.

    The backward pass costs as much as the forward pass, whatever the number of slots, and stores K rows per step: see
    `diffmem.sparse`. So does any training through `unroll` or `lax.scan`, with or without a controller, except that resets by
    `starts` copy the memory once per step (in time, not in space). Forward-mode differentiation is not supported.

    Args:
        input_size: length of x and of the query, the controller's output.
        slots: N. Nothing in the parameters depends on it.
        width: W.
        heads: each reads and writes.
        nearest: K, how many slots a head reads.
        threshold: delta, the weight above which a slot counts as used.
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
        - the strength is 1 + softplus, as in the DNC; the paper leaves it open.
    """

    input_size: int
    slots: int = 4096
    width: int = 32
    heads: int = 1
    nearest: int = 4
    threshold: float = 0.005
    lookup: Lookup = "linear"
    tables: int = 4
    bucket: int = 16

    def __post_init__(self):
        check_counts(self, input_size=self.input_size, slots=self.slots, width=self.width, heads=self.heads)
        check_counts(self, nearest=self.nearest, tables=self.tables, bucket=self.bucket)
        check_choice(self, "lookup", Lookup.__args__)
        for field in ("heads", "nearest"):
            if getattr(self, field) > self.slots:
                raise ValueError(
                    f"SAM.{field} is {getattr(self, field)}, more than the {self.slots} slots; legal: 1..{self.slots}"
                )
        if not self.threshold >= 0:
            raise ValueError(f"SAM.threshold is {self.threshold!r}; it must be >= 0")

    @property
    def query_size(self) -> int:
        return self.input_size

    @property
    def read_shape(self) -> tuple[int, ...]:
        return (self.heads, self.width)

    @property
    def _bits(self) -> int:
        return max(1, math.ceil(math.log2(2 * self.slots / self.bucket)))

    def init_params(self, key: Array) -> Params:
        read, write = jax.random.split(key)
        return {
            "read_heads": layers.init_dense(read, self.input_size, self.heads * (self.width + 1)),
            "write_heads": layers.init_dense(write, self.input_size, self.heads * (self.width + 2)),
        }

    def init_state(self, params: Params) -> SAMState:
        dtype = layers.dtype_of(params)
        hashed = (self.tables, 2**self._bits, self.bucket)
        return SAMState(
            slots=jnp.zeros((self.slots, self.width), dtype),
            written=self._nowhere(self.nearest + 1, dtype),
            read=self._nowhere(self.nearest, dtype),
            recency=sparse.unused(self.slots),
            buckets=jnp.full(hashed, -1, jnp.int32) if self.lookup == "hashed" else None,
        )

    def _nowhere(self, places: int, dtype) -> SparseWeights:
        weights = jnp.zeros((self.heads, places), dtype)
        return SparseWeights(weights, jnp.broadcast_to(jnp.arange(places, dtype=jnp.int32) % self.slots, weights.shape))

    def write(self, params: Params, state: SAMState, x: Array) -> SAMState:
        raw = layers.dense(params["write_heads"], x).reshape(self.heads, -1)
        add, gate, again = raw[:, :-2], jax.nn.sigmoid(raw[:, -2:-1]), jax.nn.sigmoid(raw[:, -1:])
        # The step before counts as use only now: one update per step, and nothing reads the order after it is changed.
        before = [jnp.concatenate([a.ravel(), b.ravel()]) for a, b in zip(state.written, state.read, strict=True)]
        recency = sparse.touch(state.recency, before[1], before[0] > self.threshold)
        oldest = sparse.least_recent(recency, self.heads)
        weights = gate * jnp.concatenate([again * state.read.weights, 1 - again], axis=1)
        places = jnp.concatenate([state.read.places, oldest[:, None]], axis=1)
        rows = weights[:, :, None] * add[:, None]

        slots = sparse.write_rows(state.slots, oldest, places.ravel(), rows.reshape(-1, self.width))
        buckets = state.buckets
        if buckets is not None:
            codes = sparse.hash_codes(lax.stop_gradient(slots)[places.ravel()], self.tables, self._bits)
            buckets = sparse.hash_insert(buckets, codes, places.ravel())
        return SAMState(slots, SparseWeights(weights, places), state.read, recency, buckets)

    def _find(self, state: SAMState, keys: Array) -> Array:
        """The places [heads, K] of the nearest slots."""
        keys, slots = lax.stop_gradient(keys), lax.stop_gradient(state.slots)
        if state.buckets is not None:
            codes = sparse.hash_codes(keys, self.tables, self._bits)
            found = state.buckets[jnp.arange(self.tables), codes].reshape(self.heads, -1)
            candidates = jnp.concatenate([state.read.places, found], axis=1)
            return sparse.nearest(keys, slots, candidates, self.nearest)
        cosines = addressing.cosine(keys, slots)
        if self.lookup == "approximate":
            return lax.approx_max_k(cosines, self.nearest)[1]
        return sparse.top_k(cosines, self.nearest)

    def read(self, params: Params, state: SAMState, query: Array) -> tuple[SAMState, Readout]:
        raw = layers.dense(params["read_heads"], query).reshape(self.heads, -1)
        keys, strength = raw[:, :-1], 1 + jax.nn.softplus(raw[:, -1])
        places = self._find(state, keys)
        slots, rows = sparse.read_rows(state.slots, places)
        look_up = lambda key, rows, strength: addressing.content(key[None], rows, strength[None])[0]  # noqa: E731
        weights = jax.vmap(look_up)(keys, rows, strength)
        read = SparseWeights(weights, places)
        return state._replace(slots=slots, read=read), Readout(jnp.einsum("hk,hkw->hw", weights, rows), read)

    def step(self, params: Params, state: SAMState, x: Array) -> tuple[SAMState, Readout]:
        return self.read(params, self.write(params, state, x), x)
