"""Writes a memory as one self-contained file: `python -m diffmem.export ntm > ntm.py`.

The file needs JAX and Flax only, runs with diffmem absent and gives the same numbers. It holds the memory's class and whatever
of the library it uses, as it stands in the library: comments, docstrings and all.
"""

import argparse
import ast
import importlib
import inspect
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from diffmem.base import entry, names

PACKAGE = "diffmem"
ALWAYS = ("unroll", "store")  # of diffmem.unroll: what runs a memory


class Name(NamedTuple):
    """A definition of the library: its module and its name there."""

    module: str
    name: str


@dataclass
class Module:
    """One module's source: its top-level statements by the names they define, and what its imports stand for."""

    name: str

    def __post_init__(self):
        self.lines = inspect.getsource(importlib.import_module(self.name)).splitlines()
        self.statements = ast.parse("\n".join(self.lines)).body
        self.definitions: dict[str, ast.stmt] = {}
        self.aliases: dict[str, str] = {}  # of modules of the library: edits -> diffmem.edits
        self.imported: dict[str, Name] = {}  # from them: shift -> (diffmem.addressing, shift)
        self.external: dict[str, str] = {}  # of other packages: jnp -> "import jax.numpy as jnp"
        for statement in self.statements:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self._import(statement)
            for name in _defined(statement):
                self.definitions[name] = statement

    def _import(self, statement: ast.Import | ast.ImportFrom) -> None:
        for one in statement.names:
            bound = one.asname or one.name.partition(".")[0]
            renamed = f" as {one.asname}" if one.asname else ""
            if isinstance(statement, ast.Import):
                self.external[bound] = f"import {one.name}{renamed}"
            elif not (statement.module or "").startswith(PACKAGE):
                self.external[bound] = f"from {statement.module} import {one.name}{renamed}"
            elif statement.module == PACKAGE:
                self.aliases[bound] = f"{PACKAGE}.{one.name}"
            else:
                self.imported[bound] = Name(str(statement.module), one.name)


def _defined(statement: ast.stmt) -> list[str]:
    """The names that a top-level statement binds."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


class References(ast.NodeVisitor):
    """The places of a statement that mean a name of its module, and not one that a function binds for itself.

    The written file does not evaluate annotations, so that they are set apart. The decorator that registers is passed over.
    """

    def __init__(self):
        self.scopes: list[set[str]] = []
        self.found: list[ast.Name | ast.Attribute] = []
        self.annotations: list[ast.Name] = []

    def visit_ClassDef(self, node):
        for one in (*(d for d in node.decorator_list if not _registers(d)), *node.bases, *node.body):
            self.visit(one)

    def visit_FunctionDef(self, node):
        for outside in (*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(outside)
        self._inside(node, node.body)

    def visit_Lambda(self, node):
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(default)
        self._inside(node, [node.body])

    def _inside(self, function, body):
        arguments = function.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        bound = {one.arg for one in every if one}
        for node in body:
            for child in ast.walk(node):
                if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
                    bound.add(child.id)
                elif isinstance(child, ast.FunctionDef):
                    bound.add(child.name)
        self.scopes.append(bound)
        for node in body:
            self.visit(node)
        self.scopes.pop()

    def visit_AnnAssign(self, node):
        self.annotations += [child for child in ast.walk(node.annotation) if isinstance(child, ast.Name)]
        if node.value:
            self.visit(node.value)

    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Load) and not any(node.id in scope for scope in self.scopes):
            self.found.append(node)

    def visit_Attribute(self, node):
        if isinstance(node.value, ast.Name) and not any(node.value.id in scope for scope in self.scopes):
            self.found.append(node)
        else:
            self.visit(node.value)


class Exporter:
    """Collects what a definition needs, and writes it down."""

    def __init__(self):
        self.modules: dict[str, Module] = {}
        self.needed: set[Name] = set()
        self.order: list[str] = []  # of modules, each after those it uses
        self.imports: set[str] = set()

    def module(self, name: str) -> Module:
        if name not in self.modules:
            self.modules[name] = Module(name)
        return self.modules[name]

    def target(self, module: Module, node: ast.Name | ast.Attribute) -> Name | None:
        """What of the library a reference means; None for everything else, whose import is kept if it has one."""
        root = node if isinstance(node, ast.Name) else node.value
        assert isinstance(root, ast.Name)
        if isinstance(node, ast.Attribute) and root.id in module.aliases:
            return Name(module.aliases[root.id], node.attr)
        if root.id in module.definitions:
            return Name(module.name, root.id)
        if root.id in module.imported:
            return module.imported[root.id]
        if root.id in module.external:
            self.imports.add(module.external[root.id])
        return None

    def references(self, module: Module, statement: ast.stmt) -> list[tuple[ast.expr, Name]]:
        """Every reference to the library in a statement. Imports from elsewhere are noted on the way."""
        visitor = References()
        visitor.visit(statement)
        for node in visitor.annotations:  # dataclasses look for ClassVar in them
            if module.external.get(node.id, "").startswith("from typing"):
                self.imports.add(module.external[node.id])
        found = [(node, self.target(module, node)) for node in visitor.found]
        # Of `layers.dense` the whole is replaced, of `LSTM.State` the first word.
        return [
            (node.value if isinstance(node, ast.Attribute) and _root(node) not in module.aliases else node, name)
            for node, name in found
            if name
        ]

    def need(self, name: Name) -> None:
        """Marks a definition, and all that it uses, as needed."""
        if name in self.needed:
            return
        module = self.module(name.module)
        if name.name in module.imported:  # passed on from another module
            return self.need(module.imported[name.name])
        self.needed.add(name)
        for _, used in self.references(module, module.definitions[name.name]):
            self.need(used)
        for statement in self.attached(module, name.name):
            for _, used in self.references(module, statement):
                self.need(used)
        if name.module not in self.order:
            self.order.append(name.module)

    def attached(self, module: Module, name: str) -> list[ast.stmt]:
        """Top-level calls on a definition, such as `focus.defvjp(...)`."""
        return [
            s
            for s in module.statements
            if isinstance(s, ast.Expr) and isinstance(s.value, ast.Call) and _root(s.value.func) == name
        ]

    def written(self, name: Name) -> str:
        """What a definition is called in the file: modules that are used by their name become a prefix."""
        prefixed = any(name.module in module.aliases.values() for module in self.modules.values())
        twice = sum(other.name == name.name for other in self.needed) > 1
        return f"{name.module.rpartition('.')[2]}_{name.name}" if prefixed or twice else name.name

    def source(self, module: Module, statement: ast.stmt) -> str:
        """A statement's text with every reference, and what it defines, under the names of the file."""
        decorators = getattr(statement, "decorator_list", [])
        first = min((d.lineno for d in decorators), default=statement.lineno)
        while first > 1 and module.lines[first - 2].startswith("#") and "---" not in module.lines[first - 2]:
            first -= 1
        lines: list[Any] = module.lines[first - 1 : statement.end_lineno]
        edits = [(node, self.written(name)) for node, name in self.references(module, statement)]
        for node, text in sorted(edits, key=lambda edit: (edit[0].lineno, edit[0].col_offset), reverse=True):
            assert node.end_lineno == node.lineno, "a reference is one word"
            line = lines[node.lineno - first].encode()
            lines[node.lineno - first] = (line[: node.col_offset] + text.encode() + line[node.end_col_offset :]).decode()
        for decorator in filter(_registers, decorators):
            for number in range(decorator.lineno, (decorator.end_lineno or 0) + 1):
                lines[number - first] = None
        text = "\n".join(line for line in lines if line is not None)
        for name in _defined(statement):
            new = self.written(Name(module.name, name))
            text = re.sub(rf"^((?:def|class) )?{name}\b", rf"\g<1>{new}", text, count=1, flags=re.MULTILINE)
        return text

    def body(self) -> str:
        """All needed definitions, module by module."""
        parts = []
        for name in self.order:
            module = self.modules[name]
            wanted = {n.name for n in self.needed if n.module == name}
            calls = [s for one in wanted for s in self.attached(module, one)]
            chosen = [s for s in module.statements if set(_defined(s)) & wanted or s in calls]
            title = f"# --- {name} ".ljust(120, "-")
            parts += [title, *(self.source(module, statement) for statement in chosen)]
        return "\n\n\n".join(parts)


def _root(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _registers(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and _root(decorator.func) == "register"


def export(name: str, *, controlled: bool = False) -> str:
    """The text of a file with one memory.

    Args:
        name: as in `diffmem.make`.
        controlled: whether `control`, which puts a controller in front, comes along.

    Raises:
        ValueError: no memory has this name; the message suggests the nearest.
    """
    found, exporter = entry(name), Exporter()
    wanted = [Name(f"{PACKAGE}.unroll", one) for one in ALWAYS] + [Name(found.cls.__module__, found.cls.__name__)]
    for one in [*wanted, *([Name(f"{PACKAGE}.controller", "control")] if controlled else [])]:
        exporter.need(one)
    body = exporter.body()
    # Examples are written for users of the library: that of the memory stays, in the words of the file.
    start = body.index(f"class {found.cls.__name__}")
    others = re.sub(r"\n\n +Example:\n(?:(?: {8}.*)?\n)+?(?= {4}\S)", "\n\n", body[:start])
    own = body[start:].replace("import jax, diffmem\n", "import jax\n").replace("diffmem.", "")
    body = re.sub(r"\n\n( +\"\"\")", r"\n\1", others) + own
    command = f"python -m diffmem.export {name}{' --controlled' if controlled else ''}"
    header = (
        f'"""{found.cls.__name__}: {(found.cls.__doc__ or "").splitlines()[0]}\n\n{found.paper}.\n\n'
        f"Written by `{command}` from diffmem (Apache-2.0). Needs JAX and Flax only.\n"
        f'Start at the class {found.cls.__name__}, which is near the end, and at `unroll`.\n"""'
    )
    imports = ["from __future__ import annotations", "", *sorted(exporter.imports)]
    return "\n".join([header, "", *imports, "", "Array = jax.Array", "", "", body, ""])


def main() -> None:
    """Prints the file."""
    parser = argparse.ArgumentParser(prog="python -m diffmem.export", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", help=f"one of {', '.join(names())}")
    parser.add_argument("--controlled", action="store_true", help="also `control`: a controller in front of the memory")
    options = parser.parse_args()
    try:
        print(export(options.name, controlled=options.controlled), end="")
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
