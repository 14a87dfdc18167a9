"""Retrieval, completion and language tasks: targets follow from inputs, drawings are true, data sets are found or missed."""

import lzma
from dataclasses import replace

import jax
import numpy as np
import pytest

from diffmem import GRU
from diffmem.tasks import AssociativeRetrieval, CharacterModel, ImageCompletion, PatternCompletion, WordModel
from experiments import evaluate
from experiments.config import Config

KEY = jax.random.key(0)
BITS = PatternCompletion(bits=6, max_length=3, show=2)
STROKES = ImageCompletion(max_length=2, side=9)


def sample(task, length, batch=32, key=KEY):
    return jax.tree.map(np.asarray, task.sample(key, batch, length))


# --- associative retrieval ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 3, 4])
def test_the_answer_is_the_digit_after_the_letter(length):
    task = AssociativeRetrieval()
    inputs, targets, mask = sample(task, length)
    symbols = ["abcdefghijklmnopqrstuvwxyz0123456789?"[i] for i in range(37)]
    for x, y, m in zip(inputs, targets, mask, strict=True):
        assert not x[2 * length + 3 :].any()
        assert (x[: 2 * length + 3].sum(1) == 1).all()
        text = "".join(symbols[row.argmax()] for row in x[: 2 * length + 3])
        letters, digits = text[: 2 * length : 2], text[1 : 2 * length : 2]
        assert text[-3:-1] == "??"
        assert letters.isalpha()
        assert len(set(letters)) == length
        assert np.flatnonzero(m).tolist() == [2 * length + 2]
        assert str(y[2 * length + 2]) == dict(zip(letters, digits, strict=True))[text[-1]]


def test_queries_and_digits_are_uniform():
    inputs, targets, _ = sample(AssociativeRetrieval(), 4, batch=4000)
    asked = (inputs[:, 0:8:2] * inputs[:, 10:11]).sum(-1).mean(0)
    np.testing.assert_allclose(asked, 0.25, atol=0.03)
    np.testing.assert_allclose(np.bincount(targets[:, 10]) / 4000, 0.1, atol=0.02)


# --- completion ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("task", "length"), [(BITS, 1), (BITS, 2), (BITS, 3), (STROKES, 2)], ids=str)
def test_the_query_is_half_of_a_pattern_that_was_shown(task, length):
    block, end = task.show + task.gap, task.cycles * length * (task.show + task.gap)
    for x, y, m in zip(*sample(task, length), strict=True):
        assert np.flatnonzero(m).tolist() == [end + task.show - 1]
        cycles = []
        for cycle in x[:end].reshape(task.cycles, length, block, -1):
            assert (cycle[:, : task.show] == cycle[:, :1]).all()
            assert not cycle[:, task.show :].any()
            cycles.append(sorted(map(tuple, cycle[:, 0])))
        assert all(cycle == cycles[0] for cycle in cycles)
        query, whole = x[end + task.show - 1], np.where(y[end + task.show - 1] > 0, 1.0, -1.0)
        assert (x[end : end + task.show] == query).all()
        assert not x[end + task.show :].any()
        assert tuple(whole) in cycles[0]
        assert (query[query != 0] == whole[query != 0]).all()
        side = getattr(task, "side", None)
        assert (query == 0).sum() == (task.bits // 2 if side is None else side * (side // 2))


def test_strokes_are_ink_on_paper_and_differ():
    inputs, _, _ = sample(STROKES, 2)
    images = inputs[:, 0]
    assert set(np.unique(images)) == {-1.0, 1.0}
    assert 0.1 < (images > 0).mean() < 0.6
    assert len(np.unique(images, axis=0)) == 32


@pytest.fixture
def omniglot(tmp_path):
    """Eight alphabets of three drawings; a drawing of alphabet a has one pixel of ink in the a-th small pixel."""
    ink = np.zeros((24, 105, 105), np.uint8)
    for i in range(24):
        ink[i, 8, 7 * (i // 3) + i % 3] = 1
    np.savez(tmp_path / "background.npz", ink=np.packbits(ink.reshape(24, -1), axis=1), alphabet=np.arange(24) // 3)
    return tmp_path


def test_omniglot_is_shrunk_and_split_by_alphabet(omniglot):
    task = ImageCompletion(max_length=2, images="omniglot", path=str(omniglot))
    for one, alphabets in ((task, {0, 1}), (task.held_out(), {2, 3, 4, 5, 6, 7})):
        shown = sample(one, 2).inputs[:, 0].reshape(-1, 15, 15) > 0
        where = np.argwhere(shown)
        assert len(where) == 32
        assert set(where[:, 1]) == {1}
        assert set(where[:, 2]) == alphabets


# --- text ---------------------------------------------------------------------------------------------------------------

TRAIN, VALID = "to be or not to be\n" * 3, "be xo or not to to\n"


@pytest.fixture(params=["plain", "packed"])
def folder(request, tmp_path):
    for split, text in (("train", TRAIN), ("valid", VALID)):
        if request.param == "plain":
            (tmp_path / f"{split}.txt").write_text(text)
        else:
            (tmp_path / f"{split}.txt.xz").write_bytes(lzma.compress(text.encode()))
    return tmp_path


def read(task, numbers):
    return [task.corpus.symbols[n] for n in np.ravel(numbers)]


def test_characters_are_windows_of_the_text(folder):
    task = CharacterModel(vocabulary=20, max_length=8, path=str(folder))
    for one, text in ((task, TRAIN), (task.held_out(), VALID.replace("x", "?"))):
        inputs, targets, mask = sample(one, 8)
        for x, y in zip(inputs, targets, strict=True):
            seen, following = ("".join(read(one, numbers)).replace("<unk>", "?") for numbers in (x.argmax(-1), y))
            assert seen + following[-1] in text
            assert seen[1:] == following[:-1]
        assert mask.all()
    shorter = sample(task, 5)
    assert shorter.mask.sum(1).tolist() == [5] * 32
    assert not shorter.inputs[:, 5:].any()


def test_words_end_lines_and_rare_ones_are_unknown(folder):
    task = WordModel(vocabulary=4, max_length=6, path=str(folder))
    assert task.corpus.symbols == ("<unk>", "to", "be", "or")
    assert read(task, task.corpus.valid) == ["be", "<unk>", "or", "<unk>", "to", "to", "<unk>"]
    assert WordModel(vocabulary=9, max_length=6, path=str(folder)).corpus.symbols[-1] == "<eos>"


def test_a_stream_is_the_text_in_order(folder):
    task = CharacterModel(vocabulary=20, max_length=5, path=str(folder))
    batches = [jax.tree.map(np.asarray, batch) for batch in task.stream(3)]
    assert len(batches) == (len(TRAIN) - 1) // 15
    for row in range(3):
        seen = "".join("".join(read(task, batch.inputs[row].argmax(-1))) for batch in batches)
        following = "".join("".join(read(task, batch.targets[row])) for batch in batches)
        assert seen[1:] == following[:-1]
        assert seen + following[-1] in TRAIN


def test_a_single_file_is_cut(tmp_path):
    (tmp_path / "valid.txt").write_text("a" * 90 + "b" * 10)
    for path in (tmp_path, tmp_path / "valid.txt"):
        corpus = CharacterModel(max_length=5, path=str(path)).corpus
        assert corpus.symbols == ("<unk>", "a")
        assert (corpus.train.tolist(), corpus.valid.tolist()) == ([1] * 90, [0] * 10)


def test_bits_of_a_character(folder):
    task = CharacterModel(vocabulary=16, max_length=8, path=str(folder))
    batch = task.sample(KEY, 2, 8)
    found = task.metrics(np.zeros((2, 8, 16), np.float32), batch)
    np.testing.assert_allclose(found["bits_per_character"], 4, rtol=1e-6)


def test_evaluation_is_on_the_held_out_split(tmp_path):
    """A model that always says "a": right on the training text, wrong on the validation text."""
    (tmp_path / "train.txt").write_text("a" * 9)
    (tmp_path / "valid.txt").write_text("b" * 9)
    task = CharacterModel(vocabulary=3, max_length=4, path=str(tmp_path))
    config = Config(task, GRU(3, 2), controller="none", sequences=2)
    params = jax.tree.map(lambda a: np.zeros((1, *a.shape), a.dtype), jax.eval_shape(config.model().init_params, KEY))
    params["output"]["bias"] = np.float32([[0, 1, 0]])
    assert evaluate.evaluate(config, params)["error_percent"] == {"4": 100.0}


def test_data_are_found_by_the_environment(folder, monkeypatch):
    monkeypatch.setenv("DIFFMEM_DATA", str(folder.parent))
    monkeypatch.setattr(CharacterModel, "data", folder.name)
    assert len(CharacterModel(max_length=8).corpus.train) == len(TRAIN)


# --- settings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AssociativeRetrieval(letters=3), "AssociativeRetrieval.max_length is 4; legal: at most .* letters, 3"),
        (lambda: PatternCompletion(degraded=1.0), "PatternCompletion.degraded is 1.0; legal: more than 0"),
        (lambda: PatternCompletion(bits=1), "PatternCompletion.bits is 1; legal: integers from 2"),
        (lambda: ImageCompletion(images="photographs"), "ImageCompletion.images is 'photographs'; legal: 'strokes'"),
        (lambda: ImageCompletion(images="omniglot", side=9), "ImageCompletion.side is 9; legal for omniglot: divisors"),
        (lambda: ImageCompletion(split="test"), "ImageCompletion.split is 'test'; legal: 'train', 'valid'"),
        (lambda: WordModel(split="test"), "WordModel.split is 'test'; legal: 'train', 'valid'"),
        (lambda: WordModel(vocabulary=1), "WordModel.vocabulary is 1; legal: integers from 2"),
        (lambda: CharacterModel(path=__file__, max_length=10**6).corpus, "max_length is 1000000, but a split has"),
    ],
)
def test_illegal_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_missing_data_say_where_they_were_looked_for(tmp_path, monkeypatch):
    task = CharacterModel(path=str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"no data set 'tinyshakespeare': path leads to .*nowhere.*DIFFMEM_DATA"):
        task.sample(KEY, 2, 64)
    with pytest.raises(FileNotFoundError, match=r"has none of train\.txt"):
        replace(task, path=str(tmp_path)).sample(KEY, 2, 64)
    monkeypatch.setenv("DIFFMEM_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="no data set 'omniglot': DIFFMEM_DATA leads to"):
        ImageCompletion(images="omniglot").sample(KEY, 2, 5)


@pytest.mark.parametrize("task", [AssociativeRetrieval(), PatternCompletion(), ImageCompletion()], ids=str)
def test_defaults_fit_their_shapes(task):
    batch = jax.eval_shape(lambda key: task.sample(key, 2, task.lengths[1]), KEY)
    assert batch.inputs.shape == (2, task.steps, task.input_size)
    assert hash(replace(task)) == hash(task)
    assert task.held_out().lengths == task.lengths
