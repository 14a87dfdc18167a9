"""Where to write next, and what was written after what: usage, allocation and temporal links, as free functions.

One sequence and one step at a time, as in `addressing`, whose shape legend holds here too. R read heads, H write heads.

A link matrix is [N, N]: links[a, b] is how much slot a was written just after slot b.
"""

from functools import reduce

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from diffmem.base import Array
from diffmem.sparse import IN_BOUNDS

# What two well-known implementations of the DNC squeeze usages with, so that no usage is zero.
USAGE_EPSILON = 1e-6
# Up to so many slots an accelerator allocates without sorting: a tenth of a DNC's train step on an H200.
MASKED = 256
TINY = 1e-30  # keeps the logarithm of no usage finite; small enough to vanish beside any product that counts


def _product(factors: Float[Array, "H N"]) -> Float[Array, "N"]:
    """The product over heads, one after the other: they are few, and the gradient of `jnp.prod` is made of a tree."""
    return reduce(jnp.multiply, list(factors))


def joint(weights: Float[Array, "H N"]) -> Float[Array, "N"]:
    """How much all heads together write to each slot: 1 - prod_h (1 - w_h)."""
    return 1 - _product(1 - weights)


def retention(read_weights: Float[Array, "R N"], free: Float[Array, "R"]) -> Float[Array, "N"]:
    """How much of each slot is not freed: psi = prod_r (1 - f_r w_r).

    Args:
        read_weights: where was read at the step before.
        free: free gates, 0..1; 1 gives back what that head has read.

    Source: Graves et al. 2016, methods, "Dynamic memory allocation".
    """
    return _product(1 - free[:, None] * read_weights)


def use(usage: Float[Array, "N"], write_weights: Float[Array, "H N"], retained: Float[Array, "N"]) -> Float[Array, "N"]:
    """Usage after the writes and the freeing of the step before: u <- (u + (1 - u) (1 - prod_h (1 - w_h))) psi.

    With one write head this is the paper's (u + w - u w) psi.

    Args:
        usage: before, 0..1.
        write_weights: where was written at the step before.
        retained: see `retention`.

    Source: Graves et al. 2016, methods; the product over write heads as in DeepMind's code.
    """
    return (usage + (1 - usage) * joint(write_weights)) * retained


TIES = ("near", "squeezed", "rounded")


def allocation(usage: Float[Array, "N"], *, ties: str = "near") -> Float[Array, "N"]:
    """Weights on the least used slots: a[phi_j] = (1 - u[phi_j]) prod_{i < j} u[phi_i], phi sorts by usage, ascending.

    Slots of equal usage keep their order: the lower number is allocated first. An empty memory allocates slot 0. What counts
    as equal matters, because the result jumps where two slots change places:

    ties="near":      usages that round to the same multiple of 2^-14. Slots that nothing has told apart yet are equal by
                      right, and how their sums were rounded does not decide. The default.
    ties="squeezed":  equal usages, after u <- 1e-6 + (1 - 1e-6) u, as in a PyTorch port
    ties="rounded":   the same squeezing, and equal 1 - u: usages closer than 1e-16 in float64, 6e-8 in float32, are equal, as
                      in DeepMind's code. After squeezing, it decides where a second write head goes.

    Args:
        usage: 0..1.
        ties: which of the three.

    Returns:
        Weights that sum to 1 - prod_n u[n]: to less than one where every slot is in use.

    Raises:
        ValueError: unknown ties.

    Source: Graves et al. 2016, methods, equation 1.
    """
    if ties not in TIES:
        raise ValueError(f"ties is {ties!r}; legal: {', '.join(map(repr, TIES))}")
    if ties == "near":
        key = jnp.round(usage * 2.0**14).astype(jnp.int32)
    else:
        usage = USAGE_EPSILON + (1 - USAGE_EPSILON) * usage
        key = usage if ties == "squeezed" else usage - 1  # which rounds as 1 - usage does
    in_masks = jax.default_backend() != "cpu" and len(usage) <= MASKED
    return (1 - usage) * (_before_by_masks if in_masks else _before_by_sorting)(lax.stop_gradient(key), usage)


def _order(key: Array) -> Array:
    """The slots [N] in the order of their keys, those of equal keys in the order of their numbers."""
    bits = (len(key) - 1).bit_length()
    if not jnp.issubdtype(key.dtype, jnp.integer) or bits > 16:
        return jnp.argsort(key, stable=True)
    # Key and number in one integer: a CPU sorts such ten times as fast as by a comparison that it has to call.
    return lax.sort((key << bits) | jnp.arange(len(key), dtype=key.dtype), is_stable=False) & (2**bits - 1)


def _before_by_sorting(key: Array, usage: Float[Array, "N"]) -> Float[Array, "N"]:
    """For each slot, the product of the usages of the slots that come before it, in the order of the keys."""
    order = _order(key)
    ascending = usage.at[order].get(mode=IN_BOUNDS, unique_indices=True)
    before = jnp.concatenate([jnp.ones_like(usage[:1]), jnp.cumprod(ascending[:-1])])
    return jnp.zeros_like(usage).at[order].set(before, mode=IN_BOUNDS, unique_indices=True)


def _before_by_masks(key: Array, usage: Float[Array, "N"]) -> Float[Array, "N"]:
    """The same as a product of N x N numbers: two small programs on an accelerator, instead of a sort and its scans."""
    slot = jnp.arange(len(usage))
    comes_before = (key[:, None] < key) | ((key[:, None] == key) & (slot[:, None] < slot))
    return jnp.exp(jnp.log(usage + TINY) @ comes_before.astype(usage.dtype))


def allocate(usage: Float[Array, "N"], gates: Float[Array, "H"], *, ties: str = "near") -> Float[Array, "H N"]:
    """Allocates one head after the other: each finds the slots that those before it are about to write in use.

    Between heads u <- u + (1 - u) g_h a_h.

    Args:
        usage: 0..1.
        gates: how much each head will write where it is allocated: write gate * allocation gate.
        ties: see `allocation`.

    Source: DeepMind's code of Graves et al. 2016; the paper has one write head.
    """
    weights = []
    for gate in gates:
        weights.append(allocation(usage, ties=ties))
        usage = usage + (1 - usage) * gate * weights[-1]
    return jnp.stack(weights)


def precede(precedence: Float[Array, "*heads N"], weights: Float[Array, "*heads N"]) -> Float[Array, "*heads N"]:
    """How much each slot was the last one written: p <- (1 - sum_n w[n]) p + w.

    Source: Graves et al. 2016, methods, "Temporal memory linkage".
    """
    return (1 - jnp.sum(weights, axis=-1, keepdims=True)) * precedence + weights


def link(links: Float[Array, "N N"], weights: Float[Array, "N"], precedence: Float[Array, "N"]) -> Float[Array, "N N"]:
    """Links after a write: L[a, b] <- (1 - w[a] - w[b]) L[a, b] + w[a] p[b], and 0 where a = b.

    Args:
        links: before; rows and columns sum to at most one, and still do after.
        weights: where is written; they sum to at most one.
        precedence: where was written before this write.

    Source: Graves et al. 2016, methods, "Temporal memory linkage".
    """
    return off_diagonal((1 - weights[:, None] - weights) * links + weights[:, None] * precedence)


def off_diagonal(matrix: Float[Array, "N N"]) -> Float[Array, "N N"]:
    """The matrix with zeros on its diagonal."""
    # Of N numbers, so that loops over the matrix stay simple: faster on a CPU than a choice at each of N * N places.
    slot = jnp.arange(len(matrix))
    return matrix.at[slot, slot].set(0, unique_indices=True, indices_are_sorted=True)


def follow(links: Float[Array, "H N N"], weights: Float[Array, "R N"]) -> tuple[Float[Array, "R H N"], Float[Array, "R H N"]]:
    """Goes along the links from where was read: backward b = L^T w, forward f = L w, for each read and write head.

    Returns:
        What was written before the places that were read, and what was written after them.

    Source: Graves et al. 2016, methods, "Temporal memory linkage".
    """
    return jnp.einsum("hab,ra->rhb", links, weights), jnp.einsum("hab,rb->rha", links, weights)
