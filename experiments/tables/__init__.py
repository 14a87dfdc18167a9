"""The tables of README and docs, written from the registry and the committed results; `experiments.readme` puts them in."""

from collections.abc import Iterable


def markdown(columns: str, rows: Iterable[Iterable[object]]) -> str:
    """A table: titles divided by bars, a title with a `>` in front for a column of numbers."""
    titles = [title.strip() for title in columns.split("|")]
    lines = [" | ".join(title.removeprefix(">").strip() for title in titles), *(" | ".join(map(str, row)) for row in rows)]
    rule = "".join("--:|" if title.startswith(">") else "---|" for title in titles)
    head, *body = (f"| {line} |" for line in lines)
    return "\n".join([head, f"|{rule}", *body])
