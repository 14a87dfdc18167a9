"""Usage, allocation and temporal links, function by function: hand-typed values, properties, gradients in the corners."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffmem import addressing, allocation, edits
from tests.test_addressing import H, N, W, call, close, distributions, numbers, onehot, quick

R = 3


@pytest.fixture(autouse=True, scope="module")
def float64():
    with jax.enable_x64(True):
        yield


def some(*shape, seed=0):
    return np.random.default_rng(seed).uniform(size=shape)


# --- Usage -----------------------------------------------------------------------------------------------------------


def test_retention_typed_values():
    read = np.zeros((R, N))
    read[0, 3], read[1, 3], read[2, 5] = 0.5, 1.0, 1.0
    got = call(allocation.retention, read, np.array([1.0, 0.5, 0.0]))
    expected = np.ones(N)
    expected[3] = 0.25  # (1 - 0.5) (1 - 0.5); head 2 frees nothing
    close(got, expected, 0)


def test_use_typed_values():
    usage, written, retained = np.zeros(N), np.zeros((H, N)), np.ones(N)
    usage[:3] = [0.5, 1.0, 0.5]
    written[:, 0], written[0, 4] = 0.5, 0.25
    retained[2] = 0.5
    expected = np.zeros(N)
    expected[:5] = [0.875, 1.0, 0.25, 0.0, 0.25]  # 0.5 + 0.5 (1 - 0.25)
    close(call(allocation.use, usage, written, retained), expected, 0)


@quick
@given(usage=numbers(N, 0, 1), written=distributions(), read=distributions((R, N)), free=numbers(R, 0, 1))
def test_usage_stays_between_zero_and_one(usage, written, read, free):
    got = call(allocation.use, usage, written, call(allocation.retention, read, free))
    assert np.all((got >= 0) & (got <= 1 + 1e-15))
    kept = call(allocation.use, usage, written, np.ones(N))
    assert np.all(kept >= usage - 1e-15)  # only reading frees
    close(call(allocation.use, usage, np.zeros((H, N)), np.ones(N)), usage, 0)


# --- Allocation ------------------------------------------------------------------------------------------------------


def test_allocation_typed_values():
    usage = np.ones(N)
    usage[[2, 7, 4]] = [0.5, 0.25, 0.8]
    expected = np.zeros(N)
    expected[[7, 2, 4]] = [0.75, 0.5 * 0.25, 0.2 * 0.125]
    close(call(allocation.allocation, usage), expected)
    # Squeezing moves a usage by at most 1e-6, and what is full is nearly so.
    for ties in ("squeezed", "rounded"):
        close(call(allocation.allocation, usage, ties=ties), expected, 3e-6)


def test_the_lower_number_is_allocated_first():
    close(call(allocation.allocation, np.zeros(N)), onehot(0)[0], 0)
    usage = np.ones(N)
    usage[[8, 3, 5]] = 0.5
    expected = np.zeros(N)
    expected[[3, 5, 8]] = [0.5, 0.25, 0.125]
    for ties, error in (("near", 0), ("squeezed", 3e-6), ("rounded", 3e-6)):
        close(call(allocation.allocation, usage, ties=ties), expected, error)


def test_what_counts_as_equal():
    usage = np.full(N, 1e-17)
    usage[2] = 0  # seen in a sort of usages, rounded away by 1 - u
    first = lambda **options: np.argmax(call(allocation.allocation, usage, **options))  # noqa: E731
    assert [first(ties=ties) for ties in allocation.TIES] == [0, 2, 0]
    usage = np.full(N, 0.5)
    usage[[2, 4]] -= [1e-7, 1e-3]
    assert [first(ties=ties) for ties in allocation.TIES] == [4, 4, 4]
    usage[4] = 0.5
    assert [first(ties=ties) for ties in allocation.TIES] == [0, 2, 2]
    with pytest.raises(ValueError, match="ties is 'equal'; legal: 'near', 'squeezed', 'rounded'"):
        allocation.allocation(jnp.zeros(N), ties="equal")


@quick
@given(usage=numbers(N, 0, 1), ties=st.sampled_from(allocation.TIES))
def test_allocation_prefers_the_least_used(usage, ties):
    got = call(allocation.allocation, usage, ties=ties)
    assert np.all(got >= 0)
    free = 1 - np.prod(usage)
    close(got.sum(), free, 2e-5)  # all that is free, exactly so without squeezing
    if ties == "near":
        close(got.sum(), free)
        order = np.argsort(np.round(usage * 2**14), kind="stable")
        product = 1.0
        for n in order:
            close(got[n], (1 - usage[n]) * product)
            product *= usage[n]
    assert usage[np.argmax(got)] <= usage.min() + 1e-4


def test_heads_are_allocated_one_after_the_other():
    got = call(allocation.allocate, np.zeros(N), np.ones(H))
    close(got, onehot(0, 1), 0)
    got = call(allocation.allocate, np.zeros(N), np.array([0.5, 1.0]))
    close(got, onehot(0, 1), 0)  # half a write is in use, and slot 1 is not
    # Rounded and squeezed, unused slots are 1e-6, 1e-12, .. in use after the first head: the first of those left.
    assert np.argmax(call(allocation.allocate, np.zeros(N), np.ones(H), ties="rounded")[1]) == 3
    close(call(allocation.allocate, np.zeros(N), np.zeros(H)), onehot(0, 0), 0)


# By hand: of usages 0.2 (slot 1) and 0.5 (slot 0), all else 1, a1 = 1 - u1 and a0 = (1 - u0) u1.
def test_gradient_of_allocation():
    usage = np.ones(N)
    usage[:2] = [0.5, 0.2]
    jacobian = jax.jacobian(allocation.allocation)(jnp.asarray(usage))
    close(jacobian[1, :2], [0, -1])
    close(jacobian[0, :2], [-0.2, 0.5])


# --- Links -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.float32])
@pytest.mark.parametrize("zeros", [0, 1, 3])
def test_masks_do_what_sorting_does(zeros, dtype):
    """The way of an accelerator, checked here: values and gradients, with equal keys and with usages of zero."""
    usage = (
        jax.random.uniform(jax.random.key(0), (9,), jnp.float32, 0.05, 1.0).at[:zeros].set(0.0).at[5].set(0.5).at[7].set(0.5)
    )
    weights = jnp.arange(1.0, 10.0)
    (want, slope), (found, other) = (
        jax.value_and_grad(lambda usage, way=way: jnp.vdot(weights, way(jnp.round(usage * 8).astype(dtype), usage)))(usage)
        for way in (allocation._before_by_sorting, allocation._before_by_masks)
    )
    np.testing.assert_allclose(found, want, rtol=1e-5)
    np.testing.assert_allclose(other, slope, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("slots", [1, 2, 64, 65, 1000, 2**16, 2**16 + 1])
def test_integers_are_ordered_as_numbers_are(slots):
    """Packed with their slots' numbers, and as they are, as in a memory whose numbers take more than 16 bits."""
    keys = np.random.default_rng(slots).integers(0, 2**14 + 1, slots)
    keys[::3] = keys[0]
    expected = np.argsort(keys, kind="stable")
    for dtype in (jnp.int32, jnp.float32):
        np.testing.assert_array_equal(allocation._order(jnp.asarray(keys, dtype)), expected)


def test_precedence_typed_values():
    before, written = onehot(3, 4), np.zeros((H, N))
    written[0, 3], written[0, 5], written[1, 9] = 0.25, 0.5, 1.0
    got = call(allocation.precede, before, written)
    expected = np.zeros((H, N))
    expected[0, [3, 5]], expected[1, 9] = [0.5, 0.5], 1.0
    close(got, expected, 0)


def test_links_follow_the_order_of_writing():
    """After writes to 4, 7 and 2, going forward from 4 leads to 7 and on to 2, backward from 2 to 7."""
    links, precedence = np.zeros((N, N)), np.zeros(N)
    for slot in (4, 7, 2):
        links = call(allocation.link, links, onehot(slot)[0], precedence)
        precedence = call(allocation.precede, precedence, onehot(slot)[0])
    expected = np.zeros((N, N))
    expected[7, 4] = expected[2, 7] = 1
    close(links, expected, 0)
    backward, forward = (np.asarray(a) for a in allocation.follow(jnp.asarray(links)[None], jnp.asarray(onehot(4, 7, 2))))
    assert forward.shape == backward.shape == (3, 1, N)
    close(forward[:, 0], [onehot(7)[0], onehot(2)[0], np.zeros(N)], 0)
    close(backward[:, 0], [np.zeros(N), onehot(4)[0], onehot(7)[0]], 0)
    # Writing to 7 again unlinks it from both sides.
    links = call(allocation.link, links, onehot(7)[0], precedence)
    expected = np.zeros((N, N))
    expected[7, 2] = 1
    close(links, expected, 0)


def test_link_typed_values():
    links = np.zeros((N, N))
    links[1, 2], links[5, 6] = 0.5, 0.25
    written, precedence = np.zeros(N), np.zeros(N)
    written[1], written[2], precedence[2], precedence[1] = 0.5, 0.25, 0.5, 0.25
    got = call(allocation.link, links, written, precedence)
    expected = np.zeros((N, N))
    expected[1, 2] = (1 - 0.75) * 0.5 + 0.5 * 0.5
    expected[2, 1] = 0.25 * 0.25
    expected[5, 6] = 0.25
    close(got, expected, 0)


@quick
@given(writes=distributions((6, N)), gates=numbers(6, 0, 1), read=distributions((R, N)))
def test_rows_and_columns_of_links_sum_to_at_most_one(writes, gates, read):
    links, precedence = np.zeros((N, N)), np.zeros(N)
    for weights in writes * gates[:, None]:
        links = call(allocation.link, links, weights, precedence)
        precedence = call(allocation.precede, precedence, weights)
        assert np.all(links >= -1e-12)
        assert np.all(links.sum(0) <= 1 + 1e-12)
        assert np.all(links.sum(1) <= 1 + 1e-12)
        assert not np.any(np.diag(links))
        assert precedence.sum() <= 1 + 1e-12
    for way in allocation.follow(jnp.asarray(links)[None], jnp.asarray(read)):
        assert np.all(np.asarray(way).sum(-1) <= 1 + 1e-12)


@quick
@given(links=numbers((H, N, N), 0, 1), read=distributions((R, N)))
def test_following_is_multiplying(links, read):
    backward, forward = allocation.follow(jnp.asarray(links), jnp.asarray(read))
    for r in range(R):
        for h in range(H):
            close(backward[r, h], links[h].T @ read[r])
            close(forward[r, h], links[h] @ read[r])


# --- Other functions that the DNC brings -----------------------------------------------------------------------------


def test_erase_add_all_erases_before_it_adds():
    slots, weights = np.tile([2.0, 4.0, 6.0], (N, 1)), np.zeros((H, N))
    weights[:, 3], weights[1, 8] = [0.5, 1.0], 0.5
    erase, add = np.array([[1.0, 0.0, 0.5], [0.5, 1.0, 0.0]]), np.array([[10.0, 20.0, 30.0], [1.0, 2.0, 3.0]])
    expected = slots.copy()
    expected[3] = [2 * 0.5 * 0.5 + 6, 0 + 12, 6 * 0.75 + 18]
    expected[8] = [2 * 0.75 + 0.5, 4 * 0.5 + 1, 6 + 1.5]
    close(call(edits.erase_add_all, slots, weights, erase, add), expected)


@pytest.mark.parametrize("epsilon", addressing.EPSILONS)
def test_a_mask_hides_components(epsilon):
    keys, slots, mask = some(H, W), some(N, W, seed=1), np.array([[1.0, 0.0, 1.0], [0.5, 0.25, 0.0]])
    got = call(addressing.cosine, keys, slots, mask=jnp.asarray(mask), epsilon=epsilon)
    for h in range(H):
        want = call(addressing.cosine, (keys * mask)[h : h + 1], slots * mask[h], epsilon=epsilon)
        close(got[h], want[0], 1e-7)
    everything = call(addressing.cosine, keys, slots, mask=jnp.ones((H, W)), epsilon=epsilon)
    close(everything, call(addressing.cosine, keys, slots, epsilon=epsilon))


# A key of norm 1e-3 against a slot of norm 1e-3: 1e-6 / (sqrt(2e-6)^2 + 1e-6) and 1e-6 / (1e-6 + 1e-6).
@pytest.mark.parametrize(("epsilon", "expected"), [("doubled", 1 / 3), ("coarse", 1 / 2)])
def test_the_cosines_of_published_code(epsilon, expected):
    keys, slots = np.eye(H, W) * 1e-3, np.zeros((N, W))
    slots[4, 0] = 1e-3
    close(call(addressing.cosine, keys, slots, epsilon=epsilon)[0], expected * onehot(4)[0], 1e-9)


ZEROS = np.zeros(N)
CORNERS = {
    "allocate: unused": (lambda u: allocation.allocate(u, jnp.ones(H, u.dtype)), ZEROS),
    "allocate: full": (lambda u: allocation.allocate(u, jnp.ones(H, u.dtype)), np.ones(N)),
    "allocate: both": (lambda u: allocation.allocate(u, jnp.ones(H, u.dtype)), onehot(3)[0]),
    "retention: all freed": (lambda w: allocation.retention(w, jnp.ones(H, w.dtype)), onehot(3, 3)),
    "use: all written": (lambda w: allocation.use(w[0], w, w[1]), onehot(3, 3)),
    "erase_add_all": (
        lambda w: edits.erase_add_all(w.T, w, jnp.ones((H, H), w.dtype), jnp.ones((H, H), w.dtype)),
        onehot(3, 3),
    ),
    "doubled cosine of zeros": (lambda k: addressing.cosine(k, 0 * k, epsilon="doubled"), np.zeros((H, W))),
    "masked cosine": (lambda k: addressing.cosine(k, 0 * k, mask=0 * k), np.zeros((H, W))),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CORNERS)
def test_gradients_are_finite_in_the_corners(case, dtype):
    function, argument = CORNERS[case]
    value, pull = jax.vjp(function, jnp.asarray(argument, dtype))
    assert value.dtype == dtype
    (gradient,) = pull(jnp.asarray(np.random.default_rng(1).normal(size=value.shape), dtype))
    assert np.isfinite(value).all()
    assert np.isfinite(gradient).all()
