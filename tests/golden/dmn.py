"""Golden files of the dynamic memory networks: YerevaNN's DMN and dandelin's DMN+."""

import dataclasses

import jax
import jax.numpy as jnp

import diffmem
from diffmem import addressing, layers
from diffmem.models import bags
from diffmem.unroll import store


def theano_gru(tensors, prefix):
    """r, z and h in matrices of their own, one bias each."""
    get = lambda name: tensors[f"param.{prefix}.{name}"]  # noqa: E731
    params = {
        f"i{ours}": {"kernel": get(f"W{theirs}"), "bias": get(f"b{theirs}")} for ours, theirs in zip("rzn", "rzh", strict=True)
    }
    params |= {f"h{ours}": {"kernel": get(f"U{theirs}")} for ours, theirs in zip("rzn", "rzh", strict=True)}
    params["hn"]["bias"] = jnp.zeros_like(get("bh"))  # theirs has none there
    return params


def torch_gru(tensors, prefix):
    """r, z and n side by side, with biases of input and state."""
    split = lambda name: jnp.split(tensors[f"param.{prefix}.{name}"], 3, -1)  # noqa: E731
    wx, wh, bx, bh = map(split, ("Wx", "Wh", "bx", "bh"))
    params = {f"i{gate}": {"kernel": wx[i], "bias": bx[i] + bh[i]} for i, gate in enumerate("rz")}
    params["in"] = {"kernel": wx[2], "bias": bx[2]}
    return {**params, "hr": {"kernel": wh[0]}, "hz": {"kernel": wh[1]}, "hn": {"kernel": wh[2], "bias": bh[2]}}


def passes(memory, params, state, query):
    """The m before the first pass and after every one [P + 1, d], and the gates [P, N] in slot order."""
    found, weights = [query], None
    for count in range(1, memory.passes + 1):
        found_now, weights = dataclasses.replace(memory, passes=count).read(params, state, query)[1]
        found.append(found_now)
    return jnp.stack(found), weights


def forward_dmn(config, tensors):
    """YerevaNN/Dynamic-memory-networks-in-Theano, `dmn_basic.py`."""
    size, places = config["dim"], tensors["input.fact_pos"].shape[1]
    memory = diffmem.DMN(
        input_size=size, slots=places, passes=config["hops"], shared_gru=True, mask=False,
        gate="softmax" if config["normalize_attention"] else "sigmoid",
    )  # fmt: skip
    words = theano_gru(tensors, "inp")
    params = {
        "bilinear": tensors["param.att.Wb"],
        "hidden": {"kernel": tensors["param.att.W1"], "bias": tensors["param.att.b1"]},
        "gate": {"kernel": tensors["param.att.W2"], "bias": tensors["param.att.b2"]},
        "episode": theano_gru(tensors, "mem"),
    }

    def one(text, question, text_length, question_length, fact_pos, count):
        hidden = layers.gru(words, text, mask=jnp.arange(len(text)) < text_length)
        q = layers.gru(words, question, mask=jnp.arange(len(question)) < question_length)[-1]
        there = jnp.arange(places) < count
        facts = jnp.where(there[:, None], hidden[fact_pos], 0)
        state = store(memory, params, None, facts, mask=there)
        memories, gates = passes(memory, params, state, q)
        filled = jnp.arange(places) < count
        run = lambda g: layers.gru(params["episode"], state.slots, mask=filled, gates=g, reverse=True)[0]  # noqa: E731
        oldest_first = jnp.where(there, gates[:, jnp.where(there, count - 1 - jnp.arange(places), 0)], 0)
        m = memories[-1]
        if config["answer"] == "recurrent":
            start = jnp.concatenate([jnp.zeros(config["vocab"], q.dtype), q])
            m = layers.gru(theano_gru(tensors, "ans"), start[None], m)[0]
        return jax.nn.softmax(m @ tensors["param.ans.Wa"]), facts, q, oldest_first, jax.vmap(run)(gates), memories

    names = ("text", "question", "text_len", "q_len", "fact_pos", "n_facts")
    prob, facts, q, gates, episodes, memories = jax.vmap(one)(*(tensors[f"input.{name}"] for name in names))
    traces = {"facts": facts, "q": q, "gates": gates, "episodes": episodes, "memories": memories}
    return {"out.prob": prob, "final.memory": memories[:, -1], **{f"trace.{name}": value for name, value in traces.items()}}


def forward_dmnplus(config, tensors):
    """dandelin/Dynamic-memory-networks-plus-Pytorch: padding sentences are read like others, one update for all passes."""
    size, count = config["hidden"], config["sentences"]
    memory = diffmem.DMNPlus(input_size=size, slots=count, passes=config["hops"], tied_update=True, mask=False)
    get = lambda name: tensors[f"param.{name}"]  # noqa: E731
    params = {
        "forward": torch_gru(tensors, "fuse_fwd"),
        "backward": torch_gru(tensors, "fuse_bwd"),
        "hidden": {"kernel": get("att.W1"), "bias": get("att.b1")},
        "gate": get("att.W2")[:, 0],  # a bias, which the file has, changes nothing before a softmax
        "attention": {
            "ir": {"kernel": get("agru.Wr"), "bias": get("agru.bWr") + get("agru.bUr")},
            "in": {"kernel": get("agru.W"), "bias": get("agru.bW")},
            "hr": {"kernel": get("agru.Ur")},
            "hn": {"kernel": get("agru.U"), "bias": get("agru.bU")},
        },
        "update": {"kernel": get("mem.W")[None], "bias": get("mem.b")[None]},
    }
    embedding = get("embedding")

    def one(words, question):
        sentences = bags(words, len(embedding), "dmnplus", embedding.dtype)
        encoded = layers.embed_bags(embedding, sentences, "position", "dmnplus")
        q = layers.gru(torch_gru(tensors, "question"), embedding[question])[-1]
        state = store(memory, params, None, encoded)
        memories, gates = passes(memory, params, state, q)
        facts = layers.gru(params["forward"], encoded) + layers.gru(params["backward"], encoded, reverse=True)
        contexts = jax.vmap(lambda g: layers.gru(params["attention"], facts, gates=g)[-1])(gates[:, ::-1])
        logits = jnp.concatenate([memories[-1], q]) @ get("answer.W") + get("answer.b")
        return logits, encoded, facts, q, gates[:, ::-1], contexts, memories

    found = jax.vmap(one)(tensors["input.contexts"], tensors["input.questions"])
    logits, *traces = found
    names = ("encoded", "facts", "q", "gates", "contexts", "memories")
    return {
        "out.logits": logits,
        "final.memory": traces[-1][:, -1],
        "trace.pe": addressing.position_encoding(config["words"], size, "dmnplus"),
        **{f"trace.{name}": value for name, value in zip(names, traces, strict=True)},
    }


CONVERTERS = {"YerevaNN-basic": forward_dmn, "DMN+ dandelin": forward_dmnplus}
