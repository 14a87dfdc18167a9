"""Measures the chunked delta rule: `python -m experiments.bench_delta`.

Forward and backward of 4 heads of 64 x 64 at T = 2,048 and a batch of 8, (a) chunked, (b) step by step, and (c) as the
associative scan of the package memax, version 0.1.1 (`pip install memax==0.1.1` into an environment of its own; without it,
(c) is skipped). The calls alternate, and medians are given. Peak memory is the temporary memory of the compiled program. Where
(c) at the full batch would not fit into half of the free memory, it runs with fewer sequences, and its time is scaled.

memax's "DeltaNet" computes another function than the delta rule: its erasure acts on the value's axis. Two values written
under one key with a gate of 1 must leave the second, [-5, 0, 1, 7]:

    k, write = jnp.eye(4)[0], lambda v: (jnp.eye(4) - jnp.outer(k, k), jnp.outer(v, k))
    _, X = DeltaNetSemigroup(4)(write(jnp.array([1., 2, 3, 4])), write(jnp.array([-5., 0, 1, 7])))
    X @ k  # [-5, 2, 4, 11]

The benchmark runs these lines on both. (memax's FWP reads the wrong way too: a query with the key gives the key's side.)

Then the growth with T, up to 65,536: time per token and peak memory. Results are appended to experiments/results/bench.jsonl.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import tyro

import diffmem
from diffmem import edits
from experiments.bench import append, compiled, medians
from experiments.runtime import launch


@dataclass
class Options:
    """What to measure."""

    batch: int = 8
    """Sequences at a time."""
    time: int = 2048
    """Length of a sequence."""
    heads: int = 4
    """Matrices."""
    size: int = 64
    """Of keys, values and inputs."""
    repeats: int = 5
    """Measurements of which the median is taken."""
    chunks: tuple[int, ...] = ()
    """Also compare these chunk sizes with the default one."""
    growth: tuple[int, ...] = (1024, 4096, 16384, 65536)
    """Lengths at which the growth is measured, one sequence at a time; none: skip."""
    memax: bool = True
    """Compare with memax where it is installed."""
    store: bool = True
    """Append the results to experiments/results/bench.jsonl."""


def gradient_of(run: Callable) -> Callable:
    """The gradient of the sum of squares of what run(params, xs) reads."""
    return jax.grad(lambda params, xs: jnp.sum(jnp.square(run(params, xs))))


def ours(options: Options, method: str, **changes) -> tuple[Callable, Any]:
    """The gradient of a batch of delta rules, and the parameters."""
    sizes: Any = dict(input_size=options.size, key_size=options.size, value_size=options.size, heads=options.heads)
    memory = diffmem.DeltaRule(**{**sizes, **changes})

    def run(params, xs):
        return jax.vmap(lambda x: diffmem.unroll(memory, params, None, x, method=method)[1].value)(xs)

    return gradient_of(run), memory.init_params(jax.random.key(0))


def theirs(options: Options) -> tuple[Callable, Any]:
    """The same for memax's DeltaNet, one for each head."""
    equinox, memax = importlib.import_module("equinox"), importlib.import_module("memax.equinox.semigroups.delta")
    keys = jax.random.split(jax.random.key(0), options.heads)
    nets = equinox.filter_vmap(lambda key: memax.DeltaNet(options.size, options.size, key))(keys)
    arrays, static = equinox.partition(nets, equinox.is_array)

    def one(arrays, x):
        net = equinox.combine(arrays, static)
        return net(net.initialize_carry(), (x, jnp.zeros(len(x), bool)))[1]

    return gradient_of(jax.vmap(jax.vmap(one, (0, None)), (None, 0))), arrays


def sequences(options: Options, batch: int, time: int) -> jax.Array:
    return jax.random.normal(jax.random.key(1), (batch, time, options.size))


def available_megabytes() -> float:
    """Memory that is free."""
    with open("/proc/meminfo") as file:
        fields = dict(line.split(":") for line in file)
    return int(fields["MemAvailable"].split()[0]) / 1024


def compare(options: Options) -> dict[str, Any]:
    """The row of the comparison."""
    xs, row = sequences(options, options.batch, options.time), {}
    programs, scale = {}, {}
    kinds: dict[str, tuple] = {"chunked": ("chunked", {}), "scan": ("scan", {})}
    kinds |= {f"chunk_{size}": ("chunked", {"chunk": size}) for size in options.chunks}
    for name, (method, changes) in kinds.items():
        gradient, params = ours(options, method, **changes)
        programs[name], scale[name] = compiled(gradient, (params, xs)), 1.0
        row[f"{name}_peak_megabytes"] = round(programs[name].megabytes, 1)
    try:
        if options.memax:
            gradient, params = theirs(options)
            batch = options.batch
            program = compiled(gradient, (params, xs))
            row["memax_peak_megabytes"] = round(program.megabytes, 1)
            while program.megabytes > available_megabytes() / 2 and batch > 1:
                batch //= 2
                program = compiled(gradient, (params, xs[:batch]))
            programs["memax"], scale["memax"] = program, options.batch / batch
            row["memax_batch"] = batch
    except ImportError:
        print("memax is not installed: no comparison with it (pip install memax==0.1.1)")
    times = medians({name: program.run for name, program in programs.items()}, options.repeats)
    times = {name: ms * scale[name] for name, ms in times.items()}
    row |= {f"{name}_ms": round(ms, 1) for name, ms in times.items()}
    row |= {f"times_faster_than_{name}": round(ms / times["chunked"], 2) for name, ms in times.items() if name != "chunked"}
    if "memax" in programs:
        row["part_of_memax_memory"] = round(row["chunked_peak_megabytes"] / row["memax_peak_megabytes"], 4)
    sizes = dict(batch=options.batch, time=options.time, heads=options.heads, size=options.size)
    return {"comparison": "delta rule, forward+backward", **sizes, **row}


def overwriting() -> dict[str, Any]:
    """What a key reads after two values were written under it with a gate of 1."""
    k, first, second = jnp.eye(4)[0], jnp.array([1.0, 2, 3, 4]), jnp.array([-5.0, 0, 1, 7])
    matrix = edits.delta(edits.delta(jnp.zeros((4, 4)), k, first, jnp.ones(())), k, second, jnp.ones(()))
    row: dict[str, Any] = {"check": "write, overwrite, read", "written": second.tolist(), "diffmem": (k @ matrix).tolist()}
    try:
        memax = importlib.import_module("memax.equinox.semigroups.delta")
        write = lambda v: (jnp.eye(4) - jnp.outer(k, k), jnp.outer(v, k))  # noqa: E731
        row["memax"] = (memax.DeltaNetSemigroup(4)(write(first), write(second))[1] @ k).tolist()
    except ImportError:
        pass
    return row


def growth(options: Options) -> list[dict[str, Any]]:
    """The chunked form's time per token and peak memory at growing lengths."""
    gradient, params = ours(options, "chunked")
    programs = {str(time): compiled(gradient, (params, sequences(options, 1, time))) for time in options.growth}
    times = medians({name: program.run for name, program in programs.items()}, max(options.repeats // 2, 3))
    return [
        {
            "growth": int(time),
            "memory": "delta_rule",
            "microseconds_per_token": round(1e3 * ms / int(time), 2),
            "peak_megabytes": round(programs[time].megabytes, 1),
            "bytes_per_token_and_head": round(programs[time].megabytes * 2**20 / int(time) / options.heads),
        }
        for time, ms in times.items()
    ]


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measures, prints and stores."""
    options = tyro.cli(Options, args=arguments, prog="python -m experiments.bench_delta", description=__doc__)
    rows = [overwriting(), compare(options), *(growth(options) if options.growth else [])]
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    if options.store:
        append(rows)
    return rows


if __name__ == "__main__":
    launch(main)
