from typing import Any

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.diagnostics import models
from tfplastic.diagnostics import Reference, Snapshot

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
INPUTS = np.random.default_rng(0).standard_normal((7, 3)).astype("float32")
TARGETS = np.random.default_rng(1).standard_normal((7, 2)).astype("float32")


def _snapshot(keras, loss, targets: Any = TARGETS, **kwargs):
    return Snapshot(models.stateful(keras), INPUTS, targets, loss, **kwargs)


def _squares(model, inputs=INPUTS, targets=TARGETS):
    """The squared error of each example, as the mean over the outputs."""
    return np.mean((np.asarray(model(inputs, training=False), "float64") - targets) ** 2, axis=1)


LOSSES = {
    "name": lambda keras: "mse",
    "class name": lambda keras: "MeanSquaredError",
    "function of keras": lambda keras: keras.losses.mean_squared_error,
    "object": lambda keras: keras.losses.MeanSquaredError(),
    "object that sums": lambda keras: keras.losses.MeanSquaredError(reduction="sum"),
    "object of the other": lambda keras: (keras_2 if keras is keras_3 else keras_3).losses.MeanSquaredError(),
    "mean": lambda keras: lambda y, f: tf.reduce_mean((f - y) ** 2),
    "vector": lambda keras: lambda y, f: tf.reduce_mean((f - y) ** 2, axis=1),
    "matrix": lambda keras: lambda y, f: (f - y) ** 2,
}


@BOTH
@pytest.mark.parametrize("form", LOSSES)
def test_forms_of_a_loss(keras, form):
    snapshot = _snapshot(keras, LOSSES[form](keras), batch_size=3)
    squares = _squares(snapshot.model) * (len(INPUTS) if form == "object that sums" else 1)
    losses = tf.function(snapshot.losses_of)(snapshot.examples)
    np.testing.assert_allclose(losses, squares, rtol=1e-5)
    part = tf.nest.map_structure(lambda each: each[2:4], snapshot.examples)
    np.testing.assert_allclose(snapshot.losses_of(part), squares[2:4], rtol=1e-5)
    np.testing.assert_allclose(snapshot.loss, squares.mean(), rtol=1e-5)
    assert snapshot.loss.shape == ()


@BOTH
@pytest.mark.parametrize("form", ["name", "class name", "object"])
def test_targets_without_the_last_axis_are_those_with_it(keras, form):
    model = models.mlp(keras)
    inputs, targets = INPUTS[:, :2], TARGETS[:, 0]
    losses = Snapshot(model, inputs, targets, LOSSES[form](keras)).losses_of((inputs, targets))
    expected = (np.asarray(model(inputs), "float64")[:, 0] - targets) ** 2
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


@BOTH
def test_a_loss_of_a_class_that_keras_does_not_know(keras):
    class Absolute(keras.losses.Loss):
        def __init__(self, scale):
            super().__init__()
            self.scale = scale

        def call(self, y_true, y_pred):
            return self.scale * tf.reduce_mean(tf.abs(y_true - y_pred), axis=-1)

    snapshot = _snapshot(keras, Absolute(2.0))
    errors = np.abs(np.asarray(snapshot.model(INPUTS, training=False)) - TARGETS)
    np.testing.assert_allclose(snapshot.losses_of(snapshot.examples), 2 * errors.mean(axis=1), rtol=1e-5)


def test_a_loss_object_is_not_changed():
    loss = keras_3.losses.MeanSquaredError(reduction="sum")
    total = np.asarray(loss(TARGETS, models.stateful(keras_3)(INPUTS)))
    np.testing.assert_allclose(_snapshot(keras_3, loss).loss, total, rtol=1e-5)
    assert loss.reduction == "sum"


@BOTH
def test_example_losses(keras):
    model = models.stateful(keras)
    seen = []

    def losses(batch):
        seen.append(batch["x"].shape[0])
        return tf.reduce_mean((model(batch["x"], training=False) - batch["y"]) ** 2, axis=1)

    targets = {"x": INPUTS, "y": TARGETS}
    snapshot = Snapshot(model, INPUTS, targets, example_losses=losses)
    np.testing.assert_allclose(snapshot.loss, _squares(model).mean(), rtol=1e-5)
    np.testing.assert_allclose(snapshot.losses_of(snapshot.examples), _squares(model), rtol=1e-5)
    assert seen == [7, 7]
    assert snapshot.targets is not None and set(snapshot.targets) == {"x", "y"}
    assert snapshot.num_examples == 7


@BOTH
def test_in_blocks_gradients_and_hessian_are_those_of_the_whole(keras):
    whole, blocks = (_snapshot(keras, "mse", batch_size=size) for size in (512, 3))
    for name, gradients in whole.gradients.items():
        for gradient, other in zip(gradients, blocks.gradients[name], strict=True):
            np.testing.assert_allclose(gradient, other, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(whole.hessian.to_dense(), blocks.hessian.to_dense(), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(whole.loss, blocks.loss, rtol=1e-6)


@BOTH
def test_block_hessians(keras):
    snapshot = _snapshot(keras, "mse")
    dense = np.asarray(snapshot.hessian.to_dense())
    start = 0
    for name, variables in snapshot.weights.items():
        size = sum(int(tf.size(variable)) for variable in variables)
        block = snapshot.block_hessian(name)
        assert block is snapshot.block_hessian(name) and block.shape == (size, size)
        part = slice(start, start + size)
        np.testing.assert_allclose(block.to_dense(), dense[part, part], rtol=1e-4, atol=1e-5)
        start += size
    assert start == len(dense)


@BOTH
def test_blocks_of_layers_that_the_loss_does_not_touch_are_zero(keras):
    model = models.mlp(keras)
    inputs = tf.ones((2, 2))
    snapshot = Snapshot(
        model, inputs, inputs, example_losses=lambda x: tf.reduce_sum(model.get_layer("hidden")(x) ** 2, 1)
    )
    assert np.asarray(snapshot.block_hessian("hidden").to_dense()).any()
    assert not np.asarray(snapshot.block_hessian("output").to_dense()).any()


def test_float64_examples_and_integer_labels():
    labels = np.arange(7) % 2
    model = models.stateful(keras_3)

    def loss(y, f):
        assert y.dtype == tf.int64
        return tf.nn.sparse_softmax_cross_entropy_with_logits(y, f)

    snapshot = Snapshot(model, INPUTS.astype("float64"), labels, loss)
    assert np.isfinite(snapshot.hessian.matvec(np.ones(snapshot.hessian.shape[0]))).all()
    logits = np.asarray(model(INPUTS), "float64")
    expected = np.log(np.exp(logits).sum(1)) - logits[np.arange(7), labels]
    np.testing.assert_allclose(snapshot.losses_of(snapshot.examples), expected, rtol=1e-4, atol=1e-6)
    mean = Snapshot(model, INPUTS, labels, lambda y, f: tf.reduce_mean(loss(y, f)))
    np.testing.assert_allclose(mean.losses_of(mean.examples), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
@BOTH
def test_mixed_precision(keras, dtype):
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(4, "tanh", name="hidden", dtype=dtype)(inputs)
    outputs = keras.layers.Dense(2, name="output", dtype=dtype)(hidden)
    snapshot = Snapshot(keras.Model(inputs, outputs), INPUTS, TARGETS, "mse", batch_size=4)
    half = tf.as_dtype(dtype.removeprefix("mixed_"))
    assert snapshot.activations["hidden"].dtype == snapshot.pre_activations["hidden"].dtype == half
    assert snapshot.outputs.dtype == half and snapshot.gradients["hidden"][0].dtype == tf.float32
    assert snapshot.loss.shape == () and np.isfinite(float(snapshot.loss))
    assert np.isfinite(snapshot.hessian.matvec(np.ones(snapshot.hessian.shape[0]))).all()


def _error(function, kind: type[Exception] = ValueError):
    with pytest.raises(kind) as error:
        function()
    assert "\n" not in str(error.value)
    return str(error.value)


@BOTH
def test_errors(keras):
    assert _error(lambda: _snapshot(keras, "mae").require("optimizer")) == (
        "`optimizer` must be given for quantities of the next update. Received: None"
    )
    assert _error(lambda: _snapshot(keras, None).require("reference")) == (
        "`reference` must be given for quantities of change. Received: None"
    )
    assert _error(lambda: _snapshot(keras, None).losses_of((INPUTS, ()))) == (
        "`loss` or `example_losses` must be given for quantities of the loss. Received: None"
    )
    optimizer, reference = keras.optimizers.SGD(), Reference.of(_snapshot(keras, None))
    _snapshot(keras, "mae", optimizer=optimizer, reference=reference).require("optimizer")
    assert _error(lambda: _snapshot(keras, "mae", reference={}), TypeError) == (
        "`reference` must be a Reference, such as Reference.of(snapshot). Received: {}"
    )
    assert _error(lambda: _snapshot(keras, "means")) == (
        "`loss` must be the name of a Keras loss. Received: 'means'"
    )
    rule = "`loss` must be a function of targets and outputs, a Keras loss or its name"
    assert _error(lambda: _snapshot(keras, 3), TypeError) == f"{rule}. Received: 3"
    assert _error(lambda: _snapshot(keras, keras.losses.Huber), TypeError).startswith(
        f"{rule}. Received: <cl"
    )
    assert _error(lambda: _snapshot(keras, "mse", example_losses=len)).startswith(
        "`example_losses` must be None where `loss` is given. Received: <built-in"
    )
    assert _error(lambda: _snapshot(keras, None, None, example_losses=len)) == (
        "`targets` must be given with `example_losses`. Received: None"
    )
    assert _error(lambda: _snapshot(keras, "mse", None)) == (
        "`targets` must be given with a Keras loss. Received: None"
    )
    assert _error(lambda: _snapshot(keras, "mse", TARGETS[:3])) == (
        "`targets` must have an entry for each of the 7 inputs. Received: shapes [3, 2]"
    )
    assert _error(lambda: _snapshot(keras, None, example_losses=tf.reduce_mean).loss) == (
        "`example_losses` must return a loss for each example. Received: shape ()"
    )
    assert _error(lambda: _snapshot(keras, lambda y, f: None).loss) == (
        "`loss` must return a floating-point tensor. Received: nothing"
    )
    assert _error(lambda: _snapshot(keras, "mse").block_hessian("nothing")).startswith(
        "`layer` must be one of 'dense', 'norm', 'output'. Received: 'nothing'"
    )
    wrong = _snapshot(keras, lambda y, f: tf.ones(5))
    assert _error(lambda: wrong.hessian).startswith(
        "`loss` must return a loss for each example, or their mean"
    )
