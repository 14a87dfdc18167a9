"""Numbers of types that memories are not made of: integers, booleans, lists, short floating-point numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmem import GRU, FastWeights, MemN2N, store, unroll


@pytest.mark.parametrize("memory", [GRU(5, 7), FastWeights(5, hidden_size=4)], ids=["gru", "fast_weights"])
def test_whole_numbers_are_numbers(memory):
    """Integers and booleans, also in lists, give what they give as floating-point numbers."""
    params = memory.init_params(jax.random.key(0))
    whole = np.arange(15).reshape(3, 5) % 3
    for xs in (whole, whole.tolist(), whole > 0):
        want = unroll(memory, params, None, np.asarray(xs, np.float32))[1].value
        np.testing.assert_array_equal(unroll(memory, params, None, xs)[1].value, want)


def test_counts_of_words_are_numbers():
    memory = MemN2N(input_size=8, slots=4, width=3)
    params = memory.init_params(jax.random.key(0))
    counts = jnp.arange(24).reshape(3, 8) % 2
    state = store(memory, params, None, counts)
    got, want = (memory.read(params, state, query)[1].value for query in (counts[0], counts[0].astype(jnp.float32)))
    np.testing.assert_array_equal(got, want)


def test_short_inputs_do_not_shorten_fast_weights():
    """Inputs of a short type and parameters of a long one: chunks say what the loop says."""
    memory = FastWeights(5, hidden_size=4)
    params = memory.init_params(jax.random.key(0))
    xs = jax.random.normal(jax.random.key(1), (9, 5), jnp.bfloat16)
    got, want = (unroll(memory, params, None, xs, method=method)[1].value for method in ("chunked", "scan"))
    np.testing.assert_allclose(got, want, atol=1e-6)
