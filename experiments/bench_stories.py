"""Measures training on stories: `python -m experiments.bench_stories`, or `... memn2n` for one model.

Questions per second of MemN2N and DMN+ on all tasks but the third, 10k questions a task: the library's epoch against the
peers in `experiments.torch_stories` (where torch is installed), from the same parameters on the same batches in the same
order, alternating, and the medians of both. The losses are of the first pass over these batches: they agree, or something
other than speed is different. Without a local copy of bAbI (see `diffmem.tasks.babi.files`) stories are generated, as many.

Results are appended to experiments/results/bench.jsonl with the commit, the versions and the machine's load.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import jax
import numpy as np
import tyro

import diffmem
from diffmem.tasks.babi import Vocabulary, files
from diffmem.tasks.babi.generate import generate
from experiments import stories
from experiments.bench import append, compiled, medians
from experiments.config import Optimizer
from experiments.runtime import launch
from experiments.stories.data import Data, split
from experiments.stories.training import steps_per_epoch

MEMORIES = {
    "memn2n": diffmem.MemN2N(input_size=2, slots=50, width=50, hops=3),
    "dmnplus": diffmem.DMNPlus(input_size=80, slots=50, passes=3),
}


@dataclass
class Options:
    """What to measure."""

    models: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """memn2n, dmnplus; none: both."""
    batch: int = 32
    """Questions at a time."""
    steps: int = 200
    """Train steps of one measurement."""
    repeats: int = 7
    """Measurements of which the median is taken."""
    tasks: tuple[int, ...] = tuple(task for task in stories.config.ALL if task != 3)
    """Task numbers."""
    torch: bool = True
    """Compare with PyTorch where it is installed."""
    torch_threads: int = 1
    """Threads of PyTorch; 0: as many as there are cores. Its kernels are too small to share: with two, MemN2N has an eighth of
    the speed (3,100 questions a second instead of 24,700)."""
    store: bool = True
    """Append the results to experiments/results/bench.jsonl."""


def load(config: stories.StoryConfig) -> tuple[str, Data]:
    """The training questions, and where they are from."""
    if files.find() is not None:
        return "babi", stories.load(config)
    told = {task: generate(task, 9000) for task in config.tasks}
    vocabulary = Vocabulary.of([story for one in told.values() for story in one])
    return "generated", Data(vocabulary, split(config, told, vocabulary), ())


def measure(name: str, options: Options) -> dict[str, Any]:
    """One row of the table."""
    # An infinite clip is none, as on the other side.
    optimizer = Optimizer("adam", learning_rate=1e-3, clip=float("inf"))
    config = stories.StoryConfig(memory=MEMORIES[name], tasks=options.tasks, batch=options.batch, optimizer=optimizer)
    origin, data = load(config)
    bucket, chosen = (a[: options.steps] for a in stories.plan(config, data, 0))
    state = stories.initial_state(config, data.vocabulary, config.epochs * steps_per_epoch(config, data))
    program = compiled(stories.make_epoch(config, data), (state, bucket, chosen))
    runs, compile_seconds, losses = {"ours": program.run}, {"": program.compile_seconds}, {"": float(program.run()[1][0])}
    if options.torch:
        try:
            from experiments import torch_stories
        except ImportError:
            print("torch is not installed: no comparison with PyTorch (pip install 'diffmem[bench]')")
        else:
            params = jax.tree.map(lambda a: np.asarray(a[0]), state.params)
            peer = torch_stories.build(name, params, data.train, bucket, chosen, threads=options.torch_threads)
            runs["torch"], compile_seconds["torch_"], losses["torch_"] = peer.run, peer.compile_seconds, peer.loss
    times = medians(runs, options.repeats)
    speed = {who: len(bucket) * options.batch / (ms / 1e3) for who, ms in times.items()}
    row = {"stories": name, "data": origin, "batch": options.batch, "steps": len(bucket)}
    row["questions_per_second"] = round(speed["ours"])
    if "torch" in speed:
        row["torch_questions_per_second"] = round(speed["torch"])
        row["torch_threads"] = options.torch_threads
        row["times_faster_than_torch_compiled"] = round(speed["ours"] / speed["torch"], 2)
    row["epoch_seconds"] = round(steps_per_epoch(config, data) * options.batch / speed["ours"], 1)
    row |= {f"{who}compile_seconds": round(seconds, 1) for who, seconds in compile_seconds.items()}
    return row | {f"{who}loss": round(value, 4) for who, value in losses.items()}


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measures, prints and stores."""
    options = tyro.cli(Options, args=arguments, prog="python -m experiments.bench_stories", description=__doc__)
    for name in options.models:
        if name not in MEMORIES:
            raise ValueError(f"unknown model {name!r}; legal: {', '.join(MEMORIES)}")
    rows = []
    for name in options.models or MEMORIES:
        rows.append(measure(name, options))
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    if options.store:
        append(rows)
    return rows


if __name__ == "__main__":
    launch(main)
