"""Golden files of fast weights: the paper's equations, and the published port that updates within the step."""

import jax
import jax.numpy as jnp

import diffmem
from tests.golden.ntm import Recorded


def run(memory, params, tensors, hidden, matrix):
    """Runs a batch with the file's masks and resets, from its initial state where it has one.

    Args:
        memory: a recurrent net with one matrix.
        params: its parameters.
        tensors: of the file.
        hidden: what the file calls the hidden state.
        matrix: what it calls the matrix.

    Returns:
        The file's outputs: hidden states, zero where the mask is False, and matrices after each step and at the end.
    """
    xs = tensors["input.x"]
    batch, time = xs.shape[:2]
    mask = tensors.get("input.mask", jnp.ones((batch, time), bool)).astype(bool)
    starts = tensors.get("input.reset", jnp.zeros((batch, time), bool)).astype(bool)
    size = memory.hidden_size
    first = jnp.broadcast_to(tensors.get(f"init.{hidden}", jnp.zeros(size, xs.dtype)), (batch, size))
    second = jnp.broadcast_to(tensors.get(f"init.{matrix}", jnp.zeros((size, size), xs.dtype)), (batch, size, size))
    initial = jax.vmap(type(memory.init_state(params)))(first, second[:, None])

    def one(x, start, initial):
        return diffmem.unroll(Recorded(memory), {"memory": params, "initial": initial}, None, x, starts=start)[1]

    values, (states, _) = jax.vmap(one)(jnp.concatenate([xs, mask.astype(xs.dtype)[..., None]], -1), starts, initial)
    matrices = states[1][:, :, 0]
    outputs = {f"out.{hidden}": jnp.where(mask[..., None], values, 0), f"trace.{hidden}": states.hidden}
    return outputs | {f"trace.{matrix}": matrices, f"final.{matrix}": matrices[:, -1], f"final.{hidden}": states.hidden[:, -1]}


def forward(config, tensors):
    """Both variants; the port also has logits of the last step."""
    size = tensors["param.Wh"].shape[0]
    memory = diffmem.FastWeights(
        input_size=tensors["input.x"].shape[-1], hidden_size=size, decay=config["lam"], learning_rate=config["eta"],
        inner_steps=config["S"], epsilon=config["eps"],
        key={"paper": "previous", "repo": "preliminary"}[config["variant"]],
    )  # fmt: skip
    params = {
        "input": {"kernel": tensors["param.Wx"], "bias": tensors["param.bx"]},
        "hidden": {"kernel": tensors["param.Wh"]},
        "norm": {"scale": tensors["param.ln.g"], "bias": tensors["param.ln.b"]},
    }
    outputs = run(memory, params, tensors, "h", "A")
    if "param.out.W" in tensors:
        outputs["out.logits"] = outputs["out.h"][:, -1] @ tensors["param.out.W"] + tensors["param.out.b"]
    return outputs


CONVERTERS = {"transcription of the paper": forward, "GokuMohandas/fast-weights": forward}
