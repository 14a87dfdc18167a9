"""Training on stories: an epoch is one compiled scan over the data on the device."""

import json
import time
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from diffmem.tasks.babi import Vocabulary
from experiments import mesh as meshes
from experiments import runs
from experiments.checkpoint import Checkpoints, taken_over
from experiments.log import writer, writers
from experiments.runtime import Diverged, first_bad, note
from experiments.seeds import learners
from experiments.stories.config import StoryConfig
from experiments.stories.data import Bucket, Data, exchanged, is_generated, kinds_of, load, on_device, tables, tasks_of
from experiments.stories.evaluation import by_task, find, keep_vocabulary, make_errors
from experiments.stories.losses import make_loss


class TrainState(NamedTuple):
    """Everything that a run carries from epoch to epoch; every leaf but `epoch` has a leading axis of seeds."""

    params: Any
    optimizer: Any
    key: jax.Array
    epoch: jax.Array


def make_update(config: StoryConfig, data: Data, *, linear: bool = False, exchange: bool = False):
    """One update of one seed: parameters, optimiser state, key, bucket, its rows [B] -> the new ones, loss, gradients."""
    model = config.model(data.vocabulary)
    optimizer = config.optimizer.build(config.epochs * steps_per_epoch(config, data))
    table = tables(model, data.train[0])
    parts = [(on_device(part), jnp.asarray(part.tasks)) for part in data.train]
    kinds = jnp.asarray(kinds_of(data)) if exchange else None
    loss = make_loss(config, model, linear=linear)
    questions = questions_a_row(data)

    def update(params, optimizer_state, key, bucket, chosen):
        def branch(part, tasks):
            def run(params):
                batch = jax.tree.map(lambda a: a[chosen], part)
                keys = jax.random.split(key, config.batch)
                if kinds is not None:
                    keys, drawn = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
                    batch = jax.vmap(exchanged)(batch, kinds[tasks[chosen]], drawn)
                each = jax.vmap(loss, in_axes=(None, None, 0, 0))
                return jax.value_and_grad(lambda params: jnp.mean(each(params, table, batch, keys)) / questions)(params)

            return run

        value, gradients = jax.lax.switch(bucket, [branch(*part) for part in parts], params)
        if config.weight_decay:
            gradients = jax.tree.map(lambda g, p: g + config.weight_decay * p, gradients, params)
        updates, optimizer_state = optimizer.update(gradients, optimizer_state, params)
        return optax.apply_updates(params, updates), optimizer_state, value, gradients

    return update


def step_key(key: jax.Array, epoch: jax.Array, step) -> jax.Array:
    """The key of one step of an epoch, from a seed's."""
    return jax.random.fold_in(jax.random.fold_in(key, epoch), step)


def stage(config: StoryConfig, epoch: int) -> dict[str, bool]:
    """What differs between epochs, as options of `make_update`."""
    return {"linear": epoch < config.linear_start, "exchange": config.exchange and epoch >= config.first_epochs}


def make_epoch(config: StoryConfig, data: Data, **options: bool):
    """An epoch of all seeds as one compiled scan: state, bucket of each step, questions of each step -> state, losses."""
    run = jax.vmap(make_update(config, data, **options), in_axes=(0, 0, 0, None, None))

    def epoch(state: TrainState, bucket, chosen):
        def body(carry, step):
            params, optimizer_state = carry
            number, bucket, chosen = step
            keys = jax.vmap(lambda key: step_key(key, state.epoch, number))(state.key)
            params, optimizer_state, loss, _ = run(params, optimizer_state, keys, bucket, chosen)
            return (params, optimizer_state), loss

        steps = (jnp.arange(len(bucket)), bucket, chosen)
        (params, optimizer_state), loss = jax.lax.scan(body, (state.params, state.optimizer), steps)
        return TrainState(params, optimizer_state, state.key, state.epoch + 1), loss.mean(0)

    return jax.jit(epoch)


def explain(config: StoryConfig, data: Data, state: TrainState, seed: int) -> str:
    """Which step and which leaf of a seed went wrong first: the epoch is run again, step by step, from the state before it."""
    epoch = int(state.epoch)
    update = jax.jit(make_update(config, data, **stage(config, epoch)))
    params, optimizer_state, key = jax.tree.map(lambda a: a[seed], (state.params, state.optimizer, state.key))
    for step, (bucket, chosen) in enumerate(zip(*plan(config, data, epoch), strict=True)):
        params, optimizer_state, _, gradients = update(
            params, optimizer_state, step_key(key, state.epoch, step), bucket, chosen
        )
        if leaf := first_bad(gradient=gradients, parameter=params):
            return f"the first bad leaf is {leaf}, in step {step + 1}"
    return "with finite gradients and parameters"


def questions_a_row(data: Data) -> float:
    """How many questions a row of the training data asks: 1, or, on average, those of a stream."""
    return sum(len(tasks_of(part)) for part in data.train) / sum(len(part.tasks) for part in data.train)


def passed(config: StoryConfig, part: Bucket) -> np.ndarray:
    """The rows of a bucket that an epoch passes, in order: all of them, and those of some tasks again."""
    return np.concatenate([np.arange(len(part.tasks)), *(np.flatnonzero(part.tasks == task) for task in config.again)])


def passed_first(config: StoryConfig, part: Bucket) -> np.ndarray:
    """The rows of a bucket that an epoch passes while some tasks have it to themselves, over and over.

    Those of a task that stands there twice come twice as often.
    """
    return np.sort(np.concatenate([np.flatnonzero(part.tasks == task) for task in config.first]))


def steps_per_epoch(config: StoryConfig, data: Data) -> int:
    """Batches of all buckets; the last one of each is filled up with rows drawn again."""
    return sum(-(-len(passed(config, part)) // config.batch) for part in data.train)


def plan(config: StoryConfig, data: Data, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """The epoch's batches in random order: bucket of each step [S], rows of each step [S, B]."""
    rng = np.random.default_rng((config.seed, epoch))
    choose = passed_first if epoch < config.first_epochs else passed
    steps, found = steps_per_epoch(config, data), []
    while len(found) < steps:
        for i, part in enumerate(data.train):
            order = rng.permutation(choose(config, part))
            order = np.concatenate([order, rng.choice(order, -len(order) % config.batch)])
            found += [(i, batch) for batch in order.reshape(-1, config.batch)]
    chosen = [found[i] for i in rng.permutation(len(found))[:steps]]
    return np.array([i for i, _ in chosen], np.int32), np.stack([batch for _, batch in chosen]).astype(np.int32)


def initial_state(config: StoryConfig, vocabulary: Vocabulary, steps: int) -> TrainState:
    """Fresh parameters and optimiser states for a run of this many steps, one of each per seed."""
    model, optimizer = config.model(vocabulary), config.optimizer.build(steps)
    return TrainState(*learners(model, optimizer, config.seed, config.seeds), jnp.int32(0))


def begin_from(config: StoryConfig, data: Data, label: str, state: TrainState) -> TrainState:
    """The state with the parameters of that model in `config.start_from`, if that says where to find any.

    Raises:
        ValueError: no such run, no such model in it, other words, fewer seeds there than here, or parameters of another model.
        WrongSizes: parameters of other sizes.
    """
    if not config.start_from:
        return state
    _, _, parts, source = find(config.start_from)
    if label not in parts:
        raise ValueError(f"{source} has no model {label}; it has: {', '.join(parts)}")
    if parts[label].vocabulary.words != data.vocabulary.words:
        raise ValueError(f"{source} was trained on stories with other words, or in another order")
    return state._replace(params=taken_over(parts[label].params, state.params, config, source))


def train(name: str, config: StoryConfig, folder: Path, *, data_dir: str | None = None, progress: bool = True) -> None:
    """Trains every model of the config, from its newest checkpoint or from scratch.

    Args:
        name: of the config.
        config: of the run.
        folder: gets a folder for each model.
        data_dir: see `diffmem.tasks.babi.files.find`; where there is no copy of bAbI, stories are generated.
        progress: whether to show a bar.

    Raises:
        ValueError: the folder holds another run, or see `begin_from`.
        OSError: no data where they were said to be, or no place for the folder.
        Diverged: a loss was not finite; the last good checkpoint is kept.
    """
    writers()  # a wrong name is refused before the folder is claimed
    if is_generated(data_dir):
        note("there is no copy of bAbI: training and validation questions are generated by diffmem.tasks.babi.generate")
    parts = config.parts()
    data = {part: load(own, data_dir) for part, own in parts.items()}
    if config.start_from and runs.claimed(folder) is None:  # refused, if it must be, before the folder is claimed
        for part, own in parts.items():
            begin_from(own, data[part], part, initial_state(own, data[part].vocabulary, 1))
    runs.claim(folder, name, config, **({"data": "generated stories"} if is_generated(data_dir) else {}))
    for part, own in parts.items():
        train_part(own, data[part], folder / part, label=part, progress=progress)


def train_part(config: StoryConfig, data: Data, folder: Path, *, label: str, progress: bool) -> TrainState:
    """Trains one model; its folder gets checkpoints and metrics.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    steps = config.epochs * steps_per_epoch(config, data)
    state, metrics = initial_state(config, data.vocabulary, steps), folder / "metrics.jsonl"
    keep_vocabulary(folder, data.vocabulary)
    make = lru_cache(partial(make_epoch, config, data))
    errors = make_errors(config, data.vocabulary, data.valid)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        if not checkpoints.steps():
            state = begin_from(config, data, label, state)
        state = checkpoints.resume(meshes.place(state, meshes.build("", config.seeds, config.batch)))
        epoch = int(state.epoch)
        runs.keep_lines_up_to(metrics, epoch)
        questions = round(steps_per_epoch(config, data) * config.batch * questions_a_row(data))
        right = solved_looks(metrics)
        bar = tqdm(total=config.epochs, initial=epoch, unit="epoch", desc=label, disable=not progress)
        with bar, metrics.open("a") as log, writer(folder) as write:
            while epoch < config.epochs and not (config.patience and right >= config.patience):
                started = time.perf_counter()
                before = state
                state, loss = make(**stage(config, epoch))(state, *plan(config, data, epoch))
                loss = np.asarray(loss)
                if not np.isfinite(loss).all():
                    bad = np.flatnonzero(~np.isfinite(loss))
                    raise Diverged(
                        f"{label}: non-finite loss in epoch {epoch + 1}, seeds {(config.seed + bad).tolist()}: "
                        f"{explain(config, data, before, bad[0])}; {checkpoints.last_good('epoch')}"
                    )
                epoch += 1
                line: dict[str, Any] = {"step": epoch, "questions": epoch * questions, "loss": loss.round(5).tolist()}
                line["seconds"] = round(time.perf_counter() - started, 2)
                if epoch % config.checkpoint_every == 0 or epoch == config.epochs:
                    found = by_task(errors(state.params), data.valid)
                    looks = [round(float(np.mean(list(one.values()))), 2) for one in found]
                    line["valid_error_percent"] = looks
                    line["valid_by_task"] = [{t: round(e, 1) for t, e in one.items()} for one in found]
                    right = right + 1 if max(looks) == 0 else 0
                    bar.set_postfix(loss=f"{np.median(loss):.3g}", valid=f"{np.median(looks):.2f}%")
                print(json.dumps(line), file=log, flush=True)
                write(line)
                if "valid_by_task" in line:
                    checkpoints.save(epoch, state)  # after its line: what a kill cuts off is logged again, never lost
                bar.update()
    return state


def solved_looks(metrics: Path) -> int:
    """How many of the newest looks at the validation questions found no wrong answer."""
    if not metrics.exists():
        return 0
    looks = [found for line in runs.read_lines(metrics) if (found := line.get("valid_error_percent"))]
    return next((i for i, found in enumerate(reversed(looks)) if max(found) > 0), len(looks))
