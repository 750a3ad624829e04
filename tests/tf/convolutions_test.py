"""The gradients of convolutions that TensorFlow computes on this machine: right in every call."""

import numpy as np
import pytest
import tensorflow as tf

CALLS = 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "kernel", "stride"),
    [(6, 1, 2), (7, 1, 2), (6, 1, 1), (6, 1, 3), (6, 2, 2), (9, 3, 3)],
)
@pytest.mark.parametrize("channels", [(4, 8), (16, 32)])
def test_the_kernel_gradient_is_that_of_float64_in_every_call(size, kernel, stride, channels):
    generator = np.random.default_rng(0)
    images = generator.normal(size=(5, size, size, channels[0])).astype(np.float32)
    places = (size - kernel) // stride + 1
    errors = generator.normal(size=(5, places, places, channels[1])).astype(np.float32)
    expected = np.zeros([kernel, kernel, *channels])
    for row in range(kernel):
        for column in range(kernel):
            seen = images[:, row::stride, column::stride][:, :places, :places].astype(float)
            expected[row, column] = np.einsum("nhwi,nhwo->io", seen, errors.astype(float))

    gradient = tf.function(
        lambda images, errors: tf.raw_ops.Conv2DBackpropFilter(
            input=images,
            filter_sizes=[kernel, kernel, *channels],
            out_backprop=errors,
            strides=[1, stride, stride, 1],
            padding="VALID",
        )
    )
    wrong = [np.abs(gradient(images, errors).numpy() - expected).max() > 1e-3 for _ in range(CALLS)]
    assert sum(wrong) == 0, f"wrong in {sum(wrong)} of {CALLS} calls"
