"""The loss that is measured against Keras' own: `evaluate`, and the step that `fit` takes."""

from typing import Any

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tfplastic.callbacks import PlasticityDiagnostics
from tfplastic.diagnostics import Snapshot, diagnose, gradient_norm, gram_matrices, weight_norm

EITHER = pytest.mark.parametrize("package", [keras_2, keras_3], ids=["keras_2", "keras_3"])
RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((6, 3)).astype(np.float32)
Y = RANDOM.standard_normal((6, 2)).astype(np.float32)
W = np.array([0.5, 2.0, 1.0, 0.0, 3.0, 1.0], np.float32)


def _dense(package, **regularizers):
    layers = [package.Input((3,)), package.layers.Dense(4, "tanh", **regularizers), package.layers.Dense(2)]
    return package.Sequential(layers)


def _regularised(package):
    return _dense(
        package,
        kernel_regularizer=package.regularizers.L2(1.0),
        bias_regularizer=package.regularizers.L1(0.3),
        activity_regularizer=package.regularizers.L2(0.5),
    )


def _masked(package):
    return package.Sequential(
        [
            package.Input((5,)),
            package.layers.Embedding(7, 3, mask_zero=True),
            package.layers.LSTM(4, return_sequences=True),
            package.layers.Dense(1),
        ]
    )


def _two_outputs(package):
    inputs = package.Input((3,))
    hidden = package.layers.Dense(4, "tanh", kernel_regularizer="l2")(inputs)
    outputs = [package.layers.Dense(2, name=name)(hidden) for name in ("a", "b")]
    return package.Model(inputs, outputs)


TOKENS = np.array([[1, 2, 0, 0, 0], [3, 4, 5, 6, 0], [1, 0, 0, 0, 0], [2, 2, 2, 2, 2]])
WORDS = RANDOM.standard_normal((4, 5, 1)).astype(np.float32)

# name: (model, data, arguments of `compile`)
CASES: dict[str, Any] = {
    "mean": (_dense, (X, Y), {"loss": "mse"}),
    "regularisers": (_regularised, (X, Y), {"loss": "mse"}),
    "sum": (_dense, (X, Y), {"loss": lambda k: k.losses.MeanSquaredError(reduction="sum")}),
    "sum and regularisers": (
        _regularised,
        (X, Y),
        {"loss": lambda k: k.losses.MeanSquaredError(reduction="sum")},
    ),
    "loss_weights": (_dense, (X, Y), {"loss": "mae", "loss_weights": [3.0]}),
    "sample weights": (_regularised, (X, Y, W), {"loss": "mse"}),
    "mask": (_masked, (TOKENS, WORDS), {"loss": "mse"}),
    "dict of losses": (
        _two_outputs,
        (X, {"a": Y, "b": Y[::-1].copy()}),
        {"loss": {"a": "mse", "b": "mae"}, "loss_weights": {"a": 2.0, "b": 0.5}},
    ),
    "one loss of two outputs": (_two_outputs, (X, [Y, Y]), {"loss": "mse"}),
    "function of a batch": (_dense, (X, Y), {"loss": lambda k: lambda y, f: tf.reduce_max((y - f) ** 2)}),
}


def _compiled(package, case):
    package.utils.set_random_seed(0)
    make, data, arguments = CASES[case]
    model = make(package)
    arguments = {name: value(package) if callable(value) else value for name, value in arguments.items()}
    model.compile(package.optimizers.SGD(1e-2), **arguments, jit_compile=False)
    return model, data


def _snapshot(model, data, **kwargs):
    weights = {"sample_weight": data[2]} if len(data) > 2 else {}
    return Snapshot(model, *data[:2], **weights, **kwargs)


@EITHER
@pytest.mark.parametrize("case", CASES)
def test_value_and_gradient_are_those_of_keras(package, case):
    model, data = _compiled(package, case)
    snapshot = _snapshot(model, data)
    arguments = dict(zip(("x", "y", "sample_weight"), data, strict=False))
    evaluated = model.evaluate(**arguments, batch_size=len(data[0]), verbose=0)
    evaluated = evaluated[0] if isinstance(evaluated, list) else evaluated
    np.testing.assert_allclose(snapshot.loss, evaluated, rtol=1e-5)
    examples = snapshot.losses_of(snapshot.examples)
    if case != "function of a batch":  # of which an example's loss is that of a batch of one
        np.testing.assert_allclose(np.mean(examples), evaluated, rtol=1e-4)
        if case != "mask":
            blocks = _snapshot(model, data, batch_size=4)
            np.testing.assert_allclose(blocks.loss, evaluated, rtol=1e-4)
    gradients = [each.numpy() for of in snapshot.gradients.values() for each in of]
    before = [np.array(each) for each in model.get_weights()]
    model.train_on_batch(*data)
    steps = [(old - new) / 1e-2 for old, new in zip(before, model.get_weights(), strict=True)]
    for gradient, step in zip(gradients, steps, strict=True):
        np.testing.assert_allclose(gradient, step, rtol=1e-2, atol=1e-3)


@EITHER
def test_masked_blocks_divide_by_all_that_is_valid(package):
    model, data = _compiled(package, "mask")
    whole, blocks = _snapshot(model, data), _snapshot(model, data, batch_size=3)
    np.testing.assert_allclose(blocks.loss, whole.loss, rtol=1e-5)
    for name, of in whole.gradients.items():
        for one, other in zip(of, blocks.gradients[name], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)


@EITHER
@pytest.mark.parametrize("case", ["regularisers", "sum", "mask"])
def test_gradients_of_examples_have_the_gradient_of_the_loss_as_their_mean(package, case):
    model, data = _compiled(package, case)
    snapshot = _snapshot(model, data)
    matrix = gram_matrices(snapshot)["all"]
    np.testing.assert_allclose(np.sqrt(matrix.mean()), gradient_norm(snapshot)["all"], rtol=1e-4)


@EITHER
def test_a_given_function_is_that_function_and_the_report_says_so(package):
    model, _ = _compiled(package, "regularisers")
    squares = float(np.mean((np.asarray(model(X)) - Y) ** 2))
    for loss in ("mse", lambda y, f: tf.reduce_mean((y - f) ** 2, axis=-1)):
        report = diagnose(model, X, Y, loss, quantities=[gradient_norm])
        assert len(report.remarks) == 1 and "include_model_losses=True" in str(report)
        np.testing.assert_allclose(Snapshot(model, X, Y, loss).loss, squares, rtol=1e-5)
        whole = Snapshot(model, X, Y, loss, include_model_losses=True)
        np.testing.assert_allclose(whole.loss, Snapshot(model, X, Y).loss, rtol=1e-5)
    assert not diagnose(model, X, Y, quantities=[gradient_norm]).remarks


@EITHER
def test_class_weights(package):
    package.utils.set_random_seed(0)
    model = _dense(package)
    model.compile(package.optimizers.SGD(1e-2), "mse", jit_compile=False)
    labels = np.eye(2, dtype=np.float32)[[0, 1, 1, 0, 0, 1]]
    weights = np.array([1.0, 5.0], np.float32)[labels.argmax(1)]
    expected = model.evaluate(X, labels, sample_weight=weights, batch_size=6, verbose=0)
    np.testing.assert_allclose(Snapshot(model, X, labels, class_weight={1: 5.0}).loss, expected, rtol=1e-5)


@EITHER
def test_a_compute_loss_of_its_own(package):
    class Doubled(package.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **kwargs):
            return 2 * super().compute_loss(x, y, y_pred, sample_weight)

    inputs = package.Input((3,))
    model = Doubled(inputs, package.layers.Dense(2, kernel_regularizer="l2")(inputs))
    model.compile("sgd", "mse", jit_compile=False)
    expected = float(
        tf.reduce_mean((model(X) - Y) ** 2) + tf.add_n([tf.convert_to_tensor(each) for each in model.losses])
    )
    np.testing.assert_allclose(Snapshot(model, X, Y).loss, 2 * expected, rtol=1e-5)


@EITHER
def test_the_callback_follows_compile_and_trainable(package):
    model = _dense(package)
    callback = PlasticityDiagnostics(X, Y, every=1, budget="medium")
    for trainable in (False, True, False):
        model.layers[0].trainable = trainable
        model.compile(package.optimizers.Adam(1e-3), "mse", jit_compile=False)
        model.fit(X, Y, batch_size=3, verbose=0, callbacks=[callback])
    assert callback.step == 6 and not callback.left_out
    rows = [row for row in callback.history if row["quantity"] == "gradient_norm" and row["layer"] != "all"]
    layers = {step: sum(row["step"] == step for row in rows) for step in range(7)}
    assert layers == {0: 1, 1: 1, 2: 1, 3: 2, 4: 2, 5: 1, 6: 1}


@EITHER
def test_a_failure_is_told_once_and_does_not_end_training(package):
    model, _ = _compiled(package, "mean")

    def broken(snapshot):
        raise RuntimeError("no\nluck")

    callback = PlasticityDiagnostics(X, every=1, quantities=[broken, weight_norm])
    model.fit(X, Y, batch_size=2, verbose=0, callbacks=[callback])
    assert callback.left_out == {"broken": "no luck"}
    assert {row["step"] for row in callback.history} == {0, 1, 2, 3}


@EITHER
@pytest.mark.parametrize("case", ["dict of losses", "one loss of two outputs"])
def test_the_callback_with_several_losses(package, case):
    model, data = _compiled(package, case)
    for targets, budget in ((data[1], "medium"), (None, "cheap")):
        callback = PlasticityDiagnostics(X, targets, every=1, budget=budget)
        model.fit(*data, batch_size=6, verbose=0, callbacks=[callback])
        assert callback.history and not callback.left_out
