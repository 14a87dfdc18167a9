"""Relational reasoning over time: the nth farthest vector.

In the drawing time runs rightwards and `x` marks the step whose cost counts.
"""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from jax import Array

from diffmem.tasks.base import Batch, SymbolTask, channels, check_at_least, settle_range


@dataclass(frozen=True)
class NthFarthest(SymbolTask):
    """Which of the vectors is the nth farthest from vector m? Vectors, labels and question are new in every sequence.

        length 3, max_length 3: the 2nd farthest from vector "0"

                                    t   0   1   2
        inputs    vector                v   u   w         3 points in vector_size dimensions
                  label, one-hot        2   0   1
                  m, one-hot            0   0   0         the reference is u
                  n, one-hot            1   1   1         0 would be the farthest, 2 is the reference itself
        targets                         .   .   2         if |w - u| > |v - u| > 0
        mask                            .   .   x

    The question is part of every input. The reference is known once the last vector has come, so that distances have to be
    taken between vectors in memory, and sorted.

    Args:
        max_length: number of vectors the padded sequence has room for, and of labels; T = max_length.
        vector_size: numbers in a vector, uniform in -1..1.
        lengths: fewest and most vectors in training; None: always max_length, or all lessons.
        every_step: also ask after every vector, about those that have come, wherever that has an answer: an easier way to the
            same task. Metrics count the last step only.
        by_lesson: whether a length is the number of a lesson, from 1, see `lessons`, and `lengths` are the lessons trained on.
            Evaluation is on the task without them.

    Example:
        >>> batch = NthFarthest().sample(jax.random.key(0), 32, length=8)
        >>> batch.inputs.shape, batch.targets.shape, batch.mask[0].tolist()
        ((32, 8, 40), (32, 8), [False, False, False, False, False, False, False, True])

    Source: Santoro et al. 2018, section 4.1: 8 vectors of 16 numbers, and of 32.

    Differences from the paper:
        - none known. The example in the authors' library asks for something else: its target is the rank of the distance of
          the vector with label n, and its distances are sorted from the nearest.
    """

    max_length: int = 8
    vector_size: int = 16
    lengths: tuple[int, int] | None = None
    every_step: bool = False
    by_lesson: bool = False

    def __post_init__(self):
        check_at_least(self, max_length=2, vector_size=1)
        whole = None if self.by_lesson else (self.max_length, self.max_length)
        settle_range(self, "lengths", *self.legal_lengths, default=whole)

    input_size = property(lambda self: self.vector_size + 3 * self.max_length)
    output_size = property(lambda self: self.max_length)
    steps = property(lambda self: self.max_length)
    legal_lengths = property(lambda self: (1, len(self.lessons)) if self.by_lesson else (2, self.max_length))

    @property
    def lessons(self) -> list[tuple[int, int]]:
        """How many vectors there are at most, and how many of their numbers are not zero, in each lesson of a curriculum.

        Distances of three vectors, first on a line, then in more and more dimensions; then of three to all. A model that has
        found out what a distance is in few dimensions adds one to them easily; in sixteen at once that takes it very long.
        Numbers are larger where there are fewer, so that the vectors of all lessons are equally long.
        """
        few = min(3, self.max_length)
        sizes = [size for size in (1, 2, 3, 4, 6, 8, 11, 16, 23) if size < self.vector_size]
        return [*((few, size) for size in [*sizes, self.vector_size]), (self.max_length, self.vector_size)]

    def held_out(self):
        return replace(self, by_lesson=False, lengths=None) if self.by_lesson else self

    def example(self, key: Array, length: Array) -> Batch:
        count, numbers = jnp.asarray(self.lessons)[length - 1] if self.by_lesson else (length, self.vector_size)
        vector_key, label_key, reference_key, rank_key = jax.random.split(key, 4)
        if self.by_lesson:
            count = jax.random.randint(jax.random.fold_in(rank_key, 0), (), self.lessons[0][0], count + 1)
        t = jnp.arange(self.max_length)
        vectors = jax.random.uniform(vector_key, (self.max_length, self.vector_size), jnp.float32, -1.0, 1.0)
        if self.by_lesson:  # few numbers are stretched, so that vectors are as long as they will be
            stretch = jnp.sqrt(self.vector_size / numbers)
            vectors = jnp.where(jnp.arange(self.vector_size) < numbers, stretch * vectors, 0)
        labels = jax.random.permutation(label_key, self.max_length)
        reference, rank = (jax.random.randint(one, (), 0, count) for one in (reference_key, rank_key))
        distances = jnp.sum((vectors - vectors[reference]) ** 2, -1)
        # Row t: the vectors up to t from the farthest to the nearest, and then those that are still to come.
        order = jnp.argsort(jnp.where(t <= t[:, None], -distances, 1.0), -1)
        question = jax.nn.one_hot(jnp.stack([labels[reference], rank]), self.max_length).reshape(1, -1)
        shown = channels(vectors, jax.nn.one_hot(labels, self.max_length), jnp.repeat(question, self.max_length, 0))
        mask = (t < count) & (t >= jnp.maximum(reference, rank)) if self.every_step else t == count - 1
        targets = jnp.where(mask, labels[order[:, rank]], 0).astype(jnp.int32)
        return Batch(jnp.where(t[:, None] < count, shown, 0.0), targets, mask)

    def metrics(self, logits: Array, batch: Batch) -> dict[str, Array]:
        """Those of a `SymbolTask`, at the last scored step of each sequence."""
        last = jnp.cumsum(batch.mask[:, ::-1], 1)[:, ::-1] == 1
        return super().metrics(logits, batch._replace(mask=batch.mask & last))
