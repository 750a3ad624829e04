from typing import Any, cast

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2
from tensorflow.python.ops import nn_impl

from tfplastic import linalg
from tfplastic._tf.variables import as_tf_variables

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])


NORMS = pytest.mark.parametrize("norm", ["LayerNormalization", "BatchNormalization", "GroupNormalization"])


def _network(keras, dtype, norm, activation="tanh"):
    """A small convolutional network with a normalization layer, 103 parameters at most, and its loss."""
    generator = np.random.default_rng(0)
    settings = {
        "LayerNormalization": {"axis": [1, 2, 3], "epsilon": 1e-5},
        "BatchNormalization": {},
        "GroupNormalization": {"groups": 2},
    }[norm]
    inputs = keras.Input((3, 3, 1), dtype=dtype)
    hidden = keras.layers.Conv2D(4, 2, dtype=dtype)(inputs)
    hidden = getattr(keras.layers, norm)(dtype=dtype, **settings)(hidden)
    hidden = keras.layers.Activation(activation, dtype=dtype)(hidden)
    hidden = keras.layers.Flatten(dtype=dtype)(hidden)
    outputs = keras.layers.Dense(3, dtype=dtype)(hidden)
    model = keras.Model(inputs, outputs)
    # Absolute values, because a variance is among them.
    model.set_weights([np.abs(generator.standard_normal(weight.shape)) for weight in model.get_weights()])
    x = tf.constant(generator.standard_normal((6, 3, 3, 1)), dtype)
    y = tf.constant([0, 1, 2, 0, 1, 2])

    def loss_fn():
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, model(x, training=False))
        return tf.reduce_mean(losses)

    return as_tf_variables(model.trainable_variables), loss_fn


@BOTH
@NORMS
def test_equals_central_differences_of_the_gradient(keras, norm):
    variables, loss_fn = _network(keras, "float64", norm)

    @tf.function
    def gradient_fn():
        with tf.GradientTape() as tape:
            loss = loss_fn()
        return linalg.flatten(tape.gradient(loss, variables))

    def gradient_at(point):
        for variable, value in zip(variables, linalg.unflatten(point, variables), strict=True):
            variable.assign(value)
        return gradient_fn().numpy()

    operator = linalg.HessianOperator(loss_fn, variables)
    point = linalg.flatten(variables).numpy()
    assert operator.shape == (len(point), len(point)) and len(point) <= 103 and operator.dtype == np.float64
    dense = operator.to_dense().numpy()
    offsets = 1e-5 * np.eye(len(point))
    columns = [(gradient_at(point + offset) - gradient_at(point - offset)) / 2e-5 for offset in offsets]
    assert np.abs(dense).max() > 0.1
    np.testing.assert_allclose(dense, np.stack(columns, axis=1), atol=1e-8)
    np.testing.assert_allclose(dense, dense.T, atol=1e-13)


@BOTH
@NORMS
def test_float32_agrees_with_float64(keras, norm):
    """Normalization layers have fused kernels in float32 only, with second derivatives of their own."""
    products = []
    for dtype in ("float32", "float64"):
        variables, loss_fn = _network(keras, dtype, norm, activation="relu")
        operator = linalg.HessianOperator(loss_fn, variables)
        vector = np.random.default_rng(1).standard_normal(operator.shape[0])
        products.append(operator.matvec(vector).numpy())
    assert products[0].dtype == np.float32
    np.testing.assert_allclose(products[0], products[1], atol=1e-5 * np.abs(products[1]).max())


def test_tensorflow_has_its_own_moments_back():
    original = nn_impl.moments
    x = tf.Variable([[1.0, 3.0]])

    def variance():
        assert nn_impl.moments is not original
        mean, variance = tf.nn.moments(x, axes=[1])  # (x1 + x2) / 2, (x1 - x2)^2 / 4
        return mean[0] + variance[0]

    np.testing.assert_allclose(linalg.HessianOperator(variance, [x]).to_dense(), [[0.5, -0.5], [-0.5, 0.5]])
    assert nn_impl.moments is original

    def broken():
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        linalg.HessianOperator(broken, [x]).matvec([1.0, 1.0])
    assert nn_impl.moments is original


def test_moments_traced_before_under_another_name_are_refused():
    x = tf.Variable([[1.0, 3.0]])
    variance = tf.function(lambda: tf.nn.moments(x, axes=[1], name="statistics")[1][0])
    variance()
    with pytest.raises(ValueError, match=r"^`loss_fn` must not call a `tf.function` traced before"):
        linalg.HessianOperator(lambda: variance(), [x]).matvec([1.0, 0.0])


def test_moments_traced_before_are_refused():
    x = tf.Variable([[1.0, 3.0]])
    variance = tf.function(lambda: tf.nn.moments(x, axes=[1])[1][0])
    operator = linalg.HessianOperator(lambda: variance(), [x])
    np.testing.assert_allclose(operator.matvec([1.0, 0.0]), [0.5, -0.5])  # first traced here: right
    variance = tf.function(lambda: tf.nn.moments(x, axes=[1])[1][0])
    variance()
    with pytest.raises(
        ValueError, match=r"^`loss_fn` must not call a `tf.function` traced before with `tf.nn.mom"
    ):
        linalg.HessianOperator(lambda: variance(), [x]).matvec([1.0, 0.0])


def test_linear_regression_in_closed_form():
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((20, 5)), generator.standard_normal((20, 1))
    weights = tf.Variable(generator.standard_normal((5, 1)))
    operator = linalg.HessianOperator(lambda: tf.reduce_mean((x @ weights - y) ** 2) / 2, [weights])
    np.testing.assert_allclose(operator.to_dense(), x.T @ x / 20, atol=1e-12)


def test_logistic_regression_in_closed_form():
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((20, 5)), generator.integers(0, 2, (20, 1)).astype(float)
    weights = tf.Variable(generator.standard_normal((5, 1)))
    operator = linalg.HessianOperator(
        lambda: tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(y, tf.matmul(x, weights))), [weights]
    )
    p = 1 / (1 + np.exp(-x @ weights.numpy()))
    np.testing.assert_allclose(operator.to_dense(), x.T @ (p * (1 - p) * x) / 20, atol=1e-12)


def test_untouched_and_linear_variables_have_zero_rows_and_embeddings_are_dense():
    table = tf.Variable([[1.0], [2.0], [3.0]])
    linear, untouched = tf.Variable(4.0), tf.Variable([5.0])
    loss_fn = lambda: tf.reduce_sum(tf.gather(table, [0, 2, 2]) ** 2) + linear  # noqa: E731
    # L = t_0^2 + 2 t_2^2 + l: the diagonal is 2, 0, 4 for the table, 0 for the other two.
    dense = linalg.HessianOperator(loss_fn, [table, linear, untouched]).to_dense()
    np.testing.assert_array_equal(dense, np.diag([2.0, 0.0, 4.0, 0.0, 0.0]))
    only_untouched = linalg.HessianOperator(loss_fn, [untouched])
    np.testing.assert_array_equal(only_untouched.to_dense(), [[0.0]])


def test_follows_the_variables_and_is_traced_once():
    traces = []
    x = tf.Variable([1.0, 2.0])

    def loss_fn():
        traces.append(None)
        return tf.reduce_sum(x**3)

    operator = linalg.HessianOperator(loss_fn, [x])
    assert operator.matvec([1.0, 0.0]).numpy().tolist() == [6.0, 0.0]  # H = diag(6 x)
    x.assign([3.0, 4.0])
    assert operator.matvec(np.array([1.0, 1.0])).numpy().tolist() == [18.0, 24.0]
    assert operator.matvec(tf.constant([0.0, 1.0])).numpy().tolist() == [0.0, 24.0]
    assert len(traces) == 1


def test_large_programs_give_the_same_bits_each_time():
    """16 MB a tensor: enough for TensorFlow to save memory by adding in the order of arrival, were it let."""
    x = tf.random.stateless_normal((2048, 2048), [0, 1])
    weights = tf.Variable(tf.random.stateless_normal((2048,), [0, 2]))

    def loss_fn():
        hidden = x * weights
        for _ in range(4):
            hidden = tf.tanh(hidden) * tf.sigmoid(hidden) + hidden
        return tf.reduce_mean(hidden**2)

    operator = linalg.HessianOperator(loss_fn, [weights])
    vector = tf.ones(2048)
    first = operator.matvec(vector)
    for _ in range(3):
        np.testing.assert_array_equal(operator.matvec(vector), first)


def test_python_conditions_on_tensors_work_in_the_loss():
    x = tf.Variable([2.0])

    def loss_fn():
        if tf.reduce_sum(x) > 0:
            loss = tf.reduce_sum(x**2)
        else:
            loss = tf.reduce_sum(x**4)
        return loss

    operator = linalg.HessianOperator(loss_fn, [x])
    assert operator.matvec([1.0]).numpy().tolist() == [2.0]
    x.assign([-1.0])
    assert operator.matvec([1.0]).numpy().tolist() == [12.0]


def _one_line(error: pytest.ExceptionInfo) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def test_errors_are_one_line():
    x = tf.Variable([1.0, 2.0])
    with pytest.raises(ValueError) as error:
        linalg.HessianOperator(lambda: 0.0, [])
    assert _one_line(error) == "`variables` must hold at least one variable. Received: []"
    with pytest.raises(TypeError) as error:
        linalg.HessianOperator(cast(Any, tf.constant(0.0)), [x])
    assert _one_line(error).startswith("`loss_fn` must be a function of no arguments. Received: <tf.Tensor")
    with pytest.raises(ValueError) as error:
        linalg.HessianOperator(lambda: x, [x]).matvec([1.0, 1.0])
    assert _one_line(error) == "`loss_fn` must return a floating-point scalar. Received: shape (2,), float32"
    with pytest.raises(ValueError) as error:
        linalg.HessianOperator(lambda: 3, [x]).matvec([1.0, 1.0])
    assert _one_line(error) == "`loss_fn` must return a floating-point scalar. Received: shape (), int32"
    with pytest.raises(ValueError) as error:
        linalg.HessianOperator(lambda: tf.reduce_sum(x), [x]).matvec([1.0])
    assert _one_line(error) == "`vector` must be of shape [2]. Received: shape [1]"
    with pytest.raises(ValueError) as error:
        linalg.HessianOperator(lambda: tf.reduce_sum(x), [x, tf.Variable(1.0, dtype=tf.float64)])
    assert _one_line(error) == "`variables` must be all float32 or all float64. Received: float32, float64"


def test_a_loss_that_disturbs_is_refused():
    x, count = tf.Variable([1.0, 2.0]), tf.Variable(0)

    def counting_loss():
        count.assign_add(1)
        return tf.reduce_sum(x**2)

    rule = "`loss_fn` must neither write variables nor draw random numbers, as models do with `training=True`"
    with pytest.raises(ValueError) as error:
        linalg.HessianOperator(counting_loss, [x]).matvec([1.0, 1.0])
    assert _one_line(error) == f"{rule}. Received: the operations AssignAddVariableOp"
    assert int(count) == 0
    with pytest.raises(ValueError) as error:
        linalg.HessianOperator(lambda: tf.reduce_sum(tf.random.normal([2]) * x**2), [x]).matvec([1.0, 1.0])
    assert _one_line(error) == f"{rule}. Received: the operations RandomStandardNormal"
    inner = tf.function(counting_loss)
    with pytest.raises(ValueError, match="AssignAddVariableOp"):
        linalg.HessianOperator(lambda: inner(), [x]).matvec([1.0, 1.0])
