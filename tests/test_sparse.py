"""What touches few slots of many: the same values and gradients as what touches all, and the same order as a list."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import diffmem
from diffmem import sparse
from tests.test_addressing import quick
from tests.test_oracles import random_params

N, W = 11, 3
SLOTS = np.random.default_rng(0).normal(size=(N, W)).astype(np.float32)


def test_rows_by_hand():
    slots, rows = sparse.read_rows(jnp.asarray(SLOTS), jnp.array([[4, 2], [4, 9]]))
    np.testing.assert_array_equal(slots, SLOTS)
    np.testing.assert_array_equal(rows, SLOTS[[[4, 2], [4, 9]]])
    added = np.arange(12, dtype=np.float32).reshape(4, 3)
    got = sparse.write_rows(jnp.asarray(SLOTS), jnp.array([7]), jnp.array([4, 7, 4, 0]), jnp.asarray(added))
    expected = SLOTS.copy()
    expected[7] = 0
    for place, row in zip([4, 7, 4, 0], added, strict=True):
        expected[place] += row
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def plain_read(slots, places):
    return slots, slots[places]


def plain_write(slots, cleared, places, rows):
    return slots.at[cleared].set(0).at[places].add(rows)


@pytest.mark.parametrize("cls", [diffmem.SAM, diffmem.SDNC])
def test_approximate_lookup_is_exact_where_there_are_few_slots(cls):
    """`lax.approx_max_k` is exact on a CPU, and elsewhere where no slot has to be left out; it is really called."""
    exact = cls(5, slots=9, width=W, nearest=3)
    approximate = dataclasses.replace(exact, lookup="approximate")
    params = random_params(exact, np.random.default_rng(1))
    xs = np.random.default_rng(2).normal(size=(6, 5))
    with jax.enable_x64(True):
        want, got = (jax.jit(lambda p, m=m: diffmem.unroll(m, p, None, xs)[1])(params) for m in (exact, approximate))
        jaxpr = str(jax.make_jaxpr(lambda p: diffmem.unroll(approximate, p, None, xs)[1])(params))
    np.testing.assert_allclose(got.value, want.value, rtol=0, atol=1e-12)
    assert "approx_top_k" in jaxpr


SMALL = {"input_size": 5, "slots": 7, "width": W, "heads": 2, "nearest": 3}


@pytest.mark.parametrize(
    "memory",
    [diffmem.SAM(**SMALL), diffmem.SAM(**SMALL, lookup="hashed", bucket=2), diffmem.SDNC(**SMALL, links=2)],
    ids=["sam", "sam-hashed", "sdnc"],
)
def test_gradients_are_those_of_the_dense_memory(memory, monkeypatch):
    """Ten steps, so that most slots are written more than once, against plain autodiff, which keeps every memory."""
    params = random_params(memory, np.random.default_rng(1))
    xs = np.random.default_rng(2).normal(size=(10, 5))
    cotangents = np.random.default_rng(3).normal(size=(10, 2, W)), np.random.default_rng(4).normal(size=(7, W))

    def loss(params, slots, xs):
        state = memory.init_state(params)._replace(slots=slots)
        state, readout = diffmem.unroll(memory, params, state, xs)
        return jnp.sum(cotangents[0] * readout.value) + jnp.sum(cotangents[1] * state.slots)

    with jax.enable_x64(True):

        def gradients():
            run = jax.value_and_grad(lambda *arguments: loss(*arguments), (0, 1, 2))
            return jax.jit(run)(params, 0.1 * SLOTS[:7].astype(float), xs)

        got = gradients()
        monkeypatch.setattr(sparse, "read_rows", plain_read)
        monkeypatch.setattr(sparse, "write_rows", plain_write)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10), got, gradients())


def test_gradients_of_an_sdnc_are_those_with_constant_links():
    """Central differences of a memory whose links are taken from another run, step by step."""
    memory = diffmem.SDNC(5, slots=7, width=W, heads=2, nearest=3, links=2)
    rng = np.random.default_rng(5)
    shapes = jax.eval_shape(memory.init_params, jax.random.key(0))
    with jax.enable_x64(True):
        params = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), shapes)
        xs, cotangent = rng.normal(size=(8, 5)), rng.normal(size=(8, 2, W))
        initial = memory.init_state(params)
        links = jax.lax.scan(lambda s, x: (memory.step(params, s, x)[0],) * 2, initial, xs)[1].links
        loss = lambda params, xs: jnp.sum(cotangent * diffmem.unroll(memory, params, None, xs)[1].value)  # noqa: E731

        @jax.jit
        def constant(params, xs):
            def step(state, inputs):
                x, links = inputs
                return memory.read(params, memory.write(params, state, x)._replace(links=links), x)

            _, readout = jax.lax.scan(step, initial, (xs, links))
            return jnp.sum(cotangent * readout.value), readout.weights.places

        gradients = jax.tree.leaves(jax.jit(jax.grad(loss, (0, 1)))(params, xs))
        leaves, tree = jax.tree.flatten((params, xs))
        _, places = constant(params, xs)
        for i, gradient in enumerate(gradients):
            direction = rng.normal(size=gradient.shape)
            moved = [
                constant(*jax.tree.unflatten(tree, [*leaves[:i], leaves[i] + sign * direction, *leaves[i + 1 :]]))
                for sign in (1e-6, -1e-6)
            ]
            for _, other in moved:
                np.testing.assert_array_equal(other, places)
            want = (moved[0][0] - moved[1][0]) / 2e-6
            assert abs(want) > 1e-3
            np.testing.assert_allclose(np.sum(gradient * direction), want, rtol=1e-6)


@pytest.mark.parametrize("memory", [diffmem.SAM(5, slots=4096, width=16), diffmem.SDNC(5, slots=4096, width=16)])
def test_memory_does_not_grow_with_time(memory):
    """The backward pass keeps the slots and their gradient, not one memory per step; nor are links copied."""
    shapes = jax.eval_shape(memory.init_params, jax.random.key(0))
    loss = lambda params, xs: jnp.sum(diffmem.unroll(memory, params, None, xs)[1].value)  # noqa: E731
    program = jax.jit(jax.grad(loss)).lower(shapes, jax.ShapeDtypeStruct((100, 5), jnp.float32)).compile()
    room = 4 * memory.slots * memory.width * 4
    if isinstance(memory, diffmem.SDNC):
        room += 2 * memory.slots * 4 * memory.links * 4
    assert program.memory_analysis().temp_size_in_bytes < room
    slots = [line for line in program.as_text().splitlines() if "[4096,16]{1,0} copy(" in line]
    assert len(slots) <= 1, slots  # of the initial slots; none per step
    links = [line for line in program.as_text().splitlines() if re.search(r"4096,8\]\S* copy\(", line)]
    assert len(links) <= 4, links


@quick
@given(scores=arrays(np.float32, (2, 29), elements=st.integers(-4, 4)), k=st.integers(1, 6), block=st.integers(1, 29))
def test_top_k_in_blocks_is_a_stable_sort(scores, k, block):
    want = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(sparse.top_k(jnp.asarray(scores), k, block=block), want)
    np.testing.assert_array_equal(sparse.top_k(jnp.asarray(scores), k), want)


def test_top_k_of_many():
    scores = np.random.default_rng(0).integers(0, 1000, size=(2, 5000)).astype(np.float32)
    want = np.argsort(-scores, axis=1, kind="stable")[:, :4]
    np.testing.assert_array_equal(sparse.top_k(jnp.asarray(scores), 4), want)


@quick
@given(st.lists(st.lists(st.tuples(st.integers(0, N - 1), st.booleans()), min_size=3, max_size=3), max_size=6))
def test_recency_is_a_list(uses):
    order, recency = list(range(N)), sparse.unused(N)
    for step in uses:
        for place, really in step:
            if really:
                order.remove(place)
                order.append(place)
        places, really = map(jnp.asarray, zip(*step, strict=True))
        recency = sparse.touch(recency, places.astype(jnp.int32), really)
        for number in (1, 2, N):
            assert sparse.least_recent(recency, number).tolist() == order[:number]


@pytest.mark.parametrize(("read", "oldest"), [(0.3, 1), (0.1, 0)])
def test_a_slot_is_used_where_a_head_writes_and_reads_more_than_the_threshold_together(read, oldest):
    memory = diffmem.SAM(5, slots=3, width=2, nearest=1, threshold=0.5)
    params = memory.init_params(jax.random.key(0))
    written = sparse.SparseWeights(jnp.array([[0.3, 0.0]]), jnp.array([[0, 1]]))
    state = memory.init_state(params)._replace(
        written=written, read=sparse.SparseWeights(jnp.array([[read]]), jnp.array([[0]]))
    )
    assert memory.write(params, state, jnp.zeros(5)).written.places[0, -1] == oldest


def test_nearest_of_candidates():
    keys = jnp.asarray([[1.0, 0, 0], [0, 1, 0]])
    slots = jnp.asarray([[1.0, 0, 0], [0, 3, 0], [1, 1, 0], [0, 0, 1]])
    candidates = jnp.asarray([[2, -1, 0, 2, 3, 0], [-1, 3, 3, 2, 0, 3]], jnp.int32)
    assert sparse.nearest(keys, slots, candidates, 2).tolist() == [[0, 2], [2, 3]]


def test_hashing_finds_what_was_written():
    """A thousand random rows, written one after the other, are found again by keys close to them."""
    memory = diffmem.SAM(5, slots=1000, width=16, lookup="hashed", tables=8)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1000, 16)).astype(np.float32)
    codes = sparse.hash_codes(jnp.asarray(rows), memory.tables, memory._bits)
    buckets = jnp.full((memory.tables, 2**memory._bits, memory.bucket), -1, jnp.int32)
    buckets = sparse.hash_insert(buckets, codes, jnp.arange(1000, dtype=jnp.int32))
    keys = jnp.asarray(rows + 0.05 * rng.normal(size=rows.shape).astype(np.float32))
    found = buckets[jnp.arange(memory.tables), sparse.hash_codes(keys, memory.tables, memory._bits)].reshape(1000, -1)
    best = sparse.nearest(keys, jnp.asarray(rows), found, 1)[:, 0]
    assert np.mean(best == np.arange(1000)) > 0.98
