"""The norm of all gradients together against numpy in float64."""

import numpy as np
import pytest
import tensorflow as tf

from tfplastic.training.step_parts.global_norm import global_norm


@pytest.mark.parametrize("shapes", [[()], [(1,)], [(32,)], [(33,)], [(784, 25), (25,), (3, 3, 2, 7)]])
@pytest.mark.parametrize("of_one_example", [False, True])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_is_the_root_of_the_sum_of_squares(shapes, jit_compile, of_one_example):
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=shape) for shape in shapes]
    expected = np.sqrt(sum(np.sum(array**2) for array in arrays))
    tensors = [tf.constant(array, tf.float32) for array in arrays]
    found = tf.function(global_norm, jit_compile=jit_compile)(tensors, of_one_example)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_what_is_not_finite_shows():
    assert np.isnan(global_norm([tf.ones([40]), tf.constant([0.0, np.nan])]))
    assert np.isinf(global_norm([tf.ones([40]), tf.constant([0.0, -np.inf])]))
    assert np.isnan(global_norm([tf.ones([40, 2]), tf.constant([[0.0, np.nan]])], of_one_example=True))
