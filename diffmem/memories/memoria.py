"""Memoria: engrams that fire together move from working over short-term to long-term memory; those of no use die."""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from diffmem import layers
from diffmem.base import Array, Params, Readout, check_counts, check_heads, check_number, register

# Kinds of engrams.
EMPTY = 0
WORKING = 1
SHORT = 2
LONG = 3


class MemoriaState(NamedTuple):
    """A table of E engrams, each in a slot that it keeps for life.

    data [E, W], kind [E] (EMPTY, WORKING, SHORT or LONG), lifespan [E] (steps left to live), age [E] in steps, id [E] (larger
    is newer; -1 where empty), counts [E, E] (how often two engrams fired together; the diagonal: how often one fired).
    """

    data: Array
    kind: Array
    lifespan: Array
    age: Array
    id: Array
    counts: Array


def nearest(rows: Array, data: Array, among: Array, k: int) -> Array:
    """The k engrams [N] bool with the largest mean_r -|rows_r - data_n|^2, or all where there are fewer; ties: the first.

    Args:
        rows: [R, W], what is in mind.
        data: [N, W].
        among: [N] bool, who takes part.
        k: at most N.
    """
    closeness = -jnp.square(rows[:, None] - data).sum(-1).mean(0)
    chosen = lax.top_k(jnp.where(among, closeness, -jnp.inf), k)[1]
    return jnp.zeros_like(among).at[chosen].set(True) & among


def partners(counts: Array, among: Array) -> Array:
    """For every engram, the one of `among` [N] that fired most often together with it: indices [N], -1 where there is none.

    A row of counts is divided by the same number to become the paper's probability, count_ij / count_ii: the strongest edge is
    the largest count. Ties: the first.
    """
    return jnp.where(among.any(), jnp.argmax(jnp.where(among, counts, -1), -1), -1)


def fire(state: MemoriaState, mask: Array) -> MemoriaState:
    """Those in the mask [E] fire together: counts_ij + 1 for every two of them, and for each with itself."""
    together = mask[:, None] & mask
    return state._replace(counts=state.counts + together.astype(state.counts.dtype))


def grow_older(state: MemoriaState) -> MemoriaState:
    """Everyone has one step less to live."""
    return state._replace(lifespan=state.lifespan - 1, age=state.age + 1)


def promote(state: MemoriaState, capacity: int) -> MemoriaState:
    """Working memories become short-term ones, and all but the newest `capacity` of these long-term ones."""
    short = (state.kind == WORKING) | (state.kind == SHORT)
    newer = short & (state.id > state.id[:, None])
    overflow = short & (newer.sum(-1) >= capacity)
    return state._replace(kind=jnp.where(overflow, LONG, jnp.where(short, SHORT, state.kind)).astype(state.kind.dtype))


def retire(state: MemoriaState) -> MemoriaState:
    """Empties the slots of those whose lifespan has run out."""
    alive = (state.kind != EMPTY) & (state.lifespan > 0)

    def cleared(leaf, keep, fill=0):
        return jnp.where(keep, leaf, jnp.array(fill, leaf.dtype))

    columns = [cleared(leaf, alive) for leaf in (state.kind, state.lifespan, state.age)]
    edges = cleared(state.counts, alive[:, None] & alive)
    return MemoriaState(cleared(state.data, alive[:, None]), *columns, cleared(state.id, alive, -1), edges)


@register(
    "memoria",
    paper="Park & Bak 2024, Memoria: Resolving Fateful Forgetting Problem through Human-Inspired Memory Architecture",
    small=dict(input_size=6, working=2, slots=11, short_term=5, short_reminded=3),
)
@dataclass(frozen=True)
class Memoria:
    """Engrams with Hebbian edges: new ones are at work, then remembered for a while, and for long if they are of use.

    A step is a segment: x holds its working memories w_1 .. w_R, R = `working` rows of W = input_size / R numbers.
        Write:      the w_r become engrams of kind "working", with the initial lifespan and no edges.
        Remind:     the short-term engrams e with the largest mean_r -|w_r - e|^2; from each the long-term engram with the
                    largest count; from these, `depth` times, the strongest that are not found yet; of all long-term engrams
                    found, those nearest to the w_r.
        Fire:       counts_ij += 1 for all i, j that are at work or reminded.
        Read:       softmax(W_q w (W_k e)^T / sqrt(width / heads)) W_v e over those at work and reminded.
        Reinforce:  lifespan_e += reinforcement * (number of the reminded) * mean attention to e, for the reminded.
        Settle:     lifespan -= 1; working -> short-term; the oldest short-term ones beyond `short_term` -> long-term;
                    whoever has no lifespan left is removed.
    `step` is these in this order. A reader of its own, such as a Transformer's cross-attention, calls `write`, `recall`,
    `reinforce` and `settle`, which need no parameters; see `diffmem.models.SegmentTransformer`. `write` by itself, as in
    `store`, first makes what is still at work short-term; nothing ages.

    At capacity, new engrams take the empty slots first, then those of the long-term engrams with the shortest lifespan left, of
    equals the oldest. Short-term engrams are never dropped, there is room for all. Who is overwritten leaves no edge behind.

    Args:
        input_size: length of x and of the query, all working memories side by side.
        working: R, working memories in a step.
        slots: E, engrams that there is room for.
        short_term: how many short-term engrams stay so.
        short_reminded: short-term engrams that are reminded at a step.
        long_reminded: long-term engrams that are reminded at a step.
        depth: steps of the walk beyond the first long-term engrams.
        lifespan: steps that an engram lives if it is never reminded.
        reinforcement: scale of what the reader's attention adds to a lifespan.
        heads: of the attention that reads.
        detach: whether the store keeps its engrams without their gradient, as published. Then no gradient crosses a step.

    `query_size` is input_size and `read_shape` is (working, W). `Readout.weights` is [heads, working, E].

    Raises:
        ValueError: a count below 1 (depth: below 0), `working` that does not divide input_size, heads that do not divide W,
            slots that cannot hold the working memories beside the short-term ones, more short-term engrams reminded than there
            are, more long-term ones than slots, or a lifespan or reinforcement that is not positive (negative).

    Example:
        >>> import jax, diffmem
        >>> memory = diffmem.Memoria(input_size=6, working=2, slots=16, short_term=4)
        >>> params = memory.init_params(jax.random.key(0))
        >>> state, readout = diffmem.unroll(memory, params, None, jax.random.normal(jax.random.key(1), (5, 6)))
        >>> readout.value.shape, state.kind.tolist()[:12]
        ((5, 2, 3), [3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 0, 0])

    Source: Park & Bak 2024, section 3, and the authors' code, memoria-pytorch 1.1.0.

    Differences from the paper:
        - there is room for so many engrams; the paper's store grows.
        - closeness is the negative square, as in the authors' code, not its exponential, which is 0 where nothing is near. The
          nearest of one vector are the same; with several, exp would count only the nearest pairs.
        - ties go to the lowest slot; in the authors' code, to a random engram. Here as there counts of 0 are compared
          like others, so that the walk goes on from an engram without edges.
        - the code's slips are left out: a placeholder of -1 that indexes the last engram, indices among the long-term engrams
          taken for indices among all, engram 0 reminded while there is no long-term memory, padding that counts as a vector
          of zeros, and what makes one sequence of a batch depend on another. The golden tests add them where they compare.
        - the reader is part of the memory, so that it stands alone; it is one layer of attention.
    """

    input_size: int
    working: int = 1
    slots: int = 128
    short_term: int = 16
    short_reminded: int = 4
    long_reminded: int = 4
    depth: int = 2
    lifespan: float = 9.0
    reinforcement: float = 8.0
    heads: int = 1
    detach: bool = True

    def __post_init__(self):
        check_counts(self, input_size=self.input_size, working=self.working, slots=self.slots, short_term=self.short_term)
        check_counts(self, short_reminded=self.short_reminded, long_reminded=self.long_reminded, heads=self.heads)
        check_counts(self, least=0, depth=self.depth)
        if self.input_size % self.working:
            raise ValueError(f"Memoria.working is {self.working}; it must divide input_size, which is {self.input_size}")
        check_heads(self, "width")
        for field, most, limit in (
            ("short_reminded", self.short_term, "short_term"),
            ("long_reminded", self.slots, "slots"),
        ):
            if getattr(self, field) > most:
                raise ValueError(f"Memoria.{field} is {getattr(self, field)}; legal: 1 to {most}, which is {limit}")
        least = self.working + self.short_term
        if self.slots < least:
            raise ValueError(f"Memoria.slots is {self.slots}; legal: at least working + short_term, {least}")
        check_number(self, "lifespan", "a number > 0", lambda lifespan: lifespan > 0)
        check_number(self, "reinforcement", "a number >= 0", lambda reinforcement: reinforcement >= 0)

    @property
    def width(self) -> int:
        """W, the size of an engram."""
        return self.input_size // self.working

    @property
    def query_size(self) -> int:
        return self.input_size

    @property
    def read_shape(self) -> tuple[int, ...]:
        return (self.working, self.width)

    @property
    def detached(self) -> str:
        """Why the laws about gradients from one step to another do not hold; empty where they do."""
        return "the store keeps engrams without their gradient, as published" if self.detach else ""

    def init_params(self, key: Array) -> Params:
        return layers.init_attention(key, self.width)

    def init_state(self, params: Params) -> MemoriaState:
        dtype, slots = layers.dtype_of(params), self.slots
        whole = jnp.zeros(slots, jnp.int32)
        counts = jnp.zeros((slots, slots), jnp.int32)
        return MemoriaState(jnp.zeros((slots, self.width), dtype), whole, jnp.zeros(slots, dtype), whole, whole - 1, counts)

    def write(self, params: Params, state: MemoriaState, x: Array) -> MemoriaState:
        state = promote(state, self.short_term)
        # The last key decides first.
        places = jnp.lexsort((state.id, state.lifespan, state.kind == SHORT, state.kind != EMPTY))[: self.working]
        rows = x.reshape(self.working, self.width)
        fresh = jnp.zeros(self.slots, bool).at[places].set(True)
        return MemoriaState(
            data=state.data.at[places].set(rows.astype(state.data.dtype)),
            kind=state.kind.at[places].set(WORKING),
            lifespan=state.lifespan.at[places].set(self.lifespan),
            age=state.age.at[places].set(0),
            id=state.id.at[places].set(state.id.max() + 1 + jnp.arange(self.working, dtype=state.id.dtype)),
            counts=jnp.where(fresh[:, None] | fresh, 0, state.counts),  # two scatters would take longer
        )

    def recall(self, state: MemoriaState, rows: Array) -> tuple[MemoriaState, Array]:
        """Reminds and fires: who is at work, or called to mind by these rows [R, W], as a mask [E]."""
        long = state.kind == LONG

        def follow(sources, among):
            """The strongest partner of every source."""
            return jnp.zeros_like(long).at[partners(state.counts, among)].max(sources) & among

        short = nearest(rows, state.data, state.kind == SHORT, self.short_reminded)
        last = found = follow(short, long)
        for _ in range(self.depth):
            last = follow(last, long & ~found)
            found |= last
        present = (state.kind == WORKING) | short | nearest(rows, state.data, found, self.long_reminded)
        return fire(state, present), present

    def read(self, params: Params, state: MemoriaState, query: Array) -> tuple[MemoriaState, Readout]:
        rows = query.reshape(self.working, self.width)
        state, present = self.recall(state, rows)
        value, weights = layers.attend(params, rows, state.data, self.heads, present)
        return state, Readout(value, weights)

    def reinforce(self, params: Params, state: MemoriaState, weights: Array) -> MemoriaState:
        """Lengthens the lives of those who were of use.

        Args:
            params: unused; for the verbs' common shape.
            state: after `read`, before `settle`.
            weights: [*any, E], the reader's attention: all its heads, rows and layers. Exactly 0 for who was not reminded. What
                went to engrams at work does not count.
        """
        weights = weights.reshape(-1, self.slots).mean(0)
        weights = jnp.where((state.kind == SHORT) | (state.kind == LONG), weights, 0)
        reminded = (weights > 0).sum().astype(weights.dtype)
        return state._replace(lifespan=state.lifespan + (self.reinforcement * reminded * weights).astype(state.lifespan.dtype))

    def settle(self, params: Params, state: MemoriaState) -> MemoriaState:
        """Ends a step: everyone ages, working memories become short-term, short-term ones long-term, the dead are removed."""
        state = retire(promote(grow_older(state), self.short_term))
        return lax.stop_gradient(state) if self.detach else state

    def step(self, params: Params, state: MemoriaState, x: Array) -> tuple[MemoriaState, Readout]:
        state, readout = self.read(params, self.write(params, state, x), x)
        return self.settle(params, self.reinforce(params, state, readout.weights)), readout
