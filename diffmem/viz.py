"""Pictures of memories: how they learn, how far they generalise, where they read and write (needs matplotlib)."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffmem import layers
from diffmem.base import Array, Memory, Params, Readout
from diffmem.memories.dnc import DNC

# One hue per series, told apart in grey too.
COLOURS = ("#1f5fa8", "#c8541b", "#3a8a4d", "#7d4fa3", "#8a6d1f", "#5b5b5b")


def trace(memory: Memory, params: Params, xs: Array) -> tuple[Any, Readout]:
    """Every state and readout of one sequence, each with a leading time axis: what the pictures are drawn from.

    Args:
        memory: any memory.
        params: its parameters.
        xs: [T, input_size].

    Returns:
        The states after each step and the readouts.
    """

    def step(state, x):
        state, readout = memory.step(params, state, x)
        return state, (state, readout)

    return jax.lax.scan(step, memory.init_state(params), xs)[1]


def learning_curve(
    steps: Sequence[float],
    losses: Mapping[str, Any],
    *,
    xlabel: str = "sequences",
    ylabel: str = "bits per sequence",
    least: float | None = 0,
):
    """Cost against training, one thin line per seed and a thick median per series.

    Args:
        steps: [points], the horizontal axis.
        losses: label -> [points] or [points, seeds].
        xlabel: of the horizontal axis.
        ylabel: of the vertical axis.
        least: where the vertical axis begins; None: below the lowest value.

    Returns:
        A matplotlib figure.
    """
    figure, axes = _figure(6, 3.6)
    for colour, (label, values) in zip(COLOURS, losses.items(), strict=False):
        values = np.asarray(values).reshape(len(steps), -1)
        axes.plot(steps, values, color=colour, linewidth=0.6, alpha=0.35)
        seeds = f" (median of {values.shape[1]})" if values.shape[1] > 1 else ""
        axes.plot(steps, np.median(values, 1), color=colour, linewidth=2, label=f"{label}{seeds}")
    axes.set(xlabel=xlabel, ylabel=ylabel, ylim=(least, None), xlim=(0, None))
    axes.legend(frameon=False)
    return figure


def generalisation_curve(
    results: Mapping[str, Mapping[int, Sequence[float]]],
    *,
    trained: tuple[float, float] | None = None,
    xlabel: str = "sequence length",
    ylabel: str = "wrong bits per sequence",
):
    """An error against the length of the test sequences, a dot per seed and a line through the medians.

    Args:
        results: label -> {length: one value per seed}.
        trained: shortest and longest trained length, shaded.
        xlabel: of the horizontal axis.
        ylabel: of the vertical axis, logarithmic above 1 and linear below.

    Returns:
        A matplotlib figure.
    """
    figure, axes = _figure(6, 3.6)
    if trained:
        axes.axvspan(*trained, color="0.92", label=f"trained on {trained[0]} to {trained[1]}")
    for colour, (label, by_length) in zip(COLOURS, results.items(), strict=False):
        lengths = sorted(by_length)
        for length in lengths:
            axes.plot([length] * len(by_length[length]), by_length[length], "o", color=colour, alpha=0.35, markersize=4)
        axes.plot(lengths, [np.median(by_length[n]) for n in lengths], color=colour, linewidth=2, label=label)
    axes.set_yscale("symlog", linthresh=1)
    highest = max(value for by_length in results.values() for values in by_length.values() for value in values)
    axes.set(xlabel=xlabel, ylabel=ylabel, ylim=(-0.05, max(1.2 * highest, 1)))
    axes.legend(frameon=False)
    return figure


def capacity_curve(results: Mapping[str, Mapping[int, Sequence[float]]], *, guess: float | None = None):
    """How many pairs a memory recalls: accuracy in percent against the number of pairs, on a logarithmic axis of base 2.

    Args:
        results: label -> {number of pairs: one value per seed}; a dot per seed and a line through the medians.
        guess: the accuracy of guessing, a dotted line.

    Returns:
        A matplotlib figure.
    """
    figure, axes = _figure(6, 3.6)
    if guess is not None:
        axes.axhline(guess, color="0.6", linestyle=":", label="guessing")
    for colour, (label, by_pairs) in zip(COLOURS, results.items(), strict=False):
        pairs = sorted(by_pairs)
        for count in pairs:
            axes.plot([count] * len(by_pairs[count]), by_pairs[count], "o", color=colour, alpha=0.35, markersize=4)
        axes.plot(pairs, [np.median(by_pairs[n]) for n in pairs], color=colour, linewidth=2, label=label)
    axes.set_xscale("log", base=2)
    axes.set(xlabel="pairs", ylabel="recalled (%)", ylim=(-2, 102))
    axes.xaxis.set_major_formatter(lambda pairs, _: f"{pairs:g}")
    axes.legend(frameon=False)
    return figure


def memory_use(inputs: Array, targets: Array, outputs: Array, write_weights: Array, read_weights: Array):
    """What went in and out, and where the memory was written and read at each step, as in the paper's figure of copy.

    Only the slots that were used are shown. Slots form a ring, so their numbers may run past the last one to 0.

    Args:
        inputs: [T, input_size].
        targets: [T, output_size].
        outputs: [T, output_size], probabilities.
        write_weights: [T, N], of one write head.
        read_weights: [T, N], of one read head.

    Returns:
        A matplotlib figure: five panels over the same time axis.

    Source: Graves et al. 2014, figure 6.
    """
    written, read = np.asarray(write_weights), np.asarray(read_weights)
    count = written.shape[1]
    slots = _used(np.maximum(written.max(0), read.max(0)) > 0.05)
    panels = [
        ("inputs", np.asarray(inputs), None),
        ("write weightings\n(slot)", written[:, slots % count], slots),
        ("targets", np.asarray(targets), None),
        ("read weightings\n(slot)", read[:, slots % count], slots),
        ("outputs", np.asarray(outputs), None),
    ]
    figure, grid = _figure(7, 7.2, rows=len(panels), heights=[1 if rows is None else 1.6 for *_, rows in panels])
    for axes, (title, values, rows) in zip(grid, panels, strict=True):
        first = 0 if rows is None else rows[0]
        extent = (-0.5, values.shape[0] - 0.5, first + values.shape[1] - 0.5, first - 0.5)
        axes.imshow(values.T, aspect="auto", cmap="gray_r", vmin=0, vmax=1, interpolation="nearest", extent=extent)
        axes.set_ylabel(title)
        if rows is None:
            axes.set_yticks([])
        else:
            axes.yaxis.set_major_formatter(lambda slot, _: f"{int(slot) % count}")
    for axes in grid[:-1]:
        axes.set_xticks([])
    grid[-1].set_xlabel("time step")
    return figure


def dnc_gates(memory: DNC, params: Params, xs: Array) -> dict[str, Array]:
    """The gates that a DNC set from its inputs.

    Args:
        memory: a DNC.
        params: its own, without the controller's.
        xs: [T, input_size], what drove it: the controller's outputs.

    Returns:
        By name, all in 0..1: "write gate" and "allocation gate" [T, write_heads], "free gates" [T, read_heads], and, if there
        are links, "read modes" [T, read_heads, 1 + 2 write_heads]: backward by each write head, forward by each, by content.
    """

    def step(x):
        *_, allocating, writing = memory._parts(params["write_heads"], x, memory.write_heads, memory._write_sizes)
        *_, modes, _ = memory._parts(params["read_heads"], x, memory.read_heads, memory._read_sizes)
        gates = {
            "write gate": jax.nn.sigmoid(writing[:, 0]),
            "allocation gate": jax.nn.sigmoid(allocating[:, 0]),
            "free gates": jax.nn.sigmoid(layers.dense(params["free_gates"], x)),
        }
        return gates | ({"read modes": jax.nn.softmax(modes)} if memory.links else {})

    return jax.vmap(step)(jnp.asarray(xs))


def memory_schema(
    inputs: Array,
    write_weights: Array,
    read_weights: Array,
    usage: Array,
    gates: Mapping[str, Any],
    *,
    marks: Any = (),
    links: Any = (),
):
    """A DNC at work: what went in, where each head wrote and read, what was in use, and how the gates stood at each step.

    Only the slots are shown that a head was at with a weight of more than 0.2, at some step.

    Args:
        inputs: [T, input_size].
        write_weights: [T, write_heads, N], of a `DNCState` of every step.
        read_weights: [T, read_heads, N].
        usage: [T, N].
        gates: see `dnc_gates`.
        marks: steps [M] at which something new begins, drawn as lines.
        links: [write_heads, N, N] of one step, drawn below: which slot was written just after which.

    Returns:
        A matplotlib figure: panels over the same time axis, then the links.

    Source: Graves et al. 2016, extended data figure 1, which shows a copy in this way.
    """
    written, read = np.asarray(write_weights), np.asarray(read_weights)
    slots = np.flatnonzero(np.maximum(written.max((0, 1)), read.max((0, 1))) > 0.2)
    slots = slots if len(slots) else np.arange(written.shape[2])
    panels: list[tuple[str, np.ndarray, Any]] = [("inputs", np.asarray(inputs), [])]
    for name, weights in (("write", written), ("read", read)):
        for head in range(weights.shape[1]):
            number = f" {head}" if weights.shape[1] > 1 else ""
            panels.append((f"{name} weighting{number}\n(slot)", weights[:, head, slots], slots))
    panels.append(("usage\n(slot)", np.asarray(usage)[:, slots], slots))
    for name, values in gates.items():
        if name != "read modes":
            panels.append((name.replace(" ", "\n"), np.asarray(values), []))
    if "read modes" in gates:
        modes = np.asarray(gates["read modes"])
        heads = (modes.shape[2] - 1) // 2
        names = [f"{way}{f' {h}' if heads > 1 else ''}" for way in ("backward", "forward") for h in range(heads)]
        for head in range(modes.shape[1]):
            number = f" {head}" if modes.shape[1] > 1 else ""
            panels.append((f"read\nmodes{number}", modes[:, head], [*names, "content"]))
    timed = len(panels)
    for head, matrix in enumerate(np.asarray(links)):
        number = f" {head}" if len(links) > 1 else ""
        panels.append((f"links{number}\n(slot)", matrix[np.ix_(slots, slots)].T, slots))
    heights = [min(0.2 + 0.1 * values.shape[1], 2) for _, values, _ in panels]
    figure, grid = _figure(7, 1 + 0.9 * sum(heights), rows=len(panels), heights=heights)
    for i, (axes, (title, values, rows)) in enumerate(zip(grid, panels, strict=True)):
        aspect = "auto" if i < timed else "equal"
        axes.imshow(values.T, aspect=aspect, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
        axes.set_ylabel(title, fontsize=8, rotation=0, ha="right", va="center")
        labelled = range(0, len(rows), 1 if isinstance(rows, list) else max(len(rows) // 5, 1))
        names = [f"{rows[row]}" for row in labelled]
        axes.set_yticks(labelled, names, fontsize=7)
        if i < timed:
            for mark in marks:
                axes.axvline(mark - 0.5, color=COLOURS[1], linewidth=0.8)
        else:
            axes.set_xticks(labelled, names, fontsize=7)
            axes.set_xlabel("written just after slot")
    for axes in grid[: timed - 1]:
        axes.set_xticks([])
    grid[timed - 1].xaxis.get_major_locator().set_params(integer=True)
    grid[timed - 1].set_xlabel("time step")
    return figure


def story_attention(
    sentences: Sequence[str],
    question: str,
    answer: str,
    weights: Array | np.ndarray,
    facts: Sequence[int] = (),
    *,
    target: str | None = None,
    unit: str = "hop",
    rest: str = "nothing",
):
    """A story, sentence by sentence, with the attention of every hop or pass, and the question and answer below.

    Args:
        sentences: N of them, from the oldest to the newest.
        question: as asked.
        answer: the model's.
        weights: [K, N], what each hop or pass gave to each sentence, in the order of `sentences` (a memory's own weights have
            the newest first); or [K, N + 1], where the last column went to none of them. Shades go from 0 to 1.
        facts: indices of the sentences that support the answer; they are marked with ◂.
        target: the expected answer, shown where it differs.
        unit: what a column is called.
        rest: what the column beyond the sentences is called.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: weights of another shape, no sentences, or a fact that is no sentence.
    """
    values, count = np.asarray(weights), len(sentences)
    if not count or values.ndim != 2 or not len(values) or values.shape[1] not in (count, count + 1):
        raise ValueError(f"weights is {list(values.shape)}; it must be [hops, N] or [hops, N + 1] for the {count} sentences")
    if not all(0 <= fact < count for fact in facts):
        raise ValueError(f"facts is {list(facts)}; legal: 0 to {count - 1}, the indices of the sentences")
    hops, rows = values.shape
    numbers = [f"{i + 1:{len(str(count))}d}".replace(" ", "\u2007") for i in range(count)]  # a space as wide as a digit
    labels = [f"{numbers[i]}  {text}{'  ◂' if i in facts else ''}" for i, text in enumerate(sentences)]
    labels += [f"({rest})"] * (rows - count)
    wrong = f" (expected: {target})" if target is not None and target.lower() != answer.lower() else ""
    figure, axes = _figure(6, 4)
    axes.imshow(values.T, aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    for hop, row in np.argwhere(values.round(2) > 0):
        shade = "white" if values[hop, row] > 0.55 else "black"
        axes.text(hop, row, f"{100 * values[hop, row]:.0f}", ha="center", va="center", fontsize=8, color=shade)
    axes.hlines(np.arange(1, rows) - 0.5, -0.5, hops - 0.5, color="0.9", linewidth=0.6)
    axes.set_xticks(range(hops), [f"{unit} {hop + 1}" for hop in range(hops)], fontsize=9)
    axes.set_yticks(range(rows), labels, fontsize=9, ha="left", parse_math=False)
    for i, label in enumerate(axes.get_yticklabels()):
        label.set_color(COLOURS[1] if i in facts else "0.4" if i == count else "black")
    wide = max(label.get_window_extent().width for label in axes.get_yticklabels()) / figure.dpi  # in inches
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.tick_params("y", pad=72 * wide + 4)
    axes.spines[:].set_visible(False)
    width = max(wide + 0.6 * hops + 0.2, 3)
    below = [*textwrap.wrap(question, int(11 * width)), f"→ {answer}{wrong}", *["◂ supporting fact"] * bool(len(facts))]
    figure.supxlabel("\n".join(below), x=0.02, ha="left", fontsize=10, parse_math=False)
    figure.set_size_inches(width, 0.24 * rows + 0.2 * len(below) + 0.4)
    return figure


def slot_attention(weights: Array | np.ndarray, labels: Sequence[str] = ()):
    """What every slot attends to at every step: a panel for each step and head, with time running rightwards.

    Args:
        weights: [T, H, N, M], the weights of T steps of an RMC: slot n in row n of a panel, what it attends to in the
            columns, slots first and then the rows of the input, behind a line. Shades go from 0 to 1.
        labels: of the steps, T of them; their numbers if there are none.

    Returns:
        A matplotlib figure: H rows of T panels.

    Raises:
        ValueError: weights of another shape, or another number of labels.
    """
    values = np.asarray(weights)
    if values.ndim != 4 or values.shape[3] <= values.shape[2]:
        raise ValueError(
            f"weights is {list(values.shape)}; it must be [T, H, N, M] with M > N: slots attend to slots and input"
        )
    steps, heads, slots, rows = values.shape
    if labels and len(labels) != steps:
        raise ValueError(f"labels are {len(labels)}; legal: {steps}, one for each step")
    figure, grid = _figure(0.5 + 0.9 * steps, 0.7 + 0.9 * heads, rows=heads, columns=steps)
    for head, step in np.ndindex(heads, steps):
        axes: Any = grid[head, step]
        axes.imshow(values[step, head], aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        axes.axvline(slots - 0.5, color=COLOURS[1], linewidth=0.8)
        bottom = head == heads - 1
        axes.set_xticks(
            [(slots - 1) / 2, (slots + rows - 1) / 2] if bottom else [], ["slots", "in"] if bottom else [], fontsize=7
        )
        axes.set_yticks([])
        axes.tick_params(length=0)
        if head == 0:
            axes.set_title(labels[step] if labels else f"{step}", fontsize=9, parse_math=False)
        if step == 0:
            axes.set_ylabel(f"head {head}", fontsize=9)
    figure.supxlabel("attended to, at each step", fontsize=9)
    return figure


def recall_curves(position: Mapping[str, Any], retention: Mapping[str, Any]):
    """What is recalled of a list, by place in the list, and what is left of an item, by how long ago it came.

    Args:
        position: label -> [items], the share of lists of which the item at this place is recalled, first to last.
        retention: label -> [delays], the share of items left after so many further ones, from 0 on.

    Returns:
        A matplotlib figure: the serial-position curve on the left, the retention curve on the right.
    """
    figure, grid = _figure(9, 3.4, columns=2)
    for axes, curves, first, xlabel in (
        (grid[0, 0], position, 1, "place in the list"),
        (grid[0, 1], retention, 0, "items since"),
    ):
        for colour, (label, values) in zip(COLOURS, curves.items(), strict=False):
            axes.plot(np.arange(len(values)) + first, 100 * np.asarray(values), color=colour, linewidth=2, label=label)
        axes.set(xlabel=xlabel, ylim=(-2, 102))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    grid[0, 0].set_ylabel("percent")
    return figure


def _used(flags: np.ndarray) -> np.ndarray:
    """The shortest stretch of a ring that holds all flagged places and two more on each side; may run past the end."""
    places = np.flatnonzero(flags)
    if not len(places):
        return np.arange(len(flags))
    gaps = np.diff(np.append(places, places[0] + len(flags)))
    widest = int(np.argmax(gaps))
    first = places[(widest + 1) % len(places)]
    length = len(flags) - gaps[widest] + 1
    return np.arange(first - 2, first + length + 2) if length + 4 <= len(flags) else np.arange(len(flags))


def _figure(width: float, height: float, rows: int = 1, heights: Sequence[float] | None = None, columns: int | None = None):
    """A figure that belongs to no window and no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    if columns is not None:
        return figure, figure.subplots(rows, columns, squeeze=False)
    axes = figure.subplots(rows, 1, gridspec_kw={"height_ratios": heights} if heights else None)
    if rows == 1:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
