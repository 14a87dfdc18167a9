"""Guided reading: a term of the loss that says which edges the read heads of a DNC should read while it plans.

Searching is slow to learn from answers alone: that a head has to read the edges of several nodes at once pays only when another
head does the same from the other end, and a third one where they meet. A task that knows the search says what to read, as
supporting facts do in question answering; in evaluation nothing is said.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from diffmem import DNC
from diffmem.base import Array, Params, Readout
from diffmem.tasks import ShortestPath

# Added to weights before the logarithm: beneath the smallest that softmax makes of the strengths that are learned.
FLOOR = 1e-7


@dataclass(frozen=True)
class WhereWritten:
    """What `unroll` needs of a DNC behind a controller; its `Readout.weights` are [N], where the step wrote."""

    memory: Any

    input_size = property(lambda self: self.memory.input_size)

    def init_state(self, params: Params) -> Any:
        return self.memory.init_state(params)

    def step(self, params: Params, state: Any, x: Array) -> tuple[Any, Readout]:
        state, readout = self.memory.step(params, state, x)
        return state, Readout(readout.value, state.memory.write_weights.sum(0))


def cost(weights: Array, written: Array, wanted: Array) -> Array:
    """The cross-entropy between what heads read and what they should, summed over heads and steps.

    Args:
        weights: [B, C, R, N], where R heads read in C steps.
        written: [B, P, N], where the steps of the description wrote, zeros before it; a slot holds what wrote most to it.
        wanted: [B, C, R, P], which of them to read, equally; where there are none, the head is left alone.

    Returns:
        A scalar in nats: each head and step counts with its mean over the sequences in which it is told what to read.
    """
    owned = jnp.where(written == written.max(1, keepdims=True), written, 0)
    held = owned / jnp.maximum(owned.sum(-1, keepdims=True), FLOOR)
    slots = jnp.einsum("bcrp,bpn->bcrn", wanted, held)
    slots = slots / jnp.maximum(slots.sum(-1, keepdims=True), FLOOR)
    nats = -(slots * jnp.log(weights + FLOOR)).sum(-1)
    told = slots.any(-1)
    return (jnp.where(told, nats, 0).sum(0) / jnp.maximum(told.sum(0), 1)).sum()


def check_guided(config: Any) -> None:
    """Raises ValueError unless the config's task knows what to read, and its memory has the heads for it."""
    said = f"Config.supervision is {config.supervision}"
    if not isinstance(config.task, ShortestPath):
        raise ValueError(f"{said}; legal: 0, as {type(config.task).__name__} does not say what to read")
    if not isinstance(config.memory, DNC) or config.controller == "none" or config.memory.read_heads < config.task.guided_heads:
        raise ValueError(
            f"{said}; legal: 0, or a DNC behind a controller, with at least {config.task.guided_heads} read heads, "
            f"not {config.memory} behind {config.controller!r}"
        )
    if config.write_cost:
        raise ValueError(f"{said}, but Config.write_cost is {config.write_cost}; legal: one of them")
    if config.questions == 1:
        raise ValueError(f"{said}, but Config.questions is 1; legal: several, as descriptions are run by themselves")
    if config.task.planning < (least := config.task.guided_steps[-2] + 1):
        raise ValueError(f"{said}, but ShortestPath.planning is {config.task.planning}; legal: at least {least}")
