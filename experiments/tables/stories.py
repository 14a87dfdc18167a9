"""Trainings on stories."""

import json

import numpy as np

from diffmem.tasks.babi import TASKS
from experiments.runs import RESULTS
from experiments.tables import markdown

# Config, and the published mean error and failed tasks of the paper's own best run.
BABI = {
    "babi_best_10k_joint": ("0.15 to 0.4 % without supporting facts", "0"),
    "babi_dmnplus_10k_single": ("2.8 %", "1"),
    "babi_memn2n_10k_joint": ("7.5 %", "6"),
    "babi_memn2n_10k_single": ("4.2 % (larger, non-linear)", "3"),
    "babi_memn2n": ("12.4 %", "11"),
    "babi_memnn_1k_single": ("6.7 %", "4"),
    "babi_dmn_10k_single": ("6.4 %", "2"),
    "babi_dnc_10k_joint": ("16.7 ± 7.6 %, best 3.8 %", "11.2 ± 5.4, best 2"),
    "babi_dnc_parts_10k_joint": ("the same, word after word; bidirectional 3.2 ± 0.5 %", ""),
    "babi_dnc_exchanged_10k_joint": ("the same, stories as they are", ""),
    "babi_dnc_exchanged_long_10k_joint": ("the same, stories as they are", ""),
    "babi_dnc_taught_10k_joint": ("the same, without supporting facts", ""),
    "babi_dnc_sentences_10k_joint": ("the same, word after word", ""),
    "babi_sdnc_10k_joint": ("6.4 ± 2.5 %, best 2.9 %, word after word", "4.1 ± 1.6, best 1"),
    "babi_lstm": ("51.3 % (one model a task)", "20"),
    "babi_lstm_10k_joint": ("25.2 %", "15"),
}


def babi() -> str:
    """The committed runs on bAbI beside the published ones, mean over tasks, of each model's best restart."""
    rows = []
    for name, (published, failed) in BABI.items():
        path = RESULTS / "stories" / f"{name}.json"
        if not path.exists():
            continue
        found = json.loads(path.read_text())
        config, errors = found["config"], found["error_percent"]
        without = np.mean([error for task, error in errors.items() if task != "3"])
        setting = f"{config['setting']} {'joint' if config['joint'] else 'single'}"
        here = [f"{found['mean']:.2f} %{_all_runs(found)}", f"{without:.2f} %", f"{found['failed']} of {len(errors)}"]
        rows.append([f"`{name}`", found["memory"], setting, *here, published, failed, f"{found['minutes']:.0f}"])
    columns = "run | memory | setting | > mean error | > without task 3 | > failed | published | > failed | > minutes"
    return markdown(columns, rows)


def _all_runs(found: dict) -> str:
    """Mean and standard deviation over the runs of a joint model, where there are several that count alike."""
    runs = [np.mean(list(run.values())) for run in found["seeds"].get("joint", ())]
    return f" ({np.mean(runs):.1f} ± {np.std(runs, ddof=1):.1f} of {len(runs)} runs)" if len(runs) > 1 else ""


def babi_by_task() -> str:
    """Error in percent by task of every committed run on bAbI."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted((RESULTS / "stories").glob("*.json"))}
    rows = []
    for i, title in enumerate(TASKS, 1):
        cells = [f"{one['error_percent'][str(i)]:.1f}" if str(i) in one["error_percent"] else "" for one in found.values()]
        rows.append([f"{i} {title.replace('-', ' ')}", *cells])
    return markdown(" | ".join(["task", *(f"> `{name}`" for name in found)]), rows)
