"""Dynamic N-grams: predict the next bit of a source whose statistics are new in every sequence.

Source: Graves, Wayne, Danihelka 2014, Neural Turing Machines, arXiv:1410.5401, section 4.4.
"""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from jax import Array, lax

from diffmem.tasks.base import Batch, BitTask, bits_per_sequence, check_at_least, settle_range


@dataclass(frozen=True)
class NGrams(BitTask):
    """Predict each bit of a random N-gram source from the bits before it.

        order 3, length 6, max_length 8     t   0 1 2 3 4 5 6 7
        inputs    previous bit                  . a b c d e . .
        targets   bit                           a b c d e f . .
        mask                                    x x x x x x . .

    Each sequence draws a table of 2^(order - 1) probabilities from Beta(1/2, 1/2). Its first order - 1 bits (a, b) are
    fair; each later one is 1 with the probability that the table gives for the order - 1 bits before it. A length is
    the number of bits.

    No predictor does better on average than the Bayes estimator of `optimal_predictions`. For 6-grams of 200 bits it
    costs 133.0 bits a sequence (20,000 sequences, standard error 0.3; single sequences deviate by 36): 128.0 for the
    195 bits drawn from the table and exactly 5 for the first 5.

    Args:
        order: bits in an N-gram, 1 to 16: the one predicted and the order - 1 of its context.
        max_length: number of bits the padded sequence has room for; T = max_length.
        lengths: shortest and longest trained length; None: max_length only, or all lessons.
        by_lesson: whether a length is the number of a lesson, from 1, and `lengths` are the lessons trained on: in lesson k all
            max_length bits are there, and the table looks at the last k bits of the context only, so that 2^k statistics have
            to be told apart. The last lesson, order - 1, is the task itself, which evaluation is on.

    Example:
        >>> batch = NGrams().sample(jax.random.key(0), 32, length=200)
        >>> batch.inputs.shape, batch.targets.shape, NGrams().optimal_predictions(batch).shape
        ((32, 200, 1), (32, 200, 1), (32, 200, 1))

    Differences from the paper:
        - Which predictions are scored is not stated. Here all are, also those of the first 5 bits, which cost 1 bit
          each at best: the optimum then agrees with the 133 bits of figure 13 (without them it is 128). To score the
          first bit there is a step before any bit was seen, with input 0.
        - The figure's validation set of 1,000 sequences knows the optimum to within 1.1 bits (standard error). Compare
          a model with `optimal_bits_per_sequence` of the same batch rather than with 133.
    """

    order: int = 6
    max_length: int = 200
    lengths: tuple[int, int] | None = None
    by_lesson: bool = False

    def __post_init__(self):
        check_at_least(self, order=2 if self.by_lesson else 1, max_length=1)
        if self.order > 16:  # the table, and the counts of every context at every step, must fit in memory
            raise ValueError(f"NGrams.order is {self.order}; legal: 1 to 16")
        whole = None if self.by_lesson else (self.max_length, self.max_length)
        settle_range(self, "lengths", *self.legal_lengths, default=whole)

    input_size = property(lambda self: 1)
    output_size = property(lambda self: 1)
    steps = property(lambda self: self.max_length)
    legal_lengths = property(lambda self: (1, self.order - 1 if self.by_lesson else self.max_length))
    contexts = property(lambda self: 2 ** (self.order - 1))

    def held_out(self):
        return replace(self, by_lesson=False, lengths=None) if self.by_lesson else self

    def example(self, key: Array, length: Array) -> Batch:
        t = jnp.arange(self.steps)
        table_key, bits_key = jax.random.split(key)
        # Beta(1/2, 1/2) is the arcsine law, sin^2 of a uniform angle: exact, and no rejection sampling.
        angles = jax.random.uniform(table_key, (self.contexts,), jnp.float32, 0.0, jnp.pi / 2)
        table = jnp.sin(angles) ** 2
        if self.by_lesson:
            table = table[jnp.arange(self.contexts) % (1 << length)]

        def draw(context, step):
            t, uniform = step
            bit = uniform < jnp.where(t < self.order - 1, 0.5, table[context])
            return (2 * context + bit) % self.contexts, bit

        uniforms = jax.random.uniform(bits_key, t.shape, jnp.float32)
        _, bits = lax.scan(draw, jnp.int32(0), (t, uniforms))
        mask = t < (self.max_length if self.by_lesson else length)
        previous = jnp.roll(bits, 1).at[0].set(False)
        inputs, targets = ((mask & values).astype(jnp.float32)[:, None] for values in (previous, bits))
        return Batch(inputs, targets, mask)

    def optimal_predictions(self, batch: Batch) -> Array:
        """The Bayes estimator's probability that each bit is 1, given the bits before it.

            P(B = 1 | N1, N0, c) = (N1 + 1/2) / (N1 + N0 + 1)

        N1 and N0 are the ones and zeros that followed the context c so far. Without a whole context it is 1/2. In the lessons
        before the last it is not the best predictor, as it does not know that fewer bits matter.

        Returns:
            [B, T, 1]; at masked-out steps a probability without meaning.

        Source: equation 10.
        """
        return jax.vmap(self._optimal_predictions)(batch.inputs, batch.targets)

    def _optimal_predictions(self, inputs: Array, targets: Array) -> Array:
        previous, t = inputs[:, 0].astype(jnp.int32), jnp.arange(len(inputs))
        # Rolling wraps around only where the context is not whole yet.
        context = sum((jnp.roll(previous, age) << age for age in range(self.order - 1)), jnp.zeros_like(previous))
        now = jax.nn.one_hot(context, self.contexts) * (t >= self.order - 1)[:, None]

        def before(events):  # [T, contexts] -> [T, 1]: how many in this context, this step's own excluded
            return (now * (jnp.cumsum(events, 0) - events)).sum(1, keepdims=True)

        return (before(now * targets) + 0.5) / (before(now) + 1)

    def optimal_bits_per_sequence(self, batch: Batch) -> Array:
        """[B]: what the Bayes estimator pays for each sequence, in bits."""
        probability = self.optimal_predictions(batch)
        return bits_per_sequence(jnp.log(probability) - jnp.log1p(-probability), batch)

    def metrics(self, logits: Array, batch: Batch) -> dict[str, Array]:
        """Those of every task, and `optimal_bits_per_sequence` on the same sequences: the floor for the cost."""
        optimum = self.optimal_bits_per_sequence(batch).mean()
        return {**super().metrics(logits, batch), "optimal_bits_per_sequence": optimum}
