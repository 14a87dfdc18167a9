"""How JAX is set up for a launcher, before its first computation, and what a measurement depends on."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

config: Any = jax.config  # its settings become attributes as JAX is imported


class Diverged(RuntimeError):
    """The loss is no longer finite."""


def first_bad(**trees: Any) -> str | None:
    """The first leaf that is not finite, such as "the gradient memory.kernel": trees by what their leaves are."""
    for kind, tree in trees.items():
        for path, leaf in jax.tree.leaves_with_path(tree):
            if not bool(jnp.isfinite(leaf).all()):
                return f"the {kind} {jax.tree_util.keystr(path, simple=True, separator='.')}"
    return None


def launch(main: Callable[[list[str]], Any]) -> None:
    """Runs a launcher on the command line; errors that a user can mend end it with one line and exit code 1."""
    try:
        main(sys.argv[1:])
    except (ValueError, OSError, Diverged) as error:
        raise SystemExit(f"error: {error}") from None


def note(text: str) -> None:
    """Says something beside the results, on the error output."""
    print(f"note: {text}", file=sys.stderr, flush=True)


def set_up_compiler() -> None:
    """Keeps compiled programs in .jax_cache, so that a second run starts at once; JAX_COMPILATION_CACHE_DIR moves it.

    JAX 0.10 leaves sums on a CPU to a library, with which a whole training step takes up to twice as long; here it does not.
    """
    if jax.__version_info__ < (0, 11) and "ynn_fusion_type" not in (flags := os.environ.get("XLA_FLAGS", "")):
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_experimental_ynn_fusion_type=-reduce"
    if not config.jax_compilation_cache_dir:
        config.update("jax_compilation_cache_dir", str(Path(__file__).parents[1] / ".jax_cache"))
    config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def use_cpu_cores(parts: int) -> int:
    """Splits the CPU into as many JAX devices as it has cores and as divide `parts`; returns how many.

    An unrolled memory is a long chain of small operations, which one core runs faster alone than two cores together;
    seeds are independent, so that each core takes some of them.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    devices = max(n for n in range(1, cores + 1) if parts % n == 0)
    use_cpu_devices(devices)
    return devices


def use_cpu_devices(count: int) -> None:
    """Splits the CPU into this many JAX devices; other platforms have the devices they have."""
    if config.jax_platforms in (None, "cpu"):
        config.update("jax_num_cpu_devices", count)


def environment() -> dict[str, Any]:
    """Commit, versions, device and load: what a published number depends on."""
    command = ["git", "describe", "--always", "--dirty"]
    described = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    return {
        "commit": described.stdout.strip() or "unknown",
        "jax": jax.__version__,
        "python": platform.python_version(),
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }
