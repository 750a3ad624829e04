import math

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics import models
from tfplastic.diagnostics import Snapshot, sharpness

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])


@BOTH
def test_linear_regression_in_closed_form(keras):
    """With z = (x, 1) the Hessian of the mean of (w.x + b - y)^2 / 2 is Z^T Z / n, whatever y is."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    x = np.random.default_rng(0).standard_normal((20, 3))
    inputs = tf.constant(x, tf.float32)
    snapshot = Snapshot(model, inputs, tf.ones((20, 1)), lambda y, f: tf.reduce_mean((f - y) ** 2) / 2)
    z = np.concatenate([x, np.ones((20, 1))], axis=1)
    assert sharpness(snapshot)["all"] == pytest.approx(np.linalg.eigvalsh(z.T @ z / 20)[-1], rel=1e-5)


@BOTH
def test_is_the_largest_eigenvalue_of_the_dense_hessian(keras):
    model, inputs = models.cnn(keras), tf.random.stateless_normal((4, 6, 6, 2), [0, 1])
    snapshot = Snapshot(model, inputs, loss=models.mean_square)
    values = np.linalg.eigvalsh(np.asarray(snapshot.hessian.to_dense(), "float64"))
    assert values[0] < 0 < values[-1]
    assert sharpness(snapshot)["all"] == pytest.approx(values[-1], rel=1e-3)
    assert sharpness(snapshot, max_steps=2)["all"] < values[-1] * (1 - 1e-3)
    assert sharpness(snapshot, tol=1e-6)["all"] == pytest.approx(values[-1], rel=1e-5)


def test_same_seed_same_bits_other_seed_other_bits():
    model, inputs = models.cnn(keras_2), tf.ones((2, 6, 6, 2))
    snapshot = Snapshot(model, inputs, loss=models.mean_square)
    first, again, other = (sharpness(snapshot, max_steps=3, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


@BOTH
def test_edges(keras):
    model, inputs = models.mlp(keras), tf.ones((1, 2))
    snapshot = Snapshot(model, inputs, loss=models.mean_square)
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    # f is the output bias b alone, and the loss b^2: lambda_1 is 2.
    assert sharpness(snapshot) == {"all": pytest.approx(2.0, rel=1e-6)}
    flat = Snapshot(model, inputs, loss=lambda _, outputs: 0.0 * tf.reduce_sum(outputs))
    assert sharpness(flat) == {"all": 0.0}
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    assert math.isnan(sharpness(snapshot)["all"])
