import numpy as np
import pytest
import tensorflow as tf

from tests.layers.feature_pairs.activation_pairs import check_units, feature_network
from tfplastic.layers import CReLU


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 2, 6)])
def test_equals_both_parts_in_float64_and_tensorflows(shape):
    inputs = np.random.default_rng(0).normal(size=shape)
    expected = np.concatenate([np.maximum(inputs, 0), np.maximum(-inputs, 0)], -1)
    outputs = CReLU(dtype="float64")(inputs)
    np.testing.assert_array_equal(outputs, expected)
    np.testing.assert_array_equal(outputs, tf.nn.crelu(inputs))


def test_axis_of_channels_first():
    inputs = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    outputs = CReLU(axis=1)(inputs)
    assert tuple(outputs.shape) == (2, 6, 4) == tuple(CReLU(axis=1).compute_output_shape((2, 3, 4)))
    np.testing.assert_array_equal(outputs[:, 3:], np.maximum(-inputs, 0))


@pytest.mark.parametrize("axis", [0, 2, -2, True, "x"])
def test_another_axis_is_refused(axis):
    with pytest.raises(ValueError, match="`axis` must be .* Received: "):
        CReLU(axis=axis)(tf.zeros([2, 3]))


def test_a_unit_is_the_pair():
    check_units("crelu")


def test_a_unit_is_dead_where_both_parts_are_zero_and_linear_where_the_sign_stays():
    pre = np.array([[0.0, 1.0, -2.0, 1.0], [0.0, 2.0, -1.0, -1.0], [0.0, 3.0, -4.0, 5.0]])
    report = feature_network(CReLU(name="act"), pre, ("dead_units", "active_units", "linearized_units"))
    assert report["dead_units"]["act"] == 1 / 4
    assert report["active_units"]["act"] == 3 / 4
    # All but the last one, whose input changes its sign.
    assert report["linearized_units"]["act"] == 3 / 4
    report = feature_network(CReLU(name="act"), pre, ("dormant_units", "saturated_units"))
    assert report["dormant_units"]["act"] == 1 / 4
    assert np.isnan(report["saturated_units"]["act"])
