import re

import numpy as np
import pytest
import tensorflow as tf

from tfplastic.layers import SelfAttention


@pytest.mark.parametrize("num_heads", [1, 2, 4])
def test_equals_loops_over_heads_and_positions_in_float64(num_heads):
    inputs = np.random.default_rng(0).normal(size=(3, 5, 24))
    query, key, value = inputs[..., :8], inputs[..., 8:16], inputs[..., 16:]
    size = 8 // num_heads
    expected = np.empty((3, 5, 8))
    for example, position, head in np.ndindex(3, 5, num_heads):
        own = slice(head * size, (head + 1) * size)
        weights = np.exp(key[example][:, own] @ query[example, position, own] / size**0.5)
        expected[example, position, own] = weights / weights.sum() @ value[example][:, own]
    outputs = SelfAttention(num_heads, dtype="float64")(tf.constant(inputs))
    np.testing.assert_allclose(outputs, expected, rtol=1e-12)


def test_equal_queries_and_keys_give_the_mean_of_the_values():
    inputs = tf.concat([tf.ones([1, 3, 4]), tf.reshape(tf.range(6.0), [1, 3, 2])], axis=-1)
    np.testing.assert_allclose(SelfAttention(1)(inputs), [[[2, 3]] * 3], rtol=1e-6)


def test_large_scores_do_not_overflow_in_float16():
    inputs = np.full((1, 2, 3), 200.0, np.float16)
    inputs[..., 2] = [[1.0, 3.0]]
    outputs = SelfAttention(1, dtype="float16")(tf.constant(inputs))
    assert outputs.numpy().ravel().tolist() == [2.0, 2.0]


def test_wrong_sizes_are_refused():
    message = "The last axis of the inputs must be a multiple of 3 x 4 heads. Received: 18"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        SelfAttention(4).build((None, 5, 18))
    with pytest.raises(ValueError, match="^`num_heads` must be an integer of at least 1. Received: 0$"):
        SelfAttention(0)
