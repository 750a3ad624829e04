"""Whether TensorFlow has convolutions of channels_first on this device."""

import functools


@functools.cache
def has_channels_first() -> bool:
    """Tries one: TensorFlow has them on GPUs, and on a CPU where it computes with oneDNN."""
    import tensorflow as tf  # not before tests/conftest.py has chosen the Keras

    try:
        tf.nn.conv2d(tf.ones([1, 1, 2, 2]), tf.ones([1, 1, 1, 1]), 1, "SAME", data_format="NCHW")
    except (tf.errors.UnimplementedError, tf.errors.InvalidArgumentError):
        return False
    return True
