"""Activations of a recorded call, whose inputs Keras 3 may give to its layers as eager tensors."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfplastic.diagnostics import recorded_call

# A graph holds a small tensor as a constant and captures a large one.
SIZES = pytest.mark.parametrize("size", [2, 300])


def bare():
    """A model of its own class, whose nonlinearity is a function."""

    class Bare(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden, self.out = keras.layers.Dense(4), keras.layers.Dense(1)

        def call(self, inputs):
            return self.out(tf.nn.relu(self.hidden(inputs)))

    return Bare()


def sequential():
    layers = [keras.layers.Dense(4, "relu"), keras.layers.Dense(1)]
    return keras.Sequential([keras.Input((3,)), *layers])


@SIZES
@pytest.mark.parametrize("make", [bare, sequential])
def test_inputs_of_eager_execution(size, make):
    model = make()
    x = tf.constant(np.random.default_rng(0).normal(size=(size, 3)), tf.float32)
    model(x)

    @tf.function(autograph=False)
    def activations():
        with recorded_call(model) as call:
            model(x)
        return call.activations()

    (found,) = activations().values()
    kernel, bias = (np.asarray(each) for each in model.layers[0].get_weights())
    np.testing.assert_allclose(found, np.maximum(x.numpy() @ kernel + bias, 0), rtol=1e-5, atol=1e-6)
