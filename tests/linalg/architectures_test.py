"""Hessians of the layers and losses of the field, in float64, against central differences and
loops of nested tapes."""

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2
from tensorflow.python.ops import nn_impl

from tfplastic import linalg

_GENERATOR = np.random.default_rng(0)
_CLASSES = tf.constant([0, 1, 2, 0, 1])
_TARGETS = tf.constant(_GENERATOR.standard_normal((5, 3)))
_PROBABILITIES = tf.constant(_GENERATOR.dirichlet(np.ones(3), 5))


def _cross_entropy(outputs):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(_CLASSES, outputs))


def _mse(outputs):
    return tf.reduce_mean((outputs - _TARGETS) ** 2)


def _huber(outputs):
    error = tf.abs(outputs - _TARGETS)
    return tf.reduce_mean(tf.where(error < 0.5, error**2 / 2, 0.5 * (error - 0.25)))


def _c51(outputs):
    """Cross-entropy with a projected distribution over the atoms, as C51 has."""
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(_PROBABILITIES, outputs))


def _mlp(layers):
    inputs = layers.Input((4,), dtype="float64")
    hidden = layers.Dense(5, "tanh", dtype="float64")(inputs)
    return inputs, layers.Dense(3, dtype="float64")(hidden)


def _cnn(layers):
    inputs = layers.Input((3, 3, 1), dtype="float64")
    hidden = layers.Conv2D(3, 2, dtype="float64")(inputs)
    hidden = layers.LayerNormalization(axis=[1, 2, 3], dtype="float64")(hidden)
    hidden = layers.Activation("tanh", dtype="float64")(hidden)
    return inputs, layers.Dense(3, dtype="float64")(layers.Flatten(dtype="float64")(hidden))


def _residual(layers):
    inputs = layers.Input((4,), dtype="float64")
    hidden = layers.BatchNormalization(dtype="float64")(inputs)
    hidden = layers.Dense(4, "elu", dtype="float64")(hidden)
    hidden = layers.Add(dtype="float64")([inputs, hidden])
    return inputs, layers.Dense(3, dtype="float64")(hidden)


def _attention(layers):
    inputs = layers.Input((3, 2), dtype="float64")
    hidden = layers.MultiHeadAttention(2, 2, dtype="float64")(inputs, inputs)
    return inputs, layers.Dense(3, dtype="float64")(layers.Flatten(dtype="float64")(hidden))


def _shared(layers):
    inputs = layers.Input((4,), dtype="float64")
    twice = layers.Dense(4, "tanh", dtype="float64")
    return inputs, layers.Dense(3, dtype="float64")(twice(twice(inputs)))


def _embedding(layers):
    inputs = layers.Input((2,), dtype="int32")
    hidden = layers.Embedding(6, 3, dtype="float64")(inputs)
    hidden = layers.Activation("sigmoid", dtype="float64")(layers.Flatten(dtype="float64")(hidden))
    return inputs, layers.Dense(3, dtype="float64")(hidden)


def _inputs(shape, dtype):
    if dtype == "int32":
        return tf.constant(np.random.default_rng(1).integers(0, 6, (5, *shape)))
    return tf.constant(np.random.default_rng(1).standard_normal((5, *shape)))


CASES = {
    "mlp": (_mlp, _mse),
    "cnn_layer_norm": (_cnn, _cross_entropy),
    "residual_batch_norm": (_residual, _huber),
    "attention": (_attention, _c51),
    "shared": (_shared, _cross_entropy),
    "embedding": (_embedding, _mse),
}


@pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
@pytest.mark.parametrize("case", CASES)
def test_equals_central_differences_and_loops_of_tapes(keras, case, monkeypatch):
    build, loss_on_outputs = CASES[case]
    inputs, outputs = build(keras.layers)
    model = keras.Model(inputs, outputs)
    generator = np.random.default_rng(2)
    model.set_weights([np.abs(generator.standard_normal(each.shape)) / 2 for each in model.get_weights()])
    x = _inputs(inputs.shape[1:], "int32" if case == "embedding" else "float64")
    untouched = tf.Variable([1.0, 2.0], dtype=tf.float64)
    variables = [*model.trainable_variables, untouched]

    def loss_fn():
        return loss_on_outputs(model(x, training=False))

    operator = linalg.HessianOperator(loss_fn, variables)
    dense = operator.to_dense().numpy()
    np.testing.assert_allclose(dense, _central_differences(loss_fn, operator), atol=2e-8)
    monkeypatch.setattr(nn_impl, "moments", _moments)
    np.testing.assert_allclose(dense, _by_loops(loss_fn, operator._variables), atol=1e-12)
    np.testing.assert_allclose(dense, dense.T, atol=1e-12)
    assert np.abs(dense).max() > 0.01 and not dense[-2:].any() and not dense[:, -2:].any()
    forward = linalg.HessianOperator(loss_fn, variables, mode="forward-over-reverse")
    vector = generator.standard_normal(operator.shape[0])
    np.testing.assert_allclose(forward.matvec(vector), dense @ vector, atol=1e-11)


def _moments(x, axes, shift=None, name=None, keep_dims=None, keepdims=None):
    """TensorFlow's own stop a gradient, which makes second derivatives wrong."""
    mean = tf.reduce_mean(x, axes, keepdims=True)
    variance = tf.reduce_mean((x - mean) ** 2, axes, keepdims=True)
    return (mean, variance) if keep_dims or keepdims else (tf.squeeze(mean, axes), tf.squeeze(variance, axes))


def _by_loops(loss_fn, variables):
    """The Hessian, `[n, n]`, row by row: an eager tape over a tape, once for each entry of the gradient."""
    with tf.GradientTape(persistent=True) as outer:
        with tf.GradientTape() as inner:
            loss = loss_fn()
        gradients = inner.gradient(loss, variables, unconnected_gradients="zero")
        entries = tf.concat([tf.reshape(tf.convert_to_tensor(each), [-1]) for each in gradients], 0)
        entries = tf.unstack(entries)
    rows = []
    for entry in entries:
        parts = outer.gradient(entry, variables, unconnected_gradients="zero")
        rows.append(np.concatenate([np.ravel(tf.convert_to_tensor(part)) for part in parts]))
    return np.stack(rows)


def _central_differences(loss_fn, operator):
    """The Hessian, `[n, n]`, from gradients in one program that takes the weights as its argument."""
    variables = operator._variables

    @tf.function(autograph=False)
    def gradients(points):
        def at(point):
            for variable, value in zip(variables, linalg.unflatten(point, variables), strict=True):
                variable.assign(value)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(variables)
                loss = loss_fn()
            parts = tape.gradient(loss, variables, unconnected_gradients="zero")
            return linalg.flatten([tf.convert_to_tensor(part) for part in parts])

        return tf.map_fn(at, points, parallel_iterations=1)

    point = linalg.flatten(variables).numpy()
    offsets = 1e-5 * np.eye(len(point))
    columns = (gradients(point + offsets) - gradients(point - offsets)).numpy() / 2e-5
    for variable, value in zip(variables, linalg.unflatten(point, variables), strict=True):
        variable.assign(value)
    return columns.T
