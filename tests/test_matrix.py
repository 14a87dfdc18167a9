"""Matrix memories: features by hand, chunks against loops, what the delta rule promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffmem
from diffmem import DeltaRule, LinearAttention, addressing, edits, fused, matrix

pytestmark = pytest.mark.usefixtures("strict_types")


# --- features ---------------------------------------------------------------------------------------------------------


def test_features_by_hand():
    x = jnp.array([-1.0, 2.0])
    np.testing.assert_allclose(addressing.elu1(x), [np.exp(-1), 3], rtol=1e-6)
    # y = [0, 2, 1, 0]; y * roll(y, 1) = [0 0, 2 0, 1 2, 0 1]; y * roll(y, 2) = [0 1, 2 0, 1 0, 0 2]
    np.testing.assert_array_equal(addressing.dpfp(x, 2), [0, 0, 2, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(addressing.dpfp(jnp.array([3.0, 2.0])), [0, 6, 0, 0])
    np.testing.assert_allclose(addressing.unit(jnp.array([3.0, -4.0])), [0.6, -0.8], rtol=1e-6)
    np.testing.assert_allclose(addressing.share(jnp.array([3.0, 1.0])), [0.75, 0.25], rtol=1e-6)
    np.testing.assert_allclose(addressing.share(jnp.array([3.0, 1.0]), 1.0), [0.6, 0.2], rtol=1e-6)


@pytest.mark.parametrize("kind", addressing.FEATURE_MAPS)
def test_feature_sizes_and_signs(kind):
    features = addressing.features(jax.random.normal(jax.random.key(0), (50, 3)), kind, 2)
    assert features.shape == (50, addressing.feature_size(3, kind, 2))
    assert bool((features >= 0).all()) == (kind != "identity")
    assert bool((addressing.elu1(jnp.array([-80.0, -20.0, 0.0])) > 0).all())  # where elu alone would round to -1


@pytest.mark.parametrize("function", [addressing.unit, addressing.share, addressing.elu1, addressing.dpfp])
def test_features_of_zero_are_finite(function):
    value, gradient = jax.value_and_grad(lambda x: jnp.sum(function(x) * jnp.array([1.0, 2.0, 3.0, 4.0][: len(function(x))])))(
        jnp.zeros(2)
    )
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_unknown_features():
    with pytest.raises(ValueError, match=r"kind is 'relu'; legal: 'identity', 'elu', 'dpfp'"):
        addressing.features(jnp.ones(2), "relu")
    with pytest.raises(ValueError, match=r"rolls is 4 for vectors of size 2; legal: 1 to 3"):
        addressing.dpfp(jnp.ones(2), 4)


# --- chunks -----------------------------------------------------------------------------------------------------------


def loop(start, query, key, value, gate, rates, starts):
    """The delta rule of one head, one number at a time as far as NumPy lets; without a gate, the plain sum."""
    state, reads = start, []
    for t in range(len(key)):
        state = np.zeros_like(start) if starts[t] else state
        state = state * rates[t]
        new = value[t] if gate is None else gate[t] * (value[t] - state.T @ key[t])
        state = state + np.outer(key[t], new)
        reads.append(state.T @ query[t])
    return state, np.stack(reads)


def hold_chunks(length, decay):
    """Both chunks, with random resets, rates near 0 among them, and keys that repeat."""
    rng, heads, size, width = np.random.default_rng(length), 2, 5, 3
    query, key = rng.normal(size=(2, heads, length, size))
    key[:, ::3] = key[:, :1]
    key /= np.linalg.norm(key, axis=-1, keepdims=True)
    value, start = rng.normal(size=(heads, length, width)), rng.normal(size=(heads, size, width))
    gate, rates = rng.uniform(size=(2, heads, length))
    rates = np.where(rng.random(rates.shape) < 0.2, 1e-30, rates) if decay else np.ones_like(rates)
    with jax.enable_x64(True):

        @jax.jit
        def run(starts):
            fade = matrix.fading(starts, jnp.log(rates) if decay else None, jnp.float64)
            arrays = [jnp.asarray(a) for a in (start, query, key, value)]
            return matrix.add_chunk(*arrays, fade), fused.delta_chunk(*arrays, jnp.asarray(gate), *fade)

        for share in (0.0, 0.2, 1.0):
            starts = rng.random(length) < share
            for got, gates in zip(run(starts), (None, gate), strict=True):
                for h in range(heads):
                    one = gates if gates is None else gates[h]
                    want = loop(start[h], query[h], key[h], value[h], one, rates[h], starts)
                    np.testing.assert_allclose(got[0][h], want[0], rtol=0, atol=1e-11)
                    np.testing.assert_allclose(got[1][h], want[1], rtol=0, atol=1e-11)


@pytest.mark.parametrize("decay", [False, True])
@pytest.mark.parametrize("length", [1, 6, 37])
def test_chunks_are_loops(length, decay):
    hold_chunks(length, decay)


def hold_inverse(size):
    lower = np.tril(np.random.default_rng(size).normal(size=(3, size, size)), -1)
    with jax.enable_x64(True):
        inverse = fused.invert_unit_lower(jnp.asarray(lower))
        np.testing.assert_allclose(inverse @ (lower + np.eye(size)), np.broadcast_to(np.eye(size), lower.shape), atol=1e-7)


@pytest.mark.parametrize("size", [1, 2, 5, 8, 32, 33, 50])
def test_inverse(size):
    hold_inverse(size)


def test_equal_keys_are_no_trouble():
    """All keys equal and gates at 1: each step overwrites the last. Powers of this system reach 10^18."""
    length = 64
    key = jnp.ones((1, length, 4)) / 2
    value = jax.random.normal(jax.random.key(0), (1, length, 3))
    fade = matrix.fading(jnp.zeros(length, bool), None, jnp.float32)
    _, reads = jax.jit(fused.delta_chunk)(jnp.zeros((1, 4, 3)), key, key, value, jnp.ones((1, length)), *fade)
    np.testing.assert_allclose(reads, value, atol=1e-5)


# --- the delta rule ---------------------------------------------------------------------------------------------------


def test_write_overwrite_read():
    """Two values under one key at a gate of 1: the second is read, exactly; a gate of 0 changes nothing, bit for bit."""
    key = addressing.unit(jnp.array([1.0, -2.0, 2.0]))
    first, second = jnp.array([1.0, 2.0]), jnp.array([-5.0, 7.0])
    before = jax.random.normal(jax.random.key(0), (3, 2))
    once = edits.delta(before, key, first, jnp.float32(1))
    twice = edits.delta(once, key, second, jnp.float32(1))
    np.testing.assert_allclose(key @ once, first, rtol=0, atol=1e-6)
    np.testing.assert_allclose(key @ twice, second, rtol=0, atol=1e-6)
    other = jnp.array([2.0, 2.0, 1.0]) / 3  # orthogonal to the key
    np.testing.assert_allclose(other @ twice, other @ before, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(edits.delta(before, key, first, jnp.float32(0)), before)


@pytest.mark.parametrize("method", ["scan", "chunked"])
def test_write_overwrite_read_in_the_memory(method):
    """The same through the memory: x is key and value, the gate is open, and the value comes back whatever was before."""
    memory = DeltaRule(5, key_size=3, value_size=2, chunk=4)
    shapes = jax.eval_shape(memory.init_params, jax.random.key(0))
    params = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)
    for name in ("key", "query"):
        params[name]["kernel"] = jnp.eye(5)[:, :3]
    params["value"]["kernel"] = jnp.eye(5)[:, 3:]
    params["gate"]["bias"] = jnp.full(1, 40.0)
    keys = jnp.array([[1.0, 2, 3], [-1, 0, 1], [1, 2, 3], [0.5, 1, 1.5], [1e-3, 2e-3, 3e-3]])
    values = jax.random.normal(jax.random.key(1), (5, 2))
    xs = jnp.concatenate([keys, values], -1)
    readout = jax.jit(lambda params, xs: diffmem.unroll(memory, params, None, xs, method=method)[1])(params, xs)
    np.testing.assert_allclose(readout.value[:, 0], values, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "memory", [DeltaRule(4, 3, 2, decay=True), LinearAttention(4, 3, 2, decay=True)], ids=["delta", "linear"]
)
def test_gradients_are_finite_at_the_extremes(memory):
    """Zero keys and inputs; gates and rates saturated at 0 and 1."""
    shapes = jax.eval_shape(memory.init_params, jax.random.key(0))
    xs = jnp.where(jnp.arange(40)[:, None] % 3 == 0, -1.0, 1.0) * jnp.ones((40, 4))

    def loss(params, xs):
        state, readout = diffmem.unroll(memory, params, None, xs)
        return jnp.sum(jnp.tanh(readout.value)) + jnp.sum(jnp.tanh(state.matrix))

    run = jax.jit(jax.value_and_grad(loss, (0, 1)))
    for scale in (0.0, 1e4):
        params = jax.tree.map(lambda a, scale=scale: jnp.full(a.shape, scale, a.dtype), shapes)
        for leaf in jax.tree.leaves(run(params, xs)):
            assert np.isfinite(leaf).all()


def test_the_normaliser_is_used():
    """Values that are all alike are read as they are, however often they were stored; unnormalised they grow."""
    xs = jax.random.normal(jax.random.key(1), (20, 4))
    for normalise in (True, False):
        memory = LinearAttention(4, key_size=3, value_size=2, normalise=normalise)
        params = memory.init_params(jax.random.key(0))
        params["value"] = {"kernel": jnp.zeros((4, 2)), "bias": jnp.array([3.0, -1.0])}
        value = jax.jit(lambda *a, m=memory: diffmem.unroll(m, *a)[1].value[:, 0])(params, None, xs)
        assert np.allclose(value, [3.0, -1.0], atol=1e-4) == normalise


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LinearAttention(5, feature_map="identity"), r"LinearAttention\.feature_map is 'identity'.*'elu' or 'dpfp'"),
        (lambda: DeltaRule(5, norm="share"), r"DeltaRule\.feature_map is 'identity'.*norm='share'.*'elu' or 'dpfp'"),
        (lambda: DeltaRule(5, norm="l2"), r"DeltaRule\.norm is 'l2'; legal: 'unit', 'share'"),
        (lambda: DeltaRule(5, feature_map="relu"), r"DeltaRule\.feature_map is 'relu'; legal: 'identity', 'elu', 'dpfp'"),
        (lambda: DeltaRule(5, key_size=2, rolls=4), r"DeltaRule\.rolls is 4; legal: 1 to 3"),
        (lambda: LinearAttention(5, rolls=0), r"LinearAttention\.rolls is 0; it must be an integer >= 1"),
        (lambda: LinearAttention(5, epsilon=0.0), r"LinearAttention\.epsilon is 0\.0; it must be a number > 0"),
        (lambda: DeltaRule(5, chunk=0), r"DeltaRule\.chunk is 0"),
    ],
)
def test_errors_name_the_field(build, message):
    with pytest.raises(ValueError, match=message):
        build()
