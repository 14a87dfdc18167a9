"""Evaluates a run on fresh sequences: `python -m experiments.evaluate ntm_copy --lengths 20 120 --json result.json`.

RUN is a run's folder, one checkpoint in it (runs/ntm_copy/checkpoints/500), or the name of a config whose weights are
committed. Every seed of the run sees the same sequences, drawn from --seed and never trained on. The table and the JSON give,
by length, the median over the run's seeds, and every seed under "seeds".

Runs on bAbI and runs of experiments.ppo have options of their own: `python -m experiments.evaluate babi_memn2n --help`, `python
-m experiments.evaluate runs/ppo_run --help`; `--render 20` shows what an agent of the latter does.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro

from diffmem.tasks.base import BitTask, uniform_integers
from diffmem.tasks.graphs import GraphTask
from experiments import runs
from experiments.config import Config, length_range
from experiments.runtime import launch, set_up_compiler, use_cpu_cores

CHUNK = 50  # sequences in flight at a time, per seed: bounds the memory, not the number of sequences


@dataclass
class Options:
    """What to evaluate, and on what."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_OR_CHECKPOINT")]
    """A run's folder, a checkpoint in it, or the name of a config whose weights are committed."""
    lengths: tuple[str, ...] = ()
    """Lengths, such as 20 120, or a range to draw from, such as 1-20. None: those of the config."""
    slots: int | None = None
    """Another number of memory slots than in training."""
    graph: str | None = None
    """Of a task on graphs: a named graph, such as underground, in place of random ones. Lengths are the lessons' numbers."""
    path: int | None = None
    """With --graph: the length of all paths. None: as the lesson says."""
    edge_labels: int | None = None
    """Of a task on graphs: how many labels the edges of a random graph have, up to 1000. None: as in training."""
    sequences: int | None = None
    """Fresh sequences per length. None: as in the config."""
    seed: int = 1234
    """Seed of the fresh sequences."""
    json: Path | None = None
    """Also write the result here."""
    pictures: Path | None = None
    """Also draw the learning curve, the generalisation curve and the memory at work into this folder."""


def resized(config: Config, slots: int | None) -> Config:
    """The config with another number of slots.

    Raises:
        ValueError: the memory has no slots.
    """
    if slots is None:
        return config
    if not hasattr(config.memory, "slots"):
        raise ValueError(f"--slots {slots}: {type(config.memory).__name__} has no slots")
    return dataclasses.replace(config, memory=dataclasses.replace(config.memory, slots=slots))


def on_graphs(config: Config, graph: str | None, path: int | None = None, edge_labels: int | None = None) -> Config:
    """The config with its task on a named graph and paths of this length, or on random graphs with so many edge labels.

    Raises:
        ValueError: the task has no graphs, or not such ones.
    """
    if graph is None and edge_labels is None:
        return config
    if not isinstance(config.task, GraphTask):
        option = f"--graph {graph}" if graph else f"--edge-labels {edge_labels}"
        raise ValueError(f"{option}: {type(config.task).__name__} has no graphs")
    if graph is not None and edge_labels is not None:
        raise ValueError(f"--edge-labels {edge_labels}: the edges of --graph {graph} have labels; legal without --graph")
    task = config.task.on(graph, path) if graph else dataclasses.replace(config.task, edge_labels=edge_labels)
    return dataclasses.replace(config, task=task)


def evaluate(
    config: Config, params: Any, lengths: tuple[str, ...] = (), sequences: int | None = None, seed: int = 1234
) -> dict[str, Any]:
    """Runs every seed's parameters on fresh sequences of each length; one compilation serves all lengths.

    Args:
        config: task and model.
        params: as trained, with a leading axis of seeds.
        lengths: see `Options`.
        sequences: per length.
        seed: of the fresh sequences.

    Raises:
        ValueError: a length or number of sequences below 1.

    Returns:
        {metric: {length: median over the seeds}, ..., "seeds": [{"seed": s, metric: {length: value}, ...}, ...]}.
    """
    config = dataclasses.replace(config, task=config.task.held_out())
    low, high = config.task.lengths
    lengths = lengths or config.lengths or (f"{low}-{high}" if low < high else str(high),)
    sequences = config.sequences if sequences is None else sequences
    if sequences < 1:
        raise ValueError(f"--sequences is {sequences}; legal: an integer >= 1")
    longest = max(length_range(text)[1] for text in lengths)
    config = config.with_longest(max(longest, config.task.lengths[1]))
    task, model = config.task, config.model()
    chunk = max(n for n in range(1, CHUNK + 1) if sequences % n == 0)

    @jax.jit
    def measure(params, keys, counts):
        def one(inputs):
            key, count = inputs
            batch = task.sample(key, chunk, count)

            def metrics(params):
                found = task.metrics(jax.vmap(lambda xs: model(params, xs)[1])(batch.inputs), batch)
                if isinstance(task, BitTask):
                    found["scored_bits_per_sequence"] = batch.mask.sum() / chunk * task.output_size
                return found

            return jax.vmap(metrics)(params)

        return jax.tree.map(lambda values: values.mean(0), jax.lax.map(one, (keys, counts)))

    by_length = {}
    for text in lengths:
        key = jax.random.fold_in(jax.random.key(seed), length_range(text)[1])
        length_key, sample_key = jax.random.split(key)
        counts = uniform_integers(length_key, sequences, *length_range(text)).reshape(-1, chunk)
        by_length[text] = jax.tree.map(np.asarray, measure(params, jax.random.split(sample_key, len(counts)), counts))

    seeds: list[dict[str, Any]] = [
        {
            "seed": config.seed + i,
            **{m: {text: round(float(v[m][i]), 4) for text, v in by_length.items()} for m in by_length[lengths[0]]},
        }
        for i in range(jax.tree.leaves(params)[0].shape[0])
    ]
    metrics = [name for name in seeds[0] if name != "seed"]
    medians = {m: {text: float(np.median([s[m][text] for s in seeds])) for text in lengths} for m in metrics}
    return {**medians, "sequences": sequences, "evaluation_seed": seed, "seeds": seeds}


TITLES = {"bits_per_sequence": "cost in bits", "wrong_bits_per_sequence": "wrong bits"}


def metric_names(result: dict[str, Any]) -> list[str]:
    """The metrics of a result, without the number of scored bits."""
    return [name for name in result["seeds"][0] if name not in ("seed", "scored_bits_per_sequence")]


def table(result: dict[str, Any]) -> str:
    """The result as text: one row per length, the median and the range over the seeds."""
    names = metric_names(result)
    titles = "  ".join(f"{TITLES.get(name, name.replace('_', ' ')):>24s}" for name in names)
    scored = result.get("scored_bits_per_sequence")
    rows = [f"{'length':>8s}  {titles}  {'of' if scored else '':>6s}   (per sequence: median [best, worst])"]
    for text in result[names[0]]:
        cells = [f"{text:>8s}"]
        for metric in names:
            values = [seed[metric][text] for seed in result["seeds"]]
            cells.append(f"{np.median(values):8.2f} [{min(values):6.2f}, {max(values):6.2f}]".rjust(24))
        cells.append(f"{scored[text]:6.0f}" if scored else "")
        rows.append("  ".join(cells))
    return "\n".join(rows)


def main(arguments: list[str]) -> dict[str, Any]:
    """Evaluates, prints, and writes what was asked for."""
    set_up_compiler()
    if any(runs.is_story(argument) for argument in arguments):
        from experiments.stories import evaluation

        return evaluation.main(arguments)
    if any(runs.is_agent(argument) for argument in arguments):
        from experiments.rl import evaluation

        return evaluation.main(arguments)
    options = tyro.cli(Options, args=arguments, prog="python -m experiments.evaluate", description=__doc__)
    runs.check_writable(options.json)
    name, config, params, source = runs.find(options.run)
    config = on_graphs(resized(config, options.slots), options.graph, options.path, options.edge_labels)
    result = evaluate(config, params, options.lengths, options.sequences, options.seed)
    result: dict[str, Any] = {
        "name": name,
        "task": type(config.task).__name__,
        "slots": getattr(config.memory, "slots", None),
        **({"graph": options.graph, "path": options.path} if options.graph else {}),
        **({"edge_labels": options.edge_labels} if options.edge_labels else {}),
        **result,
    }
    print(f"{name}, {source}: {len(result['seeds'])} seed(s), {result['sequences']} fresh sequences per length")
    print(table(result))
    if options.json:
        runs.write_result(options.json, result)
    if options.pictures:
        from experiments import pictures

        for path in pictures.draw(config, params, result, Path(options.run), options.pictures):
            print(f"wrote {path}")
    return result


if __name__ == "__main__":
    use_cpu_cores(1)
    launch(main)
