"""Addressing and edits, free function by free function: hand-typed values, properties and corner cases.

Two heads, eleven slots and width three all over: no two sizes are equal, so a transposed array cannot pass unseen.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from diffmem import addressing, edits, layers, models
from tests.oracles import ntm as oracle

H, N, W = 2, 11, 3
EPSILONS = ("smooth", "clamped", "product")
every_epsilon = pytest.mark.parametrize("epsilon", EPSILONS)
quick = settings(deadline=None, max_examples=25)


@pytest.fixture(autouse=True, scope="module")
def float64():
    with jax.enable_x64(True):
        yield


def numbers(shape, low, high):
    return arrays(np.float64, shape, elements=st.floats(low, high, allow_subnormal=False))


# Many exact zeros, nothing close to zero, never all zero: slot 5 is at least 0.01.
def unnormalised(shape=(H, N)):
    near = st.one_of(st.just(0.0), st.floats(0.01, 1.0))
    return st.tuples(arrays(np.float64, shape, elements=near), st.floats(0.01, 1.0)).map(_fill_slot_5)


def _fill_slot_5(drawn):
    weights, least = drawn
    weights = weights.copy()
    weights[..., 5] = np.maximum(weights[..., 5], least)
    return weights


def distributions(shape=(H, N)):
    return unnormalised(shape).map(lambda w: w / w.sum(-1, keepdims=True))


def call(function, *args, **options):
    """The function on arrays of the present precision, its result as a NumPy array."""
    return np.asarray(function(*(jnp.asarray(a) for a in args), **options))


def onehot(*slots):
    return np.eye(N)[list(slots)]


def close(actual, desired, atol=1e-12):
    np.testing.assert_allclose(actual, desired, rtol=0, atol=atol)


# Head 0 likes slot 0, head 1 slots 0 and 1; nine slots are orthogonal to both keys.
KEYS = np.array([[5.0, 0.0, 0.0], [2.0, 2.0, 0.0]])
SLOTS = np.array([[3.0, 0.0, 0.0], [0.0, 2.0, 0.0], *([0.0, 0.0, n] for n in range(1, 10))])
RANDOM = np.random.default_rng(0)
SOME_KEYS, SOME_SLOTS = RANDOM.normal(size=(H, W)), RANDOM.normal(size=(N, W))
SOME_WEIGHTS, OTHER_WEIGHTS = RANDOM.dirichlet(np.ones(N), size=H), RANDOM.dirichlet(np.ones(N), size=H)


# --- Content ---------------------------------------------------------------------------------------------------------


@every_epsilon
def test_cosine_of_typed_vectors(epsilon):
    half = np.sqrt(0.5)
    got = call(addressing.cosine, KEYS, SLOTS, epsilon=epsilon)
    assert got.shape == (H, N)
    close(got, [[1.0, 0.0] + [0.0] * 9, [half, half] + [0.0] * 9], 1e-8)
    close(call(addressing.cosine, KEYS, -SLOTS, epsilon=epsilon), -got)


# A key of norm 1e-4 against a slot of norm 1, and a key of norm 1e-9.
@pytest.mark.parametrize(
    ("epsilon", "small", "tiny"),
    [("smooth", np.sqrt(0.5), 1e-5), ("clamped", 1.0, 0.1), ("product", 1 / 1.0001, 1 / 11)],
)
def test_cosine_near_zero(epsilon, small, tiny):
    slots = np.zeros((N, W))
    slots[4, 1] = 1.0
    expected = np.zeros((H, N))
    expected[:, 4] = [small, tiny]
    keys = np.array([[0.0, 1e-4, 0.0], [0.0, 1e-9, 0.0]])
    got = call(addressing.cosine, keys, slots, epsilon=epsilon)
    # "clamped" adds 1e-16 to every number first, which shows up to 1e-8 here.
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=2e-8 if epsilon == "clamped" else 0)


# Norms from zero to far above one; the last key is parallel to a slot, where rounding could push it over one.
@every_epsilon
@quick
@given(keys=numbers((H, W), -1e3, 1e3), slots=numbers((N, W), -1e3, 1e3), factor=st.floats(-1e3, 1e3))
def test_cosine_is_bounded(epsilon, keys, slots, factor):
    keys[1] = factor * slots[7]
    got = call(addressing.cosine, keys, slots, epsilon=epsilon)
    assert np.all(np.abs(got) <= 1 + 1e-12)


@quick
@given(keys=numbers((H, W), -9, 9), slots=numbers((N, W), -9, 9))
def test_epsilons_agree_away_from_zero(keys, slots):
    keys[:, 1], slots[:, 2] = np.abs(keys[:, 1]) + 1, np.abs(slots[:, 2]) + 1  # all norms are at least one
    exact = keys @ slots.T / np.linalg.norm(keys, axis=-1)[:, None] / np.linalg.norm(slots, axis=-1)
    for epsilon in EPSILONS:
        close(call(addressing.cosine, keys, slots, epsilon=epsilon), exact, 1.1e-8)


def test_smooth_is_the_default():
    keys, slots, strength = 1e-4 * SOME_KEYS, 1e-4 * SOME_SLOTS, np.array([3.0, 5.0])
    smooth = call(addressing.cosine, keys, slots, epsilon="smooth")
    close(call(addressing.cosine, keys, slots), smooth, 0)
    assert np.abs(smooth - call(addressing.cosine, keys, slots, epsilon="product")).max() > 0.01
    weights = call(addressing.content, keys, slots, strength, epsilon="smooth")
    close(call(addressing.content, keys, slots, strength), weights, 0)
    assert np.abs(weights - call(addressing.content, keys, slots, strength, epsilon="clamped")).max() > 0.01


# exp(ln 2 cos 0) = 2 against ten slots at 1; exp(sqrt 2 ln 3 cos 45 degrees) = 3 twice against nine slots at 1.
@every_epsilon
def test_content_of_typed_vectors(epsilon):
    strength = np.array([np.log(2), np.sqrt(2) * np.log(3)])
    got = call(addressing.content, KEYS, SLOTS, strength, epsilon=epsilon)
    close(got, [[2 / 12, 1 / 12] + [1 / 12] * 9, [3 / 15, 3 / 15] + [1 / 15] * 9], 1e-7)


UNIFORM = {
    "strength 0": (SOME_KEYS, SOME_SLOTS, np.zeros(H)),
    "zero keys": (np.zeros((H, W)), SOME_SLOTS, np.array([3.0, 1e4])),
    "zero slots": (SOME_KEYS, np.zeros((N, W)), np.array([3.0, 1e4])),
    "all zero": (np.zeros((H, W)), np.zeros((N, W)), np.zeros(H)),
    "equal slots": (SOME_KEYS, np.full((N, W), 1e-6), np.array([3.0, 1e4])),
}


@every_epsilon
@pytest.mark.parametrize("case", UNIFORM)
def test_content_is_uniform(case, epsilon):
    got = call(addressing.content, *UNIFORM[case], epsilon=epsilon)
    # A zero key is 1e-16 in all its numbers under "clamped", and 1e4 times its cosines is no longer nothing.
    close(got, np.full((H, N), 1 / 11), 1e-4 if (case, epsilon) == ("zero keys", "clamped") else 1e-14)


@every_epsilon
def test_huge_strength_leaves_one_slot(epsilon):
    slots = SOME_SLOTS.copy()
    slots[8], slots[2] = 2 * SOME_KEYS[0], 0.5 * SOME_KEYS[1]
    got = call(addressing.content, SOME_KEYS, slots, np.array([1e6, 1e30]), epsilon=epsilon)
    close(got, onehot(8, 2))


# --- Interpolation ---------------------------------------------------------------------------------------------------


def test_interpolate_typed_vectors():
    got = call(addressing.interpolate, onehot(3, 4), onehot(6, 4), np.array([0.25, 0.75]))
    close(got, [[0, 0, 0, 0.25, 0, 0, 0.75, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]], 0)


def test_gate_limits():
    got = call(addressing.interpolate, SOME_WEIGHTS, OTHER_WEIGHTS, np.array([0.0, 1.0]))
    close(got[0], OTHER_WEIGHTS[0], 0)  # gate 0: the weights of the step before
    close(got[1], SOME_WEIGHTS[1], 0)


# --- Attention -------------------------------------------------------------------------------------------------------


def test_attention_by_hand():
    """Two heads with keys of four numbers, so that products are halved: softmax(0, ln 3) and softmax(ln 4, 0)."""
    keys = np.zeros((2, 2, 4))  # rows, heads, numbers
    keys[1, 0, 0], keys[0, 1, 3] = 2 * np.log(3), np.log(4)
    queries = np.zeros((3, 2, 4))
    queries[0], queries[1, :, 3] = 1, 2
    close(
        call(addressing.attention, queries, keys),
        [[[1 / 4, 3 / 4], [1 / 2, 1 / 2], [1 / 2, 1 / 2]], [[2 / 3, 1 / 3], [4 / 5, 1 / 5], [1 / 2, 1 / 2]]],
    )
    # Without the second row the first gets all; a row of its own mask may leave nobody.
    close(call(addressing.attention, queries, keys, np.array([True, False])), np.tile([1.0, 0.0], (2, 3, 1)))
    own = np.array([[False, True], [True, True], [False, False]])
    close(
        call(addressing.attention, queries, keys, own),
        [[[0, 1], [1 / 2, 1 / 2], [0, 0]], [[0, 1], [4 / 5, 1 / 5], [0, 0]]],
    )


# --- Shift -----------------------------------------------------------------------------------------------------------


# The taps are the moves -2, -1, 0, +1, +2; a positive move goes to higher slot numbers and wraps around.
@pytest.mark.parametrize(
    ("tap", "from_0", "from_9"),
    [(0, 9, 7), (1, 10, 8), (2, 0, 9), (3, 1, 10), (4, 2, 0)],
)
def test_onehot_kernel_moves_the_focus(tap, from_0, from_9):
    kernel = np.eye(5)[[tap, tap]]
    close(call(addressing.shift, onehot(0, 9), kernel), onehot(from_0, from_9), 0)
    # Each head has its own kernel: head 1 stays.
    close(call(addressing.shift, onehot(0, 9), np.eye(5)[[tap, 2]]), onehot(from_0, 9), 0)


def test_shift_typed_vectors():
    weights = np.zeros((H, N))
    weights[0, 0], weights[1, 4], weights[1, 5] = 1.0, 0.5, 0.5
    got = call(addressing.shift, weights, np.array([[0.2, 0.5, 0.3], [0.6, 0.0, 0.4]]))
    close(got, [[0.5, 0.3, 0, 0, 0, 0, 0, 0, 0, 0, 0.2], [0, 0, 0, 0.3, 0.3, 0.2, 0.2, 0, 0, 0, 0]])


def test_shift_over_the_whole_ring():
    assert call(addressing.shift, SOME_WEIGHTS, np.ones((H, 1))).tolist() == SOME_WEIGHTS.tolist()
    kernel = np.arange(11.0) * np.array([[1.0], [10.0]])  # tap 5 is the move 0
    expected = np.array([[5, 6, 7, 8, 9, 10, 0, 1, 2, 3, 4], [80, 90, 100, 0, 10, 20, 30, 40, 50, 60, 70]])
    close(call(addressing.shift, onehot(0, 8), kernel), expected, 0)


@quick
@given(weights=distributions(), move=st.integers(-3, 3))
def test_shift_there_and_back(weights, move):
    there, back = np.eye(7)[[3 + move] * H], np.eye(7)[[3 - move] * H]
    moved = call(addressing.shift, weights, there)
    for n in range(N):
        close(moved[:, (n + move) % N], weights[:, n], 1e-15)
    close(call(addressing.shift, moved, back), weights, 1e-15)


@pytest.mark.parametrize("taps", [2, 4, 10, 12, 13])
def test_illegal_numbers_of_taps(taps):
    with pytest.raises(ValueError, match=str(taps)):
        addressing.shift(jnp.asarray(SOME_WEIGHTS), jnp.ones((H, taps)) / taps)


# --- Sharpening ------------------------------------------------------------------------------------------------------


# Squares of 2, 1, 1 are 4, 1, 1; cubes of 1, 2, 3 are 1, 8, 27.
def test_sharpen_typed_vectors():
    weights = np.zeros((H, N))
    weights[0, [1, 4, 9]] = [0.5, 0.25, 0.25]
    weights[1, [0, 5, 10]] = [1 / 6, 2 / 6, 3 / 6]
    expected = np.zeros((H, N))
    expected[0, [1, 4, 9]] = [4 / 6, 1 / 6, 1 / 6]
    expected[1, [0, 5, 10]] = [1 / 36, 8 / 36, 27 / 36]
    close(call(addressing.sharpen, weights, np.array([2.0, 3.0])), expected)


@quick
@given(weights=unnormalised())
def test_gamma_one_only_normalises(weights):
    got = call(addressing.sharpen, weights, np.ones(H))
    close(got, weights / weights.sum(-1, keepdims=True))


@quick
@given(weights=unnormalised(), gamma=numbers(H, 1, 50))
def test_sharpening_keeps_the_order(weights, gamma):
    got = call(addressing.sharpen, weights, gamma)
    plain = weights / weights.sum(-1, keepdims=True)
    for h in range(H):
        assert got[h, np.argmax(weights[h])] == got[h].max()
        assert np.all(np.diff(got[h, np.argsort(weights[h])]) >= -1e-15)
        assert got[h].max() >= plain[h].max() - 1e-12  # and it does sharpen
        assert np.all(got[h][weights[h] == 0] < 1e-12)


# The powers of all of these underflow: 0.09 to the 1e4th, 1e-30 to the 20th.
def test_sharpen_where_powers_underflow():
    flat = np.full((H, N), 1 / 11)
    flat[1, 7] = 1 / 10
    got = call(addressing.sharpen, flat, np.array([1e4, 1e4]))
    close(got, [np.full(N, 1 / 11), onehot(7)[0]])
    faint = 1e-30 * onehot(6, 2)
    close(call(addressing.sharpen, faint, np.array([20.0, 1.0])), onehot(6, 2))
    close(call(addressing.sharpen, onehot(6, 2), np.array([1e4, 1e4])), onehot(6, 2))


# --- All stages ------------------------------------------------------------------------------------------------------

SHARES = numbers((H, 5), -5, 5).map(lambda z: np.exp(z) / np.exp(z).sum(-1, keepdims=True))
PARTS = {
    "keys": numbers((H, W), -3, 3),
    "slots": numbers((N, W), -3, 3),
    "strength": numbers(H, 0, 20),
    "previous": distributions(),
    "gate": numbers(H, 0, 1),
    "kernel": SHARES,
    "gamma": numbers(H, 1, 20),
}


@quick
@given(epsilon=st.sampled_from(EPSILONS), parts=st.fixed_dictionaries(PARTS))
def test_weights_are_distributions_at_every_stage(epsilon, parts):
    stages = [call(addressing.content, parts["keys"], parts["slots"], parts["strength"], epsilon=epsilon)]
    stages.append(call(addressing.interpolate, stages[-1], parts["previous"], parts["gate"]))
    stages.append(call(addressing.shift, stages[-1], parts["kernel"]))
    stages.append(call(addressing.sharpen, stages[-1], parts["gamma"]))
    for weights in stages:
        assert weights.shape == (H, N)
        assert np.all(weights >= 0)
        close(weights.sum(-1), np.ones(H))


@quick
@given(epsilon=st.sampled_from(EPSILONS), parts=st.fixed_dictionaries(PARTS))
def test_every_stage_agrees_with_the_loops(epsilon, parts):
    # Every stage of the library is fed by the stage before of the oracle: an error shows where it is made.
    assume(np.all(np.linalg.norm(parts["slots"], axis=-1) < 4))
    content = call(addressing.content, parts["keys"], parts["slots"], parts["strength"], epsilon=epsilon)
    for h in range(H):
        expected = oracle.content(parts["keys"][h], parts["slots"], parts["strength"][h], epsilon)
        close(content[h], expected, 1e-10)
    wanted = np.stack([oracle.interpolate(content[h], parts["previous"][h], parts["gate"][h]) for h in range(H)])
    close(call(addressing.interpolate, content, parts["previous"], parts["gate"]), wanted)
    before, wanted = wanted, np.stack([oracle.shift(wanted[h], parts["kernel"][h]) for h in range(H)])
    close(call(addressing.shift, before, parts["kernel"]), wanted)
    before, wanted = wanted, np.stack([oracle.sharpen(wanted[h], parts["gamma"][h]) for h in range(H)])
    close(call(addressing.sharpen, before, parts["gamma"]), wanted)


# --- Edits -----------------------------------------------------------------------------------------------------------


def test_erase_add_typed_vectors():
    slots = np.tile([2.0, 4.0, 6.0], (N, 1))
    weights = np.zeros(N)
    weights[3], weights[10] = 0.5, 0.25
    expected = slots.copy()
    expected[3] = [1.5, 4.0, 7.5]  # 2 (1 - 0.5) + 0.5, 4 (1 - 0.25) + 1, 6 + 1.5
    expected[10] = [1.75, 4.0, 6.75]  # 2 (1 - 0.25) + 0.25, 4 (1 - 0.125) + 0.5, 6 + 0.75
    got = call(edits.erase_add, slots, weights, np.array([1.0, 0.5, 0.0]), np.array([1.0, 2.0, 3.0]))
    close(got, expected, 0)


@quick
@given(slots=numbers((N, W), -1e3, 1e3), add=numbers(W, -1e3, 1e3), slot=st.integers(0, N - 1))
def test_full_erase_replaces_one_slot(slots, add, slot):
    expected = slots.copy()
    expected[slot] = add
    got = call(edits.erase_add, slots, onehot(slot)[0], np.ones(W), add)
    close(got, expected, 0)


@quick
@given(slots=numbers((N, W), -1e3, 1e3), erase=numbers(W, 0, 1), add=numbers(W, -1e3, 1e3))
def test_weight_zero_leaves_the_memory(slots, erase, add):
    close(call(edits.erase_add, slots, np.zeros(N), erase, add), slots, 0)


@quick
@given(slots=numbers((N, W), -9, 9), weights=distributions(N), erase=numbers(W, 0, 1), add=numbers(W, -9, 9))
def test_erase_add_agrees_with_the_loops(slots, weights, erase, add):
    close(call(edits.erase_add, slots, weights, erase, add), oracle.write_slots(slots, weights, erase, add))


def test_outer_typed_vectors():
    matrix = np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    got = call(edits.outer, matrix, np.array([2.0, -1.0]), np.array([1.0, 0.0, 10.0, 3.0]))
    close(got, [[3.0, 2.0, 23.0, 10.0], [4.0, 6.0, -3.0, 5.0]], 0)


# Values stored under orthonormal keys come back one by one.
@quick
@given(values=numbers((3, 4), -9, 9), plane=numbers((3, 3), -1, 1))
def test_outer_recalls_under_orthonormal_keys(values, plane):
    keys = np.linalg.qr(plane + 5 * np.eye(3))[0]
    matrix = np.zeros((3, 4))
    for key, value in zip(keys, values, strict=True):
        matrix = call(edits.outer, matrix, key, value)
    close(keys @ matrix, values)


def test_decay_typed_values():
    matrix = np.array([[4.0, -8.0, 0.0], [1.0, 2.0, 3.0]])
    close(call(edits.decay, matrix, 0.25), [[1.0, -2.0, 0.0], [0.25, 0.5, 0.75]], 0)
    close(call(edits.decay, matrix, 1.0), matrix, 0)
    close(call(edits.decay, matrix, 0.0), np.zeros((2, 3)), 0)


def test_gate_typed_values():
    slots, candidates = np.array([[4.0, -8.0], [1.0, 2.0]]), np.arctanh([[0.5, -0.5], [0.0, 0.25]])
    got = call(edits.gate, slots, candidates, np.array([[1.0, 0.5], [1.0, 1.0]]), np.array([[0.25, 0.5], [1.0, 0.0]]))
    close(got, [[1.5, -4.25], [1.0, 0.25]])
    each_slot = call(edits.gate, slots, candidates, np.array([[1.0], [0.0]]), np.array([[0.0], [1.0]]))
    close(each_slot, [[0.5, -0.5], [1.0, 2.0]])


# --- Gradients -------------------------------------------------------------------------------------------------------


@functools.cache  # several corners share a function: each is compiled once a precision
def value_and_gradients(function, number):
    """Compiled: the function's result, and the derivatives of a fixed random functional of it by every argument."""

    def functional(*args):
        value = function(*args)
        cotangent = np.random.default_rng(1).normal(size=value.shape)
        return jnp.sum(jnp.asarray(cotangent, value.dtype) * value), value

    return jax.jit(jax.grad(functional, argnums=tuple(range(number)), has_aux=True))


ZERO_KEYS, ZERO_SLOTS, STRENGTH = np.zeros((H, W)), np.zeros((N, W)), np.array([2.0, 3.0])
HUGE, STEEP, FLAT = np.full(H, 1e6), np.full(H, 1e4), np.full((H, N), 1 / 11)
ONE_ROW = np.eye(N, 1, -4) * np.ones(W)
CORNERS = {
    "cosine: zero keys": (addressing.cosine, ZERO_KEYS, SOME_SLOTS),
    "cosine: zero slots": (addressing.cosine, SOME_KEYS, ZERO_SLOTS),
    "cosine: one slot": (addressing.cosine, SOME_KEYS, ONE_ROW),
    "cosine: all zero": (addressing.cosine, ZERO_KEYS, ZERO_SLOTS),
    "cosine: parallel": (addressing.cosine, SOME_KEYS, np.tile(SOME_KEYS[0], (N, 1))),
    "content: zero keys": (addressing.content, ZERO_KEYS, SOME_SLOTS, STRENGTH),
    "content: zero slots": (addressing.content, SOME_KEYS, ZERO_SLOTS, STRENGTH),
    "content: all zero": (addressing.content, ZERO_KEYS, ZERO_SLOTS, np.zeros(H)),
    "content: strength 0": (addressing.content, SOME_KEYS, SOME_SLOTS, np.zeros(H)),
    "content: huge strength": (addressing.content, SOME_KEYS, SOME_SLOTS, HUGE),
    "content: huge strength, zero keys": (addressing.content, ZERO_KEYS, SOME_SLOTS, HUGE),
    "content: huge strength, zero slots": (addressing.content, SOME_KEYS, ZERO_SLOTS, HUGE),
    "interpolate: gates 0 and 1": (addressing.interpolate, SOME_WEIGHTS, OTHER_WEIGHTS, np.array([0.0, 1.0])),
    "shift: one-hot": (addressing.shift, onehot(0, 9), np.eye(5)[[0, 4]]),
    "sharpen: gamma 1, one-hot": (addressing.sharpen, onehot(0, 9), np.ones(H)),
    "sharpen: gamma 3, one-hot": (addressing.sharpen, onehot(0, 9), np.full(H, 3.0)),
    "sharpen: gamma 1e4, one-hot": (addressing.sharpen, onehot(0, 9), STEEP),
    "sharpen: gamma 1e4, flat": (addressing.sharpen, FLAT, STEEP),
    "sharpen: gamma 1e4": (addressing.sharpen, SOME_WEIGHTS, STEEP),
    "sharpen: faint": (addressing.sharpen, 1e-30 * SOME_WEIGHTS, np.array([1.0, 20.0])),
    "erase_add: one-hot, erase 1": (edits.erase_add, SOME_SLOTS, onehot(4)[0], np.ones(W), SOME_KEYS[0]),
    "erase_add: weight 0": (edits.erase_add, SOME_SLOTS, np.zeros(N), np.ones(W), SOME_KEYS[0]),
    "outer: all zero": (edits.outer, np.zeros((3, 4)), np.zeros(3), np.zeros(4)),
    "decay: rate 0": (edits.decay, np.ones((3, 4)), np.array(0.0)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CORNERS)
def test_gradients_are_finite_in_the_corners(case, dtype):
    function, *args = CORNERS[case]
    with jax.enable_x64(dtype == "float64"):
        gradients, value = value_and_gradients(function, len(args))(*(jnp.asarray(a, dtype) for a in args))
        assert value.dtype == dtype
        assert np.all(np.isfinite(value))
        for number, gradient in enumerate(gradients):
            assert gradient.shape == np.shape(args[number])
            assert np.all(np.isfinite(gradient)), f"argument {number}: {gradient}"


# By hand: at a zero key the smooth cosine is k.m / (1e-4 |m|), so its derivative by the key is 1e4 m / |m|.
def test_gradient_of_the_cosine_at_a_zero_key():
    jacobian = jax.jit(jax.jacobian(addressing.cosine))(jnp.zeros((H, W)), jnp.asarray(SLOTS))
    expected = np.zeros((H, N, H, W))
    for h in range(H):
        expected[h, :, h] = 1e4 * SLOTS / np.linalg.norm(SLOTS, axis=-1, keepdims=True)
    np.testing.assert_allclose(jacobian, expected, rtol=1e-7, atol=1e-6)


# By hand: at strength 0 the weight of slot n changes by (cos_n - mean cosine) / 11.
def test_gradient_of_the_content_at_strength_zero():
    by_strength = jax.jit(jax.jacobian(addressing.content, 2))
    jacobian = by_strength(jnp.asarray(KEYS), jnp.asarray(SLOTS), jnp.zeros(H))
    half = np.sqrt(0.5)
    cosine = np.array([[1.0, 0.0] + [0.0] * 9, [half, half] + [0.0] * 9])
    expected = np.zeros((H, N, H))
    for h, mean in enumerate([1 / 11, 2 * half / 11]):
        expected[h, :, h] = (cosine[h] - mean) / 11
    close(jacobian, expected, 1e-8)


# By hand, with gamma g and p the result: dp_n/dw_m = g (p_n [n = m] - p_n p_m) / w_m, which is 0 at w_m = 0 for g > 1;
# and dp_n/dg = p_n (ln w_n - sum_m p_m ln w_m).
def test_gradient_of_sharpening():
    weights = np.zeros((H, N))
    weights[:, [1, 5, 8]] = [0.5, 0.3, 0.2]
    gamma = np.array([2.0, 3.5])
    jacobians = jax.jit(jax.jacobian(addressing.sharpen, (0, 1)))
    by_weights, by_gamma = jacobians(jnp.asarray(weights), jnp.asarray(gamma))
    for h in range(H):
        power = np.array([0.5, 0.3, 0.2]) ** gamma[h]
        p = power / power.sum()
        expected = np.zeros((N, N))
        expected[np.ix_([1, 5, 8], [1, 5, 8])] = gamma[h] * (np.diag(p) - np.outer(p, p)) / [0.5, 0.3, 0.2]
        close(by_weights[h, :, h], expected)
        logs = np.log([0.5, 0.3, 0.2])
        expected = np.zeros(N)
        expected[[1, 5, 8]] = p * (logs - p @ logs)
        close(by_gamma[h, :, h], expected)
        close(by_weights[h, :, 1 - h], np.zeros((N, N)), 0)


def test_sharpening_nothing_is_uniform_and_has_no_gradient():
    zeros, gamma = np.zeros((H, N), np.float32), np.array([1.0, 20.0], np.float32)
    weights, pull = jax.vjp(addressing.sharpen, zeros, gamma)
    close(weights, np.full((H, N), 1 / 11), 1e-7)
    assert not np.any(pull(np.arange(H * N, dtype=np.float32).reshape(H, N))[0])


def test_masked_softmax_by_hand():
    logits, mask = jnp.array([0.0, jnp.log(3.0), jnp.nan]), jnp.array([True, True, False])
    np.testing.assert_allclose(addressing.masked_softmax(logits, mask), [0.25, 0.75, 0], rtol=1e-6)
    np.testing.assert_allclose(addressing.masked_softmax(logits, mask, zeros=4), [0.125, 0.375, 0], rtol=1e-6)
    np.testing.assert_array_equal(addressing.masked_softmax(logits, jnp.zeros(3, bool)), [0, 0, 0])


@pytest.mark.parametrize("zeros", [0, 3])
def test_masked_softmax_neither_overflows_nor_leaks(zeros):
    mask = jnp.array([True, True, False, False])
    for logits in ([1e30, 0, jnp.nan, jnp.inf], [-1e30, -1e30, jnp.inf, jnp.nan]):
        logits = jnp.array(logits)
        weights, gradient = jax.value_and_grad(lambda x: addressing.masked_softmax(x, mask, zeros=zeros)[0])(logits)
        assert np.isfinite(weights)
        assert np.isfinite(gradient).all()
        assert (np.asarray(gradient)[2:] == 0).all()


def test_position_encoding_by_hand():
    np.testing.assert_allclose(
        addressing.position_encoding(2, 2, "paper"), [[0.5, 0.5], [0.5, 1.0]], atol=1e-6
    )  # (1 - j/2) - (i/2)(1 - j): j = 1: 1/2 - 0; j = 2: 0 + i/2
    np.testing.assert_allclose(addressing.position_encoding(2, 2), [[1.25, 0.75], [0.75, 1.25]], atol=1e-6)
    np.testing.assert_allclose(addressing.position_encoding(3, 2, "dmnplus"), [[1, 0], [0.5, 0.5], [0, 1]], atol=1e-6)
    assert addressing.position_encoding(5, 1).shape == (5, 1)
    with pytest.raises(ValueError, match="kind is 'papers'; legal: 'memn2n', 'paper', 'dmnplus'"):
        addressing.position_encoding(2, 2, "papers")


@pytest.mark.parametrize("kind", addressing.POSITIONS)
def test_two_bags_are_a_position_encoding(kind):
    """What the factors are for: sum_j pe[j] * E[word_j] from two bags of words."""
    words, table = jnp.array([3, 1, 1, 4, 0]), jax.random.normal(jax.random.key(0), (6, 7))
    kept = (words > 0)[:, None]
    want = (addressing.position_encoding(5, 7, kind) * table[words] * kept).sum(0)
    got = layers.embed_bags(table, models.bags(words, 6, kind), "position", kind)
    np.testing.assert_allclose(got, want, atol=1e-5)


# --- Product keys ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m", "k"), [(6, 5, 4), (3, 4, 12), (1, 5, 4), (4, 1, 3)])
def test_product_keys_are_exact(n, m, k):
    """Against all n m keys, of small whole numbers, so that there are ties."""
    rng = np.random.default_rng(0)
    query, keys1, keys2 = (rng.integers(-3, 4, shape).astype(float) for shape in ((50, 4), (n, 2), (m, 2)))
    scores, places = addressing.product_keys(*map(jnp.asarray, (query, keys1, keys2)), k)
    every = query @ np.concatenate([np.repeat(keys1, m, 0), np.tile(keys2, (n, 1))], 1).T
    np.testing.assert_array_equal(scores, -np.sort(-every, axis=1)[:, :k])
    np.testing.assert_array_equal(np.take_along_axis(every, np.asarray(places), 1), scores)
    assert all(len(set(row)) == k for row in places.tolist())


def test_product_keys_that_do_not_fit():
    with pytest.raises(ValueError, match="query has size 5, and the halves of keys 2 and 2; legal"):
        addressing.product_keys(jnp.ones(5), jnp.ones((3, 2)), jnp.ones((4, 2)), 2)
    with pytest.raises(ValueError, match=r"k is 13 of 3 x 4 keys; legal: 1\.\.12"):
        addressing.product_keys(jnp.ones(4), jnp.ones((3, 2)), jnp.ones((4, 2)), 13)
