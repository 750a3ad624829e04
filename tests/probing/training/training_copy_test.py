"""A probe leaves alone what its copy of the network uses outside of itself."""

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.probing import models
from tfplastic import probing

CALLS = tf.Variable(0.0, trainable=False)


def network(keras):
    @keras.utils.register_keras_serializable(package=f"training_copy_test_{keras.__name__}")
    class Noise(keras.layers.Layer):
        """Noise of the global generator in training, whose calls are counted outside of the layer."""

        def call(self, inputs, training=False):
            if not training:
                return inputs
            CALLS.assign_add(1.0)
            return inputs + 0.5 * tf.random.get_global_generator().normal(tf.shape(inputs))

    return models.with_weights(keras.Sequential([keras.Input((3,)), Noise(), keras.layers.Dense(2)]))


@pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
def test_global_generators_and_variables_are_as_before(keras):
    tf.random.get_global_generator().reset_from_seed(5)
    model, optimizer = network(keras), keras.optimizers.SGD(0.1)
    probe = probing.Probe(num_targets=2, num_steps=4, batch_size=5, baselines=1, compiler="graph")
    curves = []
    for count in (3.0, 8.0):  # the second probe takes the program of the first
        CALLS.assign(count)
        tf.random.get_global_generator().normal([4])
        before = tf.random.get_global_generator().state.numpy()
        curves.append(probe.measure(model, models.inputs(), optimizer).curves)
        np.testing.assert_array_equal(tf.random.get_global_generator().state, before)
        assert CALLS.numpy() == count
    np.testing.assert_array_equal(*curves)
