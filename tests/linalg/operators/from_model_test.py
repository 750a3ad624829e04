"""Operators made of a compiled model, against the gradients that Keras' own training steps apply."""

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tfplastic._tf.variables import as_tf_variables
from tfplastic.diagnostics import Snapshot
from tfplastic.linalg import (
    EmpiricalFisherOperator,
    GaussNewtonOperator,
    HessianOperator,
    NTKOperator,
    flatten,
)

EITHER = pytest.mark.parametrize("package", [keras_2, keras_3], ids=["keras_2", "keras_3"])
RANDOM = np.random.default_rng(0)
X, Y = RANDOM.standard_normal((6, 3)), RANDOM.standard_normal((6, 2))
WEIGHTS = np.array([0.5, 2.0, 1.0, 0.0, 3.0, 1.0])
WORDS = RANDOM.standard_normal((6, 4, 3))
WORDS[:, 3:] = WORDS[0, 1:] = WORDS[2, 2:] = 0
KEPT = (WORDS != 0).any(-1)
RATE = 1e-3


@pytest.fixture(autouse=True)
def in_double_precision():
    for dtype in ("float64", "float32"):
        for package in (keras_2, keras_3):
            package.backend.set_floatx(dtype)
            package.mixed_precision.set_global_policy(dtype)
        if dtype == "float64":
            yield


def _two_outputs(package):
    inputs = package.Input((3,))
    hidden = package.layers.Dense(4, "tanh", kernel_regularizer="l2")(inputs)
    outputs = {name: package.layers.Dense(2, name=name)(hidden) for name in ("a", "b")}
    return package.Model(inputs, outputs)


def _masked(package):
    layers = package.layers
    rows = [package.Input((4, 3)), layers.Masking(), layers.Dense(3, "tanh"), layers.Dense(1)]
    return package.Sequential(rows)


def _summed(package):
    layers = package.layers
    rows = [package.Input((3,)), layers.Dense(4, "tanh", activity_regularizer="l2"), layers.Dense(2)]
    return package.Sequential(rows)


# name: (model, data, arguments of `compile`)
CASES = {
    "two outputs": (
        _two_outputs,
        (X, {"a": Y, "b": Y[::-1].copy()}),
        {"loss": {"a": "mse", "b": "log_cosh"}, "loss_weights": {"a": 2.0, "b": 0.5}},
    ),
    "mask": (_masked, (WORDS, RANDOM.standard_normal((6, 4, 1))), {"loss": "mse"}),
    "sum and weights": (
        _summed,
        (X, Y, WEIGHTS),
        {"loss": lambda package: package.losses.MeanSquaredError(reduction="sum")},
    ),
}


def _compiled(package, case):
    make, data, arguments = CASES[case]
    arguments = {name: value(package) if callable(value) else value for name, value in arguments.items()}
    package.utils.set_random_seed(0)
    model = make(package)
    model.compile(package.optimizers.SGD(RATE), **arguments, jit_compile=False)
    weights = {"sample_weight": data[2]} if len(data) > 2 else {}
    return model, data, weights


def _flat(model):
    return np.concatenate([np.ravel(each) for each in model.get_weights()])


def _gradient(model, data, weights):
    """The gradient that `fit` applies, from the step that it takes."""
    model.set_weights(_like(model, weights))
    model.train_on_batch(*data)
    return (weights - _flat(model)) / RATE


def _like(model, flat):
    shapes = [each.shape for each in model.get_weights()]
    ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends), shapes, strict=True)]


@EITHER
@pytest.mark.parametrize("case", CASES)
def test_the_hessian_is_that_of_the_gradient_that_fit_applies(package, case):
    model, data, weights = _compiled(package, case)
    before, vector = _flat(model), np.random.default_rng(1).standard_normal(_flat(model).size)
    operators = [
        HessianOperator.from_model(model, *data[:2], **weights, batch_size=size) for size in (None, 4)
    ]
    steps = [_gradient(model, data, before + sign * 1e-4 * vector) for sign in (1, -1)]
    model.set_weights(_like(model, before))
    for operator in operators:
        assert operator.dtype == np.float64
        # Keras 3 rounds the losses that it trains by to float32.
        rtol, atol = (1e-4, 1e-6) if package is keras_2 else (2e-3, 5e-4)
        np.testing.assert_allclose(operator @ vector, (steps[0] - steps[1]) / 2e-4, rtol=rtol, atol=atol)


@EITHER
def test_a_given_loss_is_that_loss_alone(package):
    model, data, _ = _compiled(package, "two outputs")
    losses = {"a": "mse", "b": "mse"}
    alone = HessianOperator.from_model(model, *data, loss=losses).to_dense().numpy()
    whole = (
        HessianOperator.from_model(model, *data, loss=losses, include_model_losses=True).to_dense().numpy()
    )
    added = np.diag(whole - alone)
    is_regularized = np.arange(len(added)) < 12  # the kernel of the hidden layer, 3 x 4
    np.testing.assert_allclose(added, np.where(is_regularized, 2 * 0.01, 0), atol=1e-9)


@EITHER
def test_the_fisher_matrix_is_that_of_each_examples_gradient(package):
    model, data, _ = _compiled(package, "two outputs")
    operator = EmpiricalFisherOperator.from_model(model, *data)
    found, before = operator.to_dense().numpy(), _flat(model)
    one_by_one = [
        _gradient(model, tf.nest.map_structure(lambda each, at=at: each[at : at + 1], data), before)
        for at in range(6)
    ]
    expected = np.mean([np.outer(each, each) for each in one_by_one], axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)


def _jacobian(model, inputs, select):
    variables = as_tf_variables(model.trainable_variables)
    with tf.GradientTape(persistent=True) as tape:
        outputs = tf.unstack(select(model(inputs)))
    rows = [tape.gradient(each, variables, unconnected_gradients="zero") for each in outputs]
    return np.array([flatten(each) for each in rows])


@EITHER
def test_gauss_newton_of_masked_outputs(package):
    model, data, _ = _compiled(package, "mask")
    jacobian = _jacobian(model, data[0], lambda outputs: tf.boolean_mask(outputs[..., 0], KEPT))
    expected = 2 / KEPT.sum() * jacobian.T @ jacobian
    for size in (None, 4):
        operator = GaussNewtonOperator.from_model(model, *data, batch_size=size)
        np.testing.assert_allclose(operator.to_dense(), expected, rtol=1e-9, atol=1e-12)


@EITHER
def test_gauss_newton_and_kernel_of_two_outputs(package):
    model, data, _ = _compiled(package, "two outputs")
    select = lambda outputs: tf.reshape(tf.concat([outputs["a"], outputs["b"]], 1), [-1])  # noqa: E731
    jacobian = _jacobian(model, X, select)
    kernel = NTKOperator.from_model(model, X)
    np.testing.assert_allclose(kernel.to_dense(), jacobian @ jacobian.T, rtol=1e-9)
    losses = {"a": "mse", "b": lambda y, f: tf.reduce_sum((y - f) ** 2, axis=-1)}
    operator = GaussNewtonOperator.from_model(model, *data, loss=losses)
    curvature = np.tile([1 / 6, 1 / 6, 2 / 6, 2 / 6], 6)  # 2 / (6 x 2) for a mean, 2 / 6 for a sum
    np.testing.assert_allclose(operator.to_dense(), jacobian.T @ (curvature[:, None] * jacobian), rtol=1e-9)


@EITHER
def test_a_compiled_model_without_targets_is_told_to_have_them(package):
    model = package.Sequential([package.layers.Input((2,)), package.layers.Dense(1)])
    model.compile("sgd", "mse")
    for operator in (HessianOperator, GaussNewtonOperator, EmpiricalFisherOperator):
        with pytest.raises(
            ValueError, match="^`targets` must be given for the compiled loss. Received: None"
        ):
            operator.from_model(model, np.ones([3, 2], "float32"))


@EITHER
def test_refusals(package):
    model = _summed(package)
    for operator in (HessianOperator, GaussNewtonOperator, EmpiricalFisherOperator):
        with pytest.raises(ValueError, match="^`loss` must be given for a model that is not compiled. Rec"):
            operator.from_model(model, X, Y)
        with pytest.raises(ValueError, match="^`targets` must have an entry for each of the 6 inputs"):
            operator.from_model(model, X, Y[:3], "mse")
        with pytest.raises(ValueError, match="^`loss` must fit the model's outputs and `targets`"):
            operator.from_model(model, X, Y, {"c": "mse"})
        with pytest.raises(TypeError, match="^`model` must be a Keras model"):
            operator.from_model(lambda x: x, X, Y)
    with pytest.raises(ValueError, match="^`model` must be built"):
        HessianOperator.from_model(package.Sequential([package.layers.Dense(1)]), X, Y)


def test_the_snapshot_has_the_same():
    model, data, _ = _compiled(keras_2, "mask")
    vector = np.random.default_rng(1).standard_normal(_flat(model).size)
    other = HessianOperator.from_model(model, *data) @ vector
    np.testing.assert_allclose(Snapshot(model, *data).hessian @ vector, other, rtol=1e-12)
