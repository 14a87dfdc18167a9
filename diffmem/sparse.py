"""Touching few slots of many: free functions whose cost, forward and backward, does not grow with the number of slots.

How a memory of a million slots is trained: `read_rows` and `write_rows` take the slots and give them back. As
long as each version of the slots goes through exactly one of them, and into nothing else that is differentiated, the
backward pass is a chain of updates of one array in place. What is stored per step are the rows that were read, never the
memory: no reversal of writes is needed, because the gradient does not depend on any other row. A plain `lax.scan` keeps
all this, and so does a controller around the memory.

Shapes as in `addressing`; P places, K nearest slots. Places may repeat unless said otherwise.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float, Int

from diffmem import addressing
from diffmem.base import Array

# All places are: no need to check them, and a check makes XLA copy whole arrays.
IN_BOUNDS = "promise_in_bounds"


class SparseWeights(NamedTuple):
    """Weights that are zero but at some places: weights [H, K] at the slots places [H, K], int32."""

    weights: Array
    places: Array


def weight_at(weights: SparseWeights, places: Int[Array, "*P"]) -> Float[Array, "*P"]:
    """How much weight there is at some places: weights [K] of equal places are summed up, and 0 is where there is none."""
    return jnp.sum(jnp.where(places[..., None] == weights.places, weights.weights, 0), axis=-1)


# --- Rows ------------------------------------------------------------------------------------------------------------


@jax.custom_vjp
def read_rows(slots: Float[Array, "N W"], places: Int[Array, "*P"]) -> tuple[Float[Array, "N W"], Float[Array, "*P W"]]:
    """The slots, unchanged, and the rows at some places.

    Whoever goes on with the slots that are returned, instead of the ones given, gets a backward pass that adds the rows'
    gradient to that of the slots in place.
    """
    return slots, slots.at[places].get(mode=IN_BOUNDS)


def _read_rows_backward(places, gradients):
    d_slots, d_rows = gradients
    return d_slots.at[places].add(d_rows, mode=IN_BOUNDS), None


read_rows.defvjp(lambda slots, places: (read_rows(slots, places), places), _read_rows_backward)


@jax.custom_vjp
def write_rows(
    slots: Float[Array, "N W"], cleared: Int[Array, "C"], places: Int[Array, "P"], rows: Float[Array, "P W"]
) -> Float[Array, "N W"]:
    """The slots with zeros at the places that are cleared, which are among the places, and then rows added at all places."""
    return slots.at[cleared].set(0, mode=IN_BOUNDS).at[places].add(rows, mode=IN_BOUNDS)


def _write_rows_backward(at, d_slots):
    cleared, places = at
    # Everything that is written back depends on what was read, so that XLA reads first and need not copy the slots.
    d_rows = lax.optimization_barrier(d_slots.at[places].get(mode=IN_BOUNDS))
    gone = jnp.any(places[:, None] == cleared, axis=1, keepdims=True)
    return d_slots.at[places].set(jnp.where(gone, 0, d_rows), mode=IN_BOUNDS), None, None, d_rows


write_rows.defvjp(lambda slots, c, p, rows: (write_rows(slots, c, p, rows), (c, p)), _write_rows_backward)


# --- Finding the nearest ---------------------------------------------------------------------------------------------


def top_k(scores: Float[Array, "H N"], k: int, *, block: int | None = None) -> Int[Array, "H K"]:
    """The places of the k largest scores of each row, the largest first; of equals, the lower place first.

    Looks for the best blocks first and then only into those: one fast pass over the scores instead of a sort.

    Args:
        scores: to compare.
        k: how many.
        block: size of a block; None chooses, and has no blocks where there are few scores.
    """
    heads, number = scores.shape
    if block is None:
        block = math.isqrt(number // k) if number >= 4096 else number
    blocks = -(-number // block)
    if blocks <= k:
        return lax.top_k(scores, k)[1]
    padded = jnp.pad(scores, ((0, 0), (0, blocks * block - number)), constant_values=-jnp.inf)
    padded = padded.reshape(heads, blocks, block)
    # In the order of their numbers, so that of equal scores the lower place comes first.
    best = jnp.sort(lax.top_k(jnp.max(padded, -1), k)[1], axis=-1)
    inside = jnp.take_along_axis(padded, best[:, :, None], axis=1).reshape(heads, k * block)
    found = lax.top_k(inside, k)[1]
    return jnp.take_along_axis(best, found // block, axis=1) * block + found % block


def nearest(keys: Float[Array, "H W"], slots: Float[Array, "N W"], candidates: Int[Array, "H C"], k: int) -> Int[Array, "H K"]:
    """Of some candidates, the places of the k nearest to each key by cosine. No gradient.

    Args:
        keys: what to look for.
        slots: the memory.
        candidates: places; they may repeat, and a negative one is none. At least k different ones.
        k: how many.
    """
    known = candidates[:, :, None] == candidates[:, None]
    first = jnp.arange(candidates.shape[1])
    repeated = jnp.any(known & (first < first[:, None]), axis=2)
    cosines = jax.vmap(lambda key, places: addressing.cosine(key[None], slots[places])[0])(keys, candidates)
    scores = jnp.where(repeated | (candidates < 0), -jnp.inf, cosines)
    return jnp.take_along_axis(candidates, lax.top_k(lax.stop_gradient(scores), k)[1], axis=1)


def hash_codes(rows: Float[Array, "*P W"], tables: int, bits: int) -> Int[Array, "*P tables"]:
    """Locality-sensitive hash codes of rows, one per table: on which side of random planes they lie, the same planes always.

    Rows at an angle a share a code with probability (1 - a / pi) ** bits.

    Source: Charikar 2002, section 3.
    """
    width = rows.shape[-1]
    planes = jax.random.normal(jax.random.key(0), (width, tables, bits), jnp.float32).astype(rows.dtype)
    sides = jnp.einsum("...w,wtb->...tb", rows, planes) > 0
    return jnp.sum(jnp.where(sides, 2 ** jnp.arange(bits, dtype=jnp.int32), 0), axis=-1, dtype=jnp.int32)


def hash_insert(buckets: Int[Array, "tables codes size"], codes: Int[Array, "P tables"], places: Int[Array, "P"]) -> Array:
    """Puts places into their buckets. A place has a fixed entry in any bucket, whose former owner is forgotten.

    Entries of where a slot was before it changed are left to be overwritten: who looks compares the slots themselves.
    """
    tables, _, size = buckets.shape
    return buckets.at[jnp.arange(tables), codes, places[:, None] % size].set(places[:, None], mode=IN_BOUNDS)


# --- Least recently used ---------------------------------------------------------------------------------------------


class Recency(NamedTuple):
    """When each slot was used last, in blocks, so that the oldest is found without looking at all.

    Attributes:
        used: [blocks, block], int32: slot n is number n in this order. Numbers behind the last slot are never the oldest.
        oldest: [blocks], the smallest of each block.
        clock: [], later than everything.
    """

    used: Array
    oldest: Array
    clock: Array


def unused(slots: int) -> Recency:
    """No slot was used yet: slot 0 comes first."""
    block = math.isqrt(slots - 1) + 1
    number = jnp.arange(block * -(-slots // block), dtype=jnp.int32)
    used = jnp.where(number < slots, number, jnp.iinfo(jnp.int32).max).reshape(-1, block)
    return Recency(used, used[:, 0], jnp.int32(slots))


def touch(recency: Recency, places: Int[Array, "P"], really: Array) -> Recency:
    """Uses places, one after the other, where `really` [P] is True."""
    used, oldest, clock = recency
    row, column = places // used.shape[1], places % used.shape[1]
    now = clock + jnp.arange(len(places), dtype=jnp.int32)
    used = used.at[row, column].max(jnp.where(really, now, 0), mode=IN_BOUNDS)
    oldest = oldest.at[row].set(jnp.min(used.at[row].get(mode=IN_BOUNDS), axis=1), mode=IN_BOUNDS)
    return Recency(used, oldest, clock + len(places))


def least_recent(recency: Recency, number: int) -> Int[Array, "number"]:
    """The slots that were not used for the longest time, the oldest first."""
    used, oldest, _ = recency
    rows = lax.top_k(-oldest, min(number, len(oldest)))[1]
    times = used.at[rows].get(mode=IN_BOUNDS)
    found = lax.top_k(-times.ravel(), number)[1]
    return rows[found // times.shape[1]] * times.shape[1] + found % times.shape[1]
