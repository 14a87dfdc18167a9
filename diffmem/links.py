"""Sparse temporal links: of each slot, the K slots that were most written just before it, and the K just after it.

One sequence and one write head at a time. What `allocation` does with N x N links, this does with 2 N K numbers, and a write
touches the rows of what is written, of their predecessors and of what was written last. Links are constants to gradients.

All weights are `SparseWeights`. Where fewer than K places have a weight, the others have weight 0 and name slot 0.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float, Int

from diffmem.base import Array
from diffmem.sparse import IN_BOUNDS, SparseWeights, weight_at


class Links(NamedTuple):
    """The order of writing.

    Attributes:
        before: N, weights and places [N, K]: row a is how much a was written just after each of K slots.
        after: P, weights and places [N, K]: row b is how much each of K slots was written just after b.
        precedence: p, weights and places [K]: where was written last.
    """

    before: SparseWeights
    after: SparseWeights
    precedence: SparseWeights


def no_links(slots: int, number: int, dtype) -> Links:
    """Nothing was written yet: `number` links of each slot either way, all of no weight."""
    empty = lambda *shape: SparseWeights(jnp.zeros(shape, dtype), jnp.zeros(shape, jnp.int32))  # noqa: E731
    return Links(empty(slots, number), empty(slots, number), empty(number))


def largest(weights: Float[Array, "E"], places: Int[Array, "E"], k: int) -> SparseWeights:
    """The k largest weights [k], the largest first, after those of equal places were summed up. No weight is negative.

    Weights that round to the same multiple of 2^-14 count as equal, and the lower place comes first: over an empty memory they
    are equal by right, and how sums were rounded must not decide. See `allocation.allocation`.

    Compares all pairs: for few entries that is faster than a sort.
    """
    number = jnp.arange(len(places))
    same, earlier = places[:, None] == places, number < number[:, None]
    total = jnp.where(jnp.any(same & earlier, axis=1), 0, jnp.sum(jnp.where(same, weights, 0), axis=1))
    size = jnp.where(total > 0, jnp.round(total * 2.0**14), -1)  # what has no weight comes last
    first = (places < places[:, None]) | (same & earlier)
    ahead = (size > size[:, None]) | ((size == size[:, None]) & first)
    chosen = jnp.sum(ahead, axis=1) == jnp.arange(k)[:, None]
    # A place of the slots whatever the weights are, even NaN.
    found = jnp.max(jnp.where(chosen & (total > 0), places, 0), axis=1)
    return SparseWeights(jnp.sum(jnp.where(chosen, total, 0), axis=1), found)


def rows(matrix: SparseWeights, places: Int[Array, "*P"]) -> SparseWeights:
    """The rows of a sparse matrix at some places."""
    return SparseWeights(*(part.at[places].get(mode=IN_BOUNDS) for part in matrix))


def _set_rows(matrix: SparseWeights, places: Int[Array, "P"], new: SparseWeights) -> SparseWeights:
    return SparseWeights(*(part.at[places].set(one, mode=IN_BOUNDS) for part, one in zip(matrix, new, strict=True)))


def _mixed(row: SparseWeights, scale: Array, more: SparseWeights, here: Array) -> SparseWeights:
    """The row and so much of another: the largest of their sum. No slot is linked with itself, which is here."""
    places = jnp.concatenate([row.places, more.places])
    weights = jnp.concatenate([row.weights, scale * more.weights])
    return largest(jnp.where(places == here, 0, weights), places, len(row.places))


def link(links: Links, written: SparseWeights) -> Links:
    """Links after a write:
        N[a, b] <- (1 - w[a]) N[a, b] + w[a] p[b];  P[b, a] <- (1 - w[a]) P[b, a] + w[a] p[b];  both 0 where a = b
        p <- (1 - sum w) p + w
    of which the K largest numbers of each row are kept. The rows b of P that change are found in p and in the rows a of N that
    are written: one that none of them names any more, because N has dropped it for stronger links, stays as it is.

    Args:
        links: before.
        written: w, weights and places [P]. Places may repeat; weights sum to at most one.

    Source: Rae et al. 2016, supplementary D.1, equations 11, 19 and 20.
    """
    before, after, last = links
    weights = weight_at(written, written.places)  # repeated places write equal rows
    old = rows(before, written.places)
    faded = old._replace(weights=(1 - weights)[:, None] * old.weights)
    before = _set_rows(before, written.places, jax.vmap(_mixed, (0, 0, None, 0))(faded, weights, last, written.places))

    reached = jnp.concatenate([old.places.ravel(), last.places])
    old = rows(after, reached)
    after = _set_rows(after, reached, old._replace(weights=(1 - weight_at(written, old.places)) * old.weights))
    weights = weight_at(last, last.places)
    mixed = jax.vmap(_mixed, (0, 0, None, 0))(rows(after, last.places), weights, written, last.places)
    after = _set_rows(after, last.places, mixed)

    kept = (1 - jnp.sum(written.weights)) * last.weights
    entries = jnp.concatenate([kept, written.weights]), jnp.concatenate([last.places, written.places])
    return Links(before, after, largest(*entries, len(last.places)))


def follow(linked: SparseWeights, weights: Float[Array, "R"]) -> SparseWeights:
    """Goes from where was read to what it is linked with: the K largest of sum_r w[r] linked[r].

    The gradient reaches the weights, not the links.

    Args:
        linked: rows [R, K] of N, which lead backward, or of P, which lead forward.
        weights: how much was read at the place of each row.

    Source: Rae et al. 2016, supplementary D.1, equations 21 and 22.
    """
    linked = lax.stop_gradient(linked)
    mass = lax.stop_gradient(weights)[:, None] * linked.weights
    found = largest(mass.ravel(), linked.places.ravel(), linked.places.shape[1])
    there = (linked.places == found.places[:, None, None]) & (found.weights > 0)[:, None, None]
    # As a small matrix [K, R], which is all that the backward pass keeps.
    return SparseWeights(jnp.sum(jnp.where(there, linked.weights, 0), axis=2) @ weights, found.places)
