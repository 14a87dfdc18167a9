"""The tasks about relations: 4 and 15 to 20. Every function draws one story; `length` is its number of sentences."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from diffmem.tasks.babi.generate.world import GET, GO, HOME, other, pick, shuffled
from diffmem.tasks.babi.text import Question, Story

Vector = tuple[int, int]

COMPASS: dict[str, Vector] = {"north": (0, 1), "east": (1, 0), "south": (0, -1), "west": (-1, 0)}
SIDES: dict[str, Vector] = {"above": (0, 1), "to the right of": (1, 0), "below": (0, -1), "to the left of": (-1, 0)}
SHAPES = ("triangle", "pink rectangle", "blue square", "red square", "yellow square", "red sphere")
SPECIES = {"mouse": "mice", "sheep": "sheep", "wolf": "wolves", "cat": "cats"}
AFRAID = ("Gertrude", "Emily", "Jessica", "Winona")
COLORED = ("Lily", "Bernhard", "Greg", "Julius", "Brian")
ANIMALS = ("swan", "lion", "frog", "rhino")
COLORS = ("gray", "white", "yellow", "green")
SMALL = ("chocolate", "box of chocolates")  # in this order, and smaller than the others, which are drawn
LARGE = ("box", "chest", "container", "suitcase")
ACTORS = ("Sumit", "Yann", "Antoine", "Jason")
MOTIVES = {
    "hungry": ("kitchen", "apple"),
    "thirsty": ("kitchen", "milk"),
    "bored": ("garden", "football"),
    "tired": ("bedroom", "pajamas"),
}


def _plus(a: Vector, b: Vector) -> Vector:
    return a[0] + b[0], a[1] + b[1]


def _direction(names: dict[str, Vector], start: Vector, end: Vector) -> str:
    """What `end` is of `start`, one step away."""
    return next(name for name, step in names.items() if _plus(start, step) == end)


def _told(rng: np.random.Generator, links: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Orders the links of a map and turns them about: a random node speaks of a random neighbour, once a link."""
    near: dict[str, list[str]] = {}
    for a, b in links:
        near.setdefault(a, []).append(b)
        near.setdefault(b, []).append(a)
    told: list[tuple[str, str]] = []
    while len(told) < len(links):
        a = pick(rng, list(near))
        b = pick(rng, near[a])
        if (a, b) not in told and (b, a) not in told:
            told.append((a, b))
    return told


def _fact(told: Sequence[tuple[str, str]], a: str, b: str) -> int:
    return told.index((a, b)) if (a, b) in told else told.index((b, a))


def two_argument_relations(rng: np.random.Generator, length: int | None) -> Story:
    """Task 4: rooms in a straight line; one of the sentences is asked about, as it is or turned about."""
    rooms = shuffled(rng, HOME)[: (length or 2) + 1]
    ahead = pick(rng, list(COMPASS))
    (dx, dy), place = COMPASS[ahead], {}
    for k, room in enumerate(rooms):
        place[room] = k * dx, k * dy
    told = _told(rng, list(pairwise(rooms)))
    fact = int(rng.integers(len(told)))
    subject, origin = told[fact]
    if rng.random() < 0.5:
        text = f"What is {_direction(COMPASS, place[origin], place[subject])} of the {origin}?"
    else:
        text = f"What is the {origin} {_direction(COMPASS, place[subject], place[origin])} of?"
    sentences = tuple(f"The {a} is {_direction(COMPASS, place[b], place[a])} of the {b}." for a, b in told)
    return Story(sentences, (Question(text, subject, (fact,), len(sentences)),))


def deduction(rng: np.random.Generator, length: int | None) -> Story:
    """Task 15: every species is afraid of another; a species is introduced before its members, of which it may have none."""
    afraid: dict[str, tuple[str, int]] = {}
    species: dict[str, tuple[str, int]] = {}
    sentences: list[str] = []
    while len(sentences) < len(SPECIES) + len(AFRAID):
        if rng.random() < 0.5:
            who = pick(rng, list(SPECIES))
            if who not in afraid:
                of = other(rng, list(SPECIES), who)
                afraid[who] = of, len(sentences)
                sentences.append(f"{SPECIES[who].capitalize()} are afraid of {SPECIES[of]}.")
        else:
            who, kind = pick(rng, AFRAID), pick(rng, list(SPECIES))
            if who not in species and kind in afraid:
                species[who] = kind, len(sentences)
                sentences.append(f"{who} is a {kind}.")
    questions = []
    for who in [pick(rng, AFRAID) for _ in range(4)]:
        kind, first = species[who]
        answer, second = afraid[kind]
        questions.append(Question(f"What is {who.lower()} afraid of?", answer, (first, second), len(sentences)))
    return Story(tuple(sentences), tuple(questions))


def induction(rng: np.random.Generator, length: int | None) -> Story:
    """Task 16: the asked animal has the colour of the other one of its species that was introduced last.

    When an animal's colour is told, all of its species introduced so far get it; those introduced later may have another,
    and nobody is told so. As in the data set, that makes some stories contradict the rule that they ask for.
    """
    while True:
        kind: dict[str, str] = {}
        color: dict[str, str] = {}
        place: dict[tuple[str, str], int] = {}
        sentences: list[str] = []
        while len(sentences) < 2 * len(COLORED) - 1:
            who, what = pick(rng, COLORED), pick(rng, ("kind", "color"))
            if (who, what) in place or (what == "color" and who not in kind):
                continue
            place[who, what] = len(sentences)
            if what == "kind":
                kind[who] = pick(rng, ANIMALS)
                sentences.append(f"{who} is a {kind[who]}.")
            else:
                shade = color.get(who) or pick(rng, COLORS)
                color.update({one: shade for one in kind if kind[one] == kind[who]})
                sentences.append(f"{who} is {shade}.")
        asked = next(who for who in COLORED if (who, "color") not in place)
        same = [one for one in COLORED if one != asked and kind[one] == kind[asked]]
        if len(same) in (1, 3, 4):  # never two in the data set
            break
    like = max(same, key=lambda one: place[one, "kind"])
    facts = place[asked, "kind"], place[like, "kind"], place[like, "color"]
    answer = sentences[facts[2]].rstrip(".").split()[-1]
    return Story(tuple(sentences), (Question(f"What color is {asked}?", answer, facts, len(sentences)),))


def positions(rng: np.random.Generator, length: int | None) -> Story:
    """Task 17: shapes in a chain; where its ends are to each other. What is straight above is on neither side."""
    shapes = shuffled(rng, SHAPES)[: (length or 2) + 1]
    path = [(0, 0)]
    while len(path) < len(shapes):
        new = _plus(path[-1], pick(rng, list(SIDES.values())))
        path = [*path, new] if new not in path else [(0, 0)]  # begins again where it would cross itself
    place = dict(zip(shapes, path, strict=True))
    told = [(b, a) for a, b in _told(rng, list(pairwise(shapes)))]
    sentences = tuple(f"The {a} is {_direction(SIDES, place[b], place[a])} the {b}." for a, b in told)
    questions = []
    for _ in range(8):
        chain = shapes if rng.random() < 0.5 else shapes[::-1]
        (x, y), (u, v) = place[chain[0]], place[chain[-1]]
        true = [side for side, (dx, dy) in SIDES.items() if (x - u) * dx + (y - v) * dy > 0]
        yes = rng.random() < 0.5
        side = pick(rng, true) if yes else other(rng, list(SIDES), *true)
        facts = tuple(_fact(told, a, b) for a, b in pairwise(chain))
        text = f"Is the {chain[0]} {side} the {chain[-1]}?"
        questions.append(Question(text, "yes" if yes else "no", facts, len(sentences)))
    return Story(sentences, tuple(questions))


def sizes(rng: np.random.Generator, length: int | None) -> Story:
    """Task 18: whether one thing is larger than another, by a third one in between; five sentences more until there is one.

    A question begins with one of the last five sentences and one thing in it. It goes on with the first other sentence about
    that thing, if the thing is in the middle then.
    """
    order = [*SMALL, *shuffled(rng, LARGE)]
    told: list[tuple[str, str]] = []  # larger, smaller
    found: list[tuple[bool, int, int]] = []  # whether it is asked the right way round, supporting sentences
    while not found:
        told = [] if length else told
        for _ in range(length or 5):
            i, j = sorted(int(i) for i in rng.choice(len(order), 2, replace=False))
            told.append((order[j], order[i]))
        for first in range(max(0, len(told) - 5), len(told)):
            for thing in told[first]:
                second = next((i for i, pair in enumerate(told) if i != first and thing in pair), first)
                if told[first].index(thing) != told[second].index(thing):  # in the middle
                    found.append((told[second][0] == thing, first, second))
    sentences = tuple(
        f"The {a} is bigger than the {b}." if rng.random() < 0.5 else f"The {b} fits inside the {a}." for a, b in told
    )
    questions = []
    for yes, first, second in [pick(rng, found) for _ in range(5)]:
        # Named a first, "Is a bigger than b": supported from the larger to the smaller one if true, the other way if not.
        a, b = (told[first][0], told[second][1]) if yes else (told[first][1], told[second][0])
        text = f"Is the {a} bigger than the {b}?" if rng.random() < 0.5 else f"Does the {b} fit in the {a}?"
        questions.append(Question(text, "yes" if yes else "no", (first, second), len(sentences)))
    return Story(sentences, tuple(questions))


def path_finding(rng: np.random.Generator, length: int | None) -> Story:
    """Task 19: the two steps from one room to another; rooms that hang on the way distract."""
    rooms = shuffled(rng, HOME)[: (length or 5) + 1]
    names = list(COMPASS)
    first = int(rng.integers(4))
    second = other(rng, range(4), (first + 2) % 4)
    way, links = [names[first], names[second]], list(pairwise(rooms[:3]))
    taken = {(rooms[0], first), (rooms[1], (first + 2) % 4), (rooms[1], second), (rooms[2], (second + 2) % 4)}
    toward = {links[0]: names[first], links[1]: names[second]}
    for room in rooms[3:]:
        # Two of them may share a place, as in the data set: only what leaves the same room is kept apart.
        origin, direction = pick(rng, [(one, d) for one in rooms[:3] for d in range(4) if (one, d) not in taken])
        taken.add((origin, direction))
        links.append((origin, room))
        toward[origin, room] = names[direction]
    back = {name: names[(k + 2) % 4] for k, name in enumerate(names)}
    told = _told(rng, links)
    sentences = tuple(f"The {a} is {toward[b, a] if (b, a) in toward else back[toward[a, b]]} of the {b}." for a, b in told)
    facts = _fact(told, *links[0]), _fact(told, *links[1])
    text = f"How do you go from the {rooms[0]} to the {rooms[2]}?"
    return Story(sentences, (Question(text, ",".join(step[0] for step in way), facts, len(sentences)),))


def motivations(rng: np.random.Generator, length: int | None) -> Story:
    """Task 20: who is hungry, bored, ... goes to a room and gets what is there, if nobody did before."""
    while True:
        motive = {who: pick(rng, list(MOTIVES)) for who in ACTORS}
        if length is None or length == 2 * len(ACTORS) + len(set(motive.values())):
            break
    sentences: list[str] = []
    questions: list[Question] = []
    felt: dict[str, int] = {}
    went: set[str] = set()
    left = set(motive.values())  # the motives whose object nobody has
    while able := [who for who in ACTORS if who not in went or motive[who] in left]:
        who = pick(rng, able)
        room, what = MOTIVES[motive[who]]
        if who not in felt:
            felt[who] = len(sentences)
            sentence, text, answer = f"{who} is {motive[who]}.", f"Where will {who.lower()} go?", room
        elif who not in went:
            went.add(who)
            sentence = f"{who} {pick(rng, GO)} to the {room}."
            text, answer = f"Why did {who.lower()} go to the {room}?", motive[who]
        else:
            left.remove(motive[who])
            sentence = f"{who} {pick(rng, GET)} the {what} there."
            text, answer = f"Why did {who.lower()} get the {what}?", motive[who]
        sentences.append(sentence)
        questions.append(Question(text, answer, (felt[who],), len(sentences)))
    return Story(tuple(sentences), tuple(questions))


RELATIONS: dict[int, Callable[[np.random.Generator, int | None], Story]] = {
    4: two_argument_relations,
    15: deduction,
    16: induction,
    17: positions,
    18: sizes,
    19: path_finding,
    20: motivations,
}
