"""Our own generator of the 20 bAbI tasks, for more questions and longer stories than the data set has.

The rules in `world`, `scenes` and `relations` (when a question is asked, about whom, what happens how often) are measured on
the published training files, which also set the oddities: task 5 may give two things to the same person, task 10 may leave
open "either in the park or the park", task 14 may name a room that was visited twice, task 16 may contradict its own rule.

Differences from the data set:
    - Task 16: three or more animals of a species agree in colour too often (all three: 52 % of such stories, not 33 %).
    - Task 18: all questions come after the last sentence; in the data set 1 story in 50 asks some of them earlier.

Source: Weston et al. 2015, "Towards AI-Complete Question Answering", arXiv:1502.05698; the noise: Kuratov et al. 2024,
"BABILong", arXiv:2406.10149.
"""

import sys

import numpy as np

from diffmem.tasks.babi.generate.noise import add_noise
from diffmem.tasks.babi.generate.relations import RELATIONS
from diffmem.tasks.babi.generate.scenes import SCENES
from diffmem.tasks.babi.generate.world import play
from diffmem.tasks.babi.text import Story, check_task

# The sentences a story can have. Open ranges end at sys.maxsize.
LENGTHS = {
    **dict.fromkeys((1, 6, 7, 8, 9, 10, 12), range(1, sys.maxsize)),
    **dict.fromkeys((2, 5, 18), range(2, sys.maxsize)),
    3: range(3, sys.maxsize),  # to get, to move, to move
    **dict.fromkeys((11, 13), range(2, sys.maxsize, 2)),  # a name, then a pronoun
    14: range(2, 17),  # four people at four times
    4: range(1, 6),  # six rooms
    17: range(2, 6),  # six shapes
    19: range(2, 6),  # six rooms
    15: range(8, 9),  # four species, four names
    16: range(9, 10),  # five names
    20: range(9, 13),  # by how many of the four have the same motive
}


def generate(task: int, questions: int, *, seed: int = 0, length: int | None = None, distractors: float = 0.0) -> list[Story]:
    """Generates stories in the data set's format, with supporting facts.

    Args:
        task: 1 to 20.
        questions: in total; the last story may have fewer than the others.
        seed: stories are the same for the same arguments.
        length: sentences of every story instead of the data set's distribution, before distractors. A longer story has its
            questions at the end, after every second sentence where one can be asked, five at most.
        distractors: sentences about something else for each sentence of the story, on average (a Poisson distribution).

    Returns:
        Stories, the facts of whose questions are indices into all of their sentences, distractors included.

    Raises:
        ValueError: an argument out of range, or a length that the task cannot have.

    Example:
        >>> story = generate(1, 5)[0]
        >>> len(story.sentences), len(story.questions)
        (10, 5)
    """
    check_task(task)
    for name, value, least in (("questions", questions, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name} is {value!r}; legal: an integer of {least} or more")
    if not 0 <= distractors < float("inf"):
        raise ValueError(f"distractors is {distractors!r}; legal: a number of 0 or more")
    legal = LENGTHS[task]
    if length is not None and (isinstance(length, bool) or length not in legal):
        raise ValueError(f"length is {length!r}; legal for bAbI task {task}: {_describe(legal)}")

    rng = np.random.default_rng((seed, task))
    stories: list[Story] = []
    while questions > 0:
        story = play(SCENES[task], rng, length) if task in SCENES else RELATIONS[task](rng, length)
        story = story._replace(questions=story.questions[-questions:])
        questions -= len(story.questions)
        stories.append(add_noise(rng, story, distractors) if distractors else story)
    return stories


def _describe(legal: range) -> str:
    if len(legal) == 1:
        return f"None or {legal[0]}"
    if legal.stop == sys.maxsize:
        return f"None or {legal.start} and more" + (", even" if legal.step == 2 else "")
    return f"None or {legal[0]} to {legal[-1]}"
