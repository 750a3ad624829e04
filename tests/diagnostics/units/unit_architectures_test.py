"""Units of real architectures, channels last and first: the same numbers, and slices of their own."""

from typing import Any

import keras as keras_3
import numpy as np
import pytest

from tests.diagnostics.units.unit_layouts_test import _check_outgoing, value
from tfplastic.diagnostics import Snapshot, UnitMap, dead_units

L = keras_3.layers
UNTRAINED: dict[str, Any] = {"weights": None, "classes": 5}


@pytest.fixture
def channels_first():
    """To be called for Keras' default of images to become channels first, until the test ends."""
    yield lambda: keras_3.config.set_image_data_format("channels_first")
    keras_3.config.set_image_data_format("channels_last")


def _inverted_residual():
    """A block of MobileNetV2: expansion, depthwise convolution and projection, added to its input."""
    is_first = keras_3.config.image_data_format() == "channels_first"
    axis = 1 if is_first else -1
    inputs = keras_3.Input((2, 7, 6) if is_first else (7, 6, 2))
    x = start = L.Conv2D(3, 3, padding="same", name="stem")(inputs)
    x = L.ReLU(6, name="expanded")(L.BatchNormalization(axis)(L.Conv2D(8, 1, name="expand")(x)))
    x = L.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = L.ReLU(6, name="filtered")(L.BatchNormalization(axis)(x))
    x = L.Add(name="sum")([start, L.Conv2D(3, 1, name="project")(x)])
    return keras_3.Model(inputs, L.Dense(2, name="head")(L.GlobalAveragePooling2D()(x)))


def _mobilenet():
    is_first = keras_3.config.image_data_format() == "channels_first"
    shape = (3, 32, 32) if is_first else (32, 32, 3)
    return keras_3.applications.MobileNetV2(shape, alpha=0.35, **UNTRAINED)


def _both_formats(build, channels_first):
    """The same model channels last and channels first, and the same inputs for each."""
    keras_3.utils.set_random_seed(0)
    last = build()
    channels_first()
    first = build()
    first.set_weights(last.get_weights())
    x = np.random.default_rng(0).standard_normal((4, *last.input_shape[1:])).astype("float32")
    return (last, x), (first, x.transpose(0, 3, 1, 2))


def _check_same(build, channels_first, name, count):
    """With every other unit of `name` cut off behind it, all statistics of units are the same."""
    both = _both_formats(build, channels_first)
    for model, _ in both:
        units = UnitMap(model)[name]
        assert units.num_units == count
        dead = np.arange(count) % 2 == 0
        for part in (units.incoming, *units.norms[0].parameters.values()):
            if part.variable.path.split("/")[-1] in ("kernel", "beta", "bias"):
                part.variable.assign(np.where(part.mask(dead), 0, value(part.variable)))
    last, first = (Snapshot(model, x) for model, x in both)
    assert list(last.activations) == list(first.activations)
    (activation,) = UnitMap(both[0][0])[name].activations
    assert dead_units(last)[activation] == dead_units(first)[activation] >= 0.5
    for layer, statistics in last.unit_statistics.items():
        one, other = statistics.by_channel(), first.unit_statistics[layer].by_channel()
        assert one.mean_abs.shape == other.mean_abs.shape
        np.testing.assert_allclose(one.mean_abs, other.mean_abs, atol=1e-4)
        np.testing.assert_allclose(one.variance, other.variance, atol=1e-4)
    maps = [UnitMap(model) for model, _ in both]
    assert list(maps[0]) == list(maps[1]) and maps[0].excluded == maps[1].excluded


@pytest.mark.channels_first
def test_a_block_of_mobilenet_is_the_same_in_both_formats(channels_first):
    _check_same(_inverted_residual, channels_first, "expand", 8)
    unit_map = UnitMap(_inverted_residual())
    assert list(unit_map) == ["expand", "depthwise"]
    assert unit_map.excluded["project"] == "its outputs go into 'sum' (Add), which merges them with others"


@pytest.mark.channels_first
@pytest.mark.slow
def test_mobilenet_is_the_same_in_both_formats(channels_first):
    _check_same(_mobilenet, channels_first, "block_1_expand", 48)


def _efficientnet():
    return keras_3.applications.EfficientNetB0(input_shape=(32, 32, 3), **UNTRAINED)


def _convnext():
    return keras_3.applications.ConvNeXtTiny(input_shape=(32, 32, 3), **UNTRAINED)


# name -> (model, {layer: a later one that its units reach})
BLOCK = "convnext_tiny_stage_0_block_0_pointwise_conv_"
ARCHITECTURES = {
    "MobileNetV2": (
        _mobilenet,
        {"block_1_expand": "block_1_project", "block_1_depthwise": "block_1_project"},
    ),
    "EfficientNetB0": (_efficientnet, {"block2a_expand_conv": "block2a_project_conv"}),
    "ConvNeXtTiny": (_convnext, {f"{BLOCK}1": f"{BLOCK}2"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_units_of_architectures(name):
    build, expected = ARCHITECTURES[name]
    keras_3.utils.set_random_seed(0)
    model = build()
    unit_map = UnitMap(model)
    kernels = {layer.name for layer in model.layers if hasattr(layer, "kernel")}
    assert kernels <= {*unit_map, *unit_map.excluded} and set(expected) <= set(unit_map)
    x = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    for layer, later in expected.items():
        start = keras_3.Model(model.input, model.get_layer(later).output)
        _check_outgoing(start, unit_map[layer], x)
    statistics = Snapshot(model, x).unit_statistics
    for layer, units in unit_map.items():
        for activation in units.activations:
            assert len(statistics[activation].by_channel().mean_abs) == units.num_units, layer
