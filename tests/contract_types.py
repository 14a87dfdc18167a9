"""Laws that need no numbers: shapes, types, traces and settings. Nothing is compiled here. See `tests.contract`."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp

import diffmem
from tests.programs import TIME, methods

LAWS, ONCE = [], []


def law(function=None, *, once=False):
    """Adds a law to LAWS, or to ONCE. It runs in float64."""
    if function is None:
        return functools.partial(law, once=once)

    @functools.wraps(function)
    def wrapped(memory):
        with jax.enable_x64(True):
            function(memory)

    (ONCE if once else LAWS).append(wrapped)
    return wrapped


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
    """Every verb returns a state of the same structure, shapes and types, not weaker ones either."""
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
    """A step and a read return `read_shape`; a memory whose query_size is 0 is read with None."""
    params, state, x, query, _ = shapes(memory, "float64")
    for verb, given in ((memory.step, x), (memory.read, query)):
        readout = jax.eval_shape(verb, params, state, given)[1]
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
