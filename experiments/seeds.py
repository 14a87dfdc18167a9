"""Runs of several seeds, side by side."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax


def side_by_side(begin: Callable[[jax.Array], Any], seed: int, seeds: int) -> Any:
    """What `begin` makes of each seed's key, stacked along a new first axis."""
    keys = jnp.stack([jax.random.key(seed + i) for i in range(seeds)])
    # One seed after another: batched QR, of orthogonal weights, can block for ever where XLA has two threads.
    return jax.jit(partial(jax.lax.map, begin))(keys)


def learners(model: Any, optimizer: optax.GradientTransformation, seed: int, seeds: int) -> tuple[Any, Any, jax.Array]:
    """Fresh parameters, optimiser states, and keys for what comes, one of each per seed."""

    def begin(key):
        init_key, key = jax.random.split(key)
        params = model.init_params(init_key)
        return params, optimizer.init(params), key

    return side_by_side(begin, seed, seeds)
