"""Associative recall of symbols: many pairs of a key and a value, then many queries.

In the drawing time runs rightwards, a letter is a key, a number is a value, `.` is zero and `x` marks a step whose cost counts.

Source: Arora et al. 2023, Zoology: Measuring and Improving Recall in Efficient Language Models, arXiv:2312.04927.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from diffmem.tasks.base import Batch, SymbolTask, check_at_least, settle_range


@dataclass(frozen=True)
class MultiQueryRecall(SymbolTask):
    """Multi-query associative recall: give the value of every key that was shown, in another order.

        3 pairs, max_length 4       t   0 1 2 3 4 5 6 7
        inputs    key                   a b c b a c . .
                  value                 7 2 7 . . . . .
        targets   value                 . . . 2 7 7 . .
        mask                            . . . x x x . .

    The keys of a sequence differ, its values are independent. Keys and values are one-hot. A length is a number of pairs;
    guessing is wrong in 1 - 1/values of the cases.

    Args:
        keys: size of the keys' vocabulary.
        values: size of the values' vocabulary.
        max_length: number of pairs the padded sequence has room for, at most `keys`; T = 2 max_length.
        lengths: fewest and most trained pairs; None: from min(4, max_length) to max_length.

    Example:
        >>> batch = MultiQueryRecall().sample(jax.random.key(0), 32, length=40)
        >>> batch.inputs.shape, batch.targets.shape, int(batch.mask[0].sum())
        ((32, 128, 320), (32, 128), 40)

    Source: section 3.2 and appendix E.

    Differences from the paper:
        - A pair is one step with two one-hot vectors; there key and value are tokens one after the other, which a model needs
          a short convolution or a first layer to join. Here the memory alone is asked.
        - All queries follow all pairs, each key is asked once, in random order; there the gaps between a pair and its query
          follow a power law.
        - Keys and values have vocabularies of their own sizes; there each has half of 8,192 tokens.
    """

    keys: int = 256
    values: int = 64
    max_length: int = 64
    lengths: tuple[int, int] | None = None

    def __post_init__(self):
        check_at_least(self, keys=1, values=2, max_length=1)
        if self.max_length > self.keys:
            raise ValueError(f"MultiQueryRecall.max_length is {self.max_length}; legal: 1 to {self.keys}, the number of keys")
        settle_range(self, "lengths", *self.legal_lengths, default=(min(4, self.max_length), self.max_length))

    input_size = property(lambda self: self.keys + self.values)
    output_size = property(lambda self: self.values)
    steps = property(lambda self: 2 * self.max_length)
    legal_lengths = property(lambda self: (1, self.max_length))

    def example(self, key: Array, length: Array) -> Batch:
        t, place = jnp.arange(self.steps), jnp.arange(self.max_length)
        keys_key, values_key, order_key = jax.random.split(key, 3)
        keys = jax.random.permutation(keys_key, self.keys)[: self.max_length]
        values = jax.random.randint(values_key, (self.max_length,), 0, self.values, jnp.int32)
        # A random order of the first `length` pairs; the others come behind them.
        order = jnp.argsort(jnp.where(place < length, jax.random.uniform(order_key, place.shape, jnp.float32), jnp.inf))
        shown, mask = t < length, (t >= length) & (t < 2 * length)
        pair = jnp.where(shown, t, order[jnp.clip(t - length, 0, self.max_length - 1)]) % self.max_length
        key_channels = jax.nn.one_hot(keys[pair], self.keys, dtype=jnp.float32) * (shown | mask)[:, None]
        value_channels = jax.nn.one_hot(values[pair], self.values, dtype=jnp.float32) * shown[:, None]
        return Batch(jnp.concatenate([key_channels, value_channels], -1), jnp.where(mask, values[pair], 0), mask)
