"""Layers that draw random numbers are measured with draws of a fixed seed, and their state stays."""

import random

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tfplastic.diagnostics import Snapshot, diagnose


def _encoder(keras, draw):
    class Sampling(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            if keras is keras_3:
                self.seed_generator = keras_3.random.SeedGenerator(3)

        def call(self, inputs):
            mean, log_variance = inputs
            return mean + tf.exp(0.5 * log_variance) * draw(self, tf.shape(mean))

    inputs = keras.Input((5,))
    hidden = keras.layers.Dense(6, "relu", name="hidden")(inputs)
    parts = [keras.layers.Dense(2, name=name)(hidden) for name in ("mean", "log_variance")]
    return keras.Model(inputs, [*parts, Sampling(name="sampling")(parts)])


DRAWS = {
    "tensorflow, Keras 2": (keras_2, lambda layer, shape: tf.random.normal(shape)),
    "backend, Keras 2": (keras_2, lambda layer, shape: keras_2.backend.random_normal(shape)),
    "tensorflow, Keras 3": (keras_3, lambda layer, shape: tf.random.normal(shape)),
    "seed generator": (keras_3, lambda layer, shape: keras_3.random.normal(shape, seed=layer.seed_generator)),
    "global generator": (keras_3, lambda layer, shape: keras_3.random.normal(shape)),
}


@pytest.mark.parametrize("kind", DRAWS)
def test_an_encoder_that_samples(kind):
    model = _encoder(*DRAWS[kind])
    x = np.random.default_rng(0).standard_normal((8, 5)).astype("float32")
    model(x)
    before = [np.asarray(each) for each in model.variables]
    states = random.getstate(), np.random.get_state(legacy=False)["state"]["key"].tolist()
    first, second = (tf.nest.flatten(Snapshot(model, x).outputs) for _ in range(2))
    assert states == (random.getstate(), np.random.get_state(legacy=False)["state"]["key"].tolist())
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(np.asarray(variable), value)
    np.testing.assert_array_equal(first[2], second[2])
    noise = (first[2] - first[0]) / tf.exp(0.5 * first[1])
    assert 0.3 < np.std(noise) < 2 and len(np.unique(noise)) == 16
    assert diagnose(model, x, budget="cheap").to_dict()["dead_units"].keys() == {"hidden"}
