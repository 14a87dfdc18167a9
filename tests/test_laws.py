"""Every law can fail: the smallest memory keeps them all, and a broken one for each law does not.

Laws that a memory alone cannot break, such as those of `unroll`, have their mutants in `test_mutants`.
"""

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from diffmem.base import Readout
from tests import contract

pytestmark = pytest.mark.usefixtures("strict_types")
LAWS = {one.__name__.removeprefix("law_"): one for one in contract.LAWS + contract.ONCE}
NOTICED = (AssertionError, TypeError, ValueError)  # a wrong shape or type is noticed by JAX itself


class LeakyState(NamedTuple):
    """hidden [4]."""

    hidden: jax.Array


@dataclasses.dataclass(frozen=True)
class Leaky:
    """h <- tanh(w x + u h), element by element, with weights = softmax(h)."""

    input_size: int = 4
    query_size = 0
    read_shape = (4,)

    def init_params(self, key):
        return {"w": jax.random.normal(key, (4,), jnp.float32), "u": jnp.zeros(4, jnp.float32)}

    def init_state(self, params):
        return LeakyState(params["u"] * 0)

    def write(self, params, state, x):
        return LeakyState(jnp.tanh(params["w"] * x + params["u"] * state.hidden))

    def read(self, params, state, query=None):
        return state, Readout(state.hidden, jax.nn.softmax(state.hidden))

    def step(self, params, state, x):
        return self.read(params, self.write(params, state, x))


def broken(name, **methods):
    """A Leaky with other methods. (Equal settings would make it equal to another one's: each has its own class.)"""
    return dataclasses.dataclass(frozen=True)(type(name, (Leaky,), methods))()


def stepping(change):
    """A `step` that first changes its arguments (params, state, x)."""
    return {"step": lambda self, *arguments: Leaky.step(self, *change(*arguments))}


def reading(change):
    """A `read` that changes the readout."""
    return {"read": lambda self, params, state, query=None: (state, change(*Leaky.read(self, params, state)[1]))}


def starting(make):
    return {"init_params": lambda self, key: make(key)}


def doubled(state):
    """The state itself, with twice its gradient."""
    return LeakyState(2 * state.hidden - lax.stop_gradient(state.hidden))


def mutated(params, state, x):
    params["seen"] = x
    return params, state, x


def is_traced(x):
    return isinstance(x, jax.core.Tracer)


F32 = partial(jnp.zeros, 4, "float32")
BROKEN = {
    "carry_keeps_its_type": {"write": lambda self, params, state, x: LeakyState(F32())},
    "readouts_have_read_shape": reading(lambda value, weights: Readout(value[None], weights)),
    "dtypes_propagate": {"init_state": lambda self, params: LeakyState(F32())},
    "fresh_parameters_have_one_type": starting(lambda key: {"w": jax.random.normal(key, 4, "float32"), "u": jnp.zeros(4)}),
    "one_trace": {"init_state": lambda self, params: LeakyState(jnp.full(4, 0.0))},
    "config_is_a_value": {"__eq__": lambda self, other: self is other, "__hash__": lambda self: 0},
    "seeds_batch": starting(lambda key: {"w": F32() + 1, "u": F32()}),
    "pure": stepping(mutated),
    "jit_is_eager": stepping(lambda params, state, x: (params, state, x if is_traced(x) else -x)),
    "nothing_is_dead": stepping(lambda p, state, x: ({**p, "u": lax.stop_gradient(p["u"])}, state, x)),
    "first_input_reaches_last_read": stepping(lambda params, state, x: (params, lax.stop_gradient(state), x)),
    "gradients_are_numerical": stepping(lambda params, state, x: (params, doubled(state), x)),
    "weights_are_distributions": reading(lambda value, weights: Readout(value, 1.001 * weights)),
}
BROKEN_MEMORIES = {name: broken(f"Broken{i}", **methods) for i, (name, methods) in enumerate(BROKEN.items())}


@pytest.mark.parametrize("name", LAWS)
def test_healthy_memory_is_not_noticed(name):
    LAWS[name](Leaky())


@pytest.mark.parametrize("name", BROKEN)
def test_broken_memory_is_noticed(name):
    with pytest.raises(NOTICED):
        LAWS[name](BROKEN_MEMORIES[name])
