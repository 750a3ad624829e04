"""Keys and integers inside a compiled program, where `seeds.derive` cannot go.

All are draws of `tf.random`'s stateless functions with Philox, bit for bit. Those take 40 operations to make
a counter of a key, which is much of the time it takes to trace a training step.
"""

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

_PHILOX = 1
_SCRAMBLING_KEY = 0x02461E293EC8F720  # of TensorFlow's kernels


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
    return tf.stack([random_bits([], key), tf.cast(number, tf.int32)])


def split(key: Any, count: int) -> tf.Tensor:
    """Returns `[count, 2] int32`, independent keys.

    Args:
        key: `[2] int32`.
        count: number of keys.

    Example:
        >>> from tfplastic import seeds
        >>> from tfplastic._tf import random
        >>> random.split(seeds.derive(0, 'two'), 2).shape
        TensorShape([2, 2])
    """
    return random_bits([count, 2], key)


def random_bits(shape: Any, key: Any, dtype: tf.DType = tf.int32) -> tf.Tensor:
    """Returns integers that are uniform over all of their type; eager, in a graph and under XLA the same.

    Args:
        shape: shape of the result.
        key: `[2] int32`.
        dtype: int32, uint32, int64 or uint64.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import seeds
        >>> from tfplastic._tf import random
        >>> key = seeds.derive(0, 'bits')
        >>> theirs = tf.random.stateless_uniform([4], key, None, None, tf.int32, alg='philox')
        >>> bool(tf.reduce_all(random.random_bits([4], key) == theirs))
        True
    """
    return tf.raw_ops.StatelessRandomUniformFullIntV2(shape=shape, dtype=dtype, **_start(key))


def random_integers(shape: Any, key: Any, below: int | tf.Tensor) -> tf.Tensor:
    """Returns int32 that are uniform over 0 .. `below` - 1; eager, in a graph and under XLA the same.

    Args:
        shape: shape of the result.
        key: `[2] int32`.
        below: a positive integer, or an int32 tensor `[]`.

    Example:
        >>> from tfplastic import seeds
        >>> from tfplastic._tf import random
        >>> int(random.random_integers([], seeds.derive(0, 'one'), below=1))
        0
    """
    bounds = {"minval": tf.constant(0), "maxval": tf.convert_to_tensor(below, tf.int32)}
    return tf.raw_ops.StatelessRandomUniformIntV2(shape=shape, **_start(key), **bounds)


def _start(key: Any) -> dict[str, Any]:
    """Returns where Philox starts for a key: what TensorFlow's own functions make of their seed."""
    words = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[2],
        key=tf.constant([_SCRAMBLING_KEY], tf.uint64),
        counter=tf.cast(key, tf.uint64),
        alg=_PHILOX,
        dtype=tf.uint64,
    )
    counter = words * tf.constant([0, 1], tf.uint64)
    return {"key": tf.slice(words, [0], [1]), "counter": counter, "alg": _PHILOX}


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
    return normals_of(integers(shape, key), stddev)


def integers(shape: Sequence[int], key: Any) -> tf.Tensor:
    """Returns uniform integers in [0, 2^23), int32; in a graph and under XLA the same.

    Args:
        shape: shape of the result.
        key: `[2] int32`.
    """
    bits = random_bits(shape, key, tf.uint32)
    return tf.cast(tf.bitwise.right_shift(bits, tf.constant(9, tf.uint32)), tf.int32)


def normals_of(integers: tf.Tensor, stddev: float = 1.0) -> tf.Tensor:
    """Returns `normal` for the integers that it is made of, float32.

    Args:
        integers: int32, a result of `integers`.
        stddev: standard deviation, at least 0.
    """
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
