"""Training and evaluating on stories: exact resume, errors by task, what the losses teach, and messages."""

import dataclasses
import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from diffmem import DMN, DNC, LSTM, NTM, DMNPlus, MemN2N, MemNN, control, unroll
from diffmem.models import Stream, Trace, recall, written
from diffmem.tasks.babi import Question, Story, Vocabulary, buckets, examples, file_name, format, stream_buckets, streams
from diffmem.tasks.babi.generate import generate
from diffmem.tasks.babi.text import count_questions
from experiments import evaluate, log, runs, stories, train
from experiments.checkpoint import rounded
from experiments.config import Optimizer
from experiments.runtime import Diverged
from experiments.stories import StoryConfig, evaluation, losses, publishing
from experiments.stories.data import StreamBatch, on_device, tables, told
from experiments.stories.training import stage, steps_per_epoch
from tests.oracles import memnn
from tests.test_experiments import same
from tests.test_mesh import losses as logged
from tests.test_mesh import run_script

SMALL = StoryConfig(
    MemN2N(2, slots=12, width=8, hops=2),
    tasks=(1,),
    setting="1k",
    epochs=4,
    checkpoint_every=2,
    buckets=(12,),
    noise=0.1,
    linear_start=1,
    optimizer=Optimizer("adam", learning_rate=1e-2),
)


STORIES = """
    import jax
    jax.config.update("jax_num_cpu_devices", 2)
    from pathlib import Path
    from experiments import config, stories

    options = config.from_json("babi_memn2n", {config!r})
    folder = Path({folder!r})
    state = stories.train_part(options, stories.load(options), folder, label="", progress=False)
    print(*(len(leaf.sharding.device_set) for leaf in jax.tree.leaves(state.params)))
"""


@pytest.fixture(scope="module")
def babi(tmp_path_factory):
    """A small copy of bAbI: tasks 1 and 15 of our own generator, train, valid and test."""
    folder = tmp_path_factory.mktemp("babi")
    for i, split in enumerate(("train", "valid", "test")):
        for task in (1, 15):
            path = folder / ("en-valid" if split != "test" else "en") / file_name(task, split)
            path.parent.mkdir(exist_ok=True)
            path.write_text("\n".join(format(generate(task, 60, seed=i))) + "\n")
    return folder


@pytest.fixture
def copy(babi, monkeypatch):
    monkeypatch.setenv("DIFFMEM_BABI", str(babi))
    stories.data.stories.cache_clear()
    yield babi
    stories.data.stories.cache_clear()


def params_of(folder, part="joint"):
    return evaluation.find(str(folder))[2][part].params


def test_an_interrupted_run_ends_bit_identical(copy, tmp_path, monkeypatch):
    stories.train("babi_memn2n", SMALL, tmp_path / "whole", progress=False)
    save, seen = stories.training.Checkpoints.save, []

    def dies(self, step, state):
        save(self, step, state)
        seen.append(step)
        raise KeyboardInterrupt

    monkeypatch.setattr(stories.training.Checkpoints, "save", dies)
    with pytest.raises(KeyboardInterrupt):
        stories.train("babi_memn2n", SMALL, tmp_path / "cut", progress=False)
    monkeypatch.undo()
    monkeypatch.setenv("DIFFMEM_BABI", str(copy))
    assert seen == [2]
    stories.train("babi_memn2n", SMALL, tmp_path / "cut", progress=False)
    jax.tree.map(np.testing.assert_array_equal, params_of(tmp_path / "whole"), params_of(tmp_path / "cut"))
    steps = [json.loads(line)["step"] for line in (tmp_path / "cut" / "joint" / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4]


def test_a_run_starts_from_another_ones_parameters(copy, tmp_path):
    first = dataclasses.replace(SMALL, joint=False, tasks=(1, 15), epochs=1)
    stories.train("babi_memn2n", first, tmp_path / "first", progress=False)
    optimizer = Optimizer("sgd", learning_rate=1e-30)
    warm = dataclasses.replace(first, start_from=str(tmp_path / "first"), optimizer=optimizer)
    stories.train("babi_memn2n", warm, tmp_path / "warm", progress=False)
    find = lambda name: {part: kept.params for part, kept in evaluation.find(str(tmp_path / name))[2].items()}  # noqa: E731
    assert same(find("warm"), find("first"))

    def refused(message, **changes):
        with pytest.raises(ValueError, match=message):
            stories.train("babi_memn2n", dataclasses.replace(warm, **changes), tmp_path / "run", progress=False)
        assert not (tmp_path / "run").exists()

    refused("'nowhere' is no run", start_from="nowhere")
    refused("has no model joint; it has: qa1, qa15", joint=True)
    refused("StoryConfig.seeds is 2, but .* holds 1", seeds=2)
    one = dataclasses.replace(SMALL, epochs=1)
    stories.train("babi_memn2n", one, tmp_path / "one", progress=False)
    refused("one.* was trained on stories with other words", start_from=str(tmp_path / "one"), joint=True)


def test_each_seed_has_a_device_of_its_own(copy, tmp_path):
    config = dataclasses.replace(SMALL, seeds=2, epochs=2, checkpoint_every=1)
    stories.train_part(config, stories.load(config), tmp_path / "one", label="", progress=False)
    printed = run_script(STORIES.format(config=config.to_json(), folder=str(tmp_path / "two")))
    assert set(printed) == {"2"}
    np.testing.assert_allclose(logged(tmp_path / "two"), logged(tmp_path / "one"), rtol=2e-4)


def test_one_model_a_task_and_evaluation_of_a_folder(copy, tmp_path, capsys):
    config = dataclasses.replace(
        SMALL,
        **{"tasks": (1, 15), "joint": False, "epochs": 2, "restarted": (15, 15), "checkpoint_every": 1},
        task_options=("15:tying=layerwise", "15:width=6"),
    )
    stories.train("babi_memn2n", config, tmp_path / "run", progress=False)
    result = evaluate.main([str(tmp_path / "run"), "--data-dir", str(copy / "en"), "--json", str(tmp_path / "found.json")])
    assert json.loads((tmp_path / "found.json").read_text())["error_percent"] == result["error_percent"]
    assert set(result["error_percent"]) == {"1", "15"}
    assert result["questions"] == {"1": 60, "15": 60}
    for part, task, seeds in (("qa1", "1", 1), ("qa15", "15", 3)):
        assert len(result["seeds"][part]) == seeds
        chosen = result["chosen"][part] - config.seed
        assert result["seeds"][part][chosen][task] == result["error_percent"][task]
    memories = {name: part.config.memory for name, part in evaluation.find(str(tmp_path / "run"))[2].items()}
    assert memories["qa1"] == SMALL.memory
    assert memories["qa15"] == dataclasses.replace(SMALL.memory, tying="layerwise", width=6)
    for step in (1, 2):
        one = tmp_path / "run" / "qa15" / "checkpoints" / str(step)
        found = evaluate.main([str(one), "--data-dir", str(copy / "en")])
        assert found["seeds"]["qa15"] == result["seeds"]["qa15"] or step < 2
        pairs = zip(*(jax.tree.leaves(params_of(place, "qa15")) for place in (one, tmp_path / "run")), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs) == (step == 2)
    with pytest.raises(ValueError, match="checkpoints has no checkpoint 7; stored: 1, 2"):
        evaluation.find(str(tmp_path / "run" / "qa15" / "checkpoints" / "7"))
    with (tmp_path / "run" / "qa1" / "metrics.jsonl").open("a") as log:
        log.write('{"step": 3, "lo')  # as a kill leaves it
    said = capsys.readouterr().out
    assert "single supporting fact" in said
    assert "mean of 2 tasks" in said
    odd = tmp_path / "odd"
    odd.mkdir()
    (odd / "qa1_test.txt").write_text("1 Zork went to the garden.\n2 Where is Zork?\tgarden\t1\n")
    evaluate.main([str(tmp_path / "run"), "--data-dir", str(odd)])
    assert capsys.readouterr().err == "note: task 1: 1 word(s) that the model does not know, read as unknown: zork\n"
    with pytest.raises(ValueError, match="task 2: trained on"):
        evaluate.main([str(tmp_path / "run"), "--data-dir", str(copy / "en"), "--tasks", "2"])


def test_divergence_names_epoch_step_and_leaf(copy, tmp_path):
    huge = dataclasses.replace(SMALL, optimizer=Optimizer("sgd", learning_rate=1e30, clip=math.inf), seed=3)
    message = r"joint: non-finite loss in epoch 1, seeds \[3\]: the first bad leaf is the (gradient|parameter) memory\.\w+, in "
    with pytest.raises(Diverged, match=message + r"step [12]; there is no checkpoint yet"):
        stories.train("babi_memn2n", huge, tmp_path / "run", progress=False)


def test_metrics_are_copied_to_a_log(copy, tmp_path, monkeypatch):
    copied = []
    monkeypatch.setattr(log, "KNOWN", {"fake": lambda folder, stack: lambda values, step: copied.append((step, values))})
    monkeypatch.setenv("DIFFMEM_LOG", "fake")
    stories.train("babi_memn2n", dataclasses.replace(SMALL, epochs=2, seeds=2), tmp_path / "run", progress=False)
    assert [step for step, _ in copied] == [1, 2]
    assert set(copied[1][1]) == {f"{name}/seed_{i}" for name in ("loss", "valid_error_percent") for i in range(2)}
    monkeypatch.setenv("DIFFMEM_LOG", "wandbb")
    with pytest.raises(ValueError, match="DIFFMEM_LOG names 'wandbb'"):
        stories.train("babi_memn2n", SMALL, tmp_path / "other", progress=False)
    assert not (tmp_path / "other").exists()


def test_the_launcher_takes_a_copy_of_babi_and_evaluates_on_it(babi, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "use_cpu_cores", lambda parts: None)  # JAX runs already
    options = ["--tasks", "1", "--epochs", "1", "--memory.slots", "12", "--memory.width", "8", "--memory.hops", "1"]
    train.main(["babi_memn2n", *options, "--data-dir", str(babi), "--out", str(tmp_path / "run")])
    result = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert (result["data"], result["questions"]) == (f"{babi}, valid", {"1": 60})


def test_without_a_copy_of_babi_stories_are_generated_and_results_say_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(stories.data.files, "find", lambda data_dir=None: None)
    stories.data.stories.cache_clear()
    config = dataclasses.replace(SMALL, tasks=(1, 15), joint=False, epochs=1)
    stories.train("babi_memn2n", config, tmp_path / "run", progress=False)
    assert capsys.readouterr().err.startswith("note: there is no copy of bAbI: training and validation questions are generated")
    result = evaluate.main([str(tmp_path / "run")])
    assert result["source"].endswith("run, trained on generated stories")
    assert result["data"] == "generated validation questions, as there is no copy of bAbI"
    assert result["questions"] == {"1": 100, "15": 100}
    told, valid = (stories.data.stories((1,), "10k", split)[1] for split in ("train", "valid"))
    assert (count_questions(told), count_questions(valid)) == (9000, 1000)
    assert told[:200] != valid
    with pytest.raises(ValueError, match="only results on bAbI are published"):
        publishing.main([str(tmp_path / "run")])
    stories.data.stories.cache_clear()


def test_runs_that_differ_in_their_seed_are_published_as_one(copy, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "RESULTS", tmp_path)
    monkeypatch.setattr(publishing, "RESULTS", tmp_path / "stories")
    places = [str(tmp_path / f"run_{seed}") for seed in range(3)]
    for seed, place in enumerate(places):
        config = dataclasses.replace(SMALL, tasks=(1, 15), seed=seed, epochs=2 + 2 * (seed == 2))
        stories.train("babi_memn2n", config, Path(place), progress=False)
    publishing.main([*places[:2], "--weights"])
    result = json.loads((tmp_path / "stories" / "babi_memn2n.json").read_text())
    alone = []
    for place in places[:2]:
        publishing.main([place])
        alone.append(json.loads((tmp_path / "stories" / "babi_memn2n.json").read_text()))
    assert result["seeds"]["joint"] == [one["seeds"]["joint"][0] for one in alone]
    means = [one["mean"] for one in alone]
    assert result["mean"] == min(means)
    assert result["chosen"] == {"joint": int(np.argmin(means))}
    assert result["minutes"] == pytest.approx(sum(one["minutes"] for one in alone), abs=0.11)
    first, second = (one["learning"]["joint"] for one in alone)
    assert result["learning"]["joint"] == [[step, a + b, c + d] for (step, a, c), (_, b, d) in zip(first, second, strict=True)]
    command = result["command"]
    assert command.startswith("for seed in 0 1; do python -m experiments.train babi_memn2n --memory.slots 12")
    assert command.endswith("--seed $seed --out runs/babi_memn2n_$seed; done")
    stored, best = params_of("babi_memn2n"), params_of(places[result["chosen"]["joint"]])
    jax.tree.map(np.testing.assert_array_equal, stored["memory"], best["memory"])
    for wrong in (places[1:], [places[1], places[0]], [places[0], places[0]]):
        with pytest.raises(ValueError, match=r"legal after 1 of them: a run of babi_memn2n with seed [12], with all other"):
            publishing.main(wrong)
    with pytest.raises(ValueError, match="no run to publish"):
        publishing.main([])


def test_errors_are_those_of_single_calls(copy):
    """Buckets, chunks and padding of the evaluation change nothing."""
    config = dataclasses.replace(SMALL, buckets=(4, 12))
    data = stories.load(config)
    model = SMALL.model(data.vocabulary)
    params = model.init_params(jax.random.key(0))
    wrong = stories.make_errors(config, data.vocabulary, data.valid, chunk=7)(jax.tree.map(lambda a: a[None], params))[0]
    found = []
    for part in data.valid:
        for story, question, answer in zip(part.stories, part.questions, part.answers, strict=True):
            words = part.sentences[story[story > 0]][::-1]
            logits = np.asarray(model(params, *model.encode(words, part.sentences[question])).logits)
            found.append(max(data.vocabulary.answers, key=lambda word: logits[word]) != answer)
    np.testing.assert_array_equal(wrong, found)


TAUGHT = control(
    DNC(32, slots=12, width=16, read_heads=2, links=False, masked=True, deallocate=True), 32, clip=20.0, layer_norm=True
)


@pytest.mark.parametrize(
    ("memory", "changes"),
    [
        (MemN2N(2, slots=12, width=20), {}),
        (MemNN(2, slots=12, width=20, hops=1), {}),
        (DMNPlus(20, slots=12, passes=1), {}),
        (TAUGHT, {"moments": 3, "pondering": 2, "batch": 4}),  # without the facts, half of its answers are wrong
    ],
    ids=["MemN2N", "MemNN", "DMNPlus", "DNC"],
)
def test_learns_one_supporting_fact(memory, changes):
    """Task 1 from 1,000 generated questions: at most 5 % wrong on fresh ones, where a constant answer has 80 %."""
    told = {1: generate(1, 1000, seed=5)}
    fresh = {1: generate(1, 200, seed=6)}
    config = dataclasses.replace(
        SMALL, memory=memory, noise=0.0, linear_start=0, epochs=12, buckets=(12,), supervision=1.0,
        optimizer=Optimizer("adam", learning_rate=5e-3), **changes,
    )  # fmt: skip
    vocabulary = Vocabulary.of(told[1])
    data = stories.data.Data(
        vocabulary, stories.data.split(config, told, vocabulary), stories.data.split(config, fresh, vocabulary)
    )
    state = stories.initial_state(config, vocabulary, 1)
    epoch = stories.make_epoch(config, data)
    for i in range(config.epochs):
        state, _ = epoch(state, *stories.plan(config, data, i))
    wrong = stories.make_errors(config, vocabulary, data.valid)(state.params)
    assert 100 * wrong.mean() <= 5


CONTROLLED = control(DNC(7, slots=5, width=3, read_heads=1), 6)
WORDS = dataclasses.replace(SMALL, memory=CONTROLLED, noise=0.0, linear_start=0)
SENTENCES = dataclasses.replace(WORDS, moments=3, pondering=2)
CHUNKS = dataclasses.replace(SENTENCES, chunk=2)


@pytest.mark.parametrize(
    "memory", [DMN(6, slots=12), LSTM(6, 7), CONTROLLED, DMNPlus(6, slots=12, attention="soft", fusion=False)]
)
def test_every_model_takes_a_step(memory, copy):
    options = {"dropout": 0.1, "supervision": 1.0} if isinstance(memory, DMN | DMNPlus) else {}
    options |= {"moments": 3} if not isinstance(memory, LSTM) else {}
    options |= {"pondering": 2, "chunk": 3, "supervision": 1.0} if memory is CONTROLLED else {}
    config = dataclasses.replace(SMALL, memory=memory, noise=0.0, linear_start=0, **options)
    assert config.memory_name == ("DNC" if memory is CONTROLLED else type(memory).__name__)
    data = stories.load(config)
    state, loss = stories.make_epoch(config, data)(
        stories.initial_state(config, data.vocabulary, 9), *stories.plan(config, data, 0)
    )
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((loss, state.params)))


def test_a_stream_is_answered_at_its_last_word():
    """A memory without a query steps through story and question; padding, wherever it stands, changes nothing."""
    model = WORDS.model(Vocabulary(("", "a", "b", "c"), (1, 2), 3))
    params = model.init_params(jax.random.key(0))
    story, question = jnp.array([[1, 2, 0], [0, 0, 0], [3, 0, 0]]), jnp.array([2, 1, 0])
    answer = model(params, *model.encode(story, question))
    words = params["encoder"]["embedding"][jnp.array([1, 2, 3, 2, 1])]
    want = unroll(CONTROLLED, params["memory"], None, words)[1]
    np.testing.assert_allclose(answer.logits, model.logits(params, want.value[-1]), rtol=1e-5)
    np.testing.assert_allclose(answer.weights, want.weights[-1], rtol=1e-5)


@pytest.mark.parametrize("config", [WORDS, SENTENCES, CHUNKS], ids=["words", "sentences", "chunks"])
def test_a_story_is_read_once_for_all_its_questions(copy, config):
    """Answers and gradients are those of a stream for each question: none of them sees another, nor leaves a trace."""
    asked = (Question("Where is Ann?", "hall", (0,), 1), Question("Is Bob in the hall?", "no", (1,), 1))
    later = (Question("Where is Bob?", "attic", (4,), 5), Question("Where is Ann?", "hall", (0,), 5))
    told_one = {1: [Story(("Ann is in the hall.",) + ("Bob is in the attic.",) * 4, asked + later), *generate(1, 9, seed=1)]}
    config = dataclasses.replace(config, buckets=(3,))  # the later questions are about the newest sentences
    vocabulary = Vocabulary.of(told_one[1])
    model = config.model(vocabulary)
    params, by_hand = model.init_params(jax.random.key(0)), examples(told_one, vocabulary, slots=3)
    batch, table = on_device(by_hand), tables(model, by_hand)
    parts = stories.data.split(config, told_one, vocabulary)
    assert sum(len(part.tasks) for part in parts) < len(by_hand.tasks)

    def singly(params):
        logits = jax.vmap(lambda one: model(params, *told(one, table, one.stories)).logits)(batch)
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch.answers).sum(), logits

    def along(params):
        loss, total = losses.make_loss(config, model), 0.0
        for part in parts:
            total += jax.vmap(loss, (None, None, 0, None))(params, None, on_device(part), jax.random.key(1)).sum()
        return total

    (value, logits), gradient = jax.value_and_grad(singly, has_aux=True)(params)
    found, found_gradient = jax.value_and_grad(along)(params)
    np.testing.assert_allclose(found, value, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), found_gradient, gradient)
    wrong = stories.make_errors(config, vocabulary, parts, chunk=2)(jax.tree.map(lambda a: a[None], params))[0]
    known = np.isin(np.arange(len(vocabulary)), vocabulary.answers)
    guesses = np.where(known, logits, -np.inf).argmax(1)
    assert wrong.sum() == (guesses != np.asarray(batch.answers)).sum()
    assert len(wrong) == len(batch.answers)


def test_streams_say_where_their_questions_are():
    story = Story(("A b.", "C."), (Question("D e?", "f", (0,), 1), Question("G?", "f", (0,), 1), Question("H?", "a", (1,), 2)))
    vocabulary = Vocabulary.of([story])
    found, cut = streams({4: [story]}, vocabulary), streams({4: [story]}, vocabulary, slots=1)
    assert [[vocabulary.words[n] for n in row] for row in found.words] == [["a", "b", "d", "e", "g", "c", "h"]]
    assert found.asks.astype(int).tolist() == [[0, 0, 1, 1, 1, 0, 1]]
    assert found.begins.astype(int).tolist() == [[0, 0, 1, 0, 1, 0, 1]]
    assert found.ends.tolist() == [[3, 4, 6]]
    assert found.tasks.tolist() == [4]
    spelled = lambda rows: [[vocabulary.words[n] for n in row] for row in rows]  # noqa: E731
    assert spelled(found.answers) == [["f", "f", "a"]]
    assert spelled(cut.words)[1] == ["c", "h", *["<padding>"] * 3]  # the last question is about the newest sentence alone
    assert (cut.answers > 0).sum(1).tolist() == [2, 1]
    assert not cut.asks[1, 2:].any()


def test_streams_of_sentences_take_a_question_in_several_times():
    story = Story(("A b.", "C."), (Question("D e?", "f", (0,), 1), Question("G?", "f", (0,), 2)))
    vocabulary = Vocabulary.of([story])
    found = streams({4: [story]}, vocabulary, pondering=2)
    assert [[vocabulary.words[n] for n in row if n] for row in found.words[0]] == [
        *(["a", "b"], ["d", "e"], ["d", "e"]),
        *(["c"], ["g"], ["g"]),
    ]
    assert found.asks.astype(int).tolist() == [[0, 1, 1, 0, 1, 1]]
    assert found.begins.astype(int).tolist() == [[0, 1, 0, 0, 1, 0]]
    assert found.ends.tolist() == [[2, 5]]
    longer = Story((*story.sentences, "A."), (Question("D?", "f", (0,), 3),) * 2)
    parts = stream_buckets(streams({4: [story, longer]}, vocabulary, pondering=2), [6, 7])
    assert [part.words.shape for part in parts] == [(1, 6, 2), (1, 7, 2)]


def test_streams_of_parts_of_sentences_and_their_facts():
    story = Story(("A b c d e.", "C."), (Question("D e f?", "f", (0,), 1), Question("G?", "f", (1, 0), 2)))
    vocabulary = Vocabulary.of([story])
    found = streams({4: [story]}, vocabulary, pondering=3, chunk=2)
    assert ["".join(vocabulary.words[n] for n in row if n) for row in found.words[0]] == [
        *("ab", "cd", "e"),
        *("de", "f", "f", "f"),  # the last part comes three times
        *("c", "g", "g", "g"),
    ]
    assert np.flatnonzero(found.begins).tolist() == [3, 8]
    assert found.ends.tolist() == [[6, 10]]
    none = [-1, -1, -1]
    assert found.facts.tolist() == [[[[0, 1, 2], none], [[7, -1, -1], [0, 1, 2]]]]
    words = streams({4: [story]}, vocabulary)
    assert words.facts[0, 1].tolist() == [[8, *[-1] * 4], [0, 1, 2, 3, 4]]
    cut = streams({4: [story]}, vocabulary, slots=1, pondering=1)
    assert cut.facts.tolist() == [[[[0], [-1]]], [[[0], [-1]]]]  # the older fact of the later question is gone


def test_a_read_is_told_by_who_wrote_what_it_reads():
    """Against slots that keep, word for word, who wrote how much of them; questions see the story and themselves."""
    steps, slots, heads = 9, 3, 2
    rng = np.random.default_rng(0)
    writes, reads = rng.uniform(0, 1, (steps, slots)), rng.dirichlet(np.ones(slots), (steps, heads))
    writes[2] = (1, 0, 0)  # nothing else is left of a slot that is overwritten
    asks, begins = np.array([0, 0, 0, 1, 1, 1, 0, 1, 1], bool), np.array([0, 0, 0, 1, 0, 1, 0, 1, 0], bool)
    held, expected = np.zeros((slots, steps)), np.zeros((steps, heads, steps))
    asking = held
    for t in range(steps):
        own = held if begins[t] or not asks[t] else asking
        own = own * (1 - writes[t])[:, None]
        own[:, t] += writes[t]
        asking, held = own, held if asks[t] else own
        expected[t] = reads[t] @ own
    told = np.flatnonzero(~asks)
    at = np.arange(steps).reshape(3, 3)
    found = recall(Trace(writes, reads), asks, begins, at, np.append(told, -1))
    assert found.shape == (3, 3, heads, len(told) + 1)
    np.testing.assert_allclose(found.reshape(steps, heads, -1)[..., :-1], expected[:, :, told], atol=1e-5)
    assert not found[..., -1].any()
    with pytest.raises(ValueError, match="writes is None: the memory's state does not say where it wrote"):
        recall(Trace(None, None), asks, begins, at, at)


def test_what_a_memory_says_of_its_writes():
    """Of all heads together; a memory that has no slots says nothing."""

    def after_a_step(memory):
        params = memory.init_params(jax.random.key(0))
        return jax.jit(memory.step)(params, memory.init_state(params), jnp.ones(6))[0]

    state = after_a_step(control(DNC(7, slots=5, write_heads=2), 6))
    one, other = np.asarray(state.memory.write_weights)
    np.testing.assert_allclose(written(state), one + other - one * other, atol=1e-6)
    assert written(after_a_step(NTM(6, slots=5))).shape == (5,)
    assert written(after_a_step(LSTM(6, 3))) is None


def test_facts_teach_the_first_head_by_hand():
    """Two passes and three facts: the first pass is taught the first fact, the second one both others."""
    writes = np.eye(4)[[0, 1, 2, 3, 3]].astype(np.float32)  # three sentences in slots of their own, and a question
    reads = np.zeros((5, 2, 4), np.float32)
    reads[3, 0], reads[4, 0] = (0.5, 0.2, 0.2, 0.1), (0.1, 0.3, 0.6, 0)
    asks = np.array([0, 0, 0, 1, 1], bool)
    begins = np.array([0, 0, 0, 1, 0], bool)
    facts = np.array([[[0], [1], [2]], [[1], [-1], [-1]]])
    one = StreamBatch(None, asks, begins, np.array([4, 4]), None, facts)
    found = losses.recall_losses(Trace(writes, reads), one, 2)
    np.testing.assert_allclose(found, [-np.log(0.5) - (np.log(0.3) + np.log(0.6)) / 2, -np.log(0.2)], rtol=1e-3)


@pytest.mark.parametrize("pondering", [0, 2])
def test_a_question_without_words_changes_nothing(pondering):
    asked = Question("Where is Ann?", "hall", (0,), 1)
    story = Story(("Ann is in the hall.", "Bob sings."), (Question("?", "hall", (0,), 1), asked, asked._replace(seen=2)))
    vocabulary = Vocabulary.of([story])
    without = story._replace(questions=story.questions[1:])
    found, plain = (streams({1: [one]}, vocabulary, pondering=pondering) for one in (story, without))
    for name in ("words", "asks", "begins"):
        np.testing.assert_array_equal(getattr(found, name), getattr(plain, name))


@pytest.mark.parametrize("name", ["bypass_dropout", "dropout"])
def test_streams_lose_numbers_in_training_only(copy, name):
    config = dataclasses.replace(WORDS, **{name: 0.5})
    data = stories.load(config)
    model, one = config.model(data.vocabulary), jax.tree.map(lambda a: a[0], on_device(data.train[0]))
    params, loss = model.init_params(jax.random.key(0)), losses.make_loss(config, model)
    found = [float(loss(params, None, one, jax.random.key(key))) for key in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    logits = model.respond_along(params, one.words, one.asks, one.begins, one.ends)
    plain = dataclasses.replace(WORDS, **{name: 0.0}).model(data.vocabulary)
    np.testing.assert_array_equal(logits, plain.respond_along(params, *one[:4], jax.random.key(1)))


def test_words_are_exchanged_once_the_first_epochs_are_over(copy):
    config = dataclasses.replace(WORDS, exchange=True, first=(1,), first_epochs=1, epochs=2)
    data = stories.load(config)

    def trained(stage):
        start, chosen = stories.initial_state(config, data.vocabulary, 9), stories.plan(config, data, 0)
        return stories.make_epoch(config, data, **stage)(start, *chosen)[0].params

    plain = trained({})
    assert same(trained(stage(config, 0)), plain)
    assert not same(trained(stage(config, 1)), plain)


def test_an_exchanged_stream_asks_for_the_exchanged_answer(copy):
    data = stories.load(WORDS)
    kind, one = stories.data.kinds_of(data)[1], jax.tree.map(lambda a: a[0], on_device(data.train[0]))
    assert {data.vocabulary.words[i] for i in np.flatnonzero(kind)} >= {"daniel", "john", "kitchen", "office"}
    for seed in range(5):
        found = stories.data.exchanged(one, kind, jax.random.key(seed))
        word = dict(zip(one.words.tolist(), found.words.tolist(), strict=True))
        assert len(set(word.values())) == len(word)
        assert found.words.tolist() == [word[number] for number in one.words.tolist()] != one.words.tolist()
        assert found.answers.tolist() == [word[number] for number in one.answers.tolist()]


def test_dropped_inputs_are_zero_and_the_others_larger():
    encoder = Stream(5, 400, moments=2, dropout=0.25)
    params, words = encoder.init_params(jax.random.key(0)), jnp.array([[1, 2], [3, 4], [0, 0]])
    whole, less = np.asarray(encoder.embed(params, words)), np.asarray(encoder.embed(params, words, jax.random.key(1)))
    lost = (less == 0) & (whole != 0)
    np.testing.assert_allclose(less, np.where(lost, 0, whole / 0.75), rtol=1e-6)
    assert lost.sum() / (whole != 0).sum() == pytest.approx(0.25, abs=0.05)


def test_rounded_weights():
    numbers = np.array([1 + 2**-10, 1 + 2**-11, -3.14159265, 0.0, 1e-30], np.float32)
    assert rounded(numbers, 24).tolist() == numbers.tolist()
    half = rounded(numbers, 11)
    assert half.dtype == np.float32
    assert half[:4].tolist() == numbers[:4].astype(np.float16).tolist()
    np.testing.assert_allclose(half[4], numbers[4], rtol=2**-11)


def buckets_of(config, vocabulary):
    """The training questions, sentence by sentence."""
    sizes = config.sizes()
    return buckets(examples(stories.data.stories(config.tasks, config.setting, "train"), vocabulary, slots=sizes[-1]), sizes)


def test_blanks_move_sentences_and_facts_together():
    rows, facts = jnp.array([7, 5, 3, 0, 0, 0]), jnp.array([2, 0, -1])
    for seed in range(20):
        moved, there = losses.with_blanks(jax.random.key(seed), rows, facts, 0.4)
        assert [int(row) for row in moved if row > 0] == [7, 5, 3][: int((moved > 0).sum())]
        for fact, now in zip(facts[:2], there[:2], strict=True):
            assert now == -1 or moved[now] == rows[fact]
        assert there[2] == -1
    assert (losses.with_blanks(jax.random.key(0), rows, facts, 0.0)[0] == rows).all()


def test_the_last_pass_is_taught_all_facts_that_are_left():
    targets = losses.attention_targets(jnp.array([4, 1, 0, -1]), 2, 5)
    np.testing.assert_allclose(targets, [[0, 0, 0, 0, 1], [0.5, 0.5, 0, 0, 0]])
    np.testing.assert_allclose(losses.attention_targets(jnp.array([2, -1]), 3, 4), [[0, 0, 1, 0], [0] * 4, [0] * 4])


def test_ranking_loss_compares_the_true_fact_with_all_that_are_left():
    """Pair by pair with the oracle's scores, in two stories of facts: one that ends with "no more", one that is cut off."""
    told_stories = {1: [Story(("a b", "c d", "b d"), (Question("a d", "b", (2, 0), 3), Question("c", "d", (1,), 3)))]}
    vocabulary = Vocabulary.of(told_stories[1])
    config = dataclasses.replace(SMALL, memory=MemNN(2, slots=3, width=5, hops=2), noise=0.0, margin=0.3)
    model, data = config.model(vocabulary), examples(told_stories, vocabulary, slots=3)
    params, table, batch = model.init_params(jax.random.key(0)), tables(model, data), on_device(data)
    params["answer"] = jax.tree.map(jnp.zeros_like, params["answer"])  # both answers then cost log V each
    sizes, own = dataclasses.asdict(model.memory), params["memory"]
    for i, picks in enumerate(([0, 2], [1, 3])):  # newest first; 3 is "no more"
        one = jax.tree.map(lambda leaf, i=i: leaf[i], batch)
        story, _, question = map(np.asarray, told(one, table, one.stories))
        state = {"slots": story[::-1], "length": 3}
        total = 2 * np.log(len(vocabulary))
        for k, pick in enumerate(picks):
            x = memnn.known(sizes, own, question, [state["slots"][p] for p in picks[:k]])
            seen = (sizes, own, state, x, picks[k - 1] if k else -1)
            for rival in {0, 1, 2, 3} - {pick} - set(picks[:k]):
                leads = memnn.compare(*seen, pick, rival), -memnn.compare(*seen, rival, pick)
                total += sum(max(0, 0.3 - lead) for lead in leads)
        np.testing.assert_allclose(losses.ranking_loss(config, model, params, table, one), total, rtol=1e-5)


def test_answers_of_several_words_are_spelled():
    told_stories = [Story(("a",), (Question("a", "n,s", (0,), 1), Question("a", "s", (0,), 1)))]
    vocabulary = Vocabulary.of(told_stories)
    spelling = vocabulary.spelling()
    assert [spelling[vocabulary.number(answer)] for answer in ("n,s", "s", "a")] == [(1, 2), (2, 0), (0, 0)]
    model = StoryConfig(MemNN(2, slots=2, width=4), moments=2).model(vocabulary)
    params = model.init_params(jax.random.key(0))
    params["answer"]["kernel"] = jnp.zeros_like(params["answer"]["kernel"])
    logits = model.logits(params, jnp.zeros(4))
    np.testing.assert_allclose(logits, 2 * np.log(1 / 3), rtol=1e-6)  # of three parts in each of two places
    assert Vocabulary.of([Story(("a",), (Question("a", "b", (0,), 1),))]).spelling() == ()


def test_ranking_loss_is_zero_only_where_all_lead_by_the_margin():
    """With embeddings set by hand so that true facts and answer win by far, and with a wrong fact claimed."""
    told_stories = {1: [Story(("a b", "c d"), (Question("a", "b", (0,), 2),))]}
    vocabulary = Vocabulary.of(told_stories[1])
    config = dataclasses.replace(SMALL, memory=MemNN(2, slots=2, width=8, hops=1, encoding="bag"), noise=0.0)
    model, data = config.model(vocabulary), examples(told_stories, vocabulary, slots=2)
    params = jax.tree.map(jnp.zeros_like, model.init_params(jax.random.key(0)))
    a, b = vocabulary.number("a"), vocabulary.number("b")
    params["memory"]["address"] = params["memory"]["address"].at[0, a, 0].set(5.0)  # the question says "a"
    params["memory"]["candidates"] = params["memory"]["candidates"].at[a, 0].set(2.0)  # so does the fact
    params["memory"]["no_more"] = params["memory"]["no_more"].at[0].set(1.0)
    params["answer"]["bias"] = params["answer"]["bias"].at[b].set(200.0)
    batch = on_device(data)
    one = jax.tree.map(lambda leaf: leaf[0], batch)
    table = tables(model, data)
    assert losses.ranking_loss(config, model, params, table, one) == 0
    assert losses.ranking_loss(config, model, params, table, one._replace(facts=jnp.array([0]))) > 1
    weights = model(params, *told(one, table, one.stories)).weights
    np.testing.assert_array_equal(weights, [[0, 1, 0]])  # newest first: "c d", "a b", no more


def test_buckets_keep_every_question_and_cut_the_longest():
    told_stories = {1: generate(1, 50), 2: generate(2, 50)}
    whole = examples(told_stories, Vocabulary.of([story for one in told_stories.values() for story in one]))
    parts = buckets(whole, (4, 9, 12))
    assert sum(len(part.questions) for part in parts) == 100
    for part, longest in zip(parts, (4, 9, 12), strict=True):
        assert part.stories.shape[1] == longest
        assert part.facts.max() < longest
    cut = parts[-1]
    assert ((cut.stories > 0).sum(1) == 12).any()
    assert (cut.stories[:, 0] > 0).all()  # the newest sentence stays


def test_an_epoch_passes_every_question_and_those_of_some_tasks_again(copy):
    config = dataclasses.replace(SMALL, tasks=(1, 15), again=(15, 15), batch=7)
    data = stories.load(config)
    bucket, chosen = stories.plan(config, data, 0)
    for i, part in enumerate(data.train):
        times = np.bincount(chosen[bucket == i].ravel(), minlength=len(part.tasks))
        least = np.where(part.tasks == 15, 3, 1)
        assert (times >= least).all()
        assert (times - least).sum() < config.batch  # what the last batch is filled up with


def test_some_tasks_have_the_first_epochs_to_themselves(copy):
    config = dataclasses.replace(SMALL, tasks=(1, 15), first=(15,), first_epochs=2, batch=7)
    data = stories.load(config)
    passes = [stories.plan(config, data, epoch) for epoch in range(3)]
    assert [chosen.shape for _, chosen in passes] == [(steps_per_epoch(config, data), 7)] * 3
    asked = [{int(task) for i, batch in zip(*one, strict=True) for task in data.train[i].tasks[batch]} for one in passes]
    assert asked == [{15}, {15}, {1, 15}]


def test_what_cannot_be_read_is_counted_by_kind():
    vocabulary = Vocabulary.of([Story(("a b",), (Question("a c?", "b", (0,), 1),))])
    part = evaluation.Part(dataclasses.replace(SMALL, tasks=(1, 2)), vocabulary, None, [0.0])
    longer = Story(("a zork", "a b b b", "b"), (Question("A c?", "a", (), 0), Question("c", "B", (), 3)))
    notes = evaluation.unreadable({"joint": part}, {1: [longer, longer], 2: [Story(("b",) * 13, ())], 3: [longer]})
    assert notes == [
        "task 1: 1 word(s) that the model does not know, read as unknown: zork",
        "task 1: 1 sentence(s) cut at 2 words: a b b b",
        "task 1: 2 answer(s) that the model does not know, counted as wrong: a",
        "task 1: 2 question(s) without a story: A c?",
        "task 1: 2 question(s) without a question mark: c",
    ]
    long = Story(("b",) * 13, (Question("a?", "b", (), 12), Question("c?", "b", (), 13)))
    line = "tasks 1, 2: 2 question(s) about more than 12 sentences, of which the oldest are dropped: c?"
    assert evaluation.unreadable({"joint": part}, {1: [long], 2: [long]}) == [line]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": (0,)}, r"StoryConfig.tasks is \(0,\); legal: task numbers from 1 to 20"),
        ({"restarted": (1,)}, r"StoryConfig.restarted is \(1,\); legal: task numbers from 1 to 20, with joint=False"),
        ({"joint": False, "restarted": (21,)}, r"StoryConfig.restarted is \(21,\); legal"),
        ({"task_options": ("1:width=6",)}, "StoryConfig.task_options has '1:width=6'; legal: a task .* with joint=False"),
        ({"joint": False, "task_options": ("width=6",)}, "StoryConfig.task_options has 'width=6'; legal: a task from 1"),
        ({"joint": False, "task_options": ("1:widht=6",)}, "MemN2N has no field 'widht'; did you mean 'width'"),
        ({"joint": False, "task_options": ("1:width",)}, "option 'width' has no value; legal: name=value"),
        ({"again": (2,)}, r"StoryConfig.again is \(2,\); legal: numbers of its tasks, \(1,\)"),
        ({"first": (1,)}, r"StoryConfig.first is \(1,\) for first_epochs 0; legal: .* first_epochs > 0, or neither"),
        ({"first": (1,), "first_epochs": 1, "joint": False}, r"StoryConfig.first is \(1,\) .* in a joint run"),
        ({"epochs": 0}, "StoryConfig.epochs is 0; it must be an integer >= 1"),
        ({"noise": 1.0}, "StoryConfig.noise is 1.0; it must be a number, 0 <= noise < 1"),
        ({"memory": CONTROLLED}, "StoryConfig.noise is 0.1, but DNC takes one input after another; legal: 0"),
        (
            {"moments": 2, "memory": CONTROLLED, "noise": 0.0},
            "StoryConfig.pondering is 0, moments is 2, and DNC takes one input",
        ),
        ({"pondering": 2}, "StoryConfig.pondering is 2, moments is 0, and MemN2N stores sentences; legal: pondering > 0"),
        ({"chunk": 3}, "StoryConfig.chunk is 3 with pondering 0; legal: a number of words where"),
        (
            {"memory": LSTM(6, 7), "noise": 0.0, "linear_start": 0, "moments": 2, "pondering": 2, "supervision": 1.0},
            "StoryConfig.supervision is 1.0 with pondering 2, and LSTM takes .* a memory whose state says where it wrote: DNC",
        ),
        ({"bypass_dropout": 0.1}, "StoryConfig.bypass_dropout is 0.1, but MemN2N stores sentences; legal: 0"),
        ({"exchange": True}, "StoryConfig.exchange is True, but MemN2N stores sentences; legal: False"),
    ],
)
def test_a_wrong_field_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **changes)


def test_an_unknown_run_is_named():
    with pytest.raises(ValueError, match="'nowhere' is no run"):
        evaluation.find("nowhere")
