"""Fills a table of memories and environments: `python -m experiments.ppo_sweep repeat_first repeat_previous --memories gru`.

Every cell is a run of `experiments.ppo`: mean over seeds of the best mean return of a rollout (MMER) with its spread, mean of
the last tenth, parameters, numbers in the state, steps per second, wall clock. A cell is appended to the results file when it
is finished and skipped from then on; an interrupted one continues from its newest checkpoint. Options of the runs have the
prefix `run`: `--run.seeds 3 --run.steps 1000000`. Learning curves are drawn per environment.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

from diffmem import envs
from experiments import ppo, runs
from experiments.config import split_options
from experiments.rl import Config
from experiments.runtime import launch, set_up_compiler, use_cpu_cores

RESULTS = runs.RESULTS / "rl" / "sweep.jsonl"


@dataclass(frozen=True)
class Options:
    """What is compared."""

    environments: tyro.conf.Positional[tuple[str, ...]] = ()
    """Names, with or without a difficulty; none: all, at their first."""
    memories: tuple[str, ...] = ("gru", "lru", "ffm", "delta_rule", "rmc", "ntm")
    """Names of memories, in their default sizes as an agent's core, or with fields: delta_rule:key_size=32,heads=1."""
    run: Config = field(default_factory=lambda: Config(envs.names()[0], seeds=3))
    """Settings of all runs; its env and memory are not used."""
    out: Path = Path("runs") / "ppo_sweep"
    """Where the runs' folders and the pictures go."""
    results: Path = RESULTS
    """The table: one JSON line per cell."""


def cells(options: Options) -> list[Config]:
    """A run for each environment and memory; unknown names are refused before anything runs."""
    names = options.environments or envs.names()
    found = []
    for env in names:
        for memory in options.memories:
            name, _, fields = memory.partition(":")
            changes = {"memory": name, "memory_options": split_options(fields)}
            found.append(dataclasses.replace(options.run, env=env, difficulty=None, env_options=(), **changes))
    return found


def read(results: Path) -> list[dict[str, Any]]:
    """The finished cells."""
    return runs.read_lines(results) if results.exists() else []


def row(cell: dict[str, Any]) -> str:
    """A finished cell as a line of the table."""
    mmer, spread, final = ("-" if cell[name] is None else f"{cell[name]:.3f}" for name in ("mmer", "mmer_spread", "final"))
    return (
        f"{cell['env']:28s} {cell['memory']:12s} {mmer:>7s} {spread:>6s} {final:>7s} "
        f"{cell['parameters']:9d} {cell['state_reals']:6d} {cell['steps_per_second'] or 0:8d} {cell['seconds']:8.0f}"
    )


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Runs what is missing, prints the table, draws the curves."""
    options = tyro.cli(Options, args=arguments, prog="python -m experiments.ppo_sweep", description=__doc__)
    wanted = cells(options)
    use_cpu_cores(options.run.seeds)
    set_up_compiler()
    options.results.parent.mkdir(parents=True, exist_ok=True)
    print(f"{'environment':28s} {'memory':12s} {'MMER':>7s} {'spread':>6s} {'final':>7s} {'params':>9s} {'state':>6s} "
          f"{'steps/s':>8s} {'seconds':>8s}")  # fmt: skip
    finished = []
    for config in wanted:
        done = [cell for cell in read(options.results) if cell["config"] == config.to_json()]
        if not done:
            done = [ppo.run(config, options.out / ppo.folder_name(config))]
            with options.results.open("a") as file:
                print(json.dumps(done[0]), file=file)
        finished.append(done[0])
        print(row(done[0]), flush=True)
    for env in dict.fromkeys(cell["env"] for cell in finished):
        curves = {cell["memory"]: cell["curve"] for cell in finished if cell["env"] == env}
        options.out.mkdir(parents=True, exist_ok=True)
        ppo.draw(curves, options.out / f"{env}.png")
    return finished


if __name__ == "__main__":
    launch(main)
