"""What a wrong answer costs, and what the supporting facts teach.

Every loss is of one question, or the sum over those of a stream; `jax.vmap` is the batch.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from diffmem import MemNN
from diffmem.models import QuestionAnswering, Trace, recall
from diffmem.models.dropout import drop
from experiments.stories.config import StoryConfig
from experiments.stories.data import Batch, StreamBatch, Tables, told


def with_blanks(key: jax.Array, rows: jax.Array, facts: jax.Array, rate: float) -> tuple[jax.Array, jax.Array]:
    """Puts empty memories into a story [N], newest first: the sentences' recencies jitter. Facts move along."""
    size = rows.shape[0]
    shift = jnp.cumsum(jax.random.bernoulli(key, rate, (size,)))
    place = jnp.arange(size) + shift
    moved = jnp.zeros(size, rows.dtype).at[place].set(rows, mode="drop")
    there = jnp.where(facts >= 0, place[facts], -1)
    return moved, jnp.where(there < size, there, -1)


def attention_targets(facts: jax.Array, passes: int, slots: int) -> jax.Array:
    """[passes, slots]: pass p is to attend to the p-th supporting fact, the last one to all that are left; zeros: to none."""
    hot = jax.nn.one_hot(facts, slots)  # -1 gives zeros
    count = facts.shape[0]
    hot = jnp.pad(hot, ((0, max(passes - count, 0)), (0, 0)))
    last = hot[passes - 1 :].sum(0)
    targets = hot[:passes].at[-1].set(last)
    return targets / jnp.maximum(targets.sum(-1, keepdims=True), 1)


def make_loss(config: StoryConfig, model: QuestionAnswering, *, linear: bool = False):
    """The loss of one question, or of one stream: (params, table, batch of one, key) -> scalar."""
    if linear:
        model = dataclasses.replace(model, memory=dataclasses.replace(model.memory, softmax=False))  # ty: ignore
    if isinstance(config.memory, MemNN):
        return lambda params, table, one, key: ranking_loss(config, model, params, table, one)
    if config.streamed:
        return lambda params, table, one, key: stream_loss(config, model, params, one, key)

    def loss(params, table, one, key):
        rows, facts = one.stories, one.facts
        noise_key, dropout_key = jax.random.split(key)
        if config.noise:
            rows, facts = with_blanks(noise_key, rows, facts, config.noise)
        story, mask, question = told(one, table, rows)
        if config.noise:  # empty memories are stored, what lies before the first sentence is not
            mask = jnp.cumsum(mask) > 0
        facts_read, mask, query = model.read_story(params, story, mask, question)
        answer = model.respond(params, drop(facts_read, config.dropout, dropout_key), mask, query)
        value = optax.softmax_cross_entropy_with_integer_labels(answer.logits, one.answers)
        if config.supervision:
            value += config.supervision * attention_loss(answer.weights, facts)
        return value

    return loss


def stream_loss(config: StoryConfig, model: QuestionAnswering, params, one: StreamBatch, key: jax.Array) -> jax.Array:
    """The losses of a stream's questions, summed up: the cross-entropies of its answers, and what the facts teach."""
    logits, trace = model.trace_along(params, one.words, one.asks, one.begins, one.ends, key)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, one.answers)
    if config.supervision:
        losses += config.supervision * recall_losses(trace, one, config.pondering)
    return jnp.sum(jnp.where(one.answers > 0, losses, 0))


def recall_losses(trace: Trace, one: StreamBatch, passes: int) -> jax.Array:
    """For each question of a stream [Q], the cross-entropy between the facts and what the first head reads of them.

    It reads the p-th fact as the question's last input comes the p-th time, and then all that are left, as in
    `attention_targets`.
    """
    questions, facts, inputs = one.facts.shape
    at = one.ends[:, None] + jnp.arange(1 - passes, 1)  # [Q, P]
    sources = one.facts.reshape(questions, 1, -1).astype(jnp.int32)
    read = recall(trace, one.asks, one.begins, at, sources)[:, :, 0]
    read = read.reshape(questions, passes, facts, inputs).sum(-1)
    there = jnp.where(one.facts[..., 0] >= 0, jnp.arange(facts), -1)
    targets = jax.vmap(lambda facts: attention_targets(facts, passes, len(facts)))(there)
    return -jnp.sum(targets * jnp.log(read + 1e-5), (1, 2))


def attention_loss(weights: jax.Array, facts: jax.Array) -> jax.Array:
    """Cross-entropy between the attention [P, N] and the supporting facts, for passes that have any.

    The gates of a DMN count by their share of the sum. Each by itself could not be right: a GRU that has read up to a sentence
    does not know whether a later one makes it out of date, but a gate that opens wider for what comes later can win.
    """
    targets = attention_targets(facts, *weights.shape)
    weights = weights / (weights.sum(-1, keepdims=True) + 1e-7)
    return -jnp.sum(targets * jnp.log(weights + 1e-7))


def rank(lead: jax.Array, pick: jax.Array, margin: float) -> jax.Array:
    """What the lead of the true pick over each other candidate, and of the other over it, lack to the margin: [N + 1]."""
    return jax.nn.relu(margin - lead[pick]) + jax.nn.relu(margin + lead[:, pick])


def ranking_loss(config: StoryConfig, model: QuestionAnswering, params, table: Tables, one: Batch) -> jax.Array:
    """MemNN's margin ranking loss, true supporting facts lead all others, and the cross-entropy of the answer to them."""
    memory: Any = model.memory
    story, mask, question = told(one, table, one.stories)
    own = params["memory"]
    empty = memory.init_state(own)
    state = memory.write_all(own, empty._replace(slots=empty.slots[: len(story)]), story, mask)
    slots = state.slots.shape[0]
    picks = jnp.append(jnp.where(one.facts < 0, slots, one.facts), slots)[: memory.hops]
    sentences = jnp.concatenate([state.slots, jnp.zeros_like(state.slots[:1])])
    known = memory.known(own, question, sentences[picks[:-1]])
    before = jnp.append(-1, jnp.where(picks == slots, -1, picks)[:-1])  # how old what was picked last is
    compare = jax.vmap(memory.comparisons, in_axes=(None, None, 0, 0))
    lead = compare(own, memory.candidates(own, state), known, before)
    losses = jax.vmap(rank, in_axes=(0, 0, None))(lead, picks, config.margin)
    hot = jax.nn.one_hot(picks, slots + 1, dtype=bool).at[:, slots].set(False)
    taken = jnp.cumsum(hot, 0) > 0  # the true fact among them: it is no rival
    rivals = jnp.append(memory.filled(state), True) & ~taken & (jnp.arange(slots + 1) != picks[:, None])
    ended = jnp.append(False, picks[:-1] == slots)  # nothing is learned after "no more"
    total = jnp.where(rivals & ~ended[:, None], losses, 0).sum()
    told_weights = jax.nn.one_hot(picks, slots + 1, dtype=sentences.dtype)
    reader = dataclasses.replace(memory, hops=len(picks))
    weights = jnp.stack([told_weights, reader.read(jax.lax.stop_gradient(own), state, question)[1].weights])
    values = jax.vmap(memory.response, in_axes=(None, None, 0, 0))(own, question, weights @ sentences, weights[..., -1])
    logits = jax.vmap(model.logits, in_axes=(None, 0))(params, values)
    return total + optax.softmax_cross_entropy_with_integer_labels(logits, jnp.stack([one.answers] * 2)).sum()
