"""Writes the notebooks from the percent-format sources beside them: `python colab/build.py [--check]`.

`{{repository}}` in a source becomes REPOSITORY, the one place that says where the project lives.
"""

import sys
from pathlib import Path

import jupytext

HERE = Path(__file__).parent
REPOSITORY = "diffmem/diffmem"
BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({url})"


def sources() -> list[Path]:
    """The notebooks' sources."""
    return sorted(path for path in HERE.glob("*.py") if path.name != "build.py")


def url(path: Path) -> str:
    """Where Colab opens a notebook."""
    return f"https://colab.research.google.com/github/{REPOSITORY}/blob/main/colab/{path.stem}.ipynb"


def parsed(path: Path):
    """The source's cells."""
    return jupytext.reads(path.read_text().replace("{{repository}}", REPOSITORY), fmt="py:percent")


def introduction(path: Path) -> tuple[str, str, str]:
    """Title, badge and first paragraph: what the first cell says."""
    title, _, paragraph = parsed(path).cells[0].source.partition("\n")
    return title.removeprefix("# "), BADGE.format(url=url(path)), paragraph.strip()


def notebook(path: Path) -> str:
    """The notebook of a source, without outputs; its first cell has the badge below the title."""
    found = parsed(path)
    title, badge, paragraph = introduction(path)
    found.cells[0].source = f"# {title}\n\n{badge}\n\n{paragraph}"
    for i, cell in enumerate(found.cells):
        cell["id"] = f"cell-{i}"
    found.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return jupytext.writes(found, fmt="ipynb")


def main(arguments: list[str]) -> int:
    """Writes, or with --check says whether all are up to date."""
    stale = 0
    for path in sources():
        target, text = path.with_suffix(".ipynb"), notebook(path)
        if "--check" not in arguments:
            target.write_text(text)
        elif not target.exists() or target.read_text() != text:
            print(f"{target.name} is not what {path.name} says: run `python colab/build.py`")
            stale += 1
    return int(stale > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
