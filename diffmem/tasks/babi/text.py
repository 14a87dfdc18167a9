"""The bAbI text format: reading it with errors that name file and line, and writing it.

A file holds stories. Each line is `ID text` or `ID question<tab>answer<tab>supporting IDs`; IDs grow by one and a line whose
ID is 1 begins a new story:

    1 Mary moved to the bathroom.
    2 John went to the hallway.
    3 Where is Mary?<tab>bathroom<tab>1

Source: Weston et al. 2015, "Towards AI-Complete Question Answering", arXiv:1502.05698.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

WORD = r"[a-z0-9'-]+"
# The data set's own names, in its order.
TASKS = (
    "single-supporting-fact",
    "two-supporting-facts",
    "three-supporting-facts",
    "two-arg-relations",
    "three-arg-relations",
    "yes-no-questions",
    "counting",
    "lists-sets",
    "simple-negation",
    "indefinite-knowledge",
    "basic-coreference",
    "conjunction",
    "compound-coreference",
    "time-reasoning",
    "basic-deduction",
    "basic-induction",
    "positional-reasoning",
    "size-reasoning",
    "path-finding",
    "agents-motivations",
)


class Question(NamedTuple):
    """A question about the story so far.

    Attributes:
        text: as written, question mark included.
        answer: one word, or several joined by commas (tasks 8 and 19).
        facts: the supporting sentences, as indices into `Story.sentences`, in the order of the file.
        seen: how many sentences of the story come before the question.
    """

    text: str
    answer: str
    facts: tuple[int, ...]
    seen: int


class Story(NamedTuple):
    """The sentences of a story, and the questions asked on the way."""

    sentences: tuple[str, ...]
    questions: tuple[Question, ...]


def words(text: str) -> list[str]:
    """The words of a sentence or question in lower case, without punctuation; "n,s" is two words."""
    return re.findall(WORD, text.lower())


def parse(lines: Iterable[str], name: str = "<lines>") -> Iterator[Story]:
    """Reads stories.

    Args:
        lines: of a bAbI file.
        name: what errors call the file.

    Yields:
        One story after another.

    Raises:
        ValueError: a damaged line; the message names file and line number and says what was expected.
    """
    sentences: list[str] = []
    questions: list[Question] = []
    place: dict[int, int] = {}  # line ID -> index of the sentence
    previous = 0

    def bad(number: int, expected: str) -> ValueError:
        return ValueError(f"{name}, line {number}: expected {expected}, found {line!r}")

    for number, line in enumerate(lines, 1):
        line = line.rstrip("\r\n")
        if not line.strip():
            continue
        head, _, rest = line.partition(" ")
        if not head.isdigit() or not rest.strip():
            raise bad(number, "'ID text', such as '1 Mary moved to the bathroom.'")
        if int(head) == 1:
            if sentences or questions:
                yield Story(tuple(sentences), tuple(questions))
            sentences, questions, place = [], [], {}
        elif int(head) != previous + 1:
            raise bad(number, f"ID {previous + 1} (the next line) or 1 (a new story)")
        previous = int(head)
        if "\t" not in rest:
            place[previous] = len(sentences)
            sentences.append(rest.strip())
            continue
        text, answer, *support = (part.strip() for part in rest.split("\t"))
        if not text or not answer or len(support) > 1:
            raise bad(number, "'ID question<tab>answer<tab>supporting IDs'")
        ids = support[0].split() if support else []
        if not all(one.isdigit() and int(one) in place for one in ids):
            raise bad(number, f"supporting IDs of earlier sentences of this story, any of {sorted(place)}")
        questions.append(Question(text, answer, tuple(place[int(one)] for one in ids), len(sentences)))
    if sentences or questions:
        yield Story(tuple(sentences), tuple(questions))


def format(stories: Iterable[Story]) -> Iterator[str]:
    """Writes stories as the lines of a bAbI file, without line ends: the inverse of `parse`."""
    for sentences, questions in stories:
        identity, lines, ids, asked = 0, [], [], 0
        for seen in range(len(sentences) + 1):
            while asked < len(questions) and questions[asked].seen == seen:
                identity, question = identity + 1, questions[asked]
                support = " ".join(str(ids[fact]) for fact in question.facts)
                lines.append(f"{identity} {question.text}\t{question.answer}\t{support}")
                asked += 1
            if seen < len(sentences):
                identity += 1
                ids.append(identity)
                lines.append(f"{identity} {sentences[seen]}")
        yield from lines


def file_name(task: int, split: str) -> str:
    """The data set's name for a file: qa1_single-supporting-fact_train.txt."""
    return f"qa{check_task(task)}_{TASKS[task - 1]}_{split}.txt"


def check_task(task: int) -> int:
    """The task number, or ValueError."""
    if isinstance(task, bool) or not isinstance(task, int) or not 1 <= task <= len(TASKS):
        raise ValueError(f"bAbI task is {task!r}; legal: 1 to {len(TASKS)}")
    return task


def count_questions(stories: Sequence[Story]) -> int:
    """How many questions the stories ask."""
    return sum(len(story.questions) for story in stories)
