"""Writes the tables of README and docs from the registry and the committed results: `python -m experiments.readme [--check]`.

Each table stands between two comments, `<!-- name -->` and `<!-- end name -->`. With --check nothing is written, and the exit
code says whether all is up to date; a test does the same.
"""

import json
import re
import sys
from pathlib import Path
from string import Formatter

import jax
import numpy as np

import diffmem
from diffmem.tasks.babi import TASKS
from experiments.runs import RESULTS, read_lines

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
    "babi_lstm": ("51.3 % (one model a task)", "20"),
    "babi_lstm_10k_joint": ("25.2 %", "15"),
}


# Mean return of random play, and of a player who forgets nothing, at the first difficulty: measured on POPGym's own
# environments, or exact. Normalised scores lie between the two.
RETURNS = {
    "repeat_first": (-0.5, 1.0),
    "repeat_previous": (-0.49, 1.0),
    "autoencode": (-0.51, 1.0),
    "count_recall": (-0.92, 1.0),
    "concentration": (-0.19, 0.829),
    "battleship": (-0.45, 1.0),
    "minesweeper": (-0.33, 1.0),
    "multiarmed_bandit": (-0.01, 0.81),
    "position_only_cartpole": (0.13, 1.0),
    "noisy_position_only_cartpole": (0.13, 1.0),
    "position_only_pendulum": (0.25, 0.908),
    "noisy_position_only_pendulum": (0.25, 0.908),
}


# What a memory is best known for here: results file, length or None for a mean over bAbI's tasks, metric, what it is, what was
# published.
KNOWN_FOR = {
    "ntm": ("ntm_copy", "120", "wrong_bits_per_sequence", "copy, length 120: {} of 960 bits wrong", "a few"),
    "memn2n": ("stories/babi_memn2n_10k_joint", None, "mean", "bAbI 10k joint: {} % wrong", "7.5 %"),
    "memnn": ("stories/babi_memnn_1k_single", None, "mean", "bAbI 1k: {} % wrong", "6.7 %"),
    "dmnplus": ("stories/babi_best_10k_joint", None, "mean", "bAbI 10k joint: {} % wrong", "2.8 % (single tasks)"),
    "delta_rule": ("delta_mqar", "64", "error_percent", "recall of 64 pairs: {} % wrong", ""),
    "linear_attention": ("linear_mqar", "64", "error_percent", "recall of 64 pairs: {} % wrong", ""),
    "fast_weights": ("fast_weights_retrieval", "4", "error_percent", "associative retrieval, 50 units: {} % wrong", "0 %"),
    "plastic": ("plastic_patterns", "3", "wrong_bits_per_sequence", "completion of 3 patterns: {} of 16 bits wrong", ""),
    "rmc": ("rmc_lte_copy", "10", "error_percent", "memorisation (copy), 10 digits: {} % wrong, one seed", "0 %"),
    "dnc": ("dnc_copy", "20", "wrong_bits_per_sequence", "copy, length 20: {} bits wrong", ""),
    "memoria": ("memoria_sorting", "504", "error_percent", "ranks of 504 symbols: {} % wrong, one seed", ""),
}


def known_for(name: str) -> tuple[str, str]:
    """A memory's headline result and the published one, both empty where there is none."""
    if name not in KNOWN_FOR:
        return "", ""
    file, length, metric, text, published = KNOWN_FOR[name]
    path = RESULTS / f"{file}.json"
    if not path.exists():
        return "", ""
    value = json.loads(path.read_text())[metric]
    if isinstance(value, dict):
        value = value[length if length in value else list(value)[-1]]
    return text.format(f"{value:.3g}"), published


def ways(memory) -> str:
    """How a memory runs over time, other than step by step."""
    able = {"parallel": "combine", "chunked": "step_all"}
    return ", ".join(way for way, verb in able.items() if hasattr(memory, verb)) or "no"


def memories() -> str:
    """Every registered memory: name, paper, size of its state, whether it runs in parallel over time, headline result."""
    rows = ["| name | paper | state | parallel | here | published |", "|---|---|--:|---|---|---|"]
    for name in diffmem.names():
        memory = diffmem.make(name, input_size=64)
        state = jax.eval_shape(lambda memory=memory: memory.init_state(memory.init_params(jax.random.key(0))))
        numbers = sum(leaf.size for leaf in jax.tree.leaves(state))
        here, published = known_for(name)
        rows.append(f"| `{name}` | {diffmem.entry(name).paper} | {numbers:,} | {ways(memory)} | {here} | {published} |")
    return "\n".join(rows)


def catalogue() -> str:
    """Every registered memory: name, what it is, its state."""
    rows = ["| name | memory | state | paper |", "|---|---|---|---|"]
    for name in diffmem.names():
        entry = diffmem.entry(name)
        memory = entry.cls(**entry.small)
        state = jax.eval_shape(lambda memory=memory: memory.init_state(memory.init_params(jax.random.key(0))))
        first = (entry.cls.__doc__ or "").splitlines()[0].rstrip(".")
        rows.append(f"| `{name}` | {first} | {', '.join(f'`{field}`' for field in state._fields)} | {entry.paper} |")
    return "\n".join(rows)


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
        graphs = "digit_error_percent" in found  # an answer there is a sequence of digits
        metrics = ("digit_error_percent", "error_percent") if graphs else ("error_percent", "sequence_error_percent")
        trained = found["learning"]["sequences"][-1]
        for i, length in enumerate(found["error_percent"]):
            head = [f"`{found['name']}`", found.get("memory", ""), len(found["seeds"]), f"{trained:,}", found["minutes"]]
            cells = [f"{spread(found, metric, length)} %" for metric in metrics]
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


def rl(file: str = "sweep.jsonl") -> str:
    """Agents, environment by memory, one table per budget, the largest first."""
    cells = read_lines(RESULTS / "rl" / file)
    budget = lambda cell: (cell["env_steps"], cell["config"]["seeds"])  # noqa: E731
    budgets = sorted({budget(cell) for cell in cells}, reverse=True)
    return "\n\n".join(agents([cell for cell in cells if budget(cell) == one]) for one in budgets)


def rebinding() -> str:
    """Agents whose memories hold equally many numbers, on recall of keys that are bound twice."""
    return rl("rebinding.jsonl")


def mazes() -> str:
    """Agents that were trained in a short T-maze, in longer ones: the median over the seeds, the best and the worst."""
    found = [json.loads(path.read_text()) for path in sorted((RESULTS / "rl").glob("t_maze_*.json"))]
    lengths = list(found[0]["on"])
    rows = ["| memory | " + " | ".join(lengths) + " |", "|---|" + "--:|" * len(lengths)]
    for one in found:
        seeds = [one["on"][length]["seeds"] for length in lengths]
        cells = (f"{np.median(each):.2f} [{max(each):.2f}, {min(each):.2f}]" for each in seeds)
        rows.append(f"| `{one['memory']}` | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def agents(cells: list[dict]) -> str:
    """The best mean return of a rollout, mean and spread over seeds, of the agents of one budget."""
    environments, names = (list(dict.fromkeys(cell[key] for cell in cells)) for key in ("env", "memory"))
    columns = {name: [cell for cell in cells if cell["memory"] == name] for name in names}

    def median(number):
        return lambda mine: f"{np.median([number(cell) for cell in mine]):,.0f}"

    def score(env):
        return lambda mine: "".join(f"{c['mmer']:.3f} ± {c['mmer_spread'] or 0:.3f}" for c in mine if c["env"] == env)

    rows = {f"`{env}`": score(env) for env in environments}
    scored = len(_normalised([{"env": env, "mmer": 0} for env in environments]))
    if scored > 1:
        rows[f"normalised, mean of {scored}"] = lambda mine: (
            f"{np.mean(_normalised(mine)):.3f}" if len(_normalised(mine)) == scored else ""
        )
    rows["parameters, median"] = median(lambda cell: cell["parameters"])
    rows["numbers in the state, median"] = median(lambda cell: cell["state_reals"])
    rows["CPU seconds a seed, median"] = median(lambda cell: cell["cpu_seconds"] / cell["config"]["seeds"])
    return "\n".join(
        [
            f"{cells[0]['env_steps']:,} steps in the environments, {cells[0]['config']['seeds']} seeds:",
            "",
            "| environment | " + " | ".join(f"`{memory}`" for memory in columns) + " |",
            "|---|" + "--:|" * len(columns),
            *(f"| {title} | " + " | ".join(map(write, columns.values())) + " |" for title, write in rows.items()),
        ]
    )


def _normalised(cells: list[dict]) -> list[float]:
    """How far a memory comes from random play (0) to perfect play (1), for the environments where both are known."""
    found = [(cell["mmer"], RETURNS.get(cell["env"].rpartition("_")[0])) for cell in cells]
    return [(mmer - limits[0]) / (limits[1] - limits[0]) for mmer, limits in found if limits]


def newest_benchmarks() -> dict[str, dict]:
    """The newest row of `experiments.bench` for each memory."""
    return {line["memory"]: line for line in read_lines(RESULTS / "bench.jsonl") if "forward_ms" in line}


def speed() -> str:
    """The newest benchmark of every memory, and the NTM's growth."""
    lines = read_lines(RESULTS / "bench.jsonl")
    rows = ["| memory | compile | forward | forward + backward | peak memory | tokens / s |", "|---|--:|--:|--:|--:|--:|"]
    for name, line in newest_benchmarks().items():
        if name.endswith("_plain"):  # it is compared below
            continue
        times = " | ".join(f"{line[key]:.1f} ms" for key in ("forward_ms", "forward_backward_ms"))
        sizes = f"{line['peak_megabytes']:.0f} MB | {line['tokens_per_second']:,}"
        rows.append(f"| `{name}` | {line['compile_seconds']:.1f} s | {times} | {sizes} |")
    growth = {line["growth"]: line for line in lines if "growth" in line and "memory" not in line}
    grown = "; ".join(
        f"T = {length}: {line['microseconds_per_token']:.1f} us a token, {line['peak_megabytes']:.0f} MB"
        for length, line in sorted(growth.items())
    )
    return "\n".join([*rows, "", f"NTM with `remat=64`, by length: {grown}."])


# The newest row of a benchmark with these entries, and what it says. A row that was never stored is left out.
COMPARISONS = (
    (
        {"comparison": "forward+backward"},
        "NTM 128 x 20: {times_faster_than_ntm_plain:.1f}x plain `lax.scan` + autodiff, "
        "{times_faster_than_torch_compiled:.1f}x compiled PyTorch (`experiments.bench`)",
    ),
    (
        {"comparison": "DNC, forward+backward"},
        "DNC 256 x 64, four reads: {times_faster_than_dnc_plain:.1f}x plain `lax.scan` + autodiff, "
        "{times_faster_than_torch_compiled:.1f}x compiled PyTorch (`experiments.bench`)",
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


def comparisons() -> str:
    """Every comparison with a peer in the same run, one line each."""
    lines = read_lines(RESULTS / "bench.jsonl")
    rows = []
    for entries, text in COMPARISONS:
        fields = {name for _, name, _, _ in Formatter().parse(text) if name}  # a peer that was not installed has none
        found = [line for line in lines if entries.items() <= line.items() and fields <= line.keys()]
        rows += [f"- {text.format(**found[-1])}"] if found else []
    return "\n".join(rows)


TABLES = {
    "comparisons": comparisons,
    "babi": babi,
    "babi_by_task": babi_by_task,
    "far": far,
    "memories": memories,
    "headlines": headlines,
    "mazes": mazes,
    "rebinding": rebinding,
    "results": results,
    "rl": rl,
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
