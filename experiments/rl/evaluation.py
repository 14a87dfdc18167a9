"""Agents in fresh episodes, of the environment they were trained in or of others: `python -m experiments.evaluate RUN`."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from experiments import runs
from experiments.checkpoint import Checkpoints
from experiments.config import split_options
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
    render: int = 0
    """Also show so many steps of the first seed's agent, in characters."""


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
    found = {}
    for fields in on or ("",):
        there = dataclasses.replace(moved(config, fields), envs=episodes)
        means = returns(there, params, seed).mean(1).round(4).tolist()
        found[fields] = {"return": round(float(np.median(means)), 4), "seeds": means}
    return found


def moved(config: Config, fields: str) -> Config:
    """The run in an environment that differs in these fields, without what its learning needs of a rollout.

    Raises:
        ValueError: an unknown field, an illegal value, or an environment whose observations or actions do not fit the network.
    """
    whole: dict[str, Any] = {"chunk": 0, "minibatches": 1, "state": "stored", "burn_in": 0}
    there = dataclasses.replace(config, env_options=(*config.env_options, *split_options(fields)), **whole)
    shapes = [jax.eval_shape(one.model().init_params, jax.random.key(0)) for one in (config, there)]
    if shapes[0] != shapes[1]:
        spaces = [(one.environment().observation_space, one.environment().action_space) for one in (config, there)]
        raise ValueError(
            f"--on {fields}: the run's network takes observations of {spaces[0][0]} and acts in {spaces[0][1]}; there are "
            f"{spaces[1][0]} and {spaces[1][1]}"
        )
    return there


def watch(config: Config, params: Any, steps: int, seed: int = 1234) -> Iterator[str]:
    """What an agent of one seed (no leading axis) does in one environment: a picture, then what it did and the next picture.

    Where an episode ends, its last picture comes before the first of the next.
    """
    env, model = config.environment(), config.model()
    env_params, policy = env.init_params(), model.distribution

    @jax.jit
    def act(key, state, memory, seen):
        act_key, env_key = jax.random.split(key)
        memory, decision = model.step(params, memory, *seen)
        action = policy.sample(act_key, decision.outputs)
        return memory, action, env.advance(env_key, env_params, state, env.action_space.clip(action))

    begin = jax.jit(lambda key: env.reset(key, env_params))
    key, reset_key = jax.random.split(jax.random.key(seed))
    memory, (state, observation) = model.init_state(params), begin(reset_key)
    action = policy.mode(jnp.zeros(policy.size))
    ended = True
    yield env.render(state)
    for step in range(1, steps + 1):
        key, act_key, reset_key = jax.random.split(key, 3)
        seen = (observation, action, jnp.bool_(ended))
        memory, action, (state, observation, reward, terminated, truncated) = act(act_key, state, memory, seen)
        ended = bool(terminated | truncated)
        end = ", the episode ends" if terminated else ", the clock ends the episode" if truncated else ""
        yield f"step {step}: action {np.round(action, 3).tolist()}, reward {float(reward):.4g}{end}\n{env.render(state)}"
        if ended:
            state, observation = begin(reset_key)
            yield f"a new episode\n{env.render(state)}"


def main(arguments: list[str]) -> dict[str, Any]:
    """Evaluates, prints, and writes what was asked for."""
    options = tyro.cli(Options, args=arguments, prog="python -m experiments.evaluate", description=__doc__)
    if options.render < 0:
        raise ValueError(f"--render is {options.render}; it must be an integer >= 0")
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
    if options.render:
        first = jax.tree.map(lambda a: a[0], params)
        for fields in options.on or ("",):
            print(*watch(moved(config, fields), first, options.render, options.seed), sep="\n\n")
    return result
