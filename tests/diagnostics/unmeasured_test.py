import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics import models
from tfplastic import networks
from tfplastic.diagnostics import Snapshot, dead_units

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])


def _model(keras, call, sizes=(3, 3, 3, 1)):
    """A model with the layers dense0, dense1, ..., norm and relu, called as `call(model, inputs)` does."""

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = [keras.layers.Dense(size, name=f"dense{i}") for i, size in enumerate(sizes)]
            self.norm = keras.layers.LayerNormalization(name="norm")
            self.relu = keras.layers.ReLU(name="relu")

        def build(self, shape):
            for layer in [*self.dense, self.norm]:
                layer.build((None, 3))
            self.built = True

        def call(self, inputs):
            return call(self, inputs)

    model = Model()
    model.build((None, 3))
    return model


def _snapshot(model):
    return Snapshot(model, tf.random.stateless_normal((4, 3), [0, 1]))


@BOTH
def test_bare_functions_go_by_the_layer_before(keras):
    def call(model, x):
        x = tf.nn.relu(model.dense[0](x))
        x = tf.tanh(model.norm(model.dense[1](x)))
        x = model.relu(model.dense[0](x))
        x = tf.maximum(model.dense[0](x) * 2.0 + x, 0.0)
        return tf.sigmoid(model.dense[3](x)) * 3.0

    snapshot = _snapshot(_model(keras, call))
    assert snapshot.unmeasured == {}
    assert (
        list(snapshot.activations) == list(snapshot.pre_activations) == ["dense0", "norm", "relu", "dense0:2"]
    )
    for name, function in (("dense0", tf.nn.relu), ("norm", tf.tanh), ("dense0:2", tf.nn.relu)):
        expected = function(snapshot.pre_activations[name])
        np.testing.assert_allclose(snapshot.activations[name], expected, atol=1e-6)
    functions = [each.activation for each in snapshot.unit_statistics.values()]
    assert functions == ["relu", "tanh", "relu", "relu"]


@BOTH
@pytest.mark.parametrize(
    "function", ["gelu", "silu", "softplus", "leaky_relu", "selu", "elu", "relu6", "tanh"]
)
def test_each_kind_is_seen_once(keras, function):
    def call(model, x):
        return model.dense[3](getattr(tf.nn, function)(model.dense[0](x)))

    model = _model(keras, call)
    snapshot = _snapshot(model)
    z = model.dense[0](snapshot.inputs)
    assert list(snapshot.activations) == ["dense0"] and snapshot.unmeasured == {}
    np.testing.assert_allclose(snapshot.activations["dense0"], getattr(tf.nn, function)(z), atol=1e-6)
    np.testing.assert_allclose(snapshot.pre_activations["dense0"], z, atol=1e-6)
    assert snapshot.unit_statistics["dense0"].activation == function


@BOTH
@pytest.mark.parametrize("function", ["relu", "gelu", "hard_sigmoid", "mish", "silu", "elu"])
def test_functions_of_keras(keras, function):
    bare = getattr(keras.activations, function, keras.activations.swish)
    model = _model(keras, lambda model, x: model.dense[3](bare(model.dense[0](x))))
    snapshot = _snapshot(model)
    assert list(snapshot.activations) == ["dense0"] and snapshot.unmeasured == {}
    expected = bare(model.dense[0](snapshot.inputs))
    np.testing.assert_allclose(snapshot.activations["dense0"], expected, atol=1e-6)
    assert snapshot.unit_statistics["dense0"].activation == function


@pytest.mark.parametrize("function", ["leaky_relu", "gelu", "hard_tanh", "softplus", "celu"])
def test_operations_of_keras_3(function):
    bare = getattr(keras_3.ops, function)
    model = _model(keras_3, lambda model, x: model.dense[3](bare(model.dense[0](x))))
    snapshot = _snapshot(model)
    assert list(snapshot.activations) == ["dense0"]
    expected = bare(model.dense[0](snapshot.inputs))
    np.testing.assert_allclose(snapshot.activations["dense0"], expected, atol=1e-6)


@BOTH
def test_functions_that_are_written_out(keras):
    forms = {
        "gelu": lambda x: 0.5 * x * (1 + tf.math.erf(x / 2.0**0.5)),
        "silu": lambda x: x * tf.sigmoid(x),
        "gelu_tanh": lambda x: x * (0.5 * (1.0 + tf.tanh(0.79788456 * (x + 0.044715 * x**3)))),
    }
    for name, form in forms.items():
        model = _model(keras, lambda model, x: model.dense[3](form(model.dense[0](x))))  # noqa: B023
        snapshot = _snapshot(model)
        assert list(snapshot.activations) == ["dense0"], name
        expected = form(model.dense[0](snapshot.inputs))
        np.testing.assert_allclose(snapshot.activations["dense0"], expected, atol=1e-6)
        assert snapshot.unit_statistics["dense0"].activation == name.removesuffix("_tanh")


@BOTH
def test_two_calls_on_one_line_are_two(keras):
    def call(model, x):
        one, two = [tf.nn.relu(each) for each in (model.dense[0](x), model.dense[1](x))]
        return model.dense[3](one + two)

    assert list(_snapshot(_model(keras, call)).activations) == ["dense0", "dense1"]


@BOTH
def test_units_of_a_bare_function_are_counted(keras):
    model = _model(keras, lambda model, x: model.dense[3](tf.nn.relu(model.dense[0](x))))
    model.dense[0].set_weights([np.eye(3, dtype="float32"), np.array([-99.0, 9.0, 9.0], "float32")])
    assert dead_units(_snapshot(model)) == {"dense0": pytest.approx(1 / 3)}


@BOTH
def test_functional_models(keras):
    inputs = keras.Input((3,))
    bare = (lambda x: tf.nn.relu(x)) if keras is keras_2 else keras_3.ops.relu
    hidden = bare(keras.layers.Dense(4, name="first")(inputs))
    hidden = keras.layers.Dense(4, "relu", name="second")(hidden)
    snapshot = _snapshot(keras.Model(inputs, keras.layers.Dense(1)(hidden)))
    assert snapshot.unmeasured == {} and list(snapshot.activations) == ["first", "second"]


@BOTH
def test_a_measured_name_is_not_taken(keras):
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(4, "relu", name="hidden")(inputs)
    hidden = keras.layers.Lambda(lambda x: tf.tanh(x), name="bare")(hidden)
    snapshot = _snapshot(keras.Model(inputs, keras.layers.Dense(1)(hidden)))
    assert list(snapshot.activations) == ["hidden", "hidden:1"] and snapshot.unmeasured == {}


@BOTH
def test_variables_of_a_layer_of_ones_own_and_of_the_model(keras):
    class Own(keras.layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(name="kernel", shape=(3, 3), initializer="ones")

        def call(self, inputs):
            return tf.nn.relu(inputs @ self.kernel)

        def compute_output_shape(self, shape):
            return shape

    class Model(keras.Model):
        def __init__(self):
            super().__init__(name="whole")
            self.own, self.head = Own(name="own"), keras.layers.Dense(1)

        def build(self, shape):
            self.scale = self.add_weight(name="scale", shape=(3,), initializer="ones")

        def call(self, inputs):
            return self.head(self.own(tf.tanh(tf.nn.elu(inputs) * self.scale)))

    model = Model()
    model(tf.ones((1, 3)))
    snapshot = _snapshot(model)
    assert list(snapshot.activations) == ["whole", "whole:1", "own"] and snapshot.unmeasured == {}


@BOTH
def test_loops_and_functions(keras):
    def looped(model, x):
        x = tf.while_loop(lambda x: tf.reduce_sum(x) < 100, lambda x: (model.relu(x) + 1,), [x])[0]
        return model.dense[3](x)

    assert list(_snapshot(_model(keras, looped)).unmeasured) == ["relu"]
    assert "loop" in _snapshot(_model(keras, looped)).unmeasured["relu"]

    def bare(model, x):
        return model.dense[3](tf.function(lambda x: tf.nn.relu(x))(model.dense[0](x)))

    found = _snapshot(_model(keras, bare)).unmeasured
    assert list(found) == ["relu", "dense0"]  # the model does not call the first, but that cannot be known
    assert "function" in found["dense0"] and "\n" not in found["dense0"]


def test_a_function_traced_before():
    model = models.mlp(keras_2)
    model.call = tf.function(model.call)
    model(tf.ones((4, 2)), training=False)
    snapshot = Snapshot(model, tf.ones((4, 2)))
    assert list(snapshot.unmeasured) == ["hidden", model.name] and snapshot.activations == {}


@BOTH
@pytest.mark.parametrize("recurrent", ["LSTM", "GRU", "SimpleRNN", "cell", "stacked", "unrolled"])
def test_recurrent_layers_tell_of_their_cells(keras, recurrent):
    layers = keras.layers
    make = {
        "cell": lambda: layers.RNN(layers.LSTMCell(3), name="recurrent"),
        "stacked": lambda: layers.RNN([layers.LSTMCell(3), layers.GRUCell(4)], name="recurrent"),
        "unrolled": lambda: layers.LSTM(3, unroll=True, name="recurrent"),
    }
    layer = make[recurrent]() if recurrent in make else getattr(layers, recurrent)(3, name="recurrent")
    inputs = keras.Input((5, 2))
    model = keras.Model(inputs, layers.Dense(1)(layer(inputs)))
    batch = tf.random.stateless_normal((4, 5, 2), [0, 1])
    snapshot = Snapshot(model, batch)
    assert list(snapshot.activations) == ["recurrent"] and snapshot.unmeasured == {}
    np.testing.assert_allclose(snapshot.activations["recurrent"], layer(batch), atol=1e-6)


def test_the_librarys_own_networks_are_measured_whole():
    inputs = tf.ones((2, 32, 32, 3))
    for model in (
        networks.mlp(10, (8,), input_shape=(32, 32, 3), norm="layer", activation="gelu"),
        networks.resnet18(10, input_shape=(32, 32, 3), width=1 / 16),
        networks.vit(10, input_shape=(32, 32, 3), model_dim=16, num_heads=2),
    ):
        assert Snapshot(model, inputs).unmeasured == {}
