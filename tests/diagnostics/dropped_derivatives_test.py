"""Curvature of models with operations that TensorFlow cannot differentiate twice: right, or left out."""

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics import oracles
from tests.linalg.central_differences import relative_error
from tfplastic import diagnostics
from tfplastic.diagnostics.diagnose import measure_available

EITHER_KERAS = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
X, Y = oracles.data((4, 4, 1), 4)


def _model(keras, *between):
    layers = [keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 2, activation="tanh", name="first"), *between]
    keras.utils.set_random_seed(0)
    return keras.Sequential([*layers, keras.layers.Flatten(), keras.layers.Dense(1, name="last")])


@EITHER_KERAS
def test_sharpness_behind_a_bilinear_resize_equals_that_of_central_differences(keras):
    upsampling = keras.layers.UpSampling2D(interpolation="bilinear")
    model = _model(keras, upsampling, keras.layers.Conv2D(1, 2, activation="tanh", name="second"))
    snapshot = diagnostics.Snapshot(model, X, Y, "mse")
    assert relative_error(snapshot.hessian, lambda: tf.reduce_mean((model(X) - Y) ** 2)) < 2e-3
    dense = snapshot.hessian.to_dense().numpy()
    sharpness = diagnostics.sharpness(snapshot)["all"]
    assert sharpness == pytest.approx(np.linalg.eigvalsh(dense)[-1], rel=1e-2)
    first = dense[:10, :10]  # 2 x 2 x 1 x 2 weights and 2 biases, whose second derivative TensorFlow drops
    by_layer = diagnostics.layer_sharpness(snapshot)
    assert (
        by_layer["first"] == pytest.approx(np.linalg.eigvalsh(first)[-1], rel=1e-2) and by_layer["first"] > 0
    )
    assert sharpness >= by_layer["all"] * 0.99


@EITHER_KERAS
def test_what_cannot_be_had_is_left_out_and_the_rest_is_there(keras):
    def dilate(each):
        return tf.nn.dilation2d(each, tf.zeros((2, 2, 2)), [1] * 4, "VALID", "NHWC", [1] * 4)

    model = _model(keras, keras.layers.Lambda(dilate, output_shape=(2, 2, 2), name="odd"))
    quantities = {
        each.__name__: each
        for each in (diagnostics.gradient_norm, diagnostics.sharpness, diagnostics.hessian_trace)
    }
    snapshot = diagnostics.Snapshot(model, X, Y, "mse")
    values, left_out = measure_available(snapshot, quantities)
    assert list(values) == ["gradient_norm"] and set(left_out) == {"sharpness", "hessian_trace"}
    for reason in left_out.values():
        assert "Dilation2DBackpropInput in '" in reason and "/odd" in reason and "\n" not in reason


def test_a_loss_that_has_no_gradient_is_left_out_too():
    area = keras_2.layers.Lambda(lambda each: tf.raw_ops.ResizeArea(images=each, size=(2, 2)), name="area")
    report = diagnostics.diagnose(_model(keras_2, area), X, Y, "mse", "medium")
    reason = report.left_out["gradient_norm"]
    assert reason.startswith(
        "`loss` must be differentiable in TensorFlow. Received: the operation ResizeArea in"
    )
    assert "/area'" in reason and reason.endswith("Use another operation there, or leave out gradients.")
    assert "weight_norm" in report.to_dict()
