# %% [markdown]
# # A tour of addressing, in pictures
#
# Where does a differentiable memory read and write? By content, by place, by age, along the order of writing, or nowhere in
# particular, in a matrix that holds everything at once. diffmem has each of these as a free function; here they are one by one, with
# nothing trained. Ten seconds on a CPU.

# %%
# Installs diffmem from GitHub. Once it is on PyPI, "diffmem[train]" is enough.
# %pip install --quiet "diffmem[train] @ git+https://github.com/{{repository}}"
# %matplotlib inline

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from diffmem import addressing, allocation, edits, viz
from diffmem.viz import COLOURS

plt.rcParams.update({"figure.dpi": 120, "figure.constrained_layout.use": True, "axes.titlesize": 10, "axes.labelsize": 9})


def image(axes, values, title="", xlabel="", ylabel="", cmap="Blues", limit=1.0):
    """Weights as shades from 0 to 1, or numbers of both signs from -limit to limit."""
    low = -limit if cmap == "RdBu" else 0
    axes.imshow(np.asarray(values), cmap=cmap, vmin=low, vmax=limit, aspect="auto", interpolation="nearest")
    axes.set(title=title, xlabel=xlabel, ylabel=ylabel, xticks=[], yticks=[])
    return axes


# %% [markdown]
# ## By content
# A key is compared with every slot, and a softmax of `strength` times the cosine says how much each slot counts. The key below is
# slot 5 with noise: a weak strength reads a mixture, a strong one the nearest slot.

# %%
slots = jax.random.normal(jax.random.key(1), (10, 12))
key = slots[5] + 0.7 * jax.random.normal(jax.random.key(2), (12,))
strengths = jnp.array([0.0, 1, 3, 10, 30])
keys = jnp.tile(key, (5, 1))
weights = addressing.content(keys, slots, strengths)

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(9, 3), width_ratios=[12, 5, 12])
image(left, slots, "memory and key", "width", "slots", "RdBu", 2.5)
left.set_yticks(range(10))
image(middle, weights.T, "weights", "strength")
middle.set_xticks(range(5), [f"{s:g}" for s in strengths])
image(right, jnp.concatenate([weights @ slots, key[None]]), "what is read", "width", "", "RdBu", 2.5)
right.set_yticks(range(6), [*(f"strength {s:g}" for s in strengths), "the key"])
right.yaxis.tick_right()
plt.show()

# %% [markdown]
# ## By content, then by place
# The NTM's head takes four steps (Graves et al. 2014, figure 2): look up by content; mix with where it was before, by a gate; shift;
# sharpen. So "the place after the one that holds this" is one address.

# %%
previous = jnp.eye(10)[1][None]
found = addressing.content(key[None], slots, jnp.array([8.0]))
mixed = addressing.interpolate(found, previous, jnp.array([0.8]))
moved = addressing.shift(mixed, jnp.array([[0.05, 0.15, 0.8]]))
sharp = addressing.sharpen(moved, jnp.array([4.0]))

stages = {"where it was": previous, "content": found, "gate 0.8": mixed, "shift by +1": moved, "sharpened": sharp}
figure, grid = plt.subplots(1, 5, figsize=(9, 2.2), sharey=True)
for axes, (title, now) in zip(grid, stages.items(), strict=True):
    axes.bar(range(10), now[0], color=COLOURS[0])
    axes.set(title=title, xlabel="slot", xticks=[0, 5, 9], ylim=(0, 1))
    axes.spines[["top", "right"]].set_visible(False)
grid[0].set_ylabel("weight")
plt.show()

# %% [markdown]
# A shift that is not quite certain blurs, step by step. That is what the sharpening is for.

# %%
kernel = jnp.array([[0.05, 0.1, 0.85]])


def walk(gamma, steps=40, count=32):
    def step(weights, _):
        weights = addressing.sharpen(addressing.shift(weights, kernel), jnp.array([gamma]))
        return weights, weights[0]

    return jax.lax.scan(step, jnp.eye(count)[:1], length=steps)[1]


figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), sharey=True)
image(left, walk(1.0).T, "40 shifts", "time", "slot")
image(right, walk(1.5).T, "40 shifts, each sharpened with γ = 1.5", "time")
plt.show()

# %% [markdown]
# ## What is free
# The DNC knows how much each slot is in use. `allocation` prefers the least used, and a read can give back what it has read. Below,
# things are written for eight steps; then, now and then, one is read and its slot freed, and the next write goes there.

# %%
count, usage = 10, jnp.zeros(10)
freed = {9: 2, 10: 6, 14: 0, 15: 7, 16: 3}  # at this step, that slot
used, written, returned = [], [], []
for t in range(20):
    read = jnp.eye(count)[freed[t]] if t in freed else jnp.zeros(count)
    usage = usage * allocation.retention(read[None], jnp.ones(1))
    gate = 1.0 if t < 8 or t - 1 in freed else 0.0
    where = gate * allocation.allocation(usage)
    usage = allocation.use(usage, where[None], jnp.ones(count))
    used, written, returned = [*used, usage], [*written, where], [*returned, read]

figure, grid = plt.subplots(1, 3, figsize=(9, 2.8), sharey=True)
image(grid[0], jnp.stack(written).T, "written where allocated", "time", "slot")
image(grid[1], jnp.stack(returned).T, "read and freed", "time", cmap="Oranges")
image(grid[2], jnp.stack(used).T, "usage", "time", cmap="Greens")
plt.show()

# %% [markdown]
# ## What came after what
# Temporal links remember the order of writing, however scattered the places: `links[a, b]` says that slot a was written just after
# slot b. Following them reads everything in order, forwards or backwards, from any place.

# %%
order = jnp.array([3, 8, 1, 6, 0, 9, 4])
links, precedence = jnp.zeros((count, count)), jnp.zeros(count)
for where in jnp.eye(count)[order]:
    links = allocation.link(links, where, precedence)
    precedence = allocation.precede(precedence, where)


def follow(start, forwards):
    path = [jnp.eye(count)[start]]
    for _ in order[1:]:
        backward, forward = allocation.follow(links[None], path[-1][None])
        path.append((forward if forwards else backward)[0, 0])
    return jnp.stack(path).T


figure, grid = plt.subplots(1, 4, figsize=(9.5, 2.8))
image(grid[0], jnp.eye(count)[order].T, "writes", "time", "slot").set_yticks(range(count))
image(grid[1], links, "links", "written just after …", "slot", cmap="Purples").set_xticks(range(count))
image(grid[2], follow(3, True), "forwards from the first", "time", "slot", cmap="Oranges")
image(grid[3], follow(4, False), "backwards from the last", "time", "slot", cmap="Oranges")
for axes in grid[1:]:
    axes.set_yticks(range(count))
plt.show()

# %% [markdown]
# ## In several hops
# A memory network asks, adds what it reads to its question, and asks again: u ← u + o. With words as random directions, and
# sentences that are found by one word and answer with another, the second hop asks for what the first has found. (An answer is stored
# as its word minus the word it is found by; that is how a trained one gets rid of the old question.)

# %%
names = ["apple", "milk", "Mary", "John", "garden", "office", "kitchen"]
word = dict(zip(names, jax.random.orthogonal(jax.random.key(0), 16)[: len(names)], strict=True))
facts = {
    "John is in the office.": ("John", "office"),
    "Mary has the apple.": ("apple", "Mary"),
    "Mary is in the garden.": ("Mary", "garden"),
    "John has the milk.": ("milk", "John"),
}
found_by = jnp.stack([word[asked] for asked, _ in facts.values()])
answers = jnp.stack([word[said] - word[asked] for asked, said in facts.values()])
question, hops = word["apple"], []
for _ in range(2):
    weights = addressing.content(question[None], found_by, jnp.array([5.0]))[0]
    question = question + weights @ answers
    hops.append(weights)
answer = max(names, key=lambda name: float(question @ word[name]))
viz.story_attention(list(facts), "Where is the apple?", answer, jnp.stack(hops), facts=(1, 2))

# %% [markdown]
# ## Nowhere in particular
# An associative matrix has no slots: every pair of a key and a value is added to all of it, A ← A + k vᵀ, and a key reads kᵀ A. Three
# keys get a picture each; then the first key gets another picture. The sum shows both, one over the other. The delta rule takes out
# what the key reads before it puts the new value in.

# %%
drawings = """
#######  .......  #.....#  ...#...
#.....#  .##.##.  .#...#.  ...#...
#.....#  #######  ..#.#..  ...#...
#.....#  #######  ...#...  #######
#.....#  .#####.  ..#.#..  ...#...
#.....#  ..###..  .#...#.  ...#...
#######  ...#...  #.....#  ...#...
"""
rows = [line.split() for line in drawings.split("\n") if line]
pictures = jnp.array([[[c == "#" for c in row[i]] for row in rows] for i in range(4)], jnp.float32)
square, heart, cross, plus = pictures.reshape(4, -1)
a, b, c = addressing.unit(jax.random.normal(jax.random.key(4), (3, 256)))  # random keys are almost at right angles
pairs = [(a, square), (b, heart), (c, cross), (a, plus)]


def stored(rule, pairs):
    matrix = jnp.zeros((256, 49))
    for key, value in pairs:
        matrix = rule(matrix, key, value)
    return matrix


def corrected(matrix, key, value):
    return edits.delta(matrix, key, value, jnp.ones(()))


rules = {"sum": edits.outer, "delta rule": corrected}
figure, grid = plt.subplots(2, 4, figsize=(7, 3.8))
for i, (label, rule) in enumerate(rules.items()):
    before, after = stored(rule, pairs[:3]), stored(rule, pairs)
    reads = {"a, at first": a @ before, "a, written again": a @ after, "b": b @ after, "c": c @ after}
    for axes, (title, read) in zip(grid[i], reads.items(), strict=True):
        image(axes, read.reshape(7, 7), "" if i else title, cmap="gray_r").set_aspect("equal")
    grid[i, 0].set_ylabel(label)
plt.show()

# %% [markdown]
# How many pairs fit? A matrix for keys of 32 numbers has room for 32 keys at right angles; random ones disturb each other sooner. On
# the left, how well all pairs are read back. On the right, 64 pairs, by how long ago they were written: the sum treats all alike, the
# delta rule has the newest exactly and gives up the oldest. That is why memories that use it learn their keys, and when to write.

# %%
SIZE, MOST = 32, 128


def recall(rule, key):
    """[n, m]: how similar (cosine) the read of the m-th key is to its value once n + 1 pairs are stored."""
    keys, values = jax.random.normal(key, (2, MOST, SIZE))
    keys = addressing.unit(keys)

    def step(matrix, pair):
        matrix = rule(matrix, *pair)
        return matrix, jnp.sum(addressing.unit(keys @ matrix) * addressing.unit(values), -1)

    return jax.lax.scan(step, jnp.zeros((SIZE, SIZE)), (keys, values))[1]


figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True)
for colour, (label, rule) in zip(COLOURS, rules.items(), strict=False):
    found = np.asarray(jax.vmap(lambda key, rule=rule: recall(rule, key))(jax.random.split(jax.random.key(0), 50))).mean(0)
    left.plot(range(1, MOST + 1), [found[n, : n + 1].mean() for n in range(MOST)], color=colour, label=label)
    right.plot(range(64), found[63, 63::-1], color=colour)
left.axvline(SIZE, color="0.8", linewidth=1, zorder=0)
left.annotate("key size", (SIZE, 0.03), xytext=(4, 0), textcoords="offset points", color="0.5", fontsize=8)
left.set(xlabel="pairs stored", ylabel="cosine of read and value", ylim=(0, 1.05), xlim=(0, MOST))
left.legend(frameon=False)
right.set(xlabel="pairs written since, of 64", xlim=(0, 63))
for axes in (left, right):
    axes.spines[["top", "right"]].set_visible(False)
plt.show()
