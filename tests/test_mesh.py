"""A run over several devices and over two processes is the run on one device, up to rounding."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time

import jax
import numpy as np
import pytest

import diffmem
from diffmem.sharding import SlotSharded, batch_grad
from experiments import mesh
from experiments.config import load

TINY = ["ntm_copy", "--task.max-length", "3", "--task.lengths", "1", "3", "--memory.slots", "8", "--memory.width", "4"]
TINY += ["--memory.input-size", "12", "--batch", "8", "--log-every", "1", "--checkpoint-every", "1"]
TINY += ["--optimizer.learning-rate", "1e-2", "--optimizer.cooldown", "0"]
ON_EIGHT = """
    import jax
    jax.config.update("jax_num_cpu_devices", 8)
    from pathlib import Path
    from experiments import train

    name, options = train.parse({arguments!r})
    folder, save = Path({folder!r}), train.Checkpoints.save

    def interrupted(self, step, state):
        save(self, step, state)
        if step == 2:
            raise KeyboardInterrupt

    train.train(name, options.run, folder / "one", progress=False)
    train.Checkpoints.save = interrupted
    try:
        train.train(name, options.run, folder / "many", mesh="data=4,slots=2", progress=False)
    except KeyboardInterrupt:
        train.Checkpoints.save = save
    state = train.train(name, options.run, folder / "many", mesh="data=8", progress=False)
    program = train.make_chunk(options.run, state.step.sharding.mesh).lower(state, 2).compile().as_text()
    sums = [line for line in program.splitlines() if " all-reduce(" in line]
    print(len(sums), max(line.count("while/body") for line in sums), len(state.step.sharding.device_set))
"""

EXPLICIT = """
    import jax
    jax.config.update("jax_num_cpu_devices", 2)
    from jax.sharding import AxisType, PartitionSpec
    import diffmem

    jax.set_mesh(jax.make_mesh((2,), ("data",), axis_types=(AxisType.Explicit,)))
    for name in diffmem.names():
        memory = diffmem.make(name, **diffmem.entry(name).small)
        params = jax.eval_shape(memory.init_params, jax.random.key(0))
        xs = jax.device_put(jax.numpy.ones((4, 3, memory.input_size)), PartitionSpec("data"))
        run = jax.vmap(lambda params, xs: diffmem.unroll(memory, params, None, xs)[1].value, (None, 0))
        assert jax.eval_shape(run, params, xs).sharding.spec[0] == "data", name
        jax.eval_shape(jax.grad(lambda params, xs: run(params, xs).sum()), params, xs)
        print(name)
"""
PARTS = """
    import jax, numpy
    jax.config.update("jax_num_cpu_devices", 2)
    from diffmem.sharding import batch_grad

    keys = jax.random.split(jax.random.key(0), 3)
    params, xs, ys = (jax.random.normal(key, shape) for key, shape in zip(keys, ((5, 2), (12, 5), (12, 2))))
    loss = lambda params, batch, ys: ((jax.numpy.sin(batch["xs"] @ params) - ys) ** 2).sum(1).mean()
    want = jax.value_and_grad(loss)(params, {"xs": xs}, ys)
    for mesh in (None, jax.make_mesh((2,), ("data",)), jax.make_mesh((1, 2), ("other", "data"))):
        for at_a_time in (None, 1, 3, 6):
            got = jax.jit(batch_grad(loss, mesh, at_a_time=at_a_time))(params, {"xs": xs}, ys)
            jax.tree.map(lambda a, b: numpy.testing.assert_allclose(a, b, 1e-5), want, got)
            print(at_a_time)
"""
SHARED = """
    import dataclasses, jax, numpy
    jax.config.update("jax_num_cpu_devices", 2)
    import diffmem
    from experiments import config, mesh, train

    small = {"memory": diffmem.GRU(7, 5), "hidden": (), "controller": "none", "batch": 12, "questions": 3}
    run = dataclasses.replace(config.load("dnc_traversal"), **small)
    one = jax.tree.map(lambda a: a[0], train.initial_state(run)[:3])
    want, got = (jax.jit(train.make_update(run, laid))(*one, None) for laid in (None, mesh.build("data=2", 1, 12, 3)))
    jax.tree.map(lambda a, b: numpy.testing.assert_allclose(a, b, 1e-4, 1e-6), want, got)
    try:
        mesh.build("data=2", 1, 9, 3)
    except ValueError as error:
        print(error)
"""


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def environment(**more):
    """That of the tests, but for its devices: a process has those that it makes itself."""
    flags = [flag for flag in os.environ.get("XLA_FLAGS", "").split() if "device_count" not in flag]
    return {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": " ".join(flags), **more}


def run_script(text):
    """The words that a script prints, run in a process of its own, which must succeed."""
    command = [sys.executable, "-c", textwrap.dedent(text)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_batch_and_slots_over_eight_devices_and_on_another_mesh(tmp_path):
    """Two updates on data=4,slots=2, the others on data=8, from the checkpoint of the first."""
    printed = run_script(ON_EIGHT.format(arguments=[*TINY, "--steps", "4"], folder=str(tmp_path)))
    sums, loops, devices = map(int, printed[-3:])
    assert (sums, loops, devices) == (1, 1, 8)  # gradients are summed in the loop over updates, not in that over time
    assert len(losses(tmp_path / "many")) == 4
    np.testing.assert_allclose(losses(tmp_path / "many"), losses(tmp_path / "one"), rtol=2e-4)


def test_explicit_axes():
    """Where a mesh's axes are part of the types, as they are by default: every memory's values and gradients have a type."""
    assert run_script(EXPLICIT) == list(diffmem.names())


def test_gradients_of_parts_are_those_of_the_batch():
    assert run_script(PARTS) == ["None", "1", "3", "6"] * 3


def test_questions_stay_with_their_graph():
    printed = " ".join(run_script(SHARED))
    assert printed == "--mesh 'data=2': batch / questions is 3, which does not divide by data=2"


def test_a_batch_that_does_not_fit_its_parts():
    devices = jax.make_mesh((1,), ("data",))
    with pytest.raises(ValueError, match="axis is 'rows'; legal: 'data', the axes of the mesh"):
        batch_grad(None, devices, axis="rows")
    with pytest.raises(ValueError, match="at_a_time is 0; legal: an integer >= 1, or None"):
        batch_grad(None, at_a_time=0)
    with pytest.raises(ValueError, match="has 8 sequences, which do not divide by 1 devices of 3 sequences at a time each"):
        batch_grad(None, devices, at_a_time=3)({}, np.ones((8, 2)))


def launch(out, steps, process, port, **more):
    """One of the two processes of a run."""
    env = environment(JAX_COORDINATOR_ADDRESS=f"127.0.0.1:{port}", JAX_NUM_PROCESSES="2", JAX_PROCESS_ID=str(process), **more)
    options = ["--steps", str(steps), "--out", str(out), "--distributed", "--mesh", "data=2"]
    command = [sys.executable, "-m", "experiments.train", *TINY, *options]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run_both(out, steps):
    port = free_port()
    both = [launch(out, steps, i, port) for i in (0, 1)]
    printed = [one.communicate(timeout=300)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0], printed
    return printed


def alone(out, steps):
    command = [sys.executable, "-m", "experiments.train", *TINY, "--steps", str(steps), "--out", str(out), "--no-evaluate"]
    subprocess.run(command, check=True, capture_output=True, env=environment())
    return losses(out)


def test_two_processes(tmp_path):
    printed = run_both(tmp_path / "two", 3)
    assert "experiments.evaluate" in printed[0]
    np.testing.assert_allclose(losses(tmp_path / "two"), alone(tmp_path / "one", 3), rtol=2e-4)


@pytest.mark.slow
def test_a_killed_process_ends_the_other_and_both_resume(tmp_path):
    out, port = tmp_path / "two", free_port()
    both = [launch(out, 400, i, port, JAX_HEARTBEAT_SECONDS="10") for i in (0, 1)]
    deadline = time.time() + 200
    while time.time() < deadline and not ((out / "metrics.jsonl").exists() and len(losses(out)) > 3):
        time.sleep(0.2)
    both[1].send_signal(signal.SIGKILL)
    printed = both[0].communicate(timeout=120)[0]
    assert both[0].returncode != 0
    assert printed.strip()
    run_both(out, 400)
    found = losses(out)
    assert len(found) == 400
    np.testing.assert_allclose(found[:6], alone(tmp_path / "one", 400)[:6], rtol=2e-4)


@pytest.mark.parametrize(
    ("text", "message"),
    [("data", "legal: axis=devices"), ("rows=2", "seeds, data, slots"), ("data=2,data=2", "legal"), ("data=0", "legal")],
)
def test_what_is_no_mesh(text, message):
    with pytest.raises(ValueError, match=message):
        mesh.read(text)


def test_a_mesh_that_does_not_fit():
    config = load("ntm_copy")
    with pytest.raises(ValueError, match="needs 64 devices; there are"):
        mesh.build("data=64", config.seeds, config.batch)
    one = jax.make_mesh((1,), ("slots",), axis_types=(jax.sharding.AxisType.Auto,))
    with pytest.raises(ValueError, match="GRU, which has no slots"):
        SlotSharded(diffmem.GRU(3, 5), one)
    with pytest.raises(ValueError, match="axis is 'rows'"):
        SlotSharded(diffmem.NTM(3), one, axis="rows")


def test_some_variables_missing(monkeypatch):
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ValueError, match="JAX_NUM_PROCESSES, JAX_PROCESS_ID not set"):
        mesh.join_hosts()
