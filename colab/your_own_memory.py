# %% [markdown]
# # Your own memory, in one file
#
# A memory is a frozen dataclass with five methods. This notebook writes one, a cache of the most recent vectors that is read by
# content; checks it; trains it; and puts it into Flax. Half a minute on a CPU.

# %%
# Installs diffmem from GitHub. Once it is on PyPI, "diffmem[train]" is enough.
# %pip install --quiet "diffmem[train] @ git+https://github.com/{{repository}}"
# %matplotlib inline

# %%
import os
from dataclasses import dataclass
from typing import NamedTuple

# A memory is a long chain of small operations, which one core of a CPU runs faster alone than two cores together.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import optax

import diffmem
from diffmem import addressing, layers, viz
from diffmem.base import check_counts

QUICK = "DIFFMEM_QUICK" in os.environ
STEPS = 20 if QUICK else 1500

# %% [markdown]
# ## The memory
# Keys and values are projections of the input. The newest pair goes to slot 0 and pushes the others on; a query is compared with all
# keys. `addressing.masked_softmax` leaves the empty slots out.


# %%
class CacheState(NamedTuple):
    """keys [N, K], values [N, V], the newest first; filled [N], 1 where there is something."""

    keys: jax.Array
    values: jax.Array
    filled: jax.Array


@dataclass(frozen=True)
class Cache:
    """The N latest key-value pairs, read by content: w = softmax(q . k_n), r = sum_n w_n v_n."""

    input_size: int
    slots: int = 16
    key_size: int = 16
    value_size: int = 16

    def __post_init__(self):
        check_counts(self, input_size=self.input_size, slots=self.slots, key_size=self.key_size, value_size=self.value_size)

    @property
    def query_size(self):
        return self.input_size

    @property
    def read_shape(self):
        return (self.value_size,)

    def init_params(self, key):
        sizes = {"key": self.key_size, "value": self.value_size, "query": self.key_size}
        keys = jax.random.split(key, len(sizes))
        return {name: layers.init_dense(k, self.input_size, size) for k, (name, size) in zip(keys, sizes.items(), strict=True)}

    def init_state(self, params):
        dtype = layers.dtype_of(params)
        zeros = lambda *shape: jnp.zeros(shape, dtype)  # noqa: E731
        return CacheState(zeros(self.slots, self.key_size), zeros(self.slots, self.value_size), zeros(self.slots))

    def write(self, params, state, x):
        push = lambda kept, new: jnp.concatenate([new[None], kept[:-1]])  # noqa: E731
        key, value = layers.dense(params["key"], x), layers.dense(params["value"], x)
        return CacheState(push(state.keys, key), push(state.values, value), push(state.filled, jnp.ones((), x.dtype)))

    def read(self, params, state, query):
        strength = state.keys @ layers.dense(params["query"], query)
        weights = addressing.masked_softmax(strength, state.filled > 0)
        return state, diffmem.Readout(weights @ state.values, weights)

    def step(self, params, state, x):
        return self.read(params, self.write(params, state, x), x)


# %% [markdown]
# ## What it can do now
# Resets, rematerialisation and batches come from `unroll` and `vmap`.

# %%
memory = Cache(input_size=10)
params = memory.init_params(jax.random.key(0))
xs = jax.random.normal(jax.random.key(1), (12, 10))
starts = jnp.zeros(12, bool).at[5].set(True)
_, whole = diffmem.unroll(memory, params, None, xs, starts=starts)
_, second = diffmem.unroll(memory, params, None, xs[5:])
print("a reset forgets all:", bool(jnp.allclose(whole.value[5:], second.value, atol=1e-5)))
_, chunks = diffmem.unroll(memory, params, None, xs, starts=starts, remat=4)
print("rematerialised is the same:", bool(jnp.allclose(whole.value, chunks.value, atol=1e-5)))

# %% [markdown]
# ## Train it
# Each step shows a key and a value, both one-hot; in the end a key comes alone, and its value is asked for.

# %%
PAIRS, SIZE = 6, 8


def sample(key):
    order, values, ask = jax.random.split(key, 3)
    keys = jax.random.permutation(order, SIZE)[:PAIRS]
    values = jax.random.randint(values, (PAIRS,), 0, SIZE)
    asked = jax.random.randint(ask, (), 0, PAIRS)
    shown = jnp.concatenate([jax.nn.one_hot(keys, SIZE), jax.nn.one_hot(values, SIZE)], -1)
    query = jnp.concatenate([jax.nn.one_hot(keys[asked], SIZE), jnp.zeros(SIZE)])
    return jnp.concatenate([shown, query[None]]), values[asked]


memory = Cache(input_size=2 * SIZE)
head, body = jax.random.split(jax.random.key(2))
params = {"memory": memory.init_params(body), "head": layers.init_dense(head, memory.value_size, SIZE)}
optimizer = optax.adam(3e-3)


def answer(params, xs):
    """Stores all pairs, then reads with the query."""
    state = diffmem.store(memory, params["memory"], None, xs[:-1])
    _, readout = memory.read(params["memory"], state, xs[-1])
    return layers.dense(params["head"], readout.value), readout.weights


@jax.jit
def update(params, opt_state, key):
    xs, targets = jax.vmap(sample)(jax.random.split(key, 32))

    def loss(params):
        logits = jax.vmap(lambda xs: answer(params, xs)[0])(xs)
        return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()

    value, gradients = jax.value_and_grad(loss)(params)
    updates, opt_state = optimizer.update(gradients, opt_state)
    return optax.apply_updates(params, updates), opt_state, value


opt_state, losses = optimizer.init(params), []
for i in range(STEPS):
    params, opt_state, value = update(params, opt_state, jax.random.key(i))
    losses.append(float(value))
print(f"loss {losses[0]:.2f} -> {losses[-1]:.4f}")

# %%
viz.learning_curve(list(range(1, STEPS + 1)), {"Cache": losses}, xlabel="updates", ylabel="cross-entropy")

# %% [markdown]
# ## Where it looks
# A row is a sequence: how much each slot counts when a key is asked for. The ring is where that key's value is.

# %%
xs, _ = jax.vmap(sample)(jax.random.split(jax.random.key(9), 12))
weights = jax.vmap(lambda xs: answer(params, xs)[1])(xs)
pair = jnp.argmax(jnp.einsum("btd,bd->bt", xs[:, :-1, :SIZE], xs[:, -1, :SIZE]), -1)
figure, axes = plt.subplots(figsize=(6, 3.6), dpi=120, layout="constrained")
axes.imshow(weights, cmap="Blues", vmin=0, vmax=1)
axes.plot(PAIRS - 1 - pair, range(12), "o", markersize=14, markerfacecolor="none", color=viz.COLOURS[1])
axes.set(xlabel="slot, the newest first", ylabel="sequence", xticks=range(memory.slots))
plt.show()

# %% [markdown]
# ## In Flax
# The same parameters, as they are.

# %%
import flax.linen as nn

from diffmem.adapters.linen import MemoryCell

outputs = nn.RNN(MemoryCell(memory)).apply({"params": {"cell": params["memory"]}}, jnp.ones((4, 9, 2 * SIZE)))
print(outputs.shape)
