"""Words that can stand for one another: with its names exchanged, a story is another one whose answers follow as before."""

import jax
import jax.numpy as jnp
import numpy as np

from diffmem.tasks.babi.arrays import Vocabulary
from diffmem.tasks.babi.text import TASKS

MEN, WOMEN = "bernhard bill brian daniel fred greg jeff john julius", "julie lily mary sandra"
KINDS = (
    f"{MEN} {WOMEN} emily gertrude jessica winona antoine jason sumit yann",
    "bathroom bedroom cinema garden hallway kitchen office park school",
    "apple football milk",
    "frog lion rhino swan",
    "blue gray green pink red white yellow",
    "rectangle sphere square triangle",
    "above below",
    "left right",
)
# Task 8 has lists of things as answers, task 11 has he and she, and task 20 knows what places and things are good for.
OWN = {8: KINDS[:2], 11: (MEN, WOMEN, *KINDS[1:]), 20: KINDS[:1]}


def kinds(vocabulary: Vocabulary, said: np.ndarray) -> np.ndarray:
    """The kind of every word in every task: words of the same kind can be exchanged, those of kind 0 stay.

    Args:
        vocabulary: of V words.
        said: [21, V] bool, which words occur in a task, by task; others stay.

    Returns:
        [21, V] numbers; row 0, which is no task, is zero.
    """
    found = np.zeros((len(TASKS) + 1, len(vocabulary)), np.int32)
    for task in range(1, len(found)):
        kind = {word: i for i, same in enumerate(OWN.get(task, KINDS), 1) for word in same.split()}
        found[task] = [kind.get(word, 0) for word in vocabulary.words]
    return found * said


def exchange(kind: jax.Array, key: jax.Array) -> jax.Array:
    """For every word a random one of its kind, no two words the same: numbers [V] for `kind` [V], a row of `kinds`."""
    place = jnp.arange(len(kind))
    drawn = jnp.where(kind > 0, jax.random.uniform(key, kind.shape), place)
    return jnp.zeros_like(place).at[jnp.argsort(kind)].set(jnp.lexsort((drawn, kind)))
