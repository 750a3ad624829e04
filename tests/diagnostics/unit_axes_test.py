"""Units are channels, wherever the axis of the channels is."""

from typing import Any

import keras as keras_3
import numpy as np
import pytest

from tfplastic.diagnostics import Snapshot, dead_units, dormant_units


def _half_dead(model, layer):
    kernel, bias = model.get_layer(layer).get_weights()
    kernel[..., ::2] = 0
    bias[::2] = 0
    model.get_layer(layer).set_weights([kernel, bias])
    return model


def _model(*hidden, shape=(3, 8, 8)):
    layers = [keras_3.Input(shape), *hidden, keras_3.layers.Flatten(), keras_3.layers.Dense(2, name="head")]
    return keras_3.Sequential(layers)


L = keras_3.layers
FIRST: dict[str, Any] = {"data_format": "channels_first"}
MODELS = {
    "own activation": lambda: _model(L.Conv2D(6, 3, activation="relu", name="conv", **FIRST)),
    "activation layer": lambda: _model(L.Conv2D(6, 3, name="conv", **FIRST), L.ReLU()),
    "norm": lambda: _model(
        L.Conv2D(6, 3, name="conv", **FIRST),
        L.BatchNormalization(axis=1),
        L.AveragePooling2D(2, **FIRST),
        L.ReLU(),
    ),
    "permute": lambda: _model(L.Conv2D(6, 3, name="conv"), L.Permute((3, 1, 2)), L.ReLU(), shape=(8, 8, 3)),
    "back": lambda: _model(L.Conv2D(6, 3, name="conv", **FIRST), L.Permute((2, 3, 1)), L.ReLU()),
    "reshape": lambda: _model(L.Conv2D(6, 3, name="conv", **FIRST), L.Reshape((6, 36)), L.ReLU()),
    "flatten": lambda: _model(L.Conv2D(6, 3, name="conv", **FIRST), L.Flatten(), L.ReLU()),
    "pooled": lambda: _model(
        L.Conv2D(6, 3, name="conv", **FIRST), L.GlobalAveragePooling2D(**FIRST), L.ReLU()
    ),
    "one dimension": lambda: _model(L.Conv1D(6, 3, activation="relu", name="conv", **FIRST), shape=(3, 8)),
    "separable": lambda: _model(
        L.Conv2D(6, 3, name="conv", **FIRST),
        L.DepthwiseConv2D(3, depthwise_initializer="ones", **FIRST),
        L.ReLU(),
    ),
}


@pytest.mark.parametrize("kind", MODELS)
def test_half_of_the_filters_dead(kind):
    model = _half_dead(MODELS[kind](), "conv")
    x = np.random.default_rng(0).standard_normal((16, *(model.input_shape or ())[1:])).astype("float32")
    snapshot = Snapshot(model, x)
    (name,) = snapshot.activations
    assert dead_units(snapshot)[name] == 0.5
    assert dormant_units(snapshot)[name] >= 0.5
    units = snapshot.unit_statistics[name].by_channel().mean_abs
    assert units is not None and (kind == "flatten" or len(units) == 6)
    blocks = Snapshot(model, x, batch_size=6)
    np.testing.assert_allclose(
        blocks.unit_statistics[name].mean_abs, snapshot.unit_statistics[name].mean_abs, atol=1e-5
    )
