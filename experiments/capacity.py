"""How many pairs a matrix of each size recalls: `python -m experiments.capacity --sizes 16 32 64`.

Trains delta_mqar and linear_mqar with matrices of size x size and evaluates them on 4 to 256 pairs. Runs go to
runs/capacity, and continue where they were interrupted; the accuracies of every seed go to
experiments/results/capacity/recalled.json and the picture to docs/pictures/capacity.png. On one CPU core a run of the default
size takes about two minutes per seed.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from diffmem import viz
from experiments import config as configs
from experiments import evaluate, runs
from experiments.publish import PICTURES
from experiments.runtime import environment, launch, set_up_compiler, use_cpu_cores
from experiments.train import train

PAIRS = ("4", "8", "16", "32", "64", "96", "128", "192", "256")


@dataclass
class Options:
    """Which memories, of which sizes."""

    configs: tuple[str, ...] = ("delta_mqar", "linear_mqar")
    """Configs of multi-query recall."""
    sizes: tuple[int, ...] = (16, 32, 64)
    """Keys and values are this long."""
    seeds: int = 3
    """Runs of each."""
    sequences: int = 200
    """Fresh sequences for each number of pairs."""
    steps: int | None = None
    """Parameter updates; None: those of the config."""
    pairs: tuple[str, ...] = PAIRS
    """Numbers of pairs to evaluate."""
    out: Path = Path("runs/capacity")
    """Where the runs go."""
    results: Path = runs.RESULTS / "capacity" / "recalled.json"
    """Where the accuracies go."""
    picture: Path = PICTURES / "capacity.png"
    """Where the picture goes."""


def measure(name: str, size: int, options: Options) -> dict[str, Any]:
    """Trains one memory of one size, and the percentage it recalls: {number of pairs: one value per seed}."""
    config: Any = configs.load(name)
    memory = dataclasses.replace(config.memory, key_size=size, value_size=size)
    config = dataclasses.replace(config, memory=memory, seeds=options.seeds, steps=options.steps or config.steps)
    state = train(name, config, options.out / f"{name}_{size}")
    result = evaluate.evaluate(config, state.params, options.pairs, options.sequences)
    recalled = {pairs: [100 - seed["error_percent"][pairs] for seed in result["seeds"]] for pairs in options.pairs}
    return {"config": name, "memory": type(memory).__name__, "size": size, "steps": config.steps, "recalled_percent": recalled}


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Trains, evaluates, writes and draws."""
    options = tyro.cli(Options, args=arguments, prog="python -m experiments.capacity", description=__doc__)
    use_cpu_cores(options.seeds)
    set_up_compiler()
    rows = [measure(name, size, options) for name in options.configs for size in options.sizes]
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text(json.dumps({"rows": rows, "sequences": options.sequences, **environment()}) + "\n")
    curves = {
        f"{row['memory']}, {row['size']} x {row['size']}": {int(n): v for n, v in row["recalled_percent"].items()}
        for row in rows
    }
    task: Any = configs.load(options.configs[0]).task
    viz.capacity_curve(curves, guess=100 / task.values).savefig(options.picture)
    print(f"wrote {options.results}\nwrote {options.picture}")
    return rows


if __name__ == "__main__":
    launch(main)
