"""Differentiable plasticity: a recurrent net whose connections change with activity, each as much as it has learned to."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from diffmem import edits, fused, layers
from diffmem.base import Array, Params, Readout, check_choice, check_counts, check_heads, register

RULES = ("hebb", "oja", "modulated", "retroactive")


class PlasticState(NamedTuple):
    """hidden [H]; hebb [heads, K, K], the plastic part of the connections, K = H / heads; trace as hebb, or None.

    The eligibility trace belongs to the rule "retroactive" alone.
    """

    hidden: Array
    hebb: Array
    trace: Any = None


@register(
    "plastic",
    paper="Miconi et al. 2018, Differentiable plasticity",
    small=dict(input_size=5, hidden_size=6, heads=2),
)
@dataclass(frozen=True)
class Plastic:
    """A recurrent net whose connections have a fixed part W and a plastic part alpha * Hebb; alpha is learned.

    y_t = tanh(y_{t-1} (W + alpha * Hebb_{t-1}) + C x_t)

    Rules, with i before and j after the connection, and D_t = y_{t-1} y_t^T:
        "hebb"         Hebb_t = (1 - eta) Hebb_{t-1} + eta D_t
        "oja"          Hebb_t = Hebb_{t-1} + eta (D_t - y_t[j]^2 Hebb_{t-1})
        "modulated"    Hebb_t = clip(Hebb_{t-1} + M_t D_t),  M_t = tanh(U y_t)
        "retroactive"  Hebb_t = clip(Hebb_{t-1} + M_t E_{t-1}),  E_t = (1 - eta) E_{t-1} + eta D_t
    clip is to -1..1. A modulated net decides when it learns; a retroactive one also what it has just seen.
    Step: y_t, then Hebb_t. y_t is what is read, and `read` ignores its query.

    Args:
        input_size: length of x.
        hidden_size: length H of y.
        heads: blocks of H / heads units; plastic connections are within a block, and each has its own M_t. 1 is the paper.
        rule: how connections change.

    eta is one learned number, used as it is. `Readout.weights` is None. `read_shape` is (hidden_size,).

    Raises:
        ValueError: a count below 1, heads that do not divide hidden_size, or an unknown rule.

    Example:
        >>> import jax, diffmem
        >>> memory = diffmem.Plastic(input_size=9, hidden_size=20, rule="oja")
        >>> params = memory.init_params(jax.random.key(0))
        >>> diffmem.unroll(memory, params, None, jax.numpy.ones((7, 9)))[1].value.shape
        (7, 20)

    Source: Miconi et al. 2018, equations 1 to 3 (Hebb and Oja); Miconi et al. 2019, Backpropamine, equations 3 to 5.

    Differences from the paper:
        - inputs reach the units through a learned matrix C and a bias; the paper clamps one unit to each input.
        - heads, which make the plastic part block-diagonal, with a modulator each.
    """

    input_size: int
    hidden_size: int = 100
    heads: int = 1
    rule: Literal["hebb", "oja", "modulated", "retroactive"] = "hebb"

    def __post_init__(self):
        check_counts(self, input_size=self.input_size, hidden_size=self.hidden_size, heads=self.heads)
        check_choice(self, "rule", RULES)
        check_heads(self, "hidden_size")

    @property
    def query_size(self) -> int:
        return 0

    @property
    def read_shape(self) -> tuple[int, ...]:
        return (self.hidden_size,)

    @property
    def _shape(self) -> tuple[int, int, int]:
        return (self.heads, self.hidden_size // self.heads, self.hidden_size // self.heads)

    def init_params(self, key: Array) -> Params:
        keys = jax.random.split(key, 4)
        params = {
            "input": layers.init_dense(keys[0], self.input_size, self.hidden_size),
            "hidden": {"kernel": 0.01 * jax.random.normal(keys[1], (self.hidden_size, self.hidden_size), layers.DTYPE)},
            "plasticity": 0.01 * jax.random.uniform(keys[2], self._shape, layers.DTYPE),
        }
        if self.rule != "modulated":
            params["learning_rate"] = jnp.full((), 0.01, layers.DTYPE)
        if self.rule in ("modulated", "retroactive"):
            params["modulator"] = layers.init_dense(keys[3], self.hidden_size, self.heads)
        return params

    def init_state(self, params: Params) -> PlasticState:
        dtype = layers.dtype_of(params)
        hebb = jnp.zeros(self._shape, dtype)
        return PlasticState(jnp.zeros(self.hidden_size, dtype), hebb, hebb if self.rule == "retroactive" else None)

    def write(self, params: Params, state: PlasticState, x: Array) -> PlasticState:
        before = state.hidden.reshape(self.heads, -1)
        # Kept for the backward pass are its arguments, not the products of the matrix's size within.
        recall = jax.checkpoint(self._recall, prevent_cse=False)
        recalled = recall(params["plasticity"], state.hebb, before).ravel()
        driven = layers.dense(params["input"], x)
        hidden = jnp.tanh(state.hidden @ params["hidden"]["kernel"] + recalled + driven)
        hebb, trace = self._learn(params, state, before, hidden)
        return PlasticState(hidden, hebb, trace)

    @staticmethod
    def _recall(plasticity: Array, hebb: Array, before: Array) -> Array:
        """What the plastic part says, [heads, units].

        The gradient of a matrix that all sequences share is a sum over the batch, of matrices: slow on a CPU, unless it is a
        product. Hence the product with a one, which must not look constant; see `fused.relink`.
        """
        one = jnp.where(before[:1, :1] <= jnp.inf, 1, 0).astype(before.dtype)
        return jnp.einsum("hi,hij->hj", before, jnp.einsum("ab,bhij->hij", one, plasticity[None]) * hebb)

    def _learn(self, params: Params, state: PlasticState, before: Array, hidden: Array) -> tuple[Array, Any]:
        """The plastic part and the trace after one more pair of activities."""
        after = hidden.reshape(self.heads, -1)

        def associate(matrix, rate):
            return jax.vmap(edits.outer)(matrix, rate * before, after)

        def blend(matrix):
            return jax.vmap(fused.blend, (0, 0, 0, None))(matrix, before, after, eta)

        if self.rule == "modulated":
            modulation = jnp.tanh(layers.dense(params["modulator"], hidden))[:, None]
            return jnp.clip(associate(state.hebb, modulation), -1, 1), None
        eta = jnp.asarray(params["learning_rate"])
        if self.rule == "hebb":
            return blend(state.hebb), None
        if self.rule == "oja":
            return associate(state.hebb * (1 - eta * after[:, None] ** 2), eta), None
        modulation = jnp.tanh(layers.dense(params["modulator"], hidden))[:, None, None]
        return jnp.clip(state.hebb + modulation * state.trace, -1, 1), blend(state.trace)

    def read(self, params: Params, state: PlasticState, query: Array | None = None) -> tuple[PlasticState, Readout]:
        return state, Readout(state.hidden)

    def step(self, params: Params, state: PlasticState, x: Array) -> tuple[PlasticState, Readout]:
        return self.read(params, self.write(params, state, x))
