"""The hand-written backward passes against plain autodiff of the readable functions, and at the points that break them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffmem
from diffmem import addressing, allocation, edits, fused
from diffmem.matrix import Fading, add_chunk

pytestmark = pytest.mark.usefixtures("strict_types")

N, W, R = 11, 3, 2
FOCUS = ("slots", "previous", "keys", "strength", "gate", "kernel", "gamma")


def readable_focus(slots, previous, keys, strength, gate, kernel, gamma):
    weights = addressing.interpolate(addressing.content(keys, slots.T, strength), previous, gate)
    return addressing.sharpen(addressing.shift(weights, kernel), gamma)


def readable_erase_add(slots, weights, erase, add):
    return edits.erase_add(slots.T, weights, erase, add).T


def focus_case(heads=2, taps=3, seed=0, **fixed):
    """Arguments of `focus`: random, but for those that are given, which fill their array."""
    rng = np.random.default_rng(seed)
    case = {
        "slots": rng.normal(size=(W, N)),
        "previous": rng.dirichlet(np.ones(N), size=heads),
        "keys": rng.normal(size=(heads, W)),
        "strength": rng.gamma(2, size=heads),
        "gate": rng.uniform(size=heads),
        "kernel": rng.dirichlet(np.ones(taps), size=heads),
        "gamma": 1 + rng.gamma(2, size=heads),
    }
    return tuple(np.broadcast_to(fixed.get(name, value), value.shape) for name, value in case.items())


def erase_add_case(seed=0, **fixed):
    rng = np.random.default_rng(seed)
    case = {
        "slots": rng.normal(size=(W, N)),
        "weights": rng.dirichlet(np.ones(N)),
        "erase": rng.uniform(size=W),
        "add": rng.normal(size=W),
    }
    return tuple(np.broadcast_to(fixed.get(name, value), value.shape) for name, value in case.items())


def readable_relink(links, weights, precedence, reading):
    linked = allocation.link(links, weights, precedence)
    backward, forward = allocation.follow(linked[None], reading)
    return linked, backward[:, 0], forward[:, 0]


def relink_case(seed=0, **fixed):
    """Arguments of `relink`: random, also on the diagonal of the links."""
    rng = np.random.default_rng(seed)
    case = {
        "links": rng.uniform(size=(N, N)),
        "weights": rng.uniform() * rng.dirichlet(np.ones(N)),
        "precedence": rng.dirichlet(np.ones(N)),
        "reading": rng.dirichlet(np.ones(N), size=R),
    }
    return tuple(np.broadcast_to(fixed.get(name, value), value.shape) for name, value in case.items())


def readable_blend(matrix, key, value, rate):
    return edits.outer(edits.decay(matrix, 1 - rate), rate * key, value)


def blend_case(seed=0, **fixed):
    rng = np.random.default_rng(seed)
    case = {"matrix": rng.normal(size=(N, W)), "key": rng.normal(size=N), "value": rng.normal(size=W), "rate": rng.uniform()}
    return tuple(np.broadcast_to(fixed.get(name, value), np.shape(value)) for name, value in case.items())


def readable_delta_chunk(matrix, query, key, value, gate, within, carried):
    gate, left = gate[..., None], carried[..., None]
    system = jnp.eye(key.shape[1]) + jnp.tril(gate * within * (key @ key.mT), -1)
    added = jnp.linalg.solve(system, gate * (value - left * (key @ matrix)))
    return add_chunk(matrix, query, key, added, Fading(within, carried))


def delta_chunk_case(seed=0, heads=2, fadings=2, length=6):
    """Arguments of `delta_chunk`, with a fading for each head or one for all."""
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(heads, W, 4)),
        rng.normal(size=(heads, length, W)),
        rng.normal(size=(heads, length, W)),
        rng.normal(size=(heads, length, 4)),
        rng.uniform(size=(heads, length)),
        np.tril(rng.uniform(size=(fadings, length, length))),
        rng.uniform(size=(fadings, length)),
    )


def readable_project(kernel, xs):
    return xs @ kernel


def project_case(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(W, 4)), rng.normal(size=(N, W))


def with_pullback(function):
    """The function's value and the gradients of all arguments for a random cotangent, compiled once per shape."""

    @jax.jit
    def run(arguments, scale=1.0):
        value, pull = jax.vjp(function, *arguments)
        rng = np.random.default_rng(99)
        return value, pull(jax.tree.map(lambda a: scale * jnp.asarray(rng.normal(size=a.shape), a.dtype), value))

    return run


@pytest.fixture(scope="module")
def pairs():
    """(fast, readable), with pullbacks."""
    return {
        "focus": (with_pullback(fused.focus), with_pullback(readable_focus)),
        "erase_add": (with_pullback(fused.erase_add), with_pullback(readable_erase_add)),
        "relink": (with_pullback(fused.relink), with_pullback(readable_relink)),
        "blend": (with_pullback(fused.blend), with_pullback(readable_blend)),
        "project": (with_pullback(fused.project), with_pullback(readable_project)),
        "delta_chunk": (with_pullback(fused.delta_chunk), with_pullback(readable_delta_chunk)),
    }


def hold(pair, arguments):
    """Asserts that the values and the gradients of all arguments are the readable function's, to 1e-10."""
    with jax.enable_x64(True):
        (value, got), (expected, want) = (function(arguments) for function in pair)
        for a, b in zip(jax.tree.leaves(value), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)
        assert len(got) == len(arguments)
        for number, (a, b) in enumerate(zip(got, want, strict=True)):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10, err_msg=f"gradient of argument {number}")


@pytest.mark.parametrize(("heads", "taps"), [(1, 1), (2, 3), (3, 5), (3, 1), (1, 3)])
def test_focus_is_the_composition(pairs, heads, taps):
    for seed in range(20):
        hold(pairs["focus"], focus_case(heads, taps, seed))


ZERO_MEMORY, ONE_HOT = np.zeros((W, N)), np.eye(N)[4]
EDGES = {
    "zero memory": {"slots": ZERO_MEMORY},
    "memory of 1e-6": {"slots": np.full((W, N), 1e-6)},
    "one zero slot": {"slots": np.arange(W * N).reshape(W, N) % N - 5.0},
    "zero keys": {"keys": 0.0},
    "zero weights": {"previous": 0.0},
    "one-hot weights": {"previous": ONE_HOT},
    "gate 0": {"gate": 0.0},
    "gate 1": {"gate": 1.0},
    "gate 0 from zero weights": {"gate": 0.0, "previous": 0.0},
    "gate 0 from one-hot weights": {"gate": 0.0, "previous": ONE_HOT},
    "saturated gates": {"gate": np.array([1e-300, 1 - 1e-16])},
    "hard kernel": {"kernel": np.array([0.0, 0.0, 1.0])},
    "gamma 1": {"gamma": 1.0},
    "gamma 1000": {"gamma": 1e3},
    "strength 0": {"strength": 0.0},
    "strength 1000": {"strength": 1e3},
}


@pytest.mark.parametrize("edge", EDGES)
def test_focus_is_the_composition_at_the_edges(pairs, edge):
    for seed in range(3):
        hold(pairs["focus"], focus_case(seed=seed, **EDGES[edge]))


@pytest.mark.parametrize(
    "fixed",
    [{}, {"slots": 0.0}, {"weights": 0.0}, {"weights": ONE_HOT}, {"erase": 0.0}, {"erase": 1.0}, {"add": 0.0}],
    ids=lambda fixed: "-".join(fixed) or "random",
)
def test_erase_add_is_the_edit(pairs, fixed):
    for seed in range(10):
        hold(pairs["erase_add"], erase_add_case(seed, **fixed))


@pytest.mark.parametrize("fixed", [{}, {"matrix": 0.0}, {"key": 0.0}, {"value": 0.0}, {"rate": 0.0}, {"rate": 1.0}], ids=str)
def test_blend_is_decay_and_outer(pairs, fixed):
    for seed in range(10):
        hold(pairs["blend"], blend_case(seed, **fixed))


@pytest.mark.parametrize(("heads", "fadings", "length"), [(1, 1, 1), (2, 1, 6), (2, 2, 6), (3, 3, 37), (2, 1, 40)])
def test_delta_chunk_is_a_solved_system(pairs, heads, fadings, length):
    for seed in range(3):
        hold(pairs["delta_chunk"], delta_chunk_case(seed, heads, fadings, length))


def test_project_is_a_product(pairs):
    hold(pairs["project"], project_case())


RELINK_EDGES = {
    "random": {},
    "no links": {"links": 0.0},
    "nothing written": {"weights": 0.0},
    "one slot written": {"weights": ONE_HOT},
    "the same slot written again": {"weights": ONE_HOT, "precedence": ONE_HOT},
    "nothing read": {"reading": 0.0},
    "one slot read": {"reading": ONE_HOT},
}


@pytest.mark.parametrize("edge", RELINK_EDGES)
def test_relink_is_link_and_follow(pairs, edge):
    for seed in range(10):
        hold(pairs["relink"], relink_case(seed, **RELINK_EDGES[edge]))


FLOAT32_EDGES = {
    **EDGES,
    "saturated gates": {"gate": np.array([1e-37, 1 - 6e-8])},
    "gamma 1e6": {"gamma": 1e6},
    "gamma 1e6 of one-hot weights": {"gamma": 1e6, "gate": 0.0, "previous": ONE_HOT},
    "all zero": {"slots": 0.0, "keys": 0.0, "previous": 0.0, "gate": 0.0, "strength": 0.0},
}


@pytest.mark.parametrize("edge", FLOAT32_EDGES)
def test_float32_gradients_are_finite(pairs, edge):
    arguments = tuple(a.astype(np.float32) for a in focus_case(**FLOAT32_EDGES[edge]))
    for name, leaf in zip(("value", *FOCUS), jax.tree.leaves(pairs["focus"][0](arguments)), strict=True):
        assert leaf.dtype == np.float32
        assert np.isfinite(leaf).all(), name


def test_float32_erase_add_gradients_are_finite(pairs):
    for fixed in ({"slots": 0.0, "weights": 0.0}, {"erase": 1.0, "weights": ONE_HOT}, {"slots": 3e38, "erase": 0.0}):
        arguments = tuple(a.astype(np.float32) for a in erase_add_case(**fixed))
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(pairs["erase_add"][0](arguments, 1e-3)))


def test_a_thousand_steps_have_finite_gradients():
    """A controlled NTM in float32 from its constant memory, with a controller large enough to saturate the gates."""
    memory = diffmem.control(diffmem.NTM(input_size=7, slots=11, width=3, read_heads=2, write_heads=2), input_size=5)
    shapes = jax.eval_shape(memory.init_params, jax.random.key(0))
    rng = np.random.default_rng(0)

    @jax.jit
    def run(params, xs):
        def loss(params):
            readout = diffmem.unroll(memory, params, None, xs)[1]
            return jnp.sum(readout.value**2), readout

        return jax.value_and_grad(loss, has_aux=True)(params)

    for scale in (0.3, 3.0):
        params = jax.tree.map(lambda a, s=scale: (s * rng.normal(size=a.shape)).astype(np.float32), shapes)
        (_, readout), grads = run(params, rng.normal(size=(1000, 5)).astype(np.float32))
        for leaf in jax.tree.leaves((readout, grads)):
            assert np.isfinite(leaf).all()
        np.testing.assert_allclose(np.sum(readout.weights, -1), 1, atol=1e-5)


def twice(function, directions):
    """The gradient of a gradient's projection on random directions: every second derivative takes part."""

    def flat(*arguments):
        return jnp.concatenate([a.ravel() for a in jax.tree.leaves(function(*arguments))])

    def projected(*arguments):
        cotangent = jnp.cos(jnp.arange(jax.eval_shape(flat, *arguments).size, dtype=arguments[0].dtype))
        once = jax.grad(lambda *a: jnp.vdot(cotangent, flat(*a)), range(len(arguments)))(*arguments)
        return sum(jnp.vdot(d, g) for d, g in zip(directions, once, strict=True))

    return jax.jit(jax.grad(projected, range(len(directions))))


@pytest.mark.parametrize(
    ("fast", "readable", "arguments"),
    [
        (fused.focus, readable_focus, focus_case(seed=3)),
        (fused.erase_add, readable_erase_add, erase_add_case(seed=3)),
        (fused.relink, readable_relink, relink_case(seed=3)),
        (fused.blend, readable_blend, blend_case(seed=3)),
        (fused.project, readable_project, project_case(seed=3)),
        (fused.delta_chunk, readable_delta_chunk, delta_chunk_case(seed=3)),
    ],
    ids=["focus", "erase_add", "relink", "blend", "project", "delta_chunk"],
)
def test_second_derivatives(fast, readable, arguments):
    rng = np.random.default_rng(4)
    directions = [rng.normal(size=a.shape) for a in arguments]
    with jax.enable_x64(True):
        got, want = (twice(function, directions)(*arguments) for function in (fast, readable))
        for number, (a, b) in enumerate(zip(got, want, strict=True)):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9, err_msg=f"argument {number}")


def test_forward_mode_is_refused():
    """As documented: a custom backward pass has no forward mode; an error, not a wrong number."""
    arguments = tuple(jnp.asarray(a, jnp.float32) for a in focus_case())
    with pytest.raises(TypeError, match="custom_vjp"):
        jax.jvp(fused.focus, arguments, arguments)
