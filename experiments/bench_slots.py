"""Measures slot memories against their number of slots: `python -m experiments.bench_slots`.

Per number of slots: milliseconds per step, forward and backward, and peak temporary memory of a DNC (with and without links,
where they fit), of SAM (linear and hashed lookup) and of SDNC (hashed), each with an LSTM in front. Then, in the same run and
alternating, SAM's step against the same step done densely, its memory extrapolated from fewer steps: it keeps every memory.

Results are appended to experiments/results/bench.jsonl with the commit, the versions and the machine's load.
"""

import sys
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import tyro

import diffmem
from diffmem import sparse
from experiments.bench import append, compiled, medians, train_step

CONTROLLER = 100


@dataclass
class Options:
    """What to measure."""

    slots: tuple[int, ...] = (2**7, 2**10, 2**13, 2**16, 2**20)
    """Numbers of slots."""
    dense_slots: int = 2**13
    """Up to so many slots the DNC is measured without links too; with links up to a 16th of it."""
    compared: int = 2**16
    """Slots at which SAM is compared with its dense self; 0: skip."""
    dense_time: int = 10
    """Steps of the dense one, whose memory grows with them (about 8 memories a step); 100 steps take 100 / this as long."""
    time: int = 100
    """Length of a sequence."""
    repeats: int = 5
    """Measurements of which the median is taken."""
    store: bool = True
    """Append the results to experiments/results/bench.jsonl."""


@dataclass(frozen=True)
class DenseSAM(diffmem.SAM):
    """SAM as one would write it for few slots: weights over all slots, gradients by autodiff, which keeps every memory."""

    def write(self, params, state, x):
        with mock.patch.object(sparse, "write_rows", _dense_write):
            return super().write(params, state, x)

    def read(self, params, state, query):
        with mock.patch.object(sparse, "read_rows", _dense_read):
            return super().read(params, state, query)


def _onehot(slots, places):
    return jax.nn.one_hot(places, slots.shape[0], dtype=slots.dtype)


def _dense_read(slots, places):
    return slots, _onehot(slots, places) @ slots


def _dense_write(slots, cleared, places, rows):
    erase = jnp.sum(_onehot(slots, cleared), 0)
    return slots * (1 - erase[:, None]) + _onehot(slots, places).T @ rows


def settings(slots: int, options: Options) -> dict[str, Any]:
    """The memories that are measured at this number of slots."""
    sam = partial(diffmem.SAM, CONTROLLER, slots=slots, width=32)
    memories = {"sam_hashed": sam(lookup="hashed"), "sam_linear": sam()}
    memories["sdnc_hashed"] = diffmem.SDNC(CONTROLLER, slots=slots, width=32, lookup="hashed")
    if slots <= options.dense_slots:
        memories["dnc_without_links"] = diffmem.DNC(CONTROLLER, slots=slots, width=32, read_heads=1, links=False)
    if slots <= options.dense_slots // 16:
        memories["dnc"] = diffmem.DNC(CONTROLLER, slots=slots, width=32, read_heads=1)
    return {name: diffmem.control(memory, 9) for name, memory in memories.items()}


def gradients(memory: Any, batch: int, time: int):
    """The compiled train step."""
    _, gradient, arguments = train_step(memory, batch, time)
    return compiled(gradient, arguments)


def growth(slots: int, options: Options) -> list[dict[str, Any]]:
    """One row per memory at a number of slots. Programs of two lengths, so that what is done once does not count."""
    rows = []
    for name, memory in settings(slots, options).items():
        short, long = (gradients(memory, 1, time) for time in (options.time // 2, options.time))
        times = medians({"short": short.run, "long": long.run}, options.repeats)
        rows.append(
            {
                "slots_memory": name,
                "slots": slots,
                "milliseconds_per_step": round((times["long"] - times["short"]) / (options.time - options.time // 2), 4),
                "milliseconds_per_sequence": round(times["long"], 2),
                "time": options.time,
                "peak_megabytes": round(long.megabytes, 1),
            }
        )
    return rows


def compare_dense(options: Options) -> dict[str, Any]:
    """SAM against its dense self, per step."""
    sizes: dict[str, Any] = {"slots": options.compared, "width": 32}
    fast = gradients(diffmem.control(diffmem.SAM(CONTROLLER, lookup="hashed", **sizes), 9), 1, options.time)
    slow = gradients(diffmem.control(DenseSAM(CONTROLLER, **sizes), 9), 1, options.dense_time)
    times = medians({"fast": fast.run, "slow": slow.run}, options.repeats)
    per_step = times["fast"] / options.time, times["slow"] / options.dense_time
    dense_megabytes = slow.megabytes / options.dense_time * options.time
    return {
        "comparison": "sam_hashed against dense",
        **sizes,
        "milliseconds_per_step": round(per_step[0], 3),
        "dense_milliseconds_per_step": round(per_step[1], 3),
        "times_faster": round(per_step[1] / per_step[0], 1),
        "peak_megabytes": round(fast.megabytes, 1),
        "dense_peak_megabytes_extrapolated": round(dense_megabytes, 1),
        "times_less_memory": round(dense_megabytes / fast.megabytes, 1),
    }


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measures, prints and stores."""
    options = tyro.cli(Options, args=arguments, prog="python -m experiments.bench_slots", description=__doc__)
    rows: list[dict[str, Any]] = []

    def report(row):
        rows.append(row)
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)

    for slots in options.slots:
        for row in growth(slots, options):
            report(row)
    if options.compared:
        report(compare_dense(options))
    if options.store:
        append(rows)
    return rows


if __name__ == "__main__":
    main(sys.argv[1:])
