"""What a task is: batches of sequences with a mask, the cost of an answer, and the checks every task shares.

Shapes: B batch, T time (the padded length), D channels.
"""

from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer


class Batch(NamedTuple):
    """Sequences of different lengths, padded to one shape: after its own end a sequence is zero and masked out.

    inputs: [B, T, input_size] float32.
    targets: [B, T, output_size] float32, each 0 or 1, of a `BitTask`; [B, T] int32 of a `SymbolTask`; [B, T, G] int32 of a
        `DigitTask`.
    mask: [B, T] bool, True where the cost counts.
    """

    inputs: Array
    targets: Array
    mask: Array


class Context(NamedTuple):
    """What several sequences of a batch begin with: it is run once, and they go on from the state that it leaves.

    All end at step P; before its start a shorter one is zero.

    inputs: [G, P, input_size] float32.
    starts: [G, P] bool, True where it begins: see `diffmem.unroll`.
    """

    inputs: Array
    starts: Array


class Task(Protocol):
    """A source of sequences and their cost; implementations are frozen, hashable dataclasses of static settings.

    A task is drawn for a maximum length and trained on `lengths`. To evaluate on longer sequences, replace the maximum;
    the training range stays: `dataclasses.replace(task, max_length=120)`.
    """

    @property
    def lengths(self) -> Any: ...  # shortest and longest trained length, both included

    @property
    def input_size(self) -> int: ...

    @property
    def output_size(self) -> int: ...

    @property
    def steps(self) -> int: ...  # T, whatever the length

    def sample(self, key: Array, batch: int, length: Any) -> Batch: ...

    def loss(self, logits: Array, batch: Batch) -> Array: ...

    def metrics(self, logits: Array, batch: Batch) -> dict[str, Array]: ...


class _DrawnTask:
    """What all tasks share that draw their sequences: a task only says what one sequence is.

    A subclass is a frozen dataclass with the sizes of `Task`, `legal_lengths`, and `example(key, length)`: one sequence
    as a `Batch` without the batch axis. `longest` names the field that its longest length follows from.
    """

    longest = "max_length"

    @property
    def legal_lengths(self) -> tuple[int, int]:
        """Shortest and longest length that `sample` accepts."""
        raise NotImplementedError

    def held_out(self):
        """The task to evaluate on: of a task with a finite data set, the one on its validation split."""
        return self

    def sample(self, key: Array, batch: int, length: Any) -> Batch:
        """Draws `batch` sequences; shapes depend on the task alone, so that jit compiles once for all lengths.

        Args:
            key: PRNG key.
            batch: number of sequences, static.
            length: int, or integer array of shape [] or [batch]; a traced one outside the legal range counts as its nearest
                end.

        Raises:
            ValueError: a length that is not traced lies outside the legal range.
        """
        lengths = per_sequence("length", length, batch, *self.legal_lengths)
        return draw(self, key, batch, lengths)


class BitTask(_DrawnTask):
    """A task whose targets are bits, each with a logit of its own."""

    def loss(self, logits: Array, batch: Batch) -> Array:
        """The mean over the batch of `bits_per_sequence`: a scalar to train on."""
        return bits_per_sequence(logits, batch).mean()

    def metrics(self, logits: Array, batch: Batch) -> dict[str, Array]:
        """Scalars by name, each a mean over the batch."""
        return {
            "bits_per_sequence": bits_per_sequence(logits, batch).mean(),
            "wrong_bits_per_sequence": wrong_bits_per_sequence(logits, batch).mean(),
        }


class SymbolTask(_DrawnTask):
    """A task whose targets are symbols 0..output_size-1, told apart by a softmax. The fields of a `BitTask`."""

    def loss(self, logits: Array, batch: Batch) -> Array:
        """The mean cross-entropy of a masked symbol, in nats: a scalar to train on."""
        return cross_entropy(logits, batch).sum() / jnp.maximum(batch.mask.sum(), 1)

    def metrics(self, logits: Array, batch: Batch) -> dict[str, Array]:
        """Scalars by name: wrong symbols in percent, sequences with a wrong symbol in percent, and the cross-entropy."""
        wrong = (jnp.argmax(logits, -1) != batch.targets) & batch.mask
        return {
            "error_percent": 100 * wrong.sum() / jnp.maximum(batch.mask.sum(), 1),
            "sequence_error_percent": 100 * wrong.any(-1).mean(),
            "cross_entropy": self.loss(logits, batch),
        }


class DigitTask(_DrawnTask):
    """A task whose targets are groups of digits 0..9, [B, T, G], each told apart by a softmax: logits [B, T, 10 G].

    An answer is all digits at all masked steps of a sequence, and right only as a whole. The fields of a `BitTask`.
    """

    def loss(self, logits: Array, batch: Batch) -> Array:
        """The mean cross-entropy of a masked step, in nats, summed over its digits: a scalar to train on."""
        return cross_entropy(*_digit_by_digit(logits, batch)).sum() / jnp.maximum(batch.mask.sum(), 1)

    def metrics(self, logits: Array, batch: Batch) -> dict[str, Array]:
        """Scalars by name: answers that are not right as a whole, and wrong digits, in percent, and the cross-entropy."""
        each, digits = _digit_by_digit(logits, batch)
        wrong = (jnp.argmax(each, -1) != digits.targets) & digits.mask
        return {
            "error_percent": 100 * wrong.any((1, 2)).mean(),
            "digit_error_percent": 100 * wrong.sum() / jnp.maximum(digits.mask.sum(), 1),
            "cross_entropy": self.loss(logits, batch),
        }


def _digit_by_digit(logits: Array, batch: Batch) -> tuple[Array, Batch]:
    """Logits [B, T, G, 10], and the batch with a mask for every digit, [B, T, G]."""
    expected = (*batch.targets.shape[:-1], 10 * batch.targets.shape[-1])
    if logits.shape != expected:
        raise ValueError(f"logits have shape {logits.shape}; legal: {expected}, ten for each of the targets' digits")
    mask = jnp.broadcast_to(batch.mask[..., None], batch.targets.shape)
    return logits.reshape(*batch.targets.shape, 10), batch._replace(mask=mask)


def cross_entropy(logits: Array, batch: Batch) -> Array:
    """-log p(target) in nats of each symbol, 0 where the mask is False.

    Args:
        logits: [B, T, output_size]. Values at masked-out steps have no influence, not even NaN on the gradient.
        batch: the sequences; targets [B, T] int.

    Returns:
        [B, T], float32 or wider.
    """
    if logits.shape[:-1] != batch.targets.shape:
        raise ValueError(f"logits have shape {logits.shape}; legal: {(*batch.targets.shape, 'output_size')}")
    logits = jnp.where(batch.mask[..., None], logits, 0).astype(jnp.promote_types(logits.dtype, jnp.float32))
    nats = -jnp.take_along_axis(jax.nn.log_softmax(logits), batch.targets[..., None], -1)[..., 0]
    return jnp.where(batch.mask, nats, 0)


def bits_per_sequence(logits: Array, batch: Batch) -> Array:
    """The cost of each sequence in bits: -sum log2 p(target) over the masked steps and all channels.

    Args:
        logits: [B, T, output_size]. Values at masked-out steps have no influence, not even NaN on the gradient.
        batch: the sequences; its float32 targets make a bfloat16 model's cost float32.

    Returns:
        [B], float32 or wider.

    Source: Graves et al. 2014, section 4: "bits per sequence" with a sigmoid output per channel.
    """
    check_logits(logits, batch)
    logits = jnp.where(batch.mask[..., None], logits, 0.0)  # here: a NaN's gradient would pass the `where` below
    nats = jax.nn.softplus((1 - 2 * batch.targets) * logits)  # -log p(target), exact near p = 1
    return jnp.where(batch.mask[..., None], nats, 0.0).sum((1, 2)) / np.log(2)


def wrong_bits_per_sequence(logits: Array, batch: Batch) -> Array:
    """How many masked bits of each sequence fall on the wrong side of logit 0 (a logit of 0 says "0").

    Args:
        logits: [B, T, output_size].
        batch: the sequences.

    Returns:
        [B], int32.
    """
    check_logits(logits, batch)
    wrong = (logits > 0) != (batch.targets > 0.5)
    return (wrong & batch.mask[..., None]).sum((1, 2), dtype=jnp.int32)


def sample_lengths(task: Task, key: Array, batch: int, lesson: Array | None = None) -> Array:
    """Draws [batch] training lengths, int32.

    Args:
        task: whose `lengths` they are from, both ends included.
        key: PRNG key.
        batch: how many.
        lesson: the longest length so far of a curriculum, may be traced: half of the lengths are this one, the others are
            uniform over those up to it. None: uniform over all.
    """
    low, high = task.lengths
    if lesson is None:
        return uniform_integers(key, batch, low, high)
    lesson_key, key = jax.random.split(key)
    earlier = jax.random.randint(key, (batch,), low, lesson + 1, dtype=jnp.int32)
    return jnp.where(jax.random.bernoulli(lesson_key, shape=(batch,)), lesson, earlier)


# --- for writing a task -----------------------------------------------------------------------------------------------


@partial(jax.jit, static_argnums=(0, 2))  # one compilation instead of dozens of small ones when called from a bare loop
def draw(task: Any, key: Array, batch: int, *lengths: Array) -> Batch:
    """`batch` examples of a task; `lengths` [batch] are what its `example` takes after the key."""
    return jax.vmap(task.example)(jax.random.split(key, batch), *lengths)


def random_bits(key: Array, shape: tuple[int, ...]) -> Array:
    """Fair bits, float32."""
    return jax.random.bernoulli(key, 0.5, shape).astype(jnp.float32)


def channels(*columns: Array) -> Array:
    """Columns [T] or [T, D], numbers or flags, side by side as float32."""
    return jnp.column_stack([column.astype(jnp.float32) for column in columns])


def uniform_integers(key: Array, batch: int, low: int, high: int) -> Array:
    """[batch] integers, int32, uniform over low..high with both ends included."""
    return jax.random.randint(key, (batch,), low, high + 1, dtype=jnp.int32)


def select(values: Array, index: Array, where: Array) -> Array:
    """values[index] at the steps in `where`, zero at the others.

    Args:
        values: [N, D].
        index: [T] integers; those outside 0..N-1 must be outside `where` too.
        where: [T] bool.

    Returns:
        [T, D].
    """
    return jnp.where(where[:, None], values[index], 0.0)


def per_sequence(name: str, value: Any, batch: int, low: int, high: int) -> Array:
    """An int or an array of shape [] or [batch] as [batch] int32: checked against low..high or, where traced, moved into it."""
    if not jnp.issubdtype(jnp.result_type(value), jnp.integer):
        raise ValueError(f"{name} is {value!r}; legal: integers from {low} to {high}")
    if not isinstance(value, Tracer) and np.any((np.asarray(value) < low) | (np.asarray(value) > high)):
        raise ValueError(f"{name} is {value!r}; legal: {low} to {high} (the task's maximum can be replaced)")
    if jnp.shape(value) not in ((), (batch,)):
        raise ValueError(f"{name} has shape {jnp.shape(value)}; legal: () or ({batch},)")
    return jnp.broadcast_to(jnp.clip(jnp.asarray(value, jnp.int32), low, high), (batch,))


def check_at_least(task: Any, **minimum: int) -> None:
    """Raises ValueError unless each named field of `task` is an integer of at least its minimum."""
    for field, low in minimum.items():
        value = getattr(task, field)
        if not isinstance(value, int) or value < low:
            raise ValueError(f"{type(task).__name__}.{field} is {value!r}; legal: integers from {low}")


def settle_range(task: Any, field: str, low: int, high: int, default: tuple[int, int] | None = None) -> None:
    """Turns the field None into `default` (low..high), and raises ValueError unless it is a range within low..high."""
    value = getattr(task, field)
    pair = (default or (low, high)) if value is None else value
    if not (isinstance(pair, (tuple, list)) and len(pair) == 2 and all(isinstance(end, int) for end in pair)):
        raise ValueError(f"{type(task).__name__}.{field} is {value!r}; legal: a pair of integers")
    if not low <= pair[0] <= pair[1] <= high:
        raise ValueError(f"{type(task).__name__}.{field} is {value!r}; legal: {low} <= first <= last <= {high}")
    object.__setattr__(task, field, tuple(pair))  # the one write to a frozen task, still inside its constructor


def check_logits(logits: Array, batch: Batch) -> None:
    """Raises ValueError where broadcasting would hide a missing axis."""
    if logits.shape != batch.targets.shape:
        raise ValueError(f"logits have shape {logits.shape}; legal: {batch.targets.shape}, the targets' [B, T, D]")
