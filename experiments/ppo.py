"""Trains an agent with a memory: `python -m experiments.ppo repeat_previous --difficulty easy --memory gru --seeds 3`.

Recurrent PPO, all of it compiled: environments, acting, learning, seeds side by side. `repeat_previous_easy` is the same as
`repeat_previous --difficulty easy`; the name may also come as `--env NAME`. A run is one folder: config.json, metrics.jsonl (a
line per rollout), checkpoints/, and in the end result.json and learning.png. Started again, an interrupted run continues from
its newest checkpoint and ends bit-identical to one that was never interrupted. `python -m experiments.ppo_sweep` fills a table
of memories and environments; `python -m experiments.evaluate RUN --render 20` shows what an agent does.
"""

import json
import re
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import lax
from jax.sharding import AxisType
from tqdm import tqdm

from diffmem import viz
from experiments import mesh as meshes
from experiments import runs
from experiments.checkpoint import Checkpoints
from experiments.rl import Config, collect, initial_agents, learn, make_optimizer
from experiments.rl.learning import Agents
from experiments.runs import read_lines
from experiments.runtime import Diverged, environment, launch, set_up_compiler, use_cpu_cores
from experiments.seeds import side_by_side

RATIO_TOLERANCE = 1e-5


class RunState(NamedTuple):
    """Everything that a run carries from rollout to rollout; every leaf but `step` has a leading axis of seeds."""

    params: Any
    optimizer: Any
    agents: Agents
    key: jax.Array
    step: jax.Array


def initial_state(config: Config) -> RunState:
    """Fresh agents in new episodes, one set per seed."""
    model, rule = config.model(), make_optimizer(config)

    def begin(key):
        init_key, reset_key, key = jax.random.split(key, 3)
        params = model.init_params(init_key)
        return params, rule.init(params), initial_agents(config, params, reset_key), key

    return RunState(*side_by_side(begin, config.seed, config.seeds), jnp.int32(0))


def make_iteration(config: Config):
    """One rollout and what is learned from it, of one seed: params, optimizer, agents, key -> the same but key, and a line."""

    def iteration(params, optimizer, agents, key):
        collect_key, learn_key = jax.random.split(key)
        agents, rollout = collect(config, params, agents, collect_key)
        params, optimizer, line = learn(config, params, optimizer, rollout, learn_key)
        episodes = jnp.sum(rollout.ended)
        line["episodes"] = episodes
        line["return"] = jnp.sum(jnp.where(rollout.ended, rollout.returned, 0)) / episodes  # NaN where none ended
        return params, optimizer, agents, line

    return iteration


def make_chunk(config: Config):
    """Up to log_every rollouts of all seeds in one compiled call: state, how many -> state, lines [log_every, seeds]."""
    iteration = jax.vmap(make_iteration(config))

    def advance(state):
        keys = jax.vmap(lambda key: jax.random.fold_in(key, state.step))(state.key)
        params, optimizer, agents, line = iteration(state.params, state.optimizer, state.agents, keys)
        return RunState(params, optimizer, agents, state.key, state.step + 1), line

    @partial(jax.jit, donate_argnums=0)
    def chunk(state, count):
        def body(i, carry):
            state, lines = carry
            state, line = advance(state)
            return state, jax.tree.map(lambda all, one: all.at[i].set(one), lines, line)

        shapes = jax.eval_shape(advance, state)[1]
        blank = jax.tree.map(lambda a: jnp.zeros((config.log_every, *a.shape), a.dtype), shapes)
        return lax.fori_loop(0, count, body, (state, blank))

    return chunk


def spread(state: RunState, seeds: int) -> RunState:
    """Lays the seeds over the devices, as far as they divide evenly."""
    devices = jax.devices()
    count = max(n for n in range(1, len(devices) + 1) if seeds % n == 0)
    mesh = jax.make_mesh((count,), ("seeds",), axis_types=(AxisType.Auto,), devices=devices[:count])
    return meshes.place(state, mesh)


def train(config: Config, folder: Path, *, progress: bool = True) -> RunState:
    """Trains from the newest checkpoint in the folder, or from scratch, to the config's last rollout.

    Raises:
        ValueError: the folder holds another run.
        Diverged: a loss was not finite, or, with check_ratio, the learner did not recompute what the agent did; the last good
            checkpoint is kept.
    """
    runs.claim(folder, f"ppo {config.env}_{config.difficulty}", config)
    state, run_chunk = initial_state(config), make_chunk(config)
    metrics = folder / "metrics.jsonl"
    with Checkpoints(folder / "checkpoints") as checkpoints:
        state = spread(checkpoints.resume(state), config.seeds)
        step = int(state.step)
        runs.keep_lines_up_to(metrics, step)
        before = read_lines(metrics)[-1] if step else {"seconds": 0.0, "cpu_seconds": 0.0}
        per_step = config.envs * config.rollout
        total, done = config.iterations * per_step, step * per_step
        bar = tqdm(total=total, initial=done, unit="step", unit_scale=True, disable=not progress)
        started = {"seconds": time.perf_counter(), "cpu_seconds": time.process_time()}
        with bar, metrics.open("a") as log:
            while step < config.iterations:
                count = min(config.log_every, config.iterations - step)
                state, lines = run_chunk(state, count)
                lines = jax.tree.map(lambda a, count=count: np.asarray(a)[:count], lines)
                check(config, lines, step, checkpoints.last_good("rollout"))
                now = {"seconds": time.perf_counter(), "cpu_seconds": time.process_time()}
                took = {clock: round(before[clock] + now[clock] - started[clock], 2) for clock in now}
                for i in range(count):
                    values = {name: [_number(v) for v in values[i].tolist()] for name, values in lines.items()}
                    step += 1
                    print(json.dumps({"step": step, "env_steps": step * per_step, **values, **took}), file=log)
                log.flush()
                bar.update(count * per_step)
                if np.isfinite(lines["return"][-1]).any():
                    bar.set_postfix({"return": f"{np.nanmedian(lines['return'][-1]):.3f}"})
                if step % config.checkpoint_every == 0 or step == config.iterations:
                    checkpoints.save(step, state)
    return state


def check(config: Config, lines: dict[str, np.ndarray], step: int, kept: str) -> None:
    """Raises Diverged where a run must not go on; `kept` says what is left of it."""
    if not np.isfinite(lines["loss"]).all():
        i, seed = np.argwhere(~np.isfinite(lines["loss"]))[0]
        names = [name for name in ("policy_loss", "value_loss", "entropy") if not np.isfinite(lines[name][i, seed])]
        raise Diverged(
            f"non-finite loss in rollout {step + i + 1}, seed {config.seed + seed} ({', '.join(names)}); {kept}. A value is "
            "NaN too where an environment is cut off before its max_steps"
        )
    if config.check_ratio and (lines["ratio_error"] > RATIO_TOLERANCE).any():
        raise Diverged(
            f"the first minibatch's largest |ratio - 1| is {lines['ratio_error'].max():.2g} between rollouts {step + 1} and "
            f"{step + len(lines['loss'])}, more than {RATIO_TOLERANCE}: the learner does not recompute what the agent did; "
            f"{kept}"
        )


def _number(value: float) -> float | int | None:
    """A number as it is written down: six digits, and nothing for NaN, which JSON does not have."""
    if isinstance(value, int):
        return value
    return float(f"{value:.6g}") if np.isfinite(value) else None


def _rounded(value: float) -> float | None:
    """A return as it is published."""
    return round(float(value), 4) if np.isfinite(value) else None


def summary(config: Config, folder: Path) -> dict[str, Any]:
    """What is published of a run.

    mmer: the best mean episodic return of a rollout, per seed, as POPGym reports it (training-time, sampled actions; a maximum,
    so biased upwards). final: the mean over the last tenth of the rollouts. None where no episode ended, in a seed or then.
    parameters and state_reals: of one agent.
    """
    lines, model = read_lines(folder / "metrics.jsonl"), config.model()
    returns = np.array([line["return"] for line in lines], float)  # [rollouts, seeds], NaN where no episode ended
    params = jax.eval_shape(model.init_params, jax.random.key(0))
    state = jax.eval_shape(model.init_state, params)
    reals = [leaf.size for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    complex_reals = [leaf.size for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.complexfloating)]
    mmer = np.fmax.reduce(returns, 0)
    late = returns[-max(len(returns) // 10, 1) :]
    final = late[np.isfinite(late)]
    warm = lines[min(config.log_every, len(lines)) - 1]  # the first compiled call includes compiling
    rollouts, seconds = len(lines) - warm["step"], lines[-1]["seconds"] - warm["seconds"]
    speed = config.seeds * config.envs * config.rollout * rollouts / seconds if seconds else None  # kept to 0.01 s
    return {
        "env": f"{config.env}_{config.difficulty}",
        "memory": config.memory,
        "mmer": _rounded(mmer.mean()),
        "mmer_spread": _rounded(mmer.std(ddof=1)) if config.seeds > 1 else None,
        "mmer_seeds": [_rounded(one) for one in mmer],
        "final": _rounded(final.mean()) if len(final) else None,
        "env_steps": lines[-1]["env_steps"],
        "ratio_error": max(max(line["ratio_error"]) for line in lines),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "state_reals": sum(reals) + sum(complex_reals),
        "steps_per_second": speed and round(speed),
        "seconds": lines[-1]["seconds"],
        "cpu_seconds": lines[-1]["cpu_seconds"],
        **environment(),
        "config": config.to_json(),
        "curve": {
            "env_steps": [line["env_steps"] for line in lines],
            "return": [[value and round(value, 4) for value in line["return"]] for line in lines],
        },
    }


def draw(curves: dict[str, dict[str, Any]], path: Path) -> None:
    """Learning curves, label -> `summary(..)["curve"]`, of runs with equally many steps between their points."""
    steps = max((curve["env_steps"] for curve in curves.values()), key=len)

    def padded(returns):
        missing = np.full((len(steps) - len(returns), len(returns[0])), np.nan)
        return np.concatenate([np.array(returns, float), missing])

    returns = {label: padded(curve["return"]) for label, curve in curves.items()}
    figure = viz.learning_curve(steps, returns, xlabel="environment steps", ylabel="mean return of an episode", least=None)
    figure.savefig(path)


@dataclass(frozen=True)
class Options:
    """A run and where it goes."""

    run: Annotated[Config, tyro.conf.arg(name="")]
    out: Path | None = None
    """The run's folder; runs/ppo/<environment>_<difficulty>_<memory> by default, with the options of both."""


def parse(arguments: list[str]) -> tuple[Config, Path]:
    """The run and its folder."""
    arguments = [part for argument in arguments for part in re.split("(?<=^--env)=", argument)]
    if "--env" in arguments:  # for tyro an argument has a name or a place, not both
        at = arguments.index("--env")
        arguments = [*arguments[at + 1 : at + 2], *arguments[:at], *arguments[at + 2 :]]
    options = tyro.cli(Options, args=arguments, prog="python -m experiments.ppo", description=__doc__)
    config = options.run
    return config, options.out or Path("runs") / "ppo" / folder_name(config)


def folder_name(config: Config) -> str:
    """Environment and memory, each with its options."""
    return "_".join([config.env, str(config.difficulty), *config.env_options, config.memory, *config.memory_options])


def run(config: Config, folder: Path, *, progress: bool = True) -> dict[str, Any]:
    """Trains, and writes down the result."""
    train(config, folder, progress=progress)
    result = summary(config, folder)
    if None in result["mmer_seeds"]:
        steps = config.iterations * config.rollout
        print(
            f"No episode{' of some seed' if config.seeds > 1 else ''} ended in {steps:,} steps of each environment: there is "
            f"no return. An episode of {result['env']} can last {config.environment().max_steps:,} steps"
        )
    (folder / "result.json").write_text(json.dumps(result) + "\n")
    draw({config.memory: result["curve"]}, folder / "learning.png")
    return result


def main(arguments: list[str]) -> dict[str, Any]:
    """Parses, trains, prints."""
    config, folder = parse(arguments)
    use_cpu_cores(config.seeds)
    set_up_compiler()
    result = run(config, folder)
    print(json.dumps({name: value for name, value in result.items() if name not in ("config", "curve")}, indent=1))
    return result


if __name__ == "__main__":
    launch(main)
