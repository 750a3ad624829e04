"""Distances of weights from other values, and their names."""

from collections.abc import Callable, Sequence

import tensorflow as tf

Distance = Callable[[tf.Tensor], tf.Tensor]
"""From a difference to the distance of each entry, of the same shape; its gradient at 0 is 0."""


def _huber(difference: tf.Tensor) -> tf.Tensor:
    size = tf.abs(difference)
    return tf.where(size < 1, tf.square(difference) / 2, size - 0.5)


DISTANCES: dict[str, Distance] = {
    "l2": tf.square,
    "half_l2": lambda difference: tf.square(difference) / 2,
    "l1": tf.abs,
    "huber": _huber,
}
"""{name: d^2, d^2 / 2, |d|, or d^2 / 2 where |d| < 1 and |d| - 1/2 elsewhere}."""


def total_distance(name: str, values: Sequence[tf.Tensor], others: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns the sum over all entries of all tensors, `[] float32`."""
    each = [DISTANCES[name](value - other) for value, other in zip(values, others, strict=True)]
    return tf.add_n([tf.cast(tf.reduce_sum(distances), tf.float32) for distances in each])
