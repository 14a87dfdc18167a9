"""bAbI on the device: every distinct sentence encoded once, questions as rows of numbers."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from diffmem.models import QuestionAnswering
from diffmem.tasks.babi import TASKS, Examples, Story, Streams, Vocabulary, buckets, examples, files, stream_buckets, streams
from diffmem.tasks.babi.generate import generate
from diffmem.tasks.babi.kinds import exchange, kinds
from diffmem.tasks.babi.text import count_questions
from experiments.stories.config import StoryConfig

GENERATED = {"train": 900, "valid": 100}  # questions of the 1k setting; a split's place is its seed
STREAM_BUCKETS = 5  # of memories that take one input after another: the longest stream, half of it, a quarter, ..

Bucket = Examples | Streams


class Batch(NamedTuple):
    """Questions on the device: rows of the sentence tables; see `diffmem.tasks.babi.Examples`."""

    stories: jax.Array
    questions: jax.Array
    answers: jax.Array
    facts: jax.Array


class StreamBatch(NamedTuple):
    """Streams on the device; see `diffmem.tasks.babi.Streams`."""

    words: jax.Array
    asks: jax.Array
    begins: jax.Array
    ends: jax.Array
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
    train: tuple[Bucket, ...]
    valid: tuple[Bucket, ...]


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


def split(config: StoryConfig, told: dict[int, list[Story]], vocabulary: Vocabulary) -> tuple[Bucket, ...]:
    """The questions as arrays, in buckets of similar story length; stories beyond the memory's slots lose their oldest.

    Where the memory takes one input after another, the buckets are of similarly many.
    """
    sizes = config.sizes()
    if not config.streamed:
        return tuple(buckets(examples(told, vocabulary, slots=sizes[-1]), sizes))
    whole = streams(told, vocabulary, slots=sizes[-1], pondering=config.pondering, chunk=config.chunk)
    longest = whole.words.shape[1]
    return tuple(stream_buckets(whole, sorted({-(-longest // 2**k) for k in range(STREAM_BUCKETS)})))


def tasks_of(part: Bucket) -> np.ndarray:
    """The task of each question."""
    return np.repeat(part.tasks, (part.answers > 0).sum(1)) if isinstance(part, Streams) else part.tasks


def on_device(part: Bucket) -> Any:
    """The arrays that training needs: a `Batch`, or a `StreamBatch`."""
    if isinstance(part, Streams):
        return StreamBatch(*map(jnp.asarray, (part.words, part.asks, part.begins, part.ends, part.answers, part.facts)))
    return Batch(*map(jnp.asarray, (part.stories, part.questions, part.answers, part.facts)))


def kinds_of(data: Data) -> np.ndarray:
    """Which words of the training streams can be exchanged, by task [21, V]; see `diffmem.tasks.babi.kinds`."""
    said = np.zeros((len(TASKS) + 1, len(data.vocabulary)), bool)
    for part in data.train:
        assert isinstance(part, Streams)
        said[part.tasks[:, None], part.words.reshape(len(part.tasks), -1)] = True
    return kinds(data.vocabulary, said)


def exchanged(batch: StreamBatch, kind: jax.Array, key: jax.Array) -> StreamBatch:
    """One stream, its words exchanged for others of their `kind` [V]."""
    word = exchange(kind, key)
    return batch._replace(words=word[batch.words], answers=word[batch.answers])


def tables(model: QuestionAnswering, part: Bucket) -> Any:
    """The `Tables` of the distinct sentences; None for streams, which have words."""
    if isinstance(part, Streams):
        return None
    words = jnp.asarray(part.sentences)
    return Tables(model.encoder.sentence(words), model.encoder.question(words))


def told(batch: Batch, table: Tables, rows: jax.Array):
    """Story (oldest first, from rows that have the newest first), mask and question of one example, encoded."""
    oldest_first = rows[::-1]
    return table.sentences[oldest_first], oldest_first > 0, table.questions[batch.questions]
