"""Every registered memory against its NumPy loop: values, weights and the state after every step, to 1e-10."""

import dataclasses
import itertools
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest

import diffmem
from diffmem.base import Readout
from tests.oracles import (
    append,
    delta_rule,
    dmn,
    dnc,
    ffm,
    hebbian,
    linear_attention,
    lru,
    memn2n,
    memnn,
    memoria,
    ntm,
    plastic,
    recurrent,
    rmc,
    sam,
    sdnc,
)

pytestmark = pytest.mark.usefixtures("strict_types")

# Every memory's oracle: a module, or what is like one, with `unroll`.
ORACLES = {
    "delta_rule": delta_rule,
    "dmn": SimpleNamespace(unroll=dmn.dmn_unroll),
    "dmnplus": SimpleNamespace(unroll=dmn.dmnplus_unroll),
    "ffm": ffm,
    "dnc": dnc,
    "fast_weights": SimpleNamespace(unroll=plastic.fast_unroll),
    "gru": SimpleNamespace(unroll=recurrent.gru_unroll),
    "hebbian": hebbian,
    "linear_attention": linear_attention,
    "lru": lru,
    "lstm": SimpleNamespace(unroll=recurrent.lstm_unroll),
    "memn2n": memn2n,
    "memnn": memnn,
    "memoria": memoria,
    "ntm": ntm,
    "plastic": SimpleNamespace(unroll=plastic.plastic_unroll),
    "rmc": rmc,
    "sam": sam,
    "sdnc": sdnc,
}
TIME = 7
STARTS = np.array([0, 0, 1, 0, 0, 1, 1], bool)
# Runs of the memories that keep their newest inputs: where sequences start, and which inputs are zeros.
RUNS = (
    (STARTS, ()),
    (STARTS, (0, 2, 3, 6)),  # nothing but zeros is stored at some steps
    (np.zeros(TIME, bool), (2, 5)),  # longer than the memory has slots
)


@dataclasses.dataclass(frozen=True)
class Recorded:
    """A memory whose readouts also hold the state after the step."""

    memory: Any

    @property
    def input_size(self):
        return self.memory.input_size

    def init_state(self, params):
        return self.memory.init_state(params)

    def step(self, params, state, x):
        state, readout = self.memory.step(params, state, x)
        return state, Readout(readout, state)


def random_params(memory, rng, scale=1.0):
    with jax.enable_x64(False):
        shapes = jax.eval_shape(memory.init_params, jax.random.key(0))
    return jax.tree.map(lambda a: scale * rng.normal(size=a.shape), shapes)


def close(got, want, what):
    for name, value in want.items():
        if isinstance(value, dict):
            close(getattr(got, name), value, f"{what} {name}")
            continue
        np.testing.assert_allclose(getattr(got, name), value, rtol=0, atol=1e-10, err_msg=f"{what} {name}")


def compare(unroll, memory, variants, config=None, runs=RUNS[:1]):
    """Holds a memory to its oracle's `unroll` for each of several parameters, with one compilation."""
    config = config or dataclasses.asdict(memory)
    with jax.enable_x64(True):

        @jax.jit
        def run(params, xs, starts):
            last, readout = diffmem.unroll(Recorded(memory), params, None, xs, starts=starts, method="scan")
            return memory.init_state(params), last, readout.value, readout.weights

        for i, (params, (starts, zeros)) in enumerate(itertools.product(variants, runs)):
            xs = np.random.default_rng(i).normal(size=(TIME, memory.input_size))
            xs[list(zeros)] = 0
            first, last, readout, states = run(params, xs, starts)
            if config.get("initial_memory") == "random":
                config["random_slots"] = np.asarray(first.slots)
            want_last, want, want_states = unroll(config, params, None, xs, starts=starts)
            close(readout, want, "readout")
            for t in range(TIME):
                close(jax.tree.map(lambda a, t=t: a[t], states), want_states[t], f"state {t}")
            close(last, want_last, "last state")


@pytest.mark.parametrize("name", [name for name in ORACLES if name != "ntm"])
@pytest.mark.parametrize("learned", [False, True])
def test_small(name, learned):
    if learned and not hasattr(diffmem.entry(name).cls, "learned_state"):
        pytest.skip("nothing initial to learn")
    options = {"learned_state": True} if learned else {}
    memory = diffmem.make(name, **diffmem.entry(name).small, **options)
    rng = np.random.default_rng(0)
    runs = RUNS if name in APPENDING or name == "memoria" else RUNS[:1]
    scales = (0.5, 2.0) if name == "lru" else (0.5, 2.0, 10.0)  # the LRU's angle is exp(theta): of e^30 turns no digit is left
    compare(ORACLES[name].unroll, memory, [random_params(memory, rng, scale) for scale in scales], runs=runs)


def test_ffm_options():
    """The order of norm and gate of the authors' PyTorch version, and decays that are clipped instead of folded."""
    memory = diffmem.make("ffm", **diffmem.entry("ffm").small, order="norm_gate", decay_limits=(0.1, 0.8))
    compare(ffm.unroll, memory, [random_params(memory, np.random.default_rng(0), scale) for scale in (0.5, 2.0)])


# Options of the matrix memories. Rows are (name, options).
MATRICES = [
    ("delta_rule", dict(decay=True)),
    ("delta_rule", dict(norm="share", feature_map="elu")),
    ("delta_rule", dict(norm="share", feature_map="dpfp", rolls=2)),
    ("linear_attention", dict(normalise=False, feature_map="identity")),
    ("linear_attention", dict(decay=True, feature_map="dpfp", rolls=3)),
]


@pytest.mark.parametrize(("name", "option"), MATRICES, ids=str)
def test_matrices(name, option):
    memory = diffmem.make(name, **{**diffmem.entry(name).small, **option})
    rng = np.random.default_rng(6)
    compare(ORACLES[name].unroll, memory, [random_params(memory, rng, scale) for scale in (0.5, 2.0)])


# Options of the memories that keep their newest inputs, other than the small ones that are registered.
APPENDING = {
    "memn2n": [
        dict(tying="adjacent", encoding="bag", hops=3, slots=4),
        dict(tying="adjacent", encoding="bag", hops=1, relu=3, time=False, mask=False),
        dict(tying="adjacent", encoding="position", hops=2, softmax=False, slots=4, mask=False),
        dict(tying="layerwise", encoding="position", hops=3, relu=2, slots=4),
        dict(tying="layerwise", encoding="bag", hops=2, mask=False),
        dict(tying="layerwise", encoding="bag", hops=2, softmax=False, time=False, relu=1),
        dict(tying="layerwise", encoding="position", hops=1, time=False, slots=4),
    ],
    "memnn": [
        dict(encoding="bag", hops=3, hard=False, slots=4),
        dict(encoding="position", hops=1, hard=False, mask=False),
        dict(encoding="position", hops=2, hard=True),
        dict(encoding="bag", hops=3, hard=True, slots=4),
        dict(encoding="bag", hops=2, hard=True, mask=False),
    ],
    "dmn": [
        dict(gate="sigmoid", passes=3, slots=4),
        dict(gate="sigmoid", passes=2, shared_gru=True, mask=False),
        dict(gate="softmax", passes=1, mask=False),
        dict(gate="softmax", passes=3, shared_gru=True, slots=4),
    ],
    "dmnplus": [
        dict(passes=3, tied_update=False, slots=4),
        dict(passes=2, tied_update=True, mask=False),
        dict(passes=1, tied_update=False, mask=False),
        dict(passes=3, tied_update=True),
    ],
}


@pytest.mark.parametrize(("name", "option"), [(name, option) for name in APPENDING for option in APPENDING[name]], ids=str)
def test_appending(name, option):
    memory = diffmem.make(name, **{**diffmem.entry(name).small, **option})
    rng = np.random.default_rng(5)
    compare(ORACLES[name].unroll, memory, [random_params(memory, rng, scale) for scale in (0.3, 1.0)], runs=RUNS)


PLASTIC = [
    ("fast_weights", dict(key="preliminary", inner_steps=1, heads=1, decay=1.0)),
    ("fast_weights", dict(epsilon=0.1, decay=0.0, heads=4, learning_rate=2.0)),
    *(("plastic", dict(rule=rule)) for rule in ("oja", "modulated", "retroactive")),
    ("plastic", dict(rule="retroactive", heads=1)),
]


@pytest.mark.parametrize(("name", "option"), PLASTIC, ids=str)
def test_plastic(name, option):
    memory = diffmem.make(name, **{**diffmem.entry(name).small, **option})
    rng = np.random.default_rng(6)
    compare(ORACLES[name].unroll, memory, [random_params(memory, rng, scale) for scale in (0.5, 1.0, 2.0)])


def extreme(memory, rng, scale, gamma):
    """Random NTM parameters of which some heads have gates at exactly 0 and 1, a large strength and this gamma."""
    params = random_params(memory, rng, scale)
    taps = 2 * memory.shift_range + 1
    at = memory.width  # strength, gate, shift kernel, gamma follow the key
    for name, heads in (("read_heads", memory.read_heads), ("write_heads", memory.write_heads)):
        bias = params[name]["bias"].reshape(heads, -1)  # a view: what is set here is set there
        located = memory.addressing == "content_location"
        for h in range(heads):
            bias[h, at] = 30
            if located:
                bias[h, at + 1] = (-800, 800, 0)[(h + (name == "read_heads")) % 3]
                bias[h, at + 2 + taps] = (gamma, 0, gamma / 12)[h % 3]
            if name == "write_heads" and h == 0:
                bias[h, -2 * memory.width : -memory.width] = 800  # erases completely
    return params


def options(order, addressing, heads, shift_range, initial, activation="tanh", epsilon="smooth", clip=None):
    read_heads, write_heads = heads
    initial_memory, initial_weights = initial
    return dict(
        order=order, addressing=addressing, read_heads=read_heads, write_heads=write_heads, shift_range=shift_range,
        initial_memory=initial_memory, initial_weights=initial_weights, activation=activation, epsilon=epsilon, clip=clip,
    )  # fmt: skip


NTMS = [
    options("read_write", "content_location", (1, 1), 1, ("constant", "first")),
    options("read_write", "content_location", (2, 3), 2, ("learned", "learned")),
    options("read_write", "content_location", (3, 1), 0, ("random", "uniform"), activation="linear"),
    options("read_write", "content_location", (2, 2), 1, ("random", "zero"), epsilon="clamped"),
    options("read_write", "content", (2, 1), 1, ("random", "first")),
    options("read_write", "content", (1, 2), 1, ("learned", "uniform"), epsilon="product", clip=1.0),
    options("write_read", "content_location", (1, 3), 1, ("constant", "first"), epsilon="clamped"),
    options("write_read", "content_location", (2, 1), 2, ("random", "learned"), activation="linear", clip=0.7),
    options("write_read", "content_location", (3, 2), 0, ("learned", "first"), epsilon="product"),
    options("write_read", "content", (1, 1), 1, ("random", "zero"), activation="linear"),
    options("interleaved", "content_location", (1, 1), 2, ("constant", "learned"), epsilon="product"),
    options("interleaved", "content_location", (2, 2), 1, ("random", "first")),
    options("interleaved", "content_location", (3, 3), 0, ("learned", "uniform"), epsilon="clamped", clip=2.0),
    options("interleaved", "content", (2, 2), 1, ("learned", "zero"), activation="linear"),
]


def name_of(option):
    return "-".join(str(value) for value in option.values())


@pytest.mark.parametrize("option", NTMS, ids=name_of)
def test_ntm(option):
    memory = diffmem.NTM(input_size=5, slots=11, width=3, **option)
    rng = np.random.default_rng(1)
    # "clamped" adds 1e-16 to the sharpening's denominator, as the ports do and the paper does not: where gamma is large
    # and the weights are flat, that shows.
    large, gamma = (0.5, 0.0) if memory.epsilon == "clamped" else (3.0, 60.0)
    variants = [random_params(memory, rng, 0.5), random_params(memory, rng, large), extreme(memory, rng, large / 3, gamma)]
    compare(ntm.unroll, memory, variants)


RMCS = [
    dict(gate="memory", blocks=2, mlp_layers=3, key_size=4, forget_bias=0.5, input_bias=-0.5),
    dict(gate="none", mlp_layers=1, heads=6, input_rows=5),
    dict(slots=15, learned_state=True, blocks=2, readout="attended"),
]


@pytest.mark.parametrize("option", RMCS, ids=name_of)
def test_rmc(option):
    memory = diffmem.RMC(**{**diffmem.entry("rmc").small, **option})
    compare(rmc.unroll, memory, [random_params(memory, np.random.default_rng(6), scale) for scale in (0.5, 2.0)])


ENGRAMS = [
    dict(slots=7, lifespan=20.0, heads=3, depth=0),  # at capacity in three steps
    dict(slots=14, short_term=2, short_reminded=2, long_reminded=1, lifespan=4.0, reinforcement=1.5),  # mortal
]


@pytest.mark.parametrize("option", ENGRAMS, ids=name_of)
def test_memoria(option):
    memory = diffmem.Memoria(**{**diffmem.entry("memoria").small, **option})
    compare(memoria.unroll, memory, [random_params(memory, np.random.default_rng(6), 1.0)], runs=RUNS[::2])


def test_rmc_gates_hold_the_memory():
    """With a forget bias of +inf and an input bias of -inf the memory stays exactly as it is, and gradients are finite."""
    memory = diffmem.RMC(5, slots=3, width=8, heads=2, forget_bias=np.inf, input_bias=-np.inf)
    params = jax.jit(memory.init_params)(jax.random.key(0))
    state, xs = memory.init_state(params), np.random.default_rng(0).normal(size=(TIME, 5)).astype(np.float32)
    before = state._replace(slots=state.slots + 0.1234)

    def run(params, xs):
        last, readout = diffmem.unroll(memory, params, before, xs)
        return readout.value.sum(), last

    (_, last), gradients = jax.jit(jax.value_and_grad(run, (0, 1), has_aux=True))(params, xs)
    np.testing.assert_array_equal(last.slots, before.slots)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))


DNCS = [
    dict(write_heads=3, epsilon="doubled", strength="softplus", stop_usage=True),
    dict(read_heads=1, write_heads=2, masked=True, deallocate=True, sharpen=True, activation="tanh"),
    dict(read_heads=3, links=False, masked=True, epsilon="doubled"),
]


@pytest.mark.parametrize("option", DNCS, ids=name_of)
def test_dnc(option):
    memory = diffmem.DNC(**{**diffmem.entry("dnc").small, **option})
    compare(dnc.unroll, memory, [random_params(memory, np.random.default_rng(2), scale) for scale in (0.5, 3.0)])


@pytest.mark.parametrize("option", [dict(heads=1, nearest=1), dict(heads=4, nearest=5, slots=7, threshold=0.1)], ids=name_of)
def test_sam(option):
    memory = diffmem.SAM(**{**diffmem.entry("sam").small, **option})
    compare(sam.unroll, memory, [random_params(memory, np.random.default_rng(2), scale) for scale in (0.5, 3.0)])


@pytest.mark.parametrize("option", [dict(clip=0.3), dict(layer_norm=True, clip=0.8)], ids=name_of)
def test_lstm(option):
    memory = diffmem.LSTM(5, 6, **option)
    compare(recurrent.lstm_unroll, memory, [random_params(memory, np.random.default_rng(2), 1.0)])


def controlled(config, params, state, xs, starts):
    """An LSTM in front of an NTM: h_t = lstm([x_t, r_{t-1}]), r_t = ntm(h_t), value = [h_t, r_t]."""
    states, values, weights = [], [], []
    for x, start in zip(xs, starts, strict=True):
        if state is None or start:
            state = {
                "controller": recurrent.lstm_init_state(config, params["controller"]),
                "memory": ntm.init_state(config, params["memory"]),
                "reads": params["reads"],
            }
        seen = np.concatenate([x, np.ravel(state["reads"])])
        lstm, h = recurrent.lstm_step(config, params["controller"], state["controller"], seen)
        drive = np.concatenate([h, seen]) if config["skip"] else h
        memory, reads, where = ntm.step(config, params["memory"], state["memory"], drive)
        state = {"controller": lstm, "memory": memory, "reads": reads}
        states.append(state)
        values.append(np.concatenate([h, np.ravel(reads)]))
        weights.append(where)
    return state, {"value": np.stack(values), "weights": np.stack(weights)}, states


def controlled_case(skip=False):
    memory = diffmem.NTM(input_size=5 + 10 * skip, slots=11, width=3, read_heads=2)
    together = diffmem.Controlled(diffmem.LSTM(4 + 2 * 3, 5), memory, learned_reads=True, skip=skip)
    variants = [random_params(together, np.random.default_rng(3), scale) for scale in (0.5, 2.0)]
    return together, variants, dataclasses.asdict(memory) | {"skip": skip}


@pytest.mark.parametrize("skip", [False, True])
def test_controlled(skip):
    """What is read reaches the controller at the next step, not earlier and not later."""
    together, *case = controlled_case(skip)
    compare(controlled, together, *case)
    if skip:
        memory = diffmem.NTM(input_size=5, slots=11, width=3, read_heads=2)
        assert dataclasses.replace(diffmem.control(memory, 4, skip=True), learned_reads=True) == together


def test_stack():
    """Each memory of a stack takes what the one below has put out at the same step."""

    def unroll(config, params, state, xs, starts):
        _, below, _ = recurrent.gru_unroll(config, params["memory_0"], None, xs, starts)
        _, above, _ = recurrent.lstm_unroll(config, params["memory_1"], None, below["value"], starts)
        return {}, above, [{}] * len(xs)

    stack = diffmem.Stack((diffmem.GRU(4, 5), diffmem.LSTM(5, 3, learned_state=True)))
    compare(unroll, stack, [random_params(stack, np.random.default_rng(4), scale) for scale in (0.5, 2.0)], {"stack": 2})


def test_sdnc_links_that_are_cut():
    memory = diffmem.SDNC(5, slots=6, width=3, nearest=2, links=2)
    variants = [random_params(memory, np.random.default_rng(seed), scale) for seed, scale in enumerate((0.5, 2.0, 10.0))]
    compare(sdnc.unroll, memory, variants, runs=RUNS[2:])


def test_sdnc_with_all_links_has_the_dense_ones():
    """Nothing counts as use: the order within a step, which decides between slots used at the same step, differs."""
    memory = diffmem.SDNC(5, slots=5, width=3, heads=2, nearest=5, links=5, threshold=3.0)
    variants = [random_params(memory, np.random.default_rng(seed), scale) for seed, scale in enumerate((0.5, 2.0, 10.0))]
    compare(sdnc.dense_unroll, memory, variants, runs=RUNS[2:])


@pytest.mark.parametrize("order", ["read_write", "write_read", "interleaved"])
def test_ntm_verbs(order):
    """`write` and `read` called by themselves, from the initial state and after a step."""
    memory = diffmem.NTM(input_size=5, slots=11, width=3, read_heads=2, write_heads=2, order=order)
    config, rng = dataclasses.asdict(memory), np.random.default_rng(2)
    with jax.enable_x64(True):
        params = random_params(memory, rng)
        state, want = memory.init_state(params), ntm.init_state(config, params)
        write, read = jax.jit(lambda *a: memory.write(*a)), jax.jit(lambda *a: memory.read(*a))
        for x, query in rng.normal(size=(3, 2, 5)):
            state, want = write(params, state, x), ntm.write(config, params, want, x)
            close(state, want, "written")
            (state, readout), (want, value, weights) = read(params, state, query), ntm.read(config, params, want, query)
            close(state, want, "state after reading")
            close(readout, {"value": value, "weights": weights}, "answer")


def test_an_oracle_is_not_the_library():
    """The oracles are NumPy only: they cannot agree because they call the same code."""
    for module in (
        append,
        delta_rule,
        dmn,
        dnc,
        ffm,
        hebbian,
        linear_attention,
        lru,
        memn2n,
        memnn,
        memoria,
        ntm,
        plastic,
        recurrent,
        rmc,
        sam,
        sdnc,
    ):
        assert not {"jax", "jnp", "diffmem"} & set(vars(module))
