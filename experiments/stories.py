"""Question answering about stories: the config, the data on the device, and an epoch as one compiled scan.

A regime of its own beside `experiments.train`, which dispatches here: a finite data set instead of sampled sequences, epochs
instead of steps, error in percent by task instead of bits. One model for all tasks (`joint`) or one for each.
"""

import dataclasses
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from diffmem import DMN, DMNPlus, MemN2N, MemNN
from diffmem.models import Bags, QuestionAnswering, Sentences, Stream, Words
from diffmem.tasks.babi import Examples, Story, Vocabulary, buckets, examples
from diffmem.tasks.babi.text import count_questions
from experiments import runs
from experiments.checkpoint import Checkpoints
from experiments.config import MemoryT, Optimizer

ALL = tuple(range(1, 21))


@dataclass(frozen=True)
class StoryConfig(Generic[MemoryT]):
    """A run on bAbI: a memory, and how it is trained on which tasks."""

    memory: MemoryT
    """Its input_size is the width d of a DMN, DMN+ or LSTM; for MemN2N and MemNN it follows from the vocabulary."""
    tasks: tuple[int, ...] = ALL
    """Task numbers."""
    joint: bool = True
    """One model for all tasks; otherwise one for each."""
    setting: Literal["1k", "10k"] = "10k"
    """Training questions per task."""
    supervision: float = 0.0
    """Weight of the loss that teaches the attention of each hop or pass the supporting facts."""
    margin: float = 0.1
    """Of the ranking loss (MemNN)."""
    linear_start: int = 0
    """First epochs without softmax in the hops (MemN2N)."""
    noise: float = 0.0
    """Chance of an empty memory behind each sentence in training, so that recency encodings generalise."""
    dropout: float = 0.0
    """Of embedded words and sentences, in training."""
    weight_decay: float = 0.0
    """L2 penalty on all parameters."""
    optimizer: Optimizer = field(default_factory=lambda: Optimizer("adam", learning_rate=1e-3))
    batch: int = 32
    """Questions per step."""
    epochs: int = 60
    seeds: int = 1
    """Independent runs, trained side by side on the same order of questions."""
    seed: int = 0
    """The first of them."""
    checkpoint_every: int = 5
    """Epochs between checkpoints and between two looks at the validation questions."""
    buckets: tuple[int, ...] = (10, 20, 40, 70)
    """Stories are padded to these lengths; the last one is cut at memory.slots."""

    def __post_init__(self):
        for name in ("batch", "epochs", "seeds", "checkpoint_every"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"StoryConfig.{name} is {value!r}; it must be an integer >= 1")
        if not self.tasks or not all(task in ALL for task in self.tasks):
            raise ValueError(f"StoryConfig.tasks is {self.tasks!r}; legal: task numbers from 1 to 20")
        for name in ("noise", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"StoryConfig.{name} is {getattr(self, name)!r}; legal: 0 <= {name} < 1")

    def model(self, vocabulary: Vocabulary) -> QuestionAnswering:
        """The memory with its paper's encoder and answer, in the vocabulary's sizes."""
        size, memory = len(vocabulary), self.memory
        if isinstance(memory, MemN2N | MemNN):
            bag = memory.encoding == "bag"
            sized: Any = dataclasses.replace(memory, input_size=size if bag else 2 * size)
            tied = isinstance(memory, MemN2N) and memory.tying == "adjacent"
            return QuestionAnswering(Bags(size, "bag" if bag else "memn2n"), sized, "tied" if tied else "dense")
        if isinstance(memory, DMNPlus):
            return QuestionAnswering(Sentences(size, memory.input_size), memory, "dense_query")
        if isinstance(memory, DMN):
            return QuestionAnswering(Words(size, memory.input_size), memory, "gru")
        return QuestionAnswering(Stream(size, memory.input_size), memory, "dense")

    def parts(self) -> dict[str, tuple[int, ...]]:
        """The tasks of each model that is trained, by name: "joint", or "qa1", "qa2", .."""
        return {"joint": self.tasks} if self.joint else {f"qa{task}": (task,) for task in self.tasks}

    def to_json(self) -> dict[str, Any]:
        """The config as plain numbers and strings."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


class Batch(NamedTuple):
    """Questions on the device: rows of the sentence tables; see `diffmem.tasks.babi.Examples`."""

    stories: jax.Array
    questions: jax.Array
    answers: jax.Array
    facts: jax.Array


class Tables(NamedTuple):
    """Every distinct sentence, encoded once: [S, ...] as part of a story, [S, ...] as a question."""

    sentences: jax.Array
    questions: jax.Array


class TrainState(NamedTuple):
    """Everything that a run carries from epoch to epoch; every leaf but `epoch` has a leading axis of seeds."""

    params: Any
    optimizer: Any
    key: jax.Array
    epoch: jax.Array


@dataclass(frozen=True)
class Data:
    """What one model is trained and validated on."""

    vocabulary: Vocabulary
    train: tuple[Examples, ...]
    valid: tuple[Examples, ...]


@lru_cache
def stories(tasks: tuple[int, ...], setting: str, split: str, data_dir: str | None = None) -> dict[int, list[Story]]:
    """The stories of a split, by task, in the data set's own division of the training questions into train and valid."""
    folder = "en-valid-10k" if setting == "10k" else "en-valid"
    return {task: read(task, split, folder, data_dir) for task in tasks}


def read(task: int, split: str, folder: str, data_dir: str | None = None) -> list[Story]:
    """One task's stories.

    The 10k training file of task 3 is not in every copy of the data set. Where it is missing, the 1k training stories
    that are not among the 10k validation stories are filled up to 9,000 questions by our own generator.
    """
    from diffmem.tasks.babi import files, generate

    if (task, split, folder) != (3, "train", "en-valid-10k") or files.has(task, split, folder, data_dir):
        return files.read(task, split, folder, data_dir)
    held_out = {story.sentences for story in files.read(3, "valid", folder, data_dir)}
    real = [story for story in files.read(3, "train", "en", data_dir) if story.sentences not in held_out]
    return real + generate.generate(3, 9000 - count_questions(real), seed=1)


def load(config: StoryConfig, tasks: tuple[int, ...], data_dir: str | None = None) -> Data:
    """The arrays of one model's tasks."""
    train, valid = (stories(tasks, config.setting, split, data_dir) for split in ("train", "valid"))
    vocabulary = Vocabulary.of([story for told in (*train.values(), *valid.values()) for story in told])
    longest = getattr(config.memory, "slots", max(config.buckets))
    sizes = sorted({min(size, longest) for size in config.buckets} | {longest})
    split = lambda told: tuple(buckets(examples(told, vocabulary, slots=longest), sizes))  # noqa: E731
    return Data(vocabulary, split(train), split(valid))


def on_device(part: Examples) -> Batch:
    """The arrays that training needs."""
    return Batch(*map(jnp.asarray, (part.stories, part.questions, part.answers, part.facts)))


def tables(model: QuestionAnswering, part: Examples) -> Tables:
    """The distinct sentences, encoded."""
    words = jnp.asarray(part.sentences)
    return Tables(model.encoder.sentence(words), model.encoder.question(words))


def resized(config: StoryConfig, model: QuestionAnswering, slots: int) -> QuestionAnswering:
    """The same model with room for stories of this many sentences; parameters stay as they are."""
    if not hasattr(config.memory, "slots"):
        return model
    memory: Any = dataclasses.replace(model.memory, slots=slots)  # ty: ignore[invalid-argument-type]
    return dataclasses.replace(model, memory=memory)


def told(batch: Batch, table: Tables, rows: jax.Array):
    """Story (oldest first), mask and question of one example, encoded."""
    newest_first = rows
    return table.sentences[newest_first[::-1]], newest_first[::-1] > 0, table.questions[batch.questions]


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
    """The loss of one question: (params, table, batch of one, key) -> scalar."""
    if linear:
        model = dataclasses.replace(model, memory=dataclasses.replace(model.memory, softmax=False))  # ty: ignore
    if isinstance(config.memory, MemNN):
        return lambda params, table, one, key: ranking_loss(config, model, params, table, one)

    def loss(params, table, one, key):
        rows, facts = one.stories, one.facts
        noise_key, dropout_key = jax.random.split(key)
        if config.noise:
            rows, facts = with_blanks(noise_key, rows, facts, config.noise)
        story, mask, question = told(one, table, rows)
        if config.noise:  # empty memories are stored, what lies before the first sentence is not
            mask = jnp.cumsum(mask) > 0
        if config.dropout:
            params = drop_embeddings(dropout_key, params, config.dropout)
        answer = model(params, story, mask, question)
        value = optax.softmax_cross_entropy_with_integer_labels(answer.logits, one.answers)
        if config.supervision:
            value += config.supervision * attention_loss(answer.weights, facts)
        return value

    return loss


def attention_loss(weights: jax.Array, facts: jax.Array) -> jax.Array:
    """Cross-entropy between the attention [P, N] and the supporting facts, for passes that have any."""
    targets = attention_targets(facts, *weights.shape)
    return -jnp.sum(targets * jnp.log(weights + 1e-7))


def drop_embeddings(key: jax.Array, params: Any, rate: float) -> Any:
    """Dropout of the word embeddings' features: the same for all words of one question."""
    table = params["encoder"]["embedding"]
    kept = jax.random.bernoulli(key, 1 - rate, table.shape[-1:]) / (1 - rate)
    return {**params, "encoder": {**params["encoder"], "embedding": table * kept}}


def ranking_loss(config: StoryConfig, model: QuestionAnswering, params, table: Tables, one: Batch) -> jax.Array:
    """MemNN's margin ranking loss: true supporting facts lead all others by the margin, and so does the true answer."""
    memory: Any = model.memory
    story, mask, question = told(one, table, one.stories)
    own = params["memory"]
    state = memory.write_all(own, memory.init_state(own), story, mask)
    slots = state.slots.shape[0]
    picks = jnp.where(one.facts < 0, slots, one.facts)[: memory.hops]
    picks = jnp.pad(picks, (0, memory.hops - len(picks)), constant_values=slots)
    free, total = jnp.append(memory.filled(state), True), 0.0
    place = jnp.arange(slots + 1)
    for k in range(memory.hops):
        lead, pick = memory.comparisons(own, state, question, picks[:k]), picks[k]
        rivals = free & (place != pick)
        losses = jax.nn.relu(config.margin - lead[pick]) + jax.nn.relu(config.margin + lead[:, pick])
        ended = (picks[k - 1] == slots) if k else False  # nothing is learned after "no more"
        total += jnp.where(ended, 0, jnp.where(rivals, losses, 0).sum())
        free = free & ((place != pick) | (place == slots))
    sentences = jnp.concatenate([state.slots, jnp.zeros_like(state.slots[:1])])
    value = memory.known(own, own["response"], question, sentences[picks])
    logits = value @ params["answer"]["kernel"] + params["answer"]["bias"]
    wrong = jax.nn.relu(config.margin + logits - logits[one.answers])
    return total + wrong.sum() - config.margin


def make_epoch(config: StoryConfig, data: Data, *, linear: bool = False):
    """An epoch of all seeds as one compiled scan: state, bucket of each step, questions of each step -> state, losses."""
    model = config.model(data.vocabulary)
    optimizer = config.optimizer.build(config.epochs * steps_per_epoch(config, data))
    table = tables(model, data.train[0])
    parts = [on_device(part) for part in data.train]
    losses = [make_loss(config, resized(config, model, part.stories.shape[1]), linear=linear) for part in data.train]

    def update(params, optimizer_state, key, bucket, chosen):
        def branch(loss, part):
            def run(params):
                batch = jax.tree.map(lambda a: a[chosen], part)
                keys = jax.random.split(key, config.batch)
                each = jax.vmap(loss, in_axes=(None, None, 0, 0))
                return jax.value_and_grad(lambda params: jnp.mean(each(params, table, batch, keys)))(params)

            return run

        value, gradients = jax.lax.switch(bucket, [branch(*pair) for pair in zip(losses, parts, strict=True)], params)
        if config.weight_decay:
            gradients = jax.tree.map(lambda g, p: g + config.weight_decay * p, gradients, params)
        updates, optimizer_state = optimizer.update(gradients, optimizer_state, params)
        return optax.apply_updates(params, updates), optimizer_state, value

    def epoch(state: TrainState, bucket, chosen):
        def body(carry, step):
            params, optimizer_state = carry
            number, bucket, chosen = step
            keys = jax.vmap(lambda key: jax.random.fold_in(jax.random.fold_in(key, state.epoch), number))(state.key)
            run = jax.vmap(update, in_axes=(0, 0, 0, None, None))
            params, optimizer_state, loss = run(params, optimizer_state, keys, bucket, chosen)
            return (params, optimizer_state), loss

        steps = (jnp.arange(len(bucket)), bucket, chosen)
        (params, optimizer_state), loss = jax.lax.scan(body, (state.params, state.optimizer), steps)
        return TrainState(params, optimizer_state, state.key, state.epoch + 1), loss.mean(0)

    return jax.jit(epoch)


def steps_per_epoch(config: StoryConfig, data: Data) -> int:
    """Batches of all buckets; the last one of each is filled up with questions drawn again."""
    return sum(-(-len(part.questions) // config.batch) for part in data.train)


def plan(config: StoryConfig, data: Data, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """The epoch's batches in random order: bucket of each step [S], questions of each step [S, B]."""
    rng = np.random.default_rng((config.seed, epoch))
    found = []
    for i, part in enumerate(data.train):
        order = rng.permutation(len(part.questions))
        missing = -len(order) % config.batch
        order = np.concatenate([order, rng.integers(0, len(part.questions), missing)])
        found += [(i, batch) for batch in order.reshape(-1, config.batch)]
    chosen = [found[i] for i in rng.permutation(len(found))]
    return np.array([i for i, _ in chosen], np.int32), np.stack([batch for _, batch in chosen]).astype(np.int32)


def initial_state(config: StoryConfig, data: Data) -> TrainState:
    """Fresh parameters and optimiser states, one of each per seed."""
    model = config.model(data.vocabulary)
    optimizer = config.optimizer.build(config.epochs * steps_per_epoch(config, data))
    keys = jnp.stack([jax.random.key(config.seed + i) for i in range(config.seeds)])
    init_keys, keys = jax.vmap(jax.random.split, out_axes=1)(keys)
    params = jax.vmap(model.init_params)(init_keys)
    return TrainState(params, jax.vmap(optimizer.init)(params), keys, jnp.int32(0))


def make_errors(config: StoryConfig, vocabulary: Vocabulary, parts: Sequence[Examples], chunk: int = 200):
    """A function params [seeds, ...] -> wrong [seeds, Q] over the questions of all buckets, in their order."""
    model = config.model(vocabulary)
    known = np.zeros(len(vocabulary), bool)
    known[list(vocabulary.answers)] = True
    table = tables(model, parts[0])

    def measure(part: Examples):
        sized, batch = resized(config, model, part.stories.shape[1]), on_device(part)
        count = len(part.questions)
        index = np.arange(-(-count // chunk) * chunk).reshape(-1, chunk) % count

        def one(params, example):
            logits = sized(params, *told(example, table, example.stories)).logits
            return jnp.argmax(jnp.where(known, logits, -jnp.inf)) != example.answers

        def run(params):
            each = jax.vmap(lambda params, batch: jax.vmap(lambda e: one(params, e))(batch), in_axes=(0, None))
            wrong = jax.lax.map(lambda i: each(params, jax.tree.map(lambda a: a[i], batch)), jnp.asarray(index))
            return jnp.swapaxes(wrong, 0, 1).reshape(wrong.shape[1], -1)[:, :count]

        return jax.jit(run)

    measures = [measure(part) for part in parts]
    return lambda params: np.concatenate([np.asarray(run(params)) for run in measures], 1)


def by_task(wrong: np.ndarray, parts: Sequence[Examples]) -> list[dict[int, float]]:
    """Error in percent by task, for each seed."""
    tasks = np.concatenate([part.tasks for part in parts])
    return [{int(t): float(100 * row[tasks == t].mean()) for t in np.unique(tasks)} for row in wrong]


def train(name: str, config: StoryConfig, folder: Path, *, data_dir: str | None = None, progress: bool = True) -> None:
    """Trains every model of the config, from its newest checkpoint or from scratch.

    Raises:
        ValueError: the folder holds another run.
        FloatingPointError: a loss was not finite; the last good checkpoint is kept.
    """
    runs.claim(folder, name, config)
    for part, tasks in config.parts().items():
        data = load(config, tasks, data_dir)
        train_part(config, data, folder / part, label=part, progress=progress)


def train_part(config: StoryConfig, data: Data, folder: Path, *, label: str, progress: bool) -> TrainState:
    """Trains one model; its folder gets checkpoints and metrics.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    state, metrics = initial_state(config, data), folder / "metrics.jsonl"
    epochs = {linear: make_epoch(config, data, linear=linear) for linear in {False, config.linear_start > 0}}
    errors = make_errors(config, data.vocabulary, data.valid)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        if restored := checkpoints.restore_newest(state):
            state = restored[1]
            checkpoints.discard_after(restored[0])
        epoch = int(state.epoch)
        runs.keep_lines_up_to(metrics, epoch)
        questions = steps_per_epoch(config, data) * config.batch
        bar = tqdm(total=config.epochs, initial=epoch, unit="epoch", desc=label, disable=not progress)
        with bar, metrics.open("a") as log:
            while epoch < config.epochs:
                started = time.perf_counter()
                state, loss = epochs[epoch < config.linear_start](state, *plan(config, data, epoch))
                loss = np.asarray(loss)
                if not np.isfinite(loss).all():
                    raise FloatingPointError(
                        f"{label}: non-finite loss in epoch {epoch + 1}, seeds {(config.seed + np.flatnonzero(~np.isfinite(loss)))}; "
                        f"the last good checkpoint is epoch {max(checkpoints.steps(), default=None)}"
                    )
                epoch += 1
                line = {"step": epoch, "questions": epoch * questions, "loss": loss.round(5).tolist()}
                line["seconds"] = round(time.perf_counter() - started, 2)
                if epoch % config.checkpoint_every == 0 or epoch == config.epochs:
                    found = by_task(errors(state.params), data.valid)
                    line["valid_error_percent"] = [round(float(np.mean(list(one.values()))), 2) for one in found]
                    line["valid_by_task"] = [{t: round(e, 1) for t, e in one.items()} for one in found]
                    checkpoints.save(epoch, state)
                    bar.set_postfix(loss=f"{np.median(loss):.3g}", valid=f"{np.median(line['valid_error_percent']):.2f}%")
                print(json.dumps(line), file=log, flush=True)
                bar.update()
    return state
