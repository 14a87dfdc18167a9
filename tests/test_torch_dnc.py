"""The PyTorch peer of the benchmark of the DNC computes what the library does: logits and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffmem
from diffmem.models import SequenceModel

torch = pytest.importorskip("torch")
from experiments import torch_dnc  # noqa: E402

INPUTS, OUTPUTS, B, T = 3, 2, 4, 7


@pytest.mark.parametrize("read_heads", [1, 2])
def test_same_logits_and_gradients(read_heads):
    memory = diffmem.control(diffmem.DNC(6, slots=11, width=5, read_heads=read_heads), INPUTS)
    model, rng = SequenceModel(memory, OUTPUTS), np.random.default_rng(0)
    shapes = jax.eval_shape(model.init_params, jax.random.key(0))
    params = jax.tree.map(lambda a: jnp.asarray(0.7 * rng.normal(size=a.shape), a.dtype), shapes)
    xs, ys = rng.normal(size=(B, T, INPUTS)).astype(np.float32), rng.integers(0, 2, (B, T, OUTPUTS)).astype(np.float32)

    def loss(params):
        logits = jax.vmap(lambda x: model(params, x)[1])(xs)
        return jnp.mean(jax.nn.softplus((1 - 2 * ys) * logits)), logits

    (expected, logits), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(params)
    try:
        peer = torch_dnc.build(params, xs, ys, slots=11, read_heads=read_heads, compile=False, chunk=3)
        np.testing.assert_allclose(peer.run(), expected, rtol=0, atol=1e-5)
        np.testing.assert_allclose(peer.forward().transpose(0, 1), logits, rtol=0, atol=1e-5)
    finally:
        torch.set_flush_denormal(False)
    for name, a in torch_dnc.parameters(gradients).items():
        assert float(a.abs().max()) > 1e-3, f"{name} has no effect: nothing was compared"
        np.testing.assert_allclose(peer.parameters[name].grad, a, rtol=0, atol=1e-5, err_msg=name)
