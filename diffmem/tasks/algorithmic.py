"""The four recall tasks of the Neural Turing Machine: copy, repeat copy, associative recall and priority sort.

In the drawings time runs rightwards, one letter is one bit vector, `.` is zero and `x` marks a step whose cost counts.
Channels are drawn from top to bottom in their order. The fifth task of the paper is in `ngrams.py`.

Source: Graves, Wayne, Danihelka 2014, Neural Turing Machines, arXiv:1410.5401, section 4.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from diffmem.tasks.base import (
    Batch,
    BitTask,
    channels,
    check_at_least,
    draw,
    per_sequence,
    random_bits,
    select,
    settle_range,
    uniform_integers,
)


@dataclass(frozen=True)
class Copy(BitTask):
    """Repeat a sequence of random bit vectors after a delimiter.

        length 3, max_length 4      t   0 1 2 3 4 5 6 7 8
        inputs    bits                  a b c . . . . . .
                  delimiter             . . . 1 . . . . .
        targets   bits                  . . . . a b c . .
        mask                            . . . . x x x . .

    Args:
        bits: size of a vector.
        max_length: number of vectors the padded sequence has room for; T = 2 max_length + 1.
        lengths: shortest and longest trained length; None: from 1 to max_length.

    Example:
        >>> batch = Copy().sample(jax.random.key(0), 32, length=20)
        >>> batch.inputs.shape, batch.targets.shape, batch.mask.shape
        ((32, 41, 9), (32, 41, 8), (32, 41))

    Source: section 4.1.

    Differences from the paper:
        - The delimiter has an input channel and a step of its own; the paper only speaks of a "delimiter flag".
    """

    bits: int = 8
    max_length: int = 20
    lengths: tuple[int, int] | None = None

    def __post_init__(self):
        check_at_least(self, bits=1, max_length=1)
        settle_range(self, "lengths", *self.legal_lengths)

    input_size = property(lambda self: self.bits + 1)
    output_size = property(lambda self: self.bits)
    steps = property(lambda self: 2 * self.max_length + 1)
    legal_lengths = property(lambda self: (1, self.max_length))

    def example(self, key: Array, length: Array) -> Batch:
        t = jnp.arange(self.steps)
        vectors = random_bits(key, (self.max_length, self.bits))
        mask = (t > length) & (t <= 2 * length)
        inputs = channels(select(vectors, t, t < length), t == length)
        return Batch(inputs, select(vectors, t - length - 1, mask), mask)


@dataclass(frozen=True)
class RepeatCopy(BitTask):
    """Repeat a sequence of random bit vectors as often as a number says, then emit an end marker.

        length 2, 3 repeats         t   0 1 2 3 4 5 6 7 8 9
        inputs    bits                  a b . . . . . . . .
                  delimiter             . . 1 . . . . . . .
                  repeats               . . r . . . . . . .
        targets   bits                  . . . a b a b a b .
                  end marker            . . . . . . . . . 1
        mask                            . . . x x x x x x x

    The repeats are given as r = (repeats - mean) / deviation of the uniform distribution over `train_repeats`. Larger
    `max_repeats` leave that scale as it is: a trained model sees numbers beyond the largest it knows.

    Args:
        bits: size of a vector.
        max_length: number of vectors the padded sequence has room for.
        max_repeats: number of copies it has room for; T = max_length (1 + max_repeats) + 2.
        lengths: shortest and longest trained length; None: from 1 to max_length.
        train_repeats: fewest and most trained repeats, which set the scale of r; None: from 1 to max_repeats.

    Example:
        >>> batch = RepeatCopy().sample(jax.random.key(0), 32, length=10, repeats=10)
        >>> batch.inputs.shape, batch.targets.shape, batch.mask.shape
        ((32, 112, 10), (32, 112, 9), (32, 112))

    Source: section 4.2.

    Differences from the paper:
        - The paper names one extra input channel, for the repeats. Whether there is a delimiter besides is left open;
          here there is, at the same step, so that the end of the input can be seen whatever r is (it may be near 0).
        - The end marker's channel counts at every scored step, the bits' channels (target 0) at the end marker too.
        - The mean and variance that normalise the repeats are those of their distribution, not of a sample.
    """

    bits: int = 8
    max_length: int = 10
    max_repeats: int = 10
    lengths: tuple[int, int] | None = None
    train_repeats: tuple[int, int] | None = None

    def __post_init__(self):
        check_at_least(self, bits=1, max_length=1, max_repeats=1)
        settle_range(self, "lengths", *self.legal_lengths)
        settle_range(self, "train_repeats", 1, self.max_repeats)

    input_size = property(lambda self: self.bits + 2)
    output_size = property(lambda self: self.bits + 1)
    steps = property(lambda self: self.max_length * (1 + self.max_repeats) + 2)
    legal_lengths = property(lambda self: (1, self.max_length))
    _trained = property(lambda self: self.train_repeats)  # never None once settled

    def sample(self, key: Array, batch: int, length: Any, repeats: Any = None) -> Batch:
        """As for every task; `repeats` is given like `length`, or drawn for each sequence from `train_repeats`."""
        lengths = per_sequence("length", length, batch, *self.legal_lengths)
        repeats_key, key = jax.random.split(key)
        if repeats is None:
            repeats = uniform_integers(repeats_key, batch, *self._trained)
        else:
            repeats = per_sequence("repeats", repeats, batch, 1, self.max_repeats)
        return draw(self, key, batch, lengths, repeats)

    def example(self, key: Array, length: Array, repeats: Array) -> Batch:
        t = jnp.arange(self.steps)
        vectors = random_bits(key, (self.max_length, self.bits))
        end = length + 1 + repeats * length
        copying = (t > length) & (t < end)
        scalar = jnp.where(t == length, self.normalise(repeats), 0.0)
        inputs = channels(select(vectors, t, t < length), t == length, scalar)
        targets = channels(select(vectors, (t - length - 1) % length, copying), t == end)
        return Batch(inputs, targets, copying | (t == end))

    def normalise(self, repeats: Array) -> Array:
        """Repeats as the input shows them: mean 0 and variance 1 over `train_repeats`, float32."""
        first, last = self._trained
        deviation = math.sqrt(((last - first + 1) ** 2 - 1) / 12) or 1.0  # a single number has no scale of its own
        return (repeats - jnp.float32((first + last) / 2)) / jnp.float32(deviation)


@dataclass(frozen=True)
class AssociativeRecall(BitTask):
    """Given a list of items and a query, one of them, answer with the item that followed it.

        2 items of 3 vectors        t   0 1 2 3 4 5 6 7 8 9 . . . . . 15
        inputs    bits                  . a b c . d e f . a b c . . . .
                  item delimiter        1 . . . 1 . . . . . . . . . . .
                  query delimiter       . . . . . . . . 1 . . . 1 . . .
        targets   bits                  . . . . . . . . . . . . . d e f
        mask                            . . . . . . . . . . . . . x x x

    A length is a number of items here.

    Args:
        bits: size of a vector.
        item_length: vectors in an item.
        max_items: number of items the padded sequence has room for; T = (item_length + 1) (max_items + 2).
        lengths: fewest and most trained items; None: from 2 to max_items.

    Example:
        >>> batch = AssociativeRecall().sample(jax.random.key(0), 32, length=6)
        >>> batch.inputs.shape, batch.targets.shape, batch.mask.shape
        ((32, 32, 8), (32, 32, 6), (32, 32))

    Source: section 4.3 and figure 12 (item delimiters in row 7, the query delimiter in row 8).

    Differences from the paper:
        - Items are "bounded on the left and right by delimiter symbols": neighbours share theirs, and the query's left
          delimiter closes the last item. The query's right delimiter is a query delimiter; the paper does not say.
        - The query is never the last item, which nothing follows; it is uniform over the others.
        - Items are drawn independently. Two equal ones make the answer ambiguous (probability 6e-5 for 6 items of 18
          bits; it grows with smaller items).
    """

    bits: int = 6
    item_length: int = 3
    max_items: int = 6
    lengths: tuple[int, int] | None = None

    def __post_init__(self):
        check_at_least(self, bits=1, item_length=1, max_items=2)
        settle_range(self, "lengths", *self.legal_lengths)

    input_size = property(lambda self: self.bits + 2)
    output_size = property(lambda self: self.bits)
    longest = "max_items"
    steps = property(lambda self: (self.item_length + 1) * (self.max_items + 2))
    legal_lengths = property(lambda self: (2, self.max_items))

    def example(self, key: Array, length: Array) -> Batch:
        t, size = jnp.arange(self.steps), self.item_length
        bits_key, query_key = jax.random.split(key)
        vectors = random_bits(bits_key, (self.max_items * size, self.bits))  # item i starts at i * size
        query = jax.random.randint(query_key, (), 0, length - 1)

        item, place = t // (size + 1), t % (size + 1) - 1  # place -1 is the delimiter
        listing = t < length * (size + 1)
        since = t - length * (size + 1)  # steps since the query's left delimiter
        asking = (since > 0) & (since <= size)
        mask = (since > size + 1) & (since <= 2 * size + 1)

        shown = jnp.where(listing, item * size + place, query * size + since - 1)
        vectors_shown = select(vectors, shown, (listing & (place >= 0)) | asking)
        delimiters = listing & (place < 0), (since == 0) | (since == size + 1)
        inputs = channels(vectors_shown, *delimiters)
        return Batch(inputs, select(vectors, (query + 1) * size + since - size - 2, mask), mask)


@dataclass(frozen=True)
class PrioritySort(BitTask):
    """Give back the vectors with the highest priorities, in descending order of priority.

        length 5, max_length 5      t   0   1   2   3   4 5 6 7 8 9
        inputs    bits                  a   b   c   d   e . . . . .
                  delimiter             .   .   .   .   . 1 . . . .
                  priority             .1  .9 -.8  .5 -.2 . . . . .
        targets   bits                  .   .   .   .   . . b d a e
        mask                            .   .   .   .   . . x x x x

    Args:
        bits: size of a vector.
        max_length: number of vectors the padded sequence has room for.
        fraction: part of the vectors that is asked for, more than 0 and at most 1: round(fraction length), at least 1.
            T = max_length + 1 + round(fraction max_length).
        lengths: shortest and longest trained length; None: max_length only.

    Example:
        >>> batch = PrioritySort().sample(jax.random.key(0), 32, length=20)
        >>> batch.inputs.shape, batch.targets.shape, int(batch.mask[0].sum())
        ((32, 37, 10), (32, 37, 8), 16)

    Source: section 4.5 and figure 16.

    Differences from the paper:
        - The size of the vectors is not stated; 8 bits as in the copy tasks.
        - The order is not stated; descending, since the target is "the 16 highest-priority vectors".
        - No delimiter is mentioned; here one marks the end of the input, as in copy.
        - Only 20 vectors in and 16 out are described; `fraction` makes other lengths meaningful.
    """

    bits: int = 8
    max_length: int = 20
    fraction: float = 0.8
    lengths: tuple[int, int] | None = None

    def __post_init__(self):
        check_at_least(self, bits=1, max_length=1)
        if not 0 < self.fraction <= 1:
            raise ValueError(f"PrioritySort.fraction is {self.fraction!r}; legal: more than 0, at most 1")
        settle_range(self, "lengths", *self.legal_lengths, default=(self.max_length, self.max_length))

    input_size = property(lambda self: self.bits + 2)
    output_size = property(lambda self: self.bits)
    steps = property(lambda self: self.max_length + 1 + self.answers(self.max_length))
    legal_lengths = property(lambda self: (1, self.max_length))

    def answers(self, length: int) -> int:
        """Number of vectors asked for after `length` of them."""
        return max(1, round(self.fraction * length))

    def example(self, key: Array, length: Array) -> Batch:
        t, place = jnp.arange(self.steps), jnp.arange(self.max_length)
        bits_key, priority_key = jax.random.split(key)
        vectors = random_bits(bits_key, (self.max_length, self.bits))
        priority = jax.random.uniform(priority_key, (self.max_length,), jnp.float32, -1.0, 1.0)
        order = jnp.argsort(jnp.where(place < length, -priority, jnp.inf))  # vectors beyond the length come last
        # A table, so that a traced length rounds exactly as `steps` does in Python.
        answers = jnp.array([self.answers(n) for n in range(self.max_length + 1)])[length]
        mask = (t > length) & (t <= length + answers)
        shown = select(channels(vectors, priority), t, t < length)
        inputs = channels(shown[:, :-1], t == length, shown[:, -1])
        return Batch(inputs, select(vectors, order[t - length - 1], mask), mask)
