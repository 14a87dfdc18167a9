"""Learning to execute: programs are read character by character, and their results written digit by digit.

In the drawings time runs rightwards, `.` is zero and `x` marks a step whose cost counts. While it answers, a model sees zeros.

Source: Zaremba & Sutskever 2014, Learning to Execute, arXiv:1410.4615; Santoro et al. 2018, section 4.2.
"""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from diffmem.base import check_choice
from diffmem.tasks.base import Batch, SymbolTask, check_at_least, settle_range

CHARACTERS = "0123456789+-*<>()[]=xforiels"
NOTHING = -1  # a place without a character
# What stands before the first operand, and before each of the numbers that follow it.
OPERATIONS = {
    "add": ("", ("+",)),
    "subtract": ("", ("-",)),
    "multiply": ("", ("*",)),
    "if less": ("", ("if", "<", "else")),
    "if greater": ("", ("if", ">", "else")),
    "for": ("x=", ("for[", "]x+=")),
}
ADD, SUBTRACT, MULTIPLY, LESS, GREATER, FOR = range(len(OPERATIONS))
# Each operation as often as it is drawn.
KINDS = {
    "addition": (ADD,),
    "control": (LESS, GREATER, FOR, FOR),
    "program": (ADD, ADD, SUBTRACT, SUBTRACT, MULTIPLY, MULTIPLY, LESS, GREATER, FOR, FOR),
}
LONGEST = 7  # digits of a number, so that 32 bits hold whatever is computed


def codes(words) -> np.ndarray:
    """Words as rows of character numbers, filled up with NOTHING."""
    rows = np.full((len(words), max(map(len, words))), NOTHING, np.int32)
    for row, word in zip(rows, words, strict=True):
        row[: len(word)] = [CHARACTERS.index(character) for character in word]
    return rows


BEFORE = codes([before for before, _ in OPERATIONS.values()])
BETWEEN = [codes([words[i] if i < len(words) else "" for _, words in OPERATIONS.values()]) for i in range(3)]
NUMBERS = np.array([len(words) for _, words in OPERATIONS.values()])  # that follow the first operand
OPEN, CLOSE = codes(["(", ")"])


def text_of(inputs: Array) -> list[str]:
    """Programs as text.

    Args:
        inputs: [B, T, input_size], of a batch of a task in this file.
    """
    shown = np.asarray(inputs)
    return ["".join(CHARACTERS[c] for c, there in zip(row.argmax(-1), row.any(-1), strict=True) if there) for row in shown]


def random_digits(key: Array, shape: tuple[int, ...]) -> Array:
    """Numbers [*shape, digits] whose first digit is not 0."""
    return jax.random.randint(key, shape, (jnp.arange(shape[-1]) == 0).astype(int), 10)


def cut(digits: Array, length: Array) -> Array:
    """The first `length` digits, and then NOTHING."""
    return jnp.where(jnp.arange(digits.size) < length, digits, NOTHING)


def number(digits: Array) -> Array:
    """The value of digits."""
    there = digits != NOTHING
    return jnp.sum(jnp.where(there, digits * 10 ** jnp.maximum(there.sum() - 1 - jnp.arange(digits.size), 0), 0))


def multiply(value: Array, digits: Array, modulus: Array) -> Array:
    """The remainder of value * number(digits), without a large number in between."""

    def step(product, digit):
        return jnp.where(digit == NOTHING, product, (10 * product + value * digit) % modulus), None

    return jax.lax.scan(step, jnp.zeros_like(value), digits)[0]


def pack(text: Array, size: int) -> Array:
    """The characters of a text without gaps, [size]."""
    there = text != NOTHING
    return jnp.full(size, NOTHING).at[jnp.where(there, jnp.cumsum(there) - 1, size)].set(text, mode="drop")


def answered(text: Array, answer: Array, steps: int, characters: int) -> Batch:
    """One example: the text, and right after it the answer, both without gaps."""
    shown = pack(text, steps)
    begin, t = (shown != NOTHING).sum(), jnp.arange(steps)
    answer = pack(answer, steps)
    mask = (t >= begin) & (t - begin < (answer != NOTHING).sum())
    return Batch(jax.nn.one_hot(shown, characters), jnp.where(mask, answer[t - begin], 0), mask)


@dataclass(frozen=True)
class Programs(SymbolTask):
    """Evaluate a program of nested operations on numbers of `length` digits, modulo 10^(length + 1).

        length 2, (46 - 70) % 1000  t   0 1 2 3 4 5 6 7 8 9 10 11 12 ..
        inputs                          ( 1 2 + 3 4 ) - 7 0  .  .  . ..
        targets                         . . . . . . . . . .  9  7  6 ..
        mask                            . . . . . . . . . .  x  x  x ..

    Operations are a+b, a-b, a*b, `aifb<celsed` (or >), and `x=afor[n]x+=b`, which adds b to a n times, n from 1 to 9. The
    first operand of an operation is what the operation inside it gives, in parentheses; all others are numbers. Python's
    remainder makes a result that is below zero positive.

    Args:
        kind: "addition", "control" (if and for) or "program" (all operations).
        max_length: most digits of a number, at most 7.
        lengths: fewest and most digits in training; None: from 1 to max_length.
        nestings: fewest and most operations inside each other, one uniformly drawn for each program.

    Example:
        >>> batch = Programs("program").sample(jax.random.key(3), 2, length=3)
        >>> text_of(batch.inputs)
        ['161+282', 'x=524for[6]x+=353']
        >>> batch.targets[1, batch.mask[1]].tolist()  # 524 + 6 * 353
        [2, 6, 4, 2]

    Source: Santoro et al. 2018, section 4.2; operations, nesting and the modulus as in the example of the authors' library,
    `learn_to_execute`, whose "mix" curriculum is `lengths` from 1 and `nestings` from 1.

    Differences from the paper:
        - outputs are digits only, not all characters.
        - the curriculum is "mix" (Zaremba & Sutskever 2014, section 4), where the authors' example combines it with growing
          lengths.
    """

    kind: Literal["addition", "control", "program"] = "addition"
    max_length: int = 5
    lengths: tuple[int, int] | None = None
    nestings: tuple[int, int] = (1, 2)

    def __post_init__(self):
        check_choice(self, "kind", KINDS)
        check_at_least(self, max_length=1)
        if self.max_length > LONGEST:
            raise ValueError(f"Programs.max_length is {self.max_length}; legal: 1 to {LONGEST}")
        settle_range(self, "lengths", *self.legal_lengths)
        settle_range(self, "nestings", 1, 9)

    input_size = property(lambda self: len(CHARACTERS))
    output_size = property(lambda self: 10)
    legal_lengths = property(lambda self: (1, self.max_length))

    @property
    def steps(self) -> int:
        """The longest program and the longest answer."""
        added = 0
        for operation in KINDS[self.kind]:
            before, words = list(OPERATIONS.values())[operation]
            digits = self.max_length * (len(words) - (operation == FOR)) + (operation == FOR)
            added = max(added, len(before) + sum(map(len, words)) + digits)
        operations = self.nestings[1]
        return self.max_length + operations * added + 2 * (operations - 1) + self.max_length + 1

    def example(self, key: Array, length: Array) -> Batch:
        most = self.nestings[1]
        digit_key, operation_key, nesting_key = jax.random.split(key, 3)
        digits = random_digits(digit_key, (1 + 3 * most, self.max_length))
        operations = jax.random.choice(operation_key, jnp.array(KINDS[self.kind]), (most,))
        nesting = jax.random.randint(nesting_key, (), self.nestings[0], most + 1)
        text = cut(digits[0], length)
        value, modulus = number(text), 10 ** (length + 1)
        for level in range(most):
            more = digits[1 + 3 * level : 4 + 3 * level]
            after, result = self._operation(operations[level], more, length, modulus, text, value, nested=level > 0)
            used = level < nesting
            text = jnp.where(used, after, jnp.pad(text, (0, after.size - text.size), constant_values=NOTHING))
            value = jnp.where(used, result, value)
        powers = 10 ** jnp.arange(self.max_length, -1, -1)
        answer = jnp.where((value >= powers) | (powers == 1), value // powers % 10, NOTHING)
        return answered(text, answer, self.steps, len(CHARACTERS))

    def _operation(self, operation, digits, length, modulus, text, value, nested):
        """An operation whose first operand is `text`, worth `value`: its own text and value."""
        a, b, c = cut(digits[0], jnp.where(operation == FOR, 1, length)), cut(digits[1], length), cut(digits[2], length)
        number_a, number_b, number_c = number(a), number(b), number(c)
        results = {
            ADD: value + number_a,
            SUBTRACT: value - number_a,
            MULTIPLY: multiply(value, a, modulus),
            LESS: jnp.where(number_a < number_b, value, number_c),
            GREATER: jnp.where(number_a > number_b, value, number_c),
            FOR: value + number_a * number_b,
        }
        value = jnp.stack([results[i] for i in range(len(OPERATIONS))])[operation] % modulus
        parts = [jnp.asarray(BEFORE)[operation], OPEN, text, CLOSE] if nested else [jnp.asarray(BEFORE)[operation], text]
        for i, more in enumerate((a, b, c)):
            there = i < jnp.asarray(NUMBERS)[operation]
            parts += [jnp.asarray(BETWEEN[i])[operation], jnp.where(there, more, NOTHING)]
        return jnp.concatenate(parts), value


@dataclass(frozen=True)
class Memorisation(SymbolTask):
    """Say a number again: as it was, backwards, or twice.

        "reverse", length 3     t   0 1 2 3 4 5 6 ..
        inputs                      4 0 7 . . . . ..
        targets                     . . . 7 0 4 . ..
        mask                        . . . x x x . ..

    Args:
        kind: "copy", "reverse" or "double".
        max_length: most digits; T = 2 max_length, or 3 max_length for "double".
        lengths: fewest and most digits in training; None: from 1 to max_length.

    Example:
        >>> batch = Memorisation("double").sample(jax.random.key(0), 1, length=3)
        >>> text_of(batch.inputs), batch.targets[0, batch.mask[0]].tolist()
        (['217'], [2, 1, 7, 2, 1, 7])

    Source: Zaremba & Sutskever 2014, section 3.2; Santoro et al. 2018, section 4.2.

    Differences from the paper:
        - inputs and outputs are digits only, and a step of zeros marks the end, as in the example of the authors' library.
    """

    kind: Literal["copy", "reverse", "double"] = "copy"
    max_length: int = 10
    lengths: tuple[int, int] | None = None

    def __post_init__(self):
        check_choice(self, "kind", ("copy", "reverse", "double"))
        check_at_least(self, max_length=1)
        settle_range(self, "lengths", *self.legal_lengths)

    input_size = property(lambda self: 10)
    output_size = property(lambda self: 10)
    steps = property(lambda self: (3 if self.kind == "double" else 2) * self.max_length)
    legal_lengths = property(lambda self: (1, self.max_length))

    def example(self, key: Array, length: Array) -> Batch:
        digits = cut(random_digits(key, (self.max_length,)), length)
        answer = {"copy": digits, "reverse": digits[::-1], "double": jnp.tile(digits, 2)}[self.kind]
        return answered(digits, answer, self.steps, 10)
