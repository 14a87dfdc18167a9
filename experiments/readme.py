"""Writes the tables of README and docs from the registry and the committed results: `python -m experiments.readme [--check]`.

Each table stands between two comments, `<!-- name -->` and `<!-- end name -->`. With --check nothing is written, and the exit
code says whether all is up to date; a test does the same.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np

import diffmem
from diffmem.tasks.babi import TASKS
from experiments.runs import RESULTS

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "results.md")
# Config, length, metric, and what the NTM paper (arXiv:1410.5401) has; marked where that is read off a figure.
HEADLINES = (
    ("ntm_copy", "1-20", "wrong_bits_per_sequence", "near zero"),
    ("ntm_copy", "120", "wrong_bits_per_sequence", "a few local errors, one global"),
    ("lstm_copy", "30", "wrong_bits_per_sequence", "degrades right after 20"),
    ("ntm_recall", "6", "bits_per_sequence", "near zero within 30,000 episodes"),
    ("ntm_recall", "15", "bits_per_sequence", "under 1"),
    ("ntm_ngrams", "200", "bits_per_sequence", "133.5 to 134, optimum about 133 (figure)"),
    ("ntm_repeat_copy", "10", "bits_per_sequence", "near zero (figure)"),
    ("ntm_priority_sort", "20", "bits_per_sequence", "18 to 20 after 1M sequences (figure)"),
)
WHAT = {
    "wrong_bits_per_sequence": "wrong bits",
    "bits_per_sequence": "cost in bits",
    "error_percent": "wrong symbols, %",
    "cross_entropy": "nats a symbol",
}
# Config, and the published mean error and failed tasks of the paper's own best run.
BABI = {
    "babi_best_10k_joint": ("0.15 to 0.4 % without supporting facts", "0"),
    "babi_dmnplus_10k_single": ("2.8 %", "1"),
    "babi_memn2n_10k_joint": ("7.5 %", "6"),
    "babi_memn2n_10k_single": ("4.2 % (larger, non-linear)", "3"),
    "babi_memn2n": ("12.4 %", "11"),
    "babi_memnn_1k_single": ("6.7 %", "4"),
    "babi_dmn_10k_single": ("6.4 %", "2"),
    "babi_lstm_10k_joint": ("25.2 %", "15"),
}


def memories() -> str:
    """Every registered memory: name, what it is, paper, state, whether it runs in parallel over time."""
    rows = ["| name | memory | state | parallel in time | paper |", "|---|---|---|---|---|"]
    for name in diffmem.names():
        entry = diffmem.entry(name)
        memory = entry.cls(**entry.small)
        state = type(memory.init_state(memory.init_params(_key())))
        fields = ", ".join(f"`{field}`" for field in state._fields)
        first = (entry.cls.__doc__ or "").splitlines()[0].rstrip(".")
        parallel = "yes" if hasattr(memory, "combine") or hasattr(memory, "step_all") else "no"
        rows.append(f"| `{name}` | {first} | {fields} | {parallel} | {entry.paper} |")
    return "\n".join(rows)


def _key():
    import jax

    return jax.random.key(0)


def headlines() -> str:
    """The results that matter most, beside the published ones."""
    rows = ["| run | length | what | here | published | seeds | sequences |", "|---|--:|---|--:|---|--:|--:|"]
    for name, length, metric, published in HEADLINES:
        path = RESULTS / f"{name}.json"
        if not path.exists():
            continue
        found = json.loads(path.read_text())
        what = WHAT[metric]
        budget = f"{len(found['seeds'])} | {found['learning']['sequences'][-1]:,}"
        rows.append(f"| `{name}` | {length} | {what} | {spread(found, metric, length)} | {published} | {budget} |")
    return "\n".join(rows)


def results() -> str:
    """Every committed result: seeds, budget, and its metrics by length, median [best, worst]."""
    rows = [
        "| run | seeds | sequences | minutes | length | cost in bits | wrong bits | of |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for path in sorted(RESULTS.glob("*.json")):
        found = json.loads(path.read_text())
        if "bits_per_sequence" not in found:
            continue
        trained = found["learning"]["sequences"][-1]
        for i, length in enumerate(found["bits_per_sequence"]):
            head = [f"`{found['name']}`", len(found["seeds"]), f"{trained:,}", found["minutes"]] if i == 0 else [""] * 4
            cells = [spread(found, metric, length) for metric in ("bits_per_sequence", "wrong_bits_per_sequence")]
            rows.append(
                "| " + " | ".join(map(str, [*head, length, *cells, round(found["scored_bits_per_sequence"][length])])) + " |"
            )
    return "\n".join(rows)


def symbols() -> str:
    """Every committed result of a task whose targets are symbols, median [best, worst]."""
    rows = [
        "| run | memory | seeds | sequences | minutes | length | wrong symbols | wrong sequences |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for path in sorted(RESULTS.glob("*.json")):
        found = json.loads(path.read_text())
        if "error_percent" not in found:
            continue
        trained = found["learning"]["sequences"][-1]
        for i, length in enumerate(found["error_percent"]):
            head = [f"`{found['name']}`", found.get("memory", ""), len(found["seeds"]), f"{trained:,}", found["minutes"]]
            cells = [f"{spread(found, metric, length)} %" for metric in ("error_percent", "sequence_error_percent")]
            rows.append("| " + " | ".join(map(str, [*(head if i == 0 else [""] * 5), length, *cells])) + " |")
    return "\n".join(rows)


def far() -> str:
    """Committed evaluations of committed weights beyond the paper: other lengths, other numbers of slots."""
    rows = ["| run | slots | length | sequences | cost in bits | wrong bits | of |", "|---|--:|--:|--:|--:|--:|--:|"]
    for path in sorted((RESULTS / "evaluations").glob("*.json")):
        found = json.loads(path.read_text())
        for length in found["bits_per_sequence"]:
            cells = [spread(found, metric, length) for metric in ("bits_per_sequence", "wrong_bits_per_sequence")]
            scored = round(found["scored_bits_per_sequence"][length])
            head = f"`{found['name']}` | {found['slots']} | {length} | {found['sequences']}"
            rows.append(f"| {head} | {cells[0]} | {cells[1]} | {scored} |")
    return "\n".join(rows)


def spread(found: dict, metric: str, length: str) -> str:
    """The median over the seeds with the best and the worst: 0.00 [0.00, 1.25]."""
    values = [seed[metric][length] for seed in found["seeds"]]
    return f"{np.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


def babi() -> str:
    """The committed runs on bAbI beside the published ones, mean over tasks, of each model's best restart."""
    rows = [
        "| run | memory | setting | mean error | without task 3 | failed | published | failed | minutes |",
        "|---|---|---|--:|--:|--:|---|--:|--:|",
    ]
    for name, (published, failed) in BABI.items():
        path = RESULTS / "stories" / f"{name}.json"
        if not path.exists():
            continue
        found = json.loads(path.read_text())
        config, errors = found["config"], found["error_percent"]
        without = np.mean([error for task, error in errors.items() if task != "3"])
        setting = f"{config['setting']} {'joint' if config['joint'] else 'single'}"
        here = f"{found['mean']:.2f} % | {without:.2f} % | {found['failed']} of {len(errors)}"
        rows.append(f"| `{name}` | {found['memory']} | {setting} | {here} | {published} | {failed} | {found['minutes']:.0f} |")
    return "\n".join(rows)


def babi_by_task() -> str:
    """Error in percent by task of every committed run on bAbI."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted((RESULTS / "stories").glob("*.json"))}
    rows = ["| task | " + " | ".join(f"`{name}`" for name in found) + " |", "|---|" + "--:|" * len(found)]
    for i, title in enumerate(TASKS, 1):
        cells = [f"{one['error_percent'][str(i)]:.1f}" if str(i) in one["error_percent"] else "" for one in found.values()]
        rows.append(f"| {i} {title.replace('-', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def speed() -> str:
    """The newest benchmark of every memory, and the NTM's comparison and growth."""
    lines = [json.loads(line) for line in (RESULTS / "bench.jsonl").read_text().splitlines()]
    newest = {line["memory"]: line for line in lines if "memory" in line}
    rows = ["| memory | compile | forward | forward + backward | peak memory | tokens / s |", "|---|--:|--:|--:|--:|--:|"]
    for name, line in newest.items():
        if name == "ntm_plain":  # it is compared below
            continue
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


TABLES = {
    "babi": babi,
    "babi_by_task": babi_by_task,
    "far": far,
    "memories": memories,
    "headlines": headlines,
    "results": results,
    "speed": speed,
    "symbols": symbols,
}


def updated(text: str) -> str:
    """The text with each of its tables written anew."""
    for name, write in TABLES.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        if pattern.search(text):
            table = write()
            text = pattern.sub(lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text)
    return text


def main(arguments: list[str]) -> int:
    """Writes or checks."""
    stale = 0
    for path in DOCUMENTS:
        before = path.read_text()
        after = updated(before)
        stale += before != after
        if "--check" not in arguments:
            path.write_text(after)
    return int(stale > 0 and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
