"""Parity with the golden files, and a checker that can fail."""

import json
import runpy
import sys

import numpy as np
import pytest

from tests.golden import FOLDERS, compare, default_root, types
from tests.oracles import ntm as oracle

pytestmark = pytest.mark.usefixtures("strict_types")
FILES = [path for folder in FOLDERS for path in sorted(default_root().glob(f"{folder}/*.npz"))]
# What holds to 1e-9 in float64 says little more in float32, and costs as much: all of it is with the slow tests.
CASES = [
    pytest.param(path, dtype, id=f"{path.stem}-{dtype}", marks=[pytest.mark.slow] if dtype == "float32" else [])
    for path in FILES
    for dtype in types(path)
]


@pytest.mark.skipif(not FILES, reason=f"no golden files under {default_root()}: they come with the project, not the checkout")
@pytest.mark.parametrize(("path", "dtype"), CASES)
def test_parity(path, dtype):
    rows = list(compare(path, dtype))
    assert rows
    failed = [row for row in rows if not row.passed]
    assert not failed


def small_file(path, reference="NTMCell-tf", options=(), gradients=True, **changes):
    """A golden file of three cases of the addressing chain, whose numbers come from the oracle."""
    rng, cases, slots, width = np.random.default_rng(0), 3, 7, 4
    inputs = {
        "k": rng.normal(size=(cases, width)),
        "beta": rng.gamma(2, size=(cases, 1)),
        "g": rng.uniform(size=(cases, 1)),
        "s": rng.dirichlet(np.ones(3), size=cases),  # the moves 0, +1, -1
        "gamma": 1 + rng.gamma(2, size=(cases, 1)),
        "w_prev": rng.dirichlet(np.ones(slots), size=cases),
        "memory": rng.normal(size=(cases, slots, width)),
    }
    outputs = {"content": [], "gated": [], "shifted": [], "sharp": []}
    for i in range(cases):
        k, beta, g, s, gamma, previous, memory = (value[i] for value in inputs.values())
        content = oracle.content(k, memory, beta[0], "product")
        gated = oracle.interpolate(content, previous, g[0])
        shifted = oracle.shift(gated, s[[2, 0, 1]])
        for name, value in zip(outputs, (content, gated, shifted, oracle.sharpen(shifted, gamma[0])), strict=True):
            outputs[name].append(value)
    tensors = {f"input.{name}": value for name, value in inputs.items()}
    tensors |= {f"out.{name}": np.stack(value) for name, value in outputs.items()}
    cotangent = rng.normal(size=(cases, slots))
    tensors["cot.out.gated"] = cotangent
    tensors["loss"] = np.sum(cotangent * tensors["out.gated"])
    if gradients:
        tensors["grad.input.g"] = np.sum(cotangent * (tensors["out.content"] - inputs["w_prev"]), -1, keepdims=True)
    for name, change in changes.items():
        tensors[name] = tensors.get(name, 0.0) + change
    np.savez(path, config=json.dumps({"reference": reference, "kind": "primitives", **dict(options)}), **tensors)
    return str(path)


def exit_code(monkeypatch, *arguments):
    """Runs `python -m tests.golden` in this process."""
    monkeypatch.setattr(sys, "argv", ["golden", *arguments])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("tests.golden", run_name="__main__")
    return stop.value.code


def test_an_exact_file_passes(tmp_path, monkeypatch, capsys):
    assert exit_code(monkeypatch, small_file(tmp_path / "exact.npz")) == 0
    printed = capsys.readouterr().out
    assert "all within tolerance (1 files" in printed
    for name in ("out.content", "out.gated", "out.shifted", "out.sharp", "loss", "grad.input.g"):
        assert sum(name in line and line.endswith("ok") for line in printed.splitlines()) == 2  # two types


@pytest.mark.parametrize("name", ["out.content", "out.gated", "out.shifted", "out.sharp", "loss", "grad.input.g"])
@pytest.mark.parametrize("change", [1e-7, np.nan])
def test_a_perturbed_file_fails(tmp_path, monkeypatch, capsys, name, change):
    path = small_file(tmp_path / "perturbed.npz", **{name: change})
    assert exit_code(monkeypatch, "--dtype", "float64", path) == 1
    failed = [line for line in capsys.readouterr().out.splitlines() if line.endswith("FAILED")]
    assert [name in line for line in failed] == [True, False]  # the tensor's line, and the last one


def test_float32_is_held_to_its_own_tolerance(tmp_path, monkeypatch):
    path = small_file(tmp_path / "perturbed.npz", **{"out.sharp": 1e-3})
    assert exit_code(monkeypatch, "--dtype", "float32", path) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reference": "somebody-else"}, "no converter for reference 'somebody-else'; known: "),
        ({"out.unknown": np.ones(3)}, "the converter leaves out out.unknown"),
    ],
    ids=["reference", "tensor"],
)
def test_what_cannot_be_compared_fails(tmp_path, monkeypatch, capsys, changes, message):
    assert exit_code(monkeypatch, small_file(tmp_path / "odd.npz", **changes)) == 1
    assert message in capsys.readouterr().out


def test_options_that_are_not_read_are_named(tmp_path, monkeypatch, capsys):
    assert exit_code(monkeypatch, small_file(tmp_path / "odd.npz", options={"batch": 3, "wrap": False})) == 0
    assert "the converter does not read the configuration's wrap\n" in capsys.readouterr().err


@pytest.mark.parametrize("left", [0, 100, 2000])
def test_a_missing_or_truncated_file_fails_and_the_others_are_compared(tmp_path, monkeypatch, capsys, left):
    exact, cut = small_file(tmp_path / "exact.npz"), tmp_path / "cut.npz"
    cut.write_bytes((tmp_path / "exact.npz").read_bytes()[:left])
    assert exit_code(monkeypatch, "--dtype", "float64", str(tmp_path / "missing.npz"), str(cut), exact) == 1
    printed = capsys.readouterr().out
    assert "missing.npz" in printed
    assert "cut.npz  float64  FAILED  ValueError: not a golden file; legal: an .npz archive with a config\n" in printed
    assert "out.sharp" in printed
    assert "exact.npz" in printed


def test_a_file_without_gradients_says_so(tmp_path, monkeypatch, capsys):
    assert exit_code(monkeypatch, "--dtype", "float64", small_file(tmp_path / "values.npz", gradients=False)) == 0
    assert "values.npz                   float64  holds no gradients: none are compared\n" in capsys.readouterr().out
