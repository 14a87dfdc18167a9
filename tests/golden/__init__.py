"""Parity with golden vectors: numbers that independent implementations of the models produced.

A golden file holds weights, inputs, outputs, states, the scalar loss = sum over cot.X of sum(cot.X * X), and its gradients.
A converter maps the file's tensors to the library's parameters, runs the library and returns the file's outputs under
their names. It is differentiated itself, so gradients come back in the file's own layout.
"""

import json
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tests.golden import delta, dmn, dnc, fast_weights, ffm, memn2n, memoria, ntm, pkm, plasticity, rmc

# "reference" (or, of primitives, "kind") of a file's configuration -> forward(config, tensors) -> outputs
CONVERTERS: dict[str, Callable] = {
    **delta.CONVERTERS,
    **dmn.CONVERTERS,
    **dnc.CONVERTERS,
    **fast_weights.CONVERTERS,
    **ffm.CONVERTERS,
    **memn2n.CONVERTERS,
    **memoria.CONVERTERS,
    **ntm.CONVERTERS,
    **pkm.CONVERTERS,
    **plasticity.CONVERTERS,
    **rmc.CONVERTERS,
}
# Folders of golden files that there are converters for.
FOLDERS = ("dmn", "dnc", "fastweights", "ffm", "memn2n", "memoria", "ntm", "pkm", "plasticity", "rmc")
# References whose whole models sort numbers that differ only in float64: in float32 another slot is written, and rightly so.
SORTING = dnc.SORTING
INPUTS = ("param.", "input.", "init.")
OUTPUTS = ("out.", "trace.", "final.")
# Relative to the largest number of the tensor, or to 1 where that is smaller.
TOLERANCE = {"float64": {"value": 1e-9, "gradient": 1e-9}, "float32": {"value": 1e-5, "gradient": 1e-4}}


# What a configuration may say that its converter does not read: sizes and facts that the tensors show as well, and options
# that say nothing beside another one.
DESCRIPTIONS = {
    "M", "N", "W", "batch", "d", "d_model", "dim", "elementwise_beta", "feature_map", "feedforward", "flags", "forget_bias",
    "heads", "hidden", "input", "input_bias", "key", "kind", "length", "masked", "memories", "n_keys", "n_words", "neurons",
    "out", "output", "proj", "q_words", "reads", "reference", "seed", "sentence_len", "shift_order", "ties", "time",
    "value", "variant", "vocab", "word_dim", "writes",
}  # fmt: skip


class Options(dict):
    """A configuration that knows what was read of it."""

    def __init__(self, *sources):
        super().__init__(*sources)
        self.read = set()

    def __getitem__(self, key):
        self.read.add(key)
        return super().__getitem__(key)

    def get(self, key, default=None):
        self.read.add(key)
        return super().get(key, default)


class Comparison(NamedTuple):
    """One tensor of a golden file: its name, the largest absolute and relative error, and the tolerance of the latter."""

    name: str
    absolute: float
    relative: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.relative <= self.tolerance  # False for NaN


def default_root() -> Path:
    """Where the golden files lie beside a checkout."""
    return Path(__file__).parents[2] / ".." / "shared" / "golden"


def as_real(array: np.ndarray) -> np.ndarray:
    """Complex numbers as [real, imaginary] in a last axis: losses and gradients are then those of real numbers."""
    return np.stack([array.real, array.imag], -1) if array.dtype.kind == "c" else array


def opened(path: str | Path) -> np.lib.npyio.NpzFile:
    """A golden file; ValueError for what is no archive at all, which NumPy would take for pickled objects."""
    if not zipfile.is_zipfile(path) and Path(path).exists():
        raise ValueError("not a golden file; legal: an .npz archive with a config")
    return np.load(path, allow_pickle=False)


def types(path: str | Path) -> tuple[str, ...]:
    """The types in which a golden file can be compared."""
    with opened(path) as archive:
        config = json.loads(str(archive["config"]))
    whole = config.get("kind") != "primitives"
    return ("float64",) if whole and config.get("reference") in SORTING else ("float64", "float32")


def compare(path: str | Path, dtype: str = "float64") -> Iterator[Comparison]:
    """Compares every output, state, the loss and every gradient of a golden file.

    Raises:
        ValueError: no converter for the file's reference implementation, or the converter left out a tensor or an option.
    """
    with opened(path) as archive:
        tensors = {key: as_real(archive[key]) for key in archive.files}
    config = json.loads(str(tensors.pop("config")))
    reference = config.get("reference", config.get("kind"))
    if reference not in CONVERTERS:
        raise ValueError(f"{path}: no converter for reference {reference!r}; known: {', '.join(CONVERTERS)}")
    with jax.enable_x64(dtype == "float64"):
        # Computed in full before anything is handed out: a caller that stops early must not leave 64 bits switched on.
        yield from list(_compare(path, config, tensors, CONVERTERS[reference], dtype))


def _compare(path, config, tensors, forward, dtype):
    kind = {key: value.dtype for key, value in tensors.items()}
    cast = {k: jnp.asarray(v, dtype) if kind[k].kind == "f" else jnp.asarray(v) for k, v in tensors.items()}
    inputs = {key: value for key, value in cast.items() if key.startswith(INPUTS)}
    wanted = {key.removeprefix("grad.") for key in tensors if key.startswith("grad.")}
    moving = {key: inputs.pop(key) for key in wanted}
    shapes = {key: value.shape for key, value in tensors.items()}
    options = Options({**config, "shapes": shapes})  # shapes: of outputs padded to a longest one

    def loss(moving):
        outputs = forward(options, {**inputs, **moving})
        cotangents = {key.removeprefix("cot."): value for key, value in cast.items() if key.startswith("cot.")}
        return sum((jnp.sum(value * outputs[key]) for key, value in cotangents.items()), jnp.zeros((), dtype)), outputs

    (value, outputs), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(moving)
    missing = {key for key in tensors if key.startswith(OUTPUTS)} - set(outputs)
    if missing:
        raise ValueError(f"{path}: the converter leaves out {', '.join(sorted(missing))}")
    if unknown := config.keys() - options.read - DESCRIPTIONS:
        # No error: numbers that agree say that it is a description, and numbers that do not have their reason here.
        print(f"{path}: the converter does not read the configuration's {', '.join(sorted(unknown))}", file=sys.stderr)
    # In float32 the loss is a sum of many terms that cancel, so it is held to the size of the terms.
    terms = sum(float(np.abs(tensors[f"cot.{k}"] * tensors[k]).sum()) for k in outputs if f"cot.{k}" in tensors)
    for key in sorted(k for k in tensors if k.startswith(OUTPUTS)):
        precision = min(dtype, kind[key].name)  # what was computed in float32 is compared in it ("float32" < "float64")
        yield _comparison(key, outputs[key], tensors[key], TOLERANCE[precision]["value"])
    if "loss" in tensors:
        yield _comparison("loss", value, tensors["loss"], TOLERANCE[dtype]["value"], scale=terms)
    for key in sorted(wanted):
        mask = tensors.get(f"gradmask.{key}", 1.0)
        expected = tensors[f"grad.{key}"] * mask
        scale = float(np.linalg.norm(expected))
        yield _comparison(f"grad.{key}", gradients[key] * mask, expected, TOLERANCE[dtype]["gradient"], scale=scale)


def _comparison(name, computed, expected, tolerance, scale=0.0) -> Comparison:
    expected = np.asarray(expected, np.float64)
    computed = np.asarray(computed, np.float64)
    if computed.shape != expected.shape:
        raise ValueError(f"{name} has shape {computed.shape}, the file has {expected.shape}")
    absolute = float(np.max(np.abs(computed - expected), initial=0.0))
    scale = max(1.0, scale, float(np.max(np.abs(expected), initial=0.0)))
    return Comparison(name, absolute, absolute / scale, tolerance)
