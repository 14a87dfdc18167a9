"""Every law on every registered memory, on variants of them, and on memories put together."""

from pathlib import Path

import jax
import numpy as np
import pytest

import diffmem
from diffmem import (
    DMN,
    DNC,
    FFM,
    GRU,
    LSTM,
    NTM,
    RMC,
    SAM,
    SDNC,
    Controlled,
    DeltaRule,
    DMNPlus,
    FastWeights,
    FeedForward,
    Hebbian,
    LinearAttention,
    MemN2N,
    Memoria,
    Plastic,
    Stack,
)
from tests import contract
from tests.programs import HISTORIES, KINDS, REGISTERED, TIME, arguments, jit_unroll, methods, programs
from tests.test_oracles import ORACLES

pytestmark = pytest.mark.usefixtures("strict_types")


def ntm(**options):
    return NTM(**{"input_size": 5, "slots": 11, "width": 3, "read_heads": 2, "write_heads": 1, **options})


# With a constant memory and all heads alike everywhere, no slot would ever differ from another: hence "random".
VARIANTS = {
    "ntm-write_read": ntm(order="write_read"),
    "ntm-interleaved": ntm(order="interleaved", write_heads=2),
    "ntm-content": ntm(addressing="content", initial_memory="random"),
    "ntm-learned-shift2": ntm(initial_memory="learned", initial_weights="learned", shift_range=2),
    "ntm-clamped-clip": ntm(epsilon="clamped", initial_weights="zero", initial_memory="random", clip=1.5, activation="linear"),
    "ntm-product": ntm(epsilon="product", initial_weights="uniform", initial_memory="random", shift_range=0),
    "lstm-learned": LSTM(5, 7, learned_state=True),
    "lstm-norm": LSTM(5, 7, layer_norm=True),
    "ffm-variance": FFM(5, 8, chunk=4, trace_size=6, context_size=2, scale="variance", decay_limits=(0.02, 3.0)),
    "ffm-norm_gate": FFM(
        5, 8, True, 3, trace_size=6, context_size=2, order="norm_gate", scale="mean", decay_limits=(1e-6, 2.0)
    ),
    "gru-learned": GRU(5, 7, learned_state=True),
    "lstm+ntm": Controlled(LSTM(5 + 3, 7), NTM(7, slots=11, width=3), learned_reads=True),
    "lstm+ntm-skip": Controlled(LSTM(5 + 3, 4), NTM(12, slots=11, width=3), skip=True),
    "feedforward+hebbian": Controlled(FeedForward(5 + 14, 11), Hebbian(11, key_size=3, value_size=7, heads=2)),
    "delta_rule-gated-elu": DeltaRule(5, key_size=3, value_size=2, chunk=4, feature_map="elu", norm="share", decay=True),
    "linear_attention-plain": LinearAttention(5, key_size=3, value_size=2, chunk=4, normalise=False, decay=True),
    "memn2n-layerwise": MemN2N(5, slots=8, width=3, hops=2, tying="layerwise", encoding="bag", mask=True, relu=1),
    "dmn-shared": DMN(5, slots=8, passes=2, gate="softmax", shared_gru=True),
    "dnc-mds": DNC(5, slots=11, width=3, read_heads=2, write_heads=2, masked=True, deallocate=True, sharpen=True),
    "dnc-linkless": DNC(5, slots=11, width=3, read_heads=2, links=False, activation="tanh", strength="softplus"),
    "dmnplus-soft": DMNPlus(13, slots=8, passes=2, attention="soft", fusion=False, interactions=True, tied_update=True),
    # All of a run is reminded, so that the last read depends on the first input; what lies before becomes long-term.
    "memoria-attached": Memoria(6, 2, slots=33, short_term=14, short_reminded=14, heads=3, detach=False),
    "rmc-attended": RMC(5, slots=8, width=6, heads=2, blocks=2, gate="memory", readout="attended", learned_state=True),
    "fast_weights-preliminary": FastWeights(5, hidden_size=16, key="preliminary", chunk=3),
    "plastic-retroactive": Plastic(5, hidden_size=6, rule="retroactive"),
    "sam-hashed": SAM(5, slots=11, width=6, heads=2, nearest=3, lookup="hashed", tables=2, bucket=4),
    "sdnc-hashed": SDNC(5, slots=11, width=6, nearest=3, links=2, lookup="hashed", tables=2, bucket=4),
    "stack": Stack((GRU(5, 7), Hebbian(7, key_size=3, value_size=2))),
}
# Laws that say nothing about a memory without these methods.
ABOUT = {contract.law_scan_algebra: {"parallel"}, contract.law_parallel_is_scan: {"parallel", "chunked"}}


def pairs():
    for name, memory in {**REGISTERED, **VARIANTS}.items():
        for law in contract.LAWS + contract.ONCE if name in REGISTERED else contract.LAWS:
            if law is contract.law_gradients_are_numerical and isinstance(memory, contract.STOPPED):
                continue
            if law not in ABOUT or ABOUT[law] & set(methods(memory)):
                detached = getattr(memory, "detached", "") if law in contract.CROSSING else ""
                marks = [pytest.mark.skip(reason=detached)] if detached else []
                marks += [pytest.mark.slow] if law in contract.GENERIC and name not in KINDS else []
                yield pytest.param(law, memory, id=f"{name}-{law.__name__.removeprefix('law_')}", marks=marks)


@pytest.mark.parametrize(("law", "memory"), list(pairs()))
def test_law(law, memory):
    law(memory)


@pytest.mark.parametrize("name", ["gru", "hebbian"])
def test_every_split(name):
    """How `unroll` cuts does not depend on the memory, so one memory for each method is enough for all cuts."""
    method = methods(REGISTERED[name])[-1]
    with jax.enable_x64(True):
        contract.splits(REGISTERED[name], range(1, TIME + 1), [method])


@pytest.mark.parametrize(("name", "method", "remat"), [*(("gru", "scan", n) for n in (1, 2, 7, 10)), ("hebbian", "chunked", 3)])
def test_every_remat(name, method, remat):
    """Chunks of one step, that leave one over, of the whole length and longer. (Of three: law_remat_changes_nothing.)"""
    with jax.enable_x64(True):
        contract.rematerialised(REGISTERED[name], remat, method)


@pytest.mark.parametrize("name", ["hebbian", "delta_rule"])
def test_one_step_in_parallel(name):
    """A sequence of one, in every other form."""
    p = programs(REGISTERED[name])
    with jax.enable_x64(True):
        args = arguments(p, starts=np.array([[False], [True]] * 2), rows=4, time=1, seed=12)
        contract.same_as_loop(p, args, [jit_unroll(p.memory, method=method) for method in methods(p.memory)[1:]])


@pytest.mark.parametrize("name", REGISTERED)
def test_small_sizes_are_distinct(name):
    """A transposed array passes unseen where two sizes are equal. Kinds of heads may be as many as each other."""
    sizes = {"heads" if "heads" in field else field: size for field, size in diffmem.entry(name).small.items()}
    sizes |= {"batch": HISTORIES, "time": TIME}
    assert len(set(sizes.values())) == len(sizes), sizes


def test_every_file_registers_a_memory():
    folder = Path(diffmem.memories.__file__).parent
    homes = {diffmem.entry(name).cls.__module__ for name in diffmem.names()}
    files = {f"diffmem.memories.{path.stem}" for path in folder.glob("*.py") if path.stem != "__init__"}
    assert files == homes


def test_every_memory_has_an_oracle():
    assert set(ORACLES) == set(diffmem.names())
