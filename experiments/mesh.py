"""How a run is laid over devices and hosts: `--mesh data=4,slots=2`, `--distributed`."""

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from diffmem.sharding import SlotSharded
from experiments.config import Config

AXES = {"seeds": "independent runs", "data": "sequences of a batch", "slots": "slots of the memory"}


def read(text: str) -> dict[str, int]:
    """The axes in a text such as data=4,slots=2, and how many devices each has.

    Raises:
        ValueError: anything else.
    """
    sizes: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        name, _, size = part.partition("=")
        if name not in AXES or not size.isdigit() or int(size) < 1 or name in sizes:
            raise ValueError(f"--mesh {text!r}; legal: axis=devices, separated by commas, with the axes {', '.join(AXES)}")
        sizes[name] = int(size)
    return sizes


def build(text: str, seeds: int, batch: int, questions: int = 1) -> Mesh:
    """The mesh of a run: as the text says, or, where it says nothing, the seeds over as many devices as they divide by.

    Raises:
        ValueError: more devices than there are, or sizes that do not divide.
    """
    sizes, devices = read(text), jax.devices()
    if not sizes:
        sizes["seeds"] = max(n for n in range(1, len(devices) + 1) if seeds % n == 0)
    sizes = {name: sizes.get(name, 1) for name in AXES}
    count = sizes["seeds"] * sizes["data"] * sizes["slots"]
    if count > len(devices):
        raise ValueError(f"--mesh {text!r} needs {count} devices; there are {len(devices)}")
    for name, value in (("seeds", seeds), ("data", batch // questions)):
        if value % sizes[name]:
            field = name if name == "seeds" else "batch" if questions == 1 else "batch / questions"
            raise ValueError(f"--mesh {text!r}: {field} is {value}, which does not divide by {name}={sizes[name]}")
    return jax.make_mesh(tuple(sizes.values()), tuple(sizes), axis_types=(AxisType.Auto,) * 3, devices=devices[:count])


def with_slots(config: Config, mesh: Mesh) -> Config:
    """The config with its memory's slots laid over the mesh, where that has an axis for them."""
    if mesh.shape["slots"] == 1:
        return config
    memory: Any = SlotSharded(config.memory, mesh)
    return dataclasses.replace(config, memory=memory)


def by_part(run: Callable, mesh: Mesh | None) -> Callable:
    """The same function of parameters and batches, done by each device for its own part of the batches.

    Each part has a copy of the parameters, so that gradients are summed over the devices once. Cut without copies, a batch
    would have XLA do that at every step of time.
    """
    if mesh is None or mesh.shape["data"] == 1:
        return run
    parts = mesh.shape["data"]
    by_data = NamedSharding(mesh, PartitionSpec("data"))

    def run_parts(params, *batches):
        copies = jax.tree.map(lambda a: jnp.broadcast_to(a, (parts, *a.shape)), params)
        cut = jax.tree.map(lambda a: a.reshape(parts, -1, *a.shape[1:]), batches)
        outputs = jax.vmap(run)(*jax.lax.with_sharding_constraint((copies, *cut), by_data))
        return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), outputs)

    return run_parts


def place(state: Any, mesh: Mesh) -> Any:
    """Lays a TrainState over the mesh: seeds over seeds, everything else on all devices."""
    by_seed, everywhere = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("seeds",), ()))
    shardings = jax.tree.map(lambda leaf: by_seed if leaf.ndim else everywhere, state)
    if jax.process_count() == 1:
        return jax.device_put(state, shardings)
    return jax.jit(lambda state: state, out_shardings=shardings)(jax.tree.map(_host, state))


def _host(leaf: jax.Array) -> Any:
    """A value that every process has alike; random keys stay as they are."""
    return leaf if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else jax.device_get(leaf)


def join_hosts() -> None:
    """Joins this process to the others of the run, before JAX computes anything.

    A cluster that JAX knows (SLURM, Open MPI, a TPU pod, Kubernetes) says by itself who takes part. Elsewhere three variables
    do: JAX_COORDINATOR_ADDRESS (host:port of process 0), JAX_NUM_PROCESSES, JAX_PROCESS_ID. Where a process dies, the others
    end within JAX_HEARTBEAT_SECONDS (60).

    Raises:
        ValueError: only some of the three are set.
    """
    names = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
    found = {name: os.environ[name] for name in names if name in os.environ}
    if found and len(found) < len(names):
        missing = ", ".join(name for name in names if name not in found)
        raise ValueError(f"--distributed: {missing} not set, but {', '.join(found)}; set all three, or none on a known cluster")
    options: dict[str, Any] = {"heartbeat_timeout_seconds": int(os.environ.get("JAX_HEARTBEAT_SECONDS", "60"))}
    if found:
        options |= {
            "coordinator_address": found[names[0]],
            "num_processes": int(found[names[1]]),
            "process_id": int(found[names[2]]),
        }
    jax.distributed.initialize(**options)


def first_process() -> bool:
    """Whether this process is the one that prints and writes metrics."""
    return jax.process_index() == 0


def wait_for_all(what: str) -> None:
    """Holds until every process of the run is here."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(what)
