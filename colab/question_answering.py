# %% [markdown]
# # Answering questions about a story, and where the model looked
#
# An end-to-end memory network stores the sentences of a story and reads them in several hops of attention. The stories come from
# diffmem's own generator of the 20 bAbI tasks, so nothing is downloaded. About a minute on a CPU.

# %%
# Installs diffmem from GitHub. Once it is on PyPI, "diffmem[train]" is enough.
# %pip install --quiet "diffmem[train] @ git+https://github.com/{{repository}}"
# %matplotlib inline

# %%
import dataclasses
import os
from functools import partial

# A memory is a long chain of small operations, which one core of a CPU runs faster alone than two cores together.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import jax
import jax.numpy as jnp
import numpy as np
import optax

import diffmem
from diffmem import viz
from diffmem.models import Bags, QuestionAnswering
from diffmem.tasks.babi import Vocabulary, examples
from diffmem.tasks.babi.generate import generate

QUICK = "DIFFMEM_QUICK" in os.environ
STORIES, LINEAR, EPOCHS = (16, 1, 2) if QUICK else (2000, 8, 24)

# %% [markdown]
# ## Stories
# Task 2 needs two facts: who picked the thing up, and where that person went then. A story has five questions.

# %%
stories = generate(2, 5 * STORIES, seed=0)
first = stories[0].questions[0]
print("\n".join(stories[0].sentences[: first.seen]), f"\n{first.text} {first.answer}")

# %%
SLOTS = 30  # of longer stories, the newest sentences
vocabulary = Vocabulary.of(stories)
data = examples({2: stories}, vocabulary, slots=SLOTS)
print(len(data.questions), "questions,", len(data.sentences), "different sentences,", len(vocabulary), "words")

# %% [markdown]
# ## The model
# Three hops over the stored sentences. For the first epochs the hops do without their softmax, the paper's *linear start*, which
# helps them to find chains of facts; the parameters are the same.

# %%
memory = diffmem.MemN2N(2 * len(vocabulary), slots=SLOTS, width=40, hops=3)
model = QuestionAnswering(Bags(len(vocabulary)), memory)
linear = dataclasses.replace(model, memory=dataclasses.replace(memory, softmax=False))
params = model.init_params(jax.random.key(0))


def answer(model, params, encoded, story, question):
    """The answer to one question: rows of the encoded sentences, the newest first, and the question's row."""
    oldest_first = story[::-1]
    return model(params, encoded[oldest_first], oldest_first > 0, encoded[question])


encoded = model.encoder.sentence(jnp.asarray(data.sentences))  # does not depend on parameters: once is enough


# %% [markdown]
# ## Training
# An epoch is one compiled scan over batches.

# %%
BATCH = 32
steps = len(data.questions) // BATCH
optimizer = optax.chain(optax.clip_by_global_norm(1.25), optax.adam(optax.cosine_decay_schedule(3e-3, EPOCHS * steps)))


@partial(jax.jit, static_argnums=0)
def epoch(model, params, opt_state, key):
    order = jax.random.permutation(key, len(data.questions))[: steps * BATCH].reshape(steps, BATCH)
    story, question, target = map(jnp.asarray, (data.stories, data.questions, data.answers))

    def update(carry, chosen):
        params, opt_state = carry

        def loss(params):
            logits = jax.vmap(lambda s, q: answer(model, params, encoded, s, q).logits)(story[chosen], question[chosen])
            right = jnp.argmax(logits, -1) == target[chosen]
            return optax.softmax_cross_entropy_with_integer_labels(logits, target[chosen]).mean(), right.mean()

        (_, right), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        updates, opt_state = optimizer.update(gradients, opt_state)
        return (optax.apply_updates(params, updates), opt_state), right

    (params, opt_state), right = jax.lax.scan(update, (params, opt_state), order)
    return params, opt_state, right.mean()


opt_state = optimizer.init(params)
for i in range(EPOCHS):
    params, opt_state, right = epoch(linear if i < LINEAR else model, params, opt_state, jax.random.key(i))
    if i % 4 == 3 or QUICK:
        print(f"epoch {i + 1:2d}: {100 * float(right):.1f} % right in training")

# %% [markdown]
# ## New stories

# %%
fresh = generate(2, 20 if QUICK else 1000, seed=1)
test = examples({2: fresh}, vocabulary, slots=SLOTS)
table = model.encoder.sentence(jnp.asarray(test.sentences))
found = jax.jit(jax.vmap(lambda s, q: answer(model, params, table, s, q)))(
    jnp.asarray(test.stories), jnp.asarray(test.questions)
)
guesses = np.asarray(found.logits.argmax(-1))
print(f"{100 * np.mean(guesses != test.answers):.1f} % wrong on stories it has not seen")

# %% [markdown]
# ## Where it looked
# The columns are hops; the marked sentences are the facts that the answer follows from. The model was never told which they are.

# %%
told, asked = fresh[0], fresh[0].questions[0]
shown = told.sentences[: asked.seen][-SLOTS:]
facts = [len(shown) - 1 - fact for fact in test.facts[0] if fact >= 0]  # the arrays have the newest sentence first
attention = np.asarray(found.weights[0])[:, : len(shown)][:, ::-1]
attention = np.concatenate([attention, 1 - attention.sum(-1, keepdims=True)], -1)
guess = vocabulary.words[int(guesses[0])]
viz.story_attention(shown, asked.text, guess, attention, facts, target=asked.answer, rest="empty memories")
