"""Pattern completion: patterns are shown, then a part of one of them, and the rest is asked for.

Source: Miconi, Clune, Stanley 2018, Differentiable plasticity, arXiv:1804.02464, sections 4.1 and 4.2.
"""

import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from diffmem.tasks import local
from diffmem.tasks.base import Batch, BitTask, check_at_least, random_bits, settle_range

SIDE = 105  # pixels of an Omniglot image
HELD_OUT = 6  # alphabets, the last ones


@dataclass(frozen=True)
class _Completion(BitTask):
    """What both tasks share; a subclass says what the patterns are and which bits are hidden."""

    max_length: int = 5
    lengths: tuple[int, int] | None = None
    cycles: int = 2
    show: int = 3
    gap: int = 1

    def __post_init__(self):
        check_at_least(self, max_length=1, cycles=1, show=1, gap=0)
        settle_range(self, "lengths", *self.legal_lengths, default=(self.max_length, self.max_length))

    input_size = property(lambda self: self._size)
    output_size = property(lambda self: self._size)
    steps = property(lambda self: self.cycles * self.max_length * (self.show + self.gap) + self.show)
    legal_lengths = property(lambda self: (1, self.max_length))

    def example(self, key: Array, length: Array) -> Batch:
        pattern_key, order_key, query_key, part_key = jax.random.split(key, 4)
        patterns = self._patterns(pattern_key)
        # In every cycle another order; patterns beyond the length come last and are never shown.
        ranks = jax.random.uniform(order_key, (self.cycles, self.max_length), jnp.float32)
        order = jnp.argsort(jnp.where(jnp.arange(self.max_length) < length, ranks, 2.0))
        query = jax.random.randint(query_key, (), 0, length)

        t = jnp.arange(self.steps)
        block, within = t // (self.show + self.gap), t % (self.show + self.gap)
        end = self.cycles * length * (self.show + self.gap)
        cycle = jnp.minimum(block // length, self.cycles - 1)
        shown = patterns[order[cycle, block % length]] * ((t < end) & (within < self.show))[:, None]
        part = jnp.where(self._hidden(part_key), 0, patterns[query]) * ((t >= end) & (t < end + self.show))[:, None]
        mask = t == end + self.show - 1
        return Batch(shown + part, (patterns[query] > 0) * mask[:, None].astype(jnp.float32), mask)

    @property
    def _size(self) -> int:
        """Bits in a pattern."""
        raise NotImplementedError

    def _patterns(self, key: Array) -> Array:
        """[max_length, bits], each -1 or 1."""
        raise NotImplementedError

    def _hidden(self, key: Array) -> Array:
        """[bits] bool: what the query does not show."""
        raise NotImplementedError


@dataclass(frozen=True)
class PatternCompletion(_Completion):
    """Random patterns of -1 and 1 are shown, several times in random order; then one of them with half its bits at 0.

        2 patterns, 2 cycles, show 2, gap 1     t   0 1 2 3 4 5 6 7 8 9 10 11 12 13
        inputs    pattern                           a a . b b . b b . a  a  .  b' b'
        targets   pattern                           . . . . . . . . . .  .  .  .  b
        mask                                        . . . . . . . . . .  .  .  .  x

    A length is a number of patterns. All bits of the answer are scored, also those that were shown.

    Args:
        max_length: patterns the padded sequence has room for; T = cycles max_length (show + gap) + show.
        lengths: fewest and most trained patterns; None: max_length only.
        cycles: how often each pattern is shown.
        show: steps of one showing.
        gap: silent steps after it.
        bits: size of a pattern.
        degraded: part of the bits that the query hides, more than 0 and less than 1.

    Example:
        >>> batch = PatternCompletion().sample(jax.random.key(0), 32, length=5)
        >>> batch.inputs.shape, batch.targets.shape, batch.mask.sum().item()
        ((32, 43, 50), (32, 43, 50), 32)

    Differences from the paper:
        - smaller: it has 1,000 bits, and shows longer; sizes here are options.
    """

    bits: int = 50
    degraded: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        check_at_least(self, bits=2)
        if not 0 < self.degraded < 1:
            raise ValueError(f"PatternCompletion.degraded is {self.degraded!r}; legal: more than 0, less than 1")

    _size = property(lambda self: self.bits)

    def _patterns(self, key: Array) -> Array:
        return 2 * random_bits(key, (self.max_length, self.bits)) - 1

    def _hidden(self, key: Array) -> Array:
        return jax.random.permutation(key, self.bits) < round(self.degraded * self.bits)


@dataclass(frozen=True)
class ImageCompletion(_Completion):
    """As `PatternCompletion`, with images of handwriting: the query hides the upper or the lower half.

    Ink is 1, paper -1. "strokes" draws two or three random curves for each image; "omniglot" takes handwritten characters,
    of the last 6 alphabets for the validation split and of the others for training, where the data are at hand.

    Args:
        max_length, lengths, cycles, show, gap: as there.
        side: pixels in a row and in a column; of "omniglot" a divisor of 105.
        images: "strokes" or "omniglot".
        split: "train" or "valid"; strokes are drawn afresh in both.
        path: a folder with Omniglot's background.npz; None: see `diffmem.tasks.local.find`, under the name omniglot.

    Example:
        >>> batch = ImageCompletion(max_length=3).sample(jax.random.key(0), 4, length=3)
        >>> batch.inputs.shape
        (4, 27, 225)

    Differences from the paper:
        - black and white characters; the paper has grey photographs of 32 x 32 pixels.
    """

    side: int = 15
    images: Literal["strokes", "omniglot"] = "strokes"
    split: Literal["train", "valid"] = "train"
    path: str | None = None

    def __post_init__(self):
        super().__post_init__()
        check_at_least(self, side=2)
        for field, legal in (("images", ("strokes", "omniglot")), ("split", ("train", "valid"))):
            if getattr(self, field) not in legal:
                raise ValueError(f"ImageCompletion.{field} is {getattr(self, field)!r}; legal: {legal[0]!r}, {legal[1]!r}")
        if self.images == "omniglot" and SIDE % self.side:
            raise ValueError(f"ImageCompletion.side is {self.side}; legal for omniglot: divisors of {SIDE}")

    _size = property(lambda self: self.side**2)

    def held_out(self):
        """The same task on the validation split."""
        return dataclasses.replace(self, split="valid")

    def _patterns(self, key: Array) -> Array:
        if self.images == "strokes":
            return jax.vmap(self._strokes)(jax.random.split(key, self.max_length))
        packed = jnp.asarray(omniglot(local.find("omniglot", self.path), self.side, self.split))
        # Distinct ones almost always: a repeated image among thousands changes no answer.
        chosen = packed[jax.random.randint(key, (self.max_length,), 0, len(packed))]
        return 2 * jnp.unpackbits(chosen, axis=1)[:, : self._size].astype(jnp.float32) - 1

    def _strokes(self, key: Array) -> Array:
        """Quadratic curves, inked where a pixel is nearer than 0.8 to one of their points."""
        point_key, number_key = jax.random.split(key)
        points = jax.random.uniform(point_key, (3, 3, 2), jnp.float32, 0.0, self.side - 1.0)
        s = jnp.linspace(0, 1, 2 * self.side, dtype=jnp.float32)
        weights = jnp.stack([(1 - s) ** 2, 2 * s * (1 - s), s**2])
        curves = jnp.einsum("cs,kcd->ksd", weights, points)
        pixels = jnp.stack(jnp.meshgrid(*[jnp.arange(self.side, dtype=jnp.float32)] * 2, indexing="ij"), -1)
        near = (((pixels[:, :, None, None] - curves) ** 2).sum(-1) < 0.64).any(-1)  # [side, side, curves]
        drawn = jnp.arange(3) < 2 + jax.random.bernoulli(number_key)
        return jnp.where((near & drawn).any(-1).ravel(), 1.0, -1.0).astype(jnp.float32)

    def _hidden(self, key: Array) -> Array:
        upper = jnp.arange(self.side) < self.side // 2
        rows = jnp.where(jax.random.bernoulli(key), upper, jnp.arange(self.side) >= (self.side + 1) // 2)
        return jnp.repeat(rows, self.side)


@lru_cache(maxsize=4)
def omniglot(folder: Path, side: int, split: str) -> np.ndarray:
    """The drawings of a split, shrunk to side x side and packed eight pixels a byte: [images, bytes] uint8.

    A small pixel is ink where any of those that it stands for is.
    """
    with np.load(folder / "background.npz", allow_pickle=False) as archive:
        alphabet, ink = archive["alphabet"], archive["ink"]
    valid = alphabet > alphabet.max() - HELD_OUT
    pixels = np.unpackbits(ink[valid == (split == "valid")], axis=1)[:, : SIDE**2]
    small = pixels.reshape(-1, side, SIDE // side, side, SIDE // side).max((2, 4))
    return np.packbits(small.reshape(-1, side**2), axis=1)
