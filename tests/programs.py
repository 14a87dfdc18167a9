"""What the laws run: per memory one compiled step, one compiled batch of `unroll`s, and random material for both.

Compiling is what takes time, so the laws share these. Everything is float64 and comes with gradients: the loss is the sum
of cotangent * output over the final state and all readouts, weights included.
"""

import functools
import itertools
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffmem

TIME, ROWS, HISTORIES = 7, 128, 4
REGISTERED = {name: diffmem.make(name, **diffmem.entry(name).small) for name in diffmem.names()}
# One of each kind: recurrent, slots, own derivatives, in place, in parallel, in chunks, append-only. What hardly depends on the
# memory is tested on these always and on the others with the slow tests.
KINDS = ("gru", "ntm", "dnc", "sam", "ffm", "delta_rule", "dmn")
EVERY_MASK = np.array(list(itertools.product([False, True], repeat=TIME)))


def kinds():
    """The registered memories as parameters of a test; those that are like one of KINDS are slow."""
    mark = lambda name: [pytest.mark.slow] if name not in KINDS else []  # noqa: E731
    return [pytest.param(name, marks=mark(name)) for name in REGISTERED]


class Args(NamedTuple):
    """What a run takes; in the batched program every leaf has a leading axis of ROWS."""

    params: Any
    state: Any
    xs: Any
    starts: Any
    cotangents: Any  # (of the final state, of the readouts)


class Out(NamedTuple):
    """What a run gives. `params`, `before` and `xs` are the loss's gradients, `before` that of the state before."""

    state: Any
    readout: Any
    loss: Any
    params: Any
    before: Any
    xs: Any


def dot(cotangents, outputs):
    """The sum of cotangent * output; integers in a state do not count."""
    pairs = zip(jax.tree.leaves(cotangents), jax.tree.leaves(outputs), strict=True)
    return sum(jnp.sum(c * o) for c, o in pairs if jnp.issubdtype(o.dtype, jnp.inexact))


def with_gradients(function):
    """Turns (params, state, xs, starts) -> (state, readout) into a function of Args that returns Out."""

    def run(params, state, xs, starts, cotangents):
        def loss(params, state, xs):
            outputs = function(params, state, xs, starts)
            return dot(cotangents, outputs), outputs

        (value, outputs), grads = jax.value_and_grad(loss, (0, 1, 2), has_aux=True, allow_int=True)(params, state, xs)
        grads = jax.tree.map(lambda g: jnp.zeros(g.shape) if g.dtype == jax.dtypes.float0 else g, grads)
        return Out(*outputs, value, *grads)

    return run


def numpy(tree):
    return jax.tree.map(np.asarray, tree)


def zeros(tree):
    return jax.tree.map(lambda a: np.zeros(a.shape), tree)


def add(a, b):
    return jax.tree.map(np.add, a, b)


def row(tree, i):
    return jax.tree.map(lambda a: np.asarray(a)[i], tree)


def repeat(tree, times):
    return jax.tree.map(lambda a: np.broadcast_to(a, (times, *np.shape(a))), tree)


def like(flags, a):
    """Flags that broadcast against an array whose first axes are theirs."""
    return flags.reshape(flags.shape + (1,) * (np.ndim(a) - flags.ndim))


def methods(memory):
    able = {"scan": "step", "parallel": "combine", "chunked": "step_all"}
    return tuple(method for method, verb in able.items() if hasattr(memory, verb))


def jit_unroll(memory, **options):
    """`unroll` with gradients, for a batch of Args."""

    def run(params, state, xs, starts):
        return diffmem.unroll(memory, params, state, xs, starts=starts, **options)

    return jax.jit(jax.vmap(with_gradients(run)))


@functools.cache
def fresh_seeds(memory):
    """Three fresh parameters, side by side. They start in float32, wherever they go then."""
    with jax.enable_x64(False):
        return numpy(jax.jit(jax.vmap(memory.init_params))(jax.random.split(jax.random.key(0), 3)))


@functools.cache
def programs(memory):
    """The shared programs and material of a memory. `programs.cache_clear()` after the library has been patched."""
    rng = np.random.default_rng(7)
    p = SimpleNamespace(memory=memory)
    if memory in REGISTERED.values():
        p.params = row(fresh_seeds(memory), 0)
    else:  # compiling the random numbers takes as long as compiling a law
        with jax.enable_x64(False):
            p.params = zeros(jax.eval_shape(memory.init_params, jax.random.key(0)))
    # Everything is moved away from its initial value: a zero bias would hide what it should show.
    p.params = jax.tree.map(lambda a: a + 0.4 * rng.normal(size=a.shape), p.params)

    def begin(params, cotangents):
        state, readout = memory.init_state(params), None
        return state, jax.grad(lambda params: dot((cotangents, readout), (memory.init_state(params), readout)))(params)

    p.begin = jax.jit(jax.vmap(begin))
    p.step = jax.jit(jax.vmap(with_gradients(lambda params, state, x, starts: memory.step(params, state, x))))
    p.unroll = {method: jit_unroll(memory, method=method) for method in methods(memory)}
    everywhere = repeat(p.params, ROWS)
    states = numpy(p.begin(everywhere, repeat(zeros(jax.eval_shape(memory.init_state, p.params)), ROWS))[0])
    p.initial = row(states, 0)
    p.silent = zeros(jax.eval_shape(memory.step, p.params, p.initial, np.zeros(memory.input_size)))
    # Different histories, each three steps away from the initial state.
    for _ in range(3):
        x = rng.normal(size=(ROWS, memory.input_size))
        states = numpy(p.step(everywhere, states, x, None, repeat(p.silent, ROWS)).state)
    p.histories = [row(states, i) for i in range(HISTORIES)]
    return p


def arguments(p, *, starts=None, loud=True, rows=ROWS, time=TIME, seed=0) -> Args:
    """A batch of Args: row i has history i % 4, inputs and cotangents of its own, the latter zero unless loud."""
    rng = np.random.default_rng(seed)
    one = p.silent[0], repeat(p.silent[1], time)
    states = [p.histories[i % HISTORIES] for i in range(rows)]
    return Args(
        params=repeat(p.params, rows),
        state=jax.tree.map(lambda *a: np.stack(a), *states),
        xs=rng.normal(size=(rows, time, p.memory.input_size)),
        starts=np.zeros((rows, time), bool) if starts is None else starts,
        cotangents=jax.tree.map(lambda a: loud * rng.normal(size=(rows, *a.shape)), one),
    )


def loop(p, args: Args) -> Out:
    """What a batch of runs must give: a Python loop over the steps, and back through it, start by start."""
    rows, time = args.starts.shape
    # The compiled step takes ROWS rows: those that lack are copies.
    args = jax.tree.map(lambda a: np.resize(a, (ROWS, *a.shape[1:])), args)
    args = args._replace(params=jax.device_put(args.params))
    initial, silent = numpy(p.begin(args.params, repeat(zeros(p.initial), ROWS))[0]), repeat(p.silent, ROWS)
    select = lambda t, a, b: jax.tree.map(lambda a, b: np.where(like(args.starts[:, t], a), a, b), a, b)  # noqa: E731
    at = lambda tree, t: jax.tree.map(lambda a: a[:, t], tree)  # noqa: E731
    state, before, readouts = args.state, [], []
    for t in range(time):
        before.append(select(t, initial, state))
        state, readout = numpy(p.step(args.params, before[-1], args.xs[:, t], None, silent)[:2])
        readouts.append(readout)
    readouts = jax.tree.map(lambda *a: np.stack(a, 1), *readouts)

    d_params, d_initial, d_xs, d_state = zeros(args.params), zeros(initial), [], args.cotangents[0]
    for t in reversed(range(time)):
        one = numpy(p.step(args.params, before[t], args.xs[:, t], None, (d_state, at(args.cotangents[1], t))))
        d_params, d_state, d_xs = add(d_params, one.params), one.before, [one.xs, *d_xs]
        nothing = zeros(d_state)
        d_initial, d_state = add(d_initial, select(t, d_state, nothing)), select(t, nothing, d_state)
    d_params = add(d_params, p.begin(args.params, d_initial)[1])
    losses = jax.vmap(dot)(args.cotangents, (state, readouts))
    out = Out(state, readouts, losses, d_params, d_state, np.stack(d_xs, 1))
    return jax.tree.map(lambda a: a[:rows], out)
