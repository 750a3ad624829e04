import gc
import weakref
from typing import Any

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics import models
from tfplastic.diagnostics import Snapshot, dead_units, gradient_norm, sharpness, weight_norm

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])


def _convolve(images, kernel, bias):
    size, outputs = kernel.shape[0], images.shape[1] - kernel.shape[0] + 1
    result = np.zeros((len(images), outputs, outputs, kernel.shape[-1]))
    for i in range(outputs):
        for j in range(outputs):
            patch = images[:, i : i + size, j : j + size, :]
            result[:, i, j, :] = np.tensordot(patch, kernel, axes=3) + bias
    return result


def _normalize(values, gamma, beta):
    axes = (1, 2, 3)
    variance = values.var(axes, keepdims=True)
    return gamma * (values - values.mean(axes, keepdims=True)) / np.sqrt(variance + 1e-3) + beta


@BOTH
def test_activations_equal_a_numpy_forward_pass(keras):
    model = models.cnn(keras)
    inputs = np.random.default_rng(1).standard_normal((3, 6, 6, 2)).astype("float32")
    weights = {
        layer.name: [weight.astype("float64") for weight in layer.get_weights()] for layer in model.layers
    }
    first = np.maximum(_normalize(_convolve(inputs, *weights["conv1"]), *weights["conv1_norm"]), 0)
    second = np.maximum(_normalize(_convolve(first, *weights["conv2"]), *weights["conv2_norm"]), 0)
    kernel, bias = weights["dense"]
    expected = {
        "conv1_relu": first,
        "conv2_relu": second,
        "dense_tanh": np.tanh(second.reshape(3, -1) @ kernel + bias),
    }
    activations = Snapshot(model, inputs).activations
    assert list(activations) == list(expected)  # in the order of the calls
    for name, values in activations.items():
        np.testing.assert_allclose(values, expected[name], atol=1e-5)


@BOTH
def test_weights_and_gradients_by_layer(keras):
    model = models.cnn(keras)
    inputs = tf.random.stateless_normal((3, 6, 6, 2), [0, 1])
    snapshot = Snapshot(model, inputs, loss=models.mean_square)
    layers = ["conv1", "conv1_norm", "conv2", "conv2_norm", "dense", "output"]
    assert list(snapshot.weights) == layers and list(snapshot.gradients) == layers
    with tf.GradientTape() as tape:
        loss = models.squared_loss(model, inputs)()
    expected = tape.gradient(loss, model.trainable_variables)
    np.testing.assert_allclose(snapshot.loss, loss, rtol=1e-6)
    found = [gradient for layer in snapshot.gradients.values() for gradient in layer]
    for gradient, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(gradient, reference, rtol=1e-4, atol=1e-5)
    assert snapshot.hessian.shape == (model.count_params(),) * 2


@BOTH
def test_frozen_layers_have_no_weights(keras):
    model = models.mlp(keras)
    model.get_layer("hidden").trainable = False
    assert list(Snapshot(model, tf.ones((1, 2))).weights) == ["output"]


@BOTH
@pytest.mark.parametrize("head", ["tanh", "softmax"])
def test_the_head_is_left_out_even_if_it_is_not_linear(keras, head):
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(4, activation="relu", name="hidden")(inputs)
    dense_head = keras.Model(inputs, keras.layers.Dense(2, activation=head)(hidden))
    layer_head = keras.Model(inputs, keras.layers.Activation(head)(keras.layers.Dense(2)(hidden)))
    for model in (dense_head, layer_head):
        assert list(Snapshot(model, tf.ones((5, 3))).activations) == ["hidden"]


@BOTH
def test_layers_that_are_linear_or_serve_another_are_not_reported(keras):
    inputs = hidden = keras.Input((3,))
    hidden = keras.layers.Dense(4, activation=keras.layers.ReLU(name="inner"), name="outer")(hidden)
    hidden = keras.layers.Activation("linear", name="nothing")(hidden)
    hidden = keras.layers.LeakyReLU(name="leaky")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(1)(hidden))
    assert list(Snapshot(model, tf.ones((5, 3))).activations) == ["outer", "leaky"]


def _subclassed(keras):
    """A shared activation, layers of the same name, a block with a variable of its own, a bare function."""

    class Block(keras.layers.Layer):
        def __init__(self, relu, **kwargs):
            super().__init__(**kwargs)
            self.dense, self.relu = keras.layers.Dense(3, name="dense"), relu

        def build(self, shape):
            self.scale = self.add_weight(name="scale", shape=(3,), initializer="ones")
            self.dense.build(shape)
            super().build(shape)

        def call(self, inputs):
            if keras is keras_2 and tf.reduce_sum(inputs) > 1e9:  # Keras 2 allows this, by AutoGraph
                inputs = 0 * inputs
            return self.relu(self.dense(inputs)) * self.scale

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            relu = keras.layers.ReLU(name="relu")
            self.first, self.second = Block(relu, name="first"), Block(relu, name="second")
            self.head = keras.layers.Dense(1, name="head")

        def call(self, inputs):
            return self.head(tf.nn.relu(self.second(self.first(inputs))))

    return Model()


@BOTH
def test_subclassed_models(keras):
    model = _subclassed(keras)
    inputs = tf.random.stateless_normal((4, 3), [0, 1])
    model(inputs)
    snapshot = Snapshot(model, inputs)
    first = tf.nn.relu(model.first.dense(inputs))
    assert list(snapshot.activations) == ["first/relu", "first/relu:1", "second"]
    np.testing.assert_allclose(snapshot.activations["first/relu"], first, atol=1e-6)
    np.testing.assert_allclose(
        snapshot.activations["first/relu:1"],
        tf.nn.relu(model.second.dense(first * model.first.scale)),
        atol=1e-6,
    )
    shapes = {name: [each.shape.as_list() for each in weights] for name, weights in snapshot.weights.items()}
    dense = [[3, 3], [3]]
    assert shapes == {
        "first": [[3]], "first/dense": dense, "second": [[3]], "second/dense": dense, "head": [[3, 1], [1]],
    }  # fmt: skip


@BOTH
def test_layers_inside_a_loop_or_a_function_are_left_out(keras):
    relu, inner = keras.layers.ReLU(name="looped"), keras.layers.ReLU(name="inner")

    class Looped(keras.layers.Layer):
        def call(self, inputs):
            result = tf.while_loop(lambda x: tf.reduce_sum(x) < 100, lambda x: (relu(x) + 1,), [inputs])
            return tf.function(lambda x: inner(x))(result[0])

        def compute_output_shape(self, shape):
            return shape

    looped = Looped()
    looped.relu, looped.inner = relu, inner
    model = keras.Sequential(
        [keras.Input((2,)), looped, keras.layers.ReLU(name="plain"), keras.layers.Dense(1)]
    )
    activations = Snapshot(model, tf.ones((3, 2))).activations
    assert list(activations) == ["plain"]
    assert activations["plain"].numpy().tolist() == [[17.0, 17.0]] * 3  # 1 + ... until the sum of six is 100


@BOTH
def test_several_inputs(keras):
    inputs = {"a": keras.Input((2,), name="a"), "b": keras.Input((2,), name="b")}
    hidden = keras.layers.ReLU(name="relu")(keras.layers.Subtract()([inputs["a"], inputs["b"]]))
    outputs = keras.layers.Dense(1)(hidden)
    batch = {"a": np.array([[3.0, 1.0]], "float32"), "b": np.array([[1.0, 3.0]], "float32")}
    assert Snapshot(keras.Model(inputs, outputs), batch).activations["relu"].numpy().tolist() == [[2.0, 0.0]]
    as_list = keras.Model(list(inputs.values()), outputs)
    assert Snapshot(as_list, list(batch.values())).activations["relu"].numpy().tolist() == [[2.0, 0.0]]


@BOTH
def test_the_model_is_as_found_also_after_an_error(keras):
    model = models.mlp(keras)
    own_call = model.get_layer("output").call
    vars(model.get_layer("output"))["call"] = own_call  # a layer may have a call of its own
    before = [dict(vars(layer)) for layer in model.layers]
    Snapshot(model, tf.ones((3, 2))).activations  # noqa: B018
    assert [dict(vars(layer)) for layer in model.layers] == before
    with pytest.raises(Exception, match="(?i)shape|dimension|incompatible"):
        Snapshot(model, tf.ones((3, 7))).activations  # noqa: B018
    assert [dict(vars(layer)) for layer in model.layers] == before


def test_an_own_call_of_a_nonlinear_layer_is_kept():
    model = models.mlp(keras_2)
    hidden: Any = model.get_layer("hidden")
    own_call = vars(hidden)["call"] = lambda inputs: hidden.activation(7 * tf.ones((1, 4)))
    assert Snapshot(model, tf.ones((1, 2))).activations["hidden"].numpy().tolist() == [[7.0] * 4]
    assert vars(hidden)["call"] is own_call


@BOTH
def test_refresh_gives_new_values_without_a_new_trace(keras):
    traces = []

    class Counting(keras.layers.Layer):
        def call(self, inputs):
            traces.append(None)
            return inputs

        def compute_output_shape(self, shape):
            return shape

    model = keras.Sequential(
        [keras.Input((2,)), Counting(), keras.layers.Dense(3, "relu", name="hidden"), keras.layers.Dense(1)]
    )
    inputs = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    model.set_weights([np.ones_like(weight) for weight in model.get_weights()])
    traces.clear()
    snapshot = Snapshot(model, inputs, loss=models.mean_square)
    weight_norm(snapshot)
    assert not traces  # lazy: weights need no pass
    quantities = (dead_units, gradient_norm, sharpness)
    first = [quantity(snapshot) for quantity in quantities]
    assert first[0] == {"hidden": 0.0}
    num_traces = len(traces)
    old = weakref.ref(snapshot.activations["hidden"])
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    assert [dead_units(snapshot), gradient_norm(snapshot)] == first[:2]  # kept until the refresh
    for _ in range(3):
        snapshot.refresh()
        second = [quantity(snapshot) for quantity in quantities]
    assert second[0] == {"hidden": 1.0} and second[1]["all"] == 0 and second[2] != first[2]
    assert len(traces) == num_traces > 0
    gc.collect()
    assert old() is None  # nothing of an older state is held


def test_models_whose_call_is_a_tf_function_or_takes_no_training():
    class Model(keras_2.Model):
        def __init__(self):
            super().__init__()
            self.dense, self.head = keras_2.layers.Dense(3, "relu", name="dense"), keras_2.layers.Dense(1)

        def call(self, inputs):
            return self.head(self.dense(inputs))

    model = Model()
    model(tf.ones((2, 2)))
    assert list(Snapshot(model, tf.ones((2, 2))).activations) == ["dense"]
    model.call = tf.function(model.call)
    assert list(Snapshot(model, tf.ones((2, 2))).activations) == []


def _one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def test_errors_are_one_line():
    model, inputs = models.mlp(keras_3), tf.ones((1, 2))
    with pytest.raises(TypeError) as error:
        Snapshot(lambda x: x, inputs)
    assert _one_line(error).startswith("`model` must be a Keras model. Received: <function")
    unbuilt = keras_3.Sequential([keras_3.layers.Dense(2)], name="mine")
    with pytest.raises(ValueError) as error:
        Snapshot(unbuilt, inputs)
    assert _one_line(error) == "`model` must be built, by a call on a batch. Received: 'mine'"
    for empty, shape in ((tf.ones((0, 2)), "[0, 2]"), (tf.constant(1.0), "[]")):
        with pytest.raises(ValueError) as error:
            Snapshot(model, empty)
        assert _one_line(error) == f"`inputs` must be a batch of at least one. Received: shape {shape}"
    with pytest.raises(ValueError) as error:
        gradient_norm(Snapshot(model, inputs))
    rule = "`loss` or `example_losses` must be given for quantities of the loss"
    assert _one_line(error) == f"{rule}. Received: None"
    with pytest.raises(ValueError) as error:
        gradient_norm(Snapshot(model, inputs, loss=lambda targets, outputs: tf.ones(7)))
    rule = "`loss` must return a loss for each example, or their mean"
    assert _one_line(error) == f"{rule}. Received: shape (7,)"


@BOTH
def test_a_loss_in_training_mode_is_refused_before_it_changes_anything(keras):
    model = models.stateful(keras)
    inputs = tf.ones((2, 3))
    before = model.get_weights()
    snapshot = Snapshot(
        model, inputs, inputs, example_losses=lambda x: tf.reduce_mean(model(x, training=True) ** 2, axis=1)
    )
    for quantity in (gradient_norm, sharpness):
        with pytest.raises(ValueError) as error:
            quantity(snapshot)
        assert _one_line(error).startswith(
            "`example_losses` must neither write variables nor draw random numbers"
        )
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)
