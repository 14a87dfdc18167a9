"""Writes the tables of README and docs from the registry and the committed results: `python -m experiments.readme [--check]`.

Each table stands between two comments, `<!-- name -->` and `<!-- end name -->`; `experiments.tables` has them by family. With
--check nothing is written, and the exit code says whether all is up to date; a test does the same.
"""

import re
import sys
from pathlib import Path

from experiments.tables import agents, memories, sequences, speed, stories

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "results.md")
TABLES = {
    "comparisons": speed.comparisons,
    "babi": stories.babi,
    "babi_by_task": stories.babi_by_task,
    "far": sequences.far,
    "memories": memories.memories,
    "headlines": sequences.headlines,
    "mazes": agents.mazes,
    "rebinding": agents.rebinding,
    "results": sequences.results,
    "rl": agents.rl,
    "speed": speed.speed,
    "slots": speed.slots,
    "slots_over_time": speed.lengths,
    "environments": speed.environments,
    "symbols": sequences.symbols,
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
