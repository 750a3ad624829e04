"""`ActivationMonitor` behind layers with their units on other axes than the last, under the Keras in use."""

import numpy as np
import pytest
import tensorflow as tf

from tfplastic._keras import is_legacy, keras
from tfplastic.layers import ActivationMonitor

L = keras.layers
FIRST = {"data_format": "channels_first"}
# name -> (shape of inputs, layers, axis of the units in what they return)
MODELS = {
    "channels last": ((5, 6, 2), lambda: [L.Conv2D(3, 2)], -1),
    "channels first": ((2, 5, 6), lambda: [L.Conv2D(3, 2, **FIRST), L.ReLU()], 1),
    "pooled": (
        (2, 8, 6),
        lambda: [L.Conv2D(3, 2, **FIRST), L.BatchNormalization(axis=1), L.MaxPooling2D(2, **FIRST)],
        1,
    ),
    "depthwise": (
        (2, 5, 6),
        lambda: [L.DepthwiseConv2D(2, depth_multiplier=2, **FIRST), L.Activation("relu")],
        1,
    ),
    "separable": ((2, 7), lambda: [L.SeparableConv1D(3, 2, **FIRST)], 1),
    "put last": ((2, 5, 6), lambda: [L.Conv2D(3, 2, **FIRST), L.Permute((2, 3, 1))], -1),
    "put first": ((5, 6, 2), lambda: [L.Conv2D(3, 2), L.Permute((3, 1, 2)), L.ReLU()], 1),
    "reshaped": ((2, 5, 6), lambda: [L.Conv2D(3, 2, **FIRST), L.Reshape((3, -1))], 1),
    "flattened": ((2, 5, 6), lambda: [L.Conv2D(3, 2, **FIRST), L.Flatten()], -1),
    "distributed": ((3, 2, 5, 6), lambda: [L.TimeDistributed(L.Conv2D(3, 2, **FIRST))], 2),
    "bidirectional": ((4, 2), lambda: [L.Bidirectional(L.LSTM(3, return_sequences=True))], -1),
    "lambda": (
        (5, 6, 2),
        lambda: [L.Conv2D(3, 2), L.Lambda(lambda x: tf.transpose(x, (0, 3, 1, 2)), output_shape=(3, 4, 5))],
        1,
    ),
}


def _statistics(values, axis):
    """The statistics of each unit, by a loop, in float64."""
    rows = np.moveaxis(np.asarray(values, np.float64), axis, 0)
    return {
        "mean_abs": [np.abs(row).mean() for row in rows],
        "zero_fraction": [(row == 0).mean() for row in rows],
        "mean": [row.mean() for row in rows],
        "variance": [row.var() for row in rows],
    }


def _check(monitor, values, axis):
    for name, wanted in _statistics(values, axis).items():
        np.testing.assert_allclose(monitor.result()[name], wanted, rtol=1e-4, atol=1e-5, err_msg=name)


def _data(shape):
    return np.random.default_rng(0).standard_normal((4, *shape)).astype(np.float32)


@pytest.mark.channels_first
@pytest.mark.parametrize("name", MODELS)
def test_statistics_are_of_the_units_wherever_their_axis_is(name):
    shape, layers, axis = MODELS[name]
    monitor = ActivationMonitor(0.0)
    before = keras.Sequential([keras.Input(shape), *layers()])
    model = (
        keras.Sequential([*before.layers, monitor])
        if name == "pooled"
        else keras.Sequential([before, monitor])
    )
    x = _data(shape)
    values = tf.function(model, autograph=False)(tf.constant(x), training=True)
    _check(monitor, values, axis)
    assert monitor.axis == axis
    again = ActivationMonitor.from_config(monitor.get_config())
    again.build(model.output_shape)  # as a model that is loaded does, before it is connected
    assert again.mean_abs.shape == monitor.mean_abs.shape


@pytest.mark.channels_first
def test_half_of_the_filters_dead():
    model = keras.Sequential(
        [keras.Input((3, 8, 8)), L.Conv2D(6, 3, activation="relu", **FIRST), ActivationMonitor()]
    )
    kernel, bias = model.layers[0].get_weights()
    kernel[..., ::2] = 0
    model.layers[0].set_weights([kernel, bias])
    model(_data((3, 8, 8)), training=True)
    dead = model.layers[-1].result()["zero_fraction"].numpy() == 1
    np.testing.assert_array_equal(dead, [True, False] * 3)


class Net(keras.Model):
    """Built by a call, so that the axis of units is unknown before."""

    def __init__(self, **kwargs):
        super().__init__()
        self.conv = L.Conv2D(3, 2, **FIRST)
        self.monitor = ActivationMonitor(0.0, **kwargs)

    def call(self, inputs, training=False):
        return self.monitor(self.conv(inputs), training=training)


@pytest.mark.channels_first
def test_in_a_graph_the_axis_is_found_at_the_first_call():
    model = Net()
    values = tf.function(model, autograph=False)(tf.constant(_data((2, 5, 6))), training=True)
    _check(model.monitor, values, 1)


@pytest.mark.channels_first
def test_values_do_not_tell_so_the_axis_is_given():
    model = Net(axis=1)
    _check(model.monitor, model(_data((2, 5, 6)), training=True), 1)
    if not is_legacy():
        return  # Keras 3 makes a graph of its own in a first call
    model = Net()
    model(_data((2, 5, 6)), training=True)
    assert model.monitor.mean.shape == (5,) and model.monitor.get_config()["axis"] is None
    with pytest.raises(ValueError, match=r"`axis` must be given where .* units on axis 1\. Pass axis=1\."):
        tf.function(model, autograph=False)(tf.constant(_data((2, 5, 6))), training=True)


def test_units_of_several_axes_are_refused():
    heads = L.EinsumDense("abc,cde->abde", (4, 2, 3))
    with pytest.raises(ValueError, match=r"one axis of units\. .* axes \(2, 3\)\. Put a Reshape before"):
        keras.Sequential([keras.Input((4, 2)), heads, ActivationMonitor()])


@pytest.mark.parametrize("axis", [0, 3, -3])
def test_an_axis_that_is_none_of_units_is_refused(axis):
    with pytest.raises(ValueError, match=f"with a known number of units on axis {axis}. Received: "):
        ActivationMonitor(axis=axis)(tf.ones([2, 3, 4]))


def test_an_axis_of_the_wrong_type_is_refused():
    with pytest.raises(TypeError, match="^`axis` must be an integer or None. Received: 'last'$"):
        ActivationMonitor(axis="last")
