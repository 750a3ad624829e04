import dataclasses

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics import models
from tfplastic.diagnostics import Snapshot, UnitStatistics

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
ARRAYS = [
    each.name for each in dataclasses.fields(UnitStatistics) if each.name not in ("activation", "count")
]


@BOTH
def test_golden(keras):
    """On (1, 2), (3, 0) and (-6, 0) the pre-activations of `models.mlp` are

    3, 3, -6; -3, -3, 6; .01, .03, -.06; -1, -1, -1. Activations are their positive parts.
    """
    snapshot = Snapshot(models.mlp(keras), tf.constant([[1.0, 2.0], [3.0, 0.0], [-6.0, 0.0]]))
    (found,) = snapshot.unit_statistics.values()
    assert (found.activation, found.count) == ("relu", 3)
    expected = {
        "mean_abs": [2, 2, 0.04 / 3, 0],
        "mean": [2, 2, 0.04 / 3, 0],
        "variance": [2, 8, (0.01**2 + 0.03**2) / 3 - (0.04 / 3) ** 2, 0],
        "zero_fraction": [1 / 3, 2 / 3, 1 / 3, 1],
        "saturated_fraction": [np.nan] * 4,
        "pre_mean": [0, 0, -0.02 / 3, -1],
        "pre_variance": [18, 18, (0.01**2 + 0.03**2 + 0.06**2) / 3 - (0.02 / 3) ** 2, 0],
        "pre_positive_fraction": [2 / 3, 1 / 3, 2 / 3, 0],
    }
    assert list(expected) == ARRAYS
    for name, values in expected.items():
        assert getattr(found, name).dtype == np.float64
        np.testing.assert_allclose(getattr(found, name), values, rtol=1e-6, err_msg=name)


def _naive(values, given, axis, bounds):
    values, given = np.asarray(values, np.float64), np.asarray(given, np.float64)
    saturated = (values < bounds[0]) | (values > bounds[1]) if bounds else np.full(values.shape, np.nan)
    return {
        "mean_abs": np.abs(values).mean(axis),
        "mean": values.mean(axis),
        "variance": values.var(axis),
        "zero_fraction": (values == 0).mean(axis),
        "saturated_fraction": saturated.mean(axis),
        "pre_mean": given.mean(axis),
        "pre_variance": given.var(axis),
        "pre_positive_fraction": (given > 0).mean(axis),
    }


@BOTH
@pytest.mark.parametrize("batch_size", [512, 7, 3])
def test_against_numpy_whole_and_in_blocks(keras, batch_size):
    model = models.cnn(keras)
    inputs = tf.random.stateless_normal((7, 6, 6, 2), [0, 1])
    snapshot = Snapshot(model, inputs, batch_size=batch_size)
    assert list(snapshot.unit_statistics) == ["conv1_relu", "conv2_relu", "dense_tanh"]
    for name, found in snapshot.unit_statistics.items():
        values, given = snapshot.activations[name], snapshot.pre_activations[name]
        bounds = (-0.99, 0.99) if found.activation == "tanh" else None
        channels, all_but_units = found.by_channel(), tuple(range(values.shape.rank - 1))
        assert found.count == 7 and channels.count == 7 * np.prod(values.shape[1:-1])
        assert channels.activation == found.activation == name.partition("_")[2]
        for each, axis in ((found, 0), (channels, all_but_units)):
            for field, expected in _naive(values, given, axis, bounds).items():
                np.testing.assert_allclose(getattr(each, field), expected, rtol=1e-6, atol=1e-7)
    saturated = snapshot.unit_statistics["dense_tanh"].saturated_fraction
    assert 0 < saturated.mean() < 1


@BOTH
@pytest.mark.parametrize("function", ["sigmoid", "hard_sigmoid", "tanh"])
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_saturation(keras, function, dtype):
    inputs = keras.Input((1,))
    hidden = keras.layers.Dense(4, function, name="hidden", dtype=dtype)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(hidden))
    low = -8.0 if function != "tanh" else 0.0
    model.get_layer("hidden").set_weights([np.zeros((1, 4)), np.array([low, 8.0, -8.0, 0.5])])
    found = Snapshot(model, tf.ones((3, 1))).unit_statistics["hidden"]
    assert found.activation == function
    assert found.saturated_fraction.tolist() == [float(low != 0), 1.0, 1.0, 0.0]


@BOTH
def test_means_of_large_and_close_values(keras):
    """Sums overflow float16, and the variance of values around 1e4 is lost in float32."""
    inputs = keras.Input((1,))
    hidden = keras.layers.Dense(1, "relu", name="hidden")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(hidden))
    model.get_layer("hidden").set_weights([np.ones((1, 1)), np.full(1, 1e4)])
    x = np.arange(1000.0).reshape(-1, 1) / 1024
    found = Snapshot(model, x.astype("float32"), batch_size=300).unit_statistics["hidden"]
    values = np.float64(np.float32(x) + np.float32(1e4))
    np.testing.assert_allclose(found.variance, [values.var()], rtol=1e-12)
    half = keras.layers.Dense(1, "relu", name="hidden", dtype="mixed_float16")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(half))
    model.get_layer("hidden").set_weights([np.zeros((1, 1)), np.full(1, 60000.0)])
    found = Snapshot(model, x).unit_statistics["hidden"]
    assert found.mean[0] == found.mean_abs[0] == np.float16(60000) and found.variance[0] == 0


@BOTH
def test_not_finite(keras):
    model = models.mlp(keras, "elu")
    model.get_layer("hidden").set_weights([np.zeros((2, 4)), np.array([0.0, np.inf, 1.0, np.nan])])
    for batch_size in (512, 2):
        found = Snapshot(model, tf.ones((5, 2)), batch_size=batch_size).unit_statistics["hidden"]
        assert np.isfinite(found.mean).tolist() == [True, False, True, False]
        assert np.isfinite(found.pre_variance).tolist() == [True, False, True, False]
        assert found.pre_positive_fraction.tolist() == [0, 1, 1, 0]


@BOTH
def test_unknown_pre_activations_are_nan(keras):
    inputs = keras.Input((4, 2))
    hidden = keras.layers.SimpleRNN(3, name="recurrent")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(hidden))
    snapshot = Snapshot(model, tf.ones((5, 4, 2)))
    assert list(snapshot.activations) == ["recurrent"] and snapshot.pre_activations == {}
    found = snapshot.unit_statistics["recurrent"]
    assert np.isfinite(found.mean).all() and np.isfinite(found.saturated_fraction).all()
    assert np.isnan([found.pre_mean, found.pre_variance, found.pre_positive_fraction]).all()
