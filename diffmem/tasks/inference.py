"""Inference of relations: the third graph task of the Differentiable Neural Computer, and its family tree.

The drawing is read like those in `graphs.py`.

Source: Graves et al. 2016, Hybrid computing using a neural network with dynamic external memory, Nature 538, methods, "Graph
task descriptions", and figure 2.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from diffmem.base import check_choice
from diffmem.tasks import family
from diffmem.tasks.base import Batch
from diffmem.tasks.graphs import GraphTask, Lesson
from diffmem.tasks.triples import LABELS, NONE, longest


@dataclass(frozen=True)
class Inference(GraphTask):
    """Name the relative of a person: relations are paths of up to four edges, which have to be learned.

        B's paternal grandmother    t   0  1  2  3  4
        inputs    source                A  B  C  B  .
                  edge                  m  f  m  g  .     m mother, f father, g paternal grandmother
                  destination           C  A  D  .  .
                  new phase             .  .  .  1  1
                  answer now            .  .  .  .  1
        targets   source                .  .  .  .  B
                  edge                  .  .  .  .  g
                  destination           .  .  .  .  C
        mask                            .  .  .  .  x

    Edges are labelled with one of the six kin in `family.KIN`, and a query with one of `family.RELATIONS`. Their labels are
    always the same, 0 to 153 in that order; only people have new ones. In a random graph everybody's relatives are the nearest
    neighbours, which is no family, but has the same paths. Paths that meet somebody twice are not asked about: nobody is their
    own brother.

    Args:
        max_length: last lesson that there is room for.
        lengths: first and last lesson trained on; None: from 1 to max_length.
        graph: "random" or "family".
        path: length of all relations' paths, at most 4; None: as the lesson says.
        planning: steps without input between query and answer.

    Example:
        >>> batch = Inference(max_length=2).sample(jax.random.key(0), 32, length=2)
        >>> batch.inputs.shape, batch.targets.shape, batch.mask.sum(1).max()
        ((32, 20, 92), (32, 20, 9), Array(1, dtype=int32))

    Differences from the paper:
        - the lessons, the family and the relations are ours.
    """

    lessons = (
        Lesson((4, 6), (2, 3), (1, 1)),
        Lesson((4, 6), (2, 3), (1, 2)),
        Lesson((6, 10), (2, 3), (2, 2)),
        Lesson((8, 14), (2, 4), (2, 3)),
        Lesson((10, 18), (2, 4), (3, 3)),
        Lesson((12, 20), (2, 4), (3, 4)),
        Lesson((15, 22), (3, 4), (4, 4)),
    )

    def __post_init__(self):
        super().__post_init__()
        check_choice(self, "graph", ("random", "family"))
        check_choice(self, "edge_labels", (LABELS,))  # edges are labelled with kin
        if self.path is not None and self.path > 4:
            raise ValueError(f"Inference.path is {self.path}; legal: 1 to 4, the length of the longest relations")

    _answers = property(lambda self: 1)

    def _ask(self, key: Array, question: Array, length: Array) -> Batch:
        draw_key, kin_key, _, order_key = jax.random.split(key, 4)
        path_key, _, pair_key, _ = jax.random.split(question, 4)
        graph, path = self._draw(draw_key, length), self._path(path_key, length)
        kin, destinations = len(family.KIN), graph.destinations
        if self.graph == "random":  # who of the relatives is what
            destinations = jnp.pad(destinations, ((0, 0), (0, kin - destinations.shape[1])), constant_values=NONE)
            destinations = jax.random.permutation(kin_key, destinations, axis=1, independent=True)
        graph = graph._replace(destinations=destinations, edges=jnp.broadcast_to(jnp.arange(kin), destinations.shape))
        ends, sizes = relatives(destinations)
        person, relation = longest(pair_key, jnp.where(ends != NONE, sizes, 0), path)
        answer = jnp.stack([graph.nodes[person], relation, graph.nodes[ends[person, relation]]])[None]
        return self._episode(order_key, graph, answer.at[0, 2].set(NONE), answer, 1, 1)


def relatives(destinations: Array) -> tuple[Array, Array]:
    """Relatives [N, R], NONE where there is none or the path meets somebody twice, and the lengths of the paths [R]."""
    paths = list(family.RELATIONS.values())
    sizes = np.array([len(path) for path in paths])
    columns = np.array([[*map(family.KIN.index, path), *[NONE] * (max(sizes) - len(path))] for path in paths])
    here = jnp.broadcast_to(jnp.arange(len(destinations))[:, None], (len(destinations), len(paths)))
    met = [here]
    for column in columns.T:
        there = jnp.where(here == NONE, NONE, destinations[here, column])
        there = jnp.where(sum(there == node for node in met) > 0, NONE, there)
        here = jnp.where(column == NONE, here, there)
        met.append(here)
    return here, jnp.asarray(sizes)
