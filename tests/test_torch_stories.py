"""The PyTorch peers of the benchmark on stories compute what the library does: logits, gradients, and steps of Adam."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import diffmem
from diffmem.tasks.babi import Examples
from experiments.stories import StoryConfig
from experiments.stories.data import on_device, tables, told

torch = pytest.importorskip("torch")
from experiments import torch_stories  # noqa: E402

VOCABULARY = 13
MEMORIES = {
    "memn2n": diffmem.MemN2N(input_size=2, slots=9, width=5),
    "dmnplus": diffmem.DMNPlus(input_size=6, slots=9, passes=3),
}


@pytest.fixture(scope="module", params=MEMORIES)
def case(request):
    """Model, parameters, and stories of 1 to 7 sentences, padded to 7; the memory has room for 9. The library's gradients."""
    rng = np.random.default_rng(0)
    sentences = np.where(np.arange(4) < rng.integers(1, 5, (20, 1)), rng.integers(1, VOCABULARY, (20, 4)), 0)
    sentences[0] = 0
    stories = np.where(np.arange(7) < np.array([[1], [4], [7], [2], [7]]), rng.integers(1, 20, (5, 7)), 0)
    answers, facts = rng.integers(0, VOCABULARY, 5), np.full((5, 1), -1)
    part = Examples(sentences, stories, rng.integers(1, 20, 5), answers, facts, np.ones(5, int))
    model = StoryConfig(memory=MEMORIES[request.param]).model(range(VOCABULARY))  # only the vocabulary's size is used
    shapes = jax.eval_shape(model.init_params, jax.random.key(0))
    params = jax.tree.map(lambda a: jnp.asarray(0.4 * rng.normal(size=a.shape), a.dtype), shapes)
    return request.param, params, part, jax.jit(jax.value_and_grad(ours(model, part), has_aux=True))


def ours(model, part):
    """The library's loss and logits of the whole batch."""
    batch, table = on_device(part), tables(model, part)

    def loss(params):
        logits = jax.vmap(lambda one: model(params, *told(one, table, one.stories)).logits)(batch)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, batch.answers)), logits

    return loss


@pytest.mark.parametrize("chunk", [3, 10])
def test_same_logits_and_gradients(case, chunk):
    name, params, part, ours = case
    (_, logits), gradients = ours(params)
    peer = torch_stories.MODELS[name](params, part.sentences)
    peer.chunk = chunk
    own = {key: a.requires_grad_() for key, a in peer.parameters(params).items()}
    stories, questions, answers = (torch.tensor(a) for a in (part.stories, part.questions, part.answers))
    found = peer.logits(own, stories, questions)
    np.testing.assert_allclose(found.detach(), logits, rtol=0, atol=1e-5)
    torch.nn.functional.cross_entropy(found, answers).backward()
    expected = peer.parameters(gradients)
    for key, a in own.items():
        assert float(expected[key].abs().max()) > 1e-3, f"{key} has no effect: nothing was compared"
        np.testing.assert_allclose(a.grad, expected[key], rtol=0, atol=1e-4, err_msg=key)


def test_same_training(case):
    """Steps of Adam on the same batch lead to the same losses."""
    name, params, part, ours = case
    build, rule, losses = torch_stories.build, optax.adam(1e-2), []
    try:
        peer = build(name, params, [part], np.zeros(1, int), np.arange(5)[None], learning_rate=1e-2, compile=False)
        found = [peer.loss, *(peer.run() for _ in range(4))]
    finally:
        torch.set_flush_denormal(False)
    state, update = rule.init(params), jax.jit(rule.update)
    for _ in range(5):
        (loss, _), gradients = ours(params)
        updates, state = update(gradients, state)
        params = jax.tree.map(jnp.add, params, updates)
        losses.append(float(loss))
    assert losses[0] > losses[-1] + 0.1
    np.testing.assert_allclose(found, losses, rtol=0, atol=1e-4)
