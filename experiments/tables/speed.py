"""Benchmarks."""

from string import Formatter

from experiments.runs import RESULTS, read_lines
from experiments.tables import markdown

PYTORCH = (
    "{times_faster_than_torch_compiled:.1f}x compiled PyTorch, {by_core_times_faster_than_torch_compiled:.1f}x with "
    "`sharding.batch_grad` over the same cores (`experiments.bench`)"
)
# The newest row of a benchmark with these entries, and what it says. A row that was never stored is left out.
COMPARISONS = (
    (
        {"comparison": "forward+backward"},
        "NTM 128 x 20: {times_faster_than_ntm_plain:.1f}x plain `lax.scan` + autodiff, " + PYTORCH,
    ),
    (
        {"comparison": "DNC, forward+backward"},
        "DNC 256 x 64, four reads: {times_faster_than_dnc_plain:.1f}x plain `lax.scan` + autodiff, " + PYTORCH,
    ),
    (
        {"comparison": "delta rule, forward+backward"},
        "delta rule in chunks, 4 x 64 x 64, T = {time:,}: {times_faster_than_scan:.1f}x our own scan, "
        "{times_faster_than_memax:.0f}x the associative scan of memax, with {part_of_memax_memory:.1%} of its memory "
        "(`experiments.bench_delta`)",
    ),
    (
        {"layer": "memax"},
        "FFM, T = {time:,}: {times_ffm_cpu:.1f}x memax's, with {times_ffm_megabytes:.1f}x less memory "
        "(`experiments.bench_ffm`)",
    ),
    (
        {"comparison": "sam_hashed against a dense NTM"},
        "SAM, {slots:,} x 32: {times_faster:.0f}x an NTM addressed by content, with {times_less_memory:,.0f}x less memory "
        "(`experiments.bench_slots`)",
    ),
    (
        {"ppo": "gru"},
        "recurrent PPO, GRU-256: {times_faster_than_plain:.2f}x a plain one of the published design (`experiments.bench_ppo`)",
    ),
)


def newest_benchmarks() -> dict[str, dict]:
    """The newest row of `experiments.bench` for each memory."""
    return {line["memory"]: line for line in read_lines(RESULTS / "bench.jsonl") if "forward_ms" in line}


def speed() -> str:
    """The newest benchmark of every memory, and the NTM's growth."""
    lines = read_lines(RESULTS / "bench.jsonl")
    rows = []
    for name, line in newest_benchmarks().items():
        if name.endswith("_plain"):  # it is compared below
            continue
        times = [f"{line[key]:.1f} ms" for key in ("forward_ms", "forward_backward_ms")]
        sizes = [f"{line['peak_megabytes']:.0f} MB", f"{line['tokens_per_second']:,}"]
        rows.append([f"`{name}`", f"{line['compile_seconds']:.1f} s", *times, *sizes])
    table = markdown("memory | > compile | > forward | > forward + backward | > peak memory | > tokens / s", rows)
    growth = {line["growth"]: line for line in lines if "growth" in line and "memory" not in line}
    grown = "; ".join(
        f"T = {length}: {line['microseconds_per_token']:.1f} us a token, {line['peak_megabytes']:.0f} MB"
        for length, line in sorted(growth.items())
    )
    return f"{table}\n\nNTM with `remat=64`, by length: {grown}."


def _grid(name: str, across: str, unit: str) -> str:
    """Milliseconds a step and peak memory, by memory and by what the columns count; the newest rows of a benchmark."""
    found = {(line[name], line[across]): line for line in read_lines(RESULTS / "bench.jsonl") if name in line}
    columns = sorted({column for _, column in found})

    def cells(memory):
        for column in columns:
            line = found.get((memory, column))
            yield f"{line['milliseconds_per_step']:.2f} ms, {line['peak_megabytes']:,.0f} MB" if line else ""

    names = dict.fromkeys(memory for memory, _ in found)
    titles = " | ".join(["memory", *(f"> {column:,} {unit}" for column in columns)])
    return markdown(titles, ([f"`{memory}`", *cells(memory)] for memory in names))


def slots() -> str:
    """The cost of a step against the number of slots."""
    return _grid("slots_memory", "slots", "slots")


def lengths() -> str:
    """The cost of a step against the length of the sequence."""
    return _grid("slots_over_time", "time", "steps")


def environments() -> str:
    """Steps a second of every environment, beside POPGym's."""
    lines = [line for line in read_lines(RESULTS / "bench.jsonl") if "environment" in line]
    rows = []
    for line in {(line["environment"], line["level"]): line for line in lines}.values():
        peer = [f"{line[key]:,}" if key in line else "" for key in ("popgym_steps_per_cpu_second", "times_popgym")]
        each = [f"{line[key]:,}" for key in ("steps_per_second", "steps_per_cpu_second")]
        rows.append([f"`{line['environment']}_{line['level']}`", *each, *peer])
    return markdown("environment | > steps / s | > steps / CPU s | > POPGym, steps / CPU s | > times POPGym", rows)


def comparisons() -> str:
    """Every comparison with a peer in the same run, one line each."""
    lines = read_lines(RESULTS / "bench.jsonl")
    rows = []
    for entries, text in COMPARISONS:
        fields = {name for _, name, _, _ in Formatter().parse(text) if name}  # a peer that was not installed has none
        found = [line for line in lines if entries.items() <= line.items() and fields <= line.keys()]
        rows += [f"- {text.format(**found[-1])}"] if found else []
    return "\n".join(rows)
