"""The tasks about who went where with what: 1 to 3 and 5 to 14."""

from itertools import chain, pairwise

from diffmem.tasks.babi.generate.world import GO, Event, Scene, other, pick, shuffled
from diffmem.tasks.babi.text import Story

THEN = ("Then", "Afterwards", "After that", "Following that")
TIMES = ("yesterday", "this morning", "this afternoon", "this evening")
TOWN = ("bedroom", "cinema", "kitchen", "office", "park", "school")
NUMBERS = ("none", "one", "two", "three")
HE = ("John", "Daniel")


class WherePerson(Scene):
    """Task 1: where somebody went last."""

    def ask(self, subject):
        i = self.last("go", who=subject)
        return f"Where is {subject}?", self.events[i].what, (i,)


class WhereObject(Scene):
    """Task 2: who got it and went where since, or who dropped it and had gone where before."""

    actions = ("go", "get", "drop")

    def subjects(self):
        return [event.what for event in self.events[-5:] if event.kind != "go"]

    def ask(self, subject):
        moved = self.last("get", "drop", what=subject)
        kind, who, _, _ = self.events[moved]
        went = self.last("go", who=who, before=moved if kind == "drop" else None)
        if went < 0 or (kind == "get" and went < moved):
            return None
        return f"Where is the {subject}?", self.events[went].what, (moved, went)


class WhereObjectBefore(WhereObject):
    """Task 3: two rooms in a row through which somebody carried it, last time; the later one is named.

    A room that was entered more than once means the last time.
    """

    get_there = 0.2

    def ask(self, subject):
        moved, got = self.last("get", "drop", what=subject), self.last("get", what=subject)
        who, end = self.events[got].who, len(self.events) if moved == got else moved
        walk = [i for i in range(got, end) if self.events[i].kind == "go" and self.events[i].who == who]
        rooms = [self.events[i].what for i in walk]
        steps = [k for k in range(1, len(walk)) if rooms[k] not in rooms[k + 1 :]]
        if not steps:
            return None
        k = pick(self.rng, steps)
        return f"Where was the {subject} before the {rooms[k]}?", rooms[k - 1], (moved, walk[k], walk[k - 1])


class WhoGave(Scene):
    """Task 5: who gave what to whom, when it changed hands last."""

    people = ("Mary", "Fred", "Bill", "Jeff")
    actions = ("go", "get", "drop", "give")

    def subjects(self):
        return [event.what for event in self.events[-5:] if event.kind == "give"]

    def ask(self, subject):
        i = self.last("give", what=subject)
        _, who, what, to = self.events[i]
        forms = (
            (f"Who gave the {what}?", who),
            (f"Who gave the {what} to {to}?", who),
            (f"Who received the {what}?", to),
            (f"Who did {who} give the {what} to?", to),
            *((f"What did {who} give to {to}?", what),) * 2,
        )
        return *pick(self.rng, forms), (i,)


class IsPerson(Scene):
    """Task 6: whether somebody is in a room."""

    actions = ("go", "get", "drop")

    def subjects(self):
        return [event.who for event in self.events[-5:] if event.kind == "go"]

    def ask(self, subject):
        i = self.last("go", who=subject)
        room, yes = self.events[i].what, self.rng.random() < 0.5
        return f"Is {subject} in the {room if yes else other(self.rng, self.rooms, room)}?", "yes" if yes else "no", (i,)


class Listing(Scene):
    """Task 8: what somebody carries, in the order in which they first had it; all the getting and dropping supports it."""

    actions = ("go", "get", "drop")

    def subjects(self):
        return [event.who for event in self.events[-5:] if event.kind != "go"]

    def hands(self, who: str) -> dict[str, list[int]]:
        """For every object that `who` ever had, the sentences about it."""
        hands: dict[str, list[int]] = {}
        for i, event in enumerate(self.events):
            if event.kind != "go" and who in (event.who, event.to):
                hands.setdefault(event.what, []).append(i)
        return hands

    def ask(self, subject):
        hands = self.hands(subject)
        carried = [what for what in hands if self.place[what] == subject]
        return f"What is {subject} carrying?", ",".join(carried) or "nothing", tuple(chain.from_iterable(hands.values()))


class Counting(Listing):
    """Task 7: how much somebody carries."""

    actions = ("go", "get", "drop", "give")

    def ask(self, subject):
        hands = self.hands(subject)
        carried = [what for what in hands if self.place[what] == subject]
        text = f"How many objects is {subject} carrying?"
        return text, NUMBERS[len(carried)], tuple(sorted(chain.from_iterable(hands.values())))


class Negation(Scene):
    """Task 9: somebody moves; the sentence says so, or where they are, or where they are no longer."""

    def step(self):
        who = pick(self.rng, self.people)
        old, self.room[who] = self.room[who], other(self.rng, self.rooms, self.room[who])
        event = Event(pick(self.rng, ("go", "go", "is", "not")), who, self.room[who])
        event = event._replace(what=old) if event.kind == "not" else event
        self.events.append(event)
        self.sentences.append(self.tell(event))

    def tell(self, event):
        if event.kind == "go":
            return super().tell(event)
        verb = "is" if event.kind == "is" else pick(self.rng, ("is not", "is no longer"))
        return f"{event.who} {verb} in the {event.what}."

    def ask(self, subject):
        i = self.last(who=subject)
        kind, _, room, _ = self.events[i]
        yes = kind != "not" and self.rng.random() < 0.5
        asked = room if yes or kind == "not" else other(self.rng, self.rooms, room)
        return f"Is {subject} in the {asked}?", "yes" if yes else "no", (i,)


class Indefinite(Scene):
    """Task 10: somebody moves; the sentence may leave two rooms open, which in the data set may be the same one twice."""

    people = ("Bill", "Fred", "Julie", "Mary")
    rooms = TOWN

    def step(self):
        who = pick(self.rng, self.people)
        self.room[who] = room = other(self.rng, self.rooms, self.room[who])
        kind = pick(self.rng, ("go", "go", "is", "either"))
        event = Event(kind, who, room, pick(self.rng, self.rooms) if kind == "either" else "")
        self.events.append(event)
        self.sentences.append(self.tell(event))

    def tell(self, event):
        _, who, room, alternative = event
        if event.kind == "go":
            return super().tell(event)
        first, second = shuffled(self.rng, (room, alternative))
        return f"{who} is in the {room}." if event.kind == "is" else f"{who} is either in the {first} or the {second}."

    def ask(self, subject):
        i = self.last(who=subject)
        kind, _, room, alternative = self.events[i]
        asked = room if self.rng.random() < 0.5 else other(self.rng, self.rooms, room)
        answer = "no" if asked not in (room, alternative) else "maybe" if kind == "either" else "yes"
        return f"Is {subject} in the {asked}?", answer, (i,)


class Pronoun(Scene):
    """Task 11: somebody moves twice, and the second sentence says "she" or "he"."""

    party = 1  # how many go together
    pronouns = True

    def step(self):
        again = self.pronouns and len(self.events) % 2 == 1
        who = self.events[-1][0] if again else tuple(shuffled(self.rng, self.people)[: self.party])
        room = other(self.rng, self.rooms, *(self.room[one] for one in who))
        self.room.update(dict.fromkeys(who, room))
        self.events.append((who, room))
        pronoun = "they" if len(who) > 1 else "he" if who[0] in HE else "she"
        name = f"{pick(self.rng, THEN)} {pronoun}" if again else " and ".join(who)
        self.sentences.append(f"{name} {pick(self.rng, GO)} to the {room}.")

    def subjects(self):
        """Here the last five are names, not sentences: "Mary and John" are two, and so are "they"."""
        return [one for who, _ in self.events[-5:] for one in who][-5:]

    def ask(self, subject):
        i = max(i for i, (who, _) in enumerate(self.events) if subject in who)
        return f"Where is {subject}?", self.events[i][1], (i - 1, i) if self.pronouns else (i,)


class Pronouns(Pronoun):
    """Task 13: the same of two people, "they"."""

    party = 2


class Conjunction(Pronouns):
    """Task 12: two people move together, with their names every time."""

    pronouns = False


class Times(Scene):
    """Task 14: where somebody was before, by the time of day. Between two questions no sentence is at its place in time."""

    people = ("Bill", "Fred", "Julie", "Mary")
    rooms = TOWN

    def step(self):
        told = [event[0] for event in self.events]
        who = pick(self.rng, [one for one in self.people if told.count(one) < len(TIMES)])
        self.room[who] = room = other(self.rng, self.rooms, self.room[who])
        when, verb = TIMES[told.count(who)], pick(self.rng, GO)
        self.events.append((who, told.count(who), room))
        first = self.rng.random() < 0.5
        self.sentences.append(
            f"{when.capitalize()} {who} {verb} to the {room}." if first else f"{who} {verb} to the {room} {when}."
        )

    def subjects(self):
        return [(who, room) for who, time, room in self.events[-5:] if time > 0]

    def ask(self, subject):
        who, room = subject
        mine = [i for i, event in enumerate(self.events) if event[0] == who]
        k = max(k for k, i in enumerate(mine) if self.events[i][2] == room)
        return f"Where was {who} before the {room}?", self.events[mine[k - 1]][2], (mine[k], mine[k - 1])

    def story(self, questions):
        ends, place = [0, *sorted({one.seen for one in questions})], list(range(len(self.events)))
        for start, end in pairwise(ends):
            while end - start > 1 and any(place[i] == i for i in range(start, end)):
                place[start:end] = shuffled(self.rng, range(start, end))
        sentences = dict(zip(place, self.sentences, strict=True))
        moved = [one._replace(facts=tuple(place[i] for i in one.facts)) for one in questions]
        return Story(tuple(sentences[i] for i in range(len(place))), tuple(moved))


SCENES = {
    1: WherePerson,
    2: WhereObject,
    3: WhereObjectBefore,
    5: WhoGave,
    6: IsPerson,
    7: Counting,
    8: Listing,
    9: Negation,
    10: Indefinite,
    11: Pronoun,
    12: Conjunction,
    13: Pronouns,
    14: Times,
}
