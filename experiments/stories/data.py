"""bAbI on the device: every distinct sentence encoded once, questions as rows of numbers."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffmem.models import QuestionAnswering, Stream
from diffmem.tasks.babi import Examples, Story, Vocabulary, buckets, examples, files
from diffmem.tasks.babi.generate import generate
from diffmem.tasks.babi.text import count_questions
from experiments.stories.config import StoryConfig

GENERATED = {"train": 900, "valid": 100}  # questions of the 1k setting; a split's place is its seed
WORD_BUCKETS = 5  # of memories that take word after word: the longest stream, half of it, a quarter, ..


class Batch(NamedTuple):
    """Questions on the device: rows of the sentence tables; see `diffmem.tasks.babi.Examples`."""

    stories: jax.Array
    questions: jax.Array
    answers: jax.Array
    facts: jax.Array


class Tables(NamedTuple):
    """Every distinct sentence, encoded once: [S, ...] as part of a story, [S, ...] as a question."""

    sentences: jax.Array
    questions: jax.Array


@dataclass(frozen=True)
class Data:
    """What one model is trained and validated on."""

    vocabulary: Vocabulary
    train: tuple[Examples, ...]
    valid: tuple[Examples, ...]


def is_generated(data_dir: str | None = None) -> bool:
    """Whether the stories come from our own generator: where there is no copy of bAbI, and none was named."""
    return files.find(data_dir) is None


@lru_cache
def stories(tasks: tuple[int, ...], setting: str, split: str, data_dir: str | None = None) -> dict[int, list[Story]]:
    """The stories of a split, by task, in the data set's own division of the training questions into train and valid.

    Without a copy of bAbI they are generated, as many questions as the data set has.
    """
    if is_generated(data_dir):
        questions = GENERATED[split] * (10 if setting == "10k" else 1)
        return {task: generate(task, questions, seed=list(GENERATED).index(split)) for task in tasks}
    folder = "en-valid-10k" if setting == "10k" else "en-valid"
    return {task: read(task, split, folder, data_dir) for task in tasks}


def read(task: int, split: str, folder: str, data_dir: str | None = None) -> list[Story]:
    """One task's stories.

    The 10k training file of task 3 is not in every copy of the data set. Where it is missing, the 1k training stories
    that are not among the 10k validation stories are filled up to 9,000 questions by our own generator.
    """
    if (task, split, folder) != (3, "train", "en-valid-10k") or files.has(task, split, folder, data_dir):
        return files.read(task, split, folder, data_dir)
    held_out = {story.sentences for story in files.read(3, "valid", folder, data_dir)}
    real = [story for story in files.read(3, "train", "en", data_dir) if story.sentences not in held_out]
    return real + generate(3, 9000 - count_questions(real), seed=1)


def load(config: StoryConfig, data_dir: str | None = None) -> Data:
    """The arrays of one model's tasks."""
    train, valid = (stories(config.tasks, config.setting, split, data_dir) for split in ("train", "valid"))
    vocabulary = Vocabulary.of([story for told in (*train.values(), *valid.values()) for story in told])
    return Data(vocabulary, split(config, train, vocabulary), split(config, valid, vocabulary))


def split(config: StoryConfig, told: dict[int, list[Story]], vocabulary: Vocabulary) -> tuple[Examples, ...]:
    """The questions as arrays, in buckets of similar story length; stories beyond the memory's slots lose their oldest.

    Where the memory takes word after word, the buckets are of similarly many words.
    """
    sizes = config.sizes()
    parts = buckets(examples(told, vocabulary, slots=sizes[-1]), sizes)
    if not isinstance(config.model(vocabulary).encoder, Stream):
        return tuple(parts)
    whole = joined([as_words(part, len(vocabulary)) for part in parts])
    longest = whole.stories.shape[1]
    return tuple(buckets(whole, sorted({-(-longest // 2**k) for k in range(WORD_BUCKETS)})))


def as_words(part: Examples, vocabulary: int) -> Examples:
    """The same questions with every word as a sentence of its own, the question's words as the newest: no padding within."""
    story = part.sentences[part.stories][:, :, ::-1].reshape(len(part.stories), -1)  # from the newest word to the oldest
    words = np.concatenate([part.sentences[part.questions][:, ::-1], story], 1)
    words = np.take_along_axis(words, np.argsort(words == 0, axis=1, kind="stable"), 1)
    words = words[:, : (words > 0).sum(1).max()]
    alone = np.arange(vocabulary, dtype=words.dtype)[:, None]
    return part._replace(
        sentences=alone, stories=words, questions=np.zeros_like(part.questions), facts=np.full_like(part.facts, -1)
    )


def joined(parts: list[Examples]) -> Examples:
    """All questions of parts that share their sentences."""
    longest = max(part.stories.shape[1] for part in parts)
    padded = [np.pad(part.stories, ((0, 0), (0, longest - part.stories.shape[1]))) for part in parts]
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in ("questions", "answers", "facts", "tasks")
    }
    return Examples(parts[0].sentences, np.concatenate(padded), **columns)


def on_device(part: Examples) -> Batch:
    """The arrays that training needs."""
    return Batch(*map(jnp.asarray, (part.stories, part.questions, part.answers, part.facts)))


def tables(model: QuestionAnswering, part: Examples) -> Tables:
    """The distinct sentences, encoded."""
    words = jnp.asarray(part.sentences)
    return Tables(model.encoder.sentence(words), model.encoder.question(words))


def told(batch: Batch, table: Tables, rows: jax.Array):
    """Story (oldest first, from rows that have the newest first), mask and question of one example, encoded."""
    oldest_first = rows[::-1]
    return table.sentences[oldest_first], oldest_first > 0, table.questions[batch.questions]
