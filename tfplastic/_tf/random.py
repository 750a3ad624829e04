"""Keys of single steps inside a compiled program, where `seeds.derive` cannot go."""

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
