import math

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics import models, oracles
from tfplastic.diagnostics import (
    Snapshot,
    UnitMap,
    dormant_gradients,
    gradient_l0_norm,
    gradient_l1_norm,
    gradient_norm,
    gradient_strength,
)

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
ALL = (gradient_norm, gradient_l1_norm, gradient_l0_norm, dormant_gradients)


def _zero_targets_loss(targets, outputs):
    return tf.reduce_mean(outputs**2, axis=-1)


@BOTH
def test_golden(keras):
    """On (1, 2) and (3, 0) the units are 3, 0, .01, 0 and 3, 0, .03, 0.

    The output f = h0 + h1 + 2 h2 + h3 + 3 is 6.02 and 6.06. The loss is the mean of f^2 over two
    inputs, so dL/df is f itself.
    """
    model, inputs = models.mlp(keras), tf.constant([[1.0, 2.0], [3.0, 0.0]])
    snapshot = Snapshot(model, inputs, loss=_zero_targets_loss)
    f1, f2 = 6.02, 6.06
    bias = f1 + f2
    output = [3 * bias, 0, 0.01 * f1 + 0.03 * f2, 0, bias]
    # By a unit's bias: dL/df times its outgoing weight, 1, or 2 for h2. By its kernel: that times x.
    unit = [bias, 1 * f1 + 3 * f2, 2 * f1 + 0 * f2]
    hidden = [*unit, *(2 * each for each in unit)]
    expected = {"hidden": hidden, "output": output, "all": [*hidden, *output]}
    norms = {layer: math.sqrt(sum(each**2 for each in of)) for layer, of in expected.items()}
    assert gradient_norm(snapshot) == pytest.approx(norms, rel=1e-6)
    strengths = {layer: norm**2 for layer, norm in norms.items()}
    assert gradient_strength(snapshot) == pytest.approx(strengths, rel=1e-6)
    sums = {layer: sum(of) for layer, of in expected.items()}
    assert gradient_l1_norm(snapshot) == pytest.approx(sums, rel=1e-6)
    # Of each of 4 hidden units 3 weights, two units are dead; 5 weights of the output, two of dead units.
    assert gradient_l0_norm(snapshot) == {"hidden": 6 / 12, "output": 3 / 5, "all": 9 / 17}
    # The kernel's magnitudes: (f1 + 3 f2 + 2 f1) / 2 = 18.12 for h0, twice that for h2, 0 for two.
    assert dormant_gradients(snapshot) == {"hidden": 0.5, "output": 0.0, "all": 2 / 5}
    # Their mean is 13.59: h0 has 1.33, h2 2.67.
    assert dormant_gradients(snapshot, tau=1.34)["hidden"] == 0.75
    assert dormant_gradients(snapshot, tau=1.33)["hidden"] == 0.5


@BOTH
def test_against_float64(keras):
    model, (inputs, targets) = models.cnn(keras), oracles.data((6, 6, 2), 3, outputs=2)
    snapshot = Snapshot(model, inputs, targets, oracles.squares, batch_size=2)
    rows = oracles.example_gradients(oracles.double(keras, models.cnn, model), inputs, targets)
    means = {layer: gradients.mean(axis=0) for layer, gradients in rows.items()}
    norms = {layer: np.linalg.norm(each) for layer, each in means.items()}
    assert gradient_norm(snapshot) == pytest.approx(norms, rel=1e-4)
    assert gradient_l1_norm(snapshot) == pytest.approx(
        {layer: np.abs(each).sum() for layer, each in means.items()}, rel=1e-4
    )
    kernel = np.abs(means["conv2"][: 3 * 3 * 3 * 4].reshape(27, 4)).mean(axis=0)
    threshold = float(np.sort(kernel)[1:3].mean())
    assert dormant_gradients(snapshot, threshold / kernel.mean())["conv2"] == 0.5
    assert set(dormant_gradients(snapshot)) == {"conv1", "conv2", "dense", "output", "all"}


@BOTH
def test_units_of_a_transposed_convolution_are_its_filters(keras):
    layers = [keras.Input((2, 2, 1)), keras.layers.Conv2DTranspose(3, 1, name="up"), keras.layers.ReLU()]
    model = keras.Sequential(layers)
    model.set_weights([np.array([1.0, -1.0, 2.0]).reshape(1, 1, 3, 1), np.zeros(3)])
    snapshot = Snapshot(
        model, np.ones((1, 2, 2, 1), "float32"), loss=lambda _, outputs: tf.reduce_sum(outputs)
    )
    assert dormant_gradients(snapshot)["up"] == pytest.approx(1 / 3)  # the filter below zero


@BOTH
def test_units_of_attention_are_counted_for_each_head(keras):
    """Sums x @ W over heads [2, 2] of which one unit is cut off."""
    layer = keras.layers.EinsumDense("ab,bcd->acd", (2, 2), name="heads")
    model = keras.Sequential([keras.Input((3,)), layer, keras.layers.Flatten(), keras.layers.Dense(1)])
    kernel = np.array([1.0, 1.0, 0.0, 1.0]).reshape(4, 1)
    model.set_weights([np.ones((3, 2, 2)), kernel, np.zeros(1)])
    snapshot = Snapshot(model, np.ones((1, 3), "float32"), loss=_zero_targets_loss)
    assert dormant_gradients(snapshot)["heads"] == 0.25


def _dormant_after(keras, layer, shape, silence):
    """The fraction in a model of `layer` whose units some are cut off by `silence` of the last kernel."""
    model = keras.Sequential([keras.Input(shape), layer, keras.layers.Flatten(), keras.layers.Dense(1)])
    kernel, bias = model.layers[-1].get_weights()
    kernel[silence] = 0
    model.layers[-1].set_weights([kernel, bias])
    inputs = np.random.default_rng(0).standard_normal((5, *shape)).astype("float32")
    values = dormant_gradients(Snapshot(model, inputs, loss=_zero_targets_loss), tau=0.0)
    (value,) = [each for name, each in values.items() if name not in ("all", model.layers[-1].name)]
    return value


@pytest.mark.channels_first
@BOTH
def test_units_of_other_kernels(keras):
    """One of six channels of a depthwise convolution, of four of a separable one, of three of an LSTM."""
    layers, first = keras.layers, {"data_format": "channels_first"}
    depthwise = layers.DepthwiseConv2D(2, depth_multiplier=2)
    assert _dormant_after(keras, depthwise, (2, 2, 3), [1]) == pytest.approx(1 / 6)
    separable = layers.SeparableConv1D(4, 2, **first)
    assert _dormant_after(keras, separable, (3, 2), [3]) == 0.25
    assert _dormant_after(keras, layers.LSTM(3), (1, 2), [2]) == pytest.approx(1 / 3)
    channels_first = layers.Conv2D(4, 2, **first)
    assert _dormant_after(keras, channels_first, (2, 2, 2), [1]) == 0.25


@BOTH
def test_edges(keras):
    model, inputs = models.mlp(keras), tf.ones((1, 2))
    hidden = keras.Model(model.inputs, model.get_layer("hidden").output)
    snapshot = Snapshot(model, inputs, loss=lambda _, outputs: tf.reduce_mean(hidden(inputs) ** 2))
    assert gradient_norm(snapshot)["output"] == gradient_l0_norm(snapshot)["output"] == 0  # not touched
    assert dormant_gradients(snapshot)["output"] == 1
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    snapshot = Snapshot(model, inputs, loss=_zero_targets_loss)
    zero = {"hidden": 0.0, "output": 0.0, "all": 0.0}
    assert gradient_norm(snapshot) == gradient_l1_norm(snapshot) == gradient_l0_norm(snapshot) == zero
    assert dormant_gradients(snapshot) == {"hidden": 1.0, "output": 1.0, "all": 1.0}
    snapshot = Snapshot(model, inputs, loss=lambda _, outputs: tf.reduce_sum(outputs * np.nan, axis=-1))
    for quantity in ALL:
        assert math.isnan(quantity(snapshot)["output"]) and math.isnan(quantity(snapshot)["all"])
    model.trainable = False
    frozen = Snapshot(model, inputs, loss=_zero_targets_loss)
    assert gradient_norm(frozen) == gradient_l1_norm(frozen) == {"all": 0.0}
    assert math.isnan(gradient_l0_norm(frozen)["all"]) and math.isnan(dormant_gradients(frozen)["all"])


@pytest.mark.parametrize("dtype", ["mixed_float16", "bfloat16"])
def test_half_precision(dtype):
    keras = keras_2 if dtype == "mixed_float16" else keras_3
    with oracles.policy(keras, dtype):
        model = models.mlp(keras)
    inputs, targets = oracles.data((2,), 3)
    snapshot = Snapshot(model, inputs, targets, oracles.squares)
    rows = oracles.example_gradients(oracles.double(keras, models.mlp, model), inputs, targets)
    norms = {layer: np.linalg.norm(each.mean(axis=0)) for layer, each in rows.items()}
    assert gradient_norm(snapshot) == pytest.approx(norms, rel=0.05)
    assert all(math.isfinite(each) for quantity in ALL for each in quantity(snapshot).values())


@BOTH
def test_arguments(keras):
    model, inputs = models.mlp(keras), tf.ones((1, 2))
    for quantity in ALL:
        with pytest.raises(ValueError, match=r"^`loss` or `example_losses` must be given .+ Received: None$"):
            quantity(Snapshot(model, inputs))
    with pytest.raises(ValueError, match=r"^`tau` must be a finite number of at least 0\. Received: -1$"):
        dormant_gradients(Snapshot(model, inputs, loss=_zero_targets_loss), tau=-1)


def test_units_of_a_layer_with_lora_are_those_of_its_second_factor():
    """The trained part of its kernel is A B, of which B is zero at first, so that A has no gradient."""
    keras = keras_3
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, name="hidden"), keras.layers.Dense(2, name="output")]
    )
    model.layers[1].set_weights([np.array([[1.0, 1], [1, 1], [0, 0], [1, 1]]), np.zeros(2)])
    model.layers[0].enable_lora(2)
    snapshot = Snapshot(model, np.ones((5, 3), np.float32), np.ones((5, 2), np.float32), "mse")
    assert dormant_gradients(snapshot)["hidden"] == 0.25  # unit 2, which the output does not read
    with pytest.raises(ValueError, match="'hidden': its kernel is computed from other weights, as with LoRA"):
        UnitMap(model)
