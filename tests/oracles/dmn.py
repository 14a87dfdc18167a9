"""The episodic memories of the DMN (Kumar et al. 2016) and DMN+ (Xiong et al. 2016) over the newest inputs.

Loop by loop in float64, one sequence at a time. GRUs are parameterised as Flax lays them out.
"""

import numpy as np

from tests.oracles import append
from tests.oracles.recurrent import gru_step, linear, sigmoid


def gru(params, x, h):
    state, _ = gru_step({}, params, {"hidden": h}, x)
    return state["hidden"]


# --- DMN -------------------------------------------------------------------------------------------------------------


def bilinear(matrix, c, q):
    result, matrix = 0.0, np.asarray(matrix, np.float64)
    for i in range(len(c)):
        for j in range(len(q)):
            result += c[i] * matrix[i, j] * q[j]
    return np.array([result])


def gate(params, c, m, q):
    """G(c, m, q): a two-layer network of how alike the fact, the memory and the query are."""
    by_query, by_memory = bilinear(params["bilinear"], c, q), bilinear(params["bilinear"], c, m)
    z = np.concatenate([c, m, q, c * q, c * m, np.abs(c - q), np.abs(c - m), by_query, by_memory])
    return float(sigmoid(linear(params["gate"], np.tanh(linear(params["hidden"], z))))[0])


def dmn_read(config, params, state, query):
    """(value [d], weights [P, N])."""
    facts, filled = np.asarray(state["slots"], np.float64), append.filled(config, state)
    weights = np.zeros((config["passes"], config["slots"]))
    m = query.copy()
    for number in range(config["passes"]):
        gates = {i: gate(params, facts[i], m, query) for i in filled}
        if config["gate"] == "softmax":
            gates = append.softmax(gates)
        elif config["gate"] != "sigmoid":
            raise ValueError(f"unknown gate {config['gate']!r}")
        h = np.zeros(len(query))
        for i in sorted(filled, reverse=True):  # from the oldest to the newest
            weights[number, i] = gates[i]
            h = gates[i] * gru(params["episode"], facts[i], h) + (1.0 - gates[i]) * h
        m = gru(params["episode" if config["shared_gru"] else "update"], h, m)
    return m, weights


def dmn_unroll(config, params, state, xs, starts=None):
    """All steps: (last state, {"value": [T, d], "weights": [T, P, N]}, the state after each step)."""
    return append.unroll(dmn_read, config, params, state, xs, starts)


# --- DMN+ ------------------------------------------------------------------------------------------------------------


def fuse(params, sentences, filled):
    """The facts, by slot: the states of two GRUs, one from the oldest to the newest and one back, added."""
    width = sentences.shape[1]
    facts = {i: np.zeros(width) for i in filled}
    for name, order in (("forward", sorted(filled, reverse=True)), ("backward", sorted(filled))):
        h = np.zeros(width)
        for i in order:
            h = gru(params[name], sentences[i], h)
            facts[i] = facts[i] + h
    return facts


def attention_gru(params, f, h, g):
    """A GRU whose update gate is the attention g."""
    r = sigmoid(linear(params["ir"], f) + linear(params["hr"], h))
    candidate = np.tanh(linear(params["in"], f) + r * linear(params["hn"], h))
    return g * candidate + (1.0 - g) * h


def dmnplus_read(config, params, state, query):
    """(value [d], weights [P, N])."""
    filled = append.filled(config, state)
    facts = fuse(params, np.asarray(state["slots"], np.float64), filled)
    weights = np.zeros((config["passes"], config["slots"]))
    m = query.copy()
    for number in range(config["passes"]):
        logits = {}
        for i in filled:
            f = facts[i]
            z = np.concatenate([f * query, f * m, np.abs(f - query), np.abs(f - m)])
            logits[i] = float(np.tanh(linear(params["hidden"], z)) @ params["gate"])
        gates = append.softmax(logits)
        c = np.zeros(len(query))
        for i in sorted(filled, reverse=True):  # from the oldest to the newest
            weights[number, i] = gates[i]
            c = attention_gru(params["attention"], facts[i], c, gates[i])
        which = 0 if config["tied_update"] else number
        update = {name: params["update"][name][which] for name in ("kernel", "bias")}
        m = np.maximum(linear(update, np.concatenate([m, c, query])), 0.0)
    return m, weights


def dmnplus_unroll(config, params, state, xs, starts=None):
    """All steps: (last state, {"value": [T, d], "weights": [T, P, N]}, the state after each step)."""
    return append.unroll(dmnplus_read, config, params, state, xs, starts)
