"""Bypass dropout: what the controller puts out is dropped on its way past the memory, so that the memory has to be used.

Source: Franke et al. 2018, Robust and Scalable Differentiable Neural Computer for Question Answering.
"""

from typing import Any

import jax
import jax.numpy as jnp

from diffmem.base import Array, check_number
from diffmem.controller import Controlled


def check_bypass(model: Any) -> None:
    """Raises ValueError unless the model's bypass_dropout is a chance, and 0 without a controller."""
    check_number(model, "bypass_dropout", "a number, 0 <= bypass_dropout < 1", lambda chance: 0 <= chance < 1)
    if model.bypass_dropout and not isinstance(model.memory, Controlled):
        raise ValueError(
            f"{type(model).__name__}.bypass_dropout is {model.bypass_dropout}, but {type(model.memory).__name__} has no "
            "controller whose output could pass the memory by; legal: 0"
        )


def drop_bypass(model: Any, values: Array, key: Array | None) -> Array:
    """The reads [T, controller's output and memory's reads] with numbers of the former dropped; as they are without a key."""
    if not model.bypass_dropout or key is None:
        return values
    output, reads = jnp.split(values, [model.memory.memory.input_size], axis=1)
    kept = jax.random.bernoulli(key, 1 - model.bypass_dropout, output.shape)
    return jnp.concatenate([jnp.where(kept, output / (1 - model.bypass_dropout), 0), reads], axis=1)
