"""Snapshots of models of every kind."""

from typing import Any

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2
from tf_agents.networks import q_network
from tf_agents.specs import BoundedArraySpec, tensor_spec

from tests.diagnostics import models
from tfplastic.diagnostics import Snapshot, recorded_activations

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])


@BOTH
def test_pre_activations_and_outputs(keras):
    model = models.cnn(keras)
    inputs = tf.random.stateless_normal((7, 6, 6, 2), [0, 1])
    snapshot = Snapshot(model, inputs, batch_size=3)
    assert list(snapshot.pre_activations) == list(snapshot.activations)
    for name, function in (("conv1_relu", tf.nn.relu), ("conv2_relu", tf.nn.relu), ("dense_tanh", tf.tanh)):
        values = function(snapshot.pre_activations[name])
        np.testing.assert_allclose(snapshot.activations[name], values, atol=1e-6)
        assert (snapshot.pre_activations[name].numpy() < 0).any()
    np.testing.assert_allclose(snapshot.outputs, model(inputs), atol=1e-5)
    assert list(snapshot.features) == ["dense_tanh"]
    np.testing.assert_array_equal(snapshot.features["dense_tanh"], snapshot.activations["dense_tanh"])
    np.testing.assert_allclose(
        Snapshot(model, inputs).features["dense_tanh"], snapshot.activations["dense_tanh"], atol=1e-6
    )


@BOTH
def test_of_a_layer_with_an_activation_of_its_own(keras):
    """Also where the activation is a layer, and where the layer returns something else."""

    class Block(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = keras.layers.Dense(4, activation=keras.layers.LeakyReLU(name="inner"), name="dense")
            self.activation = keras.activations.get("relu")

        def build(self, shape):
            self.dense.build(shape)
            super().build(shape)

        def call(self, inputs):
            first = self.activation(self.dense(inputs) - 1)
            return inputs + 3 * self.activation(first - 2)

    block = Block(name="block")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(1)(block(inputs)))
    x = 3 * tf.random.stateless_normal((5, 4), [0, 1])
    snapshot = Snapshot(model, x)
    z: Any = tf.matmul(x, block.dense.kernel)
    h = tf.nn.leaky_relu(z, float(getattr(block.dense.activation, "negative_slope", 0.3)))
    expected = {"block/dense": (z, h), "block": (h - 1, tf.nn.relu(h - 1))}
    first = expected["block"][1]
    expected["block:1"] = (first - 2, tf.nn.relu(first - 2))
    assert list(snapshot.activations) == list(expected) == list(snapshot.pre_activations)
    for name, (given, values) in expected.items():
        np.testing.assert_allclose(snapshot.pre_activations[name], given, atol=1e-5)
        np.testing.assert_allclose(snapshot.activations[name], values, atol=1e-5)
    functions = [each.activation for each in snapshot.unit_statistics.values()]
    assert functions == ["leaky_relu", "relu", "relu"]


@BOTH
def test_nested_models_and_shared_layers(keras):
    inner_inputs = keras.Input((3,))
    inner = keras.Model(
        inner_inputs, keras.layers.Dense(3, "relu", name="hidden")(inner_inputs), name="inner"
    )
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(1, name="head")(inner(inner(inputs))))
    x = tf.random.stateless_normal((5, 3), [0, 1])
    snapshot = Snapshot(model, x)
    assert list(snapshot.activations) == ["inner/hidden", "inner/hidden:1"] == list(snapshot.unit_statistics)
    np.testing.assert_allclose(snapshot.activations["inner/hidden"], inner(x), atol=1e-6)
    np.testing.assert_allclose(snapshot.activations["inner/hidden:1"], inner(inner(x)), atol=1e-6)
    assert list(snapshot.weights) == ["inner/hidden", "head"] and snapshot.unmeasured == {}


@BOTH
def test_several_inputs_and_outputs(keras):
    inputs = {"a": keras.Input((2,), name="a"), "b": keras.Input((2,), name="b")}
    hidden = keras.layers.Dense(3, "relu", name="hidden")(keras.layers.Add()([inputs["a"], inputs["b"]]))
    outputs = [keras.layers.Dense(1, "tanh", name="one")(hidden), keras.layers.Dense(2, name="two")(hidden)]
    model = keras.Model(inputs, outputs)
    batch = {name: np.random.default_rng(0).standard_normal((5, 2)).astype("float32") for name in "ab"}
    for batch_size in (512, 2):
        snapshot = Snapshot(
            model,
            batch,
            (np.zeros((5, 1), "float32"), np.ones((5, 2), "float32")),
            lambda y, f: tf.reduce_mean((f[0] - y[0]) ** 2, 1) + tf.reduce_mean((f[1] - y[1]) ** 2, 1),
            batch_size=batch_size,
        )
        one, two = (np.asarray(each, "float64") for each in model(batch))
        found = tf.nest.flatten(snapshot.outputs)
        np.testing.assert_allclose(found[0], one, atol=1e-6)
        np.testing.assert_allclose(found[1], two, atol=1e-6)
        assert list(snapshot.activations) == ["hidden"]
        np.testing.assert_allclose(snapshot.loss, (one**2).mean() + ((two - 1) ** 2).mean(), rtol=1e-5)


def test_networks_of_tf_agents():
    network = _q_network()
    observations = tf.random.stateless_uniform((5, 12, 12, 2), [0, 1], maxval=256, dtype=tf.int32)
    snapshot = Snapshot(network, tf.cast(observations, tf.uint8), batch_size=3)
    assert [each.shape[-1] for each in snapshot.activations.values()] == [4, 6]
    assert list(snapshot.pre_activations) == list(snapshot.activations) and snapshot.unmeasured == {}
    values, state = snapshot.outputs
    np.testing.assert_allclose(values, network(tf.cast(observations, tf.uint8))[0], atol=1e-4)
    assert state == () and len(snapshot.weights) == 3


def test_what_a_network_of_tf_agents_records_while_another_program_is_traced():
    network, names = _q_network(), []

    @tf.function
    def program(observations):
        with recorded_activations(network) as activations:
            network(observations)
        names.extend(activations)

    program(tf.zeros((3, 12, 12, 2), tf.uint8))
    assert names == list(Snapshot(network, tf.zeros((3, 12, 12, 2), tf.uint8)).activations)


def _q_network():
    network = q_network.QNetwork(
        tf.TensorSpec((12, 12, 2), tf.uint8),
        tensor_spec.from_spec(BoundedArraySpec([], np.int32, 0, 2)),
        preprocessing_layers=keras_2.layers.Lambda(lambda x: tf.cast(x, tf.float32) / 255),
        conv_layer_params=[(4, 3, 2)],
        fc_layer_params=(6,),
    )
    network(tf.zeros((1, 12, 12, 2), tf.uint8))
    return network


@BOTH
def test_layers_can_be_chosen(keras):
    model, inputs = models.cnn(keras), tf.ones((2, 6, 6, 2))

    def names(layers):
        snapshot = Snapshot(model, inputs, tf.ones((2, 2)), "mse", layers=layers)
        assert list(snapshot.activations) == list(snapshot.unit_statistics) == list(snapshot.pre_activations)
        assert list(snapshot.gradients) == list(snapshot.weights)
        return list(snapshot.weights), list(snapshot.activations)

    for convolutions in (keras.layers.Conv2D, "Conv2D", lambda layer: "Conv" in type(layer).__name__):
        assert names(convolutions) == (["conv1", "conv2"], [])
    assert names(["conv2", "dense_tanh", "output"]) == (["conv2", "output"], ["dense_tanh"])
    assert names(("conv1_relu",)) == ([], ["conv1_relu"])
    snapshot = Snapshot(model, inputs, tf.ones((2, 2)), "mse", layers=["output"])
    assert snapshot.hessian.shape == (12, 12) and snapshot.features == {}
    relu = keras.layers.ReLU
    assert list(Snapshot(model, inputs, layers=relu).features) == ["conv2_relu"]


@BOTH
def test_chosen_layers_keep_the_names_that_they_have_among_all(keras):
    inputs = keras.Input((3,))
    relu = keras.layers.ReLU(name="relu")
    hidden = relu(keras.layers.Dense(3, name="first")(inputs))
    hidden = tf.nn.elu(keras.layers.Dense(3, name="bare")(hidden)) if keras is keras_2 else hidden
    model = keras.Model(inputs, keras.layers.Dense(1, name="head")(relu(hidden)))
    assert list(Snapshot(model, tf.ones((1, 3)), layers=["relu"]).activations) == ["relu", "relu:1"]
    assert Snapshot(model, tf.ones((1, 3)), layers=["relu"]).unmeasured == {}


@BOTH
def test_errors_of_chosen_layers(keras):
    model, inputs = models.cnn(keras), tf.ones((2, 6, 6, 2))

    def error(layers, kind: type[Exception] = ValueError):
        with pytest.raises(kind) as caught:
            Snapshot(model, inputs, layers=layers)
        return str(caught.value)

    assert error(["conv1_rel"]) == (
        "`layers` must be names of the model's layers. Received: 'conv1_rel'. "
        "Did you mean 'conv1_relu', 'conv2_relu' or 'conv1'?"
    ) or error(["conv1_rel"]).startswith(
        "`layers` must be names of the model's layers. Received: 'conv1_rel'."
    )
    assert error("Conv3D") == "`layers` must fit a layer of the model. Received: 'Conv3D'"
    assert error(lambda layer: False).startswith(
        "`layers` must fit a layer of the model. Received: <function"
    )
    rule = "`layers` must be a function of a layer, a class or its name, or a list of names"
    assert error(3, TypeError) == f"{rule}. Received: 3"


def test_inputs_of_different_lengths():
    with pytest.raises(
        ValueError, match=r"^`inputs` must be of one length. Received: shapes \[2, 2\], \[3\]$"
    ):
        Snapshot(models.mlp(keras_3), [tf.ones((2, 2)), tf.ones(3)])


def test_outputs_that_are_no_tensors():
    class Model(keras_2.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras_2.layers.Dense(3, "relu", name="dense")

        def call(self, inputs):
            return tf.RaggedTensor.from_uniform_row_length(self.dense(inputs), 1), "word"

    model = Model()
    model.build((None, 2))
    snapshot = Snapshot(model, tf.ones((3, 2)))
    assert snapshot.activations["dense"].shape == (3, 3)
    with pytest.raises(ValueError, match=r"^`model` must return tensors for its `outputs`. Received: other"):
        snapshot.outputs  # noqa: B018


@BOTH
def test_what_is_not_asked_for_is_not_computed(keras):
    """A program holds the operations that it needs, however many others the one traced pass has."""
    model = models.mlp(keras)
    snapshot = Snapshot(model, tf.ones((3, 2)), tf.ones((3, 1)), "mse")
    assert isinstance(snapshot.weights, dict) and not snapshot._values
    snapshot.unit_statistics  # noqa: B018
    assert set(snapshot._values) == {"unit_statistics"}
    snapshot.loss  # noqa: B018
    assert set(snapshot._values) == {"unit_statistics", "loss"}


@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.parametrize("version", [2, 3])
def test_programs_are_kept_while_the_model_stays(version, is_compiled):
    module = keras_2 if version == 2 else keras_3
    model = module.Sequential([module.layers.Dense(2, "relu"), module.layers.Dense(1)])
    model.build((None, 3))
    if is_compiled:
        model.compile("sgd", "mse")
    snapshot = Snapshot(model, np.ones((4, 3), np.float32))
    assert not snapshot.refresh()
    model.compile("adam", "mae")
    assert snapshot.refresh() and not snapshot.refresh()
