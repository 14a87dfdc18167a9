"""Multi-query associative recall: a NumPy parser that knows nothing of how it is made, and what is drawn."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffmem.tasks import MultiQueryRecall, sample_lengths

TASK = MultiQueryRecall(keys=9, values=5, max_length=6)
KEY = jax.random.key(0)


def parse(inputs):
    """Targets and mask of inputs [T, 14]: a dictionary that is filled and asked."""
    known, targets, mask = {}, np.zeros(len(inputs), int), np.zeros(len(inputs), bool)
    for t, x in enumerate(inputs):
        (keys,), (values,) = np.nonzero(x[:9]), np.nonzero(x[9:])
        assert (x[np.nonzero(x)] == 1).all()
        if len(values):
            assert len(keys) == len(values) == 1
            assert keys[0] not in known
            assert not mask.any()
            known[keys[0]] = values[0]
        elif len(keys):
            assert len(keys) == 1
            targets[t], mask[t] = known.pop(keys[0]), True  # KeyError if it were asked twice
    assert not known
    return targets, mask


def test_targets_and_mask_follow_from_the_inputs():
    lengths = np.resize(np.arange(1, 7), 48)
    batch = jax.tree.map(np.asarray, TASK.sample(KEY, 48, lengths))
    assert batch.inputs.shape == (48, TASK.steps, TASK.input_size) == (48, 12, 14)
    assert (batch.inputs.dtype, batch.targets.dtype, batch.mask.dtype) == (np.float32, np.int32, bool)
    for inputs, targets, mask, length in zip(*batch, lengths, strict=True):
        expected_targets, expected_mask = parse(inputs)
        np.testing.assert_array_equal(targets, expected_targets)
        np.testing.assert_array_equal(mask, expected_mask)
        assert mask.sum() == length
        assert not inputs[2 * length :].any()


def test_keys_values_and_orders_are_uniform():
    inputs, targets, mask = jax.tree.map(np.asarray, TASK.sample(jax.random.key(1), 3000, 3))
    assert (abs(inputs[:, 0, :9].mean(0) - 1 / 9) < 0.025).all()
    assert (abs(np.bincount(targets[mask]) / mask.sum() - 1 / 5) < 0.02).all()
    asked = (inputs[:, 3, None, :9] == inputs[:, :3, :9]).all(-1).mean(0)  # the pair that is asked first
    assert (abs(asked - 1 / 3) < 0.035).all()


def test_sizes_and_limits():
    task = MultiQueryRecall()
    assert (task.input_size, task.output_size, task.steps, task.lengths) == (320, 64, 128, (4, 64))
    longer = replace(task, max_length=256)
    assert (longer.steps, longer.lengths, longer.legal_lengths) == (512, (4, 64), (1, 256))
    assert replace(TASK, lengths=(2, 2)) != TASK
    assert set(np.asarray(sample_lengths(TASK, KEY, 200)).tolist()) == {4, 5, 6}
    with pytest.raises(ValueError, match=r"MultiQueryRecall\.max_length is 10; legal: 1 to 9, the number of keys"):
        MultiQueryRecall(keys=9, max_length=10)
    with pytest.raises(ValueError, match=r"length is 7; legal: 1 to 6"):
        TASK.sample(KEY, 2, 7)


def test_one_trace_serves_all_lengths_and_x64_changes_no_type():
    traces = []

    @jax.jit
    def sample(length):
        traces.append(length)
        return TASK.sample(KEY, 2, length).mask.sum()

    assert [int(sample(jnp.int32(n))) for n in (1, 4, 6)] == [2, 8, 12]
    assert len(traces) == 1
    with jax.enable_x64(True):
        batch = jax.eval_shape(lambda key: TASK.sample(key, 2, 3), jax.random.key(0))
    assert [array.dtype for array in batch] == [np.float32, np.int32, bool]
