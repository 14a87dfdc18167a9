"""Settings that must be made before JAX and diffmem are imported, and the `--slow` option."""

import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Compiling dominates the tests' time, and every run compiles the same things.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".jax_cache"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
# Programs that run once on tiny arrays compile two to ten times as fast without most of XLA's optimisations.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# One thread a process: `-n 2` has one for each core, and tiny programs only wait for more.
os.environ.setdefault("NPROC", "1")

import jax
import pytest
from jaxtyping import install_import_hook

# The shape annotations of the free functions are checked in every call that a test makes.
install_import_hook(
    ["diffmem.addressing", "diffmem.allocation", "diffmem.edits", "diffmem.fused", "diffmem.sparse"], "beartype.beartype"
)


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")


def pytest_collection_modifyitems(config, items):
    for item in items:
        # What compiles together runs in one process (`-n 2`): the laws of a memory, and otherwise the tests of a file.
        case = item.callspec.id.rpartition("-")[0] if item.name.startswith("test_law[") else ""
        item.add_marker(pytest.mark.xdist_group(f"{item.path.name} {case}"))
    if config.getoption("--slow") or "slow" in config.getoption("-m"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    items[:] = [item for item in items if not item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)


# Linux lets a process have 65,530 memory maps; every compiled program takes some, and where none are left XLA crashes.
MAPS, MOST_MAPS = Path("/proc/self/maps"), 25_000


def pytest_runtest_teardown(item, nextitem):
    """Between two groups of tests, lets go of what was compiled before there is too much of it."""
    group = lambda item: [mark.args for mark in item.iter_markers("xdist_group")]  # noqa: E731
    if nextitem and group(item) != group(nextitem) and MAPS.exists() and MAPS.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()


@pytest.fixture
def full_compile():
    """Turns XLA's optimisations on: for programs whose running takes longer than their compiling."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="module")
def strict_types():
    """Makes it an error to mix types by accident, such as a float64 that slips into a bfloat16 memory."""
    with jax.numpy_dtype_promotion("strict"):
        yield
