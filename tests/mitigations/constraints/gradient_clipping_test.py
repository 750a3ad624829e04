import numpy as np
import pytest
import tensorflow as tf

from tests.mitigations.ten_steps import KINDS, assert_as_by_hand, fitted
from tfplastic.mitigations import GradientClipping, WeightDecay


def clipped(gradients, max_norm):
    norm = np.sqrt(sum((each**2).sum() for each in gradients))
    return [each * min(max_norm / norm, 1) for each in gradients]


@pytest.mark.parametrize("kind", KINDS)
def test_ten_steps(kind):
    assert_as_by_hand(kind, [GradientClipping(0.5)], lambda found, *_: clipped(found, 0.5))


def test_the_gradient_of_a_penalty_is_clipped_too():
    def transform(found, weights, start, step):
        return clipped([each + 2 * 0.1 * weight for each, weight in zip(found, weights, strict=True)], 0.5)

    assert_as_by_hand("dense", [WeightDecay(0.1), GradientClipping(0.5)], transform)


def test_small_gradients_keep_their_bits():
    with_it, without = fitted("dense", [GradientClipping(1e3)]), fitted("dense", [])
    for one, other in zip(with_it.get_weights(), without.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_sparse_gradients_and_those_of_zeros():
    sparse = tf.IndexedSlices(tf.constant([[3.0], [1.0]]), tf.constant([1, 1]), tf.constant([3, 1]))
    found = GradientClipping(1.0).transform_gradients([sparse, tf.constant([3.0])], [])
    np.testing.assert_allclose(found[0], [[0], [0.8], [0]], rtol=1e-6)
    np.testing.assert_allclose(found[1], [0.6], rtol=1e-6)
    (zeros,) = GradientClipping(1.0).transform_gradients([tf.zeros([2])], [])
    assert not zeros.numpy().any()


@pytest.mark.parametrize("norm", [0, -1.0, None])
def test_arguments_out_of_range(norm):
    with pytest.raises(ValueError) as error:
        GradientClipping(norm)
    assert str(error.value) == f"`max_norm` must be a finite number above 0. Received: {norm}"
