# %% [markdown]
# # An agent that remembers: FFM against GRU
#
# Cards come by one at a time, and the agent must name the suit that it saw three cards ago: POPGym's *Repeat Previous*. Without a
# memory there is nothing to learn. Two agents that differ in their memory alone, Fast and Forgetful Memory (Morad et al. 2023) and a
# GRU, learn it by PPO, all of it compiled. Two to three minutes on a CPU.

# %%
# Installs diffmem from GitHub. Once it is on PyPI, "diffmem[train]" is enough.
# %pip install --quiet "diffmem[train] @ git+https://github.com/{{repository}}"
# %matplotlib inline

# %%
import os

# A memory is a long chain of small operations, which one core of a CPU runs faster alone than two cores together.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import jax
import jax.numpy as jnp
import numpy as np
import optax

import diffmem
from diffmem import envs, viz
from diffmem.models import ActorCritic, FlatEncoder

QUICK = "DIFFMEM_QUICK" in os.environ  # the tests run a few steps only
ROUNDS, ENVS, SEEDS = (2, 8, 1) if QUICK else (150, 64, 2)

# %% [markdown]
# ## The environment
# Like a memory, it is a config, params and a state, and pure functions of one of them; `jax.vmap` is many. A game is one deck: 52
# cards, 51 steps. The reward of a right answer is 1/48, that of a wrong one -1/48, so that a perfect game is worth 1 and a guessing
# agent gets -0.5 on average.

# %%
env = envs.make("repeat_previous", "easy")
rules = env.init_params()
state, card = env.reset(jax.random.key(0), rules)
for i in range(6):
    print(f"{env.render(state)}   right answer: {'♠♦♣♥'[int(env.oracle(rules, state))]}")
    state, _ = envs.step(env, jax.random.key(i), rules, state, env.oracle(rules, state))

# %% [markdown]
# ## The agents
# An encoder of the card and the last action, a memory, an actor and a critic.

# %%
WIDTH = 128
memories = {
    "FFM": diffmem.FFM(input_size=WIDTH, output_size=WIDTH),
    "GRU": diffmem.GRU(input_size=WIDTH, hidden_size=WIDTH),
}
agents = {
    label: ActorCritic(env.observation_space, env.action_space, memory, FlatEncoder(WIDTH))
    for label, memory in memories.items()
}

# %% [markdown]
# ## Playing
# A round is one whole game in each of 64 environments: every sequence begins with an empty memory, and nothing follows its end.


# %%
def play(agent, params, key):
    """One game: what was seen and done, each with a leading axis of its 51 steps."""
    begin, key = jax.random.split(key)
    state, observation = env.reset(begin, rules)

    def step(carry, key):
        state, memory, observation, previous, start = carry
        act, draw = jax.random.split(key)
        memory, decision = agent.step(params, memory, observation, previous, start)
        action = agent.distribution.sample(act, decision.outputs)
        log_prob = agent.distribution.log_prob(decision.outputs, action)
        state, following, reward, _, _ = env.advance(draw, rules, state, action)
        seen = {"observation": observation, "previous": previous, "start": start}
        done = {"action": action, "log_prob": log_prob, "value": decision.value, "reward": reward}
        return (state, memory, following, action, jnp.bool_(False)), {**seen, **done}

    first = (state, agent.init_state(params), observation, jnp.zeros((), jnp.int32), jnp.bool_(True))
    return jax.lax.scan(step, first, jax.random.split(key, env.max_steps))[1]


# %% [markdown]
# ## Learning
# PPO: advantages by the generalised estimator, then four times through the games in four minibatches. `agent.sequence` recomputes a
# whole game at once, with the memory's parallel or chunked form where it has one.

# %%
DISCOUNT, TRACE, CLIP = 0.99, 0.95, 0.2
optimizer = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(1e-3, eps=1e-5))


def advantages(game):
    def back(later, now):
        reward, value, following = now
        later = reward + DISCOUNT * following - value + DISCOUNT * TRACE * later
        return later, later

    following = jnp.append(game["value"][1:], 0.0)
    return jax.lax.scan(back, 0.0, (game["reward"], game["value"], following), reverse=True)[1]


def loss(agent, params, games):
    def again(game):
        _, decision = agent.sequence(params, None, game["observation"], game["previous"], game["start"])
        log_prob = jax.vmap(agent.distribution.log_prob)(decision.outputs, game["action"])
        return log_prob, decision.value, jax.vmap(agent.distribution.entropy)(decision.outputs)

    log_prob, value, entropy = jax.vmap(again)(games)
    ratio, advantage = jnp.exp(log_prob - games["log_prob"]), games["advantage"]
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    gain = jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - CLIP, 1 + CLIP) * advantage)
    error = jnp.square(value - games["value"] - games["advantage"])
    return 0.25 * error.mean() - gain.mean() - 0.01 * entropy.mean()


def learn(agent, key):
    """A whole training: the parameters and the mean return of every round."""

    def round(carry, key):
        params, _ = carry
        draw, *epochs = jax.random.split(key, 5)
        games = jax.vmap(lambda key: play(agent, params, key))(jax.random.split(draw, ENVS))
        games["advantage"] = jax.vmap(advantages)(games)

        def minibatch(carry, chosen):
            params, opt_state = carry
            gradients = jax.grad(lambda params: loss(agent, params, jax.tree.map(lambda a: a[chosen], games)))(params)
            updates, opt_state = optimizer.update(gradients, opt_state)
            return (optax.apply_updates(params, updates), opt_state), None

        order = jnp.concatenate([jax.random.permutation(key, ENVS).reshape(4, -1) for key in epochs])
        return jax.lax.scan(minibatch, carry, order)[0], games["reward"].sum(-1).mean()

    begin, key = jax.random.split(key)
    params = agent.init_params(begin)
    (params, _), returns = jax.lax.scan(round, (params, optimizer.init(params)), jax.random.split(key, ROUNDS))
    return params, returns


learned, returns = {}, {}
for label, agent in agents.items():
    train = jax.jit(lambda key, agent=agent: learn(agent, key))
    runs = [train(key) for key in jax.random.split(jax.random.key(1), SEEDS)]
    learned[label], returns[label] = runs[0][0], np.stack([found for _, found in runs], 1)
    print(f"{label}: mean return {returns[label][-1].mean():.3f} in the last round")

# %% [markdown]
# ## Learning curves

# %%
seen = ENVS * env.max_steps * np.arange(1, ROUNDS + 1)
viz.learning_curve(seen, returns, xlabel="environment steps", ylabel="mean return of an episode", least=None)

# %% [markdown]
# ## A game
# The answers of the first FFM agent, below the cards: each should be the card three places to its left.

# %%
game = play(agents["FFM"], learned["FFM"], jax.random.key(5))
cards, answers = (["♠♦♣♥"[suit] for suit in game[name][:30].tolist()] for name in ("observation", "action"))
print("cards  ", *cards)
print("answers", *"...", *answers[3:])
print("wrong  ", *"   ", *(".x"[reward < 0] for reward in game["reward"][3:30].tolist()))
