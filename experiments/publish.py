"""Turns a finished run into a committed result: `python -m experiments.publish runs/ntm_copy --weights`.

Writes experiments/results/<name>.json (evaluation of every seed, config, learning curve, command, commit, wall clock), with
--weights also <name>.npz, which makes the name a valid RUN for `experiments.evaluate`, and pictures under docs/pictures. The
README's figures come from these files: run `python -m experiments.readme` afterwards. Of runs on stories that differ in their
seeds alone, several folders make one result: `python -m experiments.publish runs/first runs/second`.
"""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments import evaluate, pictures, runs
from experiments.checkpoint import rounded, save_weights
from experiments.runtime import environment, launch, set_up_compiler

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
POINTS = 100  # of the stored learning curve


@dataclass
class Options:
    """Which run to publish, and how it is evaluated."""

    run: Annotated[Path, tyro.conf.Positional]
    """A finished run's folder."""
    lengths: tuple[str, ...] = ()
    """As in experiments.evaluate. None: those of the config."""
    sequences: int | None = None
    """As in experiments.evaluate. None: as in the config."""
    weights: bool = False
    """Also commit the trained parameters."""
    bits: int = 24
    """Bits that are kept of every weight's mantissa; with 8, as in bfloat16, the file compresses to half its size. The result
    is that of the rounded weights."""
    hardware: str = "2 CPU cores"
    """What the wall clock was measured on."""


def curve(metrics: Path) -> dict[str, list]:
    """The learning curve, thinned out: sequences, and the loss of every seed."""
    lines = runs.read_lines(metrics)
    every = max(len(lines) // POINTS, 1)
    chosen = lines[every - 1 :: every]
    return {"sequences": [line["sequences"] for line in chosen], "loss": [line["loss"] for line in chosen]}


def wall_clock(metrics: Path) -> float:
    """Minutes of training, all seeds together, summed over the sessions of an interrupted run."""
    seconds, last = 0.0, 0.0
    for line in metrics.read_text().splitlines():
        now = json.loads(line)["seconds"]
        seconds, last = seconds + (last if now < last else 0.0), now
    return round((seconds + last) / 60, 1)


def main(arguments: list[str]) -> None:
    """Evaluates and writes."""
    if any(runs.is_story(argument) for argument in arguments):
        from experiments.stories import publishing

        return publishing.main(arguments)
    options = tyro.cli(Options, args=arguments, prog="python -m experiments.publish", description=__doc__)
    set_up_compiler()
    name, config, params, source = runs.find(str(options.run))
    params = rounded(params, options.bits)
    metrics = options.run / "metrics.jsonl"
    result = {
        "name": name,
        "memory": type(getattr(config.memory, "memory", None) or config.memory).__name__,  # a Transformer's, if it has one
        "command": command(name, config),
        "minutes": wall_clock(metrics),
        "hardware": options.hardware,
        **environment(),
        "config": config.to_json(),
        **evaluate.evaluate(config, params, options.lengths, options.sequences),
        "learning": curve(metrics),
    }
    path = runs.RESULTS / f"{name}.json"
    path.write_text(json.dumps(result) + "\n")
    print(f"{source}\n{evaluate.table(result)}\nwrote {path}")
    if options.weights:
        save_weights(runs.RESULTS / f"{name}.npz", params, {"name": name, "config": config.to_json()})
    drawn = pictures.draw(config, params, result, options.run, PICTURES / name)
    print("\n".join(f"wrote {picture}" for picture in drawn))


def command(name: str, config: Any) -> str:
    """The command that repeats the run: the config's name and what differs from it."""
    from experiments import config as configs

    changes = _changes(config.to_json(), configs.load(name).to_json())
    return shlex.join(["python", "-m", "experiments.train", name, *changes])


def _changes(chosen: dict, default: dict, prefix: str = "--") -> list[str]:
    found = []
    for key, value in chosen.items():
        option = f"{prefix}{key.replace('_', '-')}"
        if isinstance(value, dict):
            found += _changes(value, default[key], f"{option}.")
        elif value != default[key]:
            found += [option, *map(str, value if isinstance(value, list) else [value])]
    return found


if __name__ == "__main__":
    launch(main)
