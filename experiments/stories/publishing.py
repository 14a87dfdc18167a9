"""Turns a finished run on bAbI into a committed result: experiments/results/stories/<name>.json, and its weights."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import tyro

from experiments import runs
from experiments.checkpoint import rounded, save_weights
from experiments.runtime import environment
from experiments.stories.data import is_generated, stories
from experiments.stories.evaluation import evaluate, find, table

RESULTS = runs.RESULTS / "stories"


@dataclass
class Options:
    """Which run to publish."""

    run: Annotated[Path, tyro.conf.Positional]
    """A finished run's folder."""
    weights: bool = False
    """Also commit the trained parameters of each model's best restart."""
    bits: int = 24
    """Bits that are kept of every weight's mantissa; with 8, as in bfloat16, the file compresses to half its size. The errors
    are those of the rounded weights."""
    hardware: str = "2 CPU cores"
    """What the wall clock was measured on."""


def main(arguments: list[str]) -> None:
    """Evaluates on the validation questions, and writes result and weights."""
    from experiments.publish import command  # the launcher imports this module

    options = tyro.cli(Options, args=arguments, prog="python -m experiments.publish", description=__doc__)
    name, config, parts, _ = find(str(options.run))
    if is_generated() or "data" in (runs.claimed(options.run) or {}):
        raise ValueError(f"{options.run} is trained or evaluated on generated stories; only results on bAbI are published")
    parts = {part: found._replace(params=rounded(found.params, options.bits)) for part, found in parts.items()}
    trained = tuple(sorted(task for part in parts.values() for task in part.tasks))
    logged = {part: runs.read_lines(options.run / part / "metrics.jsonl") for part in parts}
    result = {
        "name": name,
        "memory": config.memory_name,
        "command": command(name, config),
        "minutes": round(sum(line["seconds"] for found in logged.values() for line in found) / 60, 1),
        "hardware": options.hardware,
        **environment(),
        "config": config.to_json(),
        "epochs": {part: found[-1]["step"] for part, found in logged.items()},
        "parameters": {part: count(found.params) for part, found in parts.items()},
        "data": "validation questions",
        **evaluate(parts, stories(trained, config.setting, "valid")),
        "learning": {
            part: [[line["step"], line["loss"], line["valid_error_percent"]] for line in found if "valid_error_percent" in line]
            for part, found in logged.items()
        },
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result) + "\n")
    print(table(result), f"wrote {RESULTS / f'{name}.json'}", sep="\n")
    if options.weights:
        chosen = {
            part: jax.tree.map(lambda a, i=found.best: np.asarray(a)[i : i + 1], found.params) for part, found in parts.items()
        }
        kept = {
            part: {
                "words": found.vocabulary.words,
                "answers": found.vocabulary.answers,
                "length": found.vocabulary.length,
                "valid_error_percent": [found.valid_error_percent[found.best]],
            }
            for part, found in parts.items()
        }
        path = runs.RESULTS / f"{name}.npz"
        save_weights(path, chosen, {"name": name, "config": config.to_json(), "parts": kept})
        print(f"wrote {path}, {path.stat().st_size / 2**20:.1f} MB")


def count(params) -> int:
    """Numbers in one restart's parameters."""
    return sum(leaf[0].size for leaf in jax.tree.leaves(params))
