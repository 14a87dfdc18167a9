"""Turns finished runs on bAbI into a committed result: experiments/results/stories/<name>.json, and its weights."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from experiments import config as configs
from experiments import runs
from experiments.checkpoint import rounded, save_weights
from experiments.publish import command
from experiments.runtime import environment
from experiments.stories.config import StoryConfig
from experiments.stories.data import is_generated, stories
from experiments.stories.evaluation import Part, evaluate, find, table

RESULTS = runs.RESULTS / "stories"


@dataclass
class Options:
    """What to publish."""

    run: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """A finished run's folder; or several folders, of runs that differ in nothing but their seeds, one after another."""
    weights: bool = False
    """Also commit the trained parameters of each model's best restart."""
    bits: int = 24
    """Bits that are kept of every weight's mantissa; with 8, as in bfloat16, the file compresses to half its size. The errors
    are those of the rounded weights."""
    hardware: str = "2 CPU cores"
    """What the wall clock was measured on."""


def main(arguments: list[str]) -> None:
    """Evaluates on the validation questions, and writes result and weights."""
    options = tyro.cli(Options, args=arguments, prog="python -m experiments.publish", description=__doc__)
    if not options.run:
        raise ValueError("no run to publish; legal: the folder of a finished run, or of several")
    for run in options.run:
        if is_generated() or "data" in (runs.claimed(run) or {}):
            raise ValueError(f"{run} is trained or evaluated on generated stories; only results on bAbI are published")
    name, config, parts = together(options.run)
    parts = {part: found._replace(params=rounded(found.params, options.bits)) for part, found in parts.items()}
    trained = tuple(sorted(task for part in parts.values() for task in part.tasks))
    logged = {part: [runs.read_lines(run / part / "metrics.jsonl") for run in options.run] for part in parts}
    result = {
        "name": name,
        "memory": config.memory_name,
        "command": command(name, config) if len(options.run) == 1 else each_seed(name, config, len(options.run)),
        "minutes": round(sum(line["seconds"] for found in logged.values() for lines in found for line in lines) / 60, 1),
        "hardware": options.hardware,
        **environment(),
        "config": config.to_json(),
        "epochs": {part: max(lines[-1]["step"] for lines in found) for part, found in logged.items()},
        "parameters": {part: count(found.params) for part, found in parts.items()},
        "data": "validation questions",
        **evaluate(parts, stories(trained, config.setting, "valid")),
        "learning": {part: learning(found) for part, found in logged.items()},
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


def together(folders: Sequence[Path]) -> tuple[str, StoryConfig, dict[str, Part]]:
    """The config's name, the first run's config, and the models of all runs: every run's seeds, one after another.

    Raises:
        ValueError: the runs differ in more than their seeds, or those do not follow one another.
    """
    found = [find(str(folder)) for folder in folders]
    name, config, parts, _ = found[0]
    if config.restarted and len(folders) > 1:
        raise ValueError(f"{folders[0]} has models that are trained from more seeds than others; legal: to publish it alone")
    for i, (other, own, _, _) in enumerate(found):
        wanted = replace(config, seed=config.seed + i * config.seeds)
        if (other, own) != (name, wanted):
            raise ValueError(
                f"{folders[i]} is a run of {other} with seed {own.seed}, and {folders[0]} of {name} with seed {config.seed}; "
                f"legal after {i} of them: a run of {name} with seed {wanted.seed}, with all other settings the same"
            )

    def joined(part: str) -> Part:
        same = [models[part] for _, _, models, _ in found]
        params = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *(one.params for one in same))
        return parts[part]._replace(params=params, valid_error_percent=[e for one in same for e in one.valid_error_percent])

    return name, config, {part: joined(part) for part in parts}


def each_seed(name: str, config: StoryConfig, many: int) -> str:
    """The command that repeats so many runs with seeds one after another."""
    seeds = " ".join(str(config.seed + i * config.seeds) for i in range(many))
    repeated = command(name, replace(config, seed=configs.load(name).seed))
    return f"for seed in {seeds}; do {repeated} --seed $seed --out runs/{name}_$seed; done"


def learning(runs_lines: Sequence[list[dict]]) -> list[list]:
    """Epoch, losses and validation errors of all runs' seeds, wherever all of them looked at the validation questions."""
    looks = [{line["step"]: line for line in lines if "valid_error_percent" in line} for lines in runs_lines]
    steps = sorted(set.intersection(*map(set, looks)))
    at = lambda step, key: [value for one in looks for value in one[step][key]]  # noqa: E731
    return [[step, at(step, "loss"), at(step, "valid_error_percent")] for step in steps]


def count(params) -> int:
    """Numbers in one restart's parameters."""
    return sum(leaf[0].size for leaf in jax.tree.leaves(params))
