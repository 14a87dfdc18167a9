"""Golden files of product-key memories: the layer of facebookresearch/XLM."""

import jax
import jax.numpy as jnp

from diffmem import addressing


def forward(config, tensors):
    """Heads of their own keys over one table of values; what they read is added up."""
    unknown = {key: config[key] for key in ("score_subtract",) if config[key]} | {
        key: config[key] for key in ("score_softmax",) if not config[key]
    }
    if unknown:
        raise ValueError(f"no converter for the option {unknown}")
    x, keys, values = tensors["input.x"], tensors["param.keys"], tensors["param.values"]
    queries = x @ tensors["param.query.W"] + tensors["param.query.b"]
    queries = queries.reshape(*x.shape[:-1], config["heads"], 2, config["k_dim"] // 2)
    if config["normalize_query"]:
        queries = queries / jnp.linalg.norm(queries, axis=-1, keepdims=True)
    queries = queries.reshape(*x.shape[:-1], config["heads"], config["k_dim"])
    look_up = lambda query, keys: addressing.product_keys(query, *keys, config["knn"])  # noqa: E731
    scores, places = jax.vmap(look_up, (-2, 0), -2)(queries, keys)
    weights = jax.nn.softmax(scores / config["temperature"], axis=-1)
    return {"out.y": jnp.einsum("...hk,...hkv->...v", weights, values[places]), "trace.indices": places}


CONVERTERS = {"XLM HashingMemoryProductFast": forward}
