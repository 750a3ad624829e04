"""Networks made again from a seed: of either Keras, and TF-Agents'."""

import random
import re
from typing import Any

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

import tfplastic as tp
from tests.probing import models
from tfplastic import probing
from tfplastic._keras import is_legacy, keras
from tfplastic.probing._training.reinitialized import architecture, call, rebuild, weights_of

KERASES = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])


def functional(keras):
    """Nested models, a shared layer, initializers with and without seeds, and one that is a function's."""
    inputs = keras.Input((4, 3))
    shared = keras.layers.Dense(3, kernel_initializer=keras.initializers.HeNormal(seed=7))
    inner = keras.Sequential([keras.Input((4, 3)), keras.layers.Dense(5), keras.layers.Dropout(0.5, seed=1)])
    hidden = inner(shared(shared(inputs)))
    hidden = keras.layers.MultiHeadAttention(2, 4)(hidden, hidden)
    hidden = keras.layers.LayerNormalization()(hidden)
    hidden = keras.layers.Bidirectional(keras.layers.GRU(3))(hidden)
    outputs = keras.layers.Dense(2, kernel_initializer="orthogonal")(hidden)
    return keras.Model(inputs, outputs)


def subclassed(keras):
    @keras.utils.register_keras_serializable(package=f"rebuild_test_{keras.__name__}")
    class Net(keras.Model):
        def __init__(self, units=4, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.dense = keras.layers.Dense(units)

        def call(self, inputs):
            return self.dense(tf.reshape(inputs, [-1, 12]))

        def get_config(self):
            return {"units": self.units}

    return Net()


@KERASES
@pytest.mark.parametrize("build", [functional, subclassed])
def test_the_seed_decides_and_nothing_else(keras, build):
    model, x = build(keras), np.ones([2, 4, 3], np.float32)
    model(x)
    before = random.getstate(), str(np.random.get_state())
    one, same, other = (rebuild(model, seed, x[:1]) for seed in (1, 1, 2))
    assert (random.getstate(), str(np.random.get_state())) == before
    for first, second in zip(weights_of(one), weights_of(same), strict=True):
        np.testing.assert_array_equal(first, second)
    kernels = [place for place, weight in enumerate(model.weights) if "kernel" in weight.name]
    assert kernels
    for place in kernels:
        assert np.all(weights_of(one)[place] != weights_of(other)[place])
        assert np.all(weights_of(one)[place] != weights_of(model)[place])
    random.random()
    np.testing.assert_array_equal(weights_of(rebuild(model, 1, x[:1]))[0], weights_of(one)[0])


@KERASES
def test_has_the_distribution_of_the_initializer(keras):
    layers = [keras.Input((200,)), keras.layers.Dense(300, kernel_initializer="he_normal", use_bias=False)]
    model = keras.Sequential(layers)
    model.set_weights([np.full([200, 300], 9.0)])
    (kernel,) = weights_of(rebuild(model, 0, np.zeros([1, 200], np.float32)))
    assert abs(kernel.std() / np.sqrt(2 / 200) - 1) < 0.02


@KERASES
def test_what_adapt_has_computed_is_kept(keras):
    data = np.random.default_rng(0).normal(5, 3, size=[100, 3]).astype(np.float32)
    norm = keras.layers.Normalization()
    norm.adapt(data)
    model = keras.Sequential([keras.Input((3,)), norm])
    again = rebuild(model, 0, data[:1])
    np.testing.assert_array_equal(again(data), model(data))
    before = architecture(model, None)
    norm.adapt(data + 1)
    assert architecture(model, None) != before


def test_seeds_are_no_part_of_an_architecture():
    def dense(seed, units=2):
        draw: Any = keras_3.initializers.HeNormal(seed=seed)
        return keras_3.Sequential([keras_3.Input((3,)), keras_3.layers.Dense(units, kernel_initializer=draw)])

    one, other, wider = (architecture(model, None) for model in (dense(1), dense(2), dense(1, 3)))
    assert one == other != wider


def test_the_librarys_own_networks():
    model = tp.networks.vit(3, input_shape=(6, 6, 1))
    one, other = (rebuild(model, seed, np.zeros([1, 6, 6, 1], np.float32)) for seed in (1, 2))
    pairs = zip(weights_of(one), weights_of(other), model.weights, strict=True)
    differ = [np.any(first != second) for first, second, weight in pairs if len(weight.shape) > 1]
    assert all(differ)


@pytest.mark.skipif(not is_legacy(), reason="TF-Agents needs Keras 2")
def test_networks_of_tf_agents():
    from tf_agents.networks import q_network
    from tf_agents.specs import BoundedTensorSpec

    make_network: Any = q_network.QNetwork
    make_spec: Any = BoundedTensorSpec
    network = make_network(tf.TensorSpec([3]), make_spec([], tf.int32, 0, 1), fc_layer_params=(8,))
    network.create_variables()
    x = models.inputs()
    one, same, other = (rebuild(network, seed, x[:1]) for seed in (1, 1, 2))
    for number, weight in enumerate(network.weights):
        np.testing.assert_array_equal(weights_of(one)[number], weights_of(same)[number])
        if len(weight.shape) > 1:
            assert np.all(weights_of(one)[number] != weights_of(other)[number])
    assert call(one, x, training=False).shape == (30, 2)
    before = weights_of(network)
    result = probing.Probe(num_targets=2, num_steps=30, batch_size=5, baselines=2).measure(
        network, x, keras.optimizers.Adam(0.01)
    )
    assert result.final_loss < result.initial_loss
    for one, other in zip(before, weights_of(network), strict=True):
        np.testing.assert_array_equal(one, other)


def probed(model, **settings):
    one = probing.Probe(num_targets=1, num_steps=1, baselines=0, **settings)
    return one.measure(model, models.inputs(), keras_3.optimizers.SGD(0.1))


class WithoutConfig(keras_3.Model):
    def __init__(self, units):
        super().__init__(name="net")
        self.dense = keras_3.layers.Dense(units)

    def call(self, inputs):
        return self.dense(inputs)

    def get_config(self):
        raise NotImplementedError


def without_config(units=2):
    model = WithoutConfig(units)
    model(models.inputs())
    return model


def test_make_model_serves_where_there_is_no_configuration():
    def make(seed):
        return models.with_weights(without_config(), seed)

    assert probed(without_config(), make_model=make).curves.shape == (1, 1)


@pytest.mark.parametrize(
    ("make_model", "message"),
    [
        (
            None,
            "`model` must be rebuilt by `get_config` and `from_config`, or `make_model` be given. Received:"
            " 'net' of type WithoutConfig",
        ),
        (
            lambda seed: without_config(3),
            "`make_model` must return a network with the weights of `model`, of shapes [3, 2], [2]. Received:"
            " [3, 3], [3]",
        ),
        (
            lambda seed: models.with_weights(without_config(), 0),
            "`model` must have initial weights that are a function of the seed, or `make_model` be given."
            " Received: the same for other seeds",
        ),
        (lambda seed: 1, "`make_model` must return a Keras model. Received: 1"),
    ],
)
def test_errors(make_model, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        probed(without_config(), make_model=make_model)


def test_weights_that_no_seed_decides_are_an_error():
    @keras_3.utils.register_keras_serializable(package="rebuild_test")
    class Noise(keras_3.layers.Layer):
        def build(self, shape):
            self.noise = self.add_weight(shape=(3,), initializer=lambda shape, dtype: tf.random.normal(shape))

        def call(self, inputs):
            return inputs + self.noise

    model = keras_3.Sequential([keras_3.Input((3,)), Noise(), keras_3.layers.Dense(1)])
    with pytest.raises(ValueError) as caught:
        probed(model)
    assert str(caught.value) == (
        "`model` must have initial weights that are a function of the seed, or `make_model` be given."
        " Received: other weights for the same seed"
    )


def test_a_model_with_several_outputs_is_an_error():
    inputs = keras_3.Input((3,))
    model = keras_3.Model(inputs, [keras_3.layers.Dense(1)(inputs), keras_3.layers.Dense(1)(inputs)])
    with pytest.raises(ValueError) as caught:
        probed(model)
    assert str(caught.value) == (
        "`model` must have one output, a tensor. Received: list. "
        "Probe a model of one of them, such as keras.Model(model.inputs, model.outputs[0])."
    )
