"""The state of a task in memory: saved, and taken up again by a later version."""

import functools
import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.training.events.event_test import Counting
from tests.training.graph_loop_test import make_loop, run, weights
from tfplastic import mitigations, networks, tasks
from tfplastic.training.execution.graph_steps import GraphSteps, _empty
from tfplastic.training.execution.step_parts_file import has_parts, load_parts, save_parts


def test_a_state_of_before_lacks_what_has_come_last_since(tmp_path):
    task = tasks.RandomLabelTask(
        "digits", functools.partial(networks.mlp, hidden=(4,)), num_examples=50, batch_size=8
    )
    task.build(0)
    unused: Any = None
    steps, later = (GraphSteps(task, unused, unused, 0, "graph") for _ in range(2))
    steps.start()
    steps.save(tmp_path, tmp_path)
    with np.load(tmp_path / "task_state.npz") as file:
        arrays = list(file.values())
    np.savez(tmp_path / "task_state.npz", *arrays[:-1])
    later.restore(tmp_path, tmp_path, [])
    assert math.isnan(later.state.final_score) and later.state.final_score.dtype == tf.float64
    for one, other in zip(steps.state[:-1], later.state[:-1], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_part_without_a_fixed_shape_cannot_be_handed_on():
    assert _empty(tf.TensorSpec([2, 3])).shape == [2, 3]
    with pytest.raises(
        ValueError, match="`mitigations` must read tensors of fixed shape .* Give it a period be"
    ):
        _empty(tf.TensorSpec([None, 3]))


def test_a_step_whose_event_was_cut_short_is_read_after_resuming(tmp_path):
    def loop(**arguments):
        redo = mitigations.ReDo(period=14, threshold=0.9)  # reads the activations of step 14
        return make_loop(events=[Counting(steps=(14,), **arguments)], mitigations=[redo], total_steps=16)

    whole, _ = run(tmp_path / "whole", loop())
    without, _ = run(tmp_path / "without", make_loop(total_steps=16))
    assert np.any(weights(whole) != weights(without))
    run(tmp_path / "cut", loop(cut_short_at=14))
    # It waits once more, so that a session without a step has saved what the step before it handed on.
    run(tmp_path / "cut", loop(cut_short_at=14))
    resumed, code = run(tmp_path / "cut", loop())
    assert code == 0
    np.testing.assert_array_equal(weights(resumed), weights(whole))


def test_the_file_of_parts_keeps_dtypes_and_gaps(tmp_path):
    save_parts(tmp_path, {})
    assert not has_parts(tmp_path)
    parts = {
        "batch": (tf.constant([1, 2], tf.uint8), None, tf.constant([True, False])),
        "activations": {"hidden": tf.constant([[0.5, -2.0]], tf.bfloat16)},
    }
    save_parts(tmp_path, parts)
    loaded = load_parts(tmp_path, parts)
    tf.nest.assert_same_structure(parts, loaded)
    for one, other in zip(tf.nest.flatten(parts), tf.nest.flatten(loaded), strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
