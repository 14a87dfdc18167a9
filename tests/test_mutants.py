"""Broken libraries and broken memories that the laws and the oracles must notice, so that a test that cannot fail shows.

A mutant is (how to break the library, who must notice). A noticer is a law with a memory, or a comparison with an oracle;
each also runs on the healthy library, where it must be silent. A fixed bug leaves a mutant here.
"""

import dataclasses
import itertools
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import diffmem
from diffmem import addressing, edits, fused
from diffmem.base import Readout
from diffmem.controller import Controlled, ControlledState
from diffmem.memories.ntm import NTM
from tests import contract, test_oracles
from tests.test_fused import erase_add_case, focus_case, hold, readable_erase_add, readable_focus, with_pullback

pytestmark = pytest.mark.usefixtures("quick_compile")
UNROLL = sys.modules["diffmem.unroll"]  # the package's attribute of this name is the function
NOTICED = (AssertionError, TypeError, ValueError)  # a wrong shape or type is noticed by JAX itself

# --- The memories that the laws look at: as small as can be, so that they compile in no time ---------------------------


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


LEAKY, HEBBIAN = Leaky(), diffmem.Hebbian(4, key_size=2, value_size=2, heads=3)
CONTENT = NTM(4, slots=5, width=3, addressing="content", read_heads=2, initial_memory="random")
LOCATED = NTM(4, slots=5, width=3, read_heads=2)


def oracle(memory):
    """A comparison with the oracle of a registered memory."""

    def compare_with_oracle():
        name = type(memory).__name__.lower()
        params = test_oracles.random_params(memory, np.random.default_rng(0))
        test_oracles.compare(test_oracles.ORACLES[name].unroll, memory, [params])

    return compare_with_oracle


def controlled_oracle():
    together, variants = test_oracles.controlled_case()
    test_oracles.compare(test_oracles.controlled, together, variants, dataclasses.asdict(together.memory))


def focus_comparison():
    hold((with_pullback(fused.focus), with_pullback(readable_focus)), focus_case(seed=3))


def erase_add_comparison():
    hold((with_pullback(fused.erase_add), with_pullback(readable_erase_add)), erase_add_case(seed=3))


def law(name, memory=LEAKY):
    return partial(getattr(contract, f"law_{name}"), memory)


# --- Mutants of the library ------------------------------------------------------------------------------------------


def rewritten(module, old, new):
    """The names of a module whose source has been changed in one place."""
    source = Path(module.__file__).read_text()
    assert source.count(old) == 1, f"a mutant of {module.__name__} no longer applies: {old!r}; update it"
    names = {"__name__": f"{module.__name__}_mutant"}
    exec(compile(source.replace(old, new), module.__file__, "exec"), names)
    return names


def source(module, names, old, new):
    """A mutant: these names of the module are replaced by those of a module with other source, wherever they are used."""

    def patch(monkeypatch):
        mutant = rewritten(module, old, new)
        for name in names.split():
            monkeypatch.setattr(module, name, mutant[name])
            if hasattr(diffmem, name):
                monkeypatch.setattr(diffmem, name, mutant[name])

    return patch


def replaced(owner, name, wrap):
    """A mutant: an attribute is replaced by wrap(attribute)."""
    return lambda monkeypatch: monkeypatch.setattr(owner, name, wrap(getattr(owner, name)))


def forgets(field):
    """Wraps a step: this part of the state stays as it was."""

    def wrap(step):
        def forgetful(self, params, state, x):
            moved, readout = step(self, params, state, x)
            return moved._replace(**{field: getattr(state, field)}), readout

        return forgetful

    return wrap


def reads_too_early(step):
    """The controller sees at t what is read at t."""

    def early(self, params, state, x):
        _, readout = step(self, params, state, x)
        value = readout.value[-state.reads.size :].reshape(state.reads.shape)
        return step(self, params, ControlledState(state.controller, state.memory, value), x)

    return early


def cut(chunked_scan):
    """No gradient goes from one step to the one before."""

    def cut_scan(step, state, *rest):
        return chunked_scan(lambda s, inputs: step(jax.tree.map(lax.stop_gradient, s), inputs), state, *rest)

    return cut_scan


def one_ahead(parallel):
    def ahead(*arguments):
        state, readouts = parallel(*arguments)
        return state, jax.tree.map(lambda a: jnp.roll(a, -1, 0), readouts)

    return ahead


def peeks(unroll):
    def peeking(memory, params, state, xs, **options):
        return unroll(memory, params, state, xs + 1e-9 * jnp.roll(xs, -1, 0), **options)

    return peeking


MUTANTS = {
    "shift the other way": (
        replaced(fused, "shift", lambda shift: lambda weights, kernel: shift(weights, kernel[:, ::-1])),
        oracle(LOCATED),
    ),
    "no sharpening": (
        replaced(addressing, "sharpen", lambda _: lambda w, *_, **__: w / jnp.sum(w, -1, keepdims=True)),
        oracle(LOCATED),
    ),
    "content over the heads, plain": (
        source(addressing, "content", "epsilon=epsilon), axis=-1)", "epsilon=epsilon), axis=0)"),
        oracle(CONTENT),
    ),
    "content over the heads, fused": (
        source(fused, "focus", "strength[:, None] * similarity, axis=-1)", "strength[:, None] * similarity, axis=0)"),
        oracle(LOCATED),
    ),
    "add before erase": (
        replaced(fused, "erase_add", lambda _: lambda m, w, e, a: (m + a[:, None] * w) * (1 - e[:, None] * w)),
        oracle(LOCATED),
    ),
    "write weights not carried": (replaced(NTM, "step", forgets("write_weights")), oracle(LOCATED)),
    "read weights not carried": (replaced(NTM, "step", forgets("read_weights")), oracle(LOCATED)),
    "reads too early": (replaced(Controlled, "step", reads_too_early), controlled_oracle),
    "reads dropped": (replaced(Controlled, "step", forgets("reads")), controlled_oracle),
    "outer product transposed": (
        replaced(edits, "outer", lambda outer: lambda matrix, key, value: outer(matrix, value, key)),
        oracle(HEBBIAN),
    ),
    "no decay": (replaced(edits, "decay", lambda _: lambda matrix, rate: matrix), oracle(HEBBIAN)),
    "combine the other way": (
        replaced(diffmem.Hebbian, "combine", lambda combine: lambda self, params, a, b: combine(self, params, b, a)),
        law("scan_algebra", HEBBIAN),
    ),
    "gradient cut": (replaced(UNROLL, "_chunked_scan", cut), law("unroll_is_loop")),
    "reset by multiplication": (
        replaced(UNROLL, "where", lambda _: partial(jax.tree.map, lambda a, b: a + b) and _multiply),
        law("nan_stops_at_a_start"),
    ),
    "reset to the state given": (
        source(UNROLL, "unroll", "initial = memory.init_state(params)\n    state = initial if", "initial = state\n    state = initial if"),
        law("every_start_mask"),
    ),
    "reset flags not joined": (
        source(UNROLL, "_parallel", "flag_a | flag_b", "flag_b"), law("every_start_mask", HEBBIAN)
    ),
    "parallel one step ahead": (replaced(UNROLL, "_parallel", one_ahead), law("parallel_is_scan", HEBBIAN)),
    "peeks at the next input": (replaced(diffmem, "unroll", peeks), law("causal")),
    "resumes from the start": (
        source(UNROLL, "unroll", "state = initial if state is None else state", "state = initial"),
        law("split_resumes"),
    ),
    "remat forgets the rest": (
        source(UNROLL, "_chunked_scan", "state, rest = chunk(state", "_, rest = chunk(state"),
        law("remat_changes_nothing"),
    ),
    "remat drops the rest": (
        source(UNROLL, "_chunked_scan", "if whole == length:", "if True:"), law("remat_changes_nothing")
    ),
    "store ignores the mask": (
        source(UNROLL, "store", "written if keep is None else", "written if True else"), law("store_is_writes")
    ),
    "focus: no norm of the slots": (
        source(fused, "focus", "- slots * (jnp.sum(turn, 0) * inverse_slots**2)", ""), focus_comparison
    ),
    "focus: no norm of the keys": (
        source(fused, "focus", "- keys * (_sum(turn) * inverse_keys**2)", ""), focus_comparison
    ),
    "focus: gradient shifted the other way": (
        source(fused, "focus", "jnp.roll(d_shifted, -move, -1)", "jnp.roll(d_shifted, move, -1)"), focus_comparison
    ),
    "erase_add: no gradient of the erasing": (
        source(fused, "erase_add", "add @ d_slots - erase @ overlap", "add @ d_slots"), erase_add_comparison
    ),
}  # fmt: skip


def _multiply(flag, yes, no):
    return jax.tree.map(lambda a, b: a * flag.astype(a.dtype) + b * (1 - flag.astype(a.dtype)), yes, no)


# --- Broken memories: each breaks one law ----------------------------------------------------------------------------


def broken(name, **methods):
    """A Leaky with other methods. (Equal settings would make it equal to another one's: each has its own class.)"""
    return dataclasses.dataclass(frozen=True)(type(name, (Leaky,), methods))()


def wrong_gradient(self, params, state, x):
    doubled = LeakyState(2 * state.hidden - lax.stop_gradient(state.hidden))
    return Leaky.step(self, params, doubled, x)


def mutating(self, params, state, x):
    params["seen"] = x
    return Leaky.step(self, params, state, x)


COUNTER = itertools.count()
half = lambda x: x.astype("float32")  # noqa: E731
BROKEN = {
    "carry_keeps_its_type": dict(write=lambda s, params, state, x: LeakyState(half(Leaky.write(s, params, state, x).hidden))),
    "readouts_have_read_shape": dict(read=lambda s, params, state, q=None: (state, Readout(state.hidden[None], state.hidden))),
    "dtypes_propagate": dict(init_state=lambda s, params: LeakyState(jnp.zeros(4, jnp.float32))),
    "fresh_parameters_have_one_type": dict(init_params=lambda s, key: {"w": jax.random.normal(key, (4,), "float32"), "u": jnp.zeros(4)}),
    "one_trace": dict(init_state=lambda s, params: LeakyState(jnp.full(4, 0.0))),
    "config_is_a_value": dict(__eq__=lambda s, other: s is other, __hash__=lambda s: 0),
    "seeds_batch": dict(init_params=lambda s, key: {"w": jnp.ones(4, jnp.float32), "u": jnp.zeros(4, jnp.float32)}),
    "pure": dict(step=mutating),
    "jit_is_eager": dict(step=lambda s, params, state, x: Leaky.step(s, params, state, x if isinstance(x, jax.core.Tracer) else -x)),
    "nothing_is_dead": dict(step=lambda s, params, state, x: Leaky.step(s, {**params, "u": lax.stop_gradient(params["u"])}, state, x)),
    "first_input_reaches_last_read": dict(step=lambda s, params, state, x: Leaky.step(s, params, lax.stop_gradient(state), x)),
    "gradients_are_numerical": dict(step=wrong_gradient),
    "weights_are_distributions": dict(read=lambda s, params, state, q=None: (state, Readout(state.hidden, jax.nn.softmax(state.hidden) * 1.001))),
}  # fmt: skip
BROKEN_MEMORIES = {name: broken(f"Broken{i}", **methods) for i, (name, methods) in enumerate(BROKEN.items())}


@pytest.fixture
def forgetful():
    """Nothing that was compiled for one library is used for another."""
    contract.clear()
    yield
    contract.clear()


HEALTHY = list(dict.fromkeys(noticer for _, noticer in MUTANTS.values() if not isinstance(noticer, partial)))
HEALTHY += [law(name.removeprefix("law_")) for name in {law.__name__ for law in contract.LAWS + contract.ONCE}]


@pytest.mark.parametrize("name", MUTANTS)
def test_library_mutant_is_noticed(name, monkeypatch, forgetful):
    patch, noticer = MUTANTS[name]
    patch(monkeypatch)
    with pytest.raises(NOTICED):
        noticer()


@pytest.mark.parametrize("name", BROKEN)
def test_broken_memory_is_noticed(name):
    with pytest.raises(NOTICED):
        law(name, BROKEN_MEMORIES[name])()


def test_every_law_has_a_mutant():
    laws = {one.__name__.removeprefix("law_") for one in contract.LAWS + contract.ONCE}
    noticers = {n.func.__name__.removeprefix("law_") for _, n in MUTANTS.values() if isinstance(n, partial)}
    assert laws == noticers | set(BROKEN)
