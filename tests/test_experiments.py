"""The launchers: resuming, damaged checkpoints, refused folders, divergence, evaluation, command lines."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffmem
from diffmem import layers
from diffmem.models import SequenceModel
from diffmem.tasks import Copy, ShortestPath, Traversal, sample_lengths
from diffmem.tasks.babi import Vocabulary
from experiments import config as configs
from experiments import evaluate, pictures, runs, train
from experiments.checkpoint import Checkpoints, WrongSizes, load_weights, save_weights
from experiments.runtime import launch
from experiments.stories import evaluation as stories_evaluation

ROOT = Path(__file__).parents[1]
TINY = ["--task.max-length", "3", "--task.lengths", "1", "3", "--depth", "1", "--memory.hidden-size", "7", "--steps", "30"]
TINY += ["--log-every", "5", "--checkpoint-every", "10", "--seeds", "2", "--batch", "3"]
TINY += ["--curriculum", "15"]  # as the loss of both seeds falls below, lengths come one by one


@pytest.fixture(scope="module")
def tiny():
    """A run of a few seconds: LSTM on copies of up to 3 vectors, two seeds."""
    return train.parse(["lstm_copy", *TINY])[1].run


def same(a, b) -> bool:
    unwrap = lambda x: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x  # noqa: E731
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(np.asarray(unwrap(x)), np.asarray(unwrap(y))) for x, y in pairs)


@pytest.fixture(scope="module")
def uninterrupted(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, train.train("lstm_copy", tiny, folder, progress=False)


def losses(folder: Path) -> list:
    return [(line["step"], line["loss"], line["lesson"]) for line in runs.read_lines(folder / "metrics.jsonl")]


def test_curriculum_goes_on_where_the_loss_of_every_seed_is_low(tiny, uninterrupted):
    lines = losses(uninterrupted[0])
    assert lines[0][2] == 1
    assert lines[-1][2] == 3
    for (_, loss, lesson), (_, _, following) in pairwise(lines):
        assert following == min(lesson + (max(loss) < tiny.curriculum), 3)
    assert {following - lesson for (_, _, lesson), (_, _, following) in pairwise(lines)} == {0, 1}


def test_interrupted_run_ends_bit_identical(tiny, uninterrupted, tmp_path, monkeypatch):
    """Stopped between two checkpoints: what was logged after the last one is run and logged again, once."""

    class Stop(Exception):
        pass

    real = train.make_chunk

    def stopping(*laid):
        chunk, calls = real(*laid), []

        def run(state, steps):
            calls.append(1)
            if len(calls) == 4:
                raise Stop
            return chunk(state, steps)

        return run

    monkeypatch.setattr(train, "make_chunk", stopping)
    with pytest.raises(Stop):
        train.train("lstm_copy", tiny, tmp_path / "run", progress=False)
    assert losses(tmp_path / "run")[-1][0] == 15
    monkeypatch.undo()
    resumed = train.train("lstm_copy", tiny, tmp_path / "run", progress=False)
    assert same(resumed, uninterrupted[1])
    assert losses(tmp_path / "run") == losses(uninterrupted[0])


def test_kill_9_resumes_bit_identical(tmp_path):
    """The same across processes: killed without warning once a checkpoint exists, and started again."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUMPY_DTYPE_PROMOTION": "standard"}

    def start(folder):
        command = [sys.executable, "-m", "experiments.train", "lstm_copy", *TINY, "--no-evaluate", "--out", str(folder)]
        return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)

    whole, killed = start(tmp_path / "whole"), start(tmp_path / "killed")
    deadline = time.time() + 240
    while not (tmp_path / "killed" / "checkpoints" / "10").exists() and time.time() < deadline and killed.poll() is None:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed" / "checkpoints" / "30").exists(), "the run was over before it could be killed"
    assert start(tmp_path / "killed").wait(timeout=240) == 0
    assert whole.wait(timeout=240) == 0
    assert same(runs.find(str(tmp_path / "killed"))[2], runs.find(str(tmp_path / "whole"))[2])
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")


def test_finished_run_is_left_alone(tiny, uninterrupted):
    before = (uninterrupted[0] / "metrics.jsonl").read_text()
    again = train.train("lstm_copy", tiny, uninterrupted[0], progress=False)
    assert same(again, uninterrupted[1])
    assert (uninterrupted[0] / "metrics.jsonl").read_text() == before


def test_damaged_checkpoint_falls_back_and_says_so(tiny, uninterrupted, tmp_path, capsys):
    shutil.copytree(uninterrupted[0], tmp_path / "run")
    for path in (tmp_path / "run" / "checkpoints" / "30").rglob("*"):
        if path.is_file() and path.parent.name == "d":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    resumed = train.train("lstm_copy", tiny, tmp_path / "run", progress=False)
    message = capsys.readouterr().err
    assert "checkpoints/30 is damaged" in message
    assert "trying the one before" in message
    assert same(resumed, uninterrupted[1])
    with Checkpoints(tmp_path / "run" / "checkpoints") as checkpoints:
        assert checkpoints.steps()[-1] == 30  # written anew


def test_without_a_readable_checkpoint(tiny, uninterrupted, tmp_path, capsys):
    """Nothing to evaluate, and nothing to go on with: what is there is left alone."""
    shutil.copytree(uninterrupted[0], tmp_path / "run")
    for path in (tmp_path / "run" / "checkpoints").rglob("*"):
        if path.is_file() and path.parent.name == "d":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="run' has checkpoints, but none is readable"):
        runs.find(str(tmp_path / "run"))
    assert capsys.readouterr().err.count("trying the one before") == 2  # of three
    with pytest.raises(ValueError, match="checkpoints/20 is damaged"):
        runs.find(str(tmp_path / "run" / "checkpoints" / "20"))
    with pytest.raises(ValueError, match="run/checkpoints can be read; to start from scratch, remove the run's folder"):
        train.train("lstm_copy", tiny, tmp_path / "run", progress=False)
    assert (tmp_path / "run" / "checkpoints" / "30").exists()
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    with pytest.raises(ValueError, match="run' has no checkpoint yet"):
        runs.find(str(tmp_path / "run"))


@pytest.mark.parametrize("text", ["{", "[]", '{"name": "ntm_copy"}'])
def test_a_damaged_config_is_named(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json is damaged: "):
        evaluate.main([str(tmp_path)])


def test_a_folder_without_a_run_does_not_hide_committed_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("ntm_copy", "babi_memn2n"):
        Path(name).mkdir()
    assert runs.find("ntm_copy")[3] == "committed weights ntm_copy.npz"
    assert stories_evaluation.find("babi_memn2n")[3] == "committed weights babi_memn2n.npz"


def test_checkpoint_of_other_sizes(tiny, uninterrupted):
    other = dataclasses.replace(tiny, memory=dataclasses.replace(tiny.memory, hidden_size=8))
    with (
        Checkpoints(uninterrupted[0] / "checkpoints") as checkpoints,
        pytest.raises(WrongSizes, match=r"holds \(2, 7.* for params\..*this configuration needs \(2, 8"),
    ):
        checkpoints.restore_newest(train.initial_state(other))


def test_folder_of_another_run(tiny, uninterrupted, tmp_path):
    other = dataclasses.replace(tiny, batch=5)
    with pytest.raises(ValueError, match=r"holds another run, which differs in config.batch \(3 there, 5 here\)"):
        train.train("lstm_copy", other, uninterrupted[0], progress=False)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty and holds no run"):
        train.train("lstm_copy", tiny, tmp_path, progress=False)


def test_a_run_from_before_a_field_existed_goes_on(tiny, tmp_path):
    """What config.json does not name has its default; anything else than the default is another run."""
    runs.claim(tmp_path / "run", "lstm_copy", tiny)
    path = tmp_path / "run" / "config.json"
    stored = json.loads(path.read_text())
    del stored["config"]["write_cost"], stored["config"]["memory"]["learned_state"]
    path.write_text(json.dumps(stored))
    runs.claim(tmp_path / "run", "lstm_copy", tiny)
    learned = dataclasses.replace(tiny, memory=dataclasses.replace(tiny.memory, learned_state=True))
    with pytest.raises(ValueError, match=r"differs in config.memory.learned_state \(False there, True here\)"):
        runs.claim(tmp_path / "run", "lstm_copy", learned)


@pytest.fixture
def warm(tiny, uninterrupted):
    """A run that begins with the parameters of another, and changes them by next to nothing."""
    optimizer = dataclasses.replace(tiny.optimizer, name="sgd", learning_rate=1e-30)
    return dataclasses.replace(tiny, start_from=str(uninterrupted[0]), optimizer=optimizer, seed=7)


def test_a_run_starts_from_another_ones_parameters_and_then_needs_it_no_more(warm, uninterrupted, tmp_path):
    shutil.copytree(uninterrupted[0], tmp_path / "other")
    warm, folder = dataclasses.replace(warm, start_from=str(tmp_path / "other")), tmp_path / "run"
    state = train.train("lstm_copy", warm, folder, progress=False)
    assert same(state.params, uninterrupted[1].params)
    assert losses(folder)[-1][1] != losses(uninterrupted[0])[-1][1]  # on other sequences
    shutil.rmtree(folder / "checkpoints")  # stopped before the first one
    assert same(train.train("lstm_copy", warm, folder, progress=False), state)
    shutil.rmtree(tmp_path / "other")
    shutil.rmtree(folder / "checkpoints" / "30")
    assert same(train.train("lstm_copy", warm, folder, progress=False), state)
    assert same(runs.find(str(folder))[2], state.params)


def test_what_a_run_cannot_start_from_is_refused_before_the_folder_is_claimed(warm, uninterrupted, tmp_path):
    def refused(message, **changes):
        with pytest.raises(ValueError, match=message):
            train.train("lstm_copy", dataclasses.replace(warm, **changes), tmp_path / "run", progress=False)
        assert not (tmp_path / "run").exists()

    refused("'ntm_cpy' is no run: .* did you mean 'ntm_copy'", start_from="ntm_cpy")
    refused("Config.seeds is 3, but .* holds 2", seeds=3)
    larger = dataclasses.replace(warm.memory, hidden_size=8)
    refused(r"holds \(2, .*7.*\) for .*, but this configuration needs \(2, .*8.*\)", memory=larger)
    refused("holds the parameters of another model: .* is in one only", hidden=(4,))


def test_an_unknown_log_is_refused_before_the_folder_is_claimed(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFMEM_LOG", "wandbb")
    with pytest.raises(ValueError, match="DIFFMEM_LOG names 'wandbb'; legal: 'tensorboard', 'wandb'"):
        train.train("lstm_copy", tiny, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore:overflow")  # of the learning rate, which is infinite in float32
def test_divergence_names_step_and_leaf_and_keeps_the_last_checkpoint(tiny, tmp_path):
    huge = dataclasses.replace(tiny, optimizer=dataclasses.replace(tiny.optimizer, name="adam", learning_rate=1e39, warmup=0))
    message = r"non-finite loss at step 2, seed 0: the first bad leaf is the parameter .*, in step 1"
    # Optax's Adam mixes integers and floats, which the tests' strict promotion forbids.
    with jax.numpy_dtype_promotion("standard"), pytest.raises(train.Diverged, match=message):
        train.train("lstm_copy", huge, tmp_path / "run", progress=False)


def test_evaluation_of_a_run_and_of_one_checkpoint(uninterrupted, tmp_path):
    out = tmp_path / "result.json"
    arguments = [str(uninterrupted[0]), "--lengths", "1-3", "3", "6", "--sequences", "10", "--json", str(out)]
    result = evaluate.main([*arguments, "--pictures", str(tmp_path / "pictures")])
    stored = json.loads(out.read_text())
    assert stored == json.loads(json.dumps(result))
    assert set(stored["wrong_bits_per_sequence"]) == {"1-3", "3", "6"}
    assert [seed["seed"] for seed in stored["seeds"]] == [0, 1]
    for length in ("1-3", "3", "6"):
        values = [seed["wrong_bits_per_sequence"][length] for seed in stored["seeds"]]
        assert stored["wrong_bits_per_sequence"][length] == np.median(values)
    assert stored["scored_bits_per_sequence"]["6"] == 48
    assert 0 < stored["wrong_bits_per_sequence"]["6"] < 48
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {"generalisation.png", "learning.png"}
    earlier = evaluate.main([str(uninterrupted[0] / "checkpoints" / "10"), "--lengths", "3", "--sequences", "10"])
    assert earlier["bits_per_sequence"]["3"] != stored["bits_per_sequence"]["3"]


def test_evaluation_agrees_with_a_plain_loop(tiny, uninterrupted):
    """The chunked, vmapped evaluation against one sequence at a time, counted by hand."""
    params = uninterrupted[1].params
    result = evaluate.evaluate(tiny, params, ("3",), sequences=4, seed=5)
    task, model = tiny.task, tiny.model()
    _, sample_key = jax.random.split(jax.random.fold_in(jax.random.key(5), 3))
    batch = task.sample(jax.random.split(sample_key, 1)[0], 4, 3)
    for seed in range(2):
        one = jax.tree.map(lambda a, seed=seed: a[seed], params)
        wrong = 0
        for i in range(4):
            logits = np.asarray(model(one, batch.inputs[i])[1])
            wrong += ((logits > 0) != np.asarray(batch.targets[i] > 0))[np.asarray(batch.mask[i])].sum()
        assert result["seeds"][seed]["wrong_bits_per_sequence"]["3"] == pytest.approx(wrong / 4)


def test_weights_survive_a_round_trip(uninterrupted, tmp_path):
    save_weights(tmp_path / "w.npz", uninterrupted[1].params, {"name": "lstm_copy"})
    params, meta = load_weights(tmp_path / "w.npz")
    assert meta == {"name": "lstm_copy"}
    assert same(params, uninterrupted[1].params)
    assert jax.tree.structure(params) == jax.tree.structure(uninterrupted[1].params)


def test_slots_can_change_after_training():
    config = configs.load("ntm_copy")
    config = dataclasses.replace(config, memory=diffmem.NTM(input_size=6, slots=11, width=3))
    params = jax.vmap(config.model().init_params)(jax.random.split(jax.random.key(0), 1))
    larger = evaluate.evaluate(evaluate.resized(config, 23), params, ("3",), sequences=2)
    assert np.isfinite(larger["bits_per_sequence"]["3"])
    with pytest.raises(ValueError, match="LSTM has no slots"):
        evaluate.resized(configs.load("lstm_copy"), 23)


def test_bypass_dropout_drops_the_controllers_output_only():
    memory = diffmem.control(diffmem.Hebbian(input_size=50, key_size=2, value_size=3), 4)
    model = SequenceModel(memory, 2, bypass_dropout=0.5)
    params, xs = model.init_params(jax.random.key(0)), jax.random.normal(jax.random.key(1), (40, 4))
    values = model(params, xs)[2].value
    identity = {**params, "output": {"kernel": jnp.eye(53), "bias": jnp.zeros(53)}}
    np.testing.assert_array_equal(model(identity, xs)[1], values)  # without a key, as in evaluation
    dropped = model(identity, xs, key=jax.random.key(2))[1]
    np.testing.assert_array_equal(dropped[:, 50:], values[:, 50:])
    kept = np.asarray(dropped[:, :50] != 0)
    np.testing.assert_allclose(dropped[:, :50][kept], 2 * values[:, :50][kept], rtol=1e-6)
    assert 0.45 < kept.mean() < 0.55
    small = {"memory": diffmem.GRU(7, 3), "task": Copy(max_length=2), "batch": 2}
    config = dataclasses.replace(configs.load("dnc_copy"), bypass_dropout=0.3, **small)
    one = train.initial_state(dataclasses.replace(config, steps=1))
    first = jax.tree.map(lambda a: a[0], (one.params, one.optimizer, one.key))
    losses = [jax.jit(train.make_update(dataclasses.replace(config, bypass_dropout=p)))(*first, None)[2] for p in (0.3, 0.0)]
    assert losses[0] != losses[1]


def test_questions_on_one_graph_have_the_loss_and_the_gradient_of_whole_sequences():
    memory = diffmem.DNC(input_size=6, slots=12, width=5, read_heads=2)
    config = dataclasses.replace(configs.load("dnc_traversal"), memory=memory, hidden=(), batch=6, questions=2)
    task, model = config.task, config.model()
    params, key = model.init_params(jax.random.key(0)), jax.random.key(1)
    _, _, value, gradients = jax.jit(train.make_update(config))(params, config.optimizer.build(1).init(params), key, None)
    length_key, sample_key = jax.random.split(key)
    context, batch = task.sample_shared(sample_key, 3, 2, sample_lengths(task, length_key, 3))
    shown, starts = (np.repeat(np.asarray(array), 2, axis=0) for array in context)
    begun = starts.argmax(1)
    assert len(np.unique(begun)) > 1

    @jax.jit
    @jax.value_and_grad
    def by_hand(params):
        whole = [jnp.concatenate([c[begin:], xs]) for c, begin, xs in zip(shown, begun, batch.inputs, strict=True)]
        return task.loss(jnp.stack([model(params, xs)[1][-batch.inputs.shape[1] :] for xs in whole]), batch)

    total, want = by_hand(params)
    np.testing.assert_allclose(value, total, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), gradients, want)


def small_guided():
    """One whose slots are too few, so that some descriptions are partly written over."""
    memory = diffmem.DNC(input_size=6, slots=9, width=5, read_heads=6, write_heads=2)
    config = dataclasses.replace(configs.load("dnc_shortest_path_supervised"), memory=memory, hidden=(), batch=6, questions=2)
    return dataclasses.replace(config, task=ShortestPath(max_length=3, planning=4), supervision=0.5)


def test_supervision_is_the_cross_entropy_between_what_is_read_and_what_should_be():
    """It knows where edges are by where they were written. The gradient is that of both losses; the task's alone is logged."""
    config = small_guided()
    task, model = config.task, config.model()
    params, key = model.init_params(jax.random.key(0)), jax.random.key(1)
    _, _, value, gradients = jax.jit(train.make_update(config))(params, config.optimizer.build(1).init(params), key, None)
    length_key, sample_key = jax.random.split(key)
    drawn = (sample_key, 3, 2, sample_lengths(task, length_key, 3))
    context, batch = task.sample_shared(*drawn)
    guide = np.asarray(task.guide(*drawn))

    @jax.vmap
    def follow(params, shown, starts, inputs):
        """Where the steps of a description wrote; logits and where heads read in the steps that follow."""
        fresh = model.memory.init_state(params["memory"])

        def step(state, x_begins):
            x, begins = x_begins
            state = jax.tree.map(partial(jnp.where, begins), fresh, state)
            state, readout = model.memory.step(params["memory"], state, x)
            return state, (state.memory.write_weights.sum(0), layers.mlp(params, readout.value), readout.weights)

        xs, begins = jnp.concatenate([shown, inputs]), jnp.pad(starts, (0, len(inputs)))
        written, logits, read = jax.lax.scan(step, fresh, (xs, begins))[1]
        return written[: len(shown)], logits[len(shown) :], read[len(shown) :]

    def whole(params):
        copies = jax.tree.map(lambda a: jnp.stack([a] * 6), params)
        return follow(copies, *jax.tree.map(lambda a: jnp.repeat(a, 2, 0), context), batch.inputs)

    written = np.asarray(jax.jit(whole)(params)[0])
    held = np.zeros(written.shape)  # by each step; a slot holds the edge that wrote most to it
    for i, slot in np.ndindex(6, 9):
        begin = int(np.asarray(context.starts[i // 2]).argmax())
        step = begin + written[i, begin:, slot].argmax()
        held[i, step, slot] = written[i, step, slot]
    held /= np.maximum(held.sum(-1, keepdims=True), 1e-7)

    def by_hand(params):
        guided, (_, logits, read) = 0.0, whole(params)
        for at, t in enumerate(task.guided_steps):
            for head in range(5):
                nats = []
                for i in np.nonzero(guide[:, at, head].any(-1))[0]:
                    slots = held[i][guide[i, at, head]].sum(0)
                    if slots.any():
                        nats.append(-jnp.sum(slots / slots.sum() * jnp.log(read[i, t, head] + 1e-7)))
                guided += sum(nats) / max(len(nats), 1)
        task_loss = task.loss(logits, batch)
        return task_loss + 0.5 * guided, task_loss

    (total, alone), want = jax.jit(jax.value_and_grad(by_hand, has_aux=True))(params)
    np.testing.assert_allclose(value, alone, rtol=1e-5)
    assert total > alone + 1
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), gradients, want)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"supervision": -1.0}, r"Config.supervision is -1.0; it must be a number >= 0"),
        ({"write_cost": 0.1}, r"Config.supervision is 0.5, but Config.write_cost is 0.1; legal: one of them"),
        ({"questions": 1}, r"Config.supervision is 0.5, but Config.questions is 1; legal: several"),
        ({"task": Traversal()}, r"Config.supervision is 0.5; legal: 0, as Traversal does not say what to read"),
        ({"task": ShortestPath(planning=3)}, r"Config.supervision is 0.5, but ShortestPath.planning is 3; legal: at least 4"),
        (
            {"memory": diffmem.DNC(6, read_heads=4)},
            r"Config.supervision is 0.5; legal: 0, or a DNC .* with at least 5 read heads",
        ),
        ({"memory": diffmem.SDNC(6, heads=5)}, r"legal: 0, or a DNC behind a controller.*not SDNC"),
        ({"controller": "none", "skip": False}, r"legal: 0, or a DNC behind a controller.* behind 'none'"),
        ({"controller": "none"}, r"Config.skip is True, but there is nothing to go past"),
    ],
)
def test_supervision_that_is_illegal_is_named(changes, message):
    config = small_guided()
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(config, **changes)


def test_questions_that_are_illegal_are_named():
    with pytest.raises(ValueError, match=r"Config.questions is 2; legal: 1, as Copy has no graphs"):
        dataclasses.replace(configs.load("dnc_copy"), questions=2)
    with pytest.raises(ValueError, match=r"Config.questions is 3, which does not divide the batch, 16"):
        dataclasses.replace(configs.load("dnc_traversal"), questions=3)
    with pytest.raises(ValueError, match=r"Config.questions is 0"):
        dataclasses.replace(configs.load("dnc_traversal"), questions=0)
    with pytest.raises(ValueError, match=r"Config.questions is 2; a SegmentTransformer has no use for it"):
        dataclasses.replace(configs.load("transformer_sorting"), task=Traversal(), questions=2)


def test_writing_costs_what_it_changes():
    """The gradient is that of the loss and of sum |M_t - M_{t-1}|, step by step; the task's loss alone is logged."""
    config, memory = configs.load("ntm_copy"), diffmem.NTM(input_size=6, slots=5, width=3)
    config = dataclasses.replace(config, task=Copy(max_length=1), memory=memory, write_cost=0.5)
    task, model = config.task, config.model()
    params, key = model.init_params(jax.random.key(0)), jax.random.key(1)
    _, _, value, gradients = jax.jit(train.make_update(config))(params, config.optimizer.build(1).init(params), key, None)
    length_key, sample_key = jax.random.split(key)
    batch = task.sample(sample_key, 2, sample_lengths(task, length_key, 2))

    @jax.jit
    @jax.value_and_grad
    def by_hand(params):
        cost = 0.0
        for xs in batch.inputs:
            state = model.memory.init_state(params["memory"])
            for x in xs:
                before, (state, _) = state.memory.slots, model.memory.step(params["memory"], state, x)
                cost += 0.5 * jnp.abs(state.memory.slots - before).sum() / 2
        return task.loss(jax.vmap(lambda xs: model(params, xs)[1])(batch.inputs), batch) + cost

    total, want = by_hand(params)
    assert total > value + 0.01
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), gradients, want)
    with pytest.raises(ValueError, match=r"Config.write_cost is 0.5; legal: 0, or one memory with slots, not LSTM"):
        dataclasses.replace(configs.load("lstm_copy"), write_cost=0.5)
    with pytest.raises(ValueError, match=r"Config.write_cost is -1; it must be a number >= 0"):
        dataclasses.replace(config, write_cost=-1)


def test_graphs_can_be_others_than_in_training():
    """Another lesson, and a map: answers are counted as a whole, and a lesson beyond those trained on has room."""
    config = configs.load("dnc_traversal")
    memory = diffmem.DNC(input_size=6, slots=7, width=3, read_heads=2)
    config = dataclasses.replace(config, memory=memory, task=Traversal(max_length=1))
    params = jax.vmap(config.model().init_params)(jax.random.split(jax.random.key(0), 2))
    result = evaluate.evaluate(config, params, ("2",), sequences=4)
    assert set(result["seeds"][0]) == {"seed", "error_percent", "digit_error_percent", "cross_entropy"}
    assert result["error_percent"] == {"2": 100}
    figure = pictures.schema(config, pictures.best_of(result, params))
    # Inputs, write, 2 reads, usage, 3 kinds of gates, 2 read modes, links.
    assert len(figure.axes) == 1 + 1 + 2 + 1 + 3 + 2 + 1
    skipping = dataclasses.replace(config, skip=True)
    figure = pictures.schema(skipping, skipping.model().init_params(jax.random.key(0)))
    assert len(figure.axes) == 1 + 1 + 2 + 1 + 3 + 2 + 1
    on_map = evaluate.on_graphs(config, "underground", 2)
    assert on_map.task.steps == 106 + 2 + 2
    with pytest.raises(ValueError, match=r"Traversal\.graph is 'paris'; legal: 'random', 'underground', 'family'"):
        evaluate.on_graphs(config, "paris")
    assert evaluate.on_graphs(config, None, edge_labels=7).task == Traversal(max_length=1, edge_labels=7)
    with pytest.raises(ValueError, match="--edge-labels 7: the edges of --graph underground have labels"):
        evaluate.on_graphs(config, "underground", edge_labels=7)
    for option, arguments in {"graph family": ("family",), "edge-labels 7": (None, None, 7)}.items():
        with pytest.raises(ValueError, match=f"--{option}: Copy has no graphs"):
            evaluate.on_graphs(configs.load("dnc_copy"), *arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: configs.load("ntm_cpoy"), "unknown config 'ntm_cpoy'; did you mean 'ntm_copy'"),
        (lambda: runs.find("nowhere"), "'nowhere' is no run"),
        (lambda: runs.find("ntm_copi"), "'ntm_copi' is no run: .*; did you mean 'ntm_copy'?"),
        (lambda: evaluate.length_range("20-"), "length '20-'; legal"),
        (lambda: evaluate.length_range("0"), "length '0'; legal"),
        (lambda: dataclasses.replace(configs.load("ntm_copy"), batch=0), "Config.batch is 0"),
        (lambda: configs.Optimizer("adma"), "Optimizer.name is 'adma'; legal: 'rmsprop', 'adam', 'sgd'"),
        (lambda: configs.Optimizer(learning_rate=-1), "Optimizer.learning_rate is -1; it must be a number > 0"),
        (lambda: configs.Optimizer(learning_rate=float("nan")), "Optimizer.learning_rate is nan"),
        (lambda: configs.Optimizer(momentum=1.0), "Optimizer.momentum is 1.0; it must be a number, 0 <= momentum < 1"),
        (lambda: configs.Optimizer(clip=0.0), "Optimizer.clip is 0.0; it must be a number > 0"),
        (lambda: configs.Optimizer(clip_norm=float("nan")), "Optimizer.clip_norm is nan; it must be a number > 0, or None"),
        (lambda: configs.Optimizer(warmup=-1), "Optimizer.warmup is -1; it must be an integer >= 0"),
        (lambda: configs.Optimizer(halvings=0.5), "Optimizer.halvings is 0.5; it must be an integer >= 0"),
        (lambda: configs.Optimizer(cooldown=1.5), "Optimizer.cooldown is 1.5; it must be a number from 0 to 1"),
        (lambda: dataclasses.replace(configs.load("ntm_copy"), clip=-1), "Config.clip is -1; it must be a number > 0, or None"),
        (lambda: dataclasses.replace(configs.load("ntm_copy"), remat=-1), "Config.remat is -1; it must be an integer >= 0"),
        (
            lambda: dataclasses.replace(configs.load("ntm_copy"), layer_norm=True, controller="gru"),
            "Config.layer_norm is True, but Config.controller is 'gru'; legal: 'lstm'",
        ),
        (lambda: dataclasses.replace(configs.load("ntm_copy"), lengths=("9-2",)), "length '9-2'; legal"),
        (lambda: dataclasses.replace(configs.load("ntm_copy"), hidden=(3, 0)), r"Config.hidden\[1\] is 0; it must be"),
        (lambda: dataclasses.replace(configs.load("memoria_sorting"), bypass_dropout=0.1), "bypass_dropout is 0.1; a Segment"),
        (lambda: dataclasses.replace(configs.load("memoria_sorting"), layer_norm=True), "layer_norm is True; a Segment"),
        (lambda: evaluate.evaluate(configs.load("ntm_copy"), {}, sequences=0), "--sequences is 0; legal: an integer >= 1"),
        (lambda: evaluate.evaluate(configs.load("ntm_copy"), {}, sequences=-5), "--sequences is -5; legal"),
        (lambda: dataclasses.replace(configs.load("ntm_copy"), checkpoint_every=33), "multiple of log_every"),
        (lambda: configs.from_json("ntm_copy", {"batchs": 3}), "has the field 'batchs'; did you mean 'batch'"),
    ],
)
def test_messages(call, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace("?", r"\?")):
        call()


@pytest.mark.parametrize("name", configs.known())
def test_every_config_states_its_command_and_survives_json(name):
    config = configs.load(name)
    text = sys.modules[f"experiments.configs.{name}"].__doc__
    assert f"python -m experiments.train {name}" in text
    assert "Expected:" in text
    assert configs.from_json(name, json.loads(json.dumps(config.to_json()))) == config
    story = not isinstance(config, configs.Config)
    model = config.model(Vocabulary(("", "?", "yes", "no"), (2, 3), 1)) if story else config.model()
    shapes = jax.eval_shape(model.init_params, jax.random.key(0))
    assert jax.tree.leaves(shapes)


@pytest.mark.parametrize(
    ("launcher", "arguments", "message"),
    [
        (train, ["babi_memn2n", "--data-dir", "nowhere", "--out", "run"], "data_dir is 'nowhere', where there is nothing"),
        (train, ["babi_memn2n", "--data-dir", "partial", "--tasks", "1", "--out", "run"], "has no valid split of en-valid"),
        (train, ["lstm_shakespeare", "--task.path", "nowhere", "--out", "run"], "no data set 'tinyshakespeare': path leads"),
        (train, ["lstm_copy", "--out", "file"], "Not a directory: 'file'"),
        (train, ["lstm_copy", "--out", "/proc/nope"], "/proc/nope"),
        (evaluate, ["babi_memn2n", "--data-dir", "nowhere"], "data_dir is 'nowhere', where there is nothing"),
        (evaluate, ["babi_memn2n", "--data-dir", "partial"], r"no files qa<task>_..._test.txt in 'partial'"),
        (evaluate, ["babi_memn2n", "--data-dir", "partial", "--split", "tset"], "--split is 'tset'; legal: train, valid, test"),
        (evaluate, ["ntm_copy", "--json", "partial"], "Is a directory: 'partial'"),
        (evaluate, ["babi_memn2n", "--json", "file/found.json"], "file"),
    ],
)
def test_what_a_user_can_mend_ends_in_one_line(launcher, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    Path("partial").mkdir()
    Path("partial/qa1_train.txt").write_text("1 Mary went.\n2 Where is Mary?\tgarden\t1\n")
    monkeypatch.setattr(evaluate, "evaluate", None)  # the complaint comes before any work
    monkeypatch.setattr(train, "use_cpu_cores", lambda parts: None)  # JAX runs already
    monkeypatch.setattr(sys, "argv", ["launcher", *arguments])
    with pytest.raises(SystemExit, match=f"^error: .*{message}"):
        launch(launcher.main)
    assert not Path("run").exists()


def test_unknown_option_suggests_the_nearest():
    command = [sys.executable, "-m", "experiments.train", "ntm_copy", "--memory.slot", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "--memory.slots" in done.stdout + done.stderr
