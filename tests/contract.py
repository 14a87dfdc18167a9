"""The laws that every memory keeps, as plain functions: `law(memory)` raises AssertionError where one is broken.

They run in float64 on the programs of `tests.programs`: a batch of 128 `unroll`s is held to Python loops over single
steps, values and gradients. LAWS is checked on every memory and on variants of it; ONCE, which costs more to compile and does
not depend on options, on every registered memory.
"""

import functools
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np

import diffmem
from tests import contract_types
from tests.contract_types import fresh, law
from tests.programs import (
    EVERY_MASK,
    ROWS,
    TIME,
    arguments,
    fresh_seeds,
    jit_unroll,
    like,
    loop,
    methods,
    numpy,
    programs,
    repeat,
    row,
    zeros,
)

# Memories whose weights sum to less than one where there is nothing to read, and say so.
PARTIAL = (diffmem.DNC, diffmem.SDNC)
# Memories whose few reads may miss what one input changed.
SPARSE = (diffmem.SAM,)
# Memories that hold something constant to the gradient, and say so. Their own tests compare the rest with differences.
STOPPED = (diffmem.SDNC,)


def clear():
    """Forgets what was compiled: to be called before and after the library is patched."""
    programs.cache_clear()
    fresh_seeds.cache_clear()
    jax.clear_caches()
    chex.clear_trace_counter()


def same(a, b, rtol=1e-9, atol=1e-10):
    chex.assert_trees_all_close(numpy(a), numpy(b), rtol=rtol, atol=atol)


def identical(a, b):
    chex.assert_trees_all_equal(numpy(a), numpy(b))


def same_as_loop(p, args, runs):
    """A batch, by each of the runs, is Python loops over the steps: values, states and gradients."""
    want = loop(p, args)
    for run in runs:
        same(run(*args), want, rtol=1e-7)


@law(once=True)
def law_seeds_batch(memory):
    """`vmap` over keys gives as many different, finite parameters."""
    seeds = fresh_seeds(memory)
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
    step = functools.partial(memory.step, params)  # as an argument, the dict would be a copy
    texts = [str(jax.make_jaxpr(step)(p.initial, np.ones(memory.input_size))) for _ in range(2)]
    assert jax.tree.structure(params) == before
    assert [id(leaf) for leaf in jax.tree.leaves(params)] == leaves
    identical(params, p.params)
    assert re.sub("0x[0-9a-f]+", "", texts[0]) == re.sub("0x[0-9a-f]+", "", texts[1])
    args = arguments(p)
    once, again = (p.step(args.params, args.state, args.xs[:, 0], None, repeat(p.silent, ROWS)) for _ in range(2))
    identical(once, again)


@law(once=True)
def law_jit_is_eager(memory):
    """Outside jit the same numbers come out."""
    p = programs(memory)
    args = jax.tree.map(jnp.asarray, arguments(p))
    want = p.step(args.params, args.state, args.xs[:, 0], None, repeat(p.silent, ROWS))
    args = jax.tree.map(lambda a: a[0], args)
    same(memory.step(args.params, args.state, args.xs[0]), row(want[:2], 0))


@law
def law_unroll_is_loop(memory):
    """A `vmap` of `unroll` over different histories is a Python loop over sequences and steps: values, states, gradients."""
    p = programs(memory)
    args = arguments(p)
    same_as_loop(p, args, p.unroll.values())


@law
def law_every_start_mask(memory):
    """All 2^7 patterns of resets at once: values, states and gradients."""
    p = programs(memory)
    same_as_loop(p, arguments(p, starts=EVERY_MASK, seed=1), p.unroll.values())


@law
def law_nan_stops_at_a_start(memory):
    """What lies before a start, even NaN, changes nothing after it, neither values nor gradients."""
    p = programs(memory)
    starts = np.arange(ROWS)[:, None] % TIME == np.arange(TIME)
    later = np.logical_or.accumulate(starts, 1)
    args = arguments(p, starts=starts, seed=2)
    mask = lambda a: np.where(like(later, a), a, 0)  # noqa: E731
    args = args._replace(cotangents=(args.cotangents[0], jax.tree.map(mask, args.cotangents[1])))
    nan = args._replace(state=jax.tree.map(lambda a: a + np.nan if a.dtype.kind == "f" else a, args.state))
    nan = nan._replace(xs=np.where(later[..., None], args.xs, np.nan))
    for run in p.unroll.values():
        clean, dirty = numpy(run(*args)), numpy(run(*nan))
        chex.assert_tree_all_finite((clean, dirty.state))
        same(dirty.state, clean.state)
        pick = lambda a: a[later]  # noqa: E731
        same(jax.tree.map(pick, (dirty.readout, dirty.xs)), jax.tree.map(pick, (clean.readout, clean.xs)))
        same(row(dirty.params, 0), row(clean.params, 0))  # row 0 starts at once: no step sees its NaN
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
    """The last read depends on the first input; where reads are sparse, not always."""
    p = programs(memory)
    args = arguments(p, loud=False)
    args.cotangents[1].value[:, -1] = np.random.default_rng(4).normal(size=args.cotangents[1].value[:, -1].shape)
    for run in p.unroll.values():
        reach = np.abs(np.asarray(run(*args).xs)[:, 0]).max(-1)
        assert np.quantile(reach, 0.1 if isinstance(memory, SPARSE) else 0) > 1e-10


@law
def law_gradients_are_numerical(memory):
    """The gradient along a random direction of each leaf is the central difference of the loss."""
    p, step = programs(memory), 1e-5
    starts = np.arange(TIME) + np.zeros((ROWS, 1)) == 2  # the initial state counts, and so does the one before
    args = jax.tree.map(lambda a: np.array(repeat(a[0], ROWS)), arguments(p, starts=starts, seed=5))
    rng = np.random.default_rng(6)
    leaves, tree = jax.tree.flatten((args.params, args.state, args.xs))
    real = [i for i, leaf in enumerate(leaves) if leaf.dtype.kind == "f"]
    assert 2 * len(leaves) < ROWS  # two rows for each leaf, and the last one stays where it is
    directions = [rng.normal(size=leaf.shape[1:]) for leaf in leaves]
    for i in range(len(jax.tree.leaves(args.params)), len(leaves) - 1):
        directions[i] *= leaves[i][0]  # a state moves in proportion to itself: weights stay positive
    for i in real:
        leaves[i][2 * i] += step * directions[i]
        leaves[i][2 * i + 1] -= step * directions[i]
    moved = args._replace(**dict(zip(("params", "state", "xs"), jax.tree.unflatten(tree, leaves), strict=True)))
    for run in p.unroll.values():
        out = numpy(run(*moved))
        grads = jax.tree.leaves((out.params, out.before, out.xs))
        chosen = [leaf for leaf in jax.tree.leaves(out.readout) if leaf.dtype.kind == "i"]
        for i in real:
            if any((leaf[2 * i : 2 * i + 2] != leaf[-1]).any() for leaf in chosen):
                continue  # other slots are read from: the value jumps
            want = (out.loss[2 * i] - out.loss[2 * i + 1]) / (2 * step)
            np.testing.assert_allclose(np.sum(grads[i][-1] * directions[i]), want, rtol=1e-5, atol=1e-6)


@law
def law_weights_are_distributions(memory):
    """Readout.weights, where there are any, are not negative and sum to one over the slots, or to at most one."""
    p = programs(memory)
    least = 0 if isinstance(memory, PARTIAL) else 1
    for run in p.unroll.values():
        for weights in jax.tree.leaves(run(*arguments(p, starts=EVERY_MASK, seed=7)).readout.weights):
            if weights.dtype.kind != "f":
                continue  # the places of sparse weights
            assert (np.asarray(weights) >= 0).all()
            np.testing.assert_allclose(np.clip(np.sum(weights, -1), least, 1), np.sum(weights, -1), atol=1e-5)


def splits(memory, cuts, options):
    """A run from the initial state, cut in two or not, is the loop."""
    p = programs(memory)
    args = arguments(p, seed=8, rows=1)
    args = args._replace(state=repeat(p.initial, 1))
    want, args = row(loop(p, args)[:2], 0), row(args, 0)

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


@law(once=True)
def law_split_resumes(memory):
    """A sequence that is cut in two and resumed, without resets, gives the same. (All cuts: see test_every_split.)"""
    splits(memory, [3], methods(memory)[:1])


@law
def law_store_is_writes(memory):
    """`store` is a loop of `write`, and where the mask is False nothing happens."""
    p = programs(memory)
    args = row(arguments(p, seed=9), 1)
    write = jax.jit(lambda params, state, x: memory.write(params, state, x))
    store = jax.jit(lambda params, state, xs, mask: diffmem.store(memory, params, state, xs, mask=mask))
    for mask in ([True] * TIME, [True, False, False, True, True, False, True], [False] * TIME):
        state = args.state
        for x, keep in zip(args.xs, mask, strict=True):
            state = write(args.params, state, x) if keep else state
        same(store(args.params, args.state, args.xs, np.array(mask)), state)


def rematerialised(memory, remat, method="scan"):
    p = programs(memory)
    args = arguments(p, starts=EVERY_MASK[[0, 5, 66, 9]], rows=4, seed=10)
    same_as_loop(p, args, [jit_unroll(memory, method=method, remat=remat)])


@law(once=True)
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
    """The other methods are the loop at other lengths, with resets and from any state, in gradients too."""
    p = programs(memory)
    starts = np.random.default_rng(13).random((4, 13)) < 0.3  # and of 7 steps, in the laws above
    args = arguments(p, starts=starts, rows=4, time=13, seed=12)
    same_as_loop(p, args, [jit_unroll(memory, method=method) for method in methods(memory)[1:]])


# Laws about what one step owes to another, which say nothing about a memory whose `detached` gives a reason.
CROSSING = (law_first_input_reaches_last_read, law_gradients_are_numerical)
# Laws that hardly depend on the memory and cost a program each.
GENERIC = (law_jit_is_eager, law_remat_changes_nothing)
LAWS, ONCE = tuple(contract_types.LAWS), tuple(contract_types.ONCE)
