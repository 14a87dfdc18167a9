"""Memoria: who is dropped, who dies, where gradients stop, what a reader of its own does; the Transformer around it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffmem
from diffmem.memories.memoria import LONG, SHORT, WORKING, MemoriaState, nearest, partners
from diffmem.models import SegmentTransformer
from diffmem.tasks import FrequencySort
from experiments import memoria_curves

pytestmark = pytest.mark.usefixtures("strict_types")

# Twelve steps of two working memories are far more than nine slots hold.
MEMORY = diffmem.Memoria(6, 2, slots=9, short_term=4, short_reminded=2, long_reminded=2, lifespan=50.0)


def params_of(memory):
    return jax.jit(memory.init_params)(jax.random.key(0))


@pytest.mark.parametrize(
    ("option", "field"),
    [
        (dict(slots=5), "slots is 5; legal: at least working . short_term, 6"),
        (dict(working=4), "working is 4; it must divide input_size"),
        (dict(heads=2), "heads is 2; it must divide width"),
        (dict(short_reminded=5), "short_reminded is 5; legal: 1 to 4"),
        (dict(long_reminded=10), "long_reminded is 10; legal: 1 to 9"),
        (dict(depth=-1), "depth is -1"),
        (dict(lifespan=0.0), "lifespan is 0.0; it must be a number > 0"),
        (dict(reinforcement=-1.0), "reinforcement is -1.0; it must be a number >= 0"),
    ],
    ids=str,
)
def test_errors_name_the_field(option, field):
    with pytest.raises(ValueError, match=f"Memoria.{field}"):
        dataclasses.replace(MEMORY, **option)


def test_nearest_and_partners_by_hand():
    rows, data = jnp.array([[0.0], [2.0]]), jnp.array([[1.0], [0.0], [9.0], [2.0], [1.0]])
    # Mean squared distances: 1, 2, 65, 2, 1.
    assert nearest(rows, data, jnp.array([1, 1, 1, 1, 0], bool), 2).tolist() == [True, True, False, False, False]
    assert nearest(rows, data, jnp.array([0, 0, 1, 0, 1], bool), 3).tolist() == [False, False, True, False, True]
    counts = jnp.array([[3, 2, 2], [0, 0, 0], [1, 0, 5]])
    assert partners(counts, jnp.array([False, True, True])).tolist() == [1, 1, 2]
    assert partners(counts, jnp.zeros(3, bool)).tolist() == [-1, -1, -1]


def table(rows):
    """A state from rows of (kind, lifespan, id), every engram with the id as its data and fired as often as its slot says."""
    kind, lifespan, ids = map(np.array, zip(*rows, strict=True))
    size = len(rows)
    data = np.repeat(ids[:, None], 3, 1).astype(np.float32)
    counts = np.add.outer(np.arange(size), np.arange(size)) + 1
    whole = lambda a: jnp.asarray(a, jnp.int32)  # noqa: E731
    return MemoriaState(
        jnp.asarray(data), whole(kind), jnp.asarray(lifespan, jnp.float32), whole(ids), whole(ids), whole(counts)
    )


def test_who_is_dropped_first():
    """Empty slots, then long-term engrams; the shortest lifespan first; of equals the oldest; short-term ones never."""
    rows = [(SHORT, 1, 8), (LONG, 9, 2), (LONG, 5, 3), (LONG, 5, 1), (SHORT, 3, 7), (SHORT, 2, 6), (LONG, 7, 0), (SHORT, 9, 9)]
    state = table([*rows, (0, 0, -1)])
    memory = dataclasses.replace(MEMORY, working=1, input_size=3)
    dropped = []
    for step in range(6):
        after = memory.write({}, state, jnp.full(3, 100.0 + step))
        (place,) = np.flatnonzero(np.asarray(after.data[:, 0]) == 100.0 + step)
        dropped.append(int(state.id[place]))
        assert after.counts[place].sum() == after.counts[:, place].sum() == after.age[place] == 0
        assert (int(after.id[place]), int(after.kind[place]), float(after.lifespan[place])) == (10 + step, WORKING, 50)
        state = after
    # A write makes what was at work short-term, and the oldest short-term engram long-term: 6, 7, 8 have little life left.
    # Then 1 before 3, which lives as long; 9, 2 and 0 live longer.
    assert dropped == [-1, 6, 7, 8, 1, 3]


def test_capacity_holds_and_short_term_is_the_newest():
    params = params_of(MEMORY)
    xs = np.random.default_rng(0).normal(size=(12, 6)).astype(np.float32)
    state, _ = jax.jit(lambda params, xs: diffmem.unroll(MEMORY, params, None, xs))(params, xs)
    short = sorted(np.asarray(state.id)[np.asarray(state.kind) == SHORT])
    assert short == [20, 21, 22, 23]
    assert sorted(np.asarray(state.kind).tolist()) == [SHORT] * 4 + [LONG] * 5
    np.testing.assert_array_equal(np.diag(state.counts) >= np.asarray(state.counts).max(1), True)


def test_who_is_never_reminded_dies_on_time():
    memory = dataclasses.replace(MEMORY, lifespan=2.0, reinforcement=0.0)
    params = params_of(memory)
    state, steps = memory.init_state(params), []
    for x in np.eye(4, 6, dtype=np.float32):
        state, _ = memory.step(params, state, x)
        steps.append(sorted(np.asarray(state.id)[np.asarray(state.kind) > 0]))
    # Two steps: the one that it came with and the next, at whose end it goes.
    assert steps == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_reinforce_is_for_the_reminded():
    """Two of three remembered engrams got attention: 8 * 2 * mean weight; the one at work gets nothing."""
    state = table([(SHORT, 3, 0), (LONG, 3, 1), (SHORT, 3, 2), (WORKING, 3, 3), *[(0, 0, -1)] * 5])
    weights = jnp.zeros((2, 2, 9)).at[0, 0, 0].set(0.5).at[:, :, 1].set(0.25).at[:, :, 3].set(0.5)
    lifespan = MEMORY.reinforce({}, state, weights).lifespan
    np.testing.assert_allclose(lifespan[:4], [3 + 16 * 0.125, 3 + 16 * 0.25, 3, 3])


def test_gradient_stays_within_a_step():
    """Detached, only the last input moves the last read; attached, the values are the same and earlier ones do too."""
    xs = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    params, found = params_of(MEMORY), {}
    for memory in (MEMORY, dataclasses.replace(MEMORY, detach=False)):

        def last(xs, memory=memory):
            values = diffmem.unroll(memory, params, None, xs)[1].value
            return (values[-1] ** 2).sum(), values

        gradient, values = jax.jit(jax.grad(last, has_aux=True))(xs)
        found[memory.detach] = (np.abs(gradient).max(1) > 0, values)
    np.testing.assert_array_equal(found[True][0], [False] * 4 + [True])
    assert found[False][0].sum() > 1
    np.testing.assert_array_equal(found[True][1], found[False][1])


def transformer(**options):
    memory = diffmem.Memoria(2 * 8, 2, slots=9, short_term=4)
    return SegmentTransformer(**{**dict(input_size=5, output_size=3, memory=memory, segment=4, width=8, hidden=6), **options})


def test_transformer_remembers_across_segments():
    """The first step changes the last output with a memory, and does not without; a call can be cut between segments."""
    xs = np.random.default_rng(0).normal(size=(10, 5)).astype(np.float32)
    other = xs.copy()
    other[0] += 1
    for model, differs in ((transformer(), True), (transformer(memory=None), False)):
        params = params_of(model)
        run = jax.jit(lambda params, xs, model=model: model(params, xs)[1])
        first, second = run(params, xs), run(params, other)
        assert (np.abs(first[-1] - second[-1]).max() > 1e-7) == differs
        assert np.abs(first[3] - second[3]).max() > 1e-7  # the segment is seen as a whole
        state, head, _ = model(params, jnp.asarray(xs[:8]))
        tail = model(params, jnp.asarray(xs[8:]), state)[1]
        np.testing.assert_allclose(np.concatenate([head, tail]), first, atol=2e-6)


def test_causal_transformer_sees_no_future():
    xs = np.random.default_rng(0).normal(size=(10, 5)).astype(np.float32)
    model = transformer(causal=True, blocks=2)
    params = params_of(model)
    run = jax.jit(lambda params, xs: model(params, xs)[1])
    for t in (1, 5, 9):
        other = xs.copy()
        other[t:] += 1
        before, after = run(params, xs), run(params, other)
        np.testing.assert_array_equal(before[:t], after[:t])
        assert np.abs(before[t] - after[t]).max() > 1e-7


def test_transformer_has_no_dead_parameter():
    """Every parameter gets a gradient, also the abstractor's, whose working memories are read before they are stored."""
    xs = np.random.default_rng(0).normal(size=(10, 5)).astype(np.float32)
    for causal in (False, True):
        model = transformer(causal=causal)
        gradient = jax.jit(jax.grad(lambda params, model=model: (model(params, xs)[1][-4:] ** 2).sum()))(params_of(model))
        for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
            assert np.abs(leaf).max() > 0, jax.tree_util.keystr(path)


def test_transformer_errors_name_the_field():
    with pytest.raises(ValueError, match=r"SegmentTransformer.memory holds engrams of 8 numbers.*width, 4"):
        transformer(width=4)
    with pytest.raises(ValueError, match=r"SegmentTransformer.heads is 3; it must divide width"):
        transformer(heads=3)


@pytest.mark.parametrize("length", [1, 9, 30])
def test_frequency_sort(length):
    """Targets are recounted from the inputs."""
    task = FrequencySort(symbols=4, max_length=30)
    batch = jax.tree.map(np.asarray, task.sample(jax.random.key(length), 50, length))
    assert batch.inputs.shape == (50, 34, 8)
    assert batch.targets.dtype == np.int32
    assert batch.inputs.sum() == 50 * (length + 4)  # one symbol or rank at every step, and nothing after
    for x, target, mask in zip(*batch, strict=True):
        assert np.flatnonzero(mask).tolist() == list(range(length, length + 4))
        np.testing.assert_array_equal(x[length : length + 4, 4:], np.eye(4))
        counts = x[:length, :4].sum(0)
        assert counts.sum() == length
        assert target[mask].tolist() == sorted(range(4), key=lambda s: (-counts[s], s))


def test_frequency_sort_drifts():
    """The halves of a long sequence have frequencies of their own, which the whole averages."""
    task = FrequencySort(symbols=5, max_length=2000)
    inputs = np.asarray(task.sample(jax.random.key(0), 20, 2000).inputs)[:, :2000, :5]
    halves = np.stack([inputs[:, :1000].mean(1), inputs[:, 1000:].mean(1)])
    assert 0.05 < np.abs(halves[0] - halves[1]).mean() < 0.2
    with pytest.raises(ValueError, match=r"FrequencySort\.symbols is 1"):
        FrequencySort(symbols=1)


def test_curves_of_a_list():
    """The last items are short-term and all recalled; with no reinforcement nobody lives longer than the lifespan."""
    memory = diffmem.Memoria(8, slots=12, short_term=3, short_reminded=3, lifespan=5.0, reinforcement=0.0)
    curves = memoria_curves.measure(memoria_curves.Options(memory=memory, items=9, lists=3))
    assert curves["position"]["alive"] == [0] * 5 + [1] * 4
    assert curves["position"]["recalled"][6:] == [1, 1, 1]
    assert curves["retention"]["short-term"] == [1] * 3 + [0] * 6
    assert curves["retention"]["long-term"] == [0] * 3 + [1] + [0] * 5
    with pytest.raises(ValueError, match=r"memory\.working is 2"):
        memoria_curves.measure(memoria_curves.Options(memory=MEMORY))
