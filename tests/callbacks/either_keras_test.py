"""Callbacks in `fit` of either Keras, whichever `tf.keras` is."""

from typing import Any

import keras as keras_3
import numpy as np
import tf_keras as keras_2

from tfplastic.callbacks import PlasticityDiagnostics
from tfplastic.diagnostics import dead_units

X = np.random.default_rng(0).standard_normal((8, 3)).astype("float32")


def test_a_model_of_either_is_watched():
    for keras in (keras_2, keras_3):
        layers = [keras.Input((3,)), keras.layers.Dense(4, "relu", name="hidden"), keras.layers.Dense(1)]
        model = keras.Sequential(layers)
        model.compile("sgd", "mse", run_eagerly=True)
        watch = PlasticityDiagnostics(X, every=1, quantities=[dead_units])
        model.fit(X, X[:, :1], batch_size=4, validation_data=(X, X[:, :1]), verbose=0, callbacks=[watch])
        model.predict(X, verbose=0, callbacks=[watch])
        assert [row["step"] for row in watch.history] == [0, 1, 2] and not watch.left_out


def test_a_quantity_that_returns_no_values_is_told_and_training_continues():
    model: Any = keras_2.Sequential([keras_2.Input((3,)), keras_2.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)

    def nothing(snapshot):
        return None

    def texts(snapshot):
        return {"dense": "large"}

    wrong: Any = [nothing, texts]
    watch = PlasticityDiagnostics(X, every=1, quantities=wrong)
    model.fit(X, X[:, :1], batch_size=4, verbose=0, callbacks=[watch])
    rule = "`quantities` must return {layer name: number or array}. Received: "
    assert watch.step == 2 and watch.history == []
    assert watch.left_out == {
        "nothing": f"{rule}None of 'nothing'",
        "texts": f"{rule}{{'dense': 'large'}} of 'texts'",
    }
