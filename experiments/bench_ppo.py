"""Measures recurrent PPO: `python -m experiments.bench_ppo`.

(a) Where the time of one rollout and its update goes: environments, acting, learning, for GRU-256, 64 environments x 128 steps,
4 epochs, 4 minibatches. (b) The same against a plain recurrent PPO of the published pure-JAX design with the same network, loss
and environment: batched Flax modules, a scan over time, every epoch gathers a permuted copy of the whole batch. (c) Learning
from rollouts of 1,024 steps, FFM-256 against GRU-256. What is compared alternates, and medians are given.

Results are appended to experiments/results/bench.jsonl with the commit, the versions and the machine's load.
"""

import dataclasses
import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
import tyro
from jax import lax

from diffmem import envs
from diffmem.models import Categorical
from experiments.bench import append, compiled, medians
from experiments.rl import Config, collect, initial_agents, learn, make_optimizer
from experiments.runtime import launch

CLOCKS = {"cpu": time.process_time, "wall": time.perf_counter}


@dataclass
class Options:
    """What to measure."""

    env: str = "repeat_previous_easy"
    """An environment with discrete observations and actions."""
    repeats: int = 7
    """Measurements of which the median is taken."""
    long: int = 1024
    """Steps of a rollout in (c); 0: leave it out."""
    clock: Literal["cpu", "wall"] = "cpu"
    """Seconds of CPU time, which other programs on the machine disturb little, or on the wall."""
    store: bool = True
    """Append the results to experiments/results/bench.jsonl."""


# --- A plain recurrent PPO of the published design --------------------------------------------------------------------


class PlainCell(nn.Module):
    """A GRU that begins anew where `start` says so."""

    @partial(nn.scan, variable_broadcast="params", in_axes=0, out_axes=0, split_rngs={"params": False})  # ty: ignore
    @nn.compact
    def __call__(self, hidden, inputs):
        x, start = inputs
        hidden = jnp.where(start[:, None], jnp.zeros_like(hidden), hidden)
        return nn.GRUCell(hidden.shape[-1])(hidden, x)


class PlainNetwork(nn.Module):
    """The same network as `ActorCritic` with a GRU: [T, B] in, hidden state, logits [T, B, actions] and values [T, B] out."""

    actions: int
    width: int

    @nn.compact
    def __call__(self, hidden, inputs):
        observation, previous, start = inputs
        previous = jnp.where(start[..., None], 0.0, jax.nn.one_hot(previous, self.actions))
        x = jnp.concatenate([observation, previous, start[..., None].astype(jnp.float32)], -1)
        x = nn.leaky_relu(nn.LayerNorm()(nn.Dense(self.width)(x)))
        hidden, read = PlainCell()(hidden, (x, start))
        logits = nn.Dense(self.actions, kernel_init=nn.initializers.normal(0.01))(nn.relu(nn.Dense(128)(read)))
        return hidden, logits, nn.Dense(1)(nn.relu(nn.Dense(128)(read)))[..., 0]


def make_plain(config: Config):
    """Parameters, carry and one iteration: params, optimiser state, carry, key -> the same but key, and the loss."""
    env, width, envs_count = config.environment(), config.width, config.envs
    network = PlainNetwork(env.action_space.n, width)
    rule = optax.chain(optax.clip_by_global_norm(config.max_gradient), optax.adam(config.learning_rate, eps=1e-5))
    policy = Categorical(env.action_space.n)
    show = jax.vmap(env.observation_space.flatten)
    each = lambda function: jax.vmap(jax.vmap(function))  # noqa: E731

    def init(key):
        state, observation = jax.vmap(env.reset, (0, None))(jax.random.split(key, envs_count), env.init_params())
        carry = (state, show(observation), jnp.zeros(envs_count, jnp.int32), jnp.ones(envs_count, bool))
        hidden = jnp.zeros((envs_count, width))
        params = network.init(key, hidden, jax.tree.map(lambda a: a[None], carry[1:]))
        return params, rule.init(params), (*carry, hidden)

    def act(params, hidden, seen):
        hidden, logits, value = network.apply(params, hidden, jax.tree.map(lambda a: a[None], seen))  # ty: ignore
        return hidden, logits[0], value[0]

    def iteration(params, optimizer, carry, key):
        def step(carry, key):
            state, *seen, hidden = carry
            act_key, env_key = jax.random.split(key)
            hidden, logits, value = act(params, hidden, tuple(seen))
            action = jax.random.categorical(act_key, logits)
            log_prob = jax.vmap(policy.log_prob)(logits, action)
            keys = jax.random.split(env_key, envs_count)
            state, out = jax.vmap(partial(envs.step, env), (0, None, 0, 0))(keys, env.init_params(), state, action)
            ended = out.terminated | out.truncated
            return (state, show(out.observation), action, ended, hidden), (*seen, action, log_prob, value, out.reward, ended)

        first = carry[-1]
        rollout_key, key = jax.random.split(key)
        carry, batch = lax.scan(step, carry, jax.random.split(rollout_key, config.rollout))
        observation, previous, start, action, log_prob, value, reward, ended = batch
        last = act(params, carry[-1], carry[1:4])[2]

        def back(carry, inputs):
            later, following = carry
            reward, value, ended = inputs
            delta = reward + config.discount * following * (1 - ended) - value
            later = delta + config.discount * config.trace * (1 - ended) * later
            return (later, value), later

        _, advantage = lax.scan(back, (jnp.zeros_like(last), last), (reward, value, ended), reverse=True)

        def loss(params, hidden, batch):
            observation, previous, start, action, log_prob, old, advantage = batch
            _, logits, value = network.apply(params, hidden, (observation, previous, start))  # ty: ignore
            ratio = jnp.exp(each(policy.log_prob)(logits, action) - log_prob)
            normal = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
            clipped = jnp.clip(ratio, 1 - config.clip, 1 + config.clip)
            policy_loss = -jnp.minimum(ratio * normal, clipped * normal).mean()
            value_loss = 0.5 * jnp.square(value - old - advantage).mean()
            return policy_loss + config.value * value_loss - config.entropy * each(policy.entropy)(logits).mean()

        def minibatch(carry, part):
            params, optimizer = carry
            value, gradients = jax.value_and_grad(loss)(params, part[0][0], part[1])
            updates, optimizer = rule.update(gradients, optimizer, params)
            return (optax.apply_updates(params, updates), optimizer), value

        def epoch(carry, key):
            order = jax.random.permutation(key, envs_count)
            everything = (first[None], (observation, previous, start, action, log_prob, value, advantage))
            mixed = jax.tree.map(lambda a: jnp.take(a, order, 1), everything)
            cut = lambda a: jnp.swapaxes(a.reshape(a.shape[0], config.minibatches, -1, *a.shape[2:]), 0, 1)  # noqa: E731
            return lax.scan(minibatch, carry, jax.tree.map(cut, mixed))

        (params, optimizer), losses = lax.scan(epoch, (params, optimizer), jax.random.split(key, config.epochs))
        return params, optimizer, carry, losses.mean()

    return init, iteration


# --- Measurements -----------------------------------------------------------------------------------------------------


def ours(config: Config):
    """The same two functions for the library's PPO."""

    def init(key):
        params = config.model().init_params(key)
        return params, make_optimizer(config).init(params), initial_agents(config, params, key)

    def iteration(params, optimizer, agents, key):
        agents, rollout = collect(config, params, agents, key)
        params, optimizer, line = learn(config, params, optimizer, rollout, key)
        return params, optimizer, agents, line["loss"]

    return init, iteration


def shares(options: Options) -> dict[str, Any]:
    """(a) and (b)."""
    config = Config(options.env, width=256)
    key = jax.random.key(0)
    init, iteration = ours(config)
    params, optimizer, agents = jax.jit(init)(key)
    rollout = jax.jit(partial(collect, config))(params, agents, key)[1]
    env = config.environment()

    def environments(agents, actions, key):
        def step(state, inputs):
            keys, action = inputs
            return jax.vmap(partial(envs.step, env), (0, None, 0, 0))(keys, env.init_params(), state, action)

        return lax.scan(step, agents.env, (jax.random.split(key, (config.rollout, config.envs)), actions))

    plain_init, plain_iteration = make_plain(config)
    runs = {
        "environment": compiled(environments, (agents, rollout.action, key)).run,
        "collect": compiled(partial(collect, config), (params, agents, key)).run,
        "learn": compiled(partial(learn, config), (params, optimizer, rollout, key)).run,
        "ours": compiled(iteration, (params, optimizer, agents, key)).run,
        "plain": compiled(plain_iteration, (*jax.jit(plain_init)(key), key)).run,
    }
    ms = medians(runs, options.repeats, CLOCKS[options.clock])
    total, steps = ms["collect"] + ms["learn"], config.envs * config.rollout
    return {
        "ppo": "gru",
        "clock": options.clock,
        "env": options.env,
        "envs": config.envs,
        "rollout": config.rollout,
        "epochs": config.epochs,
        "environment_percent": round(100 * ms["environment"] / total, 2),
        "acting_percent": round(100 * (ms["collect"] - ms["environment"]) / total, 1),
        "learning_percent": round(100 * ms["learn"] / total, 1),
        "environment_steps_per_second": round(1e3 * steps / ms["environment"]),
        "steps_per_second": round(1e3 * steps / ms["ours"]),
        "plain_steps_per_second": round(1e3 * steps / ms["plain"]),
        "times_faster_than_plain": round(ms["plain"] / ms["ours"], 3),
    }


def long_rollouts(options: Options) -> dict[str, Any]:
    """(c)."""
    gru = Config(options.env, width=256, rollout=options.long, epochs=1, minibatches=8)
    runs = {}
    for config in (gru, dataclasses.replace(gru, memory="ffm")):
        key = jax.random.key(0)
        params, optimizer, agents = jax.jit(ours(config)[0])(key)
        rollout = jax.jit(partial(collect, config))(params, agents, key)[1]
        runs[config.memory] = compiled(partial(learn, config), (params, optimizer, rollout, key)).run
    ms = medians(runs, max(options.repeats // 2, 3), CLOCKS[options.clock])
    row: dict[str, Any] = {"ppo": "ffm", "clock": options.clock, "envs": gru.envs, "rollout": options.long}
    row |= {f"{name}_learn_seconds": round(value / 1e3, 2) for name, value in ms.items()}
    return row | {"times_faster_than_gru": round(ms["gru"] / ms["ffm"], 2)}


def main(arguments: list[str]) -> list[dict[str, Any]]:
    """Measures, prints and stores."""
    options = tyro.cli(Options, args=arguments, prog="python -m experiments.bench_ppo", description=__doc__)
    rows = [shares(options), *([long_rollouts(options)] if options.long else [])]
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    if options.store:
        append(rows)
    return rows


if __name__ == "__main__":
    launch(main)
