"""Associative retrieval: letters with digits, then one of the letters again, whose digit is asked for.

Source: Ba, Hinton, Mnih, Leibo, Ionescu 2016, Using Fast Weights to Attend to the Recent Past, arXiv:1610.06258, section 4.1.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from diffmem.tasks.base import Batch, SymbolTask, check_at_least, settle_range


@dataclass(frozen=True)
class AssociativeRetrieval(SymbolTask):
    """Given pairs of a letter and a digit, then a letter, answer with its digit.

        4 pairs, max_length 4       t   0 1 2 3 4 5 6 7 8 9 10
        inputs    letter                c . k . j . f . . . c
                  digit                 . 9 . 8 . 3 . 1 . . .
                  question mark         . . . . . . . . 1 1 .
        targets                         . . . . . . . . . . 9
        mask                            . . . . . . . . . . x

    A length is a number of pairs. The letters of a sequence differ; digits may repeat.

    Args:
        letters: how many there are.
        digits: how many there are, and the number of answers.
        max_length: pairs the padded sequence has room for; T = 2 max_length + 3.
        lengths: fewest and most trained pairs; None: max_length only.

    Example:
        >>> batch = AssociativeRetrieval().sample(jax.random.key(0), 32, length=4)
        >>> batch.inputs.shape, batch.targets.shape, batch.mask.sum().item()
        ((32, 11, 37), (32, 11), 32)

    Differences from the paper:
        - the answer is one of the digits, not of all symbols.
        - sequences are drawn afresh; the paper draws a training set of 100,000 once.
    """

    letters: int = 26
    digits: int = 10
    max_length: int = 4
    lengths: tuple[int, int] | None = None

    def __post_init__(self):
        check_at_least(self, letters=1, digits=2, max_length=1)
        if self.max_length > self.letters:
            raise ValueError(
                f"AssociativeRetrieval.max_length is {self.max_length}; legal: at most the number of letters, {self.letters}"
            )
        settle_range(self, "lengths", *self.legal_lengths, default=(self.max_length, self.max_length))

    input_size = property(lambda self: self.letters + self.digits + 1)
    output_size = property(lambda self: self.digits)
    steps = property(lambda self: 2 * self.max_length + 3)
    legal_lengths = property(lambda self: (1, self.max_length))

    def example(self, key: Array, length: Array) -> Batch:
        t, end = jnp.arange(self.steps), 2 * length
        letter_key, digit_key, query_key = jax.random.split(key, 3)
        letters = jax.random.permutation(letter_key, self.letters)[: self.max_length]
        digits = jax.random.randint(digit_key, (self.max_length,), 0, self.digits)
        query = jax.random.randint(query_key, (), 0, length)

        pair = jnp.minimum(t // 2, self.max_length - 1)
        shown = jnp.where(t % 2 == 0, letters[pair], self.letters + digits[pair])
        asked = jnp.where(t == end + 2, letters[query], self.letters + self.digits)
        symbols = jnp.where(t < end, shown, asked)
        mask = t == end + 2
        inputs = jax.nn.one_hot(symbols, self.input_size, dtype=jnp.float32) * (t <= end + 2)[:, None]
        return Batch(inputs, jnp.where(mask, digits[query], 0).astype(jnp.int32), mask)
