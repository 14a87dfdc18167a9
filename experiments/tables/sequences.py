"""Trainings on tasks of sequences."""

import json

import numpy as np

from experiments.runs import RESULTS
from experiments.tables import markdown

# Config, length, metric, and what the NTM paper (arXiv:1410.5401) has; marked where that is read off a figure.
HEADLINES = (
    ("ntm_copy", "1-20", "wrong_bits_per_sequence", "near zero"),
    ("ntm_copy", "120", "wrong_bits_per_sequence", "a few local errors, one global"),
    ("lstm_copy", "30", "wrong_bits_per_sequence", "degrades right after 20"),
    ("ntm_recall", "6", "bits_per_sequence", "near zero within 30,000 episodes"),
    ("ntm_recall_adam", "15", "bits_per_sequence", "under 1"),
    ("ntm_ngrams_tuned", "200", "bits_per_sequence", "133.5 to 134, optimum about 133 (figure)"),
    ("ntm_repeat_copy", "10", "bits_per_sequence", "near zero (figure)"),
    ("ntm_priority_sort", "20", "bits_per_sequence", "18 to 20 after 1M sequences (figure)"),
)
WHAT = {
    "wrong_bits_per_sequence": "wrong bits",
    "bits_per_sequence": "cost in bits",
    "error_percent": "wrong symbols, %",
    "cross_entropy": "nats a symbol",
}


def spread(found: dict, metric: str, length: str) -> str:
    """The median over the seeds with the best and the worst: 0.00 [0.00, 1.25]."""
    values = [seed[metric][length] for seed in found["seeds"]]
    return f"{np.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


def headlines() -> str:
    """The results that matter most, beside the published ones."""
    rows = []
    for name, length, metric, published in HEADLINES:
        path = RESULTS / f"{name}.json"
        if not path.exists():
            continue
        found = json.loads(path.read_text())
        here, trained = spread(found, metric, length), f"{found['learning']['sequences'][-1]:,}"
        if "optimal_bits_per_sequence" in found:  # of the same sequences: no predictor does better on average
            here += f", optimum {found['optimal_bits_per_sequence'][length]:.2f}"
        rows.append([f"`{name}`", length, WHAT[metric], here, published, len(found["seeds"]), trained])
    return markdown("run | > length | what | > here | published | > seeds | > sequences", rows)


def results() -> str:
    """Every committed result: seeds, budget, and its metrics by length, median [best, worst]."""
    rows = []
    for path in sorted(RESULTS.glob("*.json")):
        found = json.loads(path.read_text())
        if "bits_per_sequence" not in found:
            continue
        trained = found["learning"]["sequences"][-1]
        for i, length in enumerate(found["bits_per_sequence"]):
            head = [f"`{found['name']}`", len(found["seeds"]), f"{trained:,}", found["minutes"]] if i == 0 else [""] * 4
            cells = [spread(found, metric, length) for metric in ("bits_per_sequence", "wrong_bits_per_sequence")]
            rows.append([*head, length, *cells, round(found["scored_bits_per_sequence"][length])])
    return markdown("run | > seeds | > sequences | > minutes | > length | > cost in bits | > wrong bits | > of", rows)


def symbols() -> str:
    """Every committed result of a task whose targets are symbols, median [best, worst]."""
    rows = []
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
            rows.append([*(head if i == 0 else [""] * 5), length, *cells])
    return markdown("run | memory | > seeds | > sequences | > minutes | > length | > wrong symbols | > wrong sequences", rows)


def far() -> str:
    """Committed evaluations of committed weights beyond the paper: other lengths, other numbers of slots."""
    rows = []
    for path in sorted((RESULTS / "evaluations").glob("*.json")):
        found = json.loads(path.read_text())
        for length in found["bits_per_sequence"]:
            cells = [spread(found, metric, length) for metric in ("bits_per_sequence", "wrong_bits_per_sequence")]
            scored = round(found["scored_bits_per_sequence"][length])
            rows.append([f"`{found['name']}`", found["slots"], length, found["sequences"], *cells, scored])
    return markdown("run | > slots | > length | > sequences | > cost in bits | > wrong bits | > of", rows)
