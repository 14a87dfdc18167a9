"""Language modelling on local text files: predict each character or word from those before it.

A data set is a folder with `train.txt` and `valid.txt`, plain or as `.txt.xz`, or a single such file. A single file, or a
folder with one of the two, is cut by position: the first nine tenths are for training, the rest is the validation split.
"""

import dataclasses
import lzma
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from diffmem.tasks import local
from diffmem.tasks.base import Batch, SymbolTask, check_at_least, settle_range

SPLITS = ("train", "valid")
UNKNOWN = "<unk>"


class Corpus(NamedTuple):
    """The symbols by number, 0 being the unknown one, and both splits as numbers."""

    symbols: tuple[str, ...]
    train: np.ndarray
    valid: np.ndarray


def characters(text: str) -> list[str]:
    """The text's characters."""
    return list(text)


def words(text: str) -> list[str]:
    """What blanks separate, and <eos> for the end of each line, as in WikiText."""
    return [word for line in text.splitlines() for word in (*line.split(), "<eos>")]


def read_splits(place: Path) -> tuple[str, str]:
    """The training and the validation text of a file or folder.

    Raises:
        FileNotFoundError: a folder without any of the files.
    """
    if place.is_dir():
        train, valid = ([file for file in _names(place, split) if file.is_file()] for split in SPLITS)
        if train and valid:
            return _read(train[0]), _read(valid[0])
        if not train and not valid:
            raise FileNotFoundError(f"{str(place)!r} has none of train.txt, train.txt.xz, valid.txt and valid.txt.xz")
        place = [*train, *valid][0]
    text = _read(place)
    cut = len(text) * 9 // 10
    return text[:cut], text[cut:]


def _names(folder: Path, split: str) -> list[Path]:
    return [folder / f"{split}.txt", folder / f"{split}.txt.xz"]


def _read(file: Path) -> str:
    return lzma.open(file, "rt", encoding="utf-8").read() if file.suffix == ".xz" else file.read_text(encoding="utf-8")


@lru_cache(maxsize=4)
def load(place: Path, vocabulary: int, tokenise) -> Corpus:
    """Reads a corpus; its symbols are the most frequent ones of the training split, at most vocabulary - 1."""
    train, valid = (tokenise(text) for text in read_splits(place))
    known = [symbol for symbol, _ in Counter(train).most_common() if symbol != UNKNOWN][: vocabulary - 1]
    number = {symbol: i for i, symbol in enumerate(known, 1)}
    kind = np.uint8 if vocabulary <= 256 else np.int32  # the numbers become part of a compiled program
    return Corpus((UNKNOWN, *known), *(np.array([number.get(s, 0) for s in split], kind) for split in (train, valid)))


@dataclass(frozen=True)
class _TextModel(SymbolTask):
    """What both language models share; `vocabulary` counts the unknown symbol, and need not be reached by the text."""

    vocabulary: int
    max_length: int = 64
    lengths: tuple[int, int] | None = None
    split: Literal["train", "valid"] = "train"
    path: str | None = None

    data: ClassVar[str]
    tokenise: ClassVar[staticmethod]

    def __post_init__(self):
        check_at_least(self, vocabulary=2, max_length=1)
        if self.split not in SPLITS:
            raise ValueError(f"{type(self).__name__}.split is {self.split!r}; legal: 'train', 'valid'")
        settle_range(self, "lengths", *self.legal_lengths, default=(self.max_length, self.max_length))

    input_size = property(lambda self: self.vocabulary)
    output_size = property(lambda self: self.vocabulary)
    steps = property(lambda self: self.max_length)
    legal_lengths = property(lambda self: (1, self.max_length))

    @property
    def corpus(self) -> Corpus:
        """The text as numbers.

        Raises:
            FileNotFoundError: there is no text; see `diffmem.tasks.local.find`.
            ValueError: a split that is shorter than a window.
        """
        corpus = load(local.find(self.data, self.path), self.vocabulary, self.tokenise)
        shortest = min(len(corpus.train), len(corpus.valid))
        if shortest <= self.max_length:
            raise ValueError(
                f"{type(self).__name__}.max_length is {self.max_length}, but a split has {shortest} symbols; it must be less"
            )
        return corpus

    def held_out(self):
        """The same task on the validation split."""
        return dataclasses.replace(self, split="valid")

    def example(self, key: Array, length: Array) -> Batch:
        numbers = jnp.asarray(getattr(self.corpus, self.split))
        start = jax.random.randint(key, (), 0, len(numbers) - self.max_length)
        batch = self._window(lax.dynamic_slice_in_dim(numbers, start, self.max_length + 1))
        mask = jnp.arange(self.max_length) < length
        return Batch(batch.inputs * mask[:, None], jnp.where(mask, batch.targets, 0), mask)

    def stream(self, batch: int) -> Iterator[Batch]:
        """The whole split once, in order: each row continues the same row of the batch before.

        For training with a state that is carried from batch to batch, and for a cost that no missing context raises.
        What does not fill `batch` rows of whole windows at the end is left out.

        Args:
            batch: number of rows.
        """
        numbers = getattr(self.corpus, self.split)
        windows = (len(numbers) - 1) // (batch * self.max_length)
        rows = len(numbers[:-1]) // batch if windows else 0
        window = jax.jit(jax.vmap(self._window))
        for start in range(0, windows * self.max_length, self.max_length):
            yield window(np.stack([numbers[b * rows + start :][: self.max_length + 1] for b in range(batch)]))

    def _window(self, numbers: Array) -> Batch:
        """T + 1 successive numbers as T inputs and targets."""
        hot = jax.nn.one_hot(numbers[:-1], self.vocabulary, dtype=jnp.float32)
        return Batch(hot, numbers[1:].astype(jnp.int32), jnp.ones(self.max_length, bool))


@dataclass(frozen=True)
class CharacterModel(_TextModel):
    """Predict each next character of a text.

        "to be", length 4           t   0 1 2 3
        inputs    character             t o _ b
        targets   character             o _ b e
        mask                            x x x x

    A sequence is a window at a random place of the text, met with an empty memory: its first predictions lack context. For
    the cost of a text in one piece carry the state along `stream`.

    Args:
        vocabulary: symbols, the unknown one included; the default is Tiny Shakespeare's 65 characters and that one.
        max_length: characters in a window; T = max_length.
        lengths: shortest and longest trained window; None: max_length only.
        split: "train" or "valid".
        path: the text, a file or folder; None: see `diffmem.tasks.local.find`, under the name tinyshakespeare.

    `metrics` also has the cost in bits of a character.

    Example:
        >>> task = CharacterModel(max_length=8, path=__file__)
        >>> task.sample(jax.random.key(0), 4, length=8).inputs.shape
        (4, 8, 66)

    Source: Karpathy 2015, char-rnn; Graves 2013, arXiv:1308.0850, section 3.

    Differences from the paper: none.
    """

    vocabulary: int = 66

    data: ClassVar[str] = "tinyshakespeare"
    tokenise: ClassVar[staticmethod] = staticmethod(characters)

    def metrics(self, logits: Array, batch: Batch) -> dict[str, Array]:
        found = super().metrics(logits, batch)
        return {**found, "bits_per_character": found["cross_entropy"] / np.log(2)}


@dataclass(frozen=True)
class WordModel(_TextModel):
    """Predict each next word of a text in the style of WikiText-2. As `CharacterModel`, with words.

        "the cat sat", length 3     t   0   1   2
        inputs    word                  the cat sat
        targets   word                  cat sat <eos>
        mask                            x   x   x

    Args:
        vocabulary: words, the unknown one included. Words are one-hot vectors: an input takes 4 bytes for each.
        max_length: words in a window; T = max_length.
        lengths: shortest and longest trained window; None: max_length only.
        split: "train" or "valid".
        path: the text, a file or folder; None: see `diffmem.tasks.local.find`, under the name wikitext-2.

    The perplexity is exp(cross_entropy).

    Example:
        >>> task = WordModel(vocabulary=50, max_length=8, path=__file__)
        >>> task.sample(jax.random.key(0), 4, length=8).inputs.shape
        (4, 8, 50)

    Source: Merity et al. 2016, Pointer Sentinel Mixture Models, arXiv:1609.07843.

    Differences from the paper:
        - only the most frequent words are told apart, so a perplexity compares with others at the same vocabulary only.
    """

    vocabulary: int = 2000
    max_length: int = 35

    data: ClassVar[str] = "wikitext-2"
    tokenise: ClassVar[staticmethod] = staticmethod(words)
