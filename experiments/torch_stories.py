"""MemN2N and DMN+ in PyTorch, as fast as we could make them: the named peers of `experiments.bench_stories`.

The same mathematics as the library's models in `experiments.stories`, from the same parameters: a train step is embedding of
words, memory, logits, cross-entropy, backward and Adam. Float32 on the CPU, exact gradients.

What makes them fast (MemN2N's usual batch, 32 stories of up to 10 sentences, one thread of a busy machine, so only the
ratios hold):
  - word vectors are looked up, all four tables of a MemN2N in one row, and summed in the compiled loop: x2.4 with bags of
    words as a matrix product. `F.embedding_bag` leaves the compiled graph, and was not measured to the end.
  - MemN2N's loss is one compiled graph for each length of story. With bags, the gradient by `torch.func` and Adam in that
    graph too were x0.7; with lookups they were slower, in a run of its own that also had the hops' products as sums.
  - DMN+: input projections of all sentences at once, both directions of the fusion as one batched product, what the attention
    knows from the question alone once for all passes; recurrences unrolled in compiled chunks, as in `torch_ntm`.
"""

import copy
import gc
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

OPTIONS: dict[str, Any] = {"cpp_wrapper": True}
Parameters = dict[str, Tensor]


def tensor(array: Any) -> Tensor:
    """A copy, since JAX's arrays are read-only."""
    return torch.tensor(np.asarray(array))


def join(part: Mapping[str, Any], *names: str, leaf: str = "kernel") -> Tensor:
    """Layers side by side; zeros where one has no bias."""
    size = part[names[0]]["kernel"].shape[-1]
    return torch.cat([tensor(part[name].get(leaf, np.zeros(size, np.float32))) for name in names], -1)


class Words:
    """The distinct sentences as word numbers [S, J], with the weight of every word: a position encoding, zero for padding."""

    def __init__(self, sentences: Any, width: int, kind: str):
        self.numbers = tensor(sentences).long()
        length = self.numbers.shape[1]
        place, feature = torch.arange(1.0, length + 1)[:, None], torch.arange(1.0, width + 1)
        if kind == "memn2n":
            encoding = 1 + 4 * (feature - (width + 1) / 2) * (place - (length + 1) / 2) / (width * length)
        else:
            encoding = (1 - place / length) - feature / width * (1 - 2 * place / length)
        self.encoding, self.there = encoding, (self.numbers > 0).float()
        self.lengths = (self.numbers > 0).sum(1)

    def embed(self, table: Tensor, rows: Tensor) -> Tensor:
        """Position-encoded sums of the rows of a table [V, T W] that has T tables side by side: [*rows, T W]."""
        encoding = self.encoding.repeat(1, table.shape[1] // self.encoding.shape[1])
        weights = self.there[rows][..., None] * encoding
        return (F.embedding(self.numbers[rows], table) * weights).sum(-2)


class MemN2N:
    """End-to-end memory network: adjacent tying, recency encodings, empty slots take part in the softmax.

    Args:
        params: of the library's model; see `parameters`.
        sentences: [S, J] word numbers.
    """

    def __init__(self, params: Mapping[str, Any], sentences: Any):
        own = params["memory"]
        self.tables, _, self.width = own["embeddings"].shape
        self.slots = own["times"].shape[1]
        self.words = Words(sentences, self.width, "memn2n")

    def parameters(self, params: Mapping[str, Any]) -> Parameters:
        """The library's parameters (or gradients): tables side by side [V, T W], recency encodings [N, T W]."""
        own = params["memory"]
        flat = lambda a: tensor(a).transpose(0, 1).flatten(1).contiguous()  # noqa: E731
        return {"words": flat(own["embeddings"]), "times": flat(own["times"])}

    def logits(self, p: Parameters, stories: Tensor, questions: Tensor) -> Tensor:
        """[B, V] for stories [B, N], newest sentence first, 0 for none, and questions [B]: rows of the sentences."""
        count, width = stories.shape[1], self.width
        sentences = (self.words.embed(p["words"], stories) + p["times"][:count]) * (stories > 0)[..., None]
        sentences = sentences.unflatten(-1, (self.tables, width))
        u = self.words.embed(p["words"][:, :width], questions)
        for hop in range(self.tables - 1):
            scores = (sentences[:, :, hop] @ u[..., None])[..., 0]
            attention = torch.softmax(F.pad(scores, (0, self.slots - count)), -1)[:, :count]
            u = u + (attention[:, None] @ sentences[:, :, hop + 1])[:, 0]
        return u @ p["words"][:, -width:].T

    def loss(self, p: Parameters, stories: Tensor, questions: Tensor, answers: Tensor) -> Tensor:
        """The mean cross-entropy of the answers [B]."""
        return F.cross_entropy(self.logits(p, stories, questions), answers)

    def compiled(self, fast: Callable) -> Callable[..., Tensor]:
        """`loss` as one graph for each length of story."""
        return fast(self.loss)


def gru(drives: Tensor, keep: Tensor, state: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """D GRUs side by side: the last state, and all [T, D, B, H].

    Args:
        drives: [T, D, B, 3H], the input's part of reset gate, update gate and candidate.
        keep: [T, D, B, 1], 0 for padding, where the state becomes zero.
        state: [D, B, H].
        weight: [D, H, 3H].
        bias: [D, 1, H], of the state's part of the candidate.
    """
    states, size = [], state.shape[-1]
    for drive, there in zip(drives.unbind(0), keep.unbind(0), strict=True):
        own = torch.bmm(state, weight)
        reset, update = torch.sigmoid(drive[..., : 2 * size] + own[..., : 2 * size]).chunk(2, -1)
        new = torch.tanh(drive[..., 2 * size :] + reset * (own[..., 2 * size :] + bias))
        state = there * (new + update * (state - new))
        states.append(state)
    return state, torch.stack(states)


def attention_gru(drives: Tensor, gates: Tensor, state: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The last state [B, H] for drives [T, B, 2H] and gates [T, B, 1], which stand in for the update gate."""
    size = state.shape[-1]
    for drive, gate in zip(drives.unbind(0), gates.unbind(0), strict=True):
        own = state @ weight
        reset = torch.sigmoid(drive[:, :size] + own[:, :size])
        new = torch.tanh(drive[:, size:] + reset * (own[:, size:] + bias))
        state = state + gate * (new - state)
    return state


class DMNPlus:
    """DMN+: input fusion, P passes of an attention GRU, an update of its own for each; the answer sees the question.

    Args:
        params: of the library's model; see `parameters`.
        sentences: [S, J] word numbers.
        chunk: sentences per compiled graph of a recurrence; divides the lengths of stories that are trained on.
    """

    def __init__(self, params: Mapping[str, Any], sentences: Any, chunk: int = 10):
        self.width, self.chunk = params["encoder"]["embedding"].shape[1], chunk
        self.passes = params["memory"]["update"]["kernel"].shape[0]
        self.words = Words(sentences, self.width, "paper")
        self.gru, self.attention_gru, self.attend, self.inputs = gru, attention_gru, self._attend, self._inputs

    def parameters(self, params: Mapping[str, Any]) -> Parameters:
        """The library's parameters (or gradients): gates side by side, fusion as [backward in time, forward in time]."""
        own, question = params["memory"], params["encoder"]["question"]
        attention = {name: {**own["attention"][name]} for name in own["attention"]}
        fusion = own["backward"], own["forward"]  # slots are the newest first
        gates = "ir", "iz", "in"
        return {
            "words": tensor(params["encoder"]["embedding"]),
            "question_input": join(question, *gates),
            "question_input_bias": join(question, *gates, leaf="bias"),
            "question_state": join(question, "hr", "hz", "hn")[None],
            "question_state_bias": join(question, "hn", leaf="bias")[None, None],
            "fusion_input": torch.cat([join(one, *gates) for one in fusion], -1),
            "fusion_input_bias": torch.cat([join(one, *gates, leaf="bias") for one in fusion], -1),
            "fusion_state": torch.stack([join(one, "hr", "hz", "hn") for one in fusion]),
            "fusion_state_bias": torch.stack([join(one, "hn", leaf="bias")[None] for one in fusion]),
            "hidden": tensor(own["hidden"]["kernel"]),
            "hidden_bias": tensor(own["hidden"]["bias"]),
            "gate": tensor(own["gate"]),
            "attention_input": join(attention, "ir", "in"),
            "attention_input_bias": join(attention, "ir", "in", leaf="bias"),
            "attention_state": join(attention, "hr", "hn"),
            "attention_state_bias": join(attention, "hn", leaf="bias"),
            "update": tensor(own["update"]["kernel"]),
            "update_bias": tensor(own["update"]["bias"]),
            "answer": tensor(params["answer"]["kernel"]),
            "answer_bias": tensor(params["answer"]["bias"]),
        }

    def _inputs(self, p: Parameters, stories: Tensor, questions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The drives of both directions of the fusion [N, 2, B, 3H] and their padding, and of the question [J, 1, B, 3H]."""
        drives = self.words.embed(p["words"], stories.T) @ p["fusion_input"] + p["fusion_input_bias"]
        one, other = drives.chunk(2, -1)
        there = (stories.T > 0).float()[..., None]
        asked = F.embedding(self.words.numbers[questions].T, p["words"]) @ p["question_input"] + p["question_input_bias"]
        return torch.stack([one, other.flip(0)], 1), torch.stack([there, there.flip(0)], 1), asked[:, None]

    def _attend(self, p: Parameters, facts: Tensor, known: Tensor, m: Tensor, there: Tensor) -> Tensor:
        """The attention [N, B, 1]; `known` is what the question alone contributes to its hidden layer."""
        size = self.width
        hidden = (facts * m) @ p["hidden"][size : 2 * size] + (facts - m).abs() @ p["hidden"][3 * size :]
        scores = torch.tanh(known + hidden) @ p["gate"]
        return torch.softmax(scores.masked_fill(~there, -torch.inf), 0)[..., None]

    def logits(self, p: Parameters, stories: Tensor, questions: Tensor) -> Tensor:
        """[B, V] for stories [B, N], newest sentence first, 0 for none, and questions [B]: rows of the sentences."""
        size, batch = self.width, len(questions)
        drives, keep, asked = self.inputs(p, stories, questions)
        zeros = drives.new_zeros(2, batch, size)
        weights = p["question_state"], p["question_state_bias"]
        heard = self.gru(asked, torch.ones_like(asked[..., :1]), zeros[:1], *weights)[1][:, 0]
        q = heard[self.words.lengths[questions] - 1, torch.arange(batch)]

        state, found = zeros, []
        for drive, there in zip(drives.split(self.chunk), keep.split(self.chunk), strict=True):
            state, states = self.gru(drive, there, state, p["fusion_state"], p["fusion_state_bias"])
            found.append(states)
        one, other = torch.cat(found).unbind(1)
        facts, there = one + other.flip(0), stories.T > 0  # [N, B, H]

        known = (facts * q) @ p["hidden"][:size] + (facts - q).abs() @ p["hidden"][2 * size : 3 * size] + p["hidden_bias"]
        told = (facts @ p["attention_input"] + p["attention_input_bias"]).flip(0).split(self.chunk)  # the oldest first
        m = q
        for i in range(self.passes):
            gates = self.attend(p, facts, known, m, there).flip(0).split(self.chunk)
            context = zeros[0]
            for drive, gate in zip(told, gates, strict=True):
                context = self.attention_gru(drive, gate, context, p["attention_state"], p["attention_state_bias"])
            m = torch.relu(torch.cat([m, context, q], 1) @ p["update"][i] + p["update_bias"][i])
        return torch.cat([m, q], 1) @ p["answer"] + p["answer_bias"]

    def loss(self, p: Parameters, stories: Tensor, questions: Tensor, answers: Tensor) -> Tensor:
        """The mean cross-entropy of the answers [B]."""
        return F.cross_entropy(self.logits(p, stories, questions), answers)

    def compiled(self, fast: Callable) -> Callable[..., Tensor]:
        """`loss` in pieces, so that short and long stories share the recurrences' graphs."""
        pieces = copy.copy(self)
        pieces.gru, pieces.attention_gru = fast(gru), fast(attention_gru)
        pieces.attend, pieces.inputs = fast(self._attend), fast(self._inputs)
        return pieces.loss


MODELS = {"memn2n": MemN2N, "dmnplus": DMNPlus}


class Program(NamedTuple):
    """What `build` returns."""

    run: Callable[[], float]
    """One pass over the batches: trains on, and returns the mean loss."""
    compile_seconds: float
    """Wall-clock seconds of the first `run`."""
    loss: float
    """The mean loss of the first `run`."""


def build(
    name: str,
    params: Mapping[str, Any],
    parts: Any,
    bucket: np.ndarray,
    chosen: np.ndarray,
    *,
    learning_rate: float = 1e-3,
    compile: bool = True,
    threads: int = 0,
) -> Program:
    """Training on fixed batches, run once, so compiled.

    Affects the whole process: PyTorch's threads, denormals to zero (as XLA does), and `gc.freeze`, as in `torch_ntm`.

    Args:
        name: "memn2n" or "dmnplus".
        params: of the library's model.
        parts: `diffmem.tasks.babi.Examples`, one per bucket.
        bucket: of each step [S].
        chosen: questions of each step [S, B].
        learning_rate: of Adam.
        compile: torch.compile; otherwise eager PyTorch.
        threads: of PyTorch; 0: its own choice.
    """
    if threads:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    model = MODELS[name](params, parts[0].sentences)
    data = [[tensor(a).long() for a in (part.stories, part.questions, part.answers)] for part in parts]
    steps = list(zip(bucket.tolist(), tensor(chosen).long().unbind(0), strict=True))

    loss_of = model.compiled(partial(torch.compile, fullgraph=True, dynamic=False, options=OPTIONS)) if compile else model.loss
    p = {key: a.requires_grad_() for key, a in model.parameters(params).items()}
    optimizer = torch.optim.Adam(p.values(), lr=learning_rate, fused=True)

    def step(stories: Tensor, questions: Tensor, answers: Tensor) -> Tensor:
        loss = loss_of(p, stories, questions, answers)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    def run() -> float:
        return torch.stack([step(*(a[rows] for a in data[i])) for i, rows in steps]).mean().item()

    began = time.perf_counter()
    loss = run()
    compile_seconds = time.perf_counter() - began
    gc.collect()
    gc.freeze()
    return Program(run, compile_seconds, loss)
