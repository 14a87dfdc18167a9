"""Asking a model: what is answered and shown, and what is said about input that the model cannot use."""

import dataclasses
import io
import json
import types
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import diffmem
from diffmem.models import Trace
from diffmem.tasks.babi import Vocabulary
from experiments import ask, runs
from experiments import config as configs
from experiments.checkpoint import Checkpoints
from experiments.stories import StoryConfig, evaluation
from experiments.stories.training import initial_state

Reader = ask.Reader  # tests replace that one
WORDS = ("<padding>", "<unknown>", "bathroom", "garden", "is", "john", "kitchen", "mary", "the", "to", "went", "where")
VOCABULARY = Vocabulary(WORDS, (2, 3, 6), 5)
STORY = ["Mary went to the garden.", "John went to the kitchen.", "Mary went to the bathroom."]
PIPED = "\n".join([*STORY, "Where is Mary?"])
MEMORIES = {
    "memn2n": diffmem.MemN2N(input_size=2, slots=4, width=3, hops=2),
    "masked": diffmem.MemN2N(input_size=2, slots=4, width=3, hops=2, mask=True),
    "memnn": diffmem.MemNN(input_size=2, slots=4, width=3, hops=2),
    "dmnplus": diffmem.DMNPlus(input_size=3, slots=4, passes=1, fusion=False, attention="soft"),
    "lstm": diffmem.LSTM(input_size=3, hidden_size=4),
    "dnc": diffmem.control(diffmem.DNC(input_size=4, slots=8, width=3), input_size=3),
    "ntm": diffmem.control(diffmem.NTM(input_size=4, slots=8, width=3), input_size=3),
}
CHANGES = {"ntm": {"moments": 2, "pondering": 3, "chunk": 2}}


def config_of(memory, **changes) -> StoryConfig:
    return StoryConfig(memory=memory, seeds=2, buckets=(2, 6), **changes)


@lru_cache
def params_of(config):
    """Random parameters of two restarts."""
    return jax.device_get(jax.jit(jax.vmap(config.model(VOCABULARY).init_params))(jax.random.split(jax.random.key(0))))


def part_of(config) -> evaluation.Part:
    """A model whose second restart is the best."""
    return evaluation.Part(config, VOCABULARY, params_of(config), [9.0, 2.0])


def reader_of(name) -> ask.Reader:
    return Reader(part_of(config_of(MEMORIES[name], **CHANGES.get(name, {}))))


@pytest.fixture(scope="module")
def reader():
    return reader_of("memn2n")


@pytest.fixture
def fake(monkeypatch, reader):
    """Gives main a run of two single-task models, which share a reader; returns a function that runs it on some input."""
    config = config_of(MEMORIES["memn2n"], tasks=(2, 7), joint=False)
    parts = {name: part_of(own) for name, own in config.parts().items()}
    monkeypatch.setattr(ask, "find", lambda run: ("tiny", config, parts, run))
    monkeypatch.setattr(ask, "Reader", lambda part: reader)

    def run(*arguments, piped="", keyboard=False):
        stream = io.StringIO(piped)
        stream.isatty = lambda: keyboard
        monkeypatch.setattr("sys.stdin", stream)
        return ask.main(["RUN", *map(str, arguments)])

    return run


@pytest.mark.parametrize("name", MEMORIES)
def test_answers_are_those_of_the_model_without_padding(name):
    """The best restart's, by hand: the story in its own length, a softmax over the three answers alone."""
    reader, config = reader_of(name), config_of(MEMORIES[name], **CHANGES.get(name, {}))
    reply = reader.answer(STORY, "Where is Mary?")
    params, model = jax.tree.map(lambda a: a[1], params_of(config)), config.model(VOCABULARY)
    story = np.array([[7, 10, 9, 8, 3], [5, 10, 9, 8, 6], [7, 10, 9, 8, 2]], np.int32)
    question = np.array([11, 4, 7, 0, 0], np.int32)
    logits, weights = jax.jit(lambda params: model(params, *model.encode(story, question)))(params)
    chances = np.exp(np.array([logits[2], logits[3], logits[6]]))
    expected = dict(zip(("bathroom", "garden", "kitchen"), chances / chances.sum(), strict=True))
    assert [entry for entry, _ in reply.answers] == sorted(expected, key=expected.get, reverse=True)
    np.testing.assert_allclose([p for _, p in reply.answers], sorted(expected.values(), reverse=True), rtol=1e-4)
    rest = {"memn2n": "nothing", "memnn": "no more", "dnc": "elsewhere", "ntm": "elsewhere"}.get(name)
    assert reply.rest == rest
    if name == "lstm":
        assert reply.weights is None
        return
    if name in ("dnc", "ntm"):
        assert reply.weights.shape == (CHANGES.get(name, {}).get("pondering", 1), 4)
        np.testing.assert_allclose(reply.weights.sum(1), 1, rtol=1e-5)
        return
    assert reply.weights.shape == (len(weights), 3 + bool(rest))
    np.testing.assert_allclose(reply.weights[:, :3], weights[:, 2::-1], rtol=1e-4, atol=1e-6)  # oldest first
    np.testing.assert_allclose(reply.weights.sum(1), 1, rtol=1e-5)
    if name == "memn2n":
        assert (reply.weights[:, 3] > 0.05).all()


def test_a_slot_is_shown_as_the_sentence_that_wrote_it():
    """A DNC whose heads read slot 2 alone, and whose sentences were written one slot each, by its parameters."""
    reader = reader_of("ntm")
    with_trace = lambda *_: (jnp.zeros((1, 12)), Trace(writes, reads))  # noqa: E731
    inputs = reader._stream(STORY, "Where is Mary?", 6)
    asks = np.flatnonzero(inputs[1])
    writes, reads = np.zeros((len(inputs[0]), 8)), np.zeros((len(inputs[0]), 1, 8))
    writes[[0, 3, 8], [1, 2, 4]] = 1  # the first sentence, the second's first part, the third's last
    reads[asks[-3:], 0, [2, 4, 7]] = 1
    object.__setattr__(reader, "model", types.SimpleNamespace(trace_along=with_trace))
    weights = reader._attention(np.asarray(reader._read_along(None, *inputs)[1]), 3)[0]
    assert weights.tolist() == [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]  # and what nothing was written to is elsewhere


@pytest.mark.parametrize("name", ["memn2n", "dnc", "ntm"])
def test_padding_to_a_few_sizes_compiles_once_for_each(name):
    fresh = reader_of(name)
    assert fresh.sizes == ([2, 4] if name == "memn2n" else [2, 6])
    for count in (1, 2, 3, 4, 7):
        fresh.answer([STORY[0]] * count, "Where is John?")
    assert fresh.read._cache_size() == 2


def test_table_by_hand():
    weights = np.array([[0.0, 0.3, 0.7], [0.956, 0.044, 0.0]])
    assert ask.table(["Mary left.", "John is in the garden."], weights, "no more", "hop", [1]).split("\n") == [
        "                               hop 1    hop 2",
        "   1  Mary left.                   0       96*",
        ">  2  John is in the garden.      30        4",
        "      (no more)                   70*       0",
    ]


def test_piped_story_with_two_questions_and_a_picture(fake, capsys, tmp_path):
    fake("--picture", tmp_path / "new" / "a.png", piped=f"{PIPED}\n{STORY[0]}\nWhere is John?\n\n{STORY[1]}\nWhere is John?\n")
    out, err = capsys.readouterr()
    assert "tiny, RUN: model qa2, MemN2N, trained on task 2, two-supporting-facts; --task chooses another of qa2, qa7" in out
    first, second, third = out.split("\nWhere is ")[1:]
    assert [text.count("went to") for text in (first, second, third)] == [3, 4, 1]  # the empty line began a new story
    assert first.count(" %)") == 3
    assert "(nothing)" in first
    assert "hop 2" in first
    assert [path.name for path in sorted((tmp_path / "new").iterdir())] == ["a-2.png", "a-3.png", "a.png"]
    assert err == ""


def test_task_chooses_the_model(fake, capsys):
    fake("--task", 7, piped=PIPED)
    assert "model qa7, MemN2N, trained on task 7, counting\n" in capsys.readouterr().out
    with pytest.raises(ValueError, match="--task 3: no model was trained on it; legal: 2, 7"):
        fake("--task", 3, piped=PIPED)


def test_babi_file_marks_facts_and_compares(fake, reader, capsys, tmp_path):
    right = reader.answer(STORY[:2], "Where is Mary?").answers[0][0]
    lines = [f"1 {STORY[0]}", "2 ...", "3 Where is John?", f"4 {STORY[1]}", f"5 Where is Mary?\t{right}\t4"]
    path = tmp_path / "qa1.txt"
    path.write_text("\n".join([*lines, f"1 {STORY[2]}", "2 Where is Mary?\tattic\t1", ""]))
    fake("--story", path)
    out, err = capsys.readouterr()
    unanswered, first, second = out.split("\nWhere is ")[1:]
    assert "expected" not in unanswered
    assert "expected, and right\n" in first
    assert f"   1  {STORY[0]}" in first
    assert f">  2  {STORY[1]}" in first
    assert "expected: attic\n" in second
    assert f">  1  {STORY[2]}" in second
    assert err == "note: '...' has no words and is left out\n"
    path.write_text("1 Mary went.\n3 John went.\n")
    with pytest.raises(ValueError, match=r"qa1\.txt, line 2: expected ID 2"):
        fake("--story", path)


def test_story_file_then_question(fake, capsys, tmp_path):
    path = tmp_path / "story.txt"
    path.write_text("\n".join(STORY) + "\n\n")
    fake("--story", path, "--question", "where is Mary")
    out, err = capsys.readouterr()
    assert STORY[2] in out
    assert err == "note: --question 'where is Mary' has no question mark; it is asked all the same\n"
    fake("--story", path, piped="Where is Mary?")  # asks nothing itself: the pipe does
    assert STORY[2] in capsys.readouterr().out
    fake("--question", "Where is Mary?", piped="\n".join(STORY) + "\n\n")
    assert capsys.readouterr().err == ""
    with pytest.raises(ValueError, match=r"--story .*none\.txt cannot be read: .*No such file"):
        fake("--story", tmp_path / "none.txt")


def test_unknown_words_and_long_sentences_are_named(fake, capsys):
    fake(piped="Fred went to the Sofa.\nMary went to the garden today twice.\nWhere is fred?")
    assert capsys.readouterr().err.splitlines() == [
        "note: unknown words, which the model was not trained on: fred, sofa",
        "note: 'Mary went to the garden today twice.' has 7 words; the model reads the first 5",
        "note: unknown words, which the model was not trained on: fred",
    ]


def test_unknown_words_are_marked(fake, capsys):
    fake(piped="Fred's-cat went to the Sofa.\nWhere is FRED?")
    out = capsys.readouterr().out
    assert "\nWhere is [FRED]?  " in out
    assert "   1  [Fred's-cat] went to the [Sofa].  " in out


def test_several_sentences_on_a_line(fake, capsys, tmp_path):
    fake(piped=f"{STORY[0]} {STORY[1]}  Where is Mary? {STORY[2]} Where is John?")
    first, second = capsys.readouterr().out.split("\nWhere is ")[1:]
    assert [text.count("went to") for text in (first, second)] == [2, 3]
    path = tmp_path / "qa1.txt"
    path.write_text(f"1 {STORY[0]} {STORY[1]}\n2 Where is Mary?\tgarden\t1\n")  # the data set's lines are what they are
    fake("--story", path)
    assert f">  1  {STORY[0]} {STORY[1]}" in capsys.readouterr().out


def test_a_byte_order_mark_and_an_empty_file(fake, capsys, tmp_path):
    path = tmp_path / "story.txt"
    for text in (PIPED, f"1 {STORY[0]}\n2 Where is Mary?\tgarden\t1\n"):
        path.write_text(text, "utf-8-sig")
        fake("--story", path)
        out, err = capsys.readouterr()
        assert "\nWhere is Mary?  " in out
        assert err == ""
    for text in ("", "\ufeff\n \n"):
        path.write_text(text, "utf-8")
        with pytest.raises(ValueError, match=r"^--story .*story\.txt is empty$"):
            fake("--story", path, "--question", "Where is Mary?")


def test_story_beyond_the_memory_loses_its_oldest(fake, reader, capsys):
    fake(piped="\n".join(["John went to the bathroom."] * 3 + PIPED.split("\n")))
    out, err = capsys.readouterr()
    assert err == "note: the memory holds 4 sentences: the oldest 2 of 6 are dropped\n"
    assert out.count("John went to the bathroom.") == 1
    answer = reader.answer(["John went to the bathroom.", *STORY], "Where is Mary?").answers[0]
    assert f"{answer[0]} ({100 * answer[1]:.1f} %)" in out


def test_forgotten_question_mark_in_a_pipe(fake, capsys):
    with pytest.raises(ValueError, match=r"nothing was asked: .*'\?'; 'Where is Mary' was taken as a sentence of the story"):
        fake(piped=PIPED[:-1])
    assert capsys.readouterr().err == "note: 'Where is Mary' is taken as a sentence of the story; a question ends in '?'\n"
    fake(piped=f"{PIPED}\nJohn went")
    note = "note: the input ends without a question; 'John went' was taken as a sentence of the story\n"
    assert capsys.readouterr().err == note
    with pytest.raises(ValueError, match=r"^nothing was asked: no line ends in '\?'$"):
        fake(piped="")


@pytest.mark.parametrize(
    ("piped", "message"),
    [
        ("Where is Mary?", "'Where is Mary?' has no story: sentences come before a question"),
        ("Mary went.\nreset\nWhere is Mary?", "has no story"),
        ("Mary went.\n ??", r"the question '\?\?' has no words"),
    ],
)
def test_question_that_cannot_be_answered(fake, piped, message):
    with pytest.raises(ValueError, match=message.replace("Mary?", r"Mary\?")):
        fake(piped=piped)


def test_keyboard_goes_on_after_a_mistake_and_until_quit(fake, capsys):
    fake(piped=f"Where is Mary?\n{STORY[0]}\nWhere is Mary?\nquit\n{STORY[1]}", keyboard=True)
    out, err = capsys.readouterr()
    assert "A sentence that ends in '?' is a question" in out
    assert STORY[0] in out
    assert err.startswith("note: 'Where is Mary?' has no story")
    fake(piped=STORY[0], keyboard=True)  # the end of the input is no mistake
    assert capsys.readouterr().err == ""


def test_memory_without_attention(fake, monkeypatch, capsys, tmp_path):
    lstm = reader_of("lstm")
    monkeypatch.setattr(ask, "Reader", lambda part: lstm)
    fake("--picture", tmp_path / "a.png", piped=PIPED)
    out, err = capsys.readouterr()
    assert "(LSTM has no attention to show)" in out
    assert err == "note: no picture: LSTM has no attention to draw\n"
    assert not list(tmp_path.iterdir())


def test_runs_are_found_and_others_refused(tmp_path, monkeypatch, capsys):
    """A real folder, as training leaves it; a run on sequences; a name without weights."""
    memory = dataclasses.replace(configs.load("babi_memn2n").memory, slots=4, width=3, hops=2)
    config = dataclasses.replace(configs.load("babi_memn2n"), memory=memory, seeds=1, tasks=(1,))
    state, folder = initial_state(config, VOCABULARY, 1), tmp_path / "run" / "joint"
    runs.claim(tmp_path / "run", "babi_memn2n", config)
    folder.mkdir()
    evaluation.keep_vocabulary(folder, VOCABULARY)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(1, state)
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 1, "valid_error_percent": [50.0]}) + "\n")
    monkeypatch.setattr("sys.stdin", io.StringIO(PIPED))
    ask.main([str(tmp_path / "run")])
    assert f"babi_memn2n, {tmp_path / 'run'}: model joint, MemN2N, trained on task 1" in capsys.readouterr().out
    with pytest.raises(ValueError, match="'ntm_copy' is a run on sequences, which answers no questions"):
        ask.find("ntm_copy")
    with pytest.raises(ValueError, match=r"'nowhere' is no run: neither a folder with a config\.json nor one of"):
        ask.find("nowhere")
