"""Decks of cards that are dealt lazily: what is left of each kind, and draws from it.

A shuffled deck and one that is drawn from at random have the same law, so no order is ever stored: dealing costs as many
operations as there are kinds of card, and a fresh deck is a constant.
"""

import jax
import jax.numpy as jnp

from diffmem.base import Array
from diffmem.envs.draws import below

CARDS = 52
COLOURS, SUITS, RANKS = ("black", "red"), ("♠", "♦", "♣", "♥"), ("A", *map(str, range(2, 11)), "J", "Q", "K")
NAMES = {len(names): names for names in (COLOURS, SUITS, RANKS)}  # what is seen of a card, by the number of kinds


def full(decks: int, kinds: int) -> Array:
    """[kinds] how many cards of each kind the decks have."""
    return jnp.full(kinds, decks * CARDS // kinds, jnp.int32)


def deal(key: Array, remaining: Array) -> tuple[Array, Array]:
    """Draws the next card of a shuffled deck.

    Args:
        key: PRNG key.
        remaining: int32[kinds], how many cards of each kind are left; at least one in all.

    Returns:
        The card's kind, int32, and what remains.
    """
    through = jnp.cumsum(remaining, dtype=jnp.int32)
    place = below(jax.random.uniform(key, (), jnp.float32), through[-1])
    card = (through <= place).sum(dtype=jnp.int32)
    return card, remaining - (jnp.arange(len(remaining), dtype=jnp.int32) == card).astype(jnp.int32)


def count(remaining: Array) -> Array:
    """How many cards are left, int32."""
    return remaining.sum(dtype=jnp.int32)


def ends(remaining: Array) -> tuple[Array, Array]:
    """Flags of a game that is over with its last card: terminated, and never truncated."""
    terminated = count(remaining) == 0
    return terminated, jnp.zeros_like(terminated)


def describe(remaining) -> str:
    """What is left, in characters: "♠ 12  ♦ 13  ♣ 13  ♥ 13"."""
    return "  ".join(f"{name} {left}" for name, left in zip(NAMES[len(remaining)], remaining, strict=True))
