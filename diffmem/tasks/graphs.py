"""Two graph tasks of the Differentiable Neural Computer: traversal and shortest path. The third is in `inference.py`.

A graph is read edge by edge, as triples of labels in random order; a query follows, then perhaps steps for planning, then the
answer, triples again. Labels are new in every sequence, so that a graph can only be read, not learned.

In the drawings time runs rightwards, letters and numbers are labels of three digits, `.` is zero and `x` marks a step whose
cost counts. The graph is drawn with two edges from A, so that edge 1 leads to B and edge 2 to C, and so on.

Source: Graves et al. 2016, Hybrid computing using a neural network with dynamic external memory, Nature 538, methods, "Graph
task descriptions", and figure 2.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from diffmem.base import check_choice, check_counts, check_number
from diffmem.tasks import family, underground
from diffmem.tasks.base import Batch, Context, DigitTask, check_at_least, per_sequence, settle_range
from diffmem.tasks.triples import (
    CHANGE,
    LABELS,
    NONE,
    Graph,
    Map,
    described,
    distances,
    distinct,
    episode,
    longest,
    mapped,
    nearest,
    ordered,
    triples,
)

# Named graphs to evaluate on; more can be added.
GRAPHS: dict[str, Map] = {
    "underground": mapped(underground.EDGES),
    "family": mapped(family.EDGES, family.KIN),
}


class Lesson(NamedTuple):
    """Ranges, both ends included, that a sequence of a lesson is drawn from."""

    nodes: tuple[int, int]
    degree: tuple[int, int]
    """Edges that leave a node."""
    path: tuple[int, int]
    """Edges that an answer follows."""


@dataclass(frozen=True)
class GraphTask(DigitTask):
    """What the three tasks share. A length is the number of a lesson, from 1: `lengths` are the lessons trained on."""

    lessons: ClassVar[tuple[Lesson, ...]]

    max_length: int = 7
    lengths: tuple[int, int] | None = None
    graph: str = "random"
    path: int | None = None
    planning: int = 0
    edge_labels: int = LABELS

    def __post_init__(self):
        check_at_least(self, max_length=1, planning=0, **({} if self.path is None else {"path": 1}))
        if self.max_length > len(self.lessons):
            raise ValueError(
                f"{type(self).__name__}.max_length is {self.max_length}; legal: 1 to {len(self.lessons)}, the number of lessons"
            )
        check_choice(self, "graph", ("random", *GRAPHS))
        most = max(lesson.degree[1] for lesson in self.lessons[: self.max_length])
        check_counts(self, edge_labels=self.edge_labels)
        check_number(self, "edge_labels", f"an integer from {most} to {LABELS}", lambda n: most <= n <= LABELS)
        settle_range(self, "lengths", *self.legal_lengths)

    input_size = property(lambda self: 92)
    output_size = property(lambda self: 90)
    legal_lengths = property(lambda self: (1, self.max_length))

    def on(self, graph: str, path: int | None = None):
        """The same task on a named graph, where a lesson only sets the length of paths, unless `path` does."""
        return replace(self, graph=graph, path=path)

    @property
    def steps(self) -> int:
        """Room for the longest description, query, planning and answer up to lesson `max_length`."""
        return self._edges + self._queries + self.planning + self._answers

    @property
    def _edges(self) -> int:
        if self.graph != "random":
            return int((GRAPHS[self.graph].destinations != NONE).sum())
        return max(lesson.nodes[1] * lesson.degree[1] for lesson in self.lessons[: self.max_length])

    @property
    def _longest(self) -> int:
        return self.path or max(lesson.path[1] for lesson in self.lessons[: self.max_length])

    _queries = property(lambda self: 1)
    _answers = property(lambda self: self._longest)

    def example(self, key: Array, length: Array) -> Batch:
        """One sequence: what is asked is drawn from the same key as the graph."""
        return self._ask(key, key, length)

    def _ask(self, key: Array, question: Array, length: Array) -> Batch:
        """One sequence on the graph of a key, with what is asked drawn from another."""
        raise NotImplementedError

    def sample_shared(self, key: Array, graphs: int, questions: int, length: Any) -> tuple[Context, Batch]:
        """Draws graphs, and several questions on each.

        Args:
            key: PRNG key.
            graphs: number of graphs, static.
            questions: number of questions on each, static.
            length: lesson of each graph, as in `sample`.

        Returns:
            The descriptions [graphs, ...], and what follows them [graphs * questions, ...], question after question.

        Raises:
            ValueError: a length that is not traced lies outside the legal range.
        """
        lengths = per_sequence("length", length, graphs, *self.legal_lengths)
        return _draw_shared(self, key, graphs, questions, lengths)

    @property
    def _ranges(self) -> np.ndarray:
        return np.array(self.lessons)[: self.max_length]

    def _sizes(self, key: Array, length: Array) -> Array:
        """How many nodes and edges of each a graph has, and edges a path."""
        low, high = jnp.moveaxis(jnp.asarray(self._ranges)[length - 1], -1, 0)
        return jax.random.randint(jax.random.split(key, 4)[0], (3,), low, high + 1)

    def _path(self, key: Array, length: Array) -> Array:
        """How long a path is asked for."""
        return self._sizes(key, length)[2] if self.path is None else jnp.int32(self.path)

    def _draw(self, key: Array, length: Array) -> Graph:
        """A graph with labels."""
        count, degree, _ = self._sizes(key, length)
        _, shape, node_key, edge_key = jax.random.split(key, 4)
        if self.graph == "random":
            destinations = nearest(shape, count, degree, *self._ranges[:, :2, 1].max(0))
            edges = distinct(edge_key, destinations.shape, self.edge_labels)
            if self.edge_labels < LABELS:
                edges = jax.random.permutation(jax.random.fold_in(edge_key, 1), LABELS)[edges]
        else:
            destinations = jnp.asarray(GRAPHS[self.graph].destinations)
            edges = jnp.broadcast_to(jax.random.permutation(edge_key, LABELS)[: destinations.shape[1]], destinations.shape)
        return Graph(destinations, jax.random.permutation(node_key, LABELS)[: len(destinations)], edges)

    def _episode(self, key: Array, graph: Graph, query: Array, answer: Array, asked: Any, answered: Any, feedback=False):
        description, edges = described(key, graph, self._edges)
        counts = [edges, jnp.asarray(asked), jnp.asarray(self.planning), jnp.asarray(answered)]
        return episode(description, query, answer, counts, feedback, self.steps)


def _over_questions(one: Callable, key: Array, graphs: int, questions: int, lengths: Array) -> Any:
    """one(key of a graph, keys of its questions, length) for all graphs: [graphs, ...]."""
    keys = jax.random.split(key, graphs)
    return jax.vmap(one)(keys, jax.vmap(lambda key: jax.random.split(key, questions))(keys), lengths)


@partial(jax.jit, static_argnums=(0, 2, 3))
def _draw_shared(task: GraphTask, key: Array, graphs: int, questions: int, lengths: Array) -> tuple[Context, Batch]:
    room = task._edges

    def one(key, asked, length):
        batch = jax.vmap(task._ask, (None, 0, None))(key, asked, length)
        edges = jnp.argmax(batch.inputs[0, :, CHANGE])  # the first new phase is the query
        padded = jnp.pad(batch.inputs[0], ((room, 0), (0, 0)))
        context = Context(lax.dynamic_slice_in_dim(padded, edges, room), jnp.arange(room) == room - edges)
        return context, jax.tree.map(lambda a: lax.dynamic_slice_in_dim(a, edges, task.steps - room, 1), batch)

    context, batch = _over_questions(one, key, graphs, questions, lengths)
    return context, jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), batch)


@partial(jax.jit, static_argnums=(0, 2, 3))
def _draw_guide(task: "ShortestPath", key: Array, graphs: int, questions: int, lengths: Array) -> Array:
    guides = _over_questions(jax.vmap(task._guide, (None, 0, None)), key, graphs, questions, lengths)
    return guides.reshape(-1, *guides.shape[2:])


@dataclass(frozen=True)
class Traversal(GraphTask):
    """Follow edges from a node: given the node and the labels of the edges, name the edges in full.

        lesson 2, path of 2         t   0  1  2  3  4  5  6  7  8
        inputs    source                A  B  A  C  B  A  .  .  .
                  edge                  1  1  2  1  2  2  1  .  .
                  destination           B  C  C  B  A  .  .  .  .
                  new phase             .  .  .  .  .  1  .  1  .
                  answer now            .  .  .  .  .  .  .  1  1
        targets   source                .  .  .  .  .  .  .  A  C
                  edge                  .  .  .  .  .  .  .  2  1
                  destination           .  .  .  .  .  .  .  C  B
        mask                            .  .  .  .  .  .  .  x  x

    Args:
        max_length: last lesson that there is room for.
        lengths: first and last lesson trained on; None: from 1 to max_length.
        graph: "random", or a named graph: "underground", "family".
        path: length of all paths; None: as the lesson says.
        planning: steps without input between query and answer.
        edge_labels: how many labels the edges of a random graph have between them, new ones in every graph. Few make edges
            share labels, as the tracks of a railway line do, so that only a node and a label together tell an edge.

    Example:
        >>> batch = Traversal(max_length=2).sample(jax.random.key(0), 32, length=2)
        >>> batch.inputs.shape, batch.targets.shape, int(batch.mask[0].sum()) in (1, 2)
        ((32, 16, 92), (32, 16, 9), True)

    Differences from the paper:
        - the lessons are ours, see `Traversal.lessons`; the last has graphs and paths of the size of its Underground task.
          `sample_lengths` mixes lessons evenly, or moves on when one is learned, as in the paper, where it is given a lesson:
          `python -m experiments.train dnc_traversal --curriculum 0.5`.
        - the Underground is another excerpt, of 106 edges instead of 84.
        - no end marker: the answer is as long as the query.
    """

    lessons = (
        Lesson((3, 4), (1, 2), (1, 1)),
        Lesson((4, 6), (1, 2), (1, 2)),
        Lesson((5, 8), (2, 2), (1, 3)),
        Lesson((6, 12), (2, 3), (2, 4)),
        Lesson((8, 16), (2, 4), (3, 5)),
        Lesson((10, 20), (2, 5), (3, 6)),
        Lesson((15, 25), (2, 5), (4, 7)),
    )

    _queries = property(lambda self: self._longest)

    def _ask(self, key: Array, question: Array, length: Array) -> Batch:
        draw_key, _, _, order_key = jax.random.split(key, 4)
        path_key, start_key, walk_key, _ = jax.random.split(question, 4)
        graph, path = self._draw(draw_key, length), self._path(path_key, length)
        there = graph.destinations != NONE

        def step(node, key):
            column = jax.random.categorical(key, jnp.where(there[node], 0.0, -jnp.inf))
            return graph.destinations[node, column], (node, column)

        start = jax.random.categorical(start_key, jnp.where(there.any(1), 0.0, -jnp.inf))
        _, (sources, columns) = jax.lax.scan(step, start, jax.random.split(walk_key, self._longest))
        answer = triples(graph, sources, columns)
        first = jnp.arange(self._longest) == 0
        query = answer.at[:, 0].set(jnp.where(first, answer[:, 0], NONE)).at[:, 2].set(NONE)
        return self._episode(order_key, graph, query, answer, path, path)


@dataclass(frozen=True)
class ShortestPath(GraphTask):
    """Find the shortest path between two nodes, after some steps of planning.

        path of 2, 3 of planning    t   0  1  2  3  4  5  6  7  8  9 10
        inputs    source                A  B  A  C  B  B  .  .  .  .  B
                  edge                  1  1  2  1  2  .  .  .  .  .  2
                  destination           B  D  C  B  A  C  .  .  .  .  A
                  new phase             .  .  .  .  .  1  1  .  .  1  .
                  answer now            .  .  .  .  .  .  .  .  .  1  1
        targets   source                .  .  .  .  .  .  .  .  .  B  A
                  edge                  .  .  .  .  .  .  .  .  .  2  2
                  destination           .  .  .  .  .  .  .  .  .  A  C
        mask                            .  .  .  .  .  .  .  .  .  x  x

    The two nodes are a random pair with a single shortest path, of the length that is asked for or the longest below it. While
    it answers, a model sees the triple that was right one step before. That an answer is right as a whole means the same as if
    it saw its own triples: up to the first wrong one, they are the right ones.

    Args:
        max_length: last lesson that there is room for.
        lengths: first and last lesson trained on; None: from 1 to max_length.
        graph: "random", or a named graph: "underground", "family".
        path: length of all paths; None: as the lesson says.
        planning: steps without input between query and answer.
        edge_labels: how many labels the edges of a random graph have between them, new ones in every graph. Few make edges
            share labels, as the tracks of a railway line do, so that only a node and a label together tell an edge.

    Example:
        >>> batch = ShortestPath(max_length=2).sample(jax.random.key(0), 32, length=2)
        >>> batch.inputs.shape, batch.targets.shape
        ((32, 25, 92), (32, 25, 9))

    Differences from the paper:
        - the lessons are ours, and the Underground is another excerpt, as in `Traversal`.
        - training is on the right path; in the paper a model is also led along its own, and learns to go on from there.
        - pairs with several shortest paths are not asked about.
    """

    lessons = (
        Lesson((3, 5), (1, 2), (1, 1)),
        Lesson((5, 6), (2, 2), (1, 2)),
        Lesson((6, 8), (2, 2), (2, 2)),
        Lesson((8, 12), (2, 3), (2, 3)),
        Lesson((10, 16), (2, 3), (2, 4)),
        Lesson((15, 20), (2, 4), (3, 4)),
        Lesson((20, 25), (2, 5), (3, 5)),
    )

    planning: int = 10

    guided_heads: ClassVar[int] = 5
    guided_steps = property(lambda self: (0, 1, 2, 3, self.planning))

    def guide(self, key: Array, graphs: int, questions: int, length: Any) -> Array:
        """What a search from both ends would read, for the questions that `sample_shared` draws with the same arguments.

        In `guided_steps`, counted from the query: 0: the edges from the start, and those to the goal. 1: those that follow, and
        those that go before. 2: the path's one or two edges in the middle, where the two sides meet. 3 and the last step of
        planning: its first edge, those between, its last edge. The first two heads read the sides, the others the path.

        Args:
            key: as in `sample_shared`.
            graphs: as in `sample_shared`.
            questions: as in `sample_shared`.
            length: as in `sample_shared`.

        Returns:
            [graphs * questions, 5 steps, 5 heads, P] bool, over the P steps of `Context`: which edges are read, all equally.
            Where there are none, nothing is said about that head and step.
        """
        lengths = per_sequence("length", length, graphs, *self.legal_lengths)
        return _draw_guide(self, key, graphs, questions, lengths)

    def _pair(self, key: Array, question: Array, length: Array) -> tuple[Array, Graph, Array, Array, Array]:
        """The key of the order of the edges, a graph, the distances in it, and the two nodes that are asked about."""
        draw_key, _, order_key = jax.random.split(key, 3)
        path_key, pair_key, _ = jax.random.split(question, 3)
        graph, path = self._draw(draw_key, length), self._path(path_key, length)
        distance, single = distances(graph.destinations, self._longest)
        return order_key, graph, distance, *longest(pair_key, jnp.where(single, distance, 0), path)

    def _ask(self, key: Array, question: Array, length: Array) -> Batch:
        order_key, graph, distance, start, goal = self._pair(key, question, length)

        def step(node, _):
            ends = graph.destinations[node]
            nearer = (ends != NONE) & (distance[ends, goal] == distance[node, goal] - 1)
            column = jnp.argmax(nearer)
            return ends[column], (node, column)

        _, (sources, columns) = jax.lax.scan(step, start, length=self._longest)
        query = jnp.stack([graph.nodes[start], jnp.int32(NONE), graph.nodes[goal]])[None]
        answer = triples(graph, sources, columns)
        return self._episode(order_key, graph, query, answer, 1, distance[start, goal], feedback=True)

    def _guide(self, key: Array, question: Array, length: Array) -> Array:
        order_key, graph, distance, start, goal = self._pair(key, question, length)
        sources, columns, edges = ordered(order_key, graph, self._edges)
        ends, there = graph.destinations[sources, columns], jnp.arange(self._edges) < edges
        before, after, whole = distance[start, sources], distance[ends, goal], distance[start, goal]
        onward = there & (distance[start, ends] == before + 1)
        back = there & (distance[sources, goal] == after + 1)
        path = there & (before + after + 1 == whole)
        met = path & (abs(before - after) <= 1)
        first, last = path & (before == 0), path & (after == 0)
        between = jnp.where(whole > 2, path & ~first & ~last, path)
        none = jnp.zeros_like(there)
        told = [[onward & (before == n), back & (after == n), none, none, none] for n in range(2)]
        told += [[none, none, met, none, none], *[[none, none, first, between, last]] * 2]
        return jnp.roll(jnp.array(told), self._edges - edges, -1)
