"""Units are channels, wherever the axis of the channels is."""

from typing import Any

import keras as keras_3
import numpy as np
import pytest

from tfplastic.diagnostics import (
    Snapshot,
    UnitMap,
    dead_units,
    diagnose,
    dormant_units,
    pre_activation_histogram,
    pre_activation_means,
)


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


@pytest.mark.channels_first
def test_the_example_in_every_quantity():
    """Half of six filters, channels first, never active: in each quantity of units it is three of six."""
    model = _half_dead(MODELS["own activation"](), "conv")
    x = np.random.default_rng(0).standard_normal((16, 3, 8, 8)).astype("float32")
    dead = np.arange(6) % 2 == 0
    snapshot = Snapshot(model, x, np.ones((16, 2), "float32"), "mse")
    report = diagnose(model, x, np.ones((16, 2), "float32"), "mse", "medium").to_dict()
    assert report["dead_units"]["conv"] == report["dormant_units"]["conv"] == 0.5
    assert report["dormant_gradients"]["conv"] == 0.5
    statistics = snapshot.unit_statistics["conv"]
    assert statistics.mean.shape == (6, 6, 6)  # positions, then units
    np.testing.assert_array_equal(statistics.by_channel().zero_fraction == 1, dead)
    np.testing.assert_array_equal(statistics.by_channel().pre_mean == 0, dead)
    values = statistics.by_channel().mean_abs
    np.testing.assert_allclose(
        values, np.abs(snapshot.activations["conv"].numpy()).mean((0, 2, 3)), rtol=1e-5
    )
    units = UnitMap(model)["conv"]
    assert units.num_units == 6 and units.outgoing[0].units.tolist() == [
        unit for unit in range(6) for _ in range(36)
    ]


@pytest.mark.channels_first
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


@pytest.mark.channels_first
@pytest.mark.parametrize(
    ("kind", "formula"), [("own activation", "nchwij,ijcf->nfhw"), ("one dimension", "nchi,icf->nfh")]
)
def test_pre_activations_are_those_of_all_filters(kind, formula):
    """Against the convolution in NumPy's float64: a histogram of all values, and a mean for each filter."""
    model = _half_dead(MODELS[kind](), "conv")
    x = np.random.default_rng(0).standard_normal((16, *(model.input_shape or ())[1:])).astype("float32")
    kernel, bias = (np.asarray(each, np.float64) for each in model.get_layer("conv").get_weights())
    rank = x.ndim - 2
    axes = tuple(range(2, x.ndim))
    windows = np.lib.stride_tricks.sliding_window_view(np.float64(x), (3,) * rank, axis=axes)
    z = np.einsum(formula, windows, kernel) + bias.reshape(6, *[1] * rank)
    snapshot = Snapshot(model, x)
    histogram = pre_activation_histogram(snapshot)["conv"]
    np.testing.assert_allclose(np.sort(histogram), np.sort(z.ravel()), rtol=1e-4, atol=1e-5)
    means = pre_activation_means(snapshot)["conv"]
    np.testing.assert_allclose(means, z.mean(axis=(0, *axes)), rtol=1e-4, atol=1e-5)
    thinned = pre_activation_histogram(snapshot, max_values=300)["conv"]
    assert 0.4 < np.mean(thinned == 0) < 0.6  # of live and dead filters alike
