import math
from typing import Any

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics import models
from tfplastic import layers
from tfplastic.diagnostics import (
    Snapshot,
    deviation_from_isometry,
    weight_l1_norm,
    weight_magnitude,
    weight_norm,
    weight_spectral_norm,
)

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])


@BOTH
def test_by_hand(keras):
    """The kernels of `models.mlp` are (1, -1, .01, 0; 1, -1, 0, 0) and (1, 1, 2, 1), biases -1 and 3."""
    snapshot = Snapshot(models.mlp(keras), tf.ones((1, 2)))
    hidden, output = 4 + 0.01**2 + 1, 7 + 9
    expected = {"hidden": math.sqrt(hidden), "output": 4.0, "all": math.sqrt(hidden + output)}
    assert weight_norm(snapshot) == pytest.approx(expected, rel=1e-7)
    assert weight_l1_norm(snapshot) == pytest.approx({"hidden": 5.01, "output": 8.0, "all": 13.01})
    expected = {"hidden": 5.01 / 12, "output": 8 / 5, "all": 13.01 / 17}
    assert weight_magnitude(snapshot) == pytest.approx(expected)
    # W W^T of the hidden layer is (2.0001, 2; 2, 2), the norm of the output's kernel 7.
    eigenvalue = 2.00005 + math.sqrt(0.00005**2 + 4)
    expected = {"hidden": math.sqrt(eigenvalue), "output": math.sqrt(7)}
    assert weight_spectral_norm(snapshot) == pytest.approx(expected)
    # (1.0001, 2; 2, 1) and (6).
    expected = {"hidden": 1.0001**2 + 4 + 4 + 1, "output": 36.0}
    assert deviation_from_isometry(snapshot) == pytest.approx(expected, rel=1e-6)


@BOTH
def test_against_numpy(keras):
    model = models.cnn(keras)
    snapshot = Snapshot(model, tf.ones((1, 6, 6, 2)))
    spectral, deviation = weight_spectral_norm(snapshot), deviation_from_isometry(snapshot)
    everything = []
    for layer in (layer for layer in model.layers if layer.get_weights()):
        values = np.concatenate([each.ravel() for each in layer.get_weights()]).astype("float64")
        everything.append(values)
        assert weight_norm(snapshot)[layer.name] == pytest.approx(np.linalg.norm(values), rel=1e-12)
        assert weight_l1_norm(snapshot)[layer.name] == pytest.approx(np.linalg.norm(values, 1), rel=1e-12)
        assert weight_magnitude(snapshot)[layer.name] == pytest.approx(np.abs(values).mean(), rel=1e-12)
        if "norm" not in layer.name:
            kernel = layer.get_weights()[0].astype("float64")
            matrix = kernel.reshape(-1, kernel.shape[-1])
            assert spectral.pop(layer.name) == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-7)
            gram = min(matrix.T @ matrix, matrix @ matrix.T, key=len)
            expected = np.linalg.norm(gram - np.eye(len(gram))) ** 2
            assert deviation.pop(layer.name) == pytest.approx(expected, rel=1e-7)
    assert not spectral and not deviation
    values = np.concatenate(everything)
    assert weight_norm(snapshot)["all"] == pytest.approx(np.linalg.norm(values), rel=1e-12)
    assert weight_l1_norm(snapshot)["all"] == pytest.approx(np.linalg.norm(values, 1), rel=1e-12)
    assert weight_magnitude(snapshot)["all"] == pytest.approx(np.abs(values).mean(), rel=1e-12)


@BOTH
def test_gains_and_offsets_of_normalization_can_be_left_out(keras):
    """A network with all kinds of them keeps the norm of the other layers."""
    norms = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            norms.Conv2D(2, 3, name="conv"),
            norms.LayerNormalization(axis=[1, 2, 3], name="layer"),
            norms.BatchNormalization(name="batch"),
            norms.GroupNormalization(1, name="group"),
            layers.RMSNormalization(name="rms") if keras is keras_2 else norms.RMSNormalization(name="rms"),
            norms.PReLU(name="slopes"),  # trained, and no normalization
            norms.Flatten(),
            norms.Dense(1, name="output"),
        ]
    )
    snapshot = Snapshot(model, tf.ones((1, 4, 4, 2)))
    others = {"conv", "slopes", "output"}
    values = [np.ravel(each) for name in others for each in model.get_layer(name).get_weights()]
    flat = np.concatenate(values).astype("float64")
    for quantity, expected in (
        (weight_norm, np.linalg.norm(flat)),
        (weight_l1_norm, np.abs(flat).sum()),
        (weight_magnitude, np.abs(flat).mean()),
    ):
        with_norms, without = quantity(snapshot), quantity(snapshot, normalization=False)
        assert set(with_norms) == {*others, "layer", "batch", "group", "rms", "all"}
        assert set(without) == {*others, "all"}
        assert without["all"] == pytest.approx(expected, rel=1e-12)
        assert all(without[name] == with_norms[name] for name in others)
    wrong: Any = 2
    with pytest.raises(ValueError, match="^`normalization` must be one of True, False. Received: 2$"):
        weight_norm(snapshot, normalization=wrong)


@BOTH
@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)])
def test_orthogonal_weights_do_not_deviate(keras, shape):
    """By the Gram matrix of the longer side the deviation is greater by the difference of the sides."""
    layer = keras.layers.Dense(
        shape[1], kernel_initializer=keras.initializers.Orthogonal(seed=0), name="dense"
    )
    model = keras.Sequential([keras.Input((shape[0],)), layer])
    snapshot = Snapshot(model, tf.ones((1, shape[0])))
    assert deviation_from_isometry(snapshot) == {"dense": pytest.approx(0, abs=1e-10)}
    assert weight_spectral_norm(snapshot) == {"dense": pytest.approx(1)}
    kernel = np.array(layer.get_weights()[0], "float64")
    longer = max(kernel.T @ kernel, kernel @ kernel.T, key=len)
    difference = np.linalg.norm(longer - np.eye(len(longer))) ** 2
    assert difference == pytest.approx(abs(shape[0] - shape[1]), abs=1e-6)


@BOTH
def test_edges(keras):
    model, inputs = models.mlp(keras), tf.ones((1, 2))
    snapshot = Snapshot(model, inputs)
    model.set_weights([np.full_like(weight, 1e30) for weight in model.get_weights()])
    assert weight_norm(snapshot)["output"] == pytest.approx(math.sqrt(5) * 1e30)  # squares overflow float32
    assert weight_spectral_norm(snapshot)["output"] == pytest.approx(2e30)
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    snapshot.refresh()
    zero = {"hidden": 0.0, "output": 0.0, "all": 0.0}
    assert weight_norm(snapshot) == weight_l1_norm(snapshot) == weight_magnitude(snapshot) == zero
    assert weight_spectral_norm(snapshot) == {"hidden": 0.0, "output": 0.0}
    assert deviation_from_isometry(snapshot) == {"hidden": 2.0, "output": 1.0}
    model.get_layer("output").set_weights([np.full((4, 1), np.nan), np.zeros(1)])
    snapshot.refresh()
    for quantity in (weight_norm, weight_l1_norm, weight_magnitude):
        assert quantity(snapshot) == pytest.approx({**zero, "output": math.nan, "all": math.nan}, nan_ok=True)
    for quantity in (weight_spectral_norm, deviation_from_isometry):
        assert math.isnan(quantity(snapshot)["output"]) and quantity(snapshot)["hidden"] in (0, 2)
    model.trainable = False
    snapshot = Snapshot(model, inputs)
    assert weight_norm(snapshot) == weight_l1_norm(snapshot) == {"all": 0.0}
    assert weight_magnitude(snapshot) == pytest.approx({"all": math.nan}, nan_ok=True)
    assert weight_spectral_norm(snapshot) == {}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dtypes(dtype):
    """200^2 * 5 overflows float16; the mean of 5 times 200 in bfloat16 is exact in float64."""
    model = keras_3.Sequential([keras_3.Input((4,)), keras_3.layers.Dense(1, dtype=dtype, name="dense")])
    model.set_weights([np.full((4, 1), 200.0), np.full(1, 200.0)])
    snapshot = Snapshot(model, tf.ones((1, 4), dtype))
    assert weight_norm(snapshot)["dense"] == pytest.approx(200 * math.sqrt(5), rel=1e-12)
    assert weight_l1_norm(snapshot)["dense"] == 1000 and weight_magnitude(snapshot)["dense"] == 200
    assert weight_spectral_norm(snapshot)["dense"] == pytest.approx(400, rel=1e-12)
    assert deviation_from_isometry(snapshot)["dense"] == pytest.approx((400**2 - 1) ** 2, rel=1e-12)
