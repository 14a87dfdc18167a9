"""The world of the tasks about who went where with what, which are in `scenes`.

A scene is a small world whose people act at random: `step` tells one more sentence, `ask` asks about somebody or something. In
the data set a question comes after every second sentence, if one can be asked, and it is about one of the last five
sentences; both rules, and the rates of the actions, are measured on the published files, not taken from the paper.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from diffmem.tasks.babi.text import Question, Story

T = TypeVar("T")

GO = ("moved", "went", "went back", "journeyed", "travelled")
GET = ("got", "took", "grabbed", "picked up")
DROP = ("dropped", "left", "discarded", "put down")
GIVE = ("gave", "handed", "passed")
OBJECTS = ("apple", "football", "milk")
HOME = ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office")


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of the options, uniformly; some times faster than `rng.choice`."""
    return options[int(rng.random() * len(options))]


def other(rng: np.random.Generator, options: Sequence[T], *excluded: T) -> T:
    """One of the options that are not excluded."""
    return pick(rng, [option for option in options if option not in excluded])


def shuffled(rng: np.random.Generator, options: Sequence[T]) -> list[T]:
    return [options[i] for i in rng.permutation(len(options))]


class Event(NamedTuple):
    """A sentence's meaning: `who` went to the room `what`, or got, dropped or gave the object `what` (`to` somebody)."""

    kind: str
    who: str
    what: str
    to: str = ""


Asked = tuple[str, str, tuple[int, ...]]  # text, answer, supporting sentences


class Scene:
    """People in rooms with objects. What is true may be untold: nobody says where they are at the start.

    Attributes:
        events: what was told, by sentence; facts are indices into it.
    """

    people: tuple[str, ...] = ("John", "Mary", "Sandra", "Daniel")
    rooms = HOME
    actions: tuple[str, ...] = ("go",)
    get_there = 1.0  # how often a sentence about getting ends in "there"

    def __init__(self, rng: np.random.Generator):
        self.rng = rng
        self.room = {who: pick(rng, self.rooms) for who in self.people}
        self.place = {what: pick(rng, self.rooms) for what in OBJECTS}  # a room or who has it
        self.events: list[Any] = []
        self.sentences: list[str] = []

    def act(self) -> Event:
        """What happens next: person and action are drawn together, until the two are possible."""
        while True:
            who, kind = pick(self.rng, self.people), pick(self.rng, self.actions)
            here = self.room[who]
            things = [what for what in OBJECTS if self.place[what] == (here if kind == "get" else who)]
            if kind == "go":
                if (room := pick(self.rng, self.rooms)) != here:
                    self.room[who] = room
                    return Event(kind, who, room)
            elif kind == "give":
                if (gift := self.gift()) is not None:
                    self.place[gift.what] = gift.to
                    return gift
            elif things:
                what = pick(self.rng, things)
                self.place[what] = who if kind == "get" else here
                return Event(kind, who, what)

    def gift(self) -> Event | None:
        """What can be given to somebody in the same room: the first in order, whoever was drawn, as in the data set."""
        for what, who in self.place.items():
            for to in self.people:
                if who in self.room and to != who and self.room[to] == self.room[who]:
                    return Event("give", who, what, to)
        return None

    def tell(self, event: Event) -> str:
        kind, who, what, to = event
        if kind == "go":
            return f"{who} {pick(self.rng, GO)} to the {what}."
        if kind == "give":
            return f"{who} {pick(self.rng, GIVE)} the {what} to {to}."
        there = self.rng.random() < (self.get_there if kind == "get" else 0.2)
        return f"{who} {pick(self.rng, GET if kind == 'get' else DROP)} the {what}{' there' if there else ''}."

    def step(self) -> None:
        self.events.append(self.act())
        self.sentences.append(self.tell(self.events[-1]))

    def last(self, *kinds: str, before: int | None = None, **fields: str) -> int:
        """The newest sentence of one of these kinds (any when none is named) whose fields have these values, or -1."""
        for i in reversed(range(len(self.events) if before is None else before)):
            event = self.events[i]
            if (not kinds or event.kind in kinds) and all(getattr(event, name) == fields[name] for name in fields):
                return i
        return -1

    def subjects(self) -> list[Hashable]:
        """What a question may be about, as often as the last five sentences mention it."""
        return [event.who for event in self.events[-5:]]

    def ask(self, subject: Any) -> Asked | None:
        """A question about the subject, None when the text does not answer any."""
        raise NotImplementedError

    def story(self, questions: list[Question]) -> Story:
        return Story(tuple(self.sentences), tuple(questions))


def play(scene: Callable[[np.random.Generator], Scene], rng: np.random.Generator, length: int | None) -> Story:
    """A story of `scene` with five questions.

    The story ends at its fifth question, or, given a length, after that many sentences; then it has the last five questions
    that can be asked, or fewer, and is drawn again until the last one comes after the last sentence.
    """
    while True:
        world, questions = scene(rng), list[Question]()
        while len(questions) < 5 if length is None else len(world.events) < length:
            world.step()
            if (len(world.events) - (length or 0)) % 2 == 0:
                asked = map(world.ask, shuffled(rng, world.subjects()))
                if (one := next(filter(None, asked), None)) is not None:
                    questions.append(Question(*one, seen=len(world.events)))
        if length is None or (questions and questions[-1].seen == length):
            return world.story(questions[-5:])
