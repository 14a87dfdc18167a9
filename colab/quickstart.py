# %% [markdown]
# # Train a Neural Turing Machine to copy, and watch its heads
#
# A memory in diffmem is a config, parameters and a state, and three pure functions: `write`, `read`, `step`. This notebook trains
# one with plain JAX and Optax: about a minute on a CPU.

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
import optax

import diffmem
from diffmem import layers, viz
from diffmem.models import SequenceModel
from diffmem.tasks import Copy, sample_lengths

QUICK = "DIFFMEM_QUICK" in os.environ  # the tests run a few steps only
STEPS, BATCH = (20, 2) if QUICK else (8000, 2)

# %% [markdown]
# ## The task
# A sequence of random bit vectors, a delimiter, and then the sequence again, from memory.

# %%
task = Copy(max_length=20)
batch = task.sample(jax.random.key(0), 1, 5)
print("inputs", batch.inputs.shape, "targets", batch.targets.shape, "scored steps", int(batch.mask.sum()))

# %% [markdown]
# ## The model
# 128 slots of 20 numbers, an LSTM of 100 units in front, a linear layer behind.

# %%
ntm = diffmem.control(diffmem.NTM(input_size=100, slots=128, width=20), task.input_size)
model = SequenceModel(ntm, task.output_size)
params = model.init_params(jax.random.key(1))
print(sum(leaf.size for leaf in jax.tree.leaves(params)), "parameters")

# %% [markdown]
# ## Training
# `jax.vmap` is the batch. A hundred updates run as one compiled scan.

# %%
schedule = optax.linear_schedule(3e-4, 0.0, transition_steps=int(0.3 * STEPS), transition_begin=int(0.7 * STEPS))
rule = optax.rmsprop(schedule, decay=0.95, eps=1e-4, centered=True, momentum=0.9)
optimizer = optax.chain(optax.clip(10.0), rule)


def update(carry, key):
    params, opt_state = carry
    length_key, sample_key = jax.random.split(key)
    batch = task.sample(sample_key, BATCH, sample_lengths(task, length_key, BATCH))

    def loss(params):
        return task.loss(jax.vmap(lambda xs: model(params, xs)[1])(batch.inputs), batch)

    value, gradients = jax.value_and_grad(loss)(params)
    updates, opt_state = optimizer.update(gradients, opt_state)
    return (optax.apply_updates(params, updates), opt_state), value


many = jax.jit(lambda carry, keys: jax.lax.scan(update, carry, keys))
carry, costs = (params, optimizer.init(params)), []
for keys in jnp.split(jax.random.split(jax.random.key(2), STEPS), STEPS // min(100, STEPS)):
    carry, values = many(carry, keys)
    costs.append(float(values.mean()))
    if len(costs) % 10 == 0:
        print(f"{len(costs) * 100:5d} updates: {costs[-1]:.2f} bits per sequence")
params = carry[0]

# %%
viz.learning_curve([BATCH * 100 * (i + 1) for i in range(len(costs))], {"NTM": costs})

# %% [markdown]
# ## Longer than it was trained on
# It was trained on 1 to 20 vectors. How many bits of longer sequences are wrong?

# %%
lengths = (10, 20) if QUICK else (10, 20, 40, 60, 80, 100, 120)
long = Copy(max_length=max(lengths))
answers = jax.jit(jax.vmap(lambda xs: model(params, xs)[1]))
errors = {}
for length in lengths:
    batch = long.sample(jax.random.key(3), 2 if QUICK else 20, length)
    errors[length] = float(long.metrics(answers(batch.inputs), batch)["wrong_bits_per_sequence"])
print(errors)
viz.generalisation_curve({"NTM": {length: [wrong] for length, wrong in errors.items()}}, trained=(1, 20))

# %% [markdown]
# ## The memory at work
# Each vector goes to a slot of its own; then the head returns to the first one and reads them in order. Nobody told it to.

# %%
batch = task.sample(jax.random.key(7), 1, 20)
states, readout = viz.trace(model.memory, params["memory"], batch.inputs[0])
outputs = jax.nn.sigmoid(layers.mlp(params, readout.value)) * batch.mask[0, :, None]
viz.memory_use(batch.inputs[0], batch.targets[0], outputs, states.memory.write_weights[:, 0], states.memory.read_weights[:, 0])
