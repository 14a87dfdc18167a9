"""Dropout; that of the bypass: what the controller puts out is dropped on its way past the memory, which then has to be used.

Sources: Srivastava et al. 2014, Dropout: A Simple Way to Prevent Neural Networks from Overfitting; Franke et al. 2018, Robust
and Scalable Differentiable Neural Computer for Question Answering.
"""

from typing import Any

import jax
import jax.numpy as jnp

from diffmem.base import Array, check_number
from diffmem.controller import Controlled


def check_chance(config: Any, name: str) -> None:
    """Raises ValueError unless this field is a chance with which something is dropped."""
    check_number(config, name, f"a number, 0 <= {name} < 1", lambda chance: 0 <= chance < 1)


def drop(values: Array, chance: float, key: Array | None) -> Array:
    """Values of any shape, each zero by this chance, and the others larger by as much; as they are without a key."""
    if not chance or key is None:
        return values
    kept = jax.random.bernoulli(key, 1 - chance, values.shape)
    return jnp.where(kept, values / (1 - chance), 0)


def check_bypass(model: Any) -> None:
    """Raises ValueError unless the model's bypass_dropout is a chance, and 0 without a controller."""
    check_chance(model, "bypass_dropout")
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
    return jnp.concatenate([drop(output, model.bypass_dropout, key), reads], axis=1)
