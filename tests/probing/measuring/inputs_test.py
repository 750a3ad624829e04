"""Inputs from arrays, datasets and replay buffers."""

import collections
import math

import numpy as np
import pytest
import tensorflow as tf

from tfplastic._keras import is_legacy
from tfplastic.probing._measuring.inputs import as_inputs, digest

ARRAY = np.arange(20, dtype=np.float32).reshape(10, 2)


def test_arrays_and_nests_are_taken_as_they_are():
    assert as_inputs(ARRAY, None, 0) is ARRAY
    nest = as_inputs({"a": ARRAY, "b": tf.constant(ARRAY[:, :1])}, 10, 0)
    np.testing.assert_array_equal(nest["b"], ARRAY[:, :1])


def test_lists_of_numbers_are_arrays():
    np.testing.assert_array_equal(as_inputs(ARRAY.tolist(), None, 0), ARRAY)
    nest = as_inputs({"a": ARRAY.tolist(), "b": list(range(10))}, None, 0)
    np.testing.assert_array_equal(nest["a"], ARRAY)
    assert nest["b"].tolist() == list(range(10))
    assert len(as_inputs([ARRAY, ARRAY], None, 0)) == 2  # still a nest of arrays


@pytest.mark.parametrize("with_targets", [False, True])
def test_datasets_are_joined_also_where_the_last_batch_is_shorter(with_targets):
    data = (ARRAY, ARRAY[:, 0]) if with_targets else ARRAY
    dataset = tf.data.Dataset.from_tensor_slices(data).batch(4)
    np.testing.assert_array_equal(as_inputs(dataset, None, 0), ARRAY)


def test_the_seed_draws_without_replacement():
    drawn = as_inputs(ARRAY, 6, 0)
    assert len({tuple(row) for row in drawn}) == 6
    np.testing.assert_array_equal(as_inputs(ARRAY, 6, 0), drawn)
    assert np.any(as_inputs(ARRAY, 6, 1) != drawn)


def test_digests_tell_values_shapes_and_dtypes_apart():
    others = [ARRAY + 1, ARRAY.reshape(5, 4), ARRAY.view(np.int32), (ARRAY[:5], ARRAY[5:])]
    assert len({digest(each) for each in [ARRAY, *others]}) == 5
    assert digest(ARRAY.copy()) == digest(ARRAY)


@pytest.mark.skipif(not is_legacy(), reason="TF-Agents needs Keras 2")
def test_replay_buffers_give_observations():
    from tf_agents.replay_buffers import tf_uniform_replay_buffer

    Item = collections.namedtuple("Item", ["observation"])
    replay = tf_uniform_replay_buffer.TFUniformReplayBuffer(Item(tf.TensorSpec([2])), 2, max_length=5)
    for row in range(0, 10, 2):
        replay.add_batch(Item(tf.constant(ARRAY[row : row + 2])))
    found = as_inputs(replay, None, 0)
    np.testing.assert_array_equal(sorted(found.tolist()), ARRAY)


class Replay:
    """A layer like this library's: it draws by a key."""

    def gather_all(self):
        raise ValueError("would not fit")

    def sample(self, count, key):
        del key
        return type("Trajectory", (), {"observation": np.stack([ARRAY[:count], ARRAY[:count] + 1], axis=1)})


def test_replays_of_this_library_draw():
    np.testing.assert_array_equal(as_inputs(Replay(), 3, 0), ARRAY[:3])


@pytest.mark.parametrize(
    ("inputs", "num_inputs", "message"),
    [
        (
            (ARRAY, ARRAY[:3]),
            None,
            "`inputs` must be arrays of one length of at least 1. Received: shapes [[10, 2], [3, 2]]",
        ),
        (ARRAY[:0], None, "`inputs` must be arrays of one length of at least 1. Received: shapes [[0, 2]]"),
        (
            np.float32(1),
            None,
            "`inputs` must be arrays of one length of at least 1. Received: shapes [[]]",
        ),
        (
            dict(enumerate(ARRAY.ravel())),  # a nest of numbers
            None,
            "`inputs` must be arrays of one length of at least 1. Received: shapes [[], [], [], []] and 16"
            " more",
        ),
        (np.array(["a"]), None, "`inputs` must be numbers. Received: <U1"),
        (
            np.array([[1.0, math.nan], [math.inf, 0.0]]),
            None,
            "`inputs` must be finite. Received: 2 of 4 that are not",
        ),
        (ARRAY, 11, "`num_inputs` must be at most 10, all there are. Received: 11"),
        (Replay(), None, "`num_inputs` must be given for a replay buffer. Received: None"),
        (
            tf.data.Dataset.from_tensors(ARRAY).repeat(),
            None,
            "`inputs` must be arrays, or a dataset that ends. Received: an endless tf.data.Dataset. "
            "`num_inputs` says how many to take of it.",
        ),
        (
            tf.data.Dataset.from_tensors(ARRAY).take(0),
            None,
            "`inputs` must hold at least one example. Received: an empty dataset",
        ),
    ],
)
def test_errors(inputs, num_inputs, message):
    with pytest.raises(ValueError) as caught:
        as_inputs(inputs, num_inputs, 0)
    assert str(caught.value) == message
