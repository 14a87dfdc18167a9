"""How JAX is set up for a launcher: must run before the first computation."""

import os
from pathlib import Path

import jax


def use_compilation_cache() -> None:
    """Keeps compiled programs in .jax_cache, so that a second run starts at once; JAX_COMPILATION_CACHE_DIR moves it."""
    if not jax.config.jax_compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parents[1] / ".jax_cache"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def use_cpu_cores(parts: int) -> int:
    """Splits the CPU into as many JAX devices as it has cores and as divide `parts`; returns how many.

    An unrolled memory is a long chain of small operations, which one core runs faster alone than two cores together;
    seeds are independent, so that each core takes some of them.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    devices = max(n for n in range(1, cores + 1) if parts % n == 0)
    if jax.config.jax_platforms in (None, "cpu"):
        jax.config.update("jax_num_cpu_devices", devices)
    return devices
