"""Reading and writing few slots of many: the base of the sparse memories."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax

from diffmem import addressing, layers, sparse
from diffmem.base import Array, Params, Readout, check_choice, check_counts, check_number
from diffmem.sparse import SparseWeights

Lookup = Literal["linear", "approximate", "hashed"]


@dataclass(frozen=True)
class SparseAccess:
    """Heads that read the K nearest slots, and write where they have just read and where it is longest ago.

    Memories that derive from it have a state with `slots`, `written`, `read`, `recency` and `buckets`; they add `init_state`
    and `read`.
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
        self._check_at_most_slots("heads", "nearest")
        check_number(self, "threshold", "a number >= 0", lambda threshold: threshold >= 0)

    def _check_at_most_slots(self, *fields: str) -> None:
        for field in fields:
            if getattr(self, field) > self.slots:
                raise ValueError(
                    f"{type(self).__name__}.{field} is {getattr(self, field)}, more than the {self.slots} slots; "
                    f"legal: 1..{self.slots}"
                )

    @property
    def query_size(self) -> int:
        return self.input_size

    @property
    def read_shape(self) -> tuple[int, ...]:
        return (self.heads, self.width)

    @property
    def _read_size(self) -> int:
        """How many numbers a head needs for reading: key and strength."""
        return self.width + 1

    @property
    def _bits(self) -> int:
        return max(1, math.ceil(math.log2(2 * self.slots / self.bucket)))

    def init_params(self, key: Array) -> Params:
        read, write = jax.random.split(key)
        return {
            "read_heads": layers.init_dense(read, self.input_size, self.heads * self._read_size),
            "write_heads": layers.init_dense(write, self.input_size, self.heads * (self.width + 2)),
        }

    def _start(self, params: Params, places: int) -> dict[str, Any]:
        """The initial state's parts, for heads that read so many places."""
        dtype = layers.dtype_of(params)
        hashed = (self.tables, 2**self._bits, self.bucket)
        return {
            "slots": jnp.zeros((self.slots, self.width), dtype),
            "written": self._nowhere(places + 1, dtype),
            "read": self._nowhere(places, dtype),
            "recency": sparse.unused(self.slots),
            "buckets": jnp.full(hashed, -1, jnp.int32) if self.lookup == "hashed" else None,
        }

    def _nowhere(self, places: int, dtype) -> SparseWeights:
        weights = jnp.zeros((self.heads, places), dtype)
        return SparseWeights(weights, jnp.broadcast_to(jnp.arange(places, dtype=jnp.int32) % self.slots, weights.shape))

    def write(self, params: Params, state: Any, x: Array) -> Any:
        raw = layers.by_head(params["write_heads"], x, self.heads)
        add, gate, again = raw[:, :-2], jax.nn.sigmoid(raw[:, -2:-1]), jax.nn.sigmoid(raw[:, -1:])
        # The step before counts as use only now: one update per step, and nothing reads the order after it is changed.
        before = SparseWeights(*(jnp.concatenate(parts, axis=1) for parts in zip(state.written, state.read, strict=True)))
        total = jax.vmap(sparse.weight_at)(before, before.places)
        used = (total > self.threshold) & (before.weights > 0)  # not by what only fills a row up
        recency = sparse.touch(state.recency, before.places.ravel(), used.ravel())
        oldest = sparse.least_recent(recency, self.heads)
        weights = gate * jnp.concatenate([again * state.read.weights, 1 - again], axis=1)
        places = jnp.concatenate([state.read.places, oldest[:, None]], axis=1)
        rows = weights[:, :, None] * add[:, None]

        slots = sparse.write_rows(state.slots, oldest, places.ravel(), rows.reshape(-1, self.width))
        buckets = state.buckets
        if buckets is not None:
            codes = sparse.hash_codes(lax.stop_gradient(slots)[places.ravel()], self.tables, self._bits)
            buckets = sparse.hash_insert(buckets, codes, places.ravel())
        written = SparseWeights(weights, places)
        return state._replace(slots=slots, written=written, recency=recency, buckets=buckets)

    def _find(self, state: Any, keys: Array) -> Array:
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

    def _weigh(self, keys: Array, strength: Array, rows: Array) -> Array:
        """How much each row [heads, K, W] that was found counts, by its cosine with the key."""
        look_up = lambda key, rows, strength: addressing.content(key[None], rows, strength[None])[0]  # noqa: E731
        return jax.vmap(look_up)(keys, rows, 1 + jax.nn.softplus(strength))

    def read(self, params: Params, state: Any, query: Array) -> tuple[Any, Readout]:
        raise NotImplementedError

    def step(self, params: Params, state: Any, x: Array) -> tuple[Any, Readout]:
        return self.read(params, self.write(params, state, x), x)
