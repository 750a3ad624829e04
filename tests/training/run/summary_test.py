"""The plan of networks that are no graph of layers with one output each."""

import tensorflow as tf

from tfplastic._keras import keras
from tfplastic.training.run import summary


class Subclassed(keras.Model):
    """Two layers, of which one is not called and so not built."""

    def __init__(self):
        super().__init__(name="own")
        self.hidden = keras.layers.Dense(4, name="hidden")
        self.unused = keras.layers.Dense(2, name="unused")

    def call(self, inputs):
        return self.hidden(inputs)


def test_layers_of_a_subclassed_network():
    model = Subclassed()
    model(tf.zeros([1, 3]))
    lines = summary.describe(model, [("seed", "0")]).splitlines()
    hidden, unused = (line.split() for line in lines[1:3])
    assert hidden == ["hidden", "Dense", "16"] and unused == ["unused", "Dense", "0"]


def test_a_layer_with_several_outputs():
    inputs = keras.Input((6, 2))
    outputs = keras.layers.LSTM(3, return_sequences=True, return_state=True, name="lstm")(inputs)
    model = keras.Model(inputs, outputs)
    line = summary.describe(model, [("seed", "0")]).splitlines()[2]
    assert line.split(maxsplit=2)[2] == "(6, 3), (3,), (3,)  72"
