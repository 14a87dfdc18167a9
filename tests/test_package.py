"""The package as others get it: what importing costs, what is public, what the lock and the licence say, what is committed."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import diffmem

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Slow to import or optional: whoever needs one imports it where it is used.
LAZY = ("tensorflow_datasets", "orbax", "matplotlib", "optax", "flax.nnx", "tyro")
IMPORT = """
import json, sys, time
import jax, flax.linen
start = time.perf_counter()
import diffmem
print(json.dumps([time.perf_counter() - start, list(sys.modules)]))
"""


def import_in_fresh_process():
    """Seconds that `import diffmem` adds to JAX and Flax, and the modules that are loaded then."""
    done = subprocess.run([sys.executable, "-c", IMPORT], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_import_is_quick_and_leaves_out_what_it_does_not_need():
    # Other processes only ever add to the time, so the first of three tries that is quick enough settles it.
    for _ in range(3):
        seconds, modules = import_in_fresh_process()
        if seconds < 1.0:
            break
    print(f"import diffmem: {seconds:.3f} s beyond jax and flax.linen")
    assert seconds < 1.0
    assert not set(LAZY) & set(modules)


def test_version_is_valid_and_the_installed_one():
    from importlib.metadata import version

    assert str(Version(diffmem.__version__)) == diffmem.__version__ == version("diffmem")


def test_the_package_is_marked_as_typed():
    assert (Path(diffmem.__file__).parent / "py.typed").is_file()


def test_all_lists_what_is_there_once():
    assert len(set(diffmem.__all__)) == len(diffmem.__all__)
    assert not [name for name in diffmem.__all__ if not hasattr(diffmem, name)]


@pytest.mark.parametrize("name", diffmem.__all__)
def test_public_names_have_docstrings(name):
    doc = getattr(diffmem, name).__doc__ or ""
    assert len(doc.split()) >= 4
    assert not doc.startswith(f"{name}("), "the docstring that dataclasses and named tuples generate says nothing"


@pytest.mark.parametrize("name", diffmem.names())
def test_memories_say_where_they_come_from(name):
    cls = diffmem.entry(name).cls
    missing = [
        part
        for part in ("Args:", "Readout.weights", "Example:", "Source:", "Differences from the paper")
        if part not in (cls.__doc__ or "")
    ]
    assert not missing
    assert getattr(diffmem, cls.__name__, None) is cls
    assert cls.__name__ in diffmem.__all__


def test_the_licence_is_apache():
    text = (ROOT / "LICENSE").read_text()
    assert re.match(r"\s*Apache License\s+Version 2\.0, January 2004", text)
    assert "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["license"] == "Apache-2.0"


def requirements():
    """What the lock must satisfy: the dependencies and the extra dev, with the extras that it names."""
    extras = PROJECT["optional-dependencies"]
    pending, found = [*PROJECT["dependencies"], *extras["dev"]], []
    while pending:
        requirement = Requirement(pending.pop())
        if requirement.name == PROJECT["name"]:
            pending += [line for extra in requirement.extras for line in extras[extra]]
        else:
            found.append(requirement)
    return found


@pytest.mark.parametrize("python", ["3.11.0", "3.13.0"])
def test_the_lock_satisfies_every_requirement(python):
    environment = {**default_environment(), "python_version": python[:4], "python_full_version": python}
    lines = re.findall(r"^([a-z].*?)(?: \\)?$", (ROOT / "requirements" / "locked.txt").read_text(), re.MULTILINE)
    locked = [Requirement(line) for line in lines]
    pins = {
        canonicalize_name(pin.name): str(pin.specifier).removeprefix("==")
        for pin in locked
        if pin.marker is None or pin.marker.evaluate(environment)
    }
    stale = [str(want) for want in requirements() if pins.get(canonicalize_name(want.name), "0") not in want.specifier]
    assert not stale, "run `make lock`"


def test_floors_have_no_caps():
    caps = [line for line in PROJECT["dependencies"] if re.search(r"<|==|~=|!=", line)]
    assert not caps


def test_no_committed_file_names_a_machine_or_a_registry():
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    place = re.compile(rb"/(?:work|root)/|pypi[.]org|files[.]pythonhosted")
    files = [ROOT / name for name in listing.stdout.split("\0") if (ROOT / name).is_file()]
    assert files
    found = [str(file.relative_to(ROOT)) for file in files if place.search(file.read_bytes())]
    assert not found
