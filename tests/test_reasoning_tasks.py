"""Nth farthest and learning to execute: answers are worked out anew, from what a model sees."""

import itertools
import warnings
from dataclasses import replace

import jax
import numpy as np
import pytest

from diffmem.tasks import TASKS, Memorisation, NthFarthest, Programs
from diffmem.tasks.programs import CHARACTERS, KINDS, multiply, number, pack, text_of

KEY = jax.random.key(0)
FARTHEST = NthFarthest()
PROGRAMS = {kind: Programs(kind, max_length=7, nestings=(1, 3)) for kind in KINDS}
MEMORISATIONS = {kind: Memorisation(kind) for kind in ("copy", "reverse", "double")}
every_task = pytest.mark.parametrize(
    "task", [FARTHEST, *PROGRAMS.values(), *MEMORISATIONS.values()], ids=["farthest", *PROGRAMS, *MEMORISATIONS]
)


def sample(task, length, batch=256):
    return jax.tree.map(np.asarray, task.sample(KEY, batch, length))


def mixed(task, batch=256):
    """A batch of all legal lengths."""
    low, high = task.legal_lengths
    return sample(task, np.resize(np.arange(low, high + 1), batch), batch)


@every_task
def test_shapes_and_padding(task):
    inputs, targets, mask = mixed(task)
    assert inputs.shape == (256, task.steps, task.input_size)
    assert (inputs.dtype, targets.dtype, mask.dtype) == (np.float32, np.int32, bool)
    assert (targets >= 0).all()
    assert (targets < task.output_size).all()
    assert not targets[~mask].any()
    assert mask.any(-1).all()
    assert hash(task) == hash(replace(task))
    assert type(task) in TASKS.values()
    assert len({row.tobytes() for row in inputs}) > 150  # numbers of one digit repeat themselves


def test_metrics_count_characters_and_sequences():
    task = MEMORISATIONS["copy"]
    batch = sample(task, 4, 256)
    logits = 50.0 * np.eye(10, dtype=np.float32)[batch.targets]
    place = np.argmax(batch.mask[0])
    logits[0, place] = np.roll(logits[0, place], 1)
    metrics = task.metrics(logits, batch)
    np.testing.assert_allclose(metrics["error_percent"], 100 / (4 * 256), rtol=1e-5)
    np.testing.assert_allclose(metrics["sequence_error_percent"], 100 / 256, rtol=1e-5)


# --- Nth farthest -----------------------------------------------------------------------------------------------------


def answer(inputs, length):
    """The label of the nth farthest of the first `length` vectors, from the inputs of one sequence."""
    vectors, labels, reference, rank = np.split(inputs[:length], [16, 24, 32], axis=-1)
    assert (labels.sum(-1) == 1).all()
    assert labels.any(0).sum() == length  # no label twice
    assert (reference == reference[0]).all()
    assert (rank == rank[0]).all()
    labels = labels.argmax(-1)
    (place,) = np.flatnonzero(labels == reference[0].argmax())
    by_distance = sorted(range(length), key=lambda i: np.linalg.norm(vectors[i] - vectors[place]), reverse=True)
    assert by_distance[-1] == place
    return labels[by_distance[rank[0].argmax()]]


def test_the_nth_farthest_is_the_nth_farthest():
    lengths = np.resize(np.arange(2, 9), 256)
    inputs, targets, mask = sample(FARTHEST, lengths)
    for row, length, target, scored in zip(inputs, lengths, targets, mask, strict=True):
        assert not row[length:].any()
        assert np.flatnonzero(scored).tolist() == [length - 1]
        assert target[length - 1] == answer(row, length)


def test_asking_at_every_step_asks_about_the_vectors_so_far():
    task, lengths = replace(FARTHEST, every_step=True), np.resize(np.arange(2, 9), 256)
    batch = sample(task, lengths)
    for row, length, target, scored in zip(*batch[:1], lengths, *batch[1:], strict=True):
        first = max(np.flatnonzero((row[:, 16:24] == row[0, 24:32]).all(-1))[0], row[0, 32:].argmax())
        assert np.flatnonzero(scored).tolist() == list(range(first, length))
        for t in range(first, length):
            assert target[t] == answer(row, t + 1)
    logits = 50.0 * np.eye(8, dtype=np.float32)[batch.targets]
    logits[np.arange(256), lengths - 1] *= -1
    assert task.metrics(logits, batch)["error_percent"] == 100
    assert task.loss(logits, batch) < 49


def test_lessons_of_nth_farthest():
    task = replace(FARTHEST, by_lesson=True, lengths=None)
    assert (task.lengths, task.steps) == ((1, 9), 8)
    assert task.lessons[:2] == [(3, 1), (3, 2)]
    assert task.lessons[-2:] == [(3, 16), (8, 16)]
    assert task.held_out() == FARTHEST
    lengths = np.resize(np.arange(1, 10), 256)
    inputs, targets, mask = sample(task, lengths)
    counts = np.asarray(mask).argmax(1) + 1
    assert set(counts[lengths < 9]) == {3}
    assert set(counts[lengths == 9]) == {3, 4, 5, 6, 7, 8}
    for row, length, count, target, scored in zip(inputs, lengths, counts, targets, mask, strict=True):
        numbers = task.lessons[length - 1][1]
        assert row[:count, :numbers].all()
        assert not row[count:].any()
        assert not row[:, numbers:16].any()
        assert np.flatnonzero(scored).tolist() == [count - 1]
        assert target[count - 1] == answer(row, count)


def test_farthest_is_uniform_in_everything():
    batches = [FARTHEST.sample(jax.random.key(seed), 256, 8) for seed in range(16)]
    inputs, targets, _ = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    for counts in (np.bincount(targets[:, 7], minlength=8), *inputs[:, 0, 16:].reshape(-1, 3, 8).sum(0)):
        assert (abs(counts / 4096 - 1 / 8) < 0.025).all()  # five standard deviations
    vectors = inputs[..., :16]
    assert abs(vectors.mean()) < 0.01
    np.testing.assert_allclose(vectors.var(), 1 / 3, atol=0.01)
    assert abs(vectors).max() <= 1


def test_farthest_in_the_papers_sizes():
    assert (FARTHEST.input_size, FARTHEST.output_size, FARTHEST.steps, FARTHEST.lengths) == (40, 8, 8, (8, 8))
    assert NthFarthest(vector_size=32).input_size == 56
    assert NthFarthest(max_length=4, lengths=(2, 4)).lengths == (2, 4)


# --- Learning to execute ----------------------------------------------------------------------------------------------


def evaluated(program):
    """What Python makes of a program; a loop that adds b to a n times is a+n*b."""
    for ours, python in (("x=", ""), ("x+=", ""), ("for[", "+"), ("]", "*"), ("if", " if "), ("else", " else ")):
        program = program.replace(ours, python)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        return eval(program)


@pytest.mark.parametrize(
    ("program", "value"),
    [
        ("12+34", 46),
        ("(12+34)-70", -24),
        ("x=5for[3]x+=7", 26),
        ("(x=(3*4)for[2]x+=10)*2", 64),
        ("(25if10<2else33)-4", 29),
        ("(x=25for[1]x+=1)if10>2else33", 26),
    ],
)
def test_the_evaluator(program, value):
    assert evaluated(program) == value


@pytest.mark.parametrize("kind", KINDS)
def test_programs_give_what_python_gives(kind):
    task, lengths = PROGRAMS[kind], np.resize(np.arange(1, 8), 256)
    inputs, targets, mask = sample(task, lengths)
    programs = text_of(inputs)
    for program, length, row, target, scored in zip(programs, lengths, inputs, targets, mask, strict=True):
        shown = row.any(-1)
        assert shown.tolist() == [t < len(program) for t in range(task.steps)]
        result = str(evaluated(program) % 10 ** (int(length) + 1))
        assert np.flatnonzero(scored).tolist() == list(range(len(program), len(program) + len(result)))
        assert "".join(map(str, target[scored])) == result
        numbers = "".join(c if c.isdigit() else " " for c in program).split()
        assert all(len(n) == length or f"[{n}]" in program for n in numbers)
    written = "".join(programs).replace("x+=", "x=")
    drawn = {symbol for symbol in ("+", "-", "*", "if", "else", "<", ">", "for", "x=") if symbol in written}
    control = {"if", "else", "<", ">", "for", "x="}
    assert drawn == {"addition": {"+"}, "control": control, "program": control | {"+", "-", "*"}}[kind]
    depths = [max(itertools.accumulate((c == "(") - (c == ")") for c in program)) for program in programs]
    assert set(depths) == {0, 1, 2}


@pytest.mark.parametrize(
    ("kind", "longest"),
    [
        ("addition", "(12345+12345)+12345"),
        ("control", "(12345if12345<12345else12345)if12345>12345else12345"),
        ("program", "(12345if12345<12345else12345)if12345>12345else12345"),
    ],
)
def test_there_is_room_for_the_longest_program(kind, longest):
    assert Programs(kind, max_length=5, nestings=(1, 2)).steps == len(longest) + 6  # and an answer of six digits


def test_numbers_of_seven_digits_do_not_overflow():
    digits = np.array([9, 9, 9, 9, 9, 9, 9, -1])
    assert number(digits) == 9_999_999
    for value, modulus in itertools.product((1, 99_999_999), (10**8, 10**2)):
        assert multiply(np.int32(value % modulus), digits, modulus) == value * 9_999_999 % modulus
    assert pack(np.array([-1, 3, -1, -1, 5, 6, -1]), 5).tolist() == [3, 5, 6, -1, -1]


@pytest.mark.parametrize("kind", MEMORISATIONS)
def test_memorisation_says_it_again(kind):
    task, lengths = MEMORISATIONS[kind], np.resize(np.arange(1, 11), 256)
    inputs, targets, mask = sample(task, lengths)
    for shown, length, target, scored in zip(text_of(inputs), lengths, targets, mask, strict=True):
        assert len(shown) == length
        assert shown[0] != "0"
        expected = {"copy": shown, "reverse": shown[::-1], "double": shown + shown}[kind]
        assert "".join(map(str, target[scored])) == expected
        assert np.flatnonzero(scored)[0] == length


def test_every_character_can_be_told_apart():
    assert len(set(CHARACTERS)) == len(CHARACTERS) == PROGRAMS["program"].input_size


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NthFarthest(max_length=1), "NthFarthest.max_length is 1; legal: integers from 2"),
        (lambda: NthFarthest(vector_size=0), "NthFarthest.vector_size is 0; legal: integers from 1"),
        (lambda: NthFarthest(lengths=(1, 8)), r"NthFarthest.lengths is \(1, 8\); legal: 2 <= first <= last <= 8"),
        (lambda: Programs("loops"), "Programs.kind is 'loops'; legal: 'addition', 'control', 'program'"),
        (lambda: Programs(max_length=8), "Programs.max_length is 8; legal: 1 to 7"),
        (lambda: Programs(nestings=(0, 2)), r"Programs.nestings is \(0, 2\); legal: 1 <= first <= last <= 9"),
        (lambda: Memorisation("triple"), "Memorisation.kind is 'triple'; legal: 'copy', 'reverse', 'double'"),
        (lambda: Memorisation(max_length=0), "Memorisation.max_length is 0; legal: integers from 1"),
    ],
)
def test_illegal_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
