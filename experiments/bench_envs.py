"""Measures how fast environments step: `python -m experiments.bench_envs`, or `... battleship minesweeper` for some.

Per environment and level: steps per second of random play with automatic resets, `jit(scan(vmap(step)))` on the default device,
by the wall clock and by processor time, which other programs on the machine disturb less. Beside it, where POPGym is
installed and has the environment, POPGym in one process, compared by processor time. What is measured alternates, and medians
are given.

Results are appended to experiments/results/bench.jsonl with the commit, the versions and the machine's load.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import tyro

from diffmem import envs
from experiments.bench import append
from experiments.runtime import launch


@dataclass
class Options:
    """What to measure."""

    environments: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Names of environments; none: all."""
    batch: int = 64
    """Environments side by side."""
    time: int = 1000
    """Steps in one measurement."""
    repeats: int = 9
    """Measurements of which the median is taken."""
    popgym: bool = True
    """Measure POPGym too, where it is installed."""
    store: bool = True
    """Append the results to experiments/results/bench.jsonl."""


def rollout(env: Any, batch: int, steps: int) -> Callable[[], Any]:
    """Random play, compiled; everything a step returns is added up, so that none of it can be left out."""
    params = env.init_params()

    def one(state, key):
        action_key, step_key = jax.random.split(key)
        return envs.step(env, step_key, params, state, env.action_space.sample(action_key))

    def add(total, leaf):
        return total + leaf.reshape(batch, -1).sum(-1).astype(jnp.float32)

    def body(carry, key):
        state, total = carry
        state, step = jax.vmap(one)(state, jax.random.split(key, batch))
        return (state, jax.tree.reduce(add, step, total)), None

    @jax.jit
    def run(key):
        reset_key, key = jax.random.split(key)
        state, _ = jax.vmap(env.reset, (0, None))(jax.random.split(reset_key, batch), params)
        return jax.lax.scan(body, (state, jnp.zeros(batch)), jax.random.split(key, steps))[0][1]

    compiled = run.lower(jax.random.key(0)).compile()
    return lambda: jax.block_until_ready(compiled(jax.random.key(0)))


def popgym_rollout(env: Any, level: str, steps: int) -> Callable[[], Any] | None:
    """The same in POPGym, one environment; None where there is none."""
    try:
        import popgym.envs
    except ImportError:
        return None
    make = getattr(popgym.envs, type(env).__name__ + level.title(), None)
    if make is None:
        return None
    theirs = make()

    def run():
        theirs.reset()
        for _ in range(steps):
            _, _, terminated, truncated, _ = theirs.step(theirs.action_space.sample())
            if terminated or truncated:
                theirs.reset()

    return run


def rates(runs: dict[str, tuple[Callable, int]], repeats: int) -> dict[str, tuple[float, float]]:
    """Steps per second of each, by the wall clock and by processor time; medians of alternating runs."""
    for run, _ in runs.values():
        run()
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, (run, _) in runs.items():
            wall, processor = time.perf_counter(), time.process_time()
            run()
            seconds[name].append((time.perf_counter() - wall, time.process_time() - processor))
    return {
        name: tuple(runs[name][1] / statistics.median(times) for times in zip(*pairs, strict=True))
        for name, pairs in seconds.items()
    }


def measure(name: str, options: Options) -> list[dict[str, Any]]:
    """One row per level."""
    runs = {}
    for level in envs.entry(name).levels:
        env = envs.make(name, level)
        runs[level] = rollout(env, options.batch, options.time), options.batch * options.time
        peer = popgym_rollout(env, level, options.time) if options.popgym else None
        if peer:
            runs[f"popgym {level}"] = peer, options.time
    found = rates(runs, options.repeats)
    rows = []
    for level in envs.entry(name).levels:
        wall, processor = found[level]
        row: dict[str, Any] = {"environment": name, "level": level, "batch": options.batch, "steps_per_second": round(wall)}
        row["steps_per_cpu_second"] = round(processor)
        if f"popgym {level}" in found:
            peer = found[f"popgym {level}"][1]
            row |= {"popgym_steps_per_cpu_second": round(peer), "times_popgym": round(processor / peer, 1)}
        rows.append(row)
    return rows


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measures, prints and stores."""
    options = tyro.cli(Options, args=arguments, prog="python -m experiments.bench_envs", description=__doc__)
    for name in options.environments:
        envs.entry(name)
    rows = []
    print(f"{'environment':18s} {'level':8s} {'steps/s':>10s} {'per cpu s':>10s} {'POPGym':>8s} {'times':>6s}")
    for name in options.environments or envs.names():
        for row in measure(name, options):
            rows.append(row)
            peer = f"{row['popgym_steps_per_cpu_second']:8d} {row['times_popgym']:6.1f}" if "times_popgym" in row else ""
            print(
                f"{name:18s} {row['level']:8s} {row['steps_per_second']:10d} {row['steps_per_cpu_second']:10d} {peer}".rstrip(),
                flush=True,
            )
    if options.store:
        append(rows)
    return rows


if __name__ == "__main__":
    launch(main)
