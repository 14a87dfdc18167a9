"""Recurrent PPO: acting, advantages, learning. Everything here is one seed and is compiled as part of the whole run.

Two flags are kept apart. `start` comes BEFORE a step: this observation is the first of an episode, so the memory begins anew.
`ended` comes AFTER a step: the episode is over, so no advantage flows back from what follows. They are one step apart.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from diffmem import envs
from diffmem.models import ActorCritic
from diffmem.unroll import where
from experiments.rl.config import Config, Settings


class Agents(NamedTuple):
    """What is carried from step to step, with a leading axis of environments.

    start: whether `observation` is the first of an episode. returned: the sum of rewards of the running episode.
    """

    env: Any
    memory: Any
    observation: Any
    previous_action: Any
    start: jax.Array
    returned: jax.Array


class Rollout(NamedTuple):
    """What was seen and done, [T, environments]; memory is the state before every chunk, [chunks, environments].

    next_value: of what follows a step: 0 where the episode terminated, V(final observation) where it was cut off.
    returned: the sum of rewards of the episodes that ended here. valid: whether a step counts in the loss.
    """

    observation: Any
    previous_action: Any
    start: jax.Array
    action: Any
    log_prob: jax.Array
    value: jax.Array
    reward: jax.Array
    ended: jax.Array
    next_value: jax.Array
    returned: jax.Array
    valid: jax.Array
    memory: Any


class Samples(NamedTuple):
    """What is learned from: whole chunks, [chunk, sequences]; memory [sequences] is the state before each."""

    observation: Any
    previous_action: Any
    start: jax.Array
    action: Any
    log_prob: jax.Array
    value: jax.Array
    advantage: jax.Array
    valid: jax.Array
    memory: Any


# --- Acting -----------------------------------------------------------------------------------------------------------


def initial_agents(config: Config, params: Any, key: jax.Array) -> Agents:
    """New episodes in all environments."""
    env, model, n = config.environment(), config.model(), config.envs
    state, observation = jax.vmap(env.reset, (0, None))(jax.random.split(key, n), env.init_params())
    memory = jax.tree.map(lambda a: jnp.broadcast_to(a, (n, *a.shape)), model.init_state(params))
    action = jax.eval_shape(model.distribution.mode, jax.ShapeDtypeStruct((model.distribution.size,), jnp.float32))
    none = jnp.zeros((n, *action.shape), action.dtype)
    return Agents(state, memory, observation, none, jnp.ones(n, bool), jnp.zeros(n))


def collect(config: Config, params: Any, agents: Agents, key: jax.Array) -> tuple[Agents, Rollout]:
    """Acts for a rollout."""
    env, model, n = config.environment(), config.model(), config.envs
    policy, step_agents = model.distribution, jax.vmap(model.step, (None, 0, 0, 0, 0))
    reset_key, key = jax.random.split(key)
    if config.state == "zero":
        agents = initial_agents(config, params, reset_key)
    # A time-out cuts an episode off, but its last observation has a value. Where there was one, what is needed to compute that
    # value is put aside, and all values are computed at once in the end. An environment cannot be cut off twice within
    # max_steps; should it be all the same, the value is NaN and the run stops.
    cuts = -(-config.rollout // env.max_steps)
    aside = (agents.memory, agents.observation, agents.previous_action)
    aside = jax.tree.map(lambda a: jnp.broadcast_to(a[:, None], (n, cuts, *a.shape[1:])), aside)

    def put_aside(aside, count, cut, values):
        place = jnp.where(cut, count, cuts)  # beyond the end: dropped
        return jax.tree.map(lambda all, one: all.at[place].set(one, mode="drop"), aside, values)

    def step(carry, key):
        agents, aside, count = carry
        act_key, env_key = jax.random.split(key)
        seen = (agents.observation, agents.previous_action, agents.start)
        memory, decision = step_agents(params, agents.memory, *seen)
        action = jax.vmap(policy.sample)(jax.random.split(act_key, n), decision.outputs)
        log_prob = jax.vmap(policy.log_prob)(decision.outputs, action)
        state, out = jax.vmap(partial(envs.step, env), (0, None, 0, 0))(
            jax.random.split(env_key, n), env.init_params(), agents.env, action
        )
        ended = out.terminated | out.truncated
        cut = out.truncated & ~out.terminated
        aside = jax.vmap(put_aside)(aside, count, cut, (memory, out.final_observation, action))
        returned = agents.returned + out.reward
        agents = Agents(state, memory, out.observation, action, ended, jnp.where(ended, 0, returned))
        kept = (action, log_prob, decision.value, out.reward, ended, cut, returned)
        return (agents, aside, count + cut.astype(count.dtype)), (*seen, *kept)

    def chunk(carry, keys):
        memory = carry[0].memory
        carry, kept = lax.scan(step, carry, keys)
        return carry, (kept, memory)

    keys = jax.random.split(key, (config.rollout // config.length, config.length))
    (agents, aside, _), (kept, memory) = lax.scan(chunk, (agents, aside, jnp.zeros(n, jnp.int32)), keys)
    kept = jax.tree.map(lambda a: a.reshape(config.rollout, *a.shape[2:]), kept)
    observation, previous_action, start, action, log_prob, value, reward, ended, cut, returned = kept

    last = step_agents(params, agents.memory, agents.observation, agents.previous_action, agents.start)[1].value
    after_cut = lambda *seen: model.step(params, *seen, jnp.bool_(False))[1].value  # noqa: E731
    cut_values = jax.vmap(jax.vmap(after_cut))(*aside)  # [environments, cuts]
    which = jnp.cumsum(cut, 0) - 1
    final = jax.vmap(lambda values, i: values.at[i].get(mode="fill", fill_value=jnp.nan), (0, 1), 1)(cut_values, which)
    following = jnp.concatenate([value[1:], last[None]])
    next_value = jnp.where(ended, jnp.where(cut, final, 0), following)
    valid = jnp.ones_like(ended)
    seen = (observation, previous_action, start)
    return agents, Rollout(*seen, action, log_prob, value, reward, ended, next_value, returned, valid, memory)


def advantages(reward: jax.Array, value: jax.Array, next_value: jax.Array, ended: jax.Array, discount: float, trace: float):
    """Generalised advantages A_t = delta_t + gamma lambda A_{t+1}, delta_t = r_t + gamma V_{t+1} - V_t, along the first axis.

    Args:
        reward: [T, ...].
        value: V of what was seen at each step.
        next_value: V of what followed it within the episode, 0 where nothing did.
        ended: whether the episode was over after the step: A_{t+1} is another's.
        discount: gamma.
        trace: lambda.
    """

    def back(later, inputs):
        delta, ended = inputs
        advantage = delta + discount * trace * jnp.where(ended, 0, later)
        return advantage, advantage

    delta = reward + discount * next_value - value
    return lax.scan(back, jnp.zeros_like(delta[0]), (delta, ended), reverse=True)[1]


# --- Learning ---------------------------------------------------------------------------------------------------------


def make_optimizer(config: Settings) -> optax.GradientTransformation:
    """Adam on gradients of bounded norm; the memory's timescales at their own rate."""
    updates = config.iterations * config.epochs * config.minibatches
    rate: Any = optax.linear_schedule(config.learning_rate, 0.0, updates) if config.anneal else config.learning_rate

    def slow(params):
        named = lambda path, _: any(getattr(entry, "key", None) in config.timescales for entry in path)  # noqa: E731
        mask = jax.tree.map(lambda _: False, params)
        return {**mask, "memory": jax.tree.map_with_path(named, params["memory"])}

    groups = (optax.masked(optax.scale(config.timescale_rate), slow),) if config.timescales else ()
    return optax.chain(optax.clip_by_global_norm(config.max_gradient), optax.adam(rate, eps=1e-5), *groups)


def run_sequences(model: ActorCritic, params: Any, memory: Any, seen: tuple):
    """`model.sequence` over [T, sequences] from a state each."""
    return jax.vmap(partial(model.sequence, params), (0, 1, 1, 1), (0, 1))(memory, *seen)


def loss(config: Settings, model: ActorCritic, params: Any, samples: Samples) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The clipped objective of a minibatch, and what is logged."""
    memory = samples.memory
    if config.burn_in:
        before, samples = (jax.tree.map(cut, samples._replace(memory=())) for cut in _cut(config.burn_in))
        seen = (before.observation, before.previous_action, before.start)
        memory = lax.stop_gradient(run_sequences(model, params, memory, seen)[0])
    seen = (samples.observation, samples.previous_action, samples.start)
    decision = run_sequences(model, params, memory, seen)[1]
    policy, each = model.distribution, lambda function: jax.vmap(jax.vmap(function))
    count = jnp.maximum(jnp.sum(samples.valid, dtype=samples.value.dtype), 1)
    mean = lambda values: jnp.sum(jnp.where(samples.valid, values, 0)) / count  # noqa: E731

    change = each(policy.log_prob)(decision.outputs, samples.action) - samples.log_prob
    ratio = jnp.exp(change)
    centred = samples.advantage - mean(samples.advantage)
    advantage = centred / (jnp.sqrt(mean(jnp.square(centred))) + 1e-8)
    clipped = jnp.clip(ratio, 1 - config.clip, 1 + config.clip)
    policy_loss = -mean(jnp.minimum(ratio * advantage, clipped * advantage))
    target = samples.value + samples.advantage
    error = jnp.square(decision.value - target)
    if config.value_clip:
        moved = jnp.clip(decision.value - samples.value, -config.value_clip, config.value_clip)
        error = jnp.maximum(error, jnp.square(samples.value + moved - target))
    value_loss = 0.5 * mean(error)
    entropy = mean(each(policy.entropy)(decision.outputs))
    total = policy_loss + config.value * value_loss - config.entropy * entropy
    return total, {
        "loss": total,
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": entropy,
        "kl": mean(ratio - 1 - change),
        "clipped": mean((jnp.abs(ratio - 1) > config.clip).astype(ratio.dtype)),
        "ratio_error": jnp.max(jnp.where(samples.valid, jnp.abs(ratio - 1), 0)),
    }


def _cut(step: int):
    return lambda a: a[:step], lambda a: a[step:]


def samples_of(config: Settings, rollout: Rollout) -> Samples:
    """The rollout as chunks side by side, environments next to each other."""
    advantage = advantages(rollout.reward, rollout.value, rollout.next_value, rollout.ended, config.discount, config.trace)
    fields = {**rollout._asdict(), "advantage": advantage}
    fields = {name: fields[name] for name in Samples._fields if name != "memory"}
    in_chunks = lambda a: a.reshape(-1, config.length, *a.shape[1:])  # noqa: E731
    side_by_side = lambda a: jnp.moveaxis(in_chunks(a), 0, 1).reshape(config.length, config.sequences, *a.shape[2:])  # noqa: E731
    return Samples(**jax.tree.map(side_by_side, fields), memory=_flat(rollout.memory))


def _flat(tree: Any) -> Any:
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), tree)


def refreshed(config: Settings, model: ActorCritic, params: Any, samples: Samples) -> Any:
    """The state before every chunk as these parameters make it, from the states before the first chunks."""
    split = lambda a: jnp.moveaxis(a.reshape(config.length, -1, config.envs, *a.shape[2:]), 1, 0)  # noqa: E731
    seen = jax.tree.map(split, (samples.observation, samples.previous_action, samples.start))
    first = jax.tree.map(lambda a: a[: config.envs], samples.memory)
    chunk = lambda memory, seen: (run_sequences(model, params, memory, seen)[0], memory)  # noqa: E731
    return lax.stop_gradient(_flat(lax.scan(chunk, first, seen)[1]))


def learn(
    config: Settings, params: Any, optimizer: Any, rollout: Rollout, key: jax.Array
) -> tuple[Any, Any, dict[str, jax.Array]]:
    """Some epochs of minibatches: parameters, optimiser state and the means of what is logged.

    Environments are permuted, never time. `ratio_error` is the first minibatch's largest |ratio - 1|: what the agent did is
    what the learner recomputes.
    """
    model, rule, samples = config.model(), make_optimizer(config), samples_of(config, rollout)
    gradient = jax.grad(partial(loss, config, model), has_aux=True)

    def epoch(carry):
        number, params, optimizer, stopped, sums, count = carry
        current = samples
        if config.state == "refresh":
            current = samples._replace(memory=refreshed(config, model, params, samples))

        def minibatch(carry, chosen):
            params, optimizer, stopped, sums, count = carry
            part = jax.tree.map(lambda a: a[:, chosen], current._replace(memory=()))
            part = part._replace(memory=jax.tree.map(lambda a: a[chosen], current.memory))
            gradients, logged = gradient(params, part)
            logged["ratio_error"] = jnp.where(count == 0, logged["ratio_error"], 0)
            stopped = stopped | (logged["kl"] > config.kl_stop if config.kl_stop else False)
            updates, moved = rule.update(gradients, optimizer, params)
            new = (optax.apply_updates(params, updates), moved, jax.tree.map(jnp.add, sums, logged), count + 1)
            params, optimizer, sums, count = where(stopped, (params, optimizer, sums, count), new)
            return (params, optimizer, stopped, sums, count), None

        order = jax.random.permutation(jax.random.fold_in(key, number), config.sequences).reshape(config.minibatches, -1)
        return number + 1, *lax.scan(minibatch, (params, optimizer, stopped, sums, count), order)[0]

    logged = jax.eval_shape(partial(loss, config, model), params, samples)[1]
    sums = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), logged)
    carry = (jnp.int32(0), params, optimizer, jnp.bool_(False), sums, jnp.int32(0))
    _, params, optimizer, _, sums, count = lax.while_loop(lambda c: (c[0] < config.epochs) & ~c[3], epoch, carry)
    means = {name: value / (1 if name == "ratio_error" else jnp.maximum(count, 1)) for name, value in sums.items()}
    return params, optimizer, {**means, "updates": count}
