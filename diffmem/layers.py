"""Flax layers as pure functions: parameters in, arrays out, no module to hold."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from diffmem.base import Array, Params

# What fresh parameters are made of, also where 64-bit numbers are switched on, as in Flax. Cast them to have another type.
DTYPE = jnp.float32


def init(layer: nn.Module, key: Array, *shapes: tuple[int, ...]) -> Params:
    """The layer's parameters for inputs of these shapes."""
    return layer.init(key, *(jnp.zeros(shape, DTYPE) for shape in shapes))["params"]


def apply(layer: nn.Module, params: Params, *inputs):
    """The layer's output."""
    return layer.apply({"params": params}, *inputs)


def init_dense(key: Array, inputs: int, outputs: int) -> Params:
    """{"kernel": [inputs, outputs], "bias": [outputs]}, initialised as `flax.linen.Dense` does."""
    return init(nn.Dense(outputs), key, (inputs,))


def dense(params: Params, x: Array) -> Array:
    """The affine map x @ kernel + bias, by `flax.linen.Dense`."""
    return apply(nn.Dense(params["kernel"].shape[-1]), params, x)


def dtype_of(params: Params):
    """The type of the parameters' arrays: states start in it, so that a cast of the parameters casts everything."""
    return jax.tree.leaves(params)[0].dtype


def size_of(shape: tuple[int, ...]) -> int:
    """How many numbers an array of this shape holds."""
    return math.prod(shape)
