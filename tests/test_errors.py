"""What a user reads after a mistake: the field, the value, what is legal, and the nearest name."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import pytest

import diffmem
from diffmem import (
    DNC,
    FFM,
    GRU,
    LRU,
    LSTM,
    NTM,
    RMC,
    SAM,
    SDNC,
    Controlled,
    FastWeights,
    FeedForward,
    Hebbian,
    Plastic,
    Stack,
    control,
    envs,
    make,
    store,
    unroll,
)
from diffmem.base import register
from diffmem.models import SequenceModel, Stream

GATED = GRU(5, 7)
HEBBIAN = Hebbian(5, key_size=3, value_size=2)


XS = jnp.zeros((6, 5))


def blank(memory):
    """Parameters that are all zero: drawing them takes seconds."""
    shapes = jax.eval_shape(memory.init_params, jax.random.key(0))
    return jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)


def blank_state(memory):
    return jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(memory.init_state, blank(memory)))


def ntm(**options):
    return NTM(**{"input_size": 5, "slots": 11, "width": 3, **options})


@pytest.mark.parametrize(
    ("xs", "options", "message"),
    [
        (jnp.zeros((4, 6, 5)), {}, r"\[4, 6, 5\].*\[T, input_size=5\].*\[B, T, D\].*jax\.vmap"),
        (jnp.zeros(5), {}, r"shape \[5\]; it must be \[T, input_size=5\]\.$"),
        (jnp.zeros((6, 4)), {}, r"width 4 \(shape \[6, 4\]\), but GRU\.input_size is 5"),
        (XS, {"starts": jnp.zeros(6)}, r"starts is float32\[6\]; it must be bool\[6\]"),
        (XS, {"starts": jnp.zeros(6, int)}, r"starts is int32\[6\]"),
        (XS, {"starts": jnp.zeros(5, bool)}, r"starts is bool\[5\]; it must be bool\[6\]"),
        (XS, {"starts": jnp.zeros((6, 1), bool)}, r"starts is bool\[6, 1\]"),
        (XS, {"method": "fast"}, r"method is 'fast'; legal: 'auto', 'scan', 'parallel'"),
        (XS, {"method": "parallel"}, r"'parallel', but GRU is not a ScanMemory; use 'scan' or 'auto'"),
        (XS, {"remat": -1}, r"remat is -1; it must be an integer >= 0"),
        (XS, {"remat": 2.0}, r"remat is 2\.0"),
        (XS, {"remat": True}, r"remat is True"),
        ([[0.0] * 4] * 6, {}, r"width 4"),
    ],
)
def test_unroll(xs, options, message):
    with pytest.raises(ValueError, match=message):
        unroll(GATED, blank(GATED), None, xs, **options)


def test_unroll_parallel_checks_too():
    with pytest.raises(ValueError, match=r"jax\.vmap"):
        unroll(HEBBIAN, blank(HEBBIAN), None, jnp.zeros((4, 6, 5)), method="parallel")


@pytest.mark.parametrize(
    ("xs", "mask", "message"),
    [
        (jnp.zeros((4, 6, 5)), None, r"jax\.vmap"),
        (jnp.zeros((6, 4)), None, r"width 4"),
        (XS, jnp.ones(6), r"mask is float32\[6\]; it must be bool\[6\]"),
        (XS, jnp.ones(4, bool), r"mask is bool\[4\]; it must be bool\[6\]"),
    ],
)
def test_store(xs, mask, message):
    with pytest.raises(ValueError, match=message):
        store(GATED, blank(GATED), None, xs, mask=mask)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (
            blank_state(ntm(slots=20)),
            r"state\.slots is float32\[3, 20\]; with this NTM and these params it is float32\[3, 11\]",
        ),
        (blank_state(GATED), r"state is a GRUState with other parts than NTM\.init_state\(params\) gives"),
        (jax.tree.map(lambda a: a.astype(jnp.bfloat16), blank_state(ntm())), r"state\.slots is bfloat16.*it is float32"),
    ],
)
def test_state_of_another_memory(state, message):
    with pytest.raises(ValueError, match=message):
        unroll(ntm(), blank(ntm()), state, XS)


def test_types_and_parameters_that_do_not_fit():
    short = jax.tree.map(lambda a: a.astype(jnp.float16), blank(GATED))
    with pytest.raises(ValueError, match=r"xs is float32, the parameters are float16: cast the one"):
        unroll(GATED, short, None, XS)
    with pytest.raises(ValueError, match=r"params is \{\}, without any array"):
        unroll(GATED, {}, None, XS)


@pytest.mark.parametrize("memory", [ntm(), DNC(5, slots=4, width=3), SAM(5, slots=4, width=3), SDNC(5, slots=8, width=3)])
def test_a_step_takes_one_vector(memory):
    params = blank(memory)
    state = jax.eval_shape(memory.init_state, params)
    with pytest.raises(ValueError, match=r"x has shape \[2, 5\]; it must be \[5\].*jax\.vmap"):
        jax.eval_shape(memory.step, params, state, jnp.zeros((2, 5)))
    with pytest.raises(ValueError, match=r"x has shape \[4\]; these parameters take rows of 5 numbers"):
        jax.eval_shape(memory.step, params, state, jnp.zeros(4))


def test_errors_come_through_jit():
    with pytest.raises(ValueError, match=r"jax\.vmap"):
        jax.jit(lambda xs: unroll(GATED, blank(GATED), None, xs))(jnp.zeros((4, 6, 5)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        # The registry.
        (lambda: make("nmt", input_size=5), r"unknown memory 'nmt'; did you mean 'ntm'\?.*known: .*ntm"),
        (lambda: make("NTM", input_size=5), r"unknown memory 'NTM'; did you mean 'ntm'\?"),
        (lambda: make("zzzzzz"), r"unknown memory 'zzzzzz'; known: .*lstm"),
        (lambda: make("ntm", input_size=5, slot=3), r"NTM has no field 'slot'; did you mean 'slots'\?.*known: .*width"),
        (lambda: make("ntm", input_size=5, qqqqqq=3), r"NTM has no field 'qqqqqq'; known: .*slots"),
        (lambda: make(3, input_size=5), r"unknown memory 3; known: .*lstm"),
        (lambda: make("gru"), r"GRU\.input_size is missing: it has no default"),
        (lambda: make("gru", input_size=5, learned_state="yes"), r"GRU\.learned_state is 'yes'; legal: True, False"),
        (lambda: make("gru", input_size=5, learned_state=1), r"GRU\.learned_state is 1; legal: True, False"),
        (lambda: envs.make("repeat_previous", 1), r"repeat_previous has no difficulty 1; known: easy, medium, hard"),
        (lambda: envs.make("repeat_previous_esay"), r"repeat_previous has no difficulty 'esay'; did you mean 'easy'"),
        (lambda: envs.make("repeat_previuos_easy"), r"unknown environment 'repeat_previuos_easy'; did you mean 'repeat_prev"),
        (lambda: envs.make("repeat_previous_easy", "easy"), r"unknown environment 'repeat_previous_easy'; did you mean"),
        (lambda: envs.make("t_maze", active="yes"), r"TMaze\.active is 'yes'; legal: True, False"),
        (lambda: register("ntm", paper="", small={})(GRU), r"memory name 'ntm' is taken by NTM; choose another"),
        (
            lambda: envs.base.register("t_maze", source="", levels={})(GRU),
            r"environment name 't_maze' is taken by TMaze; choose another",
        ),
        # Counts.
        (lambda: ntm(slots=0), r"NTM\.slots is 0; it must be an integer >= 1"),
        (lambda: ntm(width=-1), r"NTM\.width is -1"),
        (lambda: ntm(read_heads=0), r"NTM\.read_heads is 0"),
        (lambda: ntm(write_heads=1.5), r"NTM\.write_heads is 1\.5; it must be an integer >= 1"),
        (lambda: ntm(input_size="5"), r"NTM\.input_size is '5'"),
        (lambda: ntm(shift_range=-1), r"NTM\.shift_range is -1; it must be an integer >= 0"),
        (lambda: ntm(slots=True), r"NTM\.slots is True"),
        (lambda: LSTM(0), r"LSTM\.input_size is 0"),
        (lambda: GRU(5, hidden_size=None), r"GRU\.hidden_size is None"),
        (lambda: Hebbian(5, key_size=0), r"Hebbian\.key_size is 0"),
        (lambda: Hebbian(5, heads=0), r"Hebbian\.heads is 0"),
        (lambda: FastWeights(5, hidden_size=6, heads=4), r"FastWeights\.heads is 4; it must divide hidden_size, which is 6"),
        (lambda: FastWeights(5, decay=1.5), r"FastWeights\.decay is 1\.5; it must be a number from 0 to 1"),
        (lambda: FastWeights(5, decay="fast"), r"FastWeights\.decay is 'fast'; it must be a number from 0 to 1"),
        (lambda: FastWeights(5, learning_rate=0.0), r"FastWeights\.learning_rate is 0\.0; it must be a finite number > 0"),
        (lambda: FastWeights(5, epsilon=-1.0), r"FastWeights\.epsilon is -1\.0; it must be a finite number >= 0"),
        (lambda: FastWeights(5, key="next"), r"FastWeights\.key is 'next'; legal: 'previous', 'preliminary'"),
        (lambda: Plastic(5, hidden_size=9, heads=2), r"Plastic\.heads is 2; it must divide hidden_size, which is 9"),
        (lambda: Plastic(5, rule="bcm"), r"Plastic\.rule is 'bcm'; legal: 'hebb', 'oja', 'modulated', 'retroactive'"),
        (lambda: FeedForward(5, 0), r"FeedForward\.hidden_size is 0"),
        (lambda: SequenceModel(GATED, 0), r"SequenceModel\.output_size is 0"),
        (
            lambda: SequenceModel(GATED, 2, bypass_dropout=1.0),
            r"SequenceModel\.bypass_dropout is 1\.0.*0 <= bypass_dropout < 1",
        ),
        (lambda: SequenceModel(GATED, 2, bypass_dropout=0.1), r"bypass_dropout is 0\.1, but GRU has no controller"),
        (lambda: Stream(9, 4, dropout=-0.1), r"Stream\.dropout is -0\.1; it must be a number, 0 <= dropout < 1"),
        # Options.
        (lambda: ntm(order="read"), r"NTM\.order is 'read'; legal: 'read_write', 'write_read', 'interleaved'"),
        (lambda: ntm(addressing="location"), r"NTM\.addressing is 'location'; legal: 'content_location', 'content'"),
        (lambda: ntm(initial_memory="zero"), r"NTM\.initial_memory is 'zero'; legal: 'constant', 'learned', 'random'"),
        (lambda: ntm(initial_weights="last"), r"NTM\.initial_weights is 'last'; legal: .*'uniform'"),
        (lambda: ntm(activation="relu"), r"NTM\.activation is 'relu'; legal: 'tanh', 'linear'"),
        (lambda: ntm(epsilon=1e-8), r"NTM\.epsilon is 1e-08; legal: 'smooth', 'clamped', 'product'"),
        (lambda: ntm(clip=0.0), r"NTM\.clip is 0\.0; it must be a number > 0, or None"),
        (lambda: FeedForward(5, 7, activation="gelu"), r"FeedForward\.activation is 'gelu'; legal: 'tanh', 'relu'"),
        # What does not fit together.
        (lambda: ntm(shift_range=6), r"NTM\.shift_range is 6, .* 13 taps, wider than the 11 slots; legal: shift_range <= 5"),
        (lambda: ntm(slots=2), r"NTM\.shift_range is 1, .* 3 taps, wider than the 2 slots; legal: shift_range <= 0"),
        (lambda: ntm(order="interleaved", read_heads=2), r"NTM\.order is 'interleaved'.*2 read and 1 write heads"),
        (lambda: FFM(5, init="linear"), r"FFM\.init is 'linear'; legal: 'log', 'jax', 'torch'"),
        (lambda: FFM(5, decay_limits=(1.0, 0.5)), r"FFM\.decay_limits is \(1\.0, 0\.5\)"),
        (lambda: FFM(5, decay_limits=("a", "b")), r"FFM\.decay_limits is \('a', 'b'\); it must be None or a pair"),
        (lambda: FFM(5, decay_limits=(0.1, float("nan"))), r"FFM\.decay_limits is \(0\.1, nan\)"),
        (lambda: LRU(5, radii=0.9), r"LRU\.radii is 0\.9; it must be a pair \(least, most\)"),
        (lambda: FFM(5, scale="unit"), r"FFM\.scale is 'unit'; legal: 'none', 'variance', 'mean'"),
        (lambda: FFM(5, trace_size=0), r"FFM\.trace_size is 0"),
        (lambda: FFM(5, chunk=0), r"FFM\.chunk is 0"),
        (lambda: LRU(5, radii=(0.9, 1.1)), r"LRU\.radii is \(0\.9, 1\.1\)"),
        (lambda: LRU(5, max_phase=7.0), r"LRU\.max_phase is 7\.0"),
        (lambda: RMC(5, gate="units"), r"RMC\.gate is 'units'; legal: 'unit', 'memory', 'none'"),
        (lambda: RMC(5, forget_bias="1"), r"RMC\.forget_bias is '1'; it must be a number"),
        (lambda: RMC(5, readout="all"), r"RMC\.readout is 'all'; legal: 'flattened', 'attended'"),
        (lambda: RMC(5, mlp_layers=0), r"RMC\.mlp_layers is 0; it must be an integer >= 1"),
        (lambda: RMC(5, width=10, heads=4), r"RMC\.heads is 4, which does not divide width, 10; legal: divisors of width"),
        (lambda: RMC(5, input_rows=2), r"RMC\.input_rows is 2, which does not divide input_size, 5"),
        (lambda: Controlled(LSTM(8, 7), ntm()), r"Controlled\.controller puts out 7 numbers, but NTM\.input_size is 5"),
        (lambda: Controlled(LSTM(8, 5), ntm(), skip=True), r"Controlled\.controller takes and puts out 13 numbers, but NTM\."),
        (lambda: Controlled(LSTM(3, 5), ntm()), r"Controlled\.controller takes 3 numbers.*reads alone are 3.*at least 1"),
        (lambda: Stack(()), r"Stack\.memories is empty"),
        (
            lambda: Stack((GRU(5, 7), GRU(7, 4), GRU(5, 3))),
            r"Stack\.memories\[1\] puts out 4 numbers, but Stack\.memories\[2\]\.input_size is 5",
        ),
        (lambda: LSTM(5, clip=0.0), r"LSTM\.clip is 0\.0; it must be a number > 0, or None"),
        (lambda: DNC(5, slots=8, read_heads=9), r"DNC\.read_heads is 9, more than the 8 slots; legal: 1\.\.8"),
        (lambda: DNC(5, slots=8, write_heads=9), r"DNC\.write_heads is 9, more than the 8 slots"),
        (lambda: DNC(5, epsilon="clamped"), r"DNC\.epsilon is 'clamped'; legal: 'smooth', 'doubled', 'coarse'"),
        (lambda: DNC(5, strength="plus"), r"DNC\.strength is 'plus'; legal: 'oneplus', 'softplus'"),
        (lambda: DNC(5, links=False, sharpen=True), r"DNC\.sharpen is True.*DNC\.links is False"),
        (
            lambda: DNC(5, slots=2**20),
            r"DNC\.slots is 1048576: one sequence's links \[1, 1048576, 1048576\] take 4,096 GiB.*this machine has \d+ GiB"
            r".*links=False.*SDNC",
        ),
        (lambda: SAM(5, slots=8, nearest=9), r"SAM\.nearest is 9, more than the 8 slots; legal: 1\.\.8"),
        (lambda: SAM(5, slots=8, heads=9), r"SAM\.heads is 9, more than the 8 slots"),
        (lambda: SAM(5, lookup="tree"), r"SAM\.lookup is 'tree'; legal: 'linear', 'approximate', 'hashed'"),
        (lambda: SAM(5, threshold=-0.1), r"SAM\.threshold is -0\.1; it must be a number >= 0"),
        (lambda: SAM(5, threshold=None), r"SAM\.threshold is None; it must be a number >= 0"),
        (lambda: SAM(5, threshold=float("nan")), r"SAM\.threshold is nan; it must be a number >= 0"),
        (lambda: SDNC(5, slots=8, links=9), r"SDNC\.links is 9, more than the 8 slots; legal: 1\.\.8"),
        (lambda: SDNC(5, slots=9, nearest=10), r"SDNC\.nearest is 10, more than the 9 slots"),
        (lambda: SDNC(5, slots=8, heads=9), r"SDNC\.heads is 9, more than the 8 slots"),
        (lambda: control(ntm(), 9, controller="rnn"), r"controller is 'rnn'; legal: 'lstm', 'gru', 'feedforward'"),
        (lambda: control(ntm(), 9, depth=0), r"depth is 0; it must be an integer >= 1"),
        # Spaces.
        (lambda: envs.Discrete(0), r"Discrete\.n is 0; it must be an integer >= 1"),
        (lambda: envs.Discrete(2.5), r"Discrete\.n is 2\.5"),
        (lambda: envs.MultiDiscrete((2, 0)), r"MultiDiscrete\.counts\[1\] is 0"),
        (lambda: envs.MultiDiscrete(3), r"MultiDiscrete\.counts is 3; it must be a tuple of integers >= 1"),
        (lambda: envs.Box(1.0, 0.0, (2,)), r"Box\.low is 1\.0, Box\.high is 0\.0; .* low <= high"),
        (lambda: envs.Box(0.0, float("nan"), (2,)), r"Box\.high is nan"),
        (lambda: envs.Box("a", 1.0, (2,)), r"Box\.low is 'a'"),
        (lambda: envs.Box((0.0, 0.0), (1.0, 1.0), (3,)), r"tuples of the shape \(3,\)"),
        (lambda: envs.Box(0.0, 1.0, 3), r"Box\.shape is 3; it must be a tuple"),
    ],
)
def test_constructors(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_the_smallest_legal_settings_are_legal():
    """The limits that the messages name can be reached."""
    assert ntm(shift_range=5)._taps == ntm().slots
    assert ntm(slots=1, width=1, shift_range=0, input_size=1)
    assert DNC(1, slots=1, width=1, read_heads=1)
    assert DNC(5, slots=2**20, links=False)
    assert SAM(1, slots=1, width=1, nearest=1)
    assert control(ntm(), 1).input_size == 1
    assert hash(FFM(5, decay_limits=[0.1, 1.0])) == hash(FFM(5, decay_limits=(0.1, 1.0)))  # a list, as JSON has it
    assert envs.make("repeat_previous_medium") == envs.make("repeat_previous", "medium")
    assert Controlled(LSTM(4, 5), ntm()).input_size == 1


@pytest.mark.parametrize("learned", ["initial_memory", "initial_weights"])
def test_learned_slots_have_a_number(learned):
    memory = ntm(**{learned: "learned"})
    message = r"NTM\.slots is 20, but the learned initial (slots|weights) in the parameters have 11; only a memory"
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(memory, slots=20).init_state(blank(memory))


def test_slots_can_change_where_nothing_is_learned():
    larger = dataclasses.replace(ntm(), slots=20)
    params = blank(ntm())
    _, readout = jax.eval_shape(lambda x: larger.step(params, larger.init_state(params), x), jnp.ones(5))
    assert readout.weights.shape == (1, 20)


def test_every_message_names_the_field():
    """Each count of each registered memory is checked, and its name is in the message."""
    for name in diffmem.names():
        small = dict(diffmem.entry(name).small)
        for field, value in small.items():
            if type(value) is int:
                with pytest.raises(ValueError, match=re.escape(f"{diffmem.entry(name).cls.__name__}.{field} is -3")):
                    make(name, **{**small, field: -3})
