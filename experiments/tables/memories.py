"""What there is: every registered memory, with what it is best known for here."""

import json

import jax

import diffmem
from experiments.runs import RESULTS, read_lines
from experiments.tables import markdown

AGENT = ("rl/sweep.jsonl", "repeat_previous_easy", "mmer", "agent, RepeatPrevious: return {} of 1", "")
# What a memory is best known for here: results file, length or environment (None: a mean over bAbI's tasks), metric, what it
# is, what was published.
KNOWN_FOR = {
    "ntm": ("ntm_copy.json", "120", "wrong_bits_per_sequence", "copy, length 120: {} of 960 bits wrong", "a few"),
    "memn2n": ("stories/babi_memn2n_10k_joint.json", None, "mean", "bAbI 10k joint: {} % wrong", "7.5 %"),
    "memnn": ("stories/babi_memnn_1k_single.json", None, "mean", "bAbI 1k: {} % wrong", "6.7 %"),
    "dmn": ("stories/babi_dmn_10k_single.json", None, "mean", "bAbI 10k, a model a task: {} % wrong", "6.4 %"),
    "dmnplus": (
        "stories/babi_best_10k_joint.json",
        None,
        "mean",
        "bAbI 10k joint, taught the facts: {} % wrong",
        "2.8 % (single tasks, not taught)",
    ),
    "lstm": ("stories/babi_lstm.json", None, "mean", "bAbI 1k joint: {} % wrong", "51.3 % (single tasks)"),
    "delta_rule": ("delta_mqar.json", "64", "error_percent", "recall of 64 pairs: {} % wrong", ""),
    "linear_attention": ("linear_mqar.json", "64", "error_percent", "recall of 64 pairs: {} % wrong", ""),
    "fast_weights": ("fast_weights_retrieval.json", "4", "error_percent", "associative retrieval, 50 units: {} % wrong", "0 %"),
    "plastic": ("plastic_patterns.json", "3", "wrong_bits_per_sequence", "completion of 3 patterns: {} of 16 bits wrong", ""),
    "rmc": ("rmc_lte_copy.json", "10", "error_percent", "memorisation (copy), 10 digits: {} % wrong, one seed", "0 %"),
    "dnc": (
        "stories/babi_dnc_parts_10k_joint.json",
        None,
        "mean",
        "bAbI 10k joint: {} % wrong, better of 2 seeds",
        "best of 20 3.8 %, mean 16.7 %",
    ),
    "sam": ("sam_copy.json", "20", "wrong_bits_per_sequence", "copy, length 20: {} of 160 bits wrong, one seed", ""),
    "sdnc": ("sdnc_copy.json", "50", "wrong_bits_per_sequence", "copy, length 50: {} of 400 bits wrong, one seed", ""),
    "memoria": ("memoria_sorting.json", "504", "error_percent", "ranks of 504 symbols: {} % wrong, one seed", ""),
    "hebbian": ("rl/rebinding.jsonl", "associative_recall_medium", "mmer", "agent, recall with rebinding: return {} of 1", ""),
    **dict.fromkeys(("ffm", "gru", "lru"), AGENT),
}


def known_for(name: str) -> tuple[str, str]:
    """A memory's headline result and the published one, both empty where there is none."""
    file, where, metric, text, published = KNOWN_FOR.get(name, ("", None, "", "", ""))
    path = RESULTS / file
    if not path.is_file():
        return "", ""
    if path.suffix == ".jsonl":  # the run with the largest budget comes first
        value = next(cell[metric] for cell in read_lines(path) if (cell["memory"], cell["env"]) == (name, where))
    else:
        value = json.loads(path.read_text())[metric]
    if isinstance(value, dict):
        value = value[where if where in value else list(value)[-1]]
    return text.format(f"{value:.3g}"), published


def ways(memory) -> str:
    """How a memory runs over time, other than step by step."""
    able = {"parallel": "combine", "chunked": "step_all"}
    return ", ".join(way for way, verb in able.items() if hasattr(memory, verb)) or "no"


def memories() -> str:
    """Every registered memory: name, paper, size of its state, whether it runs in parallel over time, headline result."""
    rows = []
    for name in diffmem.names():
        memory = diffmem.make(name, input_size=64)
        state = jax.eval_shape(lambda memory=memory: memory.init_state(memory.init_params(jax.random.key(0))))
        numbers = sum(leaf.size for leaf in jax.tree.leaves(state))
        rows.append([f"`{name}`", diffmem.entry(name).paper, f"{numbers:,}", ways(memory), *known_for(name)])
    return markdown("name | paper | > state | parallel | here | published", rows)


def catalogue() -> str:
    """Every registered memory: name, what it is, its state."""
    rows = []
    for name in diffmem.names():
        entry = diffmem.entry(name)
        memory = entry.cls(**entry.small)
        state = jax.eval_shape(lambda memory=memory: memory.init_state(memory.init_params(jax.random.key(0))))
        first = (entry.cls.__doc__ or "").splitlines()[0].rstrip(".")
        rows.append([f"`{name}`", first, ", ".join(f"`{field}`" for field in state._fields), entry.paper])
    return markdown("name | memory | state | paper", rows)
