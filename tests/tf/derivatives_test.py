"""Products through operations whose gradient TensorFlow cannot differentiate, or takes for a constant."""

import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.linalg.central_differences import relative_error
from tfplastic import linalg

BOXES = tf.constant([[0.0, 0.1, 0.8, 0.9]] * 2)


@tf.function
def _traced_before(values):
    return tf.image.resize(values, (5, 5))


def _differentiate_twice_without_us():
    """Leaves the function's derivatives, with TensorFlow's zeros in them, with the function."""
    values = tf.ones((2, 3, 3, 3))
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(values)
        with tf.GradientTape(persistent=True) as inner:
            inner.watch(values)
            total = tf.reduce_sum(_traced_before(values) ** 2)
        gradient = inner.gradient(total, values)
    outer.gradient(gradient, values)


def _squared(values):
    return tf.ensure_shape(tf.py_function(tf.square, [values], values.dtype), values.shape)


def _squared_by_numpy(values):
    return tf.ensure_shape(tf.numpy_function(np.square, [values], values.dtype), values.shape) + values


RIGHT = {
    "bilinear": lambda values: tf.image.resize(values, (5, 4)),
    "bilinear_traced_before": _traced_before,
    "nearest": lambda values: tf.image.resize(values, (5, 4), "nearest"),
    "bicubic": lambda values: tf.image.resize(values, (5, 4), "bicubic"),
    "antialiased": lambda values: tf.image.resize(values, (2, 2), antialias=True),
    "lanczos": lambda values: tf.image.resize(values, (5, 4), "lanczos3"),
    "softsign": tf.nn.softsign,
    "local_response": lambda values: tf.nn.local_response_normalization(values, 1, 1.0, 0.5, 0.75),
    "crops": lambda values: tf.image.crop_and_resize(values, BOXES, [0, 1], (2, 2)),
    "max_pool_with_argmax": lambda values: tf.nn.max_pool_with_argmax(values, 2, 1, "VALID")[0],
    "max_pool_3d": lambda values: tf.nn.max_pool3d(values[..., tf.newaxis], 2, 1, "SAME")[..., 0],
    "stopped_by_the_user": lambda values: values**2 * tf.stop_gradient(tf.ones([])),
    "in_a_loop": lambda values: tf.while_loop(
        lambda step, _: step < 2, lambda step, each: (step + 1, tf.image.resize(each**2, (3, 3))), [0, values]
    )[1],
}
REFUSED = {
    "Dilation2DBackpropInput": lambda values: tf.nn.dilation2d(
        values, tf.zeros((2, 2, 3)), [1] * 4, "VALID", "NHWC", [1] * 4
    ),
    "FractionalAvgPoolGrad": lambda values: tf.nn.fractional_avg_pool(values, [1, 1.4, 1.4, 1], seed=1)[0],
    "FakeQuantWithMinMaxArgsGradient": tf.quantization.fake_quant_with_min_max_args,
    "EagerPyFunc": _squared,
    "PyFunc": _squared_by_numpy,
    "QuantizeAndDequantizeV4Grad": lambda values: tf.quantization.quantize_and_dequantize_v2(values, -1, 1),
    "recompute_grad": tf.recompute_grad(tf.square),
}


def _operator(keras, function, mode="reverse-over-reverse"):
    layers = keras.layers
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 4, 1))
    hidden = layers.Conv2D(3, 2, activation="tanh")(inputs)
    hidden = layers.Lambda(function, output_shape=lambda shape: shape, name="between")(hidden)
    hidden = layers.Conv2D(1, 2, activation="tanh")(hidden)
    model = keras.Model(inputs, hidden)
    x = tf.constant(np.random.default_rng(0).standard_normal((2, 4, 4, 1)), tf.float32)

    def loss():
        return tf.reduce_mean((model(x, training=False) - 1) ** 2)

    return linalg.HessianOperator(loss, model.trainable_variables, mode=mode), loss


@pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
@pytest.mark.parametrize("function", RIGHT.values(), ids=RIGHT)
def test_products_equal_central_differences(keras, function):
    if function is _traced_before:
        _differentiate_twice_without_us()
    operator, loss = _operator(keras, function)
    assert relative_error(operator, loss) < 2e-3  # float32: the operations have no float64, or compute in 32


@pytest.mark.parametrize("name", ["bilinear", "softsign"])
def test_forward_mode_is_as_right(name):
    operator, loss = _operator(keras_2, RIGHT[name], "forward-over-reverse")
    assert relative_error(operator, loss) < 2e-3


@pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
@pytest.mark.parametrize("operation", REFUSED)
def test_what_cannot_be_had_is_refused_by_name(keras, operation):
    operator, _ = _operator(keras, REFUSED[operation])
    with pytest.raises(
        ValueError, match=r"^`loss_fn` must be twice differentiable in TensorFlow\. "
    ) as error:
        operator.matvec(np.ones(operator.shape[0]))
    assert operation in str(error.value) and len(str(error.value).splitlines()) == 1
    assert operation == "recompute_grad" or "/between" in str(error.value)


def test_layers_behind_the_operation_have_their_products():
    operator, _ = _operator(keras_2, REFUSED["EagerPyFunc"])
    *_, last = operator.blocks("layer").values()
    assert np.isfinite(last.to_dense()).all()


def test_gauss_newton_through_a_bilinear_resize():
    """J v by central differences of the outputs, and G v = J^T J v of the squared error's half."""
    weight = tf.Variable(tf.random.stateless_normal((4, 4), (0, 1)))
    resized = lambda: tf.image.resize(tf.tanh(weight)[tf.newaxis, :, :, tf.newaxis], (6, 5))  # noqa: E731
    operator = linalg.GaussNewtonOperator(resized, lambda outputs: tf.reduce_sum(outputs**2) / 2, [weight])
    with tf.GradientTape(persistent=True) as tape:
        outputs = resized()
    jacobian = tf.reshape(tape.jacobian(outputs, weight, experimental_use_pfor=False), [30, 16])
    np.testing.assert_allclose(
        operator.to_dense(), tf.matmul(jacobian, jacobian, transpose_a=True), atol=1e-5
    )


def _entropy(values):
    return tf.nn.softmax_cross_entropy_with_logits(tf.nn.softmax(values), 2 * values)


def _mutual(values):
    """Two networks that teach each other."""
    one, other = tf.unstack(values)
    return tf.nn.softmax_cross_entropy_with_logits(tf.nn.softmax(one), other) * tf.reduce_sum(other)


@pytest.mark.parametrize("loss_of", [_entropy, _mutual, lambda values: _entropy(tf.sin(values)) ** 2])
def test_a_cross_entropy_whose_labels_depend_on_the_weights(loss_of):
    """TensorFlow forgets that the gradient in the logits, softmax - labels, has labels in it."""
    weight = tf.Variable(np.random.default_rng(0).standard_normal((2, 3)))

    def loss():
        return tf.reduce_sum(loss_of(weight))

    assert relative_error(linalg.HessianOperator(loss, [weight]), loss, 1e-5) < 1e-6
