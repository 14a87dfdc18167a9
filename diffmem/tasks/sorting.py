"""Sorting by frequency: which symbols came up most often in a sequence too long to be seen at once.

Source: Martins, Marinho, Martins 2022, infinity-former: Infinite Memory Transformer, arXiv:2109.00301, section 4.1; Park & Bak
2024, Memoria, arXiv:2310.03052, section 4.1.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from diffmem.tasks.base import Batch, SymbolTask, check_at_least, settle_range


@dataclass(frozen=True)
class FrequencySort(SymbolTask):
    """Given symbols whose frequencies drift, answer with all symbols, the most frequent one first.

        4 symbols, length 10        t   0 1 2 3 4 5 6 7 8 9 10 11 12 13
        inputs    symbol                b b a b c b a a c d .  .  .  .
                  rank asked for        . . . . . . . . . . 1  2  3  4
        targets                         . . . . . . . . . . b  a  c  d
        mask                            . . . . . . . . . . x  x  x  x

    The symbol at step t of a sequence of L comes from the distribution (1 - t/L) p + (t/L) q, where p and q are drawn for each
    sequence, uniformly from all distributions: the end of a sequence does not tell its beginning. Symbols that come up equally
    often are in the order of the alphabet.

    A length is a number of symbols before the answer, which takes as many steps as there are different symbols.

    Args:
        symbols: size of the alphabet, and length of the answer.
        max_length: symbols that the padded sequence has room for; T = max_length + symbols.
        lengths: fewest and most symbols trained on; None: max_length only.

    Example:
        >>> batch = FrequencySort(symbols=4, max_length=20).sample(jax.random.key(0), 32, length=10)
        >>> batch.inputs.shape, batch.targets.shape, batch.mask.sum(1)[0].item()
        ((32, 24, 8), (32, 24), 4)

    Differences from the paper:
        - all ranks are asked for at once, each by its number; the papers' models say one symbol after another and see what they
          have said.
        - how the papers draw their distributions is not printed; here uniformly from the simplex.
    """

    symbols: int = 20
    max_length: int = 1004
    lengths: tuple[int, int] | None = None

    def __post_init__(self):
        check_at_least(self, symbols=2, max_length=1)
        settle_range(self, "lengths", *self.legal_lengths, default=(self.max_length, self.max_length))

    input_size = property(lambda self: 2 * self.symbols)
    output_size = property(lambda self: self.symbols)
    steps = property(lambda self: self.max_length + self.symbols)
    legal_lengths = property(lambda self: (1, self.max_length))

    def example(self, key: Array, length: Array) -> Batch:
        first_key, last_key, draw_key = jax.random.split(key, 3)
        first, last = (jax.random.dirichlet(k, jnp.ones(self.symbols)) for k in (first_key, last_key))
        t, length = jnp.arange(self.steps), jnp.asarray(length, jnp.int32)
        drift = jnp.minimum(t / length, 1)[:, None]
        # The inverse of the distribution function: far cheaper than as many Gumbel variables as there are symbols.
        below = jnp.cumsum((1 - drift) * first + drift * last, -1)
        symbol = jnp.minimum((jax.random.uniform(draw_key, (self.steps, 1)) > below).sum(-1), self.symbols - 1)

        shown, rank = t < length, t - length
        mask = (rank >= 0) & (rank < self.symbols)
        counts = (jax.nn.one_hot(symbol, self.symbols, dtype=jnp.int32) * shown[:, None].astype(jnp.int32)).sum(0)
        order = jnp.argsort(-counts, stable=True)
        code = jnp.where(shown, symbol, jnp.where(mask, self.symbols + rank, -1))  # -1: no input at all
        targets = jnp.where(mask, order[jnp.clip(rank, 0, self.symbols - 1)], 0)
        return Batch(jax.nn.one_hot(code, self.input_size, dtype=jnp.float32), targets.astype(jnp.int32), mask)
