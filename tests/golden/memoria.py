"""Golden files of Memoria: the authors' package, a batch of stores step by step, and its abstractor.

The package's batch is one padded array whose length changes, and its slips act through positions in that array. So what is
compared is what `Memoria` is made of: `nearest`, `partners`, `fire`, `grow_older` and `promote`. The layout, and the slips of
the file's description (A, B, C), are added here. Two more are in the code and in the files: padding among the short-term
engrams takes part, as vectors of zeros; and an engram that is found twice may take two of the final places, where the other
sequences of the batch found two engrams.
"""

from functools import partial

import jax
import jax.numpy as jnp

from diffmem.memories.memoria import LONG, SHORT, WORKING, MemoriaState, fire, grow_older, nearest, partners, promote
from diffmem.models.segment import abstract

# Integers are of 32 bits, with 64 bits switched on too.
arange = partial(jnp.arange, dtype=jnp.int32)


def listed(mask):
    """The places [B, N] where the mask is True in order, with -1 in front; and which columns the package's array has."""
    size = mask.shape[1]
    places = jnp.sort(jnp.where(mask, arange(size), -1), -1)
    return places, arange(size) >= size - mask.sum(-1, dtype=jnp.int32).max()


def at(array, places):
    """The rows of one store's array at these places; zeros for -1."""
    return jnp.where((places >= 0).reshape(-1, *[1] * (array.ndim - 1)), array[places], 0)


def distinct(columns, real):
    """Sorts the columns of [B, C] and says which [C] are real and not like an earlier one."""
    order = jnp.lexsort((*columns[::-1], ~real))
    columns, real = columns[:, order], real[order]
    new = jnp.concatenate([jnp.array([True]), (columns[:, 1:] != columns[:, :-1]).any(0)])
    return columns, real & new


def marked(size, places, real=True):
    """The places of a list, without -1, as a mask."""
    return jnp.zeros(size, bool).at[places].max((places >= 0) & real)


def initial(state, short, columns, end):
    """For each short-term engram of the list the long-term one with the strongest edge; slip A: -1 is the last engram."""
    among = state.kind == LONG
    found = partners(state.counts, among)[jnp.where(short < 0, end - 1, short)]
    return marked(len(among), found, columns)


def search(depth, state, places, first, columns):
    """All that a walk finds from the long-term engrams `first`, as indices in the list `places` (slip B).

    A place of -1 in a list of indices is the last of the long-term engrams, from which the walk goes on (slip A again).
    """
    inside = places >= 0
    counts = at(at(state.counts, places).T, places).T
    counts = jnp.where(inside[:, None] & inside, counts, -1)
    found, open_ = [first], inside
    for _ in range(depth):
        last = jnp.where(columns, found[-1] % len(places), -1)
        open_ &= ~marked(len(places), last)
        found.append(partners(counts, open_).astype(jnp.int32)[last])
    return jnp.stack(found)


def remind(config, state, end):
    """The reminded engrams of every store, [B, N] bool."""
    size = state.kind.shape[1]
    shorts, short_columns = listed(state.kind == SHORT)
    rows_at = listed(state.kind == WORKING)[0][:, -config["working"] :]
    rows = jax.vmap(at)(state.data, rows_at)

    data = jax.vmap(at)(state.data, shorts)
    k = min(config["num_reminded_stm"], size)
    best = jax.vmap(partial(nearest, k=k), in_axes=(0, 0, None))(rows, data, short_columns)
    shorts = jnp.where(best, shorts, -1)
    first = jax.vmap(initial, in_axes=(0, 0, None, None))(state, shorts, short_columns, end)

    longs, long_columns = listed(state.kind == LONG)
    # Indices among the long-term engrams count from the first of the batch's longest list.
    shift = size - long_columns.sum(dtype=jnp.int32)
    firsts, first_columns = listed((longs >= 0) & jnp.take_along_axis(first, longs, 1))
    walk = partial(search, config["ltm_search_depth"])
    found = jax.vmap(walk, in_axes=(0, 0, 0, None))(state, longs, firsts, first_columns)
    local = jnp.where(found >= 0, found - shift, -1).reshape(len(found), -1)
    # Slip C: without any long-term engram, all indices are 0.
    local = jnp.where(long_columns.any(), local, 0)
    real = jnp.tile(first_columns, config["ltm_search_depth"] + 1)
    real = jnp.where(long_columns.any(), real, (arange(real.size) == 0) & short_columns.any())
    local, real = distinct(local, real)
    data = jax.vmap(at)(state.data, local)
    final = jax.vmap(partial(nearest, k=min(config["num_final_ltms"], real.size)), in_axes=(0, 0, None))(rows, data, real)
    mark = jax.vmap(partial(marked, size))
    return mark(shorts) | mark(local, final)


def compact(state, size):
    """Removes who has no lifespan left; shorter stores are padded in front. The new state and length."""
    keep = (state.lifespan > 0) & (arange(state.kind.shape[1]) < size)
    places, columns = listed(keep)
    end = columns.sum(dtype=jnp.int32)
    places = jnp.roll(places, end, -1)

    def gather(state, places):
        there, null = places >= 0, MemoriaState(0, 0, -1, -1, -1, -1)
        rows = jax.tree.map(lambda a: a[places], state)
        rows = rows._replace(counts=rows.counts[:, places])
        keep = MemoriaState(there[:, None], there, there, there, there, there[:, None] & there)
        return MemoriaState(*(jnp.where(k, a, jnp.array(n, a.dtype)) for k, a, n in zip(keep, rows, null, strict=True)))

    return jax.vmap(gather)(state, places), end


def cut(state, size, length):
    """The state in the file's layout: what lies beyond the array is 0 in kind and -9 elsewhere."""
    used = arange(length) < size

    def fill(leaf, value, mask):
        return jnp.where(mask, leaf, jnp.array(value, leaf.dtype))

    state = jax.tree.map(lambda a: a[:, :length], state)
    counts = fill(state.counts[:, :, :length], -9, used[:, None] & used)
    return state._replace(
        data=fill(state.data, -9, used[:, None]), kind=fill(state.kind, 0, used), counts=counts,
        **{name: fill(getattr(state, name), -9, used) for name in ("lifespan", "age", "id")},
    )  # fmt: skip


def forward_store(config, tensors):
    """A batch of stores, with the file's lifespan increments in place of a reader's attention."""
    xs, deltas = tensors["input.wm"], tensors["input.delta"]
    batch, working, width = xs.shape[1:]
    # Room for every engram that there could be: the file's arrays do not say how long they were in between.
    length = len(xs) * working + working
    whole = jnp.zeros((batch, length), jnp.int32)
    counts = jnp.zeros((batch, length, length), jnp.int32)
    state = MemoriaState(jnp.zeros((batch, length, width), xs.dtype), whole, whole.astype(xs.dtype), whole, whole, counts)
    deltas = jnp.pad(deltas, ((0, 0), (0, 0), (0, length - deltas.shape[-1])))

    def step(carry, inputs):
        state, size, born = carry
        rows, delta = inputs

        def put(leaf, value):
            value = jnp.broadcast_to(jnp.asarray(value, leaf.dtype), (batch, working, *leaf.shape[2:]))
            return jax.lax.dynamic_update_slice_in_dim(leaf, value, size, 1)

        counts = put(state.counts, 0)
        counts = jax.lax.dynamic_update_slice_in_dim(counts, jnp.zeros((batch, length, working), counts.dtype), size, 2)
        state = MemoriaState(
            put(state.data, rows), put(state.kind, WORKING), put(state.lifespan, config["initial_lifespan"]),
            put(state.age, 0), put(state.id, born + arange(working)), counts,
        )  # fmt: skip
        end = size + working
        reminded = remind(config, state, end)
        state = jax.vmap(fire)(state, reminded | (state.kind == WORKING))
        fired = state.counts
        state = state._replace(lifespan=state.lifespan + jnp.where(reminded, delta, 0))
        state = jax.vmap(lambda s: promote(grow_older(s), config["stm_capacity"]))(state)
        state, size = compact(state, end)
        return (state, size, born + working), (state, size, reminded, fired, end)

    begin = (state, jnp.int32(0), jnp.int32(0))
    _, (states, sizes, reminded, fired, ends) = jax.lax.scan(step, begin, (xs, deltas))

    shapes = config["shapes"]
    length, later, most = shapes["out.types"][2], shapes["out.counts_after_fire"][2], shapes["out.reminded"][2]
    cut_all = jax.vmap(partial(cut, length=length))(states, sizes)
    used = arange(later) < ends[:, None]
    fired = jnp.where((used[:, :, None] & used[:, None])[:, None], fired[:, :, :later, :later], -9)
    places = jnp.sort(jnp.where(reminded, arange(reminded.shape[-1]), reminded.shape[-1]), -1)[..., :most]
    return {
        "out.size": sizes, "out.types": cut_all.kind, "out.lifespan": cut_all.lifespan, "out.age": cut_all.age,
        "out.ids": cut_all.id, "out.counts": cut_all.counts, "out.data": cut_all.data,
        "out.reminded": jnp.where(places < reminded.shape[-1], places, -1), "out.counts_after_fire": fired,
    }  # fmt: skip


def forward_abstractor(config, tensors):
    """The learned queries that pool a sequence."""
    params = {"query": tensors["param.query"]}
    for ours, theirs in (("key", "key"), ("value", "value"), ("hidden", "ff"), ("output", "out")):
        params[ours] = {"kernel": tensors[f"param.{theirs}.W"], "bias": tensors[f"param.{theirs}.b"]}
    params["key"].pop("bias")  # it adds the same to all logits: its gradient in the file is zero
    return {"out.y": jax.vmap(partial(abstract, params))(tensors["input.x"])}


CONVERTERS = {"memoria-pytorch 1.1.0": forward_store, "memoria-pytorch 1.1.0 Abstractor": forward_abstractor}
