"""Names of layers are paths below the model that is measured."""

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tfplastic import diagnostics, networks, training
from tfplastic.callbacks import PlasticityDiagnostics
from tfplastic.diagnostics import Snapshot, UnitMap, diagnose, gradient_norm, measure
from tfplastic.diagnostics.reading.model_layers import named_layers

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])


@BOTH
def test_paths_of_attention_and_recurrent_layers(keras):
    inputs = keras.Input((4, 8))
    hidden = inputs
    for index in (1, 2):
        hidden = keras.layers.MultiHeadAttention(2, 4, name=f"attention_{index}")(hidden, hidden)
    both = keras.layers.Bidirectional(keras.layers.LSTM(3, name="lstm"), name="both")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(1, name="head")(both), name="model")
    names = list(named_layers(model))
    assert names[0] == "model" and "attention_2" in names and len(set(names)) == len(names)
    snapshot = Snapshot(model, np.ones((2, 4, 8), "float32"), np.ones((2, 1)), "mse")
    parts = ("query", "key", "value", "attention_output")
    expected = [f"attention_{index}/{part}" for index in (1, 2) for part in parts]
    expected += ["both/forward_lstm/lstm_cell", "both/backward_lstm/lstm_cell", "head"]
    assert sorted(snapshot.weights) == sorted(expected) == sorted(snapshot.gradients)
    assert names.index("attention_1") < names.index("attention_1/query") < names.index("attention_2")
    assert set(gradient_norm(snapshot)) == {*expected, "all"}
    chosen = Snapshot(model, snapshot.inputs, layers=["attention_2/query"])
    assert list(chosen.weights) == ["attention_2/query"]


@BOTH
def test_a_layer_directly_in_the_model_keeps_its_name_though_an_inner_model_shares_it(keras):
    layers = keras.layers
    shared = layers.Dense(4, "tanh", name="shared")
    piece = keras.Input((4,))
    inner = keras.Model(piece, layers.Dense(4, "tanh", name="own")(shared(piece)), name="inner")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(1, name="head")(shared(inner(inputs))), name="model")
    snapshot = Snapshot(model, tf.ones((2, 4)))
    assert list(snapshot.activations) == ["shared", "inner/own", "shared:1"]
    assert set(snapshot.weights) == {"shared", "inner/own", "head"}
    assert set(UnitMap(model)) | set(UnitMap(model).excluded) == {"shared", "inner/own", "head"}
    report = diagnose(inner, tf.ones((2, 4)), budget="cheap")  # below it, paths are shorter
    assert list(report.to_dict()["dead_units"]) == ["shared"]


@BOTH
def test_siblings_of_one_name_and_a_model_named_as_its_layer(keras):
    class Block(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.parts = {"a": [keras.layers.Dense(2, name="dense"), keras.layers.Dense(2, name="dense")]}

        def call(self, inputs):
            first, second = self.parts["a"]
            return second(first(inputs))

    class Model(keras.Model):
        def __init__(self):
            super().__init__(name="dense")
            self.blocks = [Block(name="block"), Block(name="block")]
            self.dense = keras.layers.Dense(1, name="dense")

        def call(self, inputs):
            for block in self.blocks:
                inputs = block(inputs)
            return self.dense(inputs)

    model = Model()
    model(tf.ones((1, 2)))
    names = named_layers(model)
    assert list(names) == [
        *("dense.1", "block", "block/dense", "block/dense.1"),
        *("block.1", "block.1/dense", "block.1/dense.1", "dense"),
    ]
    assert names["dense.1"] is model and names["dense"] is model.dense


def test_a_plastic_model_is_named_as_its_network():
    network = networks.mlp(2, (4, 3), input_shape=(3,))
    model = training.PlasticModel(network)
    names = list(named_layers(network))
    assert list(named_layers(model))[1:] == names
    x = np.ones((5, 3), "float32")
    wrapped, bare = Snapshot(model, x), Snapshot(network, x)
    assert list(wrapped.activations) == list(bare.activations) == ["hidden1_relu", "hidden2_relu"]
    assert list(wrapped.weights) == list(bare.weights) and wrapped.left_out() == bare.left_out()
    quantities = [diagnostics.weight_norm, diagnostics.feature_srank]
    assert measure(wrapped, quantities) == measure(bare, quantities)
    assert list(UnitMap(model)) == list(UnitMap(network)) == ["hidden1", "hidden2"]
    model.compile("sgd", "mse")
    watch = PlasticityDiagnostics(x, quantities=[diagnostics.dead_units])
    model.fit(x, np.ones((5, 2)), callbacks=[watch], verbose=0)
    assert [row["layer"] for row in watch.history] == ["hidden1_relu", "hidden2_relu"]
