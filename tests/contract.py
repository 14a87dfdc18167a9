"""The laws that every memory keeps, as plain functions: `law(memory)` raises AssertionError where one is broken.

Compiling is what takes time, so the laws share a few programs per memory (`_programs`), all in float64: one step with its
gradients, the reference from which loops are built in Python, and `unroll` with its gradients on ROWS sequences at once,
every row with parameters, state, resets and cotangents of its own. Row i of the second is held to a loop of the first.
"""

import copy
import dataclasses
import functools
import itertools
from types import SimpleNamespace
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import numpy as jnp  # noqa: F811

import diffmem

BATCH, TIME, ROWS = 4, 7, 128
TOLERANCE = dict(rtol=1e-9, atol=1e-10)
EVERY_MASK = np.array(list(itertools.product([False, True], repeat=TIME)))
LAWS = ()


def law(function):
    """Adds a law. It runs in float64."""
    global LAWS

    @functools.wraps(function)
    def wrapped(memory):
        with jax.enable_x64(True):
            return function(memory)

    LAWS += (wrapped,)
    return wrapped


class Out(NamedTuple):
    """What a step or a run gives for cotangents: the loss is the sum of cotangent * output over state and readout."""

    state: object
    readout: object
    loss: object = None
    grads: object = None  # with respect to params, state, x


class Args(NamedTuple):
    """What a run takes. starts and cotangents: (of the final state, of the readouts)."""

    params: object
    state: object
    xs: object
    starts: object
    cotangents: object


def _dot(cotangents, outputs):
    pairs = zip(jax.tree.leaves(cotangents), jax.tree.leaves(outputs), strict=True)
    return sum(jnp.sum(c * o) for c, o in pairs if jnp.issubdtype(o.dtype, jnp.inexact))


def with_gradients(function):
    """Turns (params, state, xs, *rest) -> (state, readout) into a function of Args that returns Out."""

    def run(params, state, xs, starts, cotangents):
        def loss(params, state, xs):
            outputs = function(params, state, xs, starts)
            return _dot(cotangents, outputs), outputs

        (value, outputs), grads = jax.value_and_grad(loss, (0, 1, 2), True, allow_int=True)(params, state, xs)
        return Out(*outputs, value, grads)

    return run


def numpy(tree):
    return jax.tree.map(np.asarray, tree)


@functools.lru_cache(maxsize=None)
def _programs(memory):
    """The compiled functions and the random material of a memory."""
    rng = np.random.default_rng(7)
    params = numpy(jax.jit(jax.vmap(memory.init_params))(jax.random.split(jax.random.key(0), 3)))
    # Everything is moved away from its initial value: a zero bias would hide what it should show.
    noisy = jax.tree.map(lambda a: np.asarray(a[0] + 0.3 * rng.normal(size=a.shape[1:])), params)

    def begin(params, cotangents):
        state, pull = jax.vjp(memory.init_state, params)
        return state, pull(cotangents)[0]

    def unroll(method):
        def run(params, state, xs, starts):
            return diffmem.unroll(memory, params, state, xs, starts=starts, method=method)

        return jax.jit(jax.vmap(with_gradients(run)))

    def step(params, state, x, starts):
        return memory.step(params, state, x)

    p = SimpleNamespace(seeds=params, params=noisy, rng=rng, begin=jax.jit(begin), step=jax.jit(with_gradients(step)))
    p.unroll = {method: unroll(method) for method in methods(memory)}
    zeros = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), jax.eval_shape(memory.init_state, noisy))
    p.initial = numpy(p.begin(noisy, zeros)[0])
    p.xs = rng.normal(size=(BATCH, TIME, memory.input_size))
    shapes = jax.eval_shape(memory.step, noisy, p.initial, p.xs[0, 0])
    p.silent = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), shapes)
    # Four different histories, each three steps away from the initial state.
    p.histories = []
    for xs in rng.normal(size=(BATCH, 3, memory.input_size)):
        state = p.initial
        for x in xs:
            state = p.step(noisy, state, x, None, p.silent).state
        p.histories.append(numpy(state))
    return p


def clear():
    """Forgets what was compiled: to be called before and after the library is patched."""
    _programs.cache_clear()
    chex.clear_trace_counter()


def methods(memory):
    return ("scan", "parallel") if hasattr(memory, "combine") else ("scan",)


def arguments(p, rows=ROWS, starts=None, loud=True):
    """Args for the batched program: row i has history i % 4, its own xs and cotangents (zero unless loud)."""
    stack = lambda trees: jax.tree.map(lambda *a: np.stack(a), *trees)  # noqa: E731
    cotangents = p.silent[0], jax.tree.map(lambda a: np.broadcast_to(a, (TIME, *a.shape)), p.silent[1])
    draw = lambda a: p.rng.normal(size=(rows, *a.shape)) if loud else np.zeros((rows, *a.shape))  # noqa: E731
    return Args(
        params=jax.tree.map(lambda a: np.broadcast_to(a, (rows, *a.shape)), p.params),
        state=stack([p.histories[i % BATCH] for i in range(rows)]),
        xs=p.rng.normal(size=(rows, *p.xs.shape[1:])),
        starts=np.zeros((rows, TIME), bool) if starts is None else starts,
        cotangents=jax.tree.map(draw, cotangents),
    )
