"""Sentences that have nothing to do with any task, mixed into a story.

They are put together from the parts below and share no name, place, object, animal, colour, direction or verb with a task.
"""

import numpy as np

from diffmem.tasks.babi.generate.world import pick
from diffmem.tasks.babi.text import Story

WHO = (
    *("The old sailor", "A young baker", "The miller", "A tall stranger", "Nobody in town", "The clockmaker"),
    *("A quiet child", "The captain", "Some farmer", "The widow", "A travelling singer", "The ferryman"),
)
DID = (
    *("watched the river", "mended a torn net", "counted silver coins", "whistled an old tune", "lit a candle"),
    *("wrote a letter", "swept the yard", "sharpened a knife", "dreamt of snow", "sold warm bread", "rang the bell"),
    *("forgot the story", "drew a map", "spoke of distant wars"),
)
HOW = (
    *("until the rain stopped", "without a word", "before dawn", "near the harbour", "under the bridge", "in great haste"),
    *("for many years", "with a smile", "while others slept", "by the fire", "along the shore", "as if nothing mattered"),
)


def add_noise(rng: np.random.Generator, story: Story, rate: float) -> Story:
    """Puts on average `rate` sentences of noise around every sentence of the story, before or after it with equal chance."""
    sentences: list[str] = []
    place: list[int] = []
    ends: list[int] = []  # of a sentence with its noise
    for sentence in story.sentences:
        noise = [f"{pick(rng, WHO)} {pick(rng, DID)} {pick(rng, HOW)}." for _ in range(rng.poisson(rate))]
        before = int(rng.binomial(len(noise), 0.5))
        place.append(len(sentences) + before)
        sentences += [*noise[:before], sentence, *noise[before:]]
        ends.append(len(sentences))
    questions = tuple(
        one._replace(facts=tuple(place[i] for i in one.facts), seen=ends[one.seen - 1] if one.seen else 0)
        for one in story.questions
    )
    return Story(tuple(sentences), questions)
