"""Golden files of differentiable plasticity: each neuron has an input of its own, which is added to what it receives."""

import jax.numpy as jnp

import diffmem
from tests.golden.fast_weights import run


def forward(config, tensors):
    """Hebb's rule and Oja's."""
    weights = tensors["param.w"]
    size = weights.shape[0]
    memory = diffmem.Plastic(input_size=size, hidden_size=size, rule=config["rule"])
    params = {
        "input": {"kernel": jnp.eye(size, dtype=weights.dtype), "bias": jnp.zeros(size, weights.dtype)},
        "hidden": {"kernel": weights},
        "plasticity": tensors["param.alpha"][None],
        "learning_rate": tensors["param.eta"],
    }
    return run(memory, params, tensors, "y", "hebb")


CONVERTERS = {"differentiable-plasticity": forward}
