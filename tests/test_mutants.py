"""Broken libraries that the laws and the oracles must notice, so that a test that cannot fail shows.

A mutant is (how to break the library, who must notice). A noticer is a law with a memory, or a comparison with an oracle;
each also runs on the healthy library, where it must be silent. A fixed bug leaves a mutant here.
"""

import dataclasses
import functools
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import diffmem
from diffmem import addressing, allocation, diagonal, edits, fused, links, matrix, sparse
from diffmem.controller import Controlled, ControlledState
from diffmem.memories import memoria
from diffmem.memories.ntm import NTM
from diffmem.memories.rmc import RMC
from tests import contract, test_matrix, test_oracles
from tests.test_fused import (
    delta_chunk_case,
    erase_add_case,
    focus_case,
    hold,
    readable_delta_chunk,
    readable_erase_add,
    readable_focus,
    readable_relink,
    relink_case,
    with_pullback,
)
from tests.test_laws import BROKEN, LAWS, NOTICED, Leaky

pytestmark = pytest.mark.usefixtures("strict_types")
UNROLL = sys.modules["diffmem.unroll"]  # the package's attribute of this name is the function

LEAKY, HEBBIAN = Leaky(), diffmem.Hebbian(4, key_size=2, value_size=2, heads=3)
LRU = diffmem.LRU(4, 3, hidden_size=2, chunk=3)
CONTENT = NTM(4, slots=5, width=3, addressing="content", read_heads=2, initial_memory="random")
DNC = diffmem.DNC(4, slots=5, width=3, read_heads=2)
SAM = diffmem.SAM(4, slots=5, width=3, nearest=2)
SDNC = diffmem.SDNC(4, slots=5, width=3, nearest=2, links=3)
LOCATED = NTM(4, slots=5, width=3, read_heads=2)
ENGRAMS = memoria.Memoria(4, 2, slots=5, short_term=3, short_reminded=2, long_reminded=2)
RELATIONAL = RMC(4, slots=3, width=6, heads=2, key_size=2, blocks=2)
DELTA, LINEAR = diffmem.DeltaRule(4, key_size=3, value_size=2), diffmem.LinearAttention(4, key_size=3, value_size=2)
FAST, PLASTIC = diffmem.FastWeights(4, hidden_size=6, heads=2), diffmem.Plastic(4, hidden_size=3, rule="retroactive")


def backward_links(read):
    """Reads with the links of a sparse DNC the other way round."""

    def turned(state):
        return state._replace(links=state.links._replace(before=state.links.after, after=state.links.before))

    def reads(self, params, state, query):
        state, readout = read(self, params, turned(state), query)
        return turned(state), readout

    return reads


@functools.cache
def oracle(memory):
    """A comparison with the oracle of a registered memory."""

    def compare_with_oracle():
        (name,) = (name for name in diffmem.names() if diffmem.entry(name).cls is type(memory))
        params = test_oracles.random_params(memory, np.random.default_rng(0))
        test_oracles.compare(test_oracles.ORACLES[name].unroll, memory, [params])

    return compare_with_oracle


def controlled_oracle():
    test_oracles.compare(test_oracles.controlled, *test_oracles.controlled_case())


def focus_comparison():
    hold((with_pullback(fused.focus), with_pullback(readable_focus)), focus_case(seed=3))


def erase_add_comparison():
    hold((with_pullback(fused.erase_add), with_pullback(readable_erase_add)), erase_add_case(seed=3))


def relink_comparison():
    hold((with_pullback(fused.relink), with_pullback(readable_relink)), relink_case(seed=3))


def delta_chunk_comparison():
    hold((with_pullback(fused.delta_chunk), with_pullback(readable_delta_chunk)), delta_chunk_case(seed=3))


def inverse_comparison():
    test_matrix.hold_inverse(5)


def chunk_comparison():
    test_matrix.hold_chunks(13, decay=True)


@functools.cache
def law(name, memory=LEAKY):
    return partial(LAWS[name], memory)


# --- Mutants of the library ------------------------------------------------------------------------------------------


def rewritten(module, *changes):
    """The names of a module whose source has been changed in some places."""
    source = Path(module.__file__).read_text()
    for old, new in changes:
        assert source.count(old) == 1, f"a mutant of {module.__name__} no longer applies: {old!r}; update it"
        source = source.replace(old, new)
    names = {"__name__": f"{module.__name__}_mutant"}
    exec(compile(source, module.__file__, "exec"), names)
    return names


def source(module, name, *changes):
    """A mutant: a name of the module is replaced by that of a module whose source has been changed: (old, new), ..."""

    def patch(monkeypatch):
        mutant = rewritten(module, *changes)[name]
        monkeypatch.setattr(module, name, mutant)
        if hasattr(diffmem, name):
            monkeypatch.setattr(diffmem, name, mutant)

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


def unnormalised(read):
    return lambda self, params, state, query: (state, read(self, params, state._replace(normaliser=None), query)[1])


def reads_too_early(step):
    """The controller sees at t what is read at t."""

    def early(self, params, state, x):
        _, readout = step(self, params, state, x)
        value = readout.value[-state.reads.size :].reshape(state.reads.shape)
        return step(self, params, ControlledState(state.controller, state.memory, value), x)

    return early


def by_the_wrong_time(self, params, a, b):
    """What came first fades by the time that it took itself."""
    faded = diagonal.times(self._powers(params, a.steps), self.drop(a))
    return diagonal.DiagonalElement(a.steps + b.steps, *diagonal.plus(faded, self.drop(b)))


def the_newest(promote):
    """Not the oldest engrams become long-term."""
    return lambda state, capacity: promote(state._replace(id=-state.id), capacity)._replace(id=state.id)


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


def multiply(flag, yes, no):
    return jax.tree.map(lambda a, b: a * flag.astype(a.dtype) + b * (1 - flag.astype(a.dtype)), yes, no)


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
        source(addressing, "content", ("epsilon=epsilon), axis=-1)", "epsilon=epsilon), axis=0)")),
        oracle(CONTENT),
    ),
    "content over the heads, fused": (
        source(fused, "focus", ("strength[:, None] * similarity, axis=-1)", "strength[:, None] * similarity, axis=0)")),
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
    "gates swapped": (
        replaced(edits, "gate", lambda gate: lambda slots, new, i, f: gate(slots, new, f, i)),
        oracle(RELATIONAL),
    ),
    "input's rows dropped in the first block": (
        replaced(RMC, "_block", lambda block: lambda self, params, mlp, rows, _: block(self, params, mlp, rows, self.slots)),
        oracle(RELATIONAL),
    ),
    "fast weights not carried": (replaced(diffmem.FastWeights, "step", forgets("matrix")), oracle(FAST)),
    "activity associated with itself": (
        replaced(diffmem.Plastic, "_learn", lambda learn: lambda *a: learn(*a[:3], a[4][None], a[4])),
        oracle(PLASTIC),
    ),
    "eligibility not carried": (replaced(diffmem.Plastic, "step", forgets("trace")), oracle(PLASTIC)),
    "combine the other way": (
        replaced(diffmem.Hebbian, "combine", lambda combine: lambda self, params, a, b: combine(self, params, b, a)),
        law("scan_algebra", HEBBIAN),
    ),
    "links followed the other way": (
        replaced(allocation, "follow", lambda follow: lambda *arguments: follow(*arguments)[::-1]),
        oracle(DNC),
    ),
    "links to what is being written": (
        replaced(allocation, "link", lambda link: lambda links, w, p: link(links, w, allocation.precede(p, w))),
        oracle(DNC),
    ),
    "allocates the most used": (
        replaced(allocation, "allocation", lambda allocate: lambda usage, **options: allocate(1 - usage, **options)),
        oracle(DNC),
    ),
    "memoria: the newest are promoted": (replaced(memoria, "promote", the_newest), oracle(ENGRAMS)),
    "memoria: who is overwritten leaves edges": (
        replaced(memoria.Memoria, "write", lambda write: lambda *a: write(*a)._replace(counts=a[2].counts)),
        oracle(ENGRAMS),
    ),
    "memoria: what is at work fires alone": (
        replaced(memoria, "fire", lambda fire: lambda state, mask: fire(state, mask & (state.kind == memoria.WORKING))),
        oracle(ENGRAMS),
    ),
    "usage of the step before is freed too late": (replaced(diffmem.DNC, "step", forgets("usage")), oracle(DNC)),
    "writes where it was used last": (
        replaced(sparse, "touch", lambda touch: lambda recency, places, _: touch(recency, places, places < 0)),
        oracle(SAM),
    ),
    "reads the farthest": (
        replaced(sparse, "top_k", lambda top_k: lambda scores, k: top_k(-scores, k)),
        oracle(SAM),
    ),
    "sparse links followed the other way": (
        replaced(diffmem.SDNC, "read", backward_links),
        oracle(SDNC),
    ),
    "successors are not linked": (
        replaced(links, "link", lambda link: lambda before, w: link(before, w)._replace(after=before.after)),
        oracle(SDNC),
    ),
    "gradient cut": (replaced(UNROLL, "_chunked_scan", cut), law("unroll_is_loop")),
    "reset by multiplication": (
        replaced(UNROLL, "where", lambda _: multiply),
        law("nan_stops_at_a_start"),
    ),
    "reset to the state given": (
        source(
            UNROLL,
            "unroll",
            ("    initial = memory.init_state(params)\n", "    given, initial = state, memory.init_state(params)\n"),
            ("state = where(start, initial, state)", "state = where(start, given, state)"),
        ),
        law("every_start_mask"),
    ),
    "reset flags not joined": (source(UNROLL, "_parallel", ("flag_a | flag_b", "flag_b")), law("every_start_mask", HEBBIAN)),
    "chunks let NaN through": (
        source(UNROLL, "_in_chunks", ("jnp.where(fine[:, None], xs, 0)", "xs")),
        law("nan_stops_at_a_start", HEBBIAN),
    ),
    "chunks drop what is left over": (
        source(UNROLL, "_in_chunks", ("        state, rest = advance(", "        _, rest = advance(")),
        law("parallel_is_scan", dataclasses.replace(HEBBIAN, chunk=3)),
    ),
    "diagonal: a chunk forgets its starts": (
        source(diagonal, "scan_trace", ("times(gamma, where(start, initial, state))", "times(gamma, state)")),
        law("every_start_mask", LRU),
    ),
    "diagonal: decay by the wrong operand's time": (
        replaced(diagonal.DiagonalMemory, "combine", lambda _: by_the_wrong_time),
        law("scan_algebra", LRU),
    ),
    "diagonal: turns the other way": (
        replaced(
            diagonal.DiagonalMemory, "_powers", lambda powers: lambda *a: powers(*a)._replace(imaginary=-powers(*a).imaginary)
        ),
        oracle(LRU),
    ),
    "parallel one step ahead": (replaced(UNROLL, "_parallel", one_ahead), law("parallel_is_scan", HEBBIAN)),
    "peeks at the next input": (replaced(diffmem, "unroll", peeks), law("causal")),
    "resumes from the start": (
        source(UNROLL, "unroll", ("state = initial if state is None else state", "state = initial")),
        law("split_resumes"),
    ),
    "remat forgets the rest": (
        source(UNROLL, "_chunked_scan", ("state, rest = chunk(state", "_, rest = chunk(state")),
        law("remat_changes_nothing"),
    ),
    "remat drops the rest": (
        source(UNROLL, "_chunked_scan", ("if whole == length:", "if True:")),
        law("remat_changes_nothing"),
    ),
    "store ignores the mask": (
        source(UNROLL, "store", ("written if keep is None else", "written if True else")),
        law("store_is_writes"),
    ),
    "focus: no norm of the slots": (
        source(fused, "focus", ("- slots * (jnp.sum(turn, 0) * inverse_slots**2)", "")),
        focus_comparison,
    ),
    "focus: no norm of the keys": (source(fused, "focus", ("- keys * (_sum(turn) * inverse_keys**2)", "")), focus_comparison),
    "focus: gradient shifted the other way": (
        source(fused, "focus", ("jnp.roll(d_shifted, -move, -1)", "jnp.roll(d_shifted, move, -1)")),
        focus_comparison,
    ),
    "erase_add: no gradient of the erasing": (
        source(fused, "erase_add", ("add @ d_slots - erase @ overlap", "add @ d_slots")),
        erase_add_comparison,
    ),
    "relink: the written is not taken from both sides": (
        source(fused, "relink", ("- turn @ ones - ones @ turn", "- turn @ ones")),
        relink_comparison,
    ),
    "relink: links of a slot with itself": (
        source(fused, "relink", ("- diagonal * (d_backward + d_forward)", "")),
        relink_comparison,
    ),
    "delta: the error is not formed": (
        source(edits, "delta", ("gate * (value - key @ matrix)", "gate * value")),
        oracle(DELTA),
    ),
    "delta: a chunk does not fade": (
        source(fused, "delta_chunk", ("gate * within * dots", "gate * jnp.sign(within) * dots")),
        chunk_comparison,
    ),
    "delta: the inverse stops early": (
        source(fused, "invert_unit_lower", ("while block < size", "while 2 * block < size")),
        inverse_comparison,
    ),
    "delta: no gradient from what is left of the old": (
        source(fused, "delta_chunk", ("d_found @ matrix.mT + d_dots @ key", "d_dots @ key")),
        delta_chunk_comparison,
    ),
    "delta: a gate without the steps that follow": (
        source(fused, "delta_chunk", ("- jnp.sum((d_right @ added.mT) * alike, -1)", "")),
        delta_chunk_comparison,
    ),
    "fading by a difference of long sums": (
        source(
            matrix,
            "fading",
            (
                "jnp.cumsum(jnp.where(step[:, None] > step, log_rates[..., None], 0), -2)",
                "(total := jnp.cumsum(log_rates.astype('float32'), -1))[..., None] - total[..., None, :]",
            ),
        ),
        chunk_comparison,
    ),
    "linear attention does not normalise": (
        replaced(diffmem.LinearAttention, "read", unnormalised),
        oracle(LINEAR),
    ),
}


@pytest.fixture
def forgetful():
    """Nothing that was compiled for one library is used for another."""
    contract.clear()
    yield
    contract.clear()


# One mutant for each noticer; the laws on Leaky have been seen to hold in `test_laws`.
NOTICERS = {noticer: name for name, (_, noticer) in MUTANTS.items() if getattr(noticer, "args", None) != (LEAKY,)}


@pytest.mark.parametrize("name", NOTICERS.values())
def test_healthy_library_is_not_noticed(name):
    MUTANTS[name][1]()


@pytest.mark.parametrize("name", MUTANTS)
def test_library_mutant_is_noticed(name, monkeypatch, forgetful):
    patch, noticer = MUTANTS[name]
    patch(monkeypatch)
    with pytest.raises(NOTICED):
        noticer()


def test_every_law_has_a_mutant():
    noticers = {n.func.__name__.removeprefix("law_") for _, n in MUTANTS.values() if isinstance(n, partial)}
    assert set(LAWS) == noticers | set(BROKEN)
