"""Measures Fast and Forgetful Memory: `python -m experiments.bench_ffm`.

Forward and backward through one layer of 128 inputs and outputs with respect to parameters and inputs, 64 sequences of 1,024
steps: FFM in chunks and by the other methods of `unroll`, the LRU, a GRU layer of the same width, and the FFM of the package
memax (`pip install memax equinox`; left out where they are missing), which has the same sizes but no projection for its skip
connection. Then the growth of FFM with the length of a single sequence. Calls alternate and medians are given, of the wall
clock and of the processor time of all threads: on a busy machine the latter says more.

Results are appended to experiments/results/bench.jsonl with the commit, the versions and the machine's load.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
import tyro

import diffmem
from experiments.bench import Compiled, append, compiled, medians
from experiments.runtime import launch


@dataclass
class Options:
    """What to measure."""

    batch: int = 64
    """Sequences at a time."""
    time: int = 1024
    """Length of a sequence."""
    width: int = 128
    """Inputs and outputs of every layer, units of the GRU and the LRU."""
    trace: tuple[int, int] = (32, 4)
    """FFM's traces and contexts."""
    chunk: int = 0
    """Steps that FFM and the LRU take at once; 0: their own choice on this platform."""
    only: tuple[str, ...] = ()
    """Names of rows to compare; none: all."""
    growth: tuple[int, ...] = (1024, 4096, 16384, 65536)
    """Lengths at which the growth of a single sequence is measured; none: skip."""
    repeats: int = 7
    """Measurements of which the median is taken."""
    store: bool = True
    """Append the results to experiments/results/bench.jsonl."""


def layer(memory: Any, method: str = "auto") -> tuple[Any, Callable]:
    """Parameters of a memory, and its outputs from parameters and xs [T, D]."""
    return memory.init_params(
        jax.random.key(0)
    ), lambda params, xs: diffmem.unroll(memory, params, None, xs, method=method)[1].value


def memax_layer(options: Options) -> tuple[Any, Callable]:
    """The same of the package memax."""
    equinox: Any = import_module("equinox")
    model = import_module("memax.equinox.semigroups.ffm").FFM(options.width, *options.trace, key=jax.random.key(0))
    params, rest = equinox.partition(model, equinox.is_inexact_array)

    def outputs(params, xs):
        model = equinox.combine(params, rest)
        return model(model.initialize_carry(), (xs, jnp.zeros(len(xs), bool)))[1]

    return params, outputs


def layers(options: Options) -> dict[str, Callable]:
    """What is compared, by name."""
    width, chunk = options.width, options.chunk or None
    ffm = diffmem.FFM(width, width, chunk=chunk, trace_size=options.trace[0], context_size=options.trace[1])
    return {
        "ffm": lambda: layer(ffm),
        "ffm_scan": lambda: layer(ffm, "scan"),
        "ffm_parallel": lambda: layer(ffm, "parallel"),
        "lru": lambda: layer(diffmem.LRU(width, width, chunk=chunk, hidden_size=width)),
        "gru": lambda: layer(diffmem.GRU(width, width)),
        "memax": lambda: memax_layer(options),
    }


def program(params: Any, outputs: Callable, batch: int, length: int, width: int) -> Compiled:
    """The compiled gradient of a squared error. (Were the loss linear, its gradient would not need the outputs.)"""
    keys = jax.random.split(jax.random.key(1), 2)
    xs, targets = (jax.random.normal(key, (batch, length, width)) for key in keys)

    def loss(params, xs, targets):
        return jnp.sum(jnp.square(jax.vmap(outputs, (None, 0))(params, xs) - targets))

    return compiled(jax.grad(loss, (0, 1)), (params, xs, targets))


def compare(options: Options) -> list[dict[str, Any]]:
    """One row per layer, each with how many times the time and the memory of FFM it takes."""
    programs, sizes = {}, (options.batch, options.time, options.width)
    for name, build in layers(options).items():
        if options.only and name not in options.only:
            continue
        try:
            programs[name] = program(*build(), *sizes)
        except ImportError:
            print("memax is not installed: no comparison with it (pip install memax equinox)")
    runs = {name: one.run for name, one in programs.items()}
    wall = medians(runs, options.repeats)
    cpu = medians(runs, options.repeats, clock=time.process_time)
    rows = []
    for name, one in programs.items():
        row = {"layer": name, "batch": options.batch, "time": options.time, "chunk": options.chunk or "auto"}
        row |= {"forward_backward_ms": round(wall[name], 1), "cpu_ms": round(cpu[name], 1)}
        row |= {"peak_megabytes": round(one.megabytes, 1), "compile_seconds": round(one.compile_seconds, 2)}
        if "ffm" in programs:
            row |= {"times_ffm": round(wall[name] / wall["ffm"], 2), "times_ffm_cpu": round(cpu[name] / cpu["ffm"], 2)}
            row["times_ffm_megabytes"] = round(one.megabytes / programs["ffm"].megabytes, 2)
        rows.append(row)
    return rows


def growth(options: Options) -> list[dict[str, Any]]:
    """FFM's time per token and peak memory for one sequence of growing length."""
    params, outputs = layers(options)["ffm"]()
    programs = {length: program(params, outputs, 1, length, options.width) for length in options.growth}
    runs = {str(length): one.run for length, one in programs.items()}
    wall = medians(runs, options.repeats)
    cpu = medians(runs, options.repeats, clock=time.process_time)
    return [
        {
            "ffm_growth": length,
            "chunk": options.chunk or "auto",
            "microseconds_per_token": round(1e3 * wall[str(length)] / length, 2),
            "cpu_microseconds_per_token": round(1e3 * cpu[str(length)] / length, 2),
            "peak_megabytes": round(one.megabytes, 1),
            "peak_bytes_per_token": round(one.megabytes * 2**20 / length),
        }
        for length, one in programs.items()
    ]


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measures, prints and stores."""
    options = tyro.cli(Options, args=arguments, prog="python -m experiments.bench_ffm", description=__doc__)
    unknown = set(options.only) - set(layers(options))
    if unknown:
        raise ValueError(f"unknown rows {', '.join(sorted(unknown))}; legal: {', '.join(layers(options))}")
    rows = compare(options)
    rows += growth(options) if options.growth else []
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    if options.store:
        append(rows)
    return rows


if __name__ == "__main__":
    launch(main)
