"""Tasks: the targets follow from the inputs, read by NumPy parsers that know nothing of how they were made."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmem.tasks import (
    TASKS,
    AssociativeRecall,
    Batch,
    Copy,
    NGrams,
    PrioritySort,
    RepeatCopy,
    bits_per_sequence,
    sample_lengths,
    wrong_bits_per_sequence,
)

# The default tasks of bits, always in batches of 32 as in the docstrings' examples: each is compiled once for the whole file.
PAPER = {name: TASKS[name]() for name in ("copy", "repeat_copy", "associative_recall", "ngrams", "priority_sort")}
COPY, REPEAT, RECALL, NGRAMS, SORT = PAPER.values()
KEY = jax.random.key(0)
every_task = pytest.mark.parametrize("task", PAPER.values(), ids=PAPER)


def sample(task, length, seeds=1, **more):
    """NumPy batch of 32 sequences a seed."""
    batches = [task.sample(jax.random.key(seed), 32, length, **more) for seed in range(seeds)]
    return Batch(*(np.concatenate(arrays) for arrays in zip(*batches, strict=True)))


def legal(task):
    low, high = task.legal_lengths
    return range(low, high + 1)


def drawn(values, steps=None):
    """A channel over time as the docstrings draw it: x where it is not 0."""
    assert steps is None or not values[steps:].any()
    return "".join("x" if value else "." for value in values[:steps])


# --- parsers: inputs [T, D] of one sequence -> targets, mask ----------------------------------------------------------


def only(flags):
    (places,) = np.nonzero(flags)
    assert len(places) == 1
    return places[0]


def answer(task, start, rows):
    targets, mask = np.zeros((task.steps, task.output_size)), np.zeros(task.steps, bool)
    targets[start : start + len(rows)] = rows
    mask[start : start + len(rows)] = True
    return targets, mask


def parse_copy(inputs):
    end = only(inputs[:, 8])
    assert not inputs[end, :8].any()
    assert not inputs[end + 1 :].any()
    return answer(COPY, end + 1, inputs[:end, :8])


def parse_repeat_copy(inputs):
    end = only(inputs[:, 8])
    repeats = round(float(inputs[end, 9]) * 8.25**0.5 + 5.5)  # uniform over 1..10: mean 5.5, variance 8.25
    assert not inputs[end, :8].any()
    assert not inputs[end + 1 :].any()
    assert not inputs[:end, 9].any()
    copies = np.tile(np.c_[inputs[:end, :8], np.zeros(end)], (repeats, 1))
    return answer(REPEAT, end + 1, np.r_[copies, [[0] * 8 + [1]]])


def parse_associative_recall(inputs):
    starts, (left, right) = np.nonzero(inputs[:, 6])[0], np.nonzero(inputs[:, 7])[0]
    assert not inputs[starts, :6].any()
    assert not inputs[[left, right], :6].any()
    assert not inputs[right + 1 :].any()
    assert starts[0] == 0
    assert [*np.diff(starts), left - starts[-1], right - left] == [4] * (len(starts) + 1)
    items = [inputs[start + 1 : start + 4, :6].tolist() for start in starts]
    place = items.index(inputs[left + 1 : right, :6].tolist())
    return answer(RECALL, right + 1, items[place + 1])  # IndexError if the query were the last


def parse_priority_sort(inputs):
    end = only(inputs[:, 8])
    assert not inputs[end, :8].any()
    assert inputs[end, 9] == 0
    assert not inputs[end + 1 :].any()
    ranked = sorted(inputs[:end].tolist(), key=lambda vector: vector[9], reverse=True)
    count = max(1, (8 * end + 5) // 10)  # 0.8 of them, rounded; no tie occurs
    return answer(SORT, end + 1, [vector[:8] for vector in ranked[:count]])


PARSERS = {
    "copy": parse_copy,
    "repeat_copy": parse_repeat_copy,
    "associative_recall": parse_associative_recall,
    "priority_sort": parse_priority_sort,
}


@pytest.mark.parametrize("name", PARSERS)
def test_targets_and_mask_follow_from_the_inputs(name):
    task = PAPER[name]
    for length in legal(task):
        for inputs, targets, mask in zip(*sample(task, length), strict=True):
            expected_targets, expected_mask = PARSERS[name](inputs)
            np.testing.assert_array_equal(targets, expected_targets)
            np.testing.assert_array_equal(mask, expected_mask)
            end = 4 * length if name == "associative_recall" else length
            assert inputs[end].any()
            assert not inputs[end, : task.bits].any()


# --- the drawings in the docstrings -----------------------------------------------------------------------------------


def test_copy_drawing():
    inputs, targets, mask = (values[0] for values in sample(COPY, 3))
    assert drawn(inputs[:, 8], 9) == "...x....."
    assert drawn(mask, 9) == "....xxx.."
    np.testing.assert_array_equal(inputs[:3, :8], targets[4:7])


def test_repeat_copy_drawing():
    inputs, targets, mask = (values[0] for values in sample(REPEAT, 2, repeats=3))
    assert drawn(inputs[:, 8], 10) == drawn(inputs[:, 9], 10) == "..x......."
    assert drawn(targets[:, 8], 10) == ".........x"
    assert drawn(mask, 10) == "...xxxxxxx"
    np.testing.assert_array_equal(np.tile(inputs[:2, :8], (3, 1)), targets[3:9, :8])


def test_associative_recall_drawing():
    inputs, targets, mask = (values[0] for values in sample(RECALL, 2))
    assert drawn(inputs[:, 6], 16) == "x...x..........."
    assert drawn(inputs[:, 7], 16) == "........x...x..."
    assert drawn(mask, 16) == ".............xxx"
    np.testing.assert_array_equal(inputs[1:4], inputs[9:12])
    np.testing.assert_array_equal(inputs[5:8, :6], targets[13:16])


def test_priority_sort_drawing():
    inputs, _, mask = (values[0] for values in sample(SORT, 5))
    assert drawn(inputs[:, 8], 10) == ".....x...."
    assert drawn(inputs[:, 9], 10) == "xxxxx....."
    assert drawn(mask, 10) == "......xxxx"


def test_ngrams_drawing():
    inputs, targets, mask = sample(NGRAMS, 6)
    assert drawn(mask[0], 8) == "xxxxxx.."
    np.testing.assert_array_equal(inputs[:, 1:6], targets[:, :5])
    assert not inputs[:, 0].any()
    assert not inputs[:, 6:].any()
    assert not targets[:, 6:].any()
    assert inputs[:, 5].any()
    assert targets[:, 5].any()


# --- what holds for every task ----------------------------------------------------------------------------------------


@every_task
def test_shapes_and_dtypes_do_not_depend_on_the_length(task):
    for length in task.legal_lengths:
        batch = sample(task, length)
        assert batch.inputs.shape == (32, task.steps, task.input_size)
        assert batch.inputs.dtype == np.float32
        assert batch.targets.shape == (32, task.steps, task.output_size)
        assert batch.targets.dtype == np.float32
        assert batch.mask.shape == (32, task.steps)
        assert batch.mask.dtype == bool
        assert set(np.unique(batch.targets)) == {0.0, 1.0}


@every_task
def test_dtypes_are_the_same_under_x64(task):
    with jax.enable_x64(True):
        batch = jax.eval_shape(lambda key: task.sample(key, 32, task.lengths[1]), jax.random.key(0))
    assert [array.dtype for array in batch] == [np.float32, np.float32, bool]


@every_task
def test_the_longest_sequence_fills_the_steps(task):
    more = {"repeats": task.max_repeats} if isinstance(task, RepeatCopy) else {}
    assert sample(task, task.legal_lengths[1], **more).mask[:, -1].all()


@every_task
def test_one_compilation_serves_all_lengths(task):
    traces = []

    @jax.jit
    def masked(key, length):  # the mask only: XLA drops the random numbers, which are what takes long to compile
        traces.append(length)
        return task.sample(key, 32, length).mask.argmax(1)

    firsts = {int(masked(KEY, length)[0]) for length in legal(task)}
    assert len(traces) == 1
    assert len(firsts) == (1 if isinstance(task, NGrams) else len(legal(task)))  # the length arrived


@every_task
def test_every_sequence_can_have_its_own_length(task):
    lengths = np.resize(legal(task), 32)
    together = sample(task, lengths)
    for place, length in list(enumerate(lengths))[::5]:
        alone = sample(task, int(length))
        for mine, its in zip(together, alone, strict=True):
            np.testing.assert_array_equal(mine[place], its[place])


@every_task
def test_the_same_key_gives_the_same_batch_and_another_key_another(task):
    length = task.legal_lengths[1]
    first, again, other = (task.sample(key, 32, length) for key in (KEY, jax.random.key(0), jax.random.key(1)))
    for mine, same, different in zip(first[:2], again[:2], other[:2], strict=True):
        np.testing.assert_array_equal(mine, same)
        assert (np.asarray(mine) != np.asarray(different)).any()
        assert len({sequence.tobytes() for sequence in np.asarray(mine)}) == 32  # sequences of a batch differ


@every_task
def test_random_bits_are_fair(task):
    _, targets, mask = sample(task, task.legal_lengths[1], seeds=20)
    bits = targets[mask]
    if isinstance(task, RepeatCopy):
        bits = bits[bits[:, 8] == 0, :8]
    assert (abs(bits.mean(0) - 0.5) < 0.05).all()  # in every channel: at least 1,900 bits, 640 sequences
    assert abs(bits.mean() - 0.5) < 0.02


@every_task
def test_tasks_are_hashable_and_equal_by_value(task):
    assert hash(replace(task)) == hash(task)
    assert replace(task) == task
    assert task != replace(task, lengths=(task.legal_lengths[1] - 1,) * 2)
    shapes = jax.jit(lambda task, key: task.sample(key, 2, task.lengths[1]), static_argnums=0).eval_shape(task, KEY)
    assert shapes.inputs.shape == (2, task.steps, task.input_size)


@pytest.mark.parametrize(
    ("name", "sizes", "lengths"),
    [
        ("copy", (9, 8, 41), (1, 20)),
        ("repeat_copy", (10, 9, 112), (1, 10)),
        ("associative_recall", (8, 6, 32), (2, 6)),
        ("ngrams", (1, 1, 200), (200, 200)),
        ("priority_sort", (10, 8, 37), (20, 20)),
    ],
)
def test_defaults_are_the_papers(name, sizes, lengths):
    task = PAPER[name]
    assert (task.input_size, task.output_size, task.steps) == sizes
    assert task.lengths == lengths
    maximum = "max_items" if name == "associative_recall" else "max_length"
    longer = replace(task, **{maximum: 300})
    assert longer.lengths == lengths
    assert longer.steps > task.steps
    batch = jax.eval_shape(lambda key: longer.sample(key, 4, 300), KEY)
    assert batch.inputs.shape == (4, longer.steps, sizes[0])
    assert batch.targets.shape == (4, longer.steps, sizes[1])


def test_traced_lengths_are_moved_into_the_legal_range():
    masks = jax.jit(lambda length: COPY.sample(KEY, 2, length).mask.sum())
    assert masks(99) == COPY.sample(KEY, 2, 20).mask.sum()


def test_half_of_the_sampled_lengths_are_the_lesson():
    task = replace(COPY, lengths=(2, 9))
    values, counts = np.unique(jax.jit(partial(sample_lengths, task), static_argnums=1)(KEY, 4000, 5), return_counts=True)
    assert values.tolist() == [2, 3, 4, 5]
    np.testing.assert_allclose(counts / 4000, [1 / 8, 1 / 8, 1 / 8, 5 / 8], atol=0.03)
    assert set(sample_lengths(task, KEY, 100, 2).tolist()) == {2}


def test_sampled_lengths_are_uniform_and_include_both_ends():
    values, counts = np.unique(sample_lengths(replace(COPY, lengths=(2, 9)), KEY, 4000), return_counts=True)
    assert values.tolist() == [*range(2, 10)]
    assert (abs(counts / 4000 - 1 / 8) < 0.02).all()


# --- particulars ------------------------------------------------------------------------------------------------------


def test_repeats_keep_the_scale_of_training():
    task = replace(REPEAT, max_repeats=20)
    shown = sample(task, 2, repeats=np.resize([1, 10, 20], 32)).inputs[:3, 2, 9]
    np.testing.assert_allclose(shown, [-4.5 / 8.25**0.5, 4.5 / 8.25**0.5, 14.5 / 8.25**0.5], rtol=1e-6)
    scaled = np.asarray(task.normalise(np.arange(1, 11)))
    np.testing.assert_allclose([scaled.mean(), scaled.var()], [0, 1], atol=1e-6)


def test_drawn_repeats_are_uniform_over_the_training_range():
    task = replace(REPEAT, max_repeats=20)
    repeats = sample(task, 1, seeds=100).mask.sum(1) - 1  # the end marker is masked too
    values, counts = np.unique(repeats, return_counts=True)
    assert values.tolist() == [*range(1, 11)]
    assert (abs(counts / 3200 - 0.1) < 0.02).all()


def test_a_single_trained_number_of_repeats_has_scale_1():
    task = RepeatCopy(train_repeats=(3, 3))
    np.testing.assert_array_equal(task.normalise(np.array([2, 3, 5])), [-1.0, 0.0, 2.0])


def test_lengths_and_repeats_for_each_sequence():
    batch = sample(REPEAT, np.resize([2, 3, 10], 32), repeats=np.resize([4, 1, 10], 32))
    assert batch.mask.sum(1)[:3].tolist() == [2 * 4 + 1, 3 * 1 + 1, 10 * 10 + 1]


def test_queries_are_uniform_over_all_items_but_the_last():
    inputs = sample(RECALL, 4, seeds=60).inputs[..., :6]
    items, query = inputs[:, :16].reshape(-1, 4, 4, 6)[:, :, 1:], inputs[:, None, 17:20]
    asked = (items == query).all((2, 3)).mean(0)
    assert asked[3] < 0.01
    assert (abs(asked[:3] - 1 / 3) < 0.04).all()


def test_priorities_are_uniform():
    counts, _ = np.histogram(sample(SORT, 20, seeds=16).inputs[:, :20, 9], bins=4, range=(-1, 1))
    assert counts.sum() == 10_240
    assert (abs(counts / 10_240 - 0.25) < 0.02).all()


@pytest.mark.parametrize("fraction", [0.05, 0.5, 0.7, 1.0])
def test_sort_counts_agree_with_the_steps_at_every_length(fraction):
    task = PrioritySort(bits=1, max_length=25, fraction=fraction)
    counts = jax.jit(lambda lengths: task.sample(KEY, 25, lengths).mask.sum(1))(np.arange(1, 26))
    assert counts.tolist() == [max(1, round(fraction * n)) for n in range(1, 26)]


# --- n-grams ----------------------------------------------------------------------------------------------------------


def estimator(bits, order):
    """Equation 10 with a dictionary."""
    counts, predictions = {}, []
    for t, bit in enumerate(bits):
        context = tuple(bits[t - order + 1 : t]) if t >= order - 1 else None
        zeros, ones = counts.get(context, (0, 0)) if context is not None else (0, 0)
        predictions.append((ones + 0.5) / (ones + zeros + 1))
        counts[context] = (zeros + (bit == 0), ones + (bit == 1))
    return np.array(predictions)


@pytest.mark.parametrize("order", [1, 2, 6])
def test_optimal_predictions_equal_a_loop(order):
    rng, task = np.random.default_rng(order), NGrams(order=order, max_length=60)
    lengths = np.array([60, 45, 60, 3])
    mask = np.arange(60) < lengths[:, None]
    bits = (rng.random((4, 60)) < [[0.5], [0.2], [0.95], [0.5]]) & mask
    previous = np.pad(bits, ((0, 0), (1, 0)))[:, :-1] & mask
    batch = Batch(np.float32(previous)[..., None], np.float32(bits)[..., None], mask)
    predictions, cost = jax.jit(lambda batch: (task.optimal_predictions(batch), task.optimal_bits_per_sequence(batch)))(batch)
    assert predictions.shape == (4, 60, 1)
    for place, length in enumerate(lengths):
        seen = bits[place, :length].tolist()
        expected = estimator(seen, order)
        np.testing.assert_allclose(predictions[place, :length, 0], expected, rtol=1e-6)
        np.testing.assert_allclose(cost[place], -np.log2(np.where(seen, expected, 1 - expected)).sum(), rtol=1e-5)


def test_the_estimator_of_the_true_order_is_the_best_and_pays_the_papers_133_bits():
    batch = sample(NGRAMS, 200, seeds=100)
    optimum = np.asarray(jax.jit(NGRAMS.optimal_bits_per_sequence)(batch))
    assert abs(optimum.mean() - 133.0) < 1.0  # 3,200 sequences: 1.6 standard errors
    for order in (5, 7):
        cost = jax.jit(NGrams(order=order).optimal_bits_per_sequence)(Batch(*(array[:320] for array in batch)))
        assert optimum[:320].mean() + 4 < cost.mean()


def test_lessons_of_ngrams_shorten_the_context_and_end_with_the_task():
    task = NGrams(by_lesson=True)
    assert (task.lengths, task.steps, task.held_out()) == ((1, 5), 200, NGRAMS)
    for lesson in (1, 3):
        batch = sample(task, lesson, seeds=5)
        costs = {n: float(jax.jit(NGrams(order=n).optimal_bits_per_sequence)(batch).mean()) for n in (lesson, lesson + 1, 6)}
        assert costs[lesson + 1] + 4 < min(costs[lesson], costs[6])
    for ours, whole in zip(sample(task, 5), sample(NGRAMS, 200), strict=True):
        np.testing.assert_array_equal(ours, whole)


def test_the_first_bits_are_fair_and_independent():
    bits = sample(NGRAMS, 200, seeds=100).targets[:, :5, 0]
    counts = np.bincount((bits @ [16, 8, 4, 2, 1]).astype(int), minlength=32)
    assert (abs(counts / 3200 - 1 / 32) < 0.0125).all()


def test_probabilities_follow_the_beta_law():
    frequency = sample(NGrams(order=1, max_length=400), 400, seeds=40).targets.mean((1, 2))
    variance = 1 / 8 + 1 / 8 / 400  # of Beta(1/2, 1/2), and of counting 400 bits; 1/12 for a uniform law
    assert abs(frequency.mean() - 0.5) < 0.03
    assert abs(frequency.var() - variance) < 0.01


def test_metrics_of_ngrams_name_the_optimum():
    batch = sample(NGRAMS, 100)
    probability = NGRAMS.optimal_predictions(batch)
    best, zero = jnp.log(probability / (1 - probability)), jnp.zeros(probability.shape)
    metrics, worse = NGRAMS.metrics(best, batch), NGRAMS.metrics(zero, batch)
    np.testing.assert_allclose(metrics["optimal_bits_per_sequence"], metrics["bits_per_sequence"], rtol=1e-5)
    assert worse["optimal_bits_per_sequence"] == metrics["optimal_bits_per_sequence"] < 90
    np.testing.assert_allclose(worse["bits_per_sequence"], 100, rtol=1e-6)


# --- loss and metrics -------------------------------------------------------------------------------------------------

HAND = Batch(  # two sequences of 3 steps with 2 channels
    jnp.zeros((2, 3, 1)),
    jnp.array([[[1, 0], [1, 1], [0, 0]], [[0, 0], [0, 1], [0, 0]]], jnp.float32),
    jnp.array([[True, True, False], [False, True, False]]),
)
LOG3 = np.log(3.0)  # probability 3/4
LOGITS = jnp.array([[[LOG3, LOG3], [-LOG3, 0.0], [9.0, 9.0]], [[9.0, 9.0], [-LOG3, LOG3], [9.0, 9.0]]])


def test_bits_of_a_hand_typed_case():
    right, wrong = np.log2(4 / 3), 2.0  # -log2 3/4 and -log2 1/4
    np.testing.assert_allclose(bits_per_sequence(LOGITS, HAND), [right + 2 * wrong + 1, 2 * right], rtol=1e-6)
    assert wrong_bits_per_sequence(LOGITS, HAND).tolist() == [3, 0]  # a logit of 0 says "0"
    np.testing.assert_allclose(Copy().loss(LOGITS, HAND), (3 * right + 5) / 2, rtol=1e-6)
    metrics = Copy().metrics(LOGITS, HAND)
    np.testing.assert_allclose(metrics["bits_per_sequence"], (3 * right + 5) / 2, rtol=1e-6)
    assert metrics["wrong_bits_per_sequence"] == 1.5


@every_task
def test_zero_logits_cost_one_bit_for_each_bit(task):
    batch = sample(task, task.legal_lengths[0])
    bits = batch.mask.sum(1) * task.output_size
    np.testing.assert_allclose(bits_per_sequence(np.zeros_like(batch.targets), batch), bits, rtol=1e-6)
    sure = 100 * (2 * batch.targets - 1)
    assert task.loss(sure, batch) == 0
    assert task.metrics(sure, batch)["wrong_bits_per_sequence"] == 0
    np.testing.assert_array_equal(wrong_bits_per_sequence(-sure, batch), bits)


def test_a_nan_in_the_padding_reaches_neither_the_loss_nor_its_gradient():
    logits = jnp.where(HAND.mask[..., None], LOGITS, jnp.nan)
    clean, spoilt = (jax.value_and_grad(Copy().loss)(values, HAND) for values in (LOGITS, logits))
    jax.tree.map(np.testing.assert_array_equal, clean, spoilt)
    assert jnp.abs(spoilt[1]).max() > 0


def test_costs_near_zero_and_in_bfloat16_are_exact():
    one = Batch(jnp.zeros((1, 1, 1)), jnp.ones((1, 1, 1)), jnp.ones((1, 1), bool))
    np.testing.assert_allclose(bits_per_sequence(jnp.full((1, 1, 1), 20.0), one), np.exp(-20) / np.log(2), rtol=1e-5)
    many = Batch(jnp.zeros((1, 1001, 1)), jnp.ones((1, 1001, 1)), jnp.ones((1, 1001), bool))
    np.testing.assert_allclose(bits_per_sequence(jnp.zeros((1, 1001, 1), jnp.bfloat16), many), 1001, rtol=1e-5)


def test_a_missing_axis_is_an_error_instead_of_a_broadcast():
    for cost in (bits_per_sequence, wrong_bits_per_sequence):
        with pytest.raises(ValueError, match=r"logits have shape \(2, 3\).*\(2, 3, 2\)"):
            cost(LOGITS[..., 0], HAND)


# --- errors -----------------------------------------------------------------------------------------------------------


@every_task
def test_lengths_outside_the_range_are_named(task):
    low, high = task.legal_lengths
    for length in (low - 1, high + 1, np.array([low, high + 1])):
        with pytest.raises(ValueError, match=rf"length is .*legal: {low} to {high}"):
            task.sample(KEY, 32, length)
    with pytest.raises(ValueError, match=r"length is 2\.5; legal: integers"):
        task.sample(KEY, 32, 2.5)
    with pytest.raises(ValueError, match=r"length has shape \(3,\)"):
        task.sample(KEY, 32, np.full(3, high))


def test_repeats_outside_the_range_are_named():
    for repeats in (0, 11):
        with pytest.raises(ValueError, match=f"repeats is {repeats}; legal: 1 to 10"):
            REPEAT.sample(KEY, 32, 3, repeats=repeats)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Copy(bits=0), "Copy.bits is 0; legal: integers from 1"),
        (lambda: Copy(bits=2.0), "Copy.bits is 2.0; legal: integers from 1"),
        (lambda: Copy(max_length=0), "Copy.max_length is 0; legal: integers from 1"),
        (lambda: Copy(lengths=(0, 20)), r"Copy.lengths is \(0, 20\); legal: 1 <= first <= last <= 20"),
        (lambda: Copy(lengths=(5, 4)), r"Copy.lengths is \(5, 4\); legal: 1 <="),
        (lambda: Copy(lengths=(1, 2, 3)), r"Copy.lengths is \(1, 2, 3\); legal: a pair"),
        (lambda: Copy(lengths=7), "Copy.lengths is 7; legal: a pair"),
        (lambda: replace(Copy(), max_length=10), r"Copy.lengths is \(1, 20\); legal: 1 <= first <= last <= 10"),
        (lambda: RepeatCopy(max_repeats=0), "RepeatCopy.max_repeats is 0; legal: integers from 1"),
        (lambda: RepeatCopy(train_repeats=(1, 11)), r"RepeatCopy.train_repeats is \(1, 11\); legal: 1 <= .* <= 10"),
        (lambda: AssociativeRecall(max_items=1), "AssociativeRecall.max_items is 1; legal: integers from 2"),
        (lambda: AssociativeRecall(item_length=0), "AssociativeRecall.item_length is 0; legal: integers from 1"),
        (lambda: AssociativeRecall(lengths=(1, 6)), r"AssociativeRecall.lengths is \(1, 6\); legal: 2 <="),
        (lambda: NGrams(order=0), "NGrams.order is 0; legal: integers from 1"),
        (lambda: NGrams(order=17), "NGrams.order is 17; legal: 1 to 16"),
        (lambda: NGrams(order=1, by_lesson=True), "NGrams.order is 1; legal: integers from 2"),
        (lambda: NGrams(by_lesson=True, lengths=(1, 6)), r"NGrams.lengths is \(1, 6\); legal: 1 <= first <= last <= 5"),
        (lambda: PrioritySort(fraction=0.0), "PrioritySort.fraction is 0.0; legal: more than 0, at most 1"),
        (lambda: PrioritySort(fraction=1.1), "PrioritySort.fraction is 1.1; legal: more than 0, at most 1"),
    ],
)
def test_illegal_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_list_of_lengths_becomes_hashable():
    assert hash(Copy(lengths=[1, 20])) == hash(Copy())
