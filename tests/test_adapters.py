"""Flax modules around a memory give the core's numbers, with its parameters, for every registered memory."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import diffmem
from diffmem.adapters import linen
from diffmem.adapters import nnx as adapter_nnx
from tests.programs import REGISTERED, kinds

BATCH, TIME = 4, 5
STARTS = np.array([[0, 0, 1, 0, 0], [1, 0, 0, 1, 0], [0, 0, 0, 0, 0], [0, 1, 1, 0, 1]], bool)
LEARNED = {"gru-learned": diffmem.GRU(5, 7, learned_state=True), "ntm-learned": diffmem.NTM(5, 11, 3, initial_memory="learned")}
MEMORIES = {**REGISTERED, **LEARNED}


def material(memory):
    params = jax.tree.map(lambda a: a + 0.1, memory.init_params(jax.random.key(3)))
    return params, jax.random.normal(jax.random.key(4), (BATCH, TIME, memory.input_size))


@functools.cache
def core(memory):
    """params, xs [B, T, D], starts [B, T] -> states and readouts: one compiled program."""
    run = lambda params, xs, starts: diffmem.unroll(memory, params, None, xs, starts=starts, method="scan")  # noqa: E731
    return jax.jit(jax.vmap(run, (None, 0, 0)))


NO_STARTS = np.zeros_like(STARTS)


def close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5), a, b)


def flat(readout):
    return readout.value.reshape(BATCH, TIME, -1)


@pytest.mark.parametrize("name", [*kinds(), *LEARNED])
def test_modules_and_cells_are_the_core(name):
    memory = MEMORIES[name]
    params, xs = material(memory)
    variables, starts = {"params": params}, jnp.asarray(STARTS)
    want_state, want = core(memory)(params, xs, starts)
    _, plain = core(memory)(params, xs, NO_STARTS)

    @jax.jit
    def linen_numbers(variables):
        rnn = nn.RNN(linen.MemoryCell(memory), name="rnn")
        return (
            linen.MemoryModule(memory).apply(variables, xs, starts=starts),
            rnn.apply({"params": {"cell": variables["params"]}}, xs),
        )

    @jax.jit
    def nnx_numbers(params):
        return (
            adapter_nnx.MemoryModule(memory, params=params)(xs, starts=starts),
            nnx.RNN(adapter_nnx.MemoryCell(memory, params=params))(xs),
        )

    for numbers, given in ((linen_numbers, variables), (nnx_numbers, params)):
        module, rnn = numbers(given)
        close(module, (want_state, want))
        close(rnn, flat(plain))


@pytest.mark.parametrize("name", MEMORIES)
def test_parameters_have_the_core_tree(name):
    memory = MEMORIES[name]
    shapes = lambda tree: jax.tree.map(lambda a: (a.shape, a.dtype), tree)  # noqa: E731
    want = shapes(jax.eval_shape(memory.init_params, jax.random.key(0)))
    xs = jnp.zeros((1, 2, memory.input_size))
    for module in (linen.MemoryModule(memory), nn.RNN(linen.MemoryCell(memory))):
        got = jax.eval_shape(module.init, jax.random.key(0), xs)["params"]
        assert shapes(got["cell"] if isinstance(module, nn.RNN) else got) == want
    state = nnx.eval_shape(lambda: nnx.state(adapter_nnx.MemoryModule(memory, rngs=nnx.Rngs(0)), nnx.Param))
    assert shapes(nnx.to_pure_dict(state)["params"]) == want


def test_fresh_parameters_differ_by_seed_and_are_used():
    memory = diffmem.GRU(3, 5)
    xs = jnp.ones((2, 4, 3))
    first, second = (linen.MemoryModule(memory).init(jax.random.key(seed), xs)["params"] for seed in (0, 1))
    assert not np.allclose(first["in"]["kernel"], second["in"]["kernel"])
    module = adapter_nnx.MemoryModule(memory, rngs=nnx.Rngs(0))
    before = module(xs)[1].value
    nnx.update(module, {"params": first})
    close(module(xs)[1].value, linen.MemoryModule(memory).apply({"params": first}, xs)[1].value)
    assert not np.allclose(before, module(xs)[1].value)


def test_cell_resets_where_a_sequence_starts():
    memory = LEARNED["gru-learned"]
    params, xs = material(memory)
    cell, variables = linen.MemoryCell(memory), {"params": params}
    carry = cell.apply(variables, jax.random.key(0), (BATCH, 5), method="initialize_carry")
    outputs = []
    for t in range(TIME):
        carry, output = cell.apply(variables, carry, (xs[:, t], jnp.asarray(STARTS[:, t])))
        outputs.append(output)
    close(jnp.stack(outputs, 1), flat(core(memory)(params, xs, STARTS)[1]))


def test_bidirectional_and_seq_lengths():
    memory = diffmem.GRU(3, 5)
    xs, lengths = jax.random.normal(jax.random.key(0), (2, 6, 3)), jnp.array([6, 4])
    both = nn.Bidirectional(nn.RNN(linen.MemoryCell(memory)), nn.RNN(linen.MemoryCell(memory)))
    variables = both.init(jax.random.key(1), xs, seq_lengths=lengths)
    out = both.apply(variables, xs, seq_lengths=lengths)
    assert out.shape == (2, 6, 10)
    params = variables["params"]["forward_rnn"]["cell"]
    close(out[0, :, :5], diffmem.unroll(memory, params, None, xs[0])[1].value)
    padded = both.apply(variables, xs.at[1, 4:].set(9.0), seq_lengths=lengths)
    close(padded[1, :4], out[1, :4])


@pytest.mark.parametrize("call", ["module", "cell"])
def test_gradients_flow_to_the_core_parameters(call):
    memory = LEARNED["ntm-learned"]
    params, xs = material(memory)
    module = linen.MemoryModule(memory) if call == "module" else nn.RNN(linen.MemoryCell(memory))

    def loss(params):
        out = module.apply({"params": params if call == "module" else {"cell": params}}, xs)
        return jnp.sum((out[1].value if call == "module" else out) ** 2)

    want = jax.grad(lambda params: jnp.sum(core(memory)(params, xs, NO_STARTS)[1].value ** 2))(params)
    close(jax.grad(loss)(params), want)


def test_wrong_width_is_an_error_that_names_it():
    memory = diffmem.GRU(3, 5)
    with pytest.raises(ValueError, match=r"width 4.*GRU\.input_size is 3"):
        nn.RNN(linen.MemoryCell(memory)).init(jax.random.key(0), jnp.ones((2, 6, 4)))
    with pytest.raises(ValueError, match="needs rngs"):
        adapter_nnx.MemoryModule(memory)


@pytest.mark.parametrize("name", ["gru", "ntm", "hebbian"])
def test_adapters_cost_nothing_when_compiled(name):
    """The compiled program of a module has as many operations as the core's, up to 1 %."""
    memory = REGISTERED[name]
    params, xs = material(memory)

    def operations(function, *arguments):
        return jax.jit(function).lower(*arguments).compile().as_text().count(" = ")

    def plain(params, xs):
        return jax.vmap(lambda xs: diffmem.unroll(memory, params, None, xs))(xs)

    want = operations(plain, params, xs)
    got = operations(lambda params, xs: linen.MemoryModule(memory).apply({"params": params}, xs), params, xs)
    assert got <= 1.01 * want
    graph, state = nnx.split(adapter_nnx.MemoryModule(memory, params=params))
    assert operations(lambda state, xs: nnx.merge(graph, state)(xs), state, xs) <= 1.01 * want
