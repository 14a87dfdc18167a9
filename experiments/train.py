"""Trains a config: `python -m experiments.train ntm_copy --seeds 3 --memory.slots 64 --out runs/small`.

A run is one folder: config.json, metrics.jsonl, checkpoints/ and, at the end, evaluation.json and pictures. Started again,
an interrupted run continues from its newest checkpoint and ends bit-identical to one that was never interrupted; a finished
one prints its result again. DIFFMEM_LOG=tensorboard,wandb copies the metrics there.

--mesh data=4,slots=2 lays the batch and the memory's slots over devices; a run may go on on another mesh. --distributed joins
the processes of several hosts; see docs/guides/devices.md.
"""

import dataclasses
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tqdm import tqdm

from diffmem.tasks import sample_lengths
from experiments import config as configs
from experiments import mesh as meshes
from experiments import runs, supervision
from experiments.checkpoint import Checkpoints, taken_over
from experiments.config import Config
from experiments.effort import Metered
from experiments.log import writer, writers
from experiments.runtime import Diverged, first_bad, launch, set_up_compiler, use_cpu_cores, use_cpu_devices
from experiments.seeds import learners
from experiments.supervision import WhereWritten


class TrainState(NamedTuple):
    """Everything that a run carries from step to step; every leaf but `step` and `lesson` has a leading axis of seeds."""

    params: Any
    optimizer: Any
    key: jax.Array
    step: jax.Array
    lesson: jax.Array | None
    """The longest length so far of a curriculum; None without one."""


def initial_state(config: Config) -> TrainState:
    """Fresh parameters and optimiser states, one of each per seed."""
    fresh = learners(config.model(), config.optimizer.build(config.steps), config.seed, config.seeds)
    return TrainState(*fresh, jnp.int32(0), jnp.int32(config.task.lengths[0]) if config.curriculum else None)


def begin_from(config: Config, state: TrainState) -> TrainState:
    """The state with the parameters of `config.start_from`, if that says where to find any.

    Raises:
        ValueError: no such run, fewer seeds there than here, or parameters of another model.
        WrongSizes: parameters of other sizes.
    """
    if not config.start_from:
        return state
    _, _, params, source = runs.find(config.start_from)
    return state._replace(params=taken_over(params, state.params, config, source))


def next_lesson(config: Config, state: TrainState, losses: np.ndarray) -> TrainState:
    """The state with the next length, where the mean of the losses [steps, seeds] says of every seed that it is ready."""
    if state.lesson is None or losses.mean(0).max() >= config.curriculum:
        return state
    return state._replace(lesson=jnp.minimum(state.lesson + 1, config.task.lengths[1]))


def make_update(config: Config, mesh: Mesh | None = None):
    """One update of one seed: parameters, optimiser state, key of this step, lesson -> the new ones, loss, gradients."""
    task, model, optimizer = config.task, config.model(), config.optimizer.build(config.steps)
    if config.write_cost:
        model = dataclasses.replace(model, memory=Metered(model.memory))

    def update(params, optimizer_state, key, lesson):
        length_key, sample_key = jax.random.split(key)
        graphs = config.batch // config.questions
        lengths = sample_lengths(task, length_key, graphs, lesson)
        wanted = None
        if config.questions > 1:
            context, batch = task.sample_shared(sample_key, graphs, config.questions, lengths)
            if config.supervision:
                wanted = task.guide(sample_key, graphs, config.questions, lengths)
        else:
            context, batch = None, task.sample(sample_key, graphs, lengths)

        # By name, and only where it is needed: not every model takes a key.
        keys = {"key": jax.random.split(jax.random.fold_in(key, 1), config.batch)} if config.bypass_dropout else {}

        def run(params, inputs, context, keys):
            state = written = read = None
            if context is not None:
                first = dataclasses.replace(model, memory=WhereWritten(model.memory)) if config.supervision else model
                state, _, readout = jax.vmap(lambda xs, starts: first(params, xs, starts=starts))(*context)
                if config.supervision:
                    begun = jnp.cumsum(context.starts, 1, dtype=jnp.int32)[..., None]
                    written = jax.lax.stop_gradient(readout.weights * begun)
                state, written = jax.tree.map(lambda a: jnp.repeat(a, config.questions, axis=0), (state, written))
            state, outputs, readout = jax.vmap(lambda xs, state, keys: model(params, xs, state, **keys))(inputs, state, keys)
            if config.supervision:
                read = readout.weights[:, jnp.array(task.guided_steps), : task.guided_heads]
            return outputs, state.change if config.write_cost else None, written, read

        def loss(params):
            outputs, change, written, read = meshes.by_part(run, mesh)(params, batch.inputs, context, keys)
            value = total = task.loss(outputs, batch)
            if change is not None:
                total += config.write_cost * jnp.mean(change)
            if wanted is not None:
                total += config.supervision * supervision.cost(read, written, wanted)
            return total, value

        gradients, value = jax.grad(loss, has_aux=True)(params)
        updates, optimizer_state = optimizer.update(gradients, optimizer_state, params)
        return optax.apply_updates(params, updates), optimizer_state, value, gradients

    return update


def make_chunk(config: Config, mesh: Mesh):
    """`steps` updates of all seeds in one compiled call: state, steps -> state, losses [steps, seeds]."""
    update = jax.vmap(make_update(meshes.with_slots(config, mesh), mesh), in_axes=(0, 0, 0, None))
    everywhere = NamedSharding(mesh, PartitionSpec())

    def body(state, _):
        keys = jax.vmap(lambda key: jax.random.fold_in(key, state.step))(state.key)
        params, optimizer, loss, _ = update(state.params, state.optimizer, keys, state.lesson)
        return state._replace(params=params, optimizer=optimizer, step=state.step + 1), loss

    def chunk(state, steps):
        state, losses = jax.lax.scan(body, state, None, length=steps)
        return state, jax.lax.with_sharding_constraint(losses, everywhere)  # every process logs, or could

    return jax.jit(chunk, static_argnums=1)


def train(name: str, config: Config, folder: Path, *, mesh: str = "", progress: bool = True) -> TrainState:
    """Trains from the newest checkpoint in the folder, or from scratch, to the config's last step.

    Raises:
        ValueError: the folder holds another run, or a mesh that does not fit.
        OSError: no data for the task, or no place for the folder.
        Diverged: a loss was not finite; the last good checkpoint is kept.
    """
    writers()  # a wrong name, and data that are missing, are refused before the folder is claimed
    jax.eval_shape(lambda key: config.task.sample(key, 1, config.task.lengths[1]), jax.random.key(0))
    laid = meshes.build(mesh, config.seeds, config.batch, config.questions)
    writes, state = meshes.first_process(), initial_state(config)
    if new := runs.claimed(folder) is None:
        state = begin_from(config, state)  # refused, if it must be, before the folder is claimed
    if writes:
        runs.claim(folder, name, config)
    meshes.wait_for_all("claimed")
    run_chunk = make_chunk(config, laid)
    metrics = folder / "metrics.jsonl" if writes else Path(os.devnull)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        if not new and not checkpoints.steps():  # stopped before the first
            state = begin_from(config, state)
        state = checkpoints.resume(meshes.place(state, laid))
        step = int(state.step)
        if writes:
            runs.keep_lines_up_to(metrics, step)
        bar = tqdm(total=config.steps, initial=step, unit="step", disable=not (progress and writes), smoothing=0.05)
        started = time.perf_counter()
        with bar, metrics.open("a") as log, writer(folder if writes else None) as write:
            while step < config.steps:
                before = state
                state, losses = run_chunk(state, min(config.log_every, config.steps - step))
                losses = np.asarray(losses)
                if not np.isfinite(losses).all():
                    reason = explain(config, before, losses)
                    raise Diverged(f"{reason}; {checkpoints.last_good('step')}")
                step = int(state.step)
                line = {"step": step, "sequences": step * config.batch, "loss": losses.mean(0).round(6).tolist()}
                line["seconds"] = round(time.perf_counter() - started, 2)
                if state.lesson is not None:
                    line["lesson"] = int(state.lesson)
                    state = next_lesson(config, state, losses)
                print(json.dumps(line), file=log, flush=True)
                write(line)
                bar.update(len(losses))
                lesson = {"lesson": line["lesson"]} if "lesson" in line else {}
                bar.set_postfix(loss=f"{np.median(line['loss']):.3g}", **lesson)
                if step % config.checkpoint_every == 0 or step == config.steps:
                    checkpoints.save(step, state)
    return state


def explain(config: Config, state: TrainState, losses: np.ndarray) -> str:
    """Which step and which leaf went wrong first: the chunk is run again, step by step, from the state before it."""
    bad = int(np.argmax(~np.isfinite(losses).all(1)))
    seed = int(np.argmax(~np.isfinite(losses[bad])))
    update, first = jax.jit(make_update(config)), int(state.step)
    message = f"non-finite loss at step {first + bad + 1}, seed {config.seed + seed}"
    params, optimizer, key = jax.tree.map(lambda a: a[seed], (state.params, state.optimizer, state.key))
    for step in range(first, first + bad + 1):
        params, optimizer, _, gradients = update(params, optimizer, jax.random.fold_in(key, step), state.lesson)
        if leaf := first_bad(gradient=gradients, parameter=params):
            return f"{message}: the first bad leaf is {leaf}, in step {step + 1}"
    return f"{message}, with finite gradients and parameters"


def parse(arguments: list[str]) -> tuple[str, Any]:
    """The config's name, and the options: the config with the command line's changes, and what only this launch is about."""
    name = arguments[0] if arguments and not arguments[0].startswith("-") else None
    if name is None:
        print(f"usage: python -m experiments.train CONFIG [OPTIONS]\n\n{__doc__}")
        print("Options are the config's own: python -m experiments.train CONFIG --help\n\nConfigs:")
        for known in configs.known():
            configs.load(known)
            print(f"  {known:24s} {(sys.modules[f'experiments.configs.{known}'].__doc__ or '').strip().splitlines()[0]}")
        raise SystemExit(0 if arguments[:1] in (["-h"], ["--help"]) else 2)
    default = configs.load(name)
    place = Annotated[Path | None, tyro.conf.arg(help="A copy of bAbI, packed or not. None: diffmem.tasks.babi.files.find.")]
    kinds = [type(getattr(default, field)) for field in ("task", "memory") if hasattr(default, field)]
    generic: Any = type(default)
    options = dataclasses.make_dataclass(
        "Options",
        [
            ("run", Annotated[generic[tuple(kinds)], tyro.conf.arg(name="")], dataclasses.field(default=default)),
            ("out", Annotated[Path, tyro.conf.arg(help="The run's folder.")], Path("runs") / name),
            ("evaluate", Annotated[bool, tyro.conf.arg(help="Evaluate and draw at the end.")], True),
            *([] if isinstance(default, Config) else [("data_dir", place, None)]),
            ("mesh", Annotated[str, tyro.conf.arg(help="Devices by axis: data=4,slots=2. None: seeds.")], ""),
            ("distributed", Annotated[bool, tyro.conf.arg(help="Join the processes of several hosts.")], False),
        ],
    )
    chosen: Any = tyro.cli(
        options,
        args=arguments[1:],
        prog=f"python -m experiments.train {name}",
        description=sys.modules[f"experiments.configs.{name}"].__doc__,
    )
    return name, chosen


def main(arguments: list[str]) -> None:
    """Trains, then evaluates and draws."""
    name, options = parse(arguments)
    config, folder = options.run, options.out
    if options.distributed:
        meshes.join_hosts()
    elif options.mesh:
        use_cpu_devices(math.prod(meshes.read(options.mesh).values()))
    else:
        use_cpu_cores(config.seeds)
    set_up_compiler()
    sampled = isinstance(config, Config)
    if sampled:
        train(name, config, folder, mesh=options.mesh)
    elif options.mesh or options.distributed:
        raise ValueError(f"--mesh and --distributed: {name} is a run on stories, which uses one device")
    else:
        from experiments import stories

        stories.train(name, config, folder, data_dir=options.data_dir and str(options.data_dir))
    if options.distributed:
        if meshes.first_process():
            print(f"trained; now, in one process: python -m experiments.evaluate {folder}")
    elif options.evaluate:
        from experiments import evaluate as evaluation

        more = ["--pictures", str(folder)] if sampled else []
        if not sampled and options.data_dir:
            more = ["--data-dir", str(options.data_dir), "--split", "valid"]
        evaluation.main([str(folder), "--json", str(folder / "evaluation.json"), *more])


if __name__ == "__main__":
    launch(main)
