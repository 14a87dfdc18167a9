"""Evaluates a run on bAbI: `python -m experiments.evaluate babi_memn2n_10k_joint --data-dir tasks_1-20_v1-2/en`.

One line a task: the error in percent, and whether the task counts as failed (above 5 %). Of several restarts the one with
the least validation error is used.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from diffmem.tasks.babi import TASKS, UNKNOWN, Story, Streams, Vocabulary, files, words
from diffmem.tasks.babi.text import count_questions
from experiments import config as configs
from experiments import runs
from experiments.checkpoint import Checkpoints, load_weights
from experiments.runtime import note
from experiments.stories.config import StoryConfig
from experiments.stories.data import Bucket, StreamBatch, is_generated, on_device, split, stories, tables, tasks_of, told

FAILED = 5.0  # percent, by the data set's convention
NOTE = "Task 3: trained on generated stories where the data set's own 10k file is missing; see docs/results.md."


def make_errors(config: StoryConfig, vocabulary: Vocabulary, parts: Sequence[Bucket], chunk: int = 200):
    """A function params [seeds, ...] -> wrong [seeds, Q] over the questions of all buckets, in their order."""
    model = config.model(vocabulary)
    known = np.zeros(len(vocabulary), bool)
    known[list(vocabulary.answers)] = True
    table = tables(model, parts[0])

    def measure(part: Bucket):
        batch = on_device(part)
        count = len(part.tasks)
        index = np.arange(-(-count // chunk) * chunk).reshape(-1, chunk) % count

        def one(params, example):
            if isinstance(example, StreamBatch):
                logits = model.respond_along(params, example.words, example.asks, example.begins, example.ends)
            else:
                logits = model(params, *told(example, table, example.stories)).logits
            return jnp.argmax(jnp.where(known, logits, -jnp.inf), -1) != example.answers

        def run(params):
            each = jax.vmap(lambda params, batch: jax.vmap(lambda e: one(params, e))(batch), in_axes=(0, None))
            wrong = jax.lax.map(lambda i: each(params, jax.tree.map(lambda a: a[i], batch)), jnp.asarray(index))
            wrong = jnp.swapaxes(wrong, 0, 1)
            return wrong.reshape(len(wrong), -1, *wrong.shape[3:])[:, :count]

        asked = part.answers > 0 if isinstance(part, Streams) else slice(None)
        compiled = jax.jit(run)
        return lambda params: np.asarray(compiled(params))[:, asked]

    measures = [measure(part) for part in parts]
    return lambda params: np.concatenate([run(params) for run in measures], 1)


def by_task(wrong: np.ndarray, parts: Sequence[Bucket]) -> list[dict[int, float]]:
    """Error in percent by task, for each seed."""
    tasks = np.concatenate([tasks_of(part) for part in parts])
    return [{int(t): float(100 * row[tasks == t].mean()) for t in np.unique(tasks)} for row in wrong]


class Part(NamedTuple):
    """One trained model: its own config, vocabulary, parameters (leading axis: seeds), and the seeds' validation errors."""

    config: StoryConfig
    vocabulary: Vocabulary
    params: Any
    valid_error_percent: list[float]

    @property
    def best(self) -> int:
        """The restart to use: the one with the least validation error."""
        return int(np.argmin(self.valid_error_percent))

    @property
    def tasks(self) -> tuple[int, ...]:
        """What it was trained on."""
        return self.config.tasks


def find(run: str) -> tuple[str, StoryConfig, dict[str, Part], str]:
    """The config name, config and trained models of a run, and where they came from.

    Args:
        run: a run's folder, one checkpoint of a model in it, or the name of a config whose weights are committed.

    Raises:
        ValueError: nothing of that kind, or no such checkpoint, or none yet.
    """
    from experiments.stories.training import initial_state  # the structure that checkpoints are read into

    if weights := runs.committed(run):
        params, meta = load_weights(weights)
        config = configs.from_json(meta["name"], meta["config"])
        own = config.parts()
        parts = {
            name: Part(
                own[name],
                Vocabulary(tuple(kept["words"]), tuple(kept["answers"]), kept["length"]),
                params[name],
                kept["valid_error_percent"],
            )
            for name, kept in meta["parts"].items()
        }
        return meta["name"], config, parts, f"committed weights {weights.name}"
    path, step = runs.at_step(run)
    only = None
    if step is not None:
        path, only = path.parent, path.name
    stored = runs.claimed(path)
    if stored is None:
        raise runs.no_run(run, stories=True)
    config, parts, damaged = configs.from_json(stored["name"], stored["config"]), {}, False
    for name, own in config.parts().items():
        vocabulary = load_vocabulary(path / name)
        if vocabulary is None or only not in (None, name):
            continue
        state = initial_state(own, vocabulary, 1)
        with Checkpoints(path / name / "checkpoints") as checkpoints:
            restored = checkpoints.find(state, step)
            damaged |= restored is None and bool(checkpoints.steps())
        if restored is None:
            continue
        lines = runs.read_lines(path / name / "metrics.jsonl")
        looks = [line for line in lines if "valid_error_percent" in line and line["step"] <= restored[0]]
        parts[name] = Part(own, vocabulary, restored[1].params, looks[-1]["valid_error_percent"])
    if not parts:
        raise runs.no_checkpoint(run, damaged)
    data = f", trained on {stored['data']}" if "data" in stored else ""
    return stored["name"], config, parts, f"{run}{data}"


def keep_vocabulary(folder: Path, vocabulary: Vocabulary) -> None:
    """Writes a model's vocabulary beside its checkpoints."""
    kept = {"words": vocabulary.words, "answers": vocabulary.answers, "length": vocabulary.length}
    (folder / "vocabulary.json").write_text(json.dumps(kept))


def load_vocabulary(folder: Path) -> Vocabulary | None:
    """What `keep_vocabulary` wrote; None where there is nothing."""
    path = folder / "vocabulary.json"
    if not path.exists():
        return None
    kept = runs.read_json(path)
    return Vocabulary(tuple(kept["words"]), tuple(kept["answers"]), kept["length"])


def evaluate(parts: dict[str, Part], told: dict[int, list[Story]]) -> dict[str, Any]:
    """Errors on the questions of these stories, of the best restart and of all.

    Args:
        parts: the trained models.
        told: stories by task; tasks that no model was trained on are left out.

    Returns:
        {"error_percent": {task: percent}, "mean", "failed" (tasks above 5 %), "questions": {task: count}, "seeds": {part:
        [{task: percent} of every restart]}, "chosen": {part: restart}}.
    """
    chosen, seeds, questions = {}, {}, {}
    for name, part in parts.items():
        own = {task: told[task] for task in part.tasks if task in told}
        if not own:
            continue
        data = split(part.config, own, part.vocabulary)
        found = by_task(make_errors(part.config, part.vocabulary, data)(part.params), data)
        chosen |= {task: round(error, 3) for task, error in found[part.best].items()}
        seeds[name] = [{str(task): round(error, 3) for task, error in one.items()} for one in found]
        questions |= {str(task): count_questions(stories) for task, stories in own.items()}
    return {
        "error_percent": {str(task): chosen[task] for task in sorted(chosen)},
        "mean": round(float(np.mean(list(chosen.values()))), 3),
        "failed": sum(error > FAILED for error in chosen.values()),
        "questions": questions,
        "seeds": seeds,
        "chosen": {name: part.config.seed + part.best for name, part in parts.items()},
    }


def unreadable(parts: dict[str, Part], told: dict[int, list[Story]]) -> list[str]:
    """What of these stories the models cannot read or answer: a line a kind, with its count, tasks and first examples."""
    found: dict[str, list[tuple[int, str]]] = {}
    for part in parts.values():
        vocabulary, room = part.vocabulary, part.config.sizes()[-1]
        answers = {vocabulary.words[number] for number in vocabulary.answers}
        for task in part.tasks:
            asked = [question for story in told.get(task, ()) for question in story.questions]
            texts = {text for story in told.get(task, ()) for text in story.sentences} | {question.text for question in asked}
            unknown = {word for text in texts for word in words(text) if vocabulary.number(word) == UNKNOWN}
            kinds = {
                "word(s) that the model does not know, read as unknown": sorted(unknown),
                f"sentence(s) cut at {vocabulary.length} words": sorted(t for t in texts if len(words(t)) > vocabulary.length),
                "answer(s) that the model does not know, counted as wrong": [
                    question.answer for question in asked if question.answer.lower() not in answers
                ],
                f"question(s) about more than {room} sentences, of which the oldest are dropped": [
                    question.text for question in asked if question.seen > room
                ],
                "question(s) without a story": [question.text for question in asked if not question.seen],
                "question(s) without a question mark": [q.text for q in asked if not q.text.endswith("?")],
            }
            for kind, examples in kinds.items():
                found.setdefault(kind, []).extend((task, example) for example in examples)
    lines = []
    for kind, there in found.items():
        if there:
            tasks, examples = sorted({task for task, _ in there}), list(dict.fromkeys(example for _, example in there))
            shown = ", ".join(examples[:5]) + (", .." if len(examples) > 5 else "")
            lines.append(f"task{'s' * (len(tasks) > 1)} {', '.join(map(str, tasks))}: {len(there)} {kind}: {shown}")
    return lines


def table(result: dict[str, Any]) -> str:
    """The result as text: one line a task, the mean, the failed count."""
    lines = []
    for task, error in result["error_percent"].items():
        title = TASKS[int(task) - 1].replace("-", " ")
        lines.append(f"{task:>3s} {title:24s} {error:6.1f} %{'  failed' if error > FAILED else ''}")
    count = len(result["error_percent"])
    without = [error for task, error in result["error_percent"].items() if task != "3"]
    lines.append(f"    {f'mean of {count} tasks':24s} {result['mean']:6.2f} %   {result['failed']} failed (above {FAILED} %)")
    if 1 < count != len(without):
        lines.append(f"    {'mean without task 3':24s} {np.mean(without):6.2f} %")
    return "\n".join(lines)


@dataclass
class Options:
    """What to evaluate, and on what."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN_OR_CHECKPOINT")]
    """A run's folder, a checkpoint in it (RUN/qa1/checkpoints/5), or the name of a config whose weights are committed."""
    data_dir: Path | None = None
    """A folder of files named as in bAbI (qa1_single-supporting-fact_test.txt), or a copy of bAbI, packed or not. None: the
    validation questions of the local copy, see diffmem.tasks.babi.files, or generated ones where there is none."""
    split: str = "test"
    """Which files of that folder: train, valid or test."""
    tasks: tuple[int, ...] = ()
    """Task numbers; none: all that the run was trained on and the folder has."""
    json: Path | None = None
    """Also write the result here."""


def questions(
    config: StoryConfig, tasks: tuple[int, ...], place: Path | None, split: str
) -> tuple[dict[int, list[Story]], str]:
    """The stories to evaluate on, by task, and what they are called; see `Options`.

    Raises:
        ValueError: an unknown split.
        FileNotFoundError: no such files.
    """
    if place is None:
        generated = "generated validation questions, as there is no copy of bAbI"
        return stories(tasks, config.setting, "valid"), generated if is_generated() else "the validation questions"
    if split not in files.SPLITS:
        raise ValueError(f"--split is {split!r}; legal: {', '.join(files.SPLITS)}")
    source = files.find(place)
    assert source is not None  # a place that was named is found, or an error
    if source.is_dir() and any(files.NAME.fullmatch(path.name) for path in source.iterdir()):
        told = {task: files.read_file(path) for task, path in files.folder_tasks(source, split).items()}
    else:
        told = stories(tasks, config.setting, split, str(source))
    return told, f"{place}, {split}"


def main(arguments: list[str]) -> dict[str, Any]:
    """Evaluates, prints, and writes what was asked for."""
    options = tyro.cli(Options, args=arguments, prog="python -m experiments.evaluate", description=__doc__)
    runs.check_writable(options.json)
    name, config, parts, source = find(options.run)
    trained = {task for part in parts.values() for task in part.tasks}
    told, where = questions(config, tuple(sorted(trained)), options.data_dir, options.split)
    for task in options.tasks:
        if task not in told or task not in trained:
            raise ValueError(f"task {task}: trained on {sorted(trained)}, and there are questions of {sorted(told)}")
    told = {task: one for task, one in told.items() if task in (options.tasks or trained)}
    if not told:
        raise ValueError(f"no task in common: trained on {sorted(trained)}, and there are questions of none of them")
    for line in unreadable(parts, told):
        note(line)
    result = {
        **{"name": name, "source": source, "memory": config.memory_name, "data": where},
        **evaluate(parts, told),
    }
    print(f"{name}, {source}, on {where}")
    if config.setting == "10k" and 3 in told:
        print(NOTE)
    print(table(result))
    if options.json:
        runs.write_result(options.json, result)
    return result
