"""Writes the README's tables from the registry and the committed results: `python -m experiments.readme [--check]`.

Each table stands between two comments, `<!-- name -->` and `<!-- end name -->`. With --check nothing is written, and the exit
code says whether the README is up to date; a test does the same.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np

import diffmem
from experiments.runs import RESULTS

README = Path(__file__).parents[1] / "README.md"


def result(name: str) -> dict | None:
    """The committed result of a config, or None."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def memories() -> str:
    """Every registered memory: name, what it is, paper, state, whether it runs in parallel over time."""
    rows = ["| name | memory | state | parallel in time | paper |", "|---|---|---|---|---|"]
    for name in diffmem.names():
        entry = diffmem.entry(name)
        memory = entry.cls(**entry.small)
        state = type(memory.init_state(memory.init_params(_key())))
        fields = ", ".join(f"`{field}`" for field in state._fields)
        first = (entry.cls.__doc__ or "").splitlines()[0].rstrip(".")
        parallel = "yes" if hasattr(memory, "combine") else "no"
        rows.append(f"| `{name}` | {first} | {fields} | {parallel} | {entry.paper} |")
    return "\n".join(rows)


def _key():
    import jax

    return jax.random.key(0)


def results() -> str:
    """Every committed result: task, seeds, budget, and its metrics by length, median [best, worst]."""
    rows = [
        "| run | seeds | sequences | minutes | length | cost in bits | wrong bits | of |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for path in sorted(RESULTS.glob("*.json")):
        found = json.loads(path.read_text())
        trained = found["learning"]["sequences"][-1]
        for i, length in enumerate(found["bits_per_sequence"]):
            head = [f"`{found['name']}`", len(found["seeds"]), f"{trained:,}", found["minutes"]] if i == 0 else [""] * 4
            cells = [spread(found, metric, length) for metric in ("bits_per_sequence", "wrong_bits_per_sequence")]
            rows.append(
                "| " + " | ".join(map(str, [*head, length, *cells, round(found["scored_bits_per_sequence"][length])])) + " |"
            )
    return "\n".join(rows)


def spread(found: dict, metric: str, length: str) -> str:
    """The median over the seeds with the best and the worst: 0.00 [0.00, 1.25]."""
    values = [seed[metric][length] for seed in found["seeds"]]
    return f"{np.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


def speed() -> str:
    """The newest benchmark of every memory, and the NTM's comparison and growth."""
    lines = [json.loads(line) for line in (RESULTS / "bench.jsonl").read_text().splitlines()]
    newest = {line["memory"]: line for line in lines if "memory" in line}
    rows = ["| memory | compile | forward | forward + backward | peak memory | tokens / s |", "|---|--:|--:|--:|--:|--:|"]
    for name, line in newest.items():
        times = " | ".join(f"{line[key]:.1f} ms" for key in ("forward_ms", "forward_backward_ms"))
        sizes = f"{line['peak_megabytes']:.0f} MB | {line['tokens_per_second']:,}"
        rows.append(f"| `{name}` | {line['compile_seconds']:.1f} s | {times} | {sizes} |")
    comparison = [line for line in lines if "comparison" in line][-1]
    ratios = [
        f"{value:.1f}x {key.removeprefix('times_faster_than_')}" for key, value in comparison.items() if key.startswith("times")
    ]
    growth = {line["growth"]: line for line in lines if "growth" in line}
    grown = "; ".join(
        f"T = {length}: {line['microseconds_per_token']:.1f} us a token, {line['peak_megabytes']:.0f} MB"
        for length, line in sorted(growth.items())
    )
    names = {"ntm_plain": "as fast as plain `lax.scan` + autodiff", "torch_compiled": "as fast as compiled PyTorch"}
    said = ", ".join(f"{r.split()[0]} {names[r.split()[1]]}" for r in ratios)
    return "\n".join([*rows, "", f"NTM, forward + backward in the same run: {said}. With `remat=64`: {grown}."])


TABLES = {"memories": memories, "results": results, "speed": speed}


def updated(text: str) -> str:
    """The text with every table written anew."""
    for name, write in TABLES.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"README.md has no place for {name}: it needs <!-- {name} --> and <!-- end {name} -->")
        text = pattern.sub(lambda match, write=write: f"{match[1]}{write()}\n{match[2]}", text)
    return text


def main(arguments: list[str]) -> int:
    """Writes or checks."""
    before = README.read_text()
    after = updated(before)
    if "--check" in arguments:
        return int(before != after)
    README.write_text(after)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
