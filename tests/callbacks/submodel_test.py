"""The callback on a part of the trained model, as of one without a call of its own."""

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tfplastic.callbacks import PlasticityDiagnostics
from tfplastic.diagnostics import dead_units


@pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
def test_the_encoder_of_a_model_without_call(keras):
    class Coder(keras.Model):
        def __init__(self):
            super().__init__()
            dense = keras.layers.Dense
            self.encoder = keras.Sequential([keras.Input((3,)), dense(4, "relu", name="hidden"), dense(2)])
            self.decoder = keras.Sequential([keras.Input((2,)), dense(3)])

        def train_step(self, data):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self.decoder(self.encoder(data)) - data) ** 2)
            variables = [each for part in (self.encoder, self.decoder) for each in part.trainable_variables]
            self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
            return {"loss": loss}

    model = Coder()
    model.compile("sgd")
    x = np.ones((8, 3), "float32")
    watch = PlasticityDiagnostics(x, every=2, quantities=[dead_units], model=model.encoder)
    model.fit(tf.data.Dataset.from_tensor_slices(x).batch(2), callbacks=[watch], verbose=0)
    assert [(row["step"], row["layer"]) for row in watch.history] == [
        (0, "hidden"),
        (2, "hidden"),
        (4, "hidden"),
    ]
