"""Graph tasks: each sequence is read again as labels, and its question answered by searching through the edges it shows."""

from collections import Counter, deque
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmem.tasks import TASKS, Batch, Inference, ShortestPath, Traversal, family, underground
from diffmem.tasks.graphs import GRAPHS
from diffmem.tasks.inference import relatives
from diffmem.tasks.triples import NONE, Graph, described, digits, distances, distinct, episode, longest, mapped, nearest

KEY = jax.random.key(0)
BATCH = 70
TASKS_ON = {
    "traversal": Traversal(),
    "shortest": ShortestPath(),
    "inference": Inference(),
    "traversal with lines": Traversal(edge_labels=20),
    # The paper's tests: seven steps on the Underground, the shortest ways of four, relatives four steps away.
    "traversal underground": Traversal().on("underground", 7),
    "shortest underground": ShortestPath().on("underground", 4),
    "inference family": Inference().on("family", 4),
}
every_task = pytest.mark.parametrize("name", TASKS_ON)


@pytest.fixture(scope="module")
def batches():
    """Ten sequences of every lesson, once for each task."""
    lessons, drawn = np.resize(np.arange(1, 8), BATCH), {}

    def draw(name):
        if name not in drawn:
            drawn[name] = jax.tree.map(np.asarray, TASKS_ON[name].sample(KEY, BATCH, lessons))
        return lessons, drawn[name]

    return draw


# --- reading a sequence -----------------------------------------------------------------------------------------------


def label(bits):
    """30 numbers as a label, or None where it is left blank."""
    hot = bits.reshape(3, 10)
    if not hot.any():
        return None
    assert (hot.sum(1) == 1).all()
    return int("".join(str(digit) for digit in hot.argmax(1)))


def triples_in(inputs):
    """What steps show, as triples of labels."""
    return [tuple(label(part) for part in row[:90].reshape(3, 30)) for row in np.asarray(inputs)]


def answered_with(targets, mask):
    """The triples of an answer."""
    return [tuple(int("".join(map(str, part))) for part in row.reshape(3, 3)) for row in np.asarray(targets)[np.asarray(mask)]]


def read(task, inputs, targets, mask):
    """Edges {(source, edge): destination}, the query's triples, and the answer's."""
    (changes,) = np.nonzero(inputs[:, 90])
    asking, planning, answering = changes if task.planning else (*changes, changes[-1])
    shown = triples_in(inputs)
    assert answering - planning == task.planning
    assert shown[planning:answering] == [(None, None, None)] * task.planning
    (answered,) = np.nonzero(mask)
    assert answered.tolist() == list(range(answering, answering + len(answered)))
    np.testing.assert_array_equal(inputs[:, 91], mask)
    assert not targets[~mask].any()
    answer = answered_with(targets, mask)
    feedback = [*answer[:-1]] if isinstance(task, ShortestPath) else [(None, None, None)] * (len(answer) - 1)
    assert shown[answering:] == [(None, None, None), *feedback, *[(None, None, None)] * (task.steps - answering - len(answer))]
    edges = {(source, edge): destination for source, edge, destination in shown[:asking]}
    assert len(edges) == asking  # no edge twice
    assert None not in {*edges.values(), *sum(edges, ())}
    return edges, shown[asking:planning], answer


def shortest(edges, start, goal):
    """All shortest paths, as lists of triples, by breadth-first search."""
    found, queue = [], deque([(start, [])])
    while queue:
        node, path = queue.popleft()
        if found and len(path) >= len(found[0]):
            break
        for (source, edge), destination in edges.items():
            if source == node and destination not in {start, *(step[2] for step in path)}:
                more = [*path, (source, edge, destination)]
                if destination == goal:
                    found.append(more)
                else:
                    queue.append((destination, more))
    least = min(map(len, found))
    return [path for path in found if len(path) == least]


def follow(task, sequence):
    """The length of the path that a sequence asks for; its answer is the one that follows from its edges."""
    edges, query, answer = read(task, *sequence)
    if isinstance(task, Traversal):
        node = query[0][0]
        assert [step[0::2] for step in query] == [(node, None), *[(None, None)] * (len(query) - 1)]
        expected = []
        for _, edge, _ in query:
            expected.append((node, edge, edges[node, edge]))
            node = edges[node, edge]
    elif isinstance(task, ShortestPath):
        ((start, blank, goal),) = query
        assert blank is None
        (expected,) = shortest(edges, start, goal)  # there is one only
    else:
        ((person, relation, blank),) = query
        assert blank is None
        path = list(family.RELATIONS.values())[relation]
        met = [person]
        for kin in path:
            met.append(edges[met[-1], family.KIN.index(kin)])
        assert len(set(met)) == len(met)  # nobody is their own brother
        expected = [(person, relation, met[-1])]
    assert answer == expected
    return len(path) if isinstance(task, Inference) else len(answer)


# --- the answers ------------------------------------------------------------------------------------------------------


@every_task
def test_shapes(name, batches):
    task = TASKS_ON[name]
    inputs, targets, mask = batches(name)[1]
    assert inputs.shape == (BATCH, task.steps, 92)
    assert targets.shape == (BATCH, task.steps, 9)
    assert (inputs.dtype, targets.dtype, mask.dtype) == (np.float32, np.int32, bool)
    assert mask.any(1).all()
    assert targets.min() >= 0
    assert targets.max() == 9
    assert type(task) in TASKS.values()
    rooms = {"traversal underground": 106 + 7 + 7, "shortest underground": 106 + 1 + 10 + 4, "inference family": 60 + 1 + 1}
    assert task.steps == rooms.get(name, task.steps)
    assert hash(task) == hash(replace(task))


@every_task
def test_the_answer_follows_from_what_is_shown(name, batches):
    task, (lessons, batch) = TASKS_ON[name], batches(name)
    lengths = {}
    for lesson, *sequence in zip(lessons, *batch, strict=True):
        size = follow(task, sequence)
        low, high = (task.path, task.path) if task.path else task.lessons[lesson - 1].path
        assert size <= high
        assert size >= low or not isinstance(task, Traversal)
        lengths.setdefault(lesson, []).append(size)
    if task.path:
        assert {size for sizes in lengths.values() for size in sizes} == {task.path}
    else:
        assert [max(lengths[lesson]) for lesson in range(1, 8)] == [lesson.path[1] for lesson in task.lessons]


@every_task
def test_questions_on_one_graph_are_sequences_with_the_same_description(name):
    task, graphs, questions = TASKS_ON[name], 3, 5
    context, batch = task.sample_shared(KEY, graphs, questions, jnp.array([1, 4, 7]))
    room = context.inputs.shape[1]
    assert batch.inputs.shape == (graphs * questions, task.steps - room, 92)
    asked = []
    for i, (inputs, targets, mask) in enumerate(zip(*map(np.asarray, batch), strict=True)):
        shown, starts = (np.asarray(array[i // questions]) for array in context)
        (begin,) = np.nonzero(starts)[0]
        assert not shown[:begin].any()
        # The whole sequence, as `sample` has it: what is left over is behind its end.
        inputs = np.concatenate([shown[begin:], inputs, shown[:begin]])
        targets, mask = (np.roll(np.pad(a, [(room, 0), *[(0, 0)] * (a.ndim - 1)]), -begin, 0) for a in (targets, mask))
        follow(task, (inputs, targets, mask))
        asked.append(inputs[room - begin :].tobytes())
    assert all(len(set(asked[first : first + questions])) > 1 for first in range(0, len(asked), questions))


def reached(edges, start):
    """The distance of every node from a start, along edges (source, label, destination)."""
    found, queue = {start: 0}, deque([start])
    while queue:
        here = queue.popleft()
        for source, _, destination in edges:
            if source == here and destination not in found:
                found[destination] = found[here] + 1
                queue.append(destination)
    return found


@pytest.mark.parametrize("name", ["shortest", "shortest underground"])
def test_a_guide_reads_the_edges_that_a_search_from_both_ends_goes_through(name):
    task, graphs, questions = TASKS_ON[name], 4, 5
    lessons, sizes = jnp.array([1, 3, 5, 7]), set()
    context, batch = task.sample_shared(KEY, graphs, questions, lessons)
    guides = np.asarray(task.guide(KEY, graphs, questions, lessons))
    assert guides.shape == (graphs * questions, 5, 5, context.inputs.shape[1])
    assert task.guided_steps == (0, 1, 2, 3, 10)
    for i, guide in enumerate(guides):
        shown = triples_in(context.inputs[i // questions])
        edges = [edge for edge in shown if edge[0] is not None]
        told = [[{shown[p] for p in np.nonzero(row)[0]} for row in step] for step in guide]
        ((start, _, goal),) = triples_in(batch.inputs[i, :1])
        ahead = reached(edges, start)
        behind = reached([edge[::-1] for edge in edges], goal)
        answer = answered_with(batch.targets[i], batch.mask[i])
        sizes.add(len(answer))
        for n in range(2):
            onward = {e for e in edges if ahead.get(e[0]) == n and ahead[e[2]] == n + 1}
            back = {e for e in edges if behind.get(e[2]) == n and behind[e[0]] == n + 1}
            assert told[n] == [onward, back, set(), set(), set()]
        middle = answer[(len(answer) - 1) // 2 : len(answer) // 2 + 1]
        assert told[2] == [set(), set(), set(middle), set(), set()]
        assert told[3] == told[4] == [set(), set(), {answer[0]}, set(answer[1:-1] or answer), {answer[-1]}]
    assert sizes == {4} if task.path else sizes >= {1, 2, 5}


@pytest.mark.parametrize("name", list(TASKS_ON)[:4])
def test_random_graphs_have_the_sizes_of_their_lesson(name, batches):
    task, (lessons, batch) = TASKS_ON[name], batches(name)
    for lesson, *sequence in zip(lessons, *batch, strict=True):
        edges, _, _ = read(task, *sequence)
        out = Counter(source for source, _ in edges)
        nodes, degree, _ = task.lessons[lesson - 1]
        assert {*edges.values()} <= {*out}
        assert nodes[0] <= len(out) <= nodes[1]
        assert len(set(out.values())) == 1
        assert degree[0] <= out.most_common()[0][1] <= degree[1] < nodes[0]
        assert all(source != destination for (source, _), destination in edges.items())


@pytest.mark.parametrize(("name", "edges"), [("traversal underground", underground.EDGES), ("inference family", family.EDGES)])
def test_named_graphs_are_shown_whole_with_new_labels(name, edges, batches):
    """Up to the names of nodes and edges it is the same graph: as many edges of each name from and to each node."""
    degrees = sorted(Counter(source for source, _, _ in edges).values())
    kinds = sorted(Counter(edge for _, edge, _ in edges).values())
    seen = set()
    for sequence in zip(*batches(name)[1], strict=True):
        shown, _, _ = read(TASKS_ON[name], *sequence)
        assert len(shown) == len(edges)
        assert sorted(Counter(source for source, _ in shown).values()) == degrees
        assert sorted(Counter(edge for _, edge in shown).values()) == kinds
        seen.add(frozenset(shown))
    assert len(seen) == BATCH


def test_edges_come_in_random_order(batches):
    """The place of the edge that a query asks for is uniform."""
    places = []
    for sequence in zip(*batches("traversal underground")[1], strict=True):
        edges, query, _ = read(TASKS_ON["traversal underground"], *sequence)
        places.append(list(edges).index(query[0][:2]) / len(edges))
    assert abs(np.mean(places) - 0.5) < 0.15  # four standard deviations
    assert np.std(places) > 0.2


# --- the parts, on small graphs by hand -------------------------------------------------------------------------------

#   0 -> 1 -> 2 -> 3,  0 -> 2,  1 -> 2 by a second edge,  3 leads back to 0;  4 leads to 0, and nothing to 4
TINY = jnp.array([[1, 2, NONE], [2, NONE, 2], [3, NONE, NONE], [0, NONE, NONE], [0, NONE, NONE]])


def test_distances_and_single_paths_of_a_graph_by_hand():
    distance, single = distances(TINY, 3)
    assert distance.tolist() == [[0, 1, 1, 2, 4], [3, 0, 1, 2, 4], [2, 3, 0, 1, 4], [1, 2, 2, 0, 4], [1, 2, 2, 3, 0]]
    assert single[1].tolist() == [False, True, False, False, False]  # two edges lead from 1 to 2
    assert single[0].tolist() == [True, True, True, True, False]
    assert single[4].tolist() == [True, True, True, True, True]


def test_longest_is_uniform_over_the_longest_that_fit():
    values = jnp.array([[1, 3, 2], [2, 0, 4]])
    keys = jax.random.split(KEY, 400)
    rows, columns = jax.jit(jax.vmap(lambda key: longest(key, values, 2)))(keys)
    assert Counter(zip(rows.tolist(), columns.tolist(), strict=True)).keys() == {(0, 2), (1, 0)}
    assert 150 < int((rows == 0).sum()) < 250
    assert longest(KEY, values, 9) == (1, 2)


def test_points_are_joined_to_their_nearest():
    destinations = np.asarray(nearest(KEY, 6, 2, 8, 3))
    points = np.asarray(jax.random.uniform(KEY, (8, 2)))
    assert (destinations[6:] == NONE).all()
    assert (destinations[:, 2] == NONE).all()
    for n in range(6):
        others = sorted(set(range(6)) - {n}, key=lambda m: np.linalg.norm(points[n] - points[m]))
        assert destinations[n, :2].tolist() == others[:2]


def test_labels_of_a_node_are_distinct_and_uniform():
    labels = np.asarray(distinct(KEY, (20_000, 4), 1000))
    assert labels.min() == 0
    assert labels.max() == 999
    assert (np.diff(np.sort(labels, 1), axis=1) > 0).all()
    for column in labels.T:  # five standard deviations of a tenth
        assert (abs(np.bincount(column // 100, minlength=10) / 20_000 - 0.1) < 0.011).all()


def test_edges_share_few_labels_that_are_new_in_every_graph():
    task = Traversal(edge_labels=6)
    graphs = [read(task, *sequence)[0] for sequence in zip(*map(np.asarray, task.sample(KEY, 8, 7)), strict=True)]
    labels = [{edge for _, edge in edges} for edges in graphs]
    assert {len(found) for found in labels} == {6}
    assert len(set.union(*labels)) > 36


def test_an_episode_by_hand():
    graph = Graph(jnp.array([[1, NONE], [NONE, 0]]), jnp.array([7, 512]), jnp.array([[40, 0], [0, 999]]))
    description, count = described(KEY, graph, 3)
    assert count == 2
    assert sorted(description[:2].tolist()) == [[7, 40, 512], [512, 999, 7]]
    query, answer = jnp.array([[7, NONE, 512]]), jnp.array([[7, 40, 512], [512, 999, 7]])
    counts = [jnp.int32(n) for n in (2, 1, 2, 2)]
    batch = episode(description, query, answer, counts, True, 9)
    shown = [[label(part) for part in row] for row in np.asarray(batch.inputs[:, :90]).reshape(9, 3, 30)]
    blank = [None] * 3
    assert shown == [*description[:2].tolist(), [7, None, 512], blank, blank, blank, [7, 40, 512], blank, blank]
    assert np.flatnonzero(batch.inputs[:, 90]).tolist() == [2, 3, 5]
    assert np.flatnonzero(batch.mask).tolist() == [5, 6]
    assert batch.targets[5:7].tolist() == [[0, 0, 7, 0, 4, 0, 5, 1, 2], [5, 1, 2, 9, 9, 9, 0, 0, 7]]
    assert digits(jnp.array([NONE, 5])).tolist() == [NONE, NONE, NONE, 0, 0, 5]


# --- the maps ---------------------------------------------------------------------------------------------------------


def test_the_underground_is_the_underground():
    edges = underground.EDGES
    assert len(edges) == len({(source, name) for source, name, _ in edges}) == 106
    stations = {source for source, _, _ in edges}
    assert len(stations) == 25
    assert {"Bank", "King's Cross St Pancras", "Green Park", "Waterloo"} <= stations
    assert "Covent Garden" not in stations
    links = {(source, name.rsplit(" ", 1)[0], destination) for source, name, destination in edges}
    assert {(there, line, here) for here, line, there in links} == links
    # Changing lines and going round, as one would: east, then north; a ring leads back after its twelve stops.
    follow = {(source, name): destination for source, name, destination in edges}
    place = "Notting Hill Gate"
    for name, expected in (
        ("Central eastbound", "Bond Street"),
        ("Jubilee southbound", "Green Park"),
        ("Piccadilly eastbound", "Piccadilly Circus"),
        ("Bakerloo southbound", "Charing Cross"),
        ("Northern (Charing Cross) northbound", "Leicester Square"),
        ("Piccadilly eastbound", "Holborn"),
        ("Central eastbound", "Bank"),
        ("Waterloo & City westbound", "Waterloo"),
        ("Jubilee southbound", "London Bridge"),
        ("Northern (Bank) northbound", "Bank"),
        ("Circle clockwise", "Embankment"),
        *[("Circle clockwise", None)] * 11,
        ("Circle anticlockwise", "Liverpool Street"),
    ):
        place = follow[place, name]
        assert expected in (None, place)
    assert len({destination for (_, name), destination in follow.items() if name == "Circle clockwise"}) == 12


def test_shortest_ways_through_the_underground():
    edges = {(source, name): destination for source, name, destination in underground.EDGES}
    ways = shortest(edges, "Moorgate", "Piccadilly Circus")
    stops = [[step[2] for step in way] for way in ways]
    assert ["Bank", "Holborn", "Leicester Square", "Piccadilly Circus"] in stops  # the paper's answer, in figure 2
    distance, single = distances(jnp.asarray(GRAPHS["underground"].destinations), 5)
    nodes = GRAPHS["underground"].nodes
    place = nodes.index("Moorgate"), nodes.index("Piccadilly Circus")
    assert (distance[place], bool(single[place])) == (4, len(ways) == 1)


def test_the_family_tree_and_its_relations():
    """Relatives by name, worked out by hand from the drawing."""
    ends, sizes = relatives(jnp.asarray(GRAPHS["family"].destinations))
    nodes, names = GRAPHS["family"].nodes, list(family.RELATIONS)

    def of(person, relation):
        end = int(ends[nodes.index(person), names.index(relation)])
        return None if end == NONE else nodes[end]

    assert of("Laura", "father") == "Charles"
    assert of("Charles", "daughter 1") == "Laura"
    assert of("William", "maternal grandfather") == "Charles"
    assert of("William", "maternal great-grandmother, by the paternal side") == "Beatrice"
    assert of("Laura", "brother 1, by the mother") == "Kenneth"
    assert of("Kenneth", "brother 1, by the mother") is None  # himself
    assert of("Simon", "brother 2, by the father") == "Thomas"
    assert of("Kenneth", "paternal uncle 2, by the grandfather") == "Daniel"
    assert of("Norman", "paternal aunt 1, by the grandmother") == "Edith"
    assert of("Norman", "daughter 1 of the paternal uncle 1, by the grandfather") == "Laura"
    assert of("William", "maternal great-uncle 2, by the paternal great-grandfather") == "Daniel"
    assert of("William", "maternal great-uncle 1, by the maternal great-grandfather") == "Henry"
    assert of("Arthur", "son 1's daughter 1") == "Laura"
    assert of("Arthur", "father") is None
    assert dict(zip(names, sizes.tolist(), strict=True))["paternal great-aunt 1, by the maternal great-grandmother"] == 4
    assert len(set(family.RELATIONS.values())) == len(names) < 1000
    assert len(family.EDGES) == 60


# --- cost and checks --------------------------------------------------------------------------------------------------


def test_an_answer_is_right_only_as_a_whole():
    task = Traversal()
    mask = np.array([[False, True, True], [True, True, False]])
    targets = np.random.default_rng(0).integers(0, 10, (2, 3, 9)) * mask[..., None]
    batch = Batch(np.zeros((2, 3, 92)), targets.astype(np.int32), mask)
    logits = 50.0 * np.eye(10, dtype=np.float32)[targets]
    logits[0, 0] = np.nan  # masked out
    assert {name: float(value) for name, value in task.metrics(logits.reshape(2, 3, 90), batch).items()} == {
        "error_percent": 0.0,
        "digit_error_percent": 0.0,
        "cross_entropy": 0.0,
    }
    logits[1, 1, 4] = np.roll(logits[1, 1, 4], 1)
    metrics = task.metrics(logits.reshape(2, 3, 90), batch)
    assert metrics["error_percent"] == 50
    np.testing.assert_allclose(metrics["digit_error_percent"], 100 / 36, rtol=1e-5)
    np.testing.assert_allclose(metrics["cross_entropy"], 50 / 4, rtol=1e-5)
    uniform = task.loss(jnp.zeros((2, 3, 90)), batch)
    np.testing.assert_allclose(uniform, 9 * np.log(10), rtol=1e-5)
    with pytest.raises(ValueError, match=r"logits have shape \(2, 3, 9\); legal: \(2, 3, 90\), ten for each"):
        task.loss(jnp.zeros((2, 3, 9)), batch)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Traversal(max_length=8), "Traversal.max_length is 8; legal: 1 to 7, the number of lessons"),
        (lambda: Traversal(max_length=0), "Traversal.max_length is 0; legal: integers from 1"),
        (lambda: Traversal(graph="paris"), "Traversal.graph is 'paris'; legal: 'random', 'underground', 'family'"),
        (lambda: Inference().on("underground"), "Inference.graph is 'underground'; legal: 'random', 'family'"),
        (lambda: ShortestPath(path=0), "ShortestPath.path is 0; legal: integers from 1"),
        (lambda: Inference().on("family", 5), "Inference.path is 5; legal: 1 to 4, the length of the longest relations"),
        (lambda: Traversal(edge_labels=4), "Traversal.edge_labels is 4; it must be an integer from 5 to 1000"),
        (lambda: Traversal(max_length=3, edge_labels=1), "edge_labels is 1; it must be an integer from 2 to 1000"),
        (lambda: Traversal(edge_labels=30.0), "edge_labels is 30.0; it must be an integer"),
        (lambda: Inference(edge_labels=30), "Inference.edge_labels is 30; legal: 1000"),
        (lambda: ShortestPath(planning=-1), "ShortestPath.planning is -1; legal: integers from 0"),
        (lambda: Traversal(max_length=3, lengths=(2, 4)), r"Traversal.lengths is \(2, 4\); legal: 1 <= first <= last <= 3"),
        (lambda: Traversal().sample(KEY, 2, 8), "length is 8; legal: 1 to 7"),
        (lambda: mapped([("a", "x", "b")]), "nothing leads away from 'b'"),
        (lambda: mapped([("a", "x", "b"), ("a", "x", "a"), ("b", "x", "a")]), "from 'a', 'x' leads to two nodes"),
    ],
)
def test_what_is_illegal_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
