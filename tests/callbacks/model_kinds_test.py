"""The callback and `diagnose` on models of many kinds: autoencoders, adversaries, several outputs."""

from typing import Any

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tfplastic.callbacks import PlasticityDiagnostics
from tfplastic.diagnostics import dead_units, diagnose, feature_srank, gradient_norm

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
X = np.random.default_rng(0).standard_normal((8, 5)).astype("float32")
SOME = [dead_units, feature_srank]


def _stack(keras, *sizes, width):
    layers = [keras.layers.Dense(size, "relu", name=f"hidden{i}") for i, size in enumerate(sizes[:-1])]
    return keras.Sequential([keras.Input((width,)), *layers, keras.layers.Dense(sizes[-1], name="out")])


def _rows(watch):
    return {(row["step"], row["quantity"], row["layer"]) for row in watch.history}


@BOTH
def test_a_variational_autoencoder_without_call(keras):
    class Sampling(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            if keras is keras_3:
                self.generator = keras_3.random.SeedGenerator(1)

        def call(self, inputs):
            mean, log_variance = inputs
            if keras is keras_2:
                noise = keras_2.backend.random_normal(tf.shape(mean))
            else:
                noise = keras_3.random.normal(tf.shape(mean), seed=self.generator)
            return mean + tf.exp(0.5 * log_variance) * noise

    class Autoencoder(keras.Model):
        def __init__(self):
            super().__init__()
            inputs = keras.Input((5,))
            hidden = keras.layers.Dense(6, "relu", name="hidden")(inputs)
            parts = [keras.layers.Dense(2, name=name)(hidden) for name in ("mean", "log_variance")]
            self.encoder = keras.Model(inputs, [*parts, Sampling(name="sampling")(parts)])
            self.decoder = _stack(keras, 6, 5, width=2)

        def train_step(self, data):
            with tf.GradientTape() as tape:
                mean, log_variance, code = self.encoder(data, training=True)
                kl = tf.reduce_mean(mean**2 + tf.exp(log_variance) - log_variance)
                loss = tf.reduce_mean((self.decoder(code) - data) ** 2) + kl
            weights = self.encoder.trainable_weights + self.decoder.trainable_weights
            self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            return {"loss": loss}

    model = Autoencoder()
    model.compile("sgd")
    data = tf.data.Dataset.from_tensor_slices(X).batch(4)
    watch = PlasticityDiagnostics(data, every=2, quantities=SOME, model=model.encoder)
    both = PlasticityDiagnostics(X, every=2, quantities=SOME, layers=["mean"], model=model.encoder)
    model.fit(data, callbacks=[watch, both], shuffle=False, verbose=0)
    assert _rows(watch) == {(step, each.__name__, "hidden") for step in (0, 2) for each in SOME}
    assert set(watch.left_out_layers) == {"mean", "log_variance"}
    assert {row["layer"] for row in both.history} == {"mean"} and not watch.left_out
    state = [np.asarray(each) for each in model.encoder.non_trainable_variables]
    report = diagnose(model.encoder, X, budget="cheap")
    assert list(report.to_dict()["dead_units"]) == ["hidden"]
    for variable, value in zip(model.encoder.non_trainable_variables, state, strict=True):
        np.testing.assert_array_equal(np.asarray(variable), value)
    whole = PlasticityDiagnostics(X, quantities=SOME)
    with pytest.raises(ValueError, match=r"^`model` must be a part of the trained model that can be called"):
        model.fit(data, callbacks=[whole], shuffle=False, verbose=0)


@BOTH
def test_two_adversaries(keras):
    class Adversaries(keras.Model):
        def __init__(self):
            super().__init__()
            self.generator = _stack(keras, 6, 5, width=2)
            self.discriminator = _stack(keras, 7, 4, 1, width=5)
            self.rates = {"generator": 0.01, "discriminator": 0.02}

        def train_step(self, real):
            noise = tf.random.stateless_normal([tf.shape(real)[0], 2], [0, 1])
            for name in ("discriminator", "generator"):
                part = getattr(self, name)
                with tf.GradientTape() as tape:
                    fake = self.discriminator(self.generator(noise))
                    sign = -1.0 if name == "generator" else 1.0
                    loss = sign * tf.reduce_mean(fake) - tf.reduce_mean(self.discriminator(real))
                weights = part.trainable_weights
                for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
                    weight.assign_sub(self.rates[name] * gradient)
            return {"loss": loss}

    model = Adversaries()
    model.compile("sgd")
    noise = np.random.default_rng(1).standard_normal((8, 2)).astype("float32")
    watches = [
        PlasticityDiagnostics(noise, every=2, quantities=SOME, model=model.generator),
        PlasticityDiagnostics(X, every=2, quantities=SOME, model=model.discriminator),
    ]
    model.fit(tf.data.Dataset.from_tensor_slices(X).batch(4), callbacks=watches, shuffle=False, verbose=0)
    for watch, layers in zip(watches, (["hidden0"], ["hidden0", "hidden1"]), strict=True):
        assert not watch.left_out and list(watch.left_out_layers) == ["out"]
        assert _rows(watch) == {(t, each.__name__, name) for t in (0, 2) for each in SOME for name in layers}
    loss = diagnose(model.discriminator, X, X[:, :1], "mse", quantities=[gradient_norm]).to_dict()
    assert loss["gradient_norm"]["all"] > 0


@BOTH
@pytest.mark.parametrize("form", ["list", "dict"])
def test_several_inputs_and_outputs_in_fit(keras, form):
    inputs = [keras.Input((5,), name="a"), keras.Input((2,), name="b")]
    hidden = keras.layers.Dense(6, "relu", name="hidden")(keras.layers.Concatenate()(inputs))
    outputs = [
        keras.layers.Dense(1, name="one")(hidden),
        keras.layers.Dense(2, "softmax", name="two")(hidden),
    ]
    x: Any = [X, X[:, :2]]
    y: Any = [X[:, :1], np.eye(2, dtype="float32")[np.arange(8) % 2]]
    if form == "dict":
        x, y = (dict(zip(names, each, strict=True)) for names, each in (("ab", x), (("one", "two"), y)))
        inputs = dict(zip("ab", inputs, strict=True))
        outputs = dict(zip(("one", "two"), outputs, strict=True))
    model = keras.Model(inputs, outputs)
    losses = ["mse", "categorical_crossentropy"]
    model.compile("sgd", losses if form == "list" else dict(zip(("one", "two"), losses, strict=True)))
    quantities = [*SOME, gradient_norm]
    arrays = PlasticityDiagnostics(x, y, every=2, quantities=quantities)
    as_tuple: Any = tuple if form == "list" else dict
    data = tf.data.Dataset.from_tensor_slices((as_tuple(x), as_tuple(y))).batch(4)
    dataset = PlasticityDiagnostics(data, every=2, quantities=quantities)
    model.fit(x, y, batch_size=4, shuffle=False, callbacks=[arrays, dataset], verbose=0)
    assert not arrays.left_out and not dataset.left_out
    assert set(arrays.left_out_layers) == {"one", "two"}
    assert [(row["step"], row["layer"]) for row in arrays.history if row["quantity"] == "dead_units"] == [
        (0, "hidden"),
        (2, "hidden"),
    ]
    assert [row["value"] for row in arrays.history] == pytest.approx(
        [row["value"] for row in dataset.history], rel=1e-5
    )


@BOTH
def test_a_model_that_only_fit_builds_trains_as_without_the_callback(keras):
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden = keras.layers.Dense(6, name="hidden")
            self.dropout = keras.layers.Dropout(0.5)
            self.code = keras.layers.Dense(2, name="code")
            self.head = keras.layers.Dense(1, name="head")

        def call(self, inputs, training=False):
            return self.head(self.code(self.dropout(tf.nn.relu(self.hidden(inputs)), training=training)))

    weights = []
    for every in (None, 1):
        keras.utils.set_random_seed(3)
        model = Model()
        model.compile("sgd", "mse")
        watches = [PlasticityDiagnostics(X, X[:, :1], every, quantities=SOME)] if every else []
        model.fit(X, X[:, :1], batch_size=4, shuffle=False, callbacks=watches, verbose=0)
        weights.append([np.asarray(each) for each in model.get_weights()])
        for watch in watches:
            assert not watch.left_out and set(watch.left_out_layers) == {"code", "head"}
            assert _rows(watch) == {
                (step, quantity, layer)
                for step in (0, 1, 2)
                for quantity, layer in (
                    ("dead_units", "hidden"),
                    ("feature_srank", "hidden"),
                    ("feature_srank", "code"),
                )
            }
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
