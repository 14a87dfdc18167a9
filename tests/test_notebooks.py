"""The notebooks: they run, at reduced size, and draw; they are what their sources say; Colab installs the right thing."""

import ast
import io
import json
import re
import sys
import types

import matplotlib
import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from colab import build

SOURCES = pytest.mark.parametrize("path", build.sources(), ids=lambda path: path.stem)


def cells(path):
    """(type, text) of each cell of the notebook beside a source."""
    found = json.loads(path.with_suffix(".ipynb").read_text())["cells"]
    return [(cell["cell_type"], "".join(cell["source"])) for cell in found]


def run(text, namespace):
    """Runs a cell as Jupyter does: without magics; returns the figures it would show."""
    lines = ["" if line.startswith("%") else line for line in text.splitlines()]
    tree = ast.parse("\n".join(lines))
    last = ast.Expression(tree.body.pop().value) if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), namespace)
    value = eval(compile(last, "cell", "eval"), namespace) if last else None
    return [*map(plt.figure, plt.get_fignums()), *([value] if isinstance(value, Figure) else [])]


@SOURCES
def test_runs_and_draws(path, monkeypatch):
    monkeypatch.setenv("DIFFMEM_QUICK", "1")
    module = types.ModuleType("notebook")
    monkeypatch.setitem(sys.modules, "notebook", module)  # dataclasses look their module up
    drawn = 0
    with matplotlib.rc_context({"backend": "agg"}):
        for kind, text in cells(path):
            for figure in run(text, vars(module)) if kind == "code" else []:
                figure.savefig(io.BytesIO())
                drawn += 1
            plt.close("all")
    assert drawn


def test_notebooks_are_what_their_sources_say(capsys):
    assert build.main(["--check"]) == 0, capsys.readouterr().out
    assert {path.stem for path in build.HERE.glob("*.ipynb")} == {path.stem for path in build.sources()}


def test_stale_notebooks_are_noticed_and_rewritten(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(build, "HERE", tmp_path)
    source = tmp_path / "one.py"
    source.write_text("# %% [markdown]\n# # One\n#\n# It is {{repository}}.\n\n# %%\n# %pip install x\n1 + 1\n")
    assert build.main(["--check"]) == 1
    assert build.main([]) == build.main(["--check"]) == 0
    first, second = cells(source)
    assert first == ("markdown", f"# One\n\n{build.BADGE.format(url=build.url(source))}\n\nIt is {build.REPOSITORY}.")
    assert second == ("code", "%pip install x\n1 + 1")
    source.write_text(source.read_text() + "2 + 2\n")
    assert build.main(["--check"]) == 1
    assert "one.ipynb is not what one.py says" in capsys.readouterr().out


@SOURCES
def test_first_cells(path):
    """Title, badge and a paragraph; then what is installed, and from where."""
    (kind, first), (second_kind, second) = cells(path)[:2]
    assert (kind, second_kind) == ("markdown", "code")
    title, badge, paragraph = first.split("\n\n")
    assert title.startswith("# ")
    assert f"(https://colab.research.google.com/github/{build.REPOSITORY}/blob/main/colab/{path.stem}.ipynb)" in badge
    assert "on a CPU" in " ".join(paragraph.split())
    assert re.search(rf'^%pip install .*"diffmem\[train\] @ git\+https://github.com/{build.REPOSITORY}"$', second, re.MULTILINE)
    assert "Installs diffmem from GitHub" in second
    assert "%matplotlib inline" in second  # diffmem's figures belong to no window: Jupyter alone would print their name


@SOURCES
def test_repository_is_named_in_one_place(path):
    assert build.REPOSITORY not in path.read_text()
    assert path.read_text().count("{{repository}}") == 1


@SOURCES
def test_committed_without_outputs(path):
    found = json.loads(path.with_suffix(".ipynb").read_text())
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in found["cells"])
