"""A batched Differentiable Neural Computer in PyTorch, as fast as we could make it: the named peer of the speed benchmark.

The same mathematics as the library's, from the same parameters: content lookup, usage and retention, allocation, temporal
links, read modes, behind an LSTM. What makes it fast is that of `torch_ntm`, whose program it runs.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from experiments.torch_ntm import NORM_EPSILON, TINY, Program, program
from experiments.torch_stories import join, tensor


def content(memory: Tensor, key: Tensor, strength: Tensor) -> Tensor:
    """Weights [B, H, N] of keys [B, H, W] over the memory [B, N, W], with strengths [B, H] before their activation."""
    key = key * ((1 + F.softplus(strength))[..., None] * torch.rsqrt((key * key).sum(-1, keepdim=True) + NORM_EPSILON))
    scale = torch.rsqrt((memory * memory).sum(-1) + NORM_EPSILON)[:, None]
    return torch.softmax(torch.bmm(key, memory.mT) * scale, -1)


def allocation(usage: Tensor) -> Tensor:
    """Weights [B, N] on the least used slots. Usages that round to the same multiple of 2^-14 keep their order."""
    order = torch.sort(torch.round(usage.detach() * 2**14), dim=-1, stable=True).indices
    ascending = usage.gather(1, order)
    # In logarithms: the backward pass of `cumprod` looks for zeros first.
    logs = torch.log(ascending + TINY)
    free = (1 - ascending) * torch.exp(torch.cumsum(logs, -1) - logs)
    return torch.zeros_like(usage).scatter(1, order, free)


def step(drive: Tensor, bias: Tensor, state: tuple[Tensor, ...], recurrent: Tensor, heads: Tensor) -> tuple[Tensor, ...]:
    """One time step of a DNC with one write head.

    Args:
        drive: [B, 4H], the input's part of the gates.
        bias: [B, P], the bias of the heads' P parameters.
        state: the cell [B, H], concat[h, r] [B, H+RW], the memory [B, N, W], usage [B, N], links [B, N, N], precedence
            [B, N], read weights [B, R, N], write weights [B, N].
        recurrent: [H+RW, 4H], the weights of concat[h, r] in the gates.
        heads: [H, P], the weights of the head parameters: of all read heads, of the write head, and the free gates.
    """
    cell, hidden_read, memory, usage, links, precedence, reading, writing = state
    batch, slots, width = memory.shape
    readers = reading.shape[1]
    i, f, g, o = torch.addmm(drive, hidden_read, recurrent).chunk(4, 1)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(cell)
    raw = torch.addmm(bias, h, heads).split([readers * (width + 4), 3 * width + 3, readers], 1)
    key, strength, modes = raw[0].view(batch, readers, -1).split([width, 1, 3], 2)
    write_key, write_strength, erase, add, allocate, write = raw[1].split([width, 1, width, width, 1, 1], 1)
    free, allocate, write = torch.sigmoid(raw[2]), torch.sigmoid(allocate), torch.sigmoid(write)

    retained = torch.prod(1 - free[..., None] * reading, 1) if readers > 1 else 1 - free * reading[:, 0]
    usage = (usage + writing - usage * writing) * retained
    found = content(memory, write_key[:, None], write_strength)[:, 0]
    writing = write * (allocate * allocation(usage) + (1 - allocate) * found)
    memory = memory + writing[..., None] * (add[:, None] - torch.sigmoid(erase)[:, None] * memory)

    row, column = writing[..., None], writing[:, None]
    kept = (1 - row - column) * links + row * precedence[:, None]
    links = kept.masked_fill(torch.eye(slots, dtype=torch.bool), 0.0)
    precedence = (1 - writing.sum(-1, keepdim=True)) * precedence + writing
    backward, forward = torch.bmm(reading, links), torch.bmm(reading, links.mT)
    modes = torch.softmax(modes, -1)[..., None]
    reading = modes[:, :, 0] * backward + modes[:, :, 1] * forward + modes[:, :, 2] * content(memory, key, strength[..., 0])
    read = torch.bmm(reading, memory).flatten(1)
    return cell, torch.cat([h, read], 1), memory, usage, links, precedence, reading, writing


def parameters(params: Mapping[str, Any]) -> dict[str, Tensor]:
    """Ours of a `SequenceModel` of a controlled DNC, as `torch_ntm.program` wants them."""
    gates, memory = params["memory"]["controller"], params["memory"]["memory"]
    inputs = gates["ii"]["kernel"].shape[0]
    hidden, output = gates["ii"]["kernel"].shape[1], params["output"]
    reads = output["kernel"].shape[0] - hidden
    seen = join(gates, "ii", "if", "ig", "io")  # x, and then the reads
    kinds = ("read_heads", "write_heads", "free_gates")
    return {
        "input": seen[: inputs - reads],
        "recurrent": torch.cat([join(gates, "hi", "hf", "hg", "ho"), seen[inputs - reads :]]),
        "bias": join(gates, "hi", "hf", "hg", "ho", leaf="bias"),
        "heads": join(memory, *kinds),
        "heads_bias": join(memory, *kinds, leaf="bias"),
        "output": tensor(output["kernel"]),
        "output_bias": tensor(output["bias"]),
    }


def build(params: Mapping[str, Any], xs: Any, ys: Any, *, slots: int, read_heads: int, **options: Any) -> Program:
    """A DNC with one write head on fixed data, run once, so compiled.

    Args:
        params: of a `SequenceModel` of `control(DNC(..), ..)` without options.
        xs: [B, T, input_size].
        ys: [B, T, output_size], 0 or 1.
        slots: N.
        read_heads: R.
        **options: see `torch_ntm.program`.
    """
    p = parameters(params)
    inputs, targets = (tensor(a).transpose(0, 1).contiguous() for a in (xs, ys))
    hidden, batch = p["heads"].shape[0], targets.shape[1]
    width = (p["recurrent"].shape[0] - hidden) // read_heads
    sizes = (
        (hidden,),
        (len(p["recurrent"]),),
        (slots, width),
        (slots,),
        (slots, slots),
        (slots,),
        (read_heads, slots),
        (slots,),
    )
    start = tuple(torch.zeros(batch, *size) for size in sizes)
    return program(step, p, inputs.flatten(0, 1), targets, start, **options)
