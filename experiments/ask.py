"""Asks a trained model about a story: `python -m experiments.ask RUN`.

Type sentences, one or several a line. One that ends in "?" is a question about the story so far; after it the story can go
on. An empty line or "reset" begins a new story, "quit" or the end of the input ends. The same lines can be piped in, or come
from a file:

    python -m experiments.ask RUN --story story.txt --question "Where is Mary?" --picture attention.png

Shown are the answer, the two next candidates, and how much every hop or pass attended to each sentence, in percent; the
strongest has a star. Of a memory that takes one input after another (DNC), a pass is a read as the question's last input comes,
and its attention to a sentence the share of what is read that was written while the sentence came in: by all heads, or by the
one that was taught the supporting facts. Words that the model does not know are in [brackets]. In a file of the bAbI format
the supporting facts are marked with ">". Probabilities are a softmax over all answers of the model's vocabulary, which says
how they compare, not how often such an answer is right.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from diffmem import MemN2N, MemNN, viz
from diffmem.models import recall
from diffmem.tasks.babi import TASKS, UNKNOWN, Question, Story, parse, streams, words
from diffmem.tasks.babi.text import WORD
from experiments import runs
from experiments.runtime import launch, note, set_up_compiler, use_cpu_cores
from experiments.stories import StoryConfig, evaluation

# What a question begins with; no sentence of bAbI does.
ASKING = {"where", "what", "who", "whose", "how", "why", "which", "when", "is", "are", "was", "does", "did", "do", "can"}


class Reply(NamedTuple):
    """answers: (answer, probability), the most probable first.

    weights: the attention [K, n] of each hop or pass to the n remembered sentences, in the story's order; [K, n + 1] where some
    goes to none of them, which is then called `rest`; None for a memory without attention.
    """

    answers: list[tuple[str, float]]
    weights: np.ndarray | None
    rest: str | None


class Reader:
    """A trained model that answers questions about stories in words.

    Stories are padded to the sizes that the config trains with, so that it compiles once for each of them.

    Args:
        part: one of a run's models; its best restart is used.
    """

    def __init__(self, part: evaluation.Part):
        config, memory = part.config, part.config.memory
        self.memory, self.name, self.vocabulary = memory, config.memory_name, part.vocabulary
        self.attends = config.says_where_it_writes() if config.streamed else True
        self.sizes = config.sizes()
        self.slots = self.sizes[-1]
        self.unit = "hop" if hasattr(memory, "hops") else "pass"
        self._params = jax.tree.map(lambda a: np.asarray(a)[part.best], part.params)
        self._answers = np.array(part.vocabulary.answers)
        self.config, self.model = config, config.model(part.vocabulary)
        self.read = jax.jit(self._read_along if config.streamed else self._read)

    def _read(self, params, story, question):
        logits, weights = self.model(params, *self.model.encode(story, question))
        return jax.nn.softmax(logits[self._answers]), weights

    def _read_along(self, params, words, asks, begins, ends, sources):
        """The same of a stream with one question, whose facts [N, C] are all sentences: the weights [P, N] of a pass."""
        logits, trace = self.model.trace_along(params, words, asks, begins, ends)
        chances = jax.nn.softmax(logits[0, self._answers])
        if trace.writes is None:
            return chances, None
        at = ends[0] + 1 + jnp.arange(-max(self.config.pondering, 1), 0)
        shares = recall(trace, asks, begins, at, sources.ravel())
        by_head = shares[:, 0] if self.config.supervision else shares.mean(1)
        return chances, by_head.reshape(len(at), *sources.shape).sum(-1)

    def answer(self, sentences: Sequence[str], question: str) -> Reply:
        """Answers a question about a story, of which the newest `slots` sentences count."""
        kept = sentences[-self.slots :]
        size = next(size for size in self.sizes if size >= len(kept))
        inputs = self._stream(kept, question, size) if self.config.streamed else self._story(kept, question, size)
        chances, weights = jax.device_get(self.read(self._params, *inputs))
        best = np.argsort(-chances, stable=True)
        answers = [(self.vocabulary.words[self._answers[i]], float(chances[i])) for i in best]
        return Reply(answers, *self._attention(weights, len(kept)))

    def _story(self, sentences: Sequence[str], question: str, size: int) -> tuple[np.ndarray, np.ndarray]:
        story = np.zeros((size, self.vocabulary.length), np.int32)
        for row, text in enumerate(sentences, size - len(sentences)):  # padding comes first, as in training
            story[row] = self.vocabulary.encode(text)
        return story, self.vocabulary.encode(question)

    def _stream(self, sentences: Sequence[str], question: str, size: int) -> tuple[np.ndarray, ...]:
        """words, asks, begins [T, ..], ends [1] and the inputs of each sentence [N, C], padded for `size` sentences."""
        everything = Question(question, "", tuple(range(len(sentences))), len(sentences))
        passes, chunk = self.config.pondering, self.config.chunk
        one = streams({0: [Story(tuple(sentences), (everything,))]}, self.vocabulary, pondering=passes, chunk=chunk)
        length = self.vocabulary.length
        inputs = -(-length // (chunk or length)) if passes else length  # of the longest sentence

        def padded(array: np.ndarray, *shape: int, padding: int = 0) -> np.ndarray:
            room = [(0, size - there) for size, there in zip(shape, array.shape, strict=False)]
            return np.pad(array, room + [(0, 0)] * (array.ndim - len(room)), constant_values=padding)

        along = (padded(array[0], (size + 1) * inputs + passes) for array in (one.words, one.asks, one.begins))
        return *along, one.ends[0], padded(one.facts[0, 0].astype(np.int32), size, inputs, padding=-1)

    def _attention(self, weights: np.ndarray | None, count: int) -> tuple[np.ndarray | None, str | None]:
        if weights is None:
            return None, None
        if self.config.streamed:
            found = weights[:, :count]
            return np.append(found, np.maximum(1 - found.sum(1, keepdims=True), 0), 1), "elsewhere"
        found = weights[:, :count][:, ::-1]
        if isinstance(self.memory, MemNN):
            return np.append(found, weights[:, -1:], 1), "no more"
        if isinstance(self.memory, MemN2N) and self.memory.softmax and not self.memory.mask:
            return np.append(found, np.maximum(1 - found.sum(1, keepdims=True), 0), 1), "nothing"  # on empty slots
        return found, None

    def marked(self, text: str) -> str:
        """The text with its unknown words in brackets."""
        known = lambda word: self.vocabulary.number(word) != UNKNOWN  # noqa: E731
        return re.sub(WORD, lambda word: word[0] if known(word[0]) else f"[{word[0]}]", text, flags=re.IGNORECASE)

    def misread(self, text: str) -> list[str]:
        """What of a sentence or question the model cannot read."""
        split, length, found = words(text), self.vocabulary.length, []
        if unknown := list(dict.fromkeys(word for word in split[:length] if self.vocabulary.number(word) == UNKNOWN)):
            found.append(f"unknown words, which the model was not trained on: {', '.join(unknown)}")
        if len(split) > length:
            found.append(f"{text!r} has {len(split)} words; the model reads the first {length}")
        return found


def table(sentences: Sequence[str], weights: np.ndarray, rest: str | None, unit: str, facts: Sequence[int] = ()) -> str:
    """Attention in percent as text: a line a sentence, a column a hop or pass, "*" at its strongest, ">" at facts.

    Args:
        sentences: the n remembered ones.
        weights: [K, n], or [K, n + 1] with attention to what `rest` names.
        rest: see `Reply`.
        unit: what a column is called.
        facts: indices of the supporting sentences.
    """
    labels = [f"{'>' if i in facts else ' '}{i + 1:3d}  {text}" for i, text in enumerate(sentences)]
    labels += [f"      ({rest})"] if rest else []
    width, strongest = max(map(len, labels)), weights.argmax(1)
    lines = [" " * width + "".join(f"{f'{unit} {k + 1}':>8s} " for k in range(len(weights)))]
    for i, label in enumerate(labels):
        cells = (f"{100 * row[i]:8.0f}{'*' if strongest[k] == i else ' '}" for k, row in enumerate(weights))
        lines.append(f"{label:{width}s}{''.join(cells)}")
    return "\n".join(line.rstrip() for line in lines)


class Session:
    """Takes line after line, and prints the answers; notes go to the error output.

    Args:
        reader: who answers.
        picture: also draw the answers' attention: the first question's here, the next ones' beside it, numbered.
    """

    def __init__(self, reader: Reader, picture: Path | None = None):
        self.reader, self.picture = reader, picture
        self.sentences: list[str] = []
        self.asked, self.open = 0, False  # open: something was told after the last question

    def line(self, text: str) -> bool:
        """One line as it is typed, of one sentence or several; returns whether to go on.

        Raises:
            ValueError: a question that cannot be answered.
        """
        return all(self.sentence(sentence) for sentence in re.split(r"(?<=[.?])\s+", text.strip()))

    def sentence(self, text: str) -> bool:
        """One sentence or command; see `line`."""
        text = text.strip()
        if text.lower() == "quit":
            return False
        if not text or text.lower() == "reset":
            self.reset()
        elif text.endswith("?"):
            self.ask(text)
        else:
            self.tell(text)
        return True

    def reset(self) -> None:
        """Begins a new story."""
        self.sentences, self.open = [], False

    def tell(self, text: str) -> None:
        """Adds a sentence to the story."""
        found = words(text)
        if not found:
            return note(f"{text!r} has no words and is left out")
        if found[0] in ASKING:
            note(f"{text!r} is taken as a sentence of the story; a question ends in '?'")
        for problem in self.reader.misread(text):
            note(problem)
        self.sentences.append(text)
        self.open = True

    def ask(self, text: str, facts: Sequence[int] = (), target: str | None = None) -> None:
        """Prints the answer to a question.

        Args:
            text: the question.
            facts: the sentences that support the answer.
            target: the expected answer.

        Raises:
            ValueError: a question without words, or no story.
        """
        if not words(text):
            raise ValueError(f"the question {text!r} has no words")
        if not self.sentences:
            raise ValueError(f"{text!r} has no story: sentences come before a question, and an empty line begins a new story")
        reader, self.open = self.reader, False
        self.asked += 1
        for problem in reader.misread(text):
            note(problem)
        dropped = max(len(self.sentences) - reader.slots, 0)
        if dropped:
            note(f"the memory holds {reader.slots} sentences: the oldest {dropped} of {len(self.sentences)} are dropped")
        kept, facts = self.sentences[dropped:], [fact - dropped for fact in facts if fact >= dropped]
        reply = reader.answer(kept, text)
        (answer, chance), *others = reply.answers
        then = ", ".join(f"{other} ({100 * p:.1f} %)" for other, p in others[:2])
        print(f"\n{reader.marked(text)}  {answer} ({100 * chance:.1f} %){f', then {then}' if then else ''}")
        if target is not None:
            print("expected, and right" if target.lower() == answer else f"expected: {target}")
        if reply.weights is None:
            print(f"({reader.name} has no attention to show)")
        else:
            print(table([reader.marked(sentence) for sentence in kept], reply.weights, reply.rest, reader.unit, facts))
        print(flush=True)
        if self.picture is not None and reply.weights is not None:
            names: Any = {"target": target, "rest": reply.rest or "nothing", "unit": reader.unit}
            figure = viz.story_attention(kept, text, answer, reply.weights, facts, **names)
            path = self.picture if self.asked == 1 else self.picture.with_stem(f"{self.picture.stem}-{self.asked}")
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path)
            print(f"wrote {path}")

    def text(self, text: str, name: str) -> None:
        """All lines of a text: as they are typed, or in the bAbI format, whose first line has number 1.

        Args:
            text: what a file or a pipe holds.
            name: what errors call it.

        Raises:
            ValueError: damage in the bAbI format, or a question that cannot be answered.
        """
        text = text.removeprefix("\ufeff")  # a byte order mark
        lines = text.strip().splitlines()
        if not lines or not re.match(r"1\s+\S", lines[0]):
            for line in lines:
                if not self.line(line):
                    return
            return
        for story in parse(text.splitlines(), name):
            self.reset()
            place = {}  # of the file's sentences in ours: questions that come without an answer are none
            for seen in range(len(story.sentences) + 1):
                for question in story.questions:
                    if question.seen == seen:
                        facts = [place[fact] for fact in question.facts if fact in place]
                        self.ask(question.text, facts, question.answer)
                before = len(self.sentences)
                if seen < len(story.sentences) and self.sentence(story.sentences[seen]) and len(self.sentences) > before:
                    place[seen] = before

    def typed(self) -> None:
        """Lines from the keyboard; a question that cannot be answered costs no more than a message."""
        print("A sentence that ends in '?' is a question. An empty line begins a new story, 'quit' ends.")
        going = True
        while going:
            try:
                going = self.line(input("> "))
            except ValueError as error:
                note(str(error))
            except (EOFError, KeyboardInterrupt):
                print()
                return


def find(run: str) -> tuple[str, StoryConfig, dict[str, evaluation.Part], str]:
    """See `experiments.stories.evaluation.find`.

    Raises:
        ValueError: nothing of that kind, or a run that is not about stories.
    """
    there = runs.claimed(Path(run)) or runs.committed(run)
    if there and not runs.is_story(run):
        raise ValueError(f"{run!r} is a run on sequences, which answers no questions; legal: a run on bAbI stories")
    return evaluation.find(run)


def choose(parts: dict[str, evaluation.Part], task: int | None) -> tuple[str, evaluation.Part]:
    """The model of a task, with its name; the first one for None.

    Raises:
        ValueError: no model was trained on it.
    """
    for name, part in parts.items():
        if task is None or task in part.tasks:
            return name, part
    trained = sorted({task for part in parts.values() for task in part.tasks})
    raise ValueError(f"--task {task}: no model was trained on it; legal: {', '.join(map(str, trained))}")


@dataclass
class Options:
    """Which model is asked, and what."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run's folder, or the name of a config whose weights are committed."""
    task: int | None = None
    """Of a run with a model for each task: whose. None: the first."""
    story: Path | None = None
    """A file of sentences and questions, plain (as they are typed) or in the bAbI format. If it asks nothing, and there is no
    --question, questions are read from the keyboard or the pipe."""
    question: str | None = None
    """Asked after the whole story."""
    picture: Path | None = None
    """Also draw the attention into this file; of several questions, the second into one with -2 in its name, and so on."""


def main(arguments: list[str]) -> None:
    """Reads the story and prints the answers."""
    options = tyro.cli(Options, args=arguments, prog="python -m experiments.ask", description=__doc__)
    set_up_compiler()
    name, config, parts, source = find(options.run)
    label, part = choose(parts, options.task)
    trained = f"task {part.tasks[0]}, {TASKS[part.tasks[0] - 1]}" if len(part.tasks) == 1 else f"{len(part.tasks)} tasks"
    more = f"; --task chooses another of {', '.join(parts)}" if len(parts) > 1 and options.task is None else ""
    print(f"{name}, {source}: model {label}, {config.memory_name}, trained on {trained}{more}")
    reader = Reader(part)
    session = Session(reader, options.picture)
    if options.picture is not None and not reader.attends:
        note(f"no picture: {reader.name} has no attention to draw")
    question, keyboard = options.question, sys.stdin.isatty()
    if options.story is not None:
        try:
            text = options.story.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"--story {options.story} cannot be read: {error}") from None
        if not text.strip("\ufeff \t\r\n"):
            raise ValueError(f"--story {options.story} is empty")
        session.text(text, str(options.story))
    if options.story is None or (question is None and not session.asked):
        if keyboard:
            session.typed()
        else:
            session.text(sys.stdin.read(), "the input")
    if question is not None:
        if not question.rstrip().endswith("?"):
            note(f"--question {question!r} has no question mark; it is asked all the same")
        session.ask(question.strip())
    elif not session.asked and not keyboard:
        raise ValueError("nothing was asked: no line ends in '?'" + taken(session))
    elif session.open and not keyboard:
        note("the input ends without a question" + taken(session))


def taken(session: Session) -> str:
    """How the last line was understood, for who forgot a question mark."""
    return f"; {session.sentences[-1]!r} was taken as a sentence of the story" if session.sentences else ""


if __name__ == "__main__":
    use_cpu_cores(1)
    launch(main)
