"""The loss that is measured against Keras' own: `evaluate`, and the step that `fit` takes."""

from typing import Any

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tfplastic._tf.variables import as_tf_variables
from tfplastic.callbacks import PlasticityDiagnostics
from tfplastic.diagnostics import Snapshot, diagnose, gradient_norm, gram_matrices, weight_norm
from tfplastic.linalg import HessianOperator

EITHER = pytest.mark.parametrize("package", [keras_2, keras_3], ids=["keras_2", "keras_3"])
RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((6, 3)).astype(np.float32)
Y = RANDOM.standard_normal((6, 2)).astype(np.float32)
W = np.array([0.5, 2.0, 1.0, 0.0, 3.0, 1.0], np.float32)


def _dense(package, **regularizers):
    layers = [package.Input((3,)), package.layers.Dense(4, "tanh", **regularizers), package.layers.Dense(2)]
    return package.Sequential(layers)


def _regularized(package):
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


def _adding(package):
    """Losses that layers and models add themselves, one of the activities and one of a weight."""

    class Adding(package.layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = package.layers.Dense(2)

        def call(self, inputs):
            outputs = self.dense(inputs)
            self.add_loss(0.3 * tf.reduce_mean(outputs**2))
            return outputs

    class Model(package.Model):
        def __init__(self):
            super().__init__()
            self.hidden, self.adding = package.layers.Dense(4, "tanh"), Adding()

        def call(self, inputs):
            outputs = self.adding(self.hidden(inputs))
            self.add_loss(tf.reduce_mean(tf.abs(tf.convert_to_tensor(self.hidden.kernel))))
            return outputs

    model = Model()
    model(X)
    return model


def _nested(package):
    class Model(package.Model):
        def __init__(self):
            super().__init__()
            self.heads = [package.layers.Dense(2, kernel_regularizer="l2") for _ in range(3)]

        def call(self, inputs):
            one, two, three = (head(inputs) for head in self.heads)
            return {"pair": {"left": one, "right": two}, "single": three}

    model = Model()
    model(X)
    return model


TOKENS = np.array([[1, 2, 0, 0, 0], [3, 4, 5, 6, 0], [1, 0, 0, 0, 0], [2, 2, 2, 2, 2]])
WORDS = RANDOM.standard_normal((4, 5, 1)).astype(np.float32)

# name: (model, data, arguments of `compile`)
CASES: dict[str, Any] = {
    "mean": (_dense, (X, Y), {"loss": "mse"}),
    "regularizers": (_regularized, (X, Y), {"loss": "mse"}),
    "sum": (_dense, (X, Y), {"loss": lambda k: k.losses.MeanSquaredError(reduction="sum")}),
    "sum and regularizers": (
        _regularized,
        (X, Y),
        {"loss": lambda k: k.losses.MeanSquaredError(reduction="sum")},
    ),
    "loss_weights": (_dense, (X, Y), {"loss": "mae", "loss_weights": [3.0]}),
    "sample weights": (_regularized, (X, Y, W), {"loss": "mse"}),
    "mask": (_masked, (TOKENS, WORDS), {"loss": "mse"}),
    "dict of losses": (
        _two_outputs,
        (X, {"a": Y, "b": Y[::-1].copy()}),
        {"loss": {"a": "mse", "b": "mae"}, "loss_weights": {"a": 2.0, "b": 0.5}},
    ),
    "one loss of two outputs": (_two_outputs, (X, [Y, Y]), {"loss": "mse"}),
    "add_loss": (_adding, (X, Y), {"loss": "mse"}),
    "no loss of outputs": (_adding, (X,), {"loss": None}),
    "list of losses": (
        _two_outputs,
        (X, [Y, Y[::-1].copy()]),
        {"loss": lambda k: ["mse", k.losses.Huber(reduction="sum")], "loss_weights": [0.5, 2.0]},
    ),
    "function of a batch": (_dense, (X, Y), {"loss": lambda k: lambda y, f: tf.reduce_max((y - f) ** 2)}),
}


def _compiled(package, case):
    package.utils.set_random_seed(0)
    make, data, arguments = CASES[case]
    model = make(package)
    arguments = {name: value(package) if callable(value) else value for name, value in arguments.items()}
    # Keras' own programs are not what is tested, and take longer to make than ours.
    model.compile(package.optimizers.SGD(1e-2), **arguments, run_eagerly=True)
    return model, data


def _snapshot(model, data, **kwargs):
    weights = {"sample_weight": data[2]} if len(data) > 2 else {}
    return Snapshot(model, *data[:2], **weights, **kwargs)


def _check_gradient(model, data, snapshot):
    """The gradient is that of the step which Keras takes."""
    gradients = {
        id(of): each.numpy()
        for name, all_of in snapshot.weights.items()
        for of, each in zip(all_of, snapshot.gradients[name], strict=True)
    }
    trained = as_tf_variables(model.trainable_variables)
    before = [each.numpy() for each in trained]
    model.train_on_batch(*data)
    for variable, old in zip(trained, before, strict=True):
        step = (old - variable.numpy()) / 1e-2
        np.testing.assert_allclose(gradients[id(variable)], step, rtol=1e-2, atol=1e-3)


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
    _check_gradient(model, data, snapshot)


def test_nested_outputs_and_losses():
    """Keras 3 alone: Keras 2 takes no nests of nests."""
    model = _nested(keras_3)
    targets = {"pair": {"left": Y, "right": Y[::-1].copy()}, "single": Y + 1}
    losses = {"pair": {"left": "mse", "right": "mae"}, "single": "mse"}
    weights = {"pair": {"left": 1.0, "right": 2.0}, "single": 3.0}
    model.compile(keras_3.optimizers.SGD(1e-2), losses, loss_weights=weights, run_eagerly=True)
    snapshot = Snapshot(model, X, targets)
    evaluated = model.evaluate(X, targets, batch_size=6, verbose=0)
    expected = evaluated[0] if isinstance(evaluated, list) else evaluated
    np.testing.assert_allclose(snapshot.loss, expected, rtol=1e-5)
    operator = HessianOperator.from_model(model, X, targets, batch_size=4)
    vector = np.ones(operator.shape[0], np.float32)
    np.testing.assert_allclose(operator @ vector, snapshot.hessian @ vector, rtol=1e-4, atol=1e-5)
    callback = PlasticityDiagnostics(X, targets, every=1, quantities=[gradient_norm])
    model.fit(X, targets, batch_size=6, verbose=0, callbacks=[callback])
    assert not callback.left_out and {row["step"] for row in callback.history} == {0, 1}
    _check_gradient(model, (X, targets), Snapshot(model, X, targets))


@EITHER
def test_without_reduction_it_is_the_sum_that_fit_descends(package):
    """`evaluate` reports the mean of the values."""
    model = _dense(package)
    loss = package.losses.MeanSquaredError(reduction="none")
    model.compile(package.optimizers.SGD(1e-2), loss, jit_compile=False)
    snapshot = Snapshot(model, X, Y)
    squares = np.mean((np.asarray(model(X), np.float64) - Y) ** 2, axis=-1)
    np.testing.assert_allclose(snapshot.loss, squares.sum(), rtol=1e-5)
    _check_gradient(model, (X, Y), snapshot)


@EITHER
def test_the_callback_measures_the_gradient_that_fit_applies(package):
    """Sums are n times means, weights of losses factors, and regularizers count."""
    regularizers = {"kernel_regularizer": "l2", "activity_regularizer": "l1"}
    found = {}
    for name, loss, weight, layers in (
        ("mean", package.losses.MeanSquaredError(), 1.0, {}),
        ("sum", package.losses.MeanSquaredError(reduction="sum"), 1.0, {}),
        ("weighted", package.losses.MeanSquaredError(), 3.0, {}),
        ("regularized", package.losses.MeanSquaredError(), 1.0, regularizers),
    ):
        package.utils.set_random_seed(0)
        model = _dense(package, **layers)
        model.compile(package.optimizers.SGD(1e-2), loss, loss_weights=[weight], jit_compile=False)
        callback = PlasticityDiagnostics(X, Y, every=10, quantities=[gradient_norm])
        before = model.get_weights()
        model.fit(X, Y, batch_size=6, verbose=0, callbacks=[callback])
        moved = [old - new for old, new in zip(before, model.get_weights(), strict=True)]
        (found[name],) = (row["value"] for row in callback.history if row["layer"] == "all")
        applied = np.sqrt(sum(np.sum(np.square(each, dtype=np.float64)) for each in moved)) / 1e-2
        np.testing.assert_allclose(found[name], applied, rtol=1e-3)
    np.testing.assert_allclose(found["sum"], 6 * found["mean"], rtol=1e-5)
    np.testing.assert_allclose(found["weighted"], 3 * found["mean"], rtol=1e-5)
    assert found["regularized"] > 1.01 * found["mean"]


@EITHER
def test_two_layers_with_a_regularizer(package):
    """L = (w1 w2 x)^2 + w1^2 + w2^2 with w1 = 2, w2 = 3, x = 1: 36 + 13; dL = (2 36/2 + 4, 2 36/3 + 6)."""
    layers = [
        package.layers.Dense(1, use_bias=False, kernel_regularizer=package.regularizers.L2(1.0))
        for _ in range(2)
    ]
    model = package.Sequential([package.Input((1,)), *layers])
    model.set_weights([np.array([[2.0]]), np.array([[3.0]])])
    model.compile(package.optimizers.SGD(1e-2), "mse", jit_compile=False)
    x, y = np.ones((4, 1), np.float32), np.zeros((4, 1), np.float32)
    report = diagnose(model, x, y, quantities=[gradient_norm])
    assert float(Snapshot(model, x, y).loss) == 49
    np.testing.assert_allclose(report.to_dict()["gradient_norm"]["all"], np.hypot(40, 30), rtol=1e-6)
    alone = Snapshot(model, x, y, "mse")
    assert float(alone.loss) == 36
    np.testing.assert_allclose(gradient_norm(alone)["all"], np.hypot(36, 24), rtol=1e-6)
    hessian = HessianOperator.from_model(model, x, y).to_dense()
    np.testing.assert_allclose(hessian, [[2 * 9 + 2, 4 * 6], [4 * 6, 2 * 4 + 2]], rtol=1e-6)


@EITHER
def test_masked_blocks_divide_by_all_that_is_valid(package):
    model, data = _compiled(package, "mask")
    whole, blocks = _snapshot(model, data), _snapshot(model, data, batch_size=3)
    np.testing.assert_allclose(blocks.loss, whole.loss, rtol=1e-5)
    for name, of in whole.gradients.items():
        for one, other in zip(of, blocks.gradients[name], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)


@EITHER
@pytest.mark.parametrize("case", ["regularizers", "sum", "mask"])
def test_gradients_of_examples_have_the_gradient_of_the_loss_as_their_mean(package, case):
    model, data = _compiled(package, case)
    snapshot = _snapshot(model, data)
    matrix = gram_matrices(snapshot)["all"]
    np.testing.assert_allclose(np.sqrt(matrix.mean()), gradient_norm(snapshot)["all"], rtol=1e-4)


@EITHER
def test_a_given_function_is_that_function_and_the_report_says_so(package):
    model, _ = _compiled(package, "regularizers")
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
    callback = PlasticityDiagnostics(X, labels, quantities=[gradient_norm], class_weight={1: 5.0})
    before = model.get_weights()
    model.fit(X, labels, batch_size=6, class_weight={0: 1.0, 1: 5.0}, verbose=0, callbacks=[callback])
    moved = [old - new for old, new in zip(before, model.get_weights(), strict=True)]
    applied = np.sqrt(sum(np.sum(each**2) for each in moved)) / 1e-2
    (found,) = (row["value"] for row in callback.history if row["layer"] == "all")
    np.testing.assert_allclose(found, applied, rtol=1e-3)


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


@pytest.mark.slow
@EITHER
@pytest.mark.parametrize("case", ["dict of losses", "list of losses", "mask"])
def test_everything_can_be_measured_of_several_losses(package, case):
    """Nothing is left out but for want of an argument, or of units."""
    model, data = _compiled(package, case)
    left_out = diagnose(model, *data, budget="full").left_out
    assert not [why for why in left_out.values() if not why.startswith(("needs `", "no units"))]


@EITHER
@pytest.mark.parametrize("case", ["dict of losses", "one loss of two outputs"])
def test_the_callback_with_several_losses(package, case):
    model, data = _compiled(package, case)
    for targets, budget in ((data[1], "medium"), (None, "cheap")):
        callback = PlasticityDiagnostics(X, targets, every=1, budget=budget)
        model.fit(*data, batch_size=6, verbose=0, callbacks=[callback])
        assert callback.history and not callback.left_out
