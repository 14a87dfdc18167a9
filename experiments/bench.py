"""Measures speed and memory: `python -m experiments.bench` for every memory, `python -m experiments.bench ntm` for some.

Per memory: seconds to compile a train step, milliseconds forward and forward+backward, peak temporary memory, and tokens per
second. The NTM and the DNC are compared in the same run with (a) the same step as readable code under plain `lax.scan` and
autodiff, and (b) a vectorised, compiled PyTorch NTM or DNC of the same sizes (where torch is installed), as they are and with
the batch cut over the cores, each a device of its own that takes two sequences at a time. Then the NTM's growth with the length
of the sequence. Measurements of things that are compared alternate, and medians are given: machines are noisy.

Results are appended to experiments/results/bench.jsonl with the commit, the versions and the machine's load.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import tyro
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import diffmem
from diffmem import addressing, edits
from diffmem.memories.ntm import NTMState
from diffmem.models import SequenceModel
from diffmem.sharding import batch_grad
from experiments.runtime import environment, launch, use_cpu_cores

RESULTS = Path(__file__).parent / "results" / "bench.jsonl"
INPUTS, OUTPUTS = 9, 8
# What is compared with a plain version and with PyTorch, and what its row is called.
COMPARED = {"ntm": "forward+backward", "dnc": "DNC, forward+backward"}


@dataclass
class Options:
    """What to measure."""

    memories: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Names of memories; none: all."""
    batch: int = 16
    """Sequences at a time."""
    time: int = 82
    """Length of a sequence."""
    repeats: int = 15
    """Measurements of which the median is taken."""
    growth: tuple[int, ...] = (64, 256, 1024, 2048)
    """Lengths at which the NTM's growth is measured; none: skip."""
    chunk: int = 64
    """The NTM's remat in the growth measurement."""
    torch: bool = True
    """Compare with PyTorch where it is installed."""
    store: bool = True
    """Append the results to experiments/results/bench.jsonl."""


@dataclass(frozen=True)
class PlainNTM(diffmem.NTM):
    """The NTM as one would write it down: slots [N, W], the addressing chain in sequence, gradients by autodiff."""

    def init_state(self, params):
        state = super().init_state(params)
        return state._replace(slots=state.slots.T)

    def step(self, params, state, x):
        read = self._project(params, "read_heads", self.read_heads, x)
        write = self._project(params, "write_heads", self.write_heads, x)
        reading = self._plain_address(state.slots, state.read_weights, read)
        writing = self._plain_address(state.slots, state.write_weights, write)
        value, slots = reading @ state.slots, state.slots
        for one in zip(writing, *self._edits(write), strict=True):
            slots = edits.erase_add(slots, *one)
        return NTMState(slots, reading, writing), diffmem.Readout(value, reading)

    def _plain_address(self, slots, previous, raw):
        key, strength, gate, kernel, gamma = self._controls(raw)
        weights = addressing.interpolate(addressing.content(key, slots, strength), previous, gate)
        return addressing.sharpen(addressing.shift(weights, kernel), gamma)


@dataclass(frozen=True)
class PlainDNC(diffmem.DNC):
    """The DNC as one would write it down: links are updated, then followed, with gradients by autodiff."""

    def step(self, params, state, x):
        return self.read(params, self.write(params, state, x), x)


def settings(name: str) -> Any:
    """What stands for a name in the table: the NTM of the paper's copy task, a DNC of 256 x 64, 100 units for the others."""
    sizes = {
        "ntm": lambda: diffmem.control(diffmem.NTM(input_size=100, slots=128, width=20), INPUTS),
        "ntm_plain": lambda: diffmem.control(PlainNTM(input_size=100, slots=128, width=20), INPUTS),
        "dnc": lambda: diffmem.control(diffmem.DNC(input_size=100, slots=256, width=64), INPUTS),
        "dnc_plain": lambda: diffmem.control(PlainDNC(input_size=100, slots=256, width=64), INPUTS),
        "memn2n": lambda: diffmem.MemN2N(INPUTS, encoding="bag"),
        "memnn": lambda: diffmem.MemNN(INPUTS, encoding="bag", hard=False),
        "hebbian": lambda: diffmem.Hebbian(INPUTS, key_size=32, value_size=32, heads=4),
    }
    return sizes[name]() if name in sizes else diffmem.make(name, input_size=INPUTS)


def train_step(memory: Any, batch: int, length: int, remat: int = 0) -> tuple[Callable, Callable, tuple]:
    """Loss and gradient functions of a memory with a linear output on random bits, and their arguments."""
    model = SequenceModel(memory, OUTPUTS, remat=remat)
    keys = jax.random.split(jax.random.key(0), 3)
    xs = jax.random.bernoulli(keys[0], 0.5, (batch, length, INPUTS)).astype(jnp.float32)
    ys = jax.random.bernoulli(keys[1], 0.5, (batch, length, OUTPUTS)).astype(jnp.float32)

    def loss(params, xs, ys):
        logits = jax.vmap(lambda x: model(params, x)[1])(xs)
        return jnp.mean(jnp.sum(jax.nn.softplus((1 - 2 * ys) * logits), (1, 2)))

    return loss, jax.grad(loss), (model.init_params(keys[2]), xs, ys)


def by_core(loss: Callable, arguments: tuple) -> tuple[Callable, tuple]:
    """Loss and gradient with the batch cut over all devices, two sequences at a time, and the arguments laid so."""
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
    places = PartitionSpec(), *[PartitionSpec("data")] * (len(arguments) - 1)
    laid = jax.device_put(arguments, tuple(NamedSharding(mesh, place) for place in places))
    return batch_grad(loss, mesh, at_a_time=2), laid


@dataclass
class Compiled:
    """A compiled function with what it costs."""

    run: Callable[[], Any]
    compile_seconds: float
    megabytes: float


def compiled(function: Callable, arguments: tuple) -> Compiled:
    """Compiles without the persistent cache, and reads the peak of temporary memory off the program."""
    start = time.perf_counter()
    program = jax.jit(function).lower(*arguments).compile()
    seconds = time.perf_counter() - start
    memory: Any = program.memory_analysis()
    megabytes = memory.temp_size_in_bytes / 2**20
    return Compiled(lambda: jax.block_until_ready(program(*arguments)), seconds, megabytes)


def medians(runs: dict[str, Callable], repeats: int, clock: Callable[[], float] = time.perf_counter) -> dict[str, float]:
    """Milliseconds per call of each by the clock, the calls alternating so that a busy moment hits all alike.

    Each is called twice and the second call is measured: in a loop of training a call finds its memory where the last one left
    it, while the first after another program asks the system for every page of it.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            run()
            start = clock()
            run()
            times[name].append(1e3 * (clock() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def measure(name: str, options: Options) -> dict[str, Any]:
    """One row of the table."""
    loss, gradient, arguments = train_step(settings(name), options.batch, options.time)
    forward, both = compiled(loss, arguments), compiled(gradient, arguments)
    times = medians({"forward": forward.run, "both": both.run}, options.repeats)
    return {
        "memory": name,
        "batch": options.batch,
        "time": options.time,
        "compile_seconds": round(both.compile_seconds, 2),
        "forward_ms": round(times["forward"], 2),
        "forward_backward_ms": round(times["both"], 2),
        "peak_megabytes": round(both.megabytes, 1),
        "tokens_per_second": round(options.batch * options.time / times["both"] * 1e3),
    }


def peer(name: str, options: Options, arguments: tuple) -> Callable[[], float]:
    """The same train step in compiled PyTorch.

    Raises:
        ImportError: torch is not installed.
    """
    if name == "ntm":
        from experiments import torch_ntm

        return torch_ntm.build(batch=options.batch, steps=options.time, compile=True).run
    from experiments import torch_dnc

    memory = settings(name).memory
    return torch_dnc.build(*arguments, slots=memory.slots, read_heads=memory.read_heads, compile=True).run


def compare(name: str, options: Options) -> dict[str, Any]:
    """Forward+backward of one of `COMPARED` against the plain version and PyTorch, alternating."""
    runs, arguments = {}, ()
    for version in (name, f"{name}_plain"):
        _, gradient, arguments = train_step(settings(version), options.batch, options.time)
        runs[version] = compiled(gradient, arguments).run
    if jax.device_count() > 1 and options.batch % (2 * jax.device_count()) == 0:
        loss, _, arguments = train_step(settings(name), options.batch, options.time)
        runs["by_core"] = compiled(*by_core(loss, arguments)).run
    if options.torch:
        try:
            runs["torch_compiled"] = peer(name, options, arguments)
        except ImportError:
            print("torch is not installed: no comparison with PyTorch (pip install 'diffmem[bench]')")
    times = medians(runs, options.repeats)
    ratios = {f"times_faster_than_{other}": round(value / times[name], 2) for other, value in times.items() if other != name}
    if {"by_core", "torch_compiled"} <= times.keys():
        ratios["by_core_times_faster_than_torch_compiled"] = round(times["torch_compiled"] / times["by_core"], 2)
    return {"comparison": COMPARED[name], **{f"{version}_ms": round(v, 2) for version, v in times.items()}, **ratios}


def growth(options: Options) -> list[dict[str, Any]]:
    """The NTM's time per token and peak memory at growing lengths, recomputing chunks in the backward pass."""
    runs, sizes = {}, {}
    for length in options.growth:
        _, gradient, arguments = train_step(settings("ntm"), options.batch, length, remat=options.chunk)
        program = compiled(gradient, arguments)
        runs[str(length)], sizes[str(length)] = program.run, program.megabytes
    times = medians(runs, max(options.repeats // 3, 3))
    return [
        {
            "growth": int(length),
            "chunk": options.chunk,
            "microseconds_per_token": round(1e3 * ms / int(length) / options.batch, 2),
            "peak_megabytes": round(sizes[length], 1),
        }
        for length, ms in times.items()
    ]


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measures, prints and stores."""
    options = tyro.cli(Options, args=arguments, prog="python -m experiments.bench", description=__doc__)
    use_cpu_cores(options.batch)
    for name in options.memories:
        diffmem.entry(name)
    names = options.memories or diffmem.names()
    rows = []
    print(f"{'memory':14s} {'compile s':>9s} {'forward ms':>10s} {'fwd+bwd ms':>10s} {'peak MB':>8s} {'tokens/s':>9s}")
    both = [name for name in COMPARED if name in names]
    for name in (*names, *(f"{name}_plain" for name in both)):
        row = measure(name, options)
        rows.append(row)
        print(
            f"{name:14s} {row['compile_seconds']:9.1f} {row['forward_ms']:10.1f} {row['forward_backward_ms']:10.1f} "
            f"{row['peak_megabytes']:8.1f} {row['tokens_per_second']:9d}",
            flush=True,
        )
    further = [compare(name, options) for name in both]
    if "ntm" in names and options.growth:
        further += growth(options)
    for row in further:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    rows += further
    if options.store:
        append(rows)
    return rows


def append(rows: list[dict[str, Any]]) -> None:
    """Stores rows with what they depend on."""
    with RESULTS.open("a") as file:
        for row in rows:
            print(json.dumps({**row, **environment()}), file=file)


if __name__ == "__main__":
    launch(main)
