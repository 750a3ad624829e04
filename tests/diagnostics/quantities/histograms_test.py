"""Histograms of activations and gradients: their values, and that TensorBoard gets them, in either Keras."""

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tfplastic.callbacks import PlasticityDiagnostics
from tfplastic.diagnostics import Snapshot, activation_histogram, diagnose, gradient_histogram

EITHER_KERAS = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
X = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(9, 2)).astype(np.float32)
TAGS = {
    *("diagnostics/activation_histogram/hidden",),
    *("diagnostics/gradient_histogram/hidden", "diagnostics/gradient_histogram/output"),
}


def make(keras):
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dense(4, "tanh", name="hidden"), layers.Dense(2, name="output")]
    )
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    return model


def histograms(directory):
    """{tag: {step: number of values}}."""
    events = EventAccumulator(str(directory), size_guidance={"tensors": 0})
    events.Reload()
    found = {}
    for tag in events.Tags()["tensors"]:
        for each in events.Tensors(tag):
            values = tf.make_ndarray(each.tensor_proto)
            if "histogram" in tag:
                found.setdefault(tag, {})[each.step] = round(values[:, 2].sum())
    return found


@EITHER_KERAS
def test_values_are_activations_and_gradients_in_float64(keras):
    model = make(keras)
    snapshot = Snapshot(model, X, Y)
    kernel, bias, last, offset = (np.asarray(each.numpy(), np.float64) for each in model.trainable_variables)
    hidden = np.tanh(X @ kernel + bias)
    np.testing.assert_allclose(activation_histogram(snapshot)["hidden"], hidden.ravel(), rtol=1e-5, atol=1e-6)
    slope = 2 * (hidden @ last + offset - Y) / Y.size  # [n, 2]
    before = slope @ last.T * (1 - hidden**2)  # [n, 4]
    expected = {
        "hidden": [X.T @ before, before.sum(0)],
        "output": [hidden.T @ slope, slope.sum(0)],
    }
    found = gradient_histogram(snapshot)
    assert list(found) == list(expected)
    for layer, arrays in expected.items():
        flat = np.concatenate([each.ravel() for each in arrays])
        np.testing.assert_allclose(found[layer], flat, rtol=1e-4, atol=1e-6)
    few = gradient_histogram(snapshot, max_values=5)["hidden"]
    assert few.shape == (5,) and set(few) <= set(found["hidden"])


def test_wrong_arguments_are_refused():
    snapshot = Snapshot(make(keras_2), X)
    with pytest.raises(ValueError, match="^`max_values` must "):
        activation_histogram(snapshot, max_values=0)
    with pytest.raises(ValueError, match="^`loss` "):
        gradient_histogram(Snapshot(make(keras_2), X))
    with pytest.raises(TypeError, match="^`log_dir` must be a directory. Received: 3"):
        diagnose(**{"model": snapshot.model, "inputs": X, "log_dir": 3})


@EITHER_KERAS
def test_the_callback_writes_them(keras, tmp_path):
    model = make(keras)
    quantities = [activation_histogram, gradient_histogram]
    watch = PlasticityDiagnostics(X, Y, every=2, log_dir=tmp_path, quantities=quantities)
    model.fit(X, Y, batch_size=3, epochs=1, verbose=0, callbacks=[watch])
    found = histograms(tmp_path)
    assert set(found) == TAGS
    assert found["diagnostics/activation_histogram/hidden"] == {0: 36, 2: 36}
    assert found["diagnostics/gradient_histogram/output"] == {0: 10, 2: 10}


@EITHER_KERAS
def test_diagnose_writes_them(keras, tmp_path):
    diagnose(make(keras), X, Y, budget="medium", log_dir=tmp_path, step=7)
    found = histograms(tmp_path)
    assert set(found) >= TAGS
    assert found["diagnostics/gradient_histogram/hidden"] == {7: 16}
