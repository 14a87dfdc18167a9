"""Measures slot memories against their number of slots: `python -m experiments.bench_slots`.

Per number of slots: milliseconds per step, forward and backward, and peak temporary memory of a DNC (with and without links,
where they fit), of SAM (linear and hashed lookup) and of SDNC (hashed), each with an LSTM in front. Then the same against the
length of the sequence. Then, in the same run and alternating, SAM against a memory that reads and writes all slots at every
step: an NTM that is addressed by content. What the NTM needs for as many steps is extrapolated from fewer, as it keeps its
memory of every step.

Results are appended to experiments/results/bench.jsonl with the commit, the versions and the machine's load.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import tyro

import diffmem
from experiments.bench import append, compiled, medians, train_step
from experiments.runtime import launch

CONTROLLER = 100


@dataclass
class Options:
    """What to measure."""

    slots: tuple[int, ...] = (2**7, 2**10, 2**13, 2**16, 2**20)
    """Numbers of slots."""
    dense_slots: int = 2**13
    """Up to so many slots the DNC is measured without links too; with links up to a 16th of it."""
    compared: int = 2**16
    """Slots at which SAM is compared with a dense memory; 0: skip."""
    dense_time: int = 20
    """Steps of the dense one, and half of them, from which its growth is read off."""
    time: int = 100
    """Length of a sequence."""
    times: tuple[int, ...] = (64, 256, 1024)
    """Lengths at which DNC, SAM and SDNC are measured with the second number of slots."""
    repeats: int = 5
    """Measurements of which the median is taken."""
    store: bool = True
    """Append the results to experiments/results/bench.jsonl."""


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


def over_time(options: Options) -> list[dict[str, Any]]:
    """One row per memory and length, at one number of slots."""
    slots, rows = options.slots[:2][-1], []
    for name, memory in settings(slots, options).items():
        programs = {time: gradients(memory, 1, time) for time in options.times}
        measured = medians({f"{time}": program.run for time, program in programs.items()}, options.repeats)
        for time, program in programs.items():
            per_step = round(measured[f"{time}"] / time, 4)
            row = {"slots_over_time": name, "slots": slots, "time": time, "milliseconds_per_step": per_step}
            rows.append({**row, "peak_megabytes": round(program.megabytes, 1)})
    return rows


def compare_dense(options: Options) -> dict[str, Any]:
    """SAM against an NTM that is addressed by content, per step."""
    sizes: dict[str, Any] = {"slots": options.compared, "width": 32}
    fast = gradients(diffmem.control(diffmem.SAM(CONTROLLER, lookup="hashed", **sizes), 9), 1, options.time)
    dense = diffmem.control(diffmem.NTM(CONTROLLER, addressing="content", initial_memory="random", **sizes), 9)
    half = options.dense_time // 2
    short, slow = (gradients(dense, 1, time) for time in (half, options.dense_time))
    times = medians({"fast": fast.run, "slow": slow.run}, options.repeats)
    per_step = times["fast"] / options.time, times["slow"] / options.dense_time
    each = (slow.megabytes - short.megabytes) / (options.dense_time - half)
    dense_megabytes = slow.megabytes + each * (options.time - options.dense_time)
    return {
        "comparison": "sam_hashed against a dense NTM",
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
    for row in over_time(options):
        report(row)
    if options.compared:
        report(compare_dense(options))
    if options.store:
        append(rows)
    return rows


if __name__ == "__main__":
    launch(main)
