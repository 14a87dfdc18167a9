"""How a memory changes, given where: free functions from slots and weights to slots. Shapes as in `addressing`."""

import jax.numpy as jnp
from jaxtyping import Float

from diffmem.base import Array


def erase_add(
    slots: Float[Array, "N W"], weights: Float[Array, "N"], erase: Float[Array, "W"], add: Float[Array, "W"]
) -> Float[Array, "N W"]:
    """Erases, then adds, at the weighted slots: m_n <- m_n * (1 - w_n erase) + w_n add.

    Args:
        slots: the memory before.
        weights: how much each slot takes part, 0..1.
        erase: how much of each component goes, 0..1.
        add: what comes.

    Source: Graves et al. 2014, equations 3 and 4.
    """
    return slots * (1 - jnp.outer(weights, erase)) + jnp.outer(weights, add)


def erase_add_all(
    slots: Float[Array, "N W"], weights: Float[Array, "H N"], erase: Float[Array, "H W"], add: Float[Array, "H W"]
) -> Float[Array, "N W"]:
    """All heads erase, then all add: m_n <- m_n * prod_h (1 - w_h[n] erase_h) + sum_h w_h[n] add_h.

    Args:
        slots: the memory before.
        weights: how much each slot takes part in each head's write, 0..1.
        erase: how much of each component goes, 0..1.
        add: what comes.

    Source: DeepMind's code of Graves et al. 2016.
    """
    # Outer products as `einsum`, whose gradient is matrix products: on a CPU much faster than sums of products.
    for erased in jnp.einsum("hn,hw->hnw", weights, erase):
        slots = slots * (1 - erased)
    return slots + weights.T @ add


def outer(matrix: Float[Array, "K V"], key: Float[Array, "K"], value: Float[Array, "V"]) -> Float[Array, "K V"]:
    """Associates key with value: A <- A + key value^T, so that key^T A returns |key|^2 value.

    Source: the correlation-matrix memory of Kohonen 1972.
    """
    return matrix + jnp.outer(key, value)


def delta(
    matrix: Float[Array, "K V"], key: Float[Array, "K"], value: Float[Array, "V"], gate: Float[Array, "*gate"]
) -> Float[Array, "K V"]:
    """Corrects what the key reads: A <- A + key (gate (value - A^T key))^T.

    With a key of length 1 and a gate of 1, key^T A is the value afterwards, whatever it was before; a gate of 0 changes
    nothing.

    Args:
        matrix: A, the memory before.
        key: where.
        value: what the key should read.
        gate: beta, how much of the error goes, 0..1: one number, or one per component of the value.

    Source: Widrow and Hoff 1960; Schlag et al. 2021, equation 24.
    """
    return outer(matrix, key, gate * (value - key @ matrix))


def decay(matrix: Float[Array, "*shape"], rate: Float[Array, ""]) -> Float[Array, "*shape"]:
    """Forgets everything a little: A <- rate * A, with rate in 0..1."""
    return rate * matrix


def gate(
    slots: Float[Array, "N W"],
    candidates: Float[Array, "N W"],
    input_gate: Float[Array, "N #W"],
    forget_gate: Float[Array, "N #W"],
) -> Float[Array, "N W"]:
    """Takes in what one gate lets in and keeps what the other lets stay: M <- i * tanh(M~) + f * M.

    Args:
        slots: M, the memory before.
        candidates: M~, what it could become.
        input_gate: i in 0..1, for every number or for every slot. 0 with f = 1 leaves the memory exactly as it is.
        forget_gate: f in 0..1, likewise.

    Source: Santoro et al. 2018, section 3.4.
    """
    return input_gate * jnp.tanh(candidates) + forget_gate * slots
