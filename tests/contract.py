"""The laws that every memory keeps, as plain functions: `law(memory)` raises AssertionError where one is broken.

They run in float64 on the programs of `tests.programs`: a batch of 128 `unroll`s is held, row by row, to Python loops over
single steps, values and gradients. LAWS is checked on every memory and on variants of it; ONCE, which costs more to
compile and does not depend on options, on every registered memory.
"""

import dataclasses
import functools
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np

import diffmem
from tests.programs import (
    EVERY_MASK, ROWS, TIME, arguments, jit_unroll, loop, methods, numpy, programs, repeat, row, zeros,
)  # fmt: skip

LAWS, ONCE = (), ()


def law(function, once=False):
    """Adds a law, which runs in float64."""
    global LAWS, ONCE

    @functools.wraps(function)
    def wrapped(memory):
        with jax.enable_x64(True):
            function(memory)

    LAWS, ONCE = LAWS + (not once) * (wrapped,), ONCE + once * (wrapped,)
    return wrapped


def clear():
    """Forgets what was compiled: to be called before and after the library is patched."""
    programs.cache_clear()
    chex.clear_trace_counter()


def same(a, b, rtol=1e-9, atol=1e-10):
    chex.assert_trees_all_close(numpy(a), numpy(b), rtol=rtol, atol=atol)


def identical(a, b):
    chex.assert_trees_all_equal(numpy(a), numpy(b))


def same_as_loop(p, args, out, rows=4):
    """The first rows of a batch are Python loops over the steps: values, states and gradients."""
    for i in range(rows):
        same(row(out, i), loop(p, row(args, i)), rtol=1e-7)


def fresh(memory, x64=False):
    """The shapes of new parameters."""
    with jax.enable_x64(x64):
        return jax.eval_shape(memory.init_params, jax.random.key(0))


def shapes(memory, dtype):
    """Params, state, x, query and xs of this type, as shapes."""
    cast = lambda a: jax.ShapeDtypeStruct(a.shape, dtype if jnp.issubdtype(a.dtype, jnp.inexact) else a.dtype)  # noqa: E731
    params = jax.tree.map(cast, fresh(memory))
    vector = lambda *shape: jax.ShapeDtypeStruct(shape, dtype)  # noqa: E731
    query = vector(memory.query_size) if memory.query_size else None
    state = jax.eval_shape(memory.init_state, params)
    return params, state, vector(memory.input_size), query, vector(TIME, memory.input_size)


@law
def law_carry_keeps_its_type(memory):
    """write, read and step return a state of the same structure, shapes and types, not weaker ones either."""
    params, state, x, query, _ = shapes(memory, "float64")
    types = lambda tree: jax.tree.map(lambda a: (a.shape, a.dtype.name, a.weak_type), tree)  # noqa: E731
    states = {
        "write": jax.eval_shape(memory.write, params, state, x),
        "read": jax.eval_shape(memory.read, params, state, query)[0],
        "step": jax.eval_shape(memory.step, params, state, x)[0],
    }
    for verb, got in states.items():
        assert jax.tree.structure(got) == jax.tree.structure(state), verb
        assert types(got) == types(state), verb


@law
def law_readouts_have_read_shape(memory):
    """step and read return `read_shape`; a memory whose query_size is 0 is read with None."""
    params, state, x, query, _ = shapes(memory, "float64")
    for readout in (jax.eval_shape(memory.step, params, state, x)[1], jax.eval_shape(memory.read, params, state, query)[1]):
        assert readout.value.shape == memory.read_shape


@law
def law_dtypes_propagate(memory):
    """Parameters, state and xs of one type give outputs and states of that type."""
    for dtype in ("float32", "bfloat16", "float64"):
        params, state, _, _, xs = shapes(memory, dtype)
        outputs = [state, jax.eval_shape(lambda *a: diffmem.store(memory, *a), params, state, xs)]
        for method in methods(memory):
            outputs += [jax.eval_shape(lambda *a, m=method: diffmem.unroll(memory, *a, method=m), params, state, xs)]
        found = {leaf.dtype.name for leaf in jax.tree.leaves(outputs) if jnp.issubdtype(leaf.dtype, jnp.inexact)}
        assert found == {dtype}, f"{dtype} turns into {found}"


@law
def law_fresh_parameters_have_one_type(memory):
    """New parameters are of one type, whether or not float64 is enabled: a mixture breaks the carry of a scan."""
    for x64 in (False, True):
        found = {leaf.dtype.name for leaf in jax.tree.leaves(fresh(memory, x64))}
        assert len(found) == 1, f"x64={x64}: {found}"


@law
def law_one_trace(memory):
    """A state that came out of a step goes into the next without a new trace."""
    params, state, x, _, _ = shapes(memory, "float64")
    chex.clear_trace_counter()
    step = jax.jit(chex.assert_max_traces(lambda params, state, x: memory.step(params, state, x), n=1))
    for _ in range(3):
        state, _ = jax.eval_shape(step, params, state, x)


@law
def law_config_is_a_value(memory):
    """Equal settings make equal, equally hashed memories, which cannot be changed."""
    twin = dataclasses.replace(memory)
    assert twin is not memory
    assert twin == memory
    assert hash(twin) == hash(memory)
    field = dataclasses.fields(memory)[0].name
    try:
        setattr(twin, field, None)
    except dataclasses.FrozenInstanceError:
        return
    raise AssertionError("the memory can be changed")


@functools.partial(law, once=True)
def law_seeds_batch(memory):
    """`vmap` over keys gives as many different, finite parameters."""
    seeds = programs(memory).seeds
    assert jax.tree.map(lambda a: (3, *a.shape), fresh(memory)) == jax.tree.map(lambda a: a.shape, seeds)
    chex.assert_tree_all_finite(seeds)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert any((leaf[i] != leaf[j]).any() for leaf in jax.tree.leaves(seeds))


@law
def law_pure(memory):
    """The arguments are left alone, tracing twice gives the same program, running it twice the same bits."""
    p = programs(memory)
    params, before = jax.tree.map(np.copy, p.params), jax.tree.structure(p.params)
    leaves = [id(leaf) for leaf in jax.tree.leaves(params)]
    texts = [str(jax.make_jaxpr(memory.step)(params, p.initial, np.ones(memory.input_size))) for _ in range(2)]
    assert jax.tree.structure(params) == before
    assert [id(leaf) for leaf in jax.tree.leaves(params)] == leaves
    identical(params, p.params)
    assert re.sub("0x[0-9a-f]+", "", texts[0]) == re.sub("0x[0-9a-f]+", "", texts[1])
    args = row(arguments(p), 0)
    once, again = (p.step(args.params, args.state, args.xs[0], None, p.silent) for _ in range(2))
    identical(once, again)


@functools.partial(law, once=True)
def law_jit_is_eager(memory):
    """Outside jit the same numbers come out."""
    p = programs(memory)
    args = jax.tree.map(jnp.asarray, row(arguments(p), 0))
    same(memory.step(args.params, args.state, args.xs[0]), p.step(args.params, args.state, args.xs[0], None, p.silent)[:2])


@law
def law_unroll_is_loop(memory):
    """A `vmap` of `unroll` over different histories is a Python loop over sequences and steps: values, states, gradients."""
    p = programs(memory)
    args = arguments(p)
    for run in p.unroll.values():
        same_as_loop(p, args, run(*args))


@law
def law_every_start_mask(memory):
    """All 2^7 patterns of resets at once: values and states of all, gradients of some."""
    p = programs(memory)
    args = arguments(p, starts=EVERY_MASK, seed=1)
    for run in p.unroll.values():
        out = run(*args)
        for i in range(ROWS):
            want = loop(p, row(args, i), gradients=i % 17 == 0)
            got = row(out, i)
            same(got if i % 17 == 0 else got[:2], want if i % 17 == 0 else want[:2], rtol=1e-7)


@law
def law_nan_stops_at_a_start(memory):
    """What lies before a start, even NaN, changes nothing after it, neither values nor gradients."""
    p = programs(memory)
    starts = np.arange(ROWS)[:, None] % TIME == np.arange(TIME)
    later = np.logical_or.accumulate(starts, 1)
    args = arguments(p, starts=starts, seed=2)
    mask = lambda a: np.where(later.reshape(later.shape + (1,) * (a.ndim - 2)), a, 0)  # noqa: E731
    args = args._replace(cotangents=(args.cotangents[0], jax.tree.map(mask, args.cotangents[1])))
    nan = args._replace(state=jax.tree.map(lambda a: a + np.nan if a.dtype.kind == "f" else a, args.state))
    nan = nan._replace(xs=np.where(later[..., None], args.xs, np.nan))
    for run in p.unroll.values():
        clean, dirty = numpy(run(*args)), numpy(run(*nan))
        chex.assert_tree_all_finite((clean, dirty.state))
        same(dirty.state, clean.state)
        pick = lambda a: a[later]  # noqa: E731
        same(jax.tree.map(pick, (dirty.readout, dirty.xs)), jax.tree.map(pick, (clean.readout, clean.xs)))
        identical((clean.before, clean.xs[~later]), zeros((clean.before, clean.xs[~later])))


@law
def law_causal(memory):
    """Changing x_t leaves what was put out before t as it was, bit for bit, and changes what comes at t or after."""
    p = programs(memory)
    args = arguments(p, loud=False)
    changed = args.xs.copy()
    for t in range(TIME):
        changed[t, t] += 1
    for run in p.unroll.values():
        old, new = numpy(run(*args).readout), numpy(run(*args._replace(xs=changed)).readout)
        for t in range(TIME):
            identical(jax.tree.map(lambda a, t=t: a[t, :t], old), jax.tree.map(lambda a, t=t: a[t, :t], new))
            assert (old.value[t, t:] != new.value[t, t:]).any()


@law
def law_nothing_is_dead(memory):
    """From the initial state, every parameter and every input has a finite gradient that is not zero."""
    p = programs(memory)
    starts = np.arange(ROWS)[:, None] + np.arange(TIME) == 0
    for run in p.unroll.values():
        out = row(run(*arguments(p, starts=starts, seed=3)), 0)
        chex.assert_tree_all_finite(out)
        for path, leaf in jax.tree_util.tree_leaves_with_path((out.params, list(out.xs))):
            assert np.abs(leaf).max() > 1e-8, f"no gradient reaches {jax.tree_util.keystr(path)}"


@law
def law_first_input_reaches_last_read(memory):
    """The last read depends on the first input."""
    p = programs(memory)
    args = arguments(p, loud=False)
    args.cotangents[1].value[:, -1] = np.random.default_rng(4).normal(size=args.cotangents[1].value[:, -1].shape)
    for run in p.unroll.values():
        assert np.abs(np.asarray(run(*args).xs)[:, 0]).max(-1).min() > 1e-10


@law
def law_gradients_are_numerical(memory):
    """The gradient along a random direction of each leaf is the central difference of the loss."""
    p, step = programs(memory), 1e-5
    starts = np.arange(TIME) + np.zeros((ROWS, 1)) == 2  # the initial state counts, and so does the one before
    args = jax.tree.map(lambda a: np.array(repeat(a[0], ROWS)), arguments(p, starts=starts, seed=5))
    rng = np.random.default_rng(6)
    leaves, tree = jax.tree.flatten((args.params, args.state, args.xs))
    directions = [rng.normal(size=leaf.shape[1:]) for leaf in leaves]
    # A state moves in proportion to itself: weights stay positive.
    count = len(jax.tree.leaves(args.params))
    directions[count:-1] = [d * a[0] for d, a in zip(directions[count:-1], leaves[count:-1], strict=True)]
    for i, direction in enumerate(directions):
        leaves[i][2 * i] += step * direction
        leaves[i][2 * i + 1] -= step * direction
    moved = args._replace(**dict(zip(("params", "state", "xs"), jax.tree.unflatten(tree, leaves), strict=True)))
    for run in p.unroll.values():
        out = numpy(run(*moved))
        for i, grad in enumerate(jax.tree.leaves((out.params, out.before, out.xs))):
            want = (out.loss[2 * i] - out.loss[2 * i + 1]) / (2 * step)
            # The last row has not been moved.
            np.testing.assert_allclose(np.sum(grad[-1] * directions[i]), want, rtol=1e-5, atol=1e-6)


@law
def law_weights_are_distributions(memory):
    """Readout.weights, where there are any, are not negative and sum to one over the slots."""
    p = programs(memory)
    for run in p.unroll.values():
        for weights in jax.tree.leaves(run(*arguments(p, starts=EVERY_MASK, seed=7)).readout.weights):
            assert (np.asarray(weights) >= 0).all()
            np.testing.assert_allclose(np.sum(weights, -1), 1, atol=1e-5)


def splits(memory, cuts, options):
    """A run from the initial state, cut in two or not, is the loop."""
    p = programs(memory)
    args = row(arguments(p, seed=8), 0)._replace(state=p.initial)
    want = loop(p, args, gradients=False)[:2]

    @functools.partial(jax.jit, static_argnums=(2, 3))
    def run(params, xs, cut, method):
        state, first = diffmem.unroll(memory, params, None, xs[:cut], method=method)
        if cut == TIME:
            return state, first
        state, second = diffmem.unroll(memory, params, state, xs[cut:], method=method)
        return state, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, second)

    for cut in cuts:
        for method in options:
            same(run(args.params, args.xs, cut, method), want)


@functools.partial(law, once=True)
def law_split_resumes(memory):
    """A sequence that is cut in two and resumed, without resets, gives the same. (All cuts: see test_every_split.)"""
    splits(memory, [3], methods(memory))


@law
def law_store_is_writes(memory):
    """`store` is a loop of `write`, and where the mask is False nothing happens."""
    p = programs(memory)
    args = row(arguments(p, seed=9), 1)
    write = jax.jit(memory.write)
    store = jax.jit(lambda params, state, xs, mask: diffmem.store(memory, params, state, xs, mask=mask))
    for mask in ([True] * TIME, [True, False, False, True, True, False, True], [False] * TIME):
        state = args.state
        for x, keep in zip(args.xs, mask, strict=True):
            state = write(args.params, state, x) if keep else state
        same(store(args.params, args.state, args.xs, np.array(mask)), state)


def rematerialised(memory, remat):
    p = programs(memory)
    args = arguments(p, starts=EVERY_MASK[[0, 5, 66, 9]], rows=4, seed=10)
    same_as_loop(p, args, jit_unroll(memory, remat=remat)(*args))


@functools.partial(law, once=True)
def law_remat_changes_nothing(memory):
    """Recomputing in chunks of three steps, which leaves one over, changes neither values nor gradients."""
    rematerialised(memory, 3)


@law
def law_scan_algebra(memory):
    """A ScanMemory's combine is associative and folds writes, and its step is a write and a read."""
    if not hasattr(memory, "combine"):
        return
    p = programs(memory)
    args = row(arguments(p, seed=11), 1)

    @jax.jit
    def laws(params, state, xs):
        combine = functools.partial(memory.combine, params)
        a, b, c = (memory.element(params, x) for x in xs[:3])
        written = memory.write(params, state, xs[0])
        return (
            (combine(combine(a, b), c), combine(a, combine(b, c))),
            (memory.drop(memory.lift(state)), state),
            (memory.drop(combine(memory.lift(state), a)), written),
            (memory.read(params, written, xs[0]), memory.step(params, state, xs[0])),
        )

    for left, right in laws(args.params, args.state, args.xs):
        same(left, right)


@law
def law_parallel_is_scan(memory):
    """The parallel method is the loop at lengths that are not powers of two, with resets and from any state, in gradients too."""
    if not hasattr(memory, "combine"):
        return
    p = programs(memory)
    for time in (1, 2, 3, 13):  # and 7, in the laws above
        starts = np.random.default_rng(time).random((4, time)) < 0.3
        args = arguments(p, starts=starts, rows=4, time=time, seed=12)
        same_as_loop(p, args, jit_unroll(memory, method="parallel")(*args))

