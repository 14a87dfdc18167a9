"""Graphs as tables, and as sequences of triples of labels: what the tasks in `graphs.py` are made of.

A label is a number from 0 to 999, shown as three digits, one-hot: 30 numbers. A triple (source, edge, destination) is 90.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from diffmem.tasks.base import Batch, channels

NONE = -1  # no edge; a label that is left blank
LABELS = 1000
CHANGE = 90  # the input that marks the first step of a phase


class Graph(NamedTuple):
    """A directed graph of up to N nodes, each with up to K edges.

    destinations: [N, K], the node each edge leads to, or NONE.
    nodes: [N], labels of the nodes.
    edges: [N, K], labels of the edges, distinct within a node.
    """

    destinations: Array
    nodes: Array
    edges: Array


class Map(NamedTuple):
    """A graph whose nodes and edges have names: edges[k] leads from nodes[n] to nodes[destinations[n, k]], or nowhere."""

    nodes: tuple[str, ...]
    edges: tuple[str, ...]
    destinations: np.ndarray


def mapped(edges: Sequence[tuple[str, str, str]], order: Sequence[str] = ()) -> Map:
    """A map from named edges (source, edge, destination).

    Args:
        edges: a name leads from a source to one destination only, and from every node something leads away.
        order: the names of the edges in the order of the columns; none: as they come.

    Raises:
        ValueError: an edge that has two destinations, a node that nothing leads away from.
    """
    nodes = tuple(dict.fromkeys(source for source, _, _ in edges))
    names = tuple(order or dict.fromkeys(name for _, name, _ in edges))
    destinations = np.full((len(nodes), len(names)), NONE, np.int32)
    for source, name, destination in edges:
        if destination not in nodes:
            raise ValueError(f"edges is illegal: nothing leads away from {destination!r}")
        place = nodes.index(source), names.index(name)
        if destinations[place] != NONE:
            raise ValueError(f"edges is illegal: from {source!r}, {name!r} leads to two nodes")
        destinations[place] = nodes.index(destination)
    return Map(nodes, names, destinations)


def nearest(key: Array, count: Array, degree: Array, nodes: int, most: int) -> Array:
    """`count` random points in the unit square, each with an edge to its `degree` nearest neighbours: [nodes, most]."""
    points, n = jax.random.uniform(key, (nodes, 2)), jnp.arange(nodes)
    distance = jnp.sum((points[:, None] - points) ** 2, -1)
    distance = jnp.where((n[:, None] == n) | (n >= count), jnp.inf, distance)
    _, order = jax.lax.top_k(-distance, most)
    return jnp.where((n[:, None] < count) & (jnp.arange(most) < degree), order, NONE)


def distinct(key: Array, shape: tuple[int, ...], labels: int) -> Array:
    """Random numbers below `labels`, distinct along the last axis.

    The k-th is drawn among those that are left, as its rank among them, and the ranks are turned into numbers.
    """
    size = shape[-1]
    ranks = jax.random.randint(key, shape, 0, labels - jnp.arange(size))
    taken = jnp.full(shape, labels)  # sorted
    drawn = []
    for k in range(size):
        number = ranks[..., k]
        for before in range(k):
            number = number + (taken[..., before] <= number)
        drawn.append(number)
        taken = jnp.sort(taken.at[..., k].set(number), -1)
    return jnp.stack(drawn, -1)


def distances(destinations: Array, longest: int) -> tuple[Array, Array]:
    """Lengths of the shortest paths, and whether there is just one of that length.

    The number of walks of d edges between two nodes is in the d-th power of the matrix of edges.

    Args:
        destinations: [N, K], of a `Graph`.
        longest: longest path that matters.

    Returns:
        Both [N, N], from row to column; the distance is longest + 1 where there is no path of at most that length.
    """
    nodes = len(destinations)
    edges = jax.nn.one_hot(destinations, nodes).sum(1)
    walks = jnp.eye(nodes)
    distance = jnp.where(walks > 0, 0, longest + 1)
    single = walks > 0
    for d in range(1, longest + 1):
        walks = walks @ edges
        first = (walks > 0) & (distance > d)
        distance = jnp.where(first, d, distance)
        single = jnp.where(first, walks == 1, single)
    return distance, single


def longest(key: Array, values: Array, most: Array) -> tuple[Array, Array]:
    """Row and column of one of the largest values that are at most `most`, uniformly drawn."""
    values = jnp.where(values <= most, values, 0)
    place = jax.random.categorical(key, jnp.where(values == values.max(), 0.0, -jnp.inf).ravel())
    return place // values.shape[1], place % values.shape[1]


def triples(graph: Graph, sources: Array, columns: Array) -> Array:
    """The labels of edges: sources and columns [...] -> [..., 3]."""
    ends = graph.destinations[sources, columns]
    return jnp.stack([graph.nodes[sources], graph.edges[sources, columns], graph.nodes[ends]], -1)


def ordered(key: Array, graph: Graph, room: int) -> tuple[Array, Array, Array]:
    """All edges of a graph in random order, as sources and columns [room], and their number."""
    there = (graph.destinations != NONE).ravel()
    order = jnp.argsort(jnp.where(there, jax.random.uniform(key, there.shape), 1.0))[:room]
    return order // graph.edges.shape[1], order % graph.edges.shape[1], there.sum()


def described(key: Array, graph: Graph, room: int) -> tuple[Array, Array]:
    """All edges of a graph in random order, as triples [room, 3], and their number."""
    *places, edges = ordered(key, graph, room)
    return triples(graph, *places), edges


def digits(labels: Array) -> Array:
    """Labels [..., G] as digits [..., 3 G]; a blank has the digits NONE."""
    each = jnp.where(labels[..., None] == NONE, NONE, labels[..., None] // jnp.array([100, 10, 1]) % 10)
    return each.reshape(*labels.shape[:-1], -1)


def episode(description: Array, query: Array, answer: Array, counts: Sequence[Array], feedback: bool, steps: int) -> Batch:
    """One sequence: description, query, steps of planning without input, and answer.

    Inputs are the triple's 90 numbers, a flag at the first step of every phase after the description, and one at all steps of
    the answer. Targets are the nine digits of each triple of the answer.

    Args:
        description: triples [E, 3].
        query: triples [Q, 3], with blanks.
        answer: triples [A, 3].
        counts: how many triples of the description, triples of the query, steps of planning, and triples of the answer there
            are; what a table has beyond that is left out.
        feedback: whether a step of the answer sees the triple that was right one step before.
        steps: length of the sequence.
    """
    t = jnp.arange(steps)
    asking, planning, answering, end = jnp.cumsum(jnp.stack(counts))
    mask = (t >= answering) & (t < end)

    def from_step(begin, values):
        return values[jnp.clip(t - begin, 0, len(values) - 1)]

    phases = [t < asking, t < planning, mask & (t > answering) & feedback]
    tables = [from_step(0, description), from_step(asking, query), from_step(answering + 1, answer)]
    shown = jnp.select([phase[:, None] for phase in phases], tables, NONE)
    bits = jax.nn.one_hot(digits(shown), 10).reshape(steps, -1)
    change = (t == asking) | (t == planning) | (t == answering)
    targets = jnp.where(mask[:, None], digits(from_step(answering, answer)), 0)
    return Batch(channels(bits, change, mask), targets.astype(jnp.int32), mask)
