"""Random choices and look-ups that cost next to nothing: automatic resets evaluate them at every step.

Sums over a mask, where `argmax`, `cumsum` and indexing would do: batched, XLA's CPU code is several times faster for these.
"""

import jax.numpy as jnp

from diffmem.base import Array


def below(uniform: Array, n: Array | int) -> Array:
    """The integer 0 .. n-1 that a uniform number of [0, 1) stands for."""
    return (uniform * jnp.float32(n)).astype(jnp.int32)


def pick(uniform: Array, legal: Array) -> Array:
    """The index of one of the true entries [n], each as likely as the other, that a uniform number of [0, 1) stands for."""
    ranks = jnp.cumsum(legal, dtype=jnp.int32)
    return (ranks <= below(uniform, ranks[-1])).sum(dtype=jnp.int32)


def at(values: Array, index: Array) -> Array:
    """values[index] of a vector [n]."""
    return jnp.where(jnp.arange(values.shape[0]) == index, values, 0).sum(dtype=values.dtype)


def shuffle(uniforms: Array) -> Array:
    """A permutation of 0 .. n-1, each as likely as the other, from n uniform numbers: their ranks."""
    places = jnp.arange(len(uniforms))
    before = (uniforms < uniforms[:, None]) | ((uniforms == uniforms[:, None]) & (places < places[:, None]))
    return before.sum(1, dtype=jnp.int32)
