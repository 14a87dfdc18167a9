"""A batched Neural Turing Machine in PyTorch, as fast as we could make it: the named peer of the speed benchmark.

    python -m experiments.torch_ntm        prints the medians of eager and compiled PyTorch

All heads address M[t-1], the read head reads M[t-1], then the write head writes. Float32 on the CPU, exact gradients.

What makes it fast (T=82, B=16, one thread; two busy cores, so only the ratios hold, and those to a few percent). "x1.15" means
1.15 times as long as what is used here:
  - 8 steps unrolled per compiled graph: x1.17 with 2 steps. With 16 x0.99, but twice the compile time of 8. Larger graphs
    were not measured to the end, and `torch._higher_order_ops.scan` refuses this step's backward ("might be aliasing").
  - inductor's C++ wrapper: x1.10 with the default Python one. "max-autotune-no-cudagraphs": x1.00-1.07.
  - weight gradients as one product per sequence instead of a sum of small ones per step: x1.05-1.08 without.
  - exp(gamma log w) for w^gamma: x2.1 with pow. As a softmax, inductor rewrites gamma's sign into a loop it cannot vectorise.
  - memory as [B, W, N], so that the vector units run along the 128 slots: x1.15 with [B, N, W].
  - neighbours of the shift as slices of a padded copy: torch.roll becomes scalar gathers (kernel time of a step x1.1).
  - no difference: bmm or broadcasting for the content products, unsafe math flags, memory planning.
  - one thread: the kernels are too small to share. Two threads had the best single run (27.8 against 31.2 ms) and the worse
    median (42.8 against 39.5 ms), and were 2.4 times slower when the cores were busy.
"""

import gc
import os
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

NORM_EPSILON = 1e-8  # inside both norms of the cosine
TINY = 1e-30  # keeps log 0 and 0 / 0 away; below anything that float32 resolves next to the weights


class Program(NamedTuple):
    """What `build` returns. Calling it is calling `run`."""

    run: Callable[[], float]
    """One forward and backward pass; sets the gradients of `parameters` and returns the loss."""
    forward: Callable[[], Tensor]
    """The logits [T, B, output_size], without gradients. Compiles on its first call."""
    compile_seconds: float
    """Wall-clock seconds of the first `run`."""
    parameters: dict[str, Tensor]

    def __call__(self) -> float:
        return self.run()


def step(drive: Tensor, bias: Tensor, state: tuple[Tensor, ...], recurrent: Tensor, heads: Tensor) -> tuple[Tensor, ...]:
    """One time step.

    Args:
        drive: [B, 4H], the input's part of the gates.
        bias: [B, P], the bias of the heads' P parameters.
        state: the cell [B, H], concat[h, r] [B, H+W], the memory [B, W, N] and both heads' weightings [B, 2, N].
        recurrent: [H+W, 4H], the weights of concat[h, r] in the gates.
        heads: [H, P], the weights of the head parameters: first all of both heads' keys, then all strengths, and so on.
    """
    cell, hidden_read, memory, w = state
    batch, width, _ = memory.shape
    i, f, g, o = torch.addmm(drive, hidden_read, recurrent).chunk(4, 1)
    cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
    h = torch.sigmoid(o) * torch.tanh(cell)

    raw = torch.addmm(bias, h, heads).split([2 * width, 2, 2, 6, 2, width, width], 1)
    key = torch.tanh(raw[0]).view(batch, 2, width)
    beta, gate, gamma = F.softplus(raw[1])[..., None], torch.sigmoid(raw[2])[..., None], 1 + F.softplus(raw[4])[..., None]
    shift = torch.softmax(raw[3].view(batch, 2, 3), -1)
    erase, add = torch.sigmoid(raw[5])[..., None], torch.tanh(raw[6])[..., None]

    key = key * (beta * torch.rsqrt((key * key).sum(-1, keepdim=True) + NORM_EPSILON))
    scale = torch.rsqrt((memory * memory).sum(1) + NORM_EPSILON)[:, None]
    content = torch.softmax((key[..., None] * memory[:, None]).sum(2) * scale, -1)
    w = w + gate * (content - w)
    padded = torch.cat([w[..., -1:], w, w[..., :1]], -1)
    # Offset +1 moves weight to the next slot, so that slot n receives from n-1; offset -1 from n+1.
    w = shift[..., 0:1] * padded[..., 2:] + shift[..., 1:2] * w + shift[..., 2:3] * padded[..., :-2]
    w = torch.exp(gamma * torch.log(w + TINY))
    w = w * (1 / (w.sum(-1, keepdim=True) + TINY))

    read = (memory * w[:, 0:1]).sum(2)
    memory = memory + w[:, 1:2] * (add - erase * memory)
    return cell, torch.cat([h, read], 1), memory, w


def unrolled(step: Callable, drives: Tensor, biases: Tensor, state: tuple[Tensor, ...], recurrent: Tensor, heads: Tensor):
    """The steps of one chunk: the state after it, and concat[h, r] at each of its steps."""
    outputs = []
    for drive, bias in zip(drives.unbind(0), biases.unbind(0), strict=True):
        state = step(drive, bias, state, recurrent, heads)
        outputs.append(state[1])
    return state, torch.stack(outputs)


def build(
    *,
    batch: int = 16,
    steps: int = 82,
    slots: int = 128,
    width: int = 20,
    hidden: int = 100,
    input_size: int = 9,
    output_size: int = 8,
    compile: bool,
    seed: int = 0,
    chunk: int = 8,
    threads: int = 1,
) -> Program:
    """The NTM on fixed random data, run once, so compiled; see `program`.

    Args:
        batch: B, sequences at a time.
        steps: T.
        slots: N.
        width: W.
        hidden: H, units of the LSTM controller.
        input_size: length of x.
        output_size: length of y.
        compile: torch.compile chunks of the sequence; otherwise eager PyTorch.
        seed: of weights and data.
        chunk: steps per compiled graph. Where it does not divide `steps`, the rest is a second graph.
        threads: of PyTorch.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int, fan_in: int) -> Tensor:
        return (torch.rand(*shape, generator=generator) * 2 - 1) / fan_in**0.5

    size = 4 * width + 12  # two keys, erase, add; and per head a strength, a gate, three shifts, a sharpening
    p = {
        "input": uniform(input_size, 4 * hidden, fan_in=hidden),
        "recurrent": uniform(hidden + width, 4 * hidden, fan_in=hidden),
        "bias": torch.zeros(4 * hidden).index_fill(0, torch.arange(hidden, 2 * hidden), 1.0),  # forget bias 1
        "heads": uniform(hidden, size, fan_in=hidden),
        "heads_bias": uniform(size, fan_in=hidden),
        "output": uniform(hidden + width, output_size, fan_in=hidden + width),
        "output_bias": uniform(output_size, fan_in=hidden + width),
    }
    inputs = torch.rand(steps * batch, input_size, generator=generator)
    targets = torch.randint(2, (steps, batch, output_size), generator=generator).float()
    start = (
        torch.zeros(batch, hidden),
        torch.zeros(batch, hidden + width),
        torch.full((batch, width, slots), 1e-6),
        F.one_hot(torch.zeros(batch, 2, dtype=torch.long), slots).float(),
    )
    return program(step, p, inputs, targets, start, compile=compile, chunk=chunk, threads=threads)


def program(
    step: Callable,
    p: dict[str, Tensor],
    inputs: Tensor,
    targets: Tensor,
    start: tuple[Tensor, ...],
    *,
    compile: bool,
    chunk: int = 8,
    threads: int = 1,
) -> Program:
    """A controlled memory with a linear output on fixed data, run once, so compiled.

    Affects the whole process: PyTorch's threads, denormals to zero (as XLA does), and `gc.freeze`, without which Python's
    collector walks all that the compiler left behind, in a tenth of the time of a run.

    Args:
        step: of the memory and its LSTM, such as `step` above.
        p: the weights "input", "recurrent", "bias" of the LSTM, "heads", "heads_bias", and "output", "output_bias".
        inputs: [T B, input_size].
        targets: [T, B, output_size], 0 or 1.
        start: the state before the first step, zero in concat[h, r].
        compile: torch.compile chunks of the sequence; otherwise eager PyTorch.
        chunk: steps per compiled graph.
        threads: of PyTorch.
    """
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    steps, batch, _ = targets.shape
    hidden, size = start[0].shape[1], p["heads_bias"].shape[0]
    p = p | {name: p[name].requires_grad_() for name in ("output", "output_bias")}

    def run_chunk(*arguments):
        return unrolled(step, *arguments)

    if compile:
        run_chunk = torch.compile(run_chunk, fullgraph=True, dynamic=False, options={"cpp_wrapper": True})

    def drives_and_biases() -> tuple[Tensor, Tensor]:
        drives = torch.addmm(p["bias"], inputs, p["input"]).view(steps, batch, 4 * hidden)
        return drives, p["heads_bias"].expand(steps, batch, size).contiguous()

    def sequence(drives: Tensor, biases: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """The logits, and concat[h, r] at all steps."""
        outputs = []
        for d, b in zip(drives.split(chunk), biases.split(chunk), strict=True):
            state, output = run_chunk(d, b, state, p["recurrent"], p["heads"])
            outputs.append(output)
        hidden_reads = torch.cat(outputs)
        return hidden_reads @ p["output"] + p["output_bias"], hidden_reads

    # The first chunk's state asks for a gradient only so that it shares the other chunks' graph.
    leaves = tuple(s.clone().requires_grad_() for s in start)

    def run() -> float:
        # Each step adds its own row of `drives` and `biases`, so their gradients are those of every step's
        # pre-activations; the weights' gradients follow from them in one product each.
        drives, biases = (a.requires_grad_() for a in drives_and_biases())
        logits, hidden_reads = sequence(drives, biases, leaves)
        loss = F.binary_cross_entropy_with_logits(logits, targets)
        wanted = [drives, biases, p["output"], p["output_bias"]]
        d_gates, d_heads, p["output"].grad, p["output_bias"].grad = torch.autograd.grad(loss, wanted)
        before = hidden_reads.detach()[:-1].flatten(0, 1)  # the state before step 0 is zero
        p["input"].grad = inputs.T @ d_gates.flatten(0, 1)
        p["recurrent"].grad = before.T @ d_gates[1:].flatten(0, 1)
        p["bias"].grad = d_gates.sum((0, 1))
        p["heads"].grad = hidden_reads.detach()[..., :hidden].flatten(0, 1).T @ d_heads.flatten(0, 1)
        p["heads_bias"].grad = d_heads.sum((0, 1))
        return loss.item()

    @torch.no_grad()
    def forward() -> Tensor:
        return sequence(*drives_and_biases(), start)[0]

    began = time.perf_counter()
    run()
    compile_seconds = time.perf_counter() - began
    gc.collect()
    gc.freeze()
    return Program(run, forward, compile_seconds, p)


def main(repeats: int = 30) -> None:
    """Prints the medians of eager and compiled runs, alternating, and the machine's load."""
    programs = {"eager": build(compile=False), "compiled": build(compile=True)}
    times: dict[tuple[str, str], list[float]] = {(n, k): [] for n in programs for k in ("forward", "run")}
    for repeat in range(repeats + 2):  # the first two warm up; the first compiles `forward`
        for (name, kind), seconds in times.items():
            began = time.perf_counter()
            getattr(programs[name], kind)()
            if repeat >= 2:
                seconds.append(time.perf_counter() - began)
    for name, program in programs.items():
        forward, both = (1e3 * statistics.median(times[name, kind]) for kind in ("forward", "run"))
        fastest = 1e3 * min(times[name, "run"])
        print(f"{name:8s}  forward {forward:6.1f} ms   forward+backward {both:6.1f} ms, fastest {fastest:6.1f} ms", end="")
        print(f"   first call {program.compile_seconds:5.1f} s   loss {program():.6f}")
    print(f"load average {os.getloadavg()[0]:.1f}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
