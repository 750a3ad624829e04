"""Keys of single steps inside a compiled program, where `seeds.derive` cannot go."""

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def fold_in(key: Any, number: Any) -> tf.Tensor:
    """Returns the key number `number` below `key`, `[2] int32`; eager, in a graph and under XLA the same.

    Philox, because the algorithm that TensorFlow chooses depends on the device.

    Args:
        key: `[2] int32`, from `seeds.derive`.
        number: such as that of a step; an integer or an integer tensor `[]`.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import seeds
        >>> from tfplastic._tf import random
        >>> key = seeds.derive(0, 'step')
        >>> bool(tf.reduce_all(random.fold_in(key, 3) == random.fold_in(key, tf.constant(3, tf.int64))))
        True
    """
    return tf.random.experimental.stateless_fold_in(key, tf.cast(number, tf.int32), alg="philox")


def normal(shape: Sequence[int], key: Any, stddev: float = 1.0) -> tf.Tensor:
    """Returns draws of N(0, stddev^2), float32; but for rounding the same in a graph and under XLA.

    XLA and a graph draw the same integers by Philox, but not the same normals. So these come from integers,
    by the inverse of the distribution function. They have 23 bits, and no value beyond 5.2 stddev.

    Args:
        shape: shape of the result.
        key: `[2] int32`.
        stddev: standard deviation, at least 0.

    Example:
        >>> from tfplastic import seeds
        >>> from tfplastic._tf import random
        >>> bool(abs(random.normal([1000], seeds.derive(0, 'noise')).numpy().mean()) < 0.1)
        True
    """
    bits = tf.random.stateless_uniform(shape, key, None, None, tf.uint32, alg="philox")
    integers = tf.cast(tf.bitwise.right_shift(bits, tf.constant(9, tf.uint32)), tf.int32)  # of [0, 2^23)
    return stddev * math.sqrt(2) * _inverse_error_function(integers)


def unit_normals(integers: tf.Tensor) -> tf.Tensor:
    """Returns the normal of each integer, N(0, 1) if they are uniform; float32, of the same shape.

    Args:
        integers: int32 in [0, 2^23).
    """
    return math.sqrt(2) * _inverse_error_function(integers)


def _inverse_error_function(integers: tf.Tensor) -> tf.Tensor:
    """Returns erf^-1 of integers in [0, 2^23), moved to (-1, 1)."""
    symmetric = (tf.cast(integers, tf.float32) + 0.5) * 2.0**-22 - 1  # exactly
    return tf.math.erfinv(symmetric)
