"""The state of a task in memory: saved, and taken up again by a later version."""

import functools
import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfplastic import networks, tasks
from tfplastic.training.execution.graph_steps import GraphSteps, _empty


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
