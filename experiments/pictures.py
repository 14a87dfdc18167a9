"""The pictures of a run."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffmem import DNC, RMC, layers, viz
from diffmem.tasks import BitTask
from diffmem.tasks.graphs import GraphTask
from experiments.config import Config
from experiments.evaluate import length_range, metric_names
from experiments.runs import read_lines


def draw(config: Config, params: Any, result: dict[str, Any], run: Path, folder: Path) -> list[Path]:
    """Draws what can be drawn of a run into a folder and returns the files' paths."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {"generalisation": generalisation(config, result)}
    if (run / "metrics.jsonl").exists():
        figures["learning"] = learning(run / "metrics.jsonl", result["name"], loss_name(config))
    if hasattr(config.memory, "read_heads") and isinstance(config.task, BitTask):
        figures["memory"] = memory_at_work(config, best_of(result, params))
    if isinstance(config.memory, DNC) and config.controller != "none":
        figures["schema"] = schema(config, best_of(result, params))
    if isinstance(config.memory, RMC) and config.memory.readout == "flattened":
        figures["attention"] = attention(config, jax.tree.map(lambda a: a[0], params))
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1])
    return paths


def best_of(result: dict[str, Any], params: Any) -> Any:
    """The parameters of the seed that is best in the first metric at the first length."""
    best = int(np.argmin([next(iter(seed[metric_names(result)[0]].values())) for seed in result["seeds"]]))
    return jax.tree.map(lambda a: a[best], params)


def loss_name(config: Config) -> str:
    """What the training loss of a run is."""
    return "bits per sequence" if isinstance(config.task, BitTask) else "cross-entropy (nats)"


def learning(metrics: Path, label: str, ylabel: str):
    """The cost during training."""
    lines = read_lines(metrics)
    steps, losses = [line["sequences"] for line in lines], {label: [line["loss"] for line in lines]}
    return viz.learning_curve(steps, losses, ylabel=ylabel)


def generalisation(config: Config, result: dict[str, Any]):
    """Errors against length, for single lengths; ranges are left out."""
    errors = [name for name in ("wrong_bits_per_sequence", "error_percent") if name in result]
    metric = [*errors, *metric_names(result)][0]
    lengths = [text for text in result[metric] if "-" not in text] or list(result[metric])
    by_length = {length_range(text)[1]: [seed[metric][text] for seed in result["seeds"]] for text in lengths}
    curves = {result["name"]: by_length}
    xlabel = "lesson" if isinstance(config.task, GraphTask) else "sequence length"
    return viz.generalisation_curve(curves, trained=config.task.lengths, xlabel=xlabel, ylabel=metric.replace("_", " "))


def memory_at_work(config: Config, params: Any):
    """One sequence of the longest trained length, and where the first heads wrote and read."""
    task, model = config.task, config.model()
    batch = task.sample(jax.random.key(7), 1, task.lengths[1])
    states, readout = viz.trace(model.memory, params["memory"], batch.inputs[0])
    logits = layers.mlp(params, readout.value)
    steps = int(np.flatnonzero(np.asarray(batch.mask[0])).max()) + 1
    memory = states.memory
    return viz.memory_use(
        batch.inputs[0, :steps],
        batch.targets[0, :steps],
        jax.nn.sigmoid(logits)[:steps] * batch.mask[0, :steps, None],
        memory.write_weights[:steps, 0],
        memory.read_weights[:steps, 0],
    )


def schema(config: Config, params: Any):
    """A DNC on one sequence of the longest trained length: its weightings and gates."""
    task, memory, params = config.task, config.model().memory, params["memory"]
    batch = task.sample(jax.random.key(7), 1, task.lengths[1])
    steps = int(np.flatnonzero(np.asarray(batch.mask[0])).max()) + 1
    xs = batch.inputs[0, :steps]
    states, readout = viz.trace(memory, params, xs)
    drive, reads = jnp.split(readout.value, [config.memory.input_size], axis=1)
    if config.skip:
        drive = jnp.concatenate([drive, xs, jnp.pad(reads, ((1, 0), (0, 0)))[:-1]], axis=1)
    gates = viz.dnc_gates(memory.memory, params["memory"], drive)
    used = states.memory
    begins = np.flatnonzero(np.diff(np.asarray(batch.mask[0, :steps]), prepend=False))
    links = () if used.links is None else used.links[begins[0]]  # as they are when the answer begins
    return viz.memory_schema(xs, used.write_weights, used.read_weights, used.usage, gates, marks=begins, links=links)


def attention(config: Config, params: Any, steps: int = 16):
    """What the slots attended to in the first steps of one sequence of the longest trained length."""
    task = config.task
    batch = task.sample(jax.random.key(7), 1, task.lengths[1])
    _, readout = viz.trace(config.model().memory, params["memory"], batch.inputs[0, :steps])
    return viz.slot_attention(readout.weights)
