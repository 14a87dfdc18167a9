"""Exported files run with diffmem absent and give the library's numbers."""

import doctest
import subprocess
import sys
import types

import jax
import numpy as np
import pytest

import diffmem
from diffmem.export import export
from tests.programs import REGISTERED

TIME = 5


def load(name, text, monkeypatch):
    """The file as a module, where the library cannot be imported."""
    for module in [m for m in sys.modules if m.partition(".")[0] in ("diffmem", "jaxtyping")]:
        monkeypatch.setitem(sys.modules, module, None)
    module = types.ModuleType(f"exported_{name}")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look their module up
    exec(compile(text, f"{name}.py", "exec"), vars(module))
    return module


@pytest.mark.parametrize("name", REGISTERED)
def test_same_numbers(name, monkeypatch):
    memory = REGISTERED[name]
    params = memory.init_params(jax.random.key(0))
    xs = jax.random.normal(jax.random.key(1), (TIME, memory.input_size))
    starts = np.arange(TIME) == 3
    run = lambda unroll, memory: jax.jit(lambda params, xs: unroll(memory, params, None, xs, starts=starts))(params, xs)  # noqa: E731
    want = run(diffmem.unroll, memory)
    text = export(name)
    with monkeypatch.context() as patch:
        module = load(name, text, patch)
        alone = getattr(module, type(memory).__name__)(**diffmem.entry(name).small)
        got = run(module.unroll, alone)
        again = alone.init_params(jax.random.key(0))
        assert doctest.testmod(module).failed == 0
    for a, b in zip(jax.tree.leaves((got, again)), jax.tree.leaves((want, params)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
    assert "diffmem." not in "\n".join(line for line in text.splitlines() if line.startswith(("import", "from")))


def test_with_a_controller(monkeypatch):
    memory = diffmem.control(REGISTERED["ntm"], 6)
    params = memory.init_params(jax.random.key(0))
    want = diffmem.unroll(memory, params, None, np.ones((3, 6), np.float32))[1].value
    text = export("ntm", controlled=True)
    with monkeypatch.context() as patch:
        module = load("ntm", text, patch)
        alone = module.control(module.NTM(**diffmem.entry("ntm").small), 6)
        got = module.unroll(alone, params, None, np.ones((3, 6), np.float32))[1].value
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def test_command_and_unknown_name():
    done = subprocess.run([sys.executable, "-m", "diffmem.export", "gru"], capture_output=True, text=True, check=True)
    assert done.stdout == export("gru")
    assert "@register" not in done.stdout
    with pytest.raises(ValueError, match="did you mean 'ntm'"):
        export("ntmm")
