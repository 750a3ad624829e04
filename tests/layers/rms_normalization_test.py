import re

import numpy as np
import pytest
import tensorflow as tf

from tfplastic.layers import RMSNormalization


@pytest.mark.parametrize(
    ("shape", "axis", "gains"),
    [((6,), -1, (6,)), ((4, 5, 2), [1, 2, 3], (4, 5, 2)), ((4, 5, 2), -1, (1, 1, 2)), ((4, 5), [1], (4, 1))],
)
def test_equals_a_float64_transcription(shape, axis, gains):
    generator = np.random.default_rng(0)
    layer, inputs = RMSNormalization(axis, epsilon=0.1), generator.normal(size=(3, *shape))
    layer.build((None, *shape))
    (gamma,) = layer.trainable_variables
    assert tuple(gamma.shape) == gains and np.all(gamma == np.float32(1))
    gamma.assign(generator.normal(size=gains).astype(np.float32))
    axes = tuple(np.atleast_1d(axis))
    expected = gamma.numpy() * inputs / np.sqrt((inputs**2).mean(axes, keepdims=True) + 0.1)
    np.testing.assert_allclose(layer(inputs.astype(np.float32)), expected, rtol=1e-5, atol=1e-6)


def test_without_gains_there_are_no_weights():
    layer, inputs = RMSNormalization(epsilon=0.1, scale=False), np.array([[3.0, 4.0]], np.float32)
    np.testing.assert_allclose(layer(inputs), inputs / np.sqrt(12.6), rtol=1e-6)
    assert not layer.weights and RMSNormalization.from_config(layer.get_config()).scale is False


def test_zeros_stay_zeros_and_have_a_finite_gradient():
    layer, inputs = RMSNormalization(), tf.zeros([2, 3])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs)
    assert not np.any(outputs)
    np.testing.assert_allclose(tape.gradient(outputs, inputs), np.full((2, 3), 1e-5**-0.5), rtol=1e-5)


def test_the_scale_of_the_inputs_has_no_effect():
    inputs = tf.constant([[1.0, -2.0, 3.0]])
    np.testing.assert_allclose(RMSNormalization()(inputs), RMSNormalization()(1000 * inputs), rtol=1e-5)


def test_squares_do_not_overflow_in_float16():
    outputs = RMSNormalization(dtype="float16")(tf.constant([[1000.0, -1000.0]], tf.float16))
    assert outputs.numpy().tolist() == [[1.0, -1.0]]


@pytest.mark.parametrize(
    ("axis", "received"), [(0, "[0]"), ([0, 1], "[0, 1]"), (3, "[3]"), (-3, "[-3]"), ([], "[]")]
)
def test_a_wrong_axis_is_refused(axis, received):
    message = f"`axis` must be of 1 to 2, or negative, for inputs of rank 3. Received: {received}"
    with pytest.raises(ValueError, match=re.escape(message)):
        RMSNormalization(axis).build((None, 2, 3))


def test_a_wrong_epsilon_is_refused():
    message = "`epsilon` must be a finite number above 0. Received: 0"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        RMSNormalization(epsilon=0)
