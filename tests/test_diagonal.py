"""Traces that decay and turn: the two ways through a chunk, long sequences, and all methods alike in float32."""

import functools
import importlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffmem
from diffmem.diagonal import DiagonalState, doubling_trace, scan_trace

pytestmark = pytest.mark.usefixtures("strict_types")
MEMORIES = {
    "ffm": diffmem.FFM(5, 8, trace_size=6, context_size=2, learned_state=True, chunk=8),
    "lru": diffmem.LRU(5, 8, hidden_size=6, learned_state=True, chunk=8),
}


def loop(gamma, inputs, state, initial, starts):
    states = []
    for u, start in zip(inputs, starts, strict=True):
        state = gamma * (initial if start else state) + u
        states.append(state)
    return np.stack(states)


@pytest.mark.parametrize("length", [1, 2, 5, 8])
def test_both_ways_through_a_chunk_are_the_loop(length):
    """Values against complex numbers in NumPy, gradients against each other."""
    rng = np.random.default_rng(length)
    complex_normal = lambda *shape: rng.normal(size=(*shape, 2)) @ [1, 1j]  # noqa: E731
    pair = lambda z: DiagonalState(z.real, z.imag)  # noqa: E731
    log_gamma = -rng.uniform(0, 1, size=3) + 1j * rng.uniform(-3, 3, size=3)
    inputs, state, initial, cotangent = complex_normal(length, 3), *complex_normal(2, 3), complex_normal(length, 3)

    def powers(log_gamma, steps):
        gamma = jnp.exp(jax.lax.complex(log_gamma.real * steps, log_gamma.imaginary * steps))
        return DiagonalState(gamma.real, gamma.imag)

    @jax.jit
    def both(log_gamma, inputs, state, initial, starts):
        def scan(log_gamma, *rest):
            return scan_trace(powers(log_gamma, 1), *rest, starts)

        def doubling(log_gamma, *rest):
            return doubling_trace(functools.partial(powers, log_gamma), *rest, starts)

        arguments = (log_gamma, inputs, state, initial)
        (one, back), (two, back_two) = jax.vjp(scan, *arguments), jax.vjp(doubling, *arguments)
        return one, two, back(pair(cotangent)), back_two(pair(cotangent))

    with jax.enable_x64(True):
        for starts in rng.random((5, length)) < 0.3:
            want = loop(np.exp(log_gamma), inputs, state, initial, starts)
            scanned, doubled, *gradients = both(*(pair(z) for z in (log_gamma, inputs, state, initial)), starts)
            for got in (scanned, doubled):
                np.testing.assert_allclose(np.asarray(got.real) + 1j * np.asarray(got.imaginary), want, atol=1e-12)
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-10), *gradients)


@pytest.mark.parametrize("name", MEMORIES)
def test_step_is_sequence_is_chunk_in_float32(name):
    """What an agent did step by step is what a learner recomputes, with resets, to 1e-5."""
    memory, time = MEMORIES[name], 37
    rng = np.random.default_rng(0)
    params = memory.init_params(jax.random.key(0))
    params["initial"] = {part: rng.normal(size=a.shape).astype("float32") for part, a in params["initial"].items()}
    xs = rng.normal(size=(time, 5)).astype("float32")
    starts = rng.random(time) < 0.15
    step = jax.jit(memory.step)
    state, values = memory.init_state(params), []
    for x, start in zip(xs, starts, strict=True):
        state, readout = step(params, memory.init_state(params) if start else state, x)
        values.append(readout.value)

    @jax.jit
    def sequences(params, xs, starts):
        methods = ("scan", "parallel", "chunked")
        return [diffmem.unroll(memory, params, None, xs, starts=starts, method=method) for method in methods]

    for last, readouts in sequences(params, xs, starts):
        np.testing.assert_allclose(readouts.value, np.stack(values), rtol=1e-5, atol=1e-5)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), last, state)


@pytest.mark.parametrize("name", MEMORIES)
def test_long_sequences_take_memory_for_inputs_outputs_and_one_chunk(name):
    """65,536 steps: finite, and with gradients at most a few times what goes in and comes out, far from every trace."""
    memory, time = diffmem.make(name, input_size=4, output_size=4, chunk=64), 65536
    params = memory.init_params(jax.random.key(0))

    def loss(params, xs):
        return jnp.sum(jnp.square(diffmem.unroll(memory, params, None, xs)[1].value))

    def compiled(time):
        xs = jax.ShapeDtypeStruct((time, 4), "float32")
        return jax.jit(jax.grad(loss, (0, 1))).lower(params, xs).compile()

    programs = {t: compiled(t) for t in (time // 4, time)}
    few, many = (program.memory_analysis().temp_size_in_bytes for program in programs.values())
    traces = 4 * time * sum(a.size for a in memory.init_state(params))
    assert many <= 4.2 * few
    assert many <= traces / 10
    gradients = programs[time](params, np.random.default_rng(0).normal(size=(time, 4)).astype("float32"))
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(gradients))


def test_a_radius_that_is_rounded_to_one_starts_finite():
    chex.assert_tree_all_finite(diffmem.LRU(5, 7, radii=(1 - 1e-9, 1.0)).init_params(jax.random.key(0)))


@pytest.mark.parametrize(("scale", "power"), [("variance", 2), ("mean", 1)])
def test_scaled_traces_do_not_outgrow_each_other(scale, power):
    """After a long time, a trace of noise has the noise's variance at any rate, and a trace of ones is one; where nothing
    fades, the gradient is finite.
    """
    memory = diffmem.FFM(1, 2, trace_size=3, context_size=1, scale=scale)
    params = memory.init_params(jax.random.key(0))
    alpha = jnp.array([1.0, 0.1, 0.01])
    params |= {"alpha": alpha, "omega": jnp.zeros(1)}
    kernel = jnp.concatenate([jnp.ones((1, 3)), jnp.zeros((1, 3))], 1)
    params["write"] = {"kernel": kernel, "bias": jnp.array([0.0, 0, 0, 40, 40, 40])}  # the gates are open
    xs = jax.random.normal(jax.random.key(1), (20_000, 1)) if scale == "variance" else jnp.ones((20_000, 1))

    def traces(params, xs):
        return jax.lax.scan(lambda s, x: (memory.write(params, s, x),) * 2, memory.init_state(params), xs)[1].real[:, 0]

    late = traces(params, xs)[2000:]
    np.testing.assert_allclose((jnp.abs(late) ** power).mean(0), 1.0, rtol=0.25 if power == 2 else 1e-3)
    still = params | {"alpha": jnp.array([1.0, 0.1, 0.0])}
    gradient = jax.grad(lambda params: traces(params, xs[:9]).sum())(still)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize(
    ("platform", "memory", "remat", "way"),
    [
        ("gpu", diffmem.FFM(5), 0, "_parallel"),
        ("gpu", diffmem.FFM(5), 8, "_in_chunks"),
        ("gpu", diffmem.FFM(5, chunk=16), 0, "_in_chunks"),
        ("gpu", diffmem.DeltaRule(5), 0, "_in_chunks"),
        ("gpu", diffmem.GRU(5), 0, "_chunked_scan"),
        ("cpu", diffmem.FFM(5), 0, "_in_chunks"),
        ("cpu", diffmem.GRU(5), 0, "_chunked_scan"),
    ],
)
def test_auto_takes_what_is_fastest_on_the_platform(platform, memory, remat, way, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    taken = []
    for name in ("_parallel", "_in_chunks", "_chunked_scan"):
        monkeypatch.setattr(importlib.import_module("diffmem.unroll"), name, lambda *_, name=name: taken.append(name))
    diffmem.unroll(memory, memory.init_params(jax.random.key(0)), None, jnp.ones((9, 5)), remat=remat)
    assert taken == [way]
