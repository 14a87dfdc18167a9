"""Golden files of the end-to-end memory network: the authors' Matlab code, the language model, position encodings."""

import dataclasses

import jax
import jax.numpy as jnp

import diffmem
from diffmem import addressing, layers
from diffmem.append import AppendState


def read(memory, params, slots, query):
    """One read of full memories [B, N, D]: u after every hop [B, K + 1, W] and the weights [B, K, N]."""
    full = jnp.int32(slots.shape[1])

    def one(slots, query):
        us, weights = [layers.embed_bags(params["embeddings"][0], query, memory.encoding)], None
        for hops in range(1, memory.hops + 1):
            first = dataclasses.replace(memory, hops=hops)
            used = {**params, "embeddings": params["embeddings"][: hops + 1]} if memory.tying == "adjacent" else params
            u, weights = first.read(used, AppendState(slots, full), query)[1]
            us.append(u)
        return jnp.stack(us), weights

    return jax.vmap(one)(slots, query)


def forward_matlab(config, tensors):
    """facebook/MemNN: recency is a word of the sentence, empty slots take part, the padding word is a word."""
    adjacent, words, size = config["tying"] == "adjacent", tensors["input.story"].shape[-1], config["dim"]
    vocabulary = tensors["param.B"].shape[0]
    factors = addressing.position_factors(words, size)[0]

    def bags(numbers):  # the padding word counts, so that it gets its gradient
        hot = jax.nn.one_hot(numbers, vocabulary, dtype=tensors["param.B"].dtype)
        if config["bow"]:
            return hot.sum(-2)
        weighted = jnp.einsum("...jv,jf->...fv", hot, factors[: numbers.shape[-1]].astype(hot.dtype))
        return weighted.reshape(*numbers.shape[:-1], -1)

    memory = diffmem.MemN2N(
        input_size=vocabulary if config["bow"] else 2 * vocabulary, slots=config["memory_size"], width=size,
        hops=config["hops"], tying=config["tying"], encoding="bag" if config["bow"] else "position",
        softmax=not config["linear"], relu=size if config["nonlin"] else 0, time=False, mask=False,
    )  # fmt: skip
    if adjacent:
        tables = [tensors["param.B"], *(tensors[f"param.C{k}"] for k in range(config["hops"]))]
        params = {"embeddings": jnp.stack(tables)}
        output = tables[-1].T
    else:
        params = {"embeddings": jnp.stack([tensors[f"param.{name}"] for name in "BAC"]), "hop": jnp.eye(size)}
        params["hop"] = tensors["param.H"] if config["proj"] else params["hop"]
        output = tensors["param.W"]
    story = bags(tensors["input.story"])
    u, weights = read(memory, params, story, bags(tensors["input.question"]))
    outputs = (
        params["embeddings"][1:] if adjacent else jnp.broadcast_to(params["embeddings"][2], (config["hops"], *output.T.shape))
    )
    c = layers.embed_bags(outputs, story, memory.encoding)  # [B, N, K, W]
    logits = u[:, -1] @ output
    return {
        "out.logits": logits,
        "out.prob": jax.nn.softmax(logits),
        "trace.u": u,
        "trace.p": weights,
        "trace.o": jnp.einsum("bkn,bnkw->bkw", weights, c),
        "trace.pe": addressing.position_encoding(words, size),
    }


def forward_language_model(config, tensors):
    """The language model of the same paper: words as sentences, recency tables of their own, half of u rectified."""
    size, slots, words = config["dim"], config["memory_size"], config["vocab"]
    dtype = tensors["param.A"].dtype
    memory = diffmem.MemN2N(
        input_size=words, slots=slots, width=size, hops=config["hops"], tying="layerwise", encoding="bag",
        relu=size - config["lindim"],
    )  # fmt: skip
    params = {
        "embeddings": jnp.stack([jnp.full((words, size), config["init_hid"], dtype), tensors["param.A"], tensors["param.C"]]),
        "times": jnp.stack([tensors["param.TA"], tensors["param.TC"]])[:, ::-1],  # slot 0 is the newest here
        "hop": tensors["param.H"],
    }
    context = jax.nn.one_hot(tensors["input.context"], words, dtype=dtype)[:, ::-1]
    u, weights = read(memory, params, context, jax.nn.one_hot(jnp.zeros(len(context), int), words, dtype=dtype))
    return {"out.logits": u[:, -1] @ tensors["param.W"], "trace.u": u, "trace.p": weights[:, :, ::-1]}


def forward_positions(config, tensors):
    """Published position encodings; "port" sets the last row of the authors' to one."""
    outputs = {}
    for length, width in config["pairs"]:
        for name, kind in (("fb", "memn2n"), ("port", "memn2n"), ("paper", "paper"), ("dmnplus", "dmnplus")):
            encoding = addressing.position_encoding(length, width, kind)
            outputs[f"out.{name}_{length}x{width}"] = encoding.at[-1].set(1) if name == "port" else encoding
    return outputs


CONVERTERS = {
    "facebook-matlab": forward_matlab,
    "transcription of the language model": forward_language_model,
    "position encodings": forward_positions,
}
