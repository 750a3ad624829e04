import numpy as np
import pytest

from tests.layers.feature_pairs.activation_pairs import check_units, feature_network
from tfplastic.layers import DeepFourier


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 2, 6)])
def test_equals_sine_and_cosine_in_float64(shape):
    inputs = 3 * np.random.default_rng(0).normal(size=shape)
    expected = np.concatenate([np.sin(inputs), np.cos(inputs)], -1)
    np.testing.assert_allclose(DeepFourier(dtype="float64")(inputs), expected, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(DeepFourier()(inputs), expected, rtol=1e-5, atol=1e-6)


def test_another_axis_is_refused():
    with pytest.raises(ValueError, match="`axis` must be of 1 to 1, or negative.* Received: 2"):
        DeepFourier(axis=2)(np.zeros((2, 3), np.float32))


def test_a_unit_is_the_pair():
    check_units("deep_fourier")


def test_no_unit_is_dead_or_dormant_even_where_a_feature_is_zero():
    pre = np.array([[0.0, 0.01], [0.0, -0.01], [0.0, 1.0]])
    names = ("dead_units", "dormant_units", "active_units", "saturated_units", "linearized_units")
    report = feature_network(DeepFourier(name="act"), pre, names)
    assert report["dead_units"]["act"] == report["dormant_units"]["act"] == 0
    assert report["active_units"]["act"] == 1
    assert np.isnan(report["saturated_units"]["act"])
    assert report["linearized_units"]["act"] == 1 / 2  # the first does not vary
