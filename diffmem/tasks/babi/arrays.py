"""bAbI stories as padded integer arrays: questions, or streams.

As questions: every distinct sentence once, and every question as a list of their numbers. As streams, of words, of sentences
or of parts of them: a story with all that is asked about it, in order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from diffmem.tasks.babi.text import Question, Story, words

PADDING, UNKNOWN = 0, 1


@dataclass(frozen=True)
class Vocabulary:
    """Words and answers as numbers; an answer of several words ("n,s") is one entry, as in the MemN2N paper.

    Attributes:
        words: by number; number 0 is padding, number 1 stands for every unknown word.
        answers: numbers of the entries that are answers.
        length: words in the longest sentence.
    """

    words: tuple[str, ...]
    answers: tuple[int, ...]
    length: int

    @classmethod
    def of(cls, stories: Sequence[Story]) -> "Vocabulary":
        """Everything that occurs in the stories, sorted."""
        texts = {text for story in stories for text in (*story.sentences, *(question.text for question in story.questions))}
        split = [words(text) for text in texts]
        answers = {question.answer.lower() for story in stories for question in story.questions}
        entries = ("<padding>", "<unknown>", *sorted({word for one in split for word in one} | answers))
        number = {word: i for i, word in enumerate(entries)}
        return cls(entries, tuple(sorted(number[answer] for answer in answers)), max(map(len, split)))

    def __post_init__(self):
        object.__setattr__(self, "_number", {word: i for i, word in enumerate(self.words)})

    def __len__(self) -> int:
        return len(self.words)

    def number(self, word: str) -> int:
        """The word's number, UNKNOWN if it has none."""
        return self._number.get(word.lower(), UNKNOWN)  # ty: ignore[missing-attribute]

    def spelling(self) -> tuple[tuple[int, ...], ...]:
        """The words of each entry's answer as numbers of their own ("n,s": 1, 2), 0 at the end; () if all have one word."""
        spelled = [self.words[i].split(",") if i in self.answers else [] for i in range(len(self))]
        longest = max(map(len, spelled))
        number = {word: i + 1 for i, word in enumerate(sorted({word for one in spelled for word in one}))}
        numbers = ([number[word] for word in one] for one in spelled)
        return tuple((*one, *[0] * (longest - len(one))) for one in numbers) if longest > 1 else ()

    def encode(self, text: str) -> np.ndarray:
        """The words of a text as numbers [length]; what is longer than any known sentence is cut off."""
        numbers = [self.number(word) for word in words(text)][: self.length]
        return np.array(numbers + [PADDING] * (self.length - len(numbers)), np.int32)


class Examples(NamedTuple):
    """Q questions about stories of at most N sentences, S distinct sentences of at most J words.

    Attributes:
        sentences: [S, J] word numbers; row 0 is empty.
        stories: [Q, N] rows of `sentences`, the newest first; 0 where the story is shorter.
        questions: [Q] rows of `sentences`.
        answers: [Q] word numbers; UNKNOWN for an answer that is not in the vocabulary, which counts as an error.
        facts: [Q, F] where in the story the supporting facts are, in the file's order; -1 where there are fewer or where
            the story was cut off.
        tasks: [Q] task numbers.
    """

    sentences: np.ndarray
    stories: np.ndarray
    questions: np.ndarray
    answers: np.ndarray
    facts: np.ndarray
    tasks: np.ndarray


def examples(stories: Mapping[int, Sequence[Story]], vocabulary: Vocabulary, *, slots: int | None = None) -> Examples:
    """Turns the stories of each task into arrays.

    Args:
        stories: by task number.
        vocabulary: numbers of the words.
        slots: N; None: the longest story. Of longer stories the newest N sentences are kept.
    """
    rows: dict[str, int] = {"": 0}
    number = lambda text: rows.setdefault(text, len(rows))  # noqa: E731
    asked = [
        (task, [number(text) for text in story.sentences[: question.seen]], question)
        for task, told in stories.items()
        for story in told
        for question in story.questions
    ]
    slots = slots or max(len(told) for _, told, _ in asked)
    support = max((len(question.facts) for *_, question in asked), default=1) or 1
    told_array = np.zeros((len(asked), slots), np.int32)
    facts = np.full((len(asked), support), -1, np.int32)
    for i, (_, told, question) in enumerate(asked):
        newest = told[::-1][:slots]
        told_array[i, : len(newest)] = newest
        places = [len(told) - 1 - fact for fact in question.facts]
        facts[i, : len(places)] = [place if place < slots else -1 for place in places]
    questions = np.array([number(question.text) for *_, question in asked], np.int32)
    answers = np.array([vocabulary.number(question.answer) for *_, question in asked], np.int32)
    tasks = np.array([task for task, *_ in asked], np.int32)
    sentences = np.stack([vocabulary.encode(text) for text in rows])
    return Examples(sentences, told_array, questions, answers, facts, tasks)


def buckets(data: Examples, sizes: Sequence[int]) -> list[Examples]:
    """Splits the questions by story length, so that short stories are not padded to the longest.

    Args:
        data: all questions.
        sizes: lengths, growing; a story goes to the first bucket that holds it, and is cut to its newest sentences in the
            last one.

    Returns:
        One Examples per bucket that is not empty; they share `sentences`.
    """
    lengths = (data.stories > 0).sum(1)
    bucket = np.minimum(np.searchsorted(sizes, lengths), len(sizes) - 1)
    found = []
    for i, size in enumerate(sizes):
        chosen = bucket == i
        if chosen.any():
            facts = data.facts[chosen]
            found.append(
                Examples(
                    data.sentences,
                    data.stories[chosen][:, :size],
                    data.questions[chosen],
                    data.answers[chosen],
                    np.where(facts < size, facts, -1),
                    data.tasks[chosen],
                )
            )
    return found


class Streams(NamedTuple):
    """S streams of at most T inputs: stories, each with at most Q questions where they are asked.

    Attributes:
        words: [S, T] word numbers, or [S, T, J] where an input has several words; 0 where the stream is shorter.
        asks: [S, T] bool, whether an input is part of a question.
        begins: [S, T] bool, whether it is a question's first.
        ends: [S, Q] where each question has its last; 0 where there are fewer questions.
        answers: [S, Q] word numbers, as in `Examples`; 0 where there are fewer questions.
        facts: [S, Q, F, C] the inputs that each supporting fact consists of, in the file's order; -1 where there are fewer or
            where the story was cut off.
        tasks: [S] task numbers.
    """

    words: np.ndarray
    asks: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    answers: np.ndarray
    facts: np.ndarray
    tasks: np.ndarray


def streams(
    stories: Mapping[int, Sequence[Story]],
    vocabulary: Vocabulary,
    *,
    slots: int | None = None,
    pondering: int = 0,
    chunk: int = 0,
) -> Streams:
    """Turns the stories of each task into streams.

    Args:
        stories: by task number.
        vocabulary: numbers of the words.
        slots: questions about more sentences are about the newest of them, in a stream of their own; None: never.
        pondering: how often the last input of a question comes, in streams of sentences; 0: streams of words.
        chunk: how many words an input has, in streams of sentences; 0: all of the sentence's.
    """
    width = chunk or vocabulary.length
    asked_about = [question for told in stories.values() for story in told for question in story.questions]
    longest = max((len(question.facts) for question in asked_about), default=1) or 1

    def parts(text: str, times: int) -> list[Any]:
        numbers = [number for number in vocabulary.encode(text).tolist() if number]
        if not pondering or not numbers:
            return numbers
        chunks = [numbers[i : i + width] for i in range(0, len(numbers), width)]
        padded = [np.array(one + [PADDING] * (width - len(one)), np.int32) for one in chunks]
        return padded + padded[-1:] * (times - 1)

    rows: list[tuple[Any, ...]] = []
    for task, told in stories.items():
        for story in told:
            asked: dict[int, list[Question]] = {}
            for question in sorted(story.questions, key=lambda question: question.seen):
                asked.setdefault(max(question.seen - slots, 0) if slots else 0, []).append(question)
            for seen, questions in asked.items():
                words, begins, ends, facts = [], [], [], []
                places: dict[int, list[int]] = {}
                for question in questions:
                    for number, text in enumerate(story.sentences[seen : question.seen], seen):
                        said = parts(text, 1)
                        places[number] = list(range(len(words), len(words) + len(said)))
                        words += said
                    seen = question.seen
                    begins.append(len(words))
                    words += parts(question.text, pondering)
                    ends.append(len(words) - 1)
                    facts.append([places.get(fact, []) for fact in question.facts] + [[]] * (longest - len(question.facts)))
                answers = [vocabulary.number(question.answer) for question in questions]
                rows.append((words, begins, ends, answers, [task], facts))
    columns = zip(*rows, strict=True)
    words = _padded(next(columns), [PADDING] * width if pondering else 0)
    begins, ends, answers, tasks = (_padded(next(columns)) for _ in range(4))
    told_in = max(len(fact) for *_, facts in rows for question in facts for fact in question) or 1
    facts = np.full((*answers.shape, longest, told_in), -1, np.int16)
    for i, (*_, own) in enumerate(rows):
        for q, question in enumerate(own):
            for f, fact in enumerate(question):
                facts[i, q, f, : len(fact)] = fact
    place = np.arange(words.shape[1])[:, None]
    there = ((answers > 0) & (begins <= ends))[:, None]  # a question may have no words
    first = (place == begins[:, None]) & there
    asks = (place >= begins[:, None]) & (place <= ends[:, None]) & there
    return Streams(words, np.any(asks, -1), np.any(first, -1), ends, answers, facts, tasks[:, 0])


def _padded(rows: Sequence[list[Any]], padding: Any = 0) -> np.ndarray:
    longest = max(map(len, rows))
    return np.array([row + [padding] * (longest - len(row)) for row in rows], np.int32)


def stream_buckets(data: Streams, sizes: Sequence[int]) -> list[Streams]:
    """Splits the streams by their number of inputs, like `buckets`; the largest size must hold all."""
    lengths = (data.words > 0).reshape(*data.asks.shape, -1).any(-1).sum(1)
    bucket = np.searchsorted(sizes, lengths)
    parts = [Streams(*(column[bucket == i] for column in data)) for i in range(len(sizes))]

    def cut(part: Streams, size: int) -> Streams:
        return part._replace(words=part.words[:, :size], asks=part.asks[:, :size], begins=part.begins[:, :size])

    return [cut(part, size) for part, size in zip(parts, sizes, strict=True) if len(part.tasks)]
