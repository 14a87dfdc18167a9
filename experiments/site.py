"""What the documentation takes from the code: an MkDocs hook that writes pages on memories, API, notebooks, gallery.

One page per registered memory, from its docstring, its state and the committed results; the API from every module's public
names. `make docs` builds the site; nothing that is written here is kept in the repository.
"""

import importlib
import inspect
import json
import pkgutil
import re
from pathlib import Path
from typing import Any

import jax
from mkdocs.structure.files import File

import diffmem
import diffmem.envs
import diffmem.models
import diffmem.tasks
from colab import build
from experiments import config as configs
from experiments.runs import RESULTS
from experiments.tables.speed import newest_benchmarks

ROOT = Path(__file__).parents[1]
# What is public: these packages' __all__, and all functions and classes of these modules.
PACKAGES = (diffmem, diffmem.models, diffmem.tasks, diffmem.envs)
MODULES = (
    "addressing",
    "allocation",
    "edits",
    "layers",
    "sharding",
    "viz",
    "export",
    "adapters.linen",
    "adapters.nnx",
    "tasks.babi",
)
BLOB = "https://github.com/diffmem/diffmem/blob/main/"


def on_files(files: Any, config: Any) -> Any:
    """Adds the written pages."""
    pages = {"memories.md": overview(), "api.md": api(), "gallery.md": gallery(), "notebooks.md": notebooks()}
    pages |= {f"memories/{name}.md": memory_page(name) for name in diffmem.names()}
    pages["index.md"] = index()
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_nav(nav: Any, config: Any, files: Any) -> Any:
    """The pages of memories are reached from their table."""
    return nav


def index() -> str:
    """The README, with its links led into the site."""
    text = (ROOT / "README.md").read_text()
    text = re.sub(r"\]\(docs/", "](", text)
    return re.sub(r"\]\((?!https?://|#)((?!pictures/)(?![\w/]+\.md\))[^)]+)\)", rf"]({BLOB}\1)", text).replace(
        "](CONTRIBUTING.md", f"]({BLOB}CONTRIBUTING.md"
    )


def docstring(thing: Any) -> str:
    """A docstring as Markdown: the first sentence, then the rest as it stands, for its equations keep their lines."""
    first, _, rest = (inspect.getdoc(thing) or "").partition("\n")
    example = re.search(r"\n *Example:\n((?: +.*\n?|\n)+?)(?=\S|\Z)", rest)
    body = rest.replace(example[0], "\n") if example else rest
    parts = [first, f"```text\n{body.strip()}\n```" if body.strip() else ""]
    if example:
        parts.append(f"```pycon\n{inspect.cleandoc(example[1])}\n```")
    return "\n\n".join(part for part in parts if part)


def small_and_default(name: str) -> Any:
    """The memory at its default sizes, for vectors of 64 numbers."""
    return diffmem.make(name, input_size=64)


def state_table(memory: Any) -> str:
    """The state's arrays and how many numbers they hold."""
    params = jax.eval_shape(memory.init_params, jax.random.key(0))
    state = jax.eval_shape(memory.init_state, params)
    rows = ["| array | shape | type |", "|---|---|---|"]
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        rows.append(f"| `{name}` | `{list(leaf.shape)}` | {leaf.dtype} |")
    numbers = sum(leaf.size for leaf in jax.tree.leaves(state))
    parameters = sum(leaf.size for leaf in jax.tree.leaves(params))
    said = f"At its default sizes, for inputs of 64 numbers: {numbers:,} numbers of state, {parameters:,} parameters."
    return "\n".join([*rows, "", said])


def ways(memory: Any) -> str:
    """How `unroll` can run it."""
    found = ["`scan`", *(["`parallel`"] if hasattr(memory, "combine") else [])]
    return ", ".join([*found, *(["`chunked`"] if hasattr(memory, "step_all") else [])])


def memory_page(name: str) -> str:
    """The page of one memory."""
    found, memory = diffmem.entry(name), small_and_default(name)
    parts = [
        f"# `{name}`: {found.cls.__name__}",
        f"*{found.paper}.*",
        docstring(found.cls),
        "## State",
        state_table(memory),
        f"`unroll` can run it by {ways(memory)}. One file without diffmem: `python -m diffmem.export {name}`.",
        "## Speed",
        speed(name),
        "## Results",
        results(found.cls.__name__),
    ]
    return "\n\n".join(parts) + "\n"


def speed(name: str) -> str:
    """The newest row of the benchmark."""
    row = newest_benchmarks().get(name)
    if row is None:
        return f"`python -m experiments.bench {name}` measures it; no row is committed."
    return (
        f"Batch {row['batch']}, {row['time']} steps, {row['cores']} CPU cores: compile {row['compile_seconds']} s, forward "
        f"{row['forward_ms']} ms, forward + backward {row['forward_backward_ms']} ms, peak {row['peak_megabytes']} MB "
        f"(`python -m experiments.bench {name}`)."
    )


def results(cls: str) -> str:
    """The committed runs of a memory: what was measured, and the command."""
    rows = []
    for path in sorted([*RESULTS.glob("*.json"), *(RESULTS / "stories").glob("*.json")]):
        found = json.loads(path.read_text())
        if not isinstance(found, dict) or _memory_of(found) != cls:
            continue
        if "mean" in found:
            said = f"mean error {found['mean']:.2f} %, {found['failed']} tasks failed (validation questions)"
        else:
            metric = next(m for m in ("wrong_bits_per_sequence", "error_percent", "bits_per_sequence") if m in found)
            values = ", ".join(f"{length}: {value:.4g}" for length, value in found[metric].items())
            said = f"{metric.replace('_', ' ')} by length, median of {len(found['seeds'])} seeds: {values}"
        rows.append(f"- `{found['command']}`: {said}")
    return "\n".join(rows) or "No run of this memory is committed yet."


def _memory_of(found: dict[str, Any]) -> str | None:
    if "memory" in found or found.get("name") not in configs.known():
        return found.get("memory")
    return type(configs.load(found["name"]).memory).__name__


def overview() -> str:
    """The table of memories, each with a link to its page."""
    from experiments.tables.memories import catalogue

    table = re.sub(r"^\| `(\w+)` ", r"| [`\1`](memories/\1.md) ", catalogue(), flags=re.MULTILINE)
    return f"# Memories\n\nA memory's page has equations, state, cost, differences from the paper and results.\n\n{table}\n"


def api() -> str:
    """Every public symbol."""
    parts = ["# API", "`import diffmem` gives what the first section lists; the others are modules of it."]
    for package in PACKAGES:
        parts.append(f"## {package.__name__}")
        parts += [symbol(getattr(package, name), name) for name in package.__all__]
    for name in MODULES:
        module = importlib.import_module(f"diffmem.{name}")
        parts += [f"## {module.__name__}", docstring(module)]
        parts += [symbol(thing, one) for one, thing in public(module)]
    return "\n\n".join(part for part in parts if part) + "\n"


def public(module: Any) -> list[tuple[str, Any]]:
    """The functions and classes that a module defines, or those of its __all__."""
    chosen = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
    things = [(name, getattr(module, name)) for name in chosen]
    home = module.__name__
    return [(n, t) for n, t in things if (inspect.isfunction(t) or inspect.isclass(t)) and t.__module__.startswith(home)]


def symbol(thing: Any, name: str) -> str:
    """One function or class: its signature and docstring."""
    if not (inspect.isfunction(thing) or inspect.isclass(thing)):
        return ""
    try:
        signature = str(inspect.signature(thing))
    except ValueError:
        signature = ""
    kind = "class " if inspect.isclass(thing) else ""
    text = re.sub(r"jaxtyping\.|jax\.Array|<factory>", lambda m: "Array" if m[0] == "jax.Array" else "", signature)
    return f"### {name}\n\n```python\n{kind}{name}{text}\n```\n\n{docstring(thing)}"


def notebooks() -> str:
    """What can be run in Colab: title, badge and first paragraph of each."""
    parts = ["# Notebooks", "Each runs on a CPU in a few minutes; `colab/` has a plain Python source beside each."]
    for path in build.sources():
        title, badge, paragraph = build.introduction(path)
        parts.append(f"## {title}\n\n{badge}\n\n{paragraph}")
    return "\n\n".join(parts) + "\n"


def gallery() -> str:
    """Every committed picture, with the command under it."""
    parts = ["# Gallery", "Every picture is drawn by the command under it."]
    for folder in sorted((ROOT / "docs" / "pictures").iterdir()):
        if not folder.is_dir():
            continue
        parts.append(f"## {folder.name.replace('_', ' ')}")
        path = RESULTS / f"{folder.name}.json"
        command = json.loads(path.read_text())["command"] if path.exists() else ""
        for picture in sorted(folder.glob("*.png")):
            parts.append(f"![{folder.name}, {picture.stem}](pictures/{folder.name}/{picture.name})")
        if command:
            parts.append(f"`{command}`, then `python -m experiments.publish`")
    return "\n\n".join(parts) + "\n"


def modules() -> list[str]:
    """The names of all modules of the library."""
    return [info.name for info in pkgutil.walk_packages(diffmem.__path__, "diffmem.")]
