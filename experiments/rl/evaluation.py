"""Agents in fresh episodes, of the environment they were trained in or of others: `python -m experiments.evaluate RUN`."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from experiments import runs
from experiments.checkpoint import Checkpoints
from experiments.rl.config import Config
from experiments.rl.learning import collect, initial_agents


@dataclass
class Options:
    """Which agents to evaluate, and where."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The folder of a run of experiments.ppo."""
    on: tuple[str, ...] = ()
    """Environments, each by the fields in which it differs from the run's: --on length=100 length=1000. None: the run's own."""
    episodes: int = 100
    """Fresh episodes per environment and seed; actions are drawn, as in training."""
    seed: int = 1234
    """Seed of the fresh episodes."""
    json: Path | None = None
    """Also write the result here."""


def find(run: str) -> tuple[Config, Any, int]:
    """The config and the trained parameters (leading axis: seeds) of a run, and after how many steps in the environments.

    Raises:
        ValueError: no such run, or no checkpoint yet.
    """
    from experiments.ppo import initial_state  # the structure that checkpoints are read into

    stored = runs.claimed(Path(run))
    if stored is None:
        raise runs.no_run(run)
    config = Config(**stored["config"])
    with Checkpoints(Path(run) / "checkpoints") as checkpoints:
        restored = checkpoints.restore_newest(initial_state(config))
        if restored is None:
            raise runs.no_checkpoint(run, bool(checkpoints.steps()))
    return config, restored[1].params, restored[0] * config.envs * config.rollout


def returns(config: Config, params: Any, seed: int) -> np.ndarray:
    """The return of the first episode in each of the environments, [seeds, environments]."""
    config = dataclasses.replace(config, rollout=config.environment().max_steps)

    @jax.jit
    def one(params):
        reset_key, key = jax.random.split(jax.random.key(seed))
        rollout = collect(config, params, initial_agents(config, params, reset_key), key)[1]
        return rollout.returned[jnp.argmax(rollout.ended, 0), jnp.arange(config.envs)]

    return np.asarray(jax.lax.map(one, params), np.float64)


def evaluate(config: Config, params: Any, on: tuple[str, ...] = (), episodes: int = 100, seed: int = 1234) -> dict[str, Any]:
    """By environment: the mean return of every seed, and their median."""
    whole: dict[str, Any] = {"envs": episodes, "chunk": 0, "minibatches": 1, "state": "stored", "burn_in": 0}
    found = {}
    for fields in on or ("",):
        options = (*config.env_options, *(fields.split(",") if fields else ()))
        means = returns(dataclasses.replace(config, env_options=options, **whole), params, seed).mean(1).round(4).tolist()
        found[fields] = {"return": round(float(np.median(means)), 4), "seeds": means}
    return found


def main(arguments: list[str]) -> dict[str, Any]:
    """Evaluates, prints, and writes what was asked for."""
    options = tyro.cli(Options, args=arguments, prog="python -m experiments.evaluate", description=__doc__)
    runs.check_writable(options.json)
    config, params, steps = find(options.run)
    found = evaluate(config, params, options.on, options.episodes, options.seed)
    name = f"{config.env}_{config.difficulty}"
    print(f"{name}, {config.memory}, {options.run} after {steps:,} steps: {config.seeds} seed(s), {options.episodes} episodes")
    for fields, one in found.items():
        print(f"{fields or 'as trained':24s} {one['return']:8.4f} [{min(one['seeds']):.4f}, {max(one['seeds']):.4f}]")
    result = {
        **{"env": name, "memory": config.memory, "env_steps": steps, "config": config.to_json()},
        **{"episodes": options.episodes, "evaluation_seed": options.seed, "on": found},
    }
    if options.json:
        runs.write_result(options.json, result)
    return result
