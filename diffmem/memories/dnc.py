"""The Differentiable Neural Computer's memory: slots that are allocated, freed, and linked in the order of writing."""

import os
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from diffmem import addressing, allocation, edits, fused, layers
from diffmem.base import Array, Params, Readout, check_choice, check_counts, register

Strength = Literal["oneplus", "softplus"]
Activation = Literal["linear", "tanh"]
Epsilon = Literal["smooth", "doubled", "coarse"]
CHOICES = {"strength": Strength, "activation": Activation, "epsilon": Epsilon}
# Each convention's way with usages that are zero or equal: see `allocation.allocation`.
TIES = {"smooth": "near", "doubled": "rounded", "coarse": "squeezed"}
# Added before links are sharpened: where nothing is linked, the weights are uniform.
LINK_EPSILON = 1e-6


class DNCState(NamedTuple):
    """What a DNC remembers.

    Attributes:
        slots: [N, W].
        usage: [N], 0..1, as it was before the latest write.
        links: [write_heads, N, N]: links[h, a, b] is how much head h wrote slot a just after slot b. None without links.
        precedence: [write_heads, N], where each head wrote last. None without links.
        read_weights: [read_heads, N], where each read head is.
        write_weights: [write_heads, N], where each write head is.
    """

    slots: Array
    usage: Array
    links: Array | None
    precedence: Array | None
    read_weights: Array
    write_weights: Array


@register(
    "dnc",
    paper="Graves et al. 2016, Hybrid computing using a neural network with dynamic external memory",
    small=dict(input_size=5, slots=11, width=3, read_heads=2, write_heads=1),
)
@dataclass(frozen=True)
class DNC:
    """Slots that are found by content, allocated where memory is free, and read in the order in which they were written.

    A linear map of x gives each write head its key k, strength beta, erase vector e, write vector v, allocation gate g_a and
    write gate g_w; each read head its key, strength, free gate f and read mode pi. A step writes, then reads:
        psi = prod_r (1 - f_r w_r);  u <- (u + (1 - u) (1 - prod_h (1 - w_h))) psi,  of the weights of the step before
        w_h = g_w (g_a a + (1 - g_a) c);  a = the least used slots by u, c = softmax_n(beta cos(k, M_n))
        M_n <- M_n * prod_h (1 - w_h[n] e_h) + sum_h w_h[n] v_h
        L[a, b] <- (1 - w[a] - w[b]) L[a, b] + w[a] p[b], L[a, a] = 0;  p <- (1 - sum w) p + w
        w_r = pi_b L^T w_r + pi_f L w_r + pi_c c_r;  r = sum_n w_r[n] M_n

    The memory alone. The published model is `control(DNC(input_size=hidden), input_size, clip=20.0)`: an LSTM of that many
    hidden units, which sees what was read one step before. Bypass dropout (Franke et al. 2018) is an option of
    `diffmem.models.SequenceModel`.

    Args:
        input_size: length of x and of the query, the controller's output.
        slots: N. Nothing in the parameters depends on it.
        width: W.
        read_heads: number of read heads, at most N.
        write_heads: number of write heads, at most N. They write at once; each has links of its own.
        links: whether there are temporal links; without them reads are by content alone and there are no read modes. They
            cost N * N per write head and step.
        masked: whether heads look keys up in some components only, by a mask in 0..1 (Csordas & Schmidhuber 2019).
        deallocate: whether freed slots are emptied, M_n <- psi_n M_n, so that content lookup no longer finds them (ibid.).
        sharpen: whether each head sharpens what it gets from the links, by a learned power >= 1 (ibid.). 1e-6 is added
            first, as in the authors' code: a head that follows links from where there are none reads all slots equally.
        stop_usage: whether no gradient goes from the usage to the write weights, as in DeepMind's code.
        strength: beta is "oneplus", 1 + softplus, as in the paper, or "softplus", as in DeepMind's code.
        activation: of keys and write vectors, "linear" or "tanh".
        epsilon: what keeps quotients from dividing by zero: "smooth", or the conventions of DeepMind's code ("doubled")
            and of a PyTorch port ("coarse"), see `addressing.cosine`. With them come their squeezing of usages into 1e-6..1
            and their idea of equal usages, see `allocation.allocation`.

    `read_shape` is (read_heads, width). `Readout.weights` is [read_heads, slots], where each head read; a row sums to at most
    one: to less where a head follows links from where there are none, unless they are sharpened. `masked`, `deallocate` and
    `sharpen` make the DNC-MDS.

    Raises:
        ValueError: a count below 1, more heads than slots, an unknown option, or links that do not fit in memory.

    Example:
        >>> import jax, diffmem
        >>> memory = diffmem.DNC(input_size=8, slots=16, width=4, read_heads=2)
        >>> params = memory.init_params(jax.random.key(0))
        >>> state, readout = memory.step(params, memory.init_state(params), jax.numpy.ones(8))
        >>> readout.value.shape, state.links.shape
        ((2, 4), (1, 16, 16))

    Source: Graves et al. 2016, methods; Csordas & Schmidhuber 2019, section 3, for `masked`, `deallocate`, `sharpen`.

    Differences from the paper:
        - several write heads, as in DeepMind's code: one is allocated after the other, all erase before all add, and each
          has its own links and read modes.
        - usages that round to the same multiple of 2^-14 count as equal when slots are allocated, and the lower number comes
          first (epsilon="smooth"), so that rounding does not decide; the paper sorts by the numbers as they are.
        - the cosine has 1e-8 added to squared norms (epsilon="smooth"): a zero memory has finite gradients.
    """

    input_size: int
    slots: int = 128
    width: int = 32
    read_heads: int = 4
    write_heads: int = 1
    links: bool = True
    masked: bool = False
    deallocate: bool = False
    sharpen: bool = False
    stop_usage: bool = False
    strength: Strength = "oneplus"
    activation: Activation = "linear"
    epsilon: Epsilon = "smooth"

    def __post_init__(self):
        check_counts(self, input_size=self.input_size, slots=self.slots, width=self.width)
        check_counts(self, read_heads=self.read_heads, write_heads=self.write_heads)
        for field, legal in CHOICES.items():
            check_choice(self, field, legal.__args__)
        for field in ("read_heads", "write_heads"):
            if getattr(self, field) > self.slots:
                raise ValueError(
                    f"DNC.{field} is {getattr(self, field)}, more than the {self.slots} slots; legal: 1..{self.slots}"
                )
        if self.links and (size := 4 * self.write_heads * self.slots**2) > (room := _physical_memory()):
            raise ValueError(
                f"DNC.slots is {self.slots}: one sequence's links [{self.write_heads}, {self.slots}, {self.slots}] take "
                f"{size / 2**30:,.0f} GiB in float32, and this machine has {room / 2**30:,.0f} GiB. Use DNC(links=False), or "
                "SDNC, which keeps a few links of each slot"
            )
        if self.sharpen and not self.links:
            raise ValueError("DNC.sharpen is True, but there is nothing to sharpen: DNC.links is False")

    @property
    def query_size(self) -> int:
        return self.input_size

    @property
    def read_shape(self) -> tuple[int, ...]:
        return (self.read_heads, self.width)

    @property
    def _read_sizes(self) -> tuple[int, ...]:
        """How many numbers a read head needs: key, strength; mask; read modes; sharpness of the links each way."""
        ways = 2 * self.write_heads
        return (self.width, 1, self.width * self.masked, (1 + ways) * self.links, ways * self.sharpen)

    @property
    def _write_sizes(self) -> tuple[int, ...]:
        """How many numbers a write head needs: key, strength, mask; erase, add; allocation gate, write gate."""
        return (self.width, 1, self.width * self.masked, self.width, self.width, 1, 1)

    def init_params(self, key: Array) -> Params:
        read, write, free = jax.random.split(key, 3)
        return {
            "read_heads": layers.init_dense(read, self.input_size, self.read_heads * sum(self._read_sizes)),
            "write_heads": layers.init_dense(write, self.input_size, self.write_heads * sum(self._write_sizes)),
            "free_gates": layers.init_dense(free, self.input_size, self.read_heads),
        }

    def init_state(self, params: Params) -> DNCState:
        zeros = partial(jnp.zeros, dtype=layers.dtype_of(params))
        per_head = (self.write_heads, self.slots)
        return DNCState(
            slots=zeros((self.slots, self.width)),
            usage=zeros(self.slots),
            links=zeros((*per_head, self.slots)) if self.links else None,
            precedence=zeros(per_head) if self.links else None,
            read_weights=zeros((self.read_heads, self.slots)),
            write_weights=zeros(per_head),
        )

    def _parts(self, params: Params, x: Array, heads: int, sizes: tuple[int, ...]) -> list[Array]:
        """Each head's raw numbers, split: [heads, size] for every size."""
        return jnp.split(layers.by_head(params, x, heads), list(accumulate(sizes))[:-1], axis=1)

    def _squash(self, raw: Array) -> Array:
        return jnp.tanh(raw) if self.activation == "tanh" else raw

    def _look_up(self, slots: Array, key: Array, strength: Array, mask: Array) -> Array:
        strength = jax.nn.softplus(strength[:, 0]) + (1.0 if self.strength == "oneplus" else 0.0)
        shown = jax.nn.sigmoid(mask) if self.masked else None
        return addressing.content(self._squash(key), slots, strength, mask=shown, epsilon=self.epsilon)

    def _edit(self, params: Params, state: DNCState, x: Array) -> DNCState:
        """Writes to the slots, and leaves the links as they are."""
        *lookup, erase, add, allocating, writing = self._parts(params["write_heads"], x, self.write_heads, self._write_sizes)
        free = jax.nn.sigmoid(layers.dense(params["free_gates"], x))
        retained = allocation.retention(state.read_weights, free)
        written = lax.stop_gradient(state.write_weights) if self.stop_usage else state.write_weights
        usage = allocation.use(state.usage, written, retained)

        allocating, writing = jax.nn.sigmoid(allocating), jax.nn.sigmoid(writing)
        allocated = allocation.allocate(usage, (allocating * writing)[:, 0], ties=TIES[self.epsilon])
        found = self._look_up(state.slots, *lookup)
        weights = writing * (allocating * allocated + (1 - allocating) * found)

        slots = state.slots * retained[:, None] if self.deallocate else state.slots
        # Kept for the backward pass are its arguments, not the products of the memory's size within.
        edit = jax.checkpoint(edits.erase_add_all, prevent_cse=False)
        slots = edit(slots, weights, jax.nn.sigmoid(erase), self._squash(add))
        return state._replace(slots=slots, usage=usage, write_weights=weights)

    def write(self, params: Params, state: DNCState, x: Array) -> DNCState:
        state = self._edit(params, state, x)
        if state.links is None or state.precedence is None:
            return state
        links = jax.vmap(allocation.link)(state.links, state.write_weights, state.precedence)
        return state._replace(links=links, precedence=allocation.precede(state.precedence, state.write_weights))

    def read(self, params: Params, state: DNCState, query: Array) -> tuple[DNCState, Readout]:
        ways = () if state.links is None else allocation.follow(state.links, state.read_weights)
        return self._read(params, state, query, ways)

    def _read(self, params: Params, state: DNCState, query: Array, ways: tuple[Array, ...]) -> tuple[DNCState, Readout]:
        """Reads, given where the links lead: backward and forward [R, H, N], or nothing where there are no links."""
        *lookup, modes, sharpness = self._parts(params["read_heads"], query, self.read_heads, self._read_sizes)
        weights = self._look_up(state.slots, *lookup)
        if ways:
            # [R, 2 H, N], in the order of the read modes: backward by each write head, forward by each, then by content.
            linked = jnp.concatenate(ways, axis=1)
            if self.sharpen:
                power = 1 + jax.nn.softplus(sharpness)
                linked = jax.vmap(addressing.sharpen)(linked + LINK_EPSILON, power)
            modes = jax.nn.softmax(modes)
            weights = jnp.einsum("rm,rmn->rn", modes[:, :-1], linked) + modes[:, -1:] * weights
        return state._replace(read_weights=weights), Readout(weights @ state.slots, weights)

    def step(self, params: Params, state: DNCState, x: Array) -> tuple[DNCState, Readout]:
        edited = self._edit(params, state, x)
        if state.links is None or state.precedence is None:
            return self._read(params, edited, x, ())
        # Updates the links and follows them in one operation, whose backward pass needs them once.
        relink = jax.vmap(fused.relink, in_axes=(0, 0, 0, None), out_axes=(0, 1, 1))
        links, *ways = relink(state.links, edited.write_weights, state.precedence, state.read_weights)
        precedence = allocation.precede(state.precedence, edited.write_weights)
        return self._read(params, edited._replace(links=links, precedence=precedence), x, tuple(ways))


def _physical_memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
