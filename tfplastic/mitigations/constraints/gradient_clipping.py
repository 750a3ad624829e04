"""Gradient clipping by the global norm."""

from collections.abc import Sequence
from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_positive
from tfplastic.mitigations.mitigation import Mitigation


@gin.register(module="tfplastic.mitigations")
class GradientClipping(Mitigation):
    """Gradient clipping: gradients whose global norm exceeds `max_norm` are scaled down to it.

    Rule: g <- g * min(max_norm / ||g||, 1) with ||g|| the norm of all gradients together, those of penalties
        included, before the optimizer's moments. It is the `max_gradient_norm` of this library's optimizers,
        for any optimizer.
    Defaults: none; the norm is a required argument. 10 in the DQN of several code bases, 0.5 in PPO's.
    Source: Pascanu et al. 2013, "On the difficulty of training recurrent neural networks".
    Departures: none. A norm that is NaN or infinite makes all gradients NaN or 0, as any such scaling does.

    Args:
        max_norm: largest global norm, above 0.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> clipping = tp.mitigations.GradientClipping(1.0)
        >>> clipped = clipping.transform_gradients([tf.constant([3.0]), tf.constant([4.0])], [])
        >>> [round(float(each[0]), 6) for each in clipped]
        [0.6, 0.8]
    """

    turn = 290  # after other transforms of gradients

    def __init__(self, max_norm: float):
        self._max_norm = check_positive("max_norm", max_norm)

    def transform_gradients(self, gradients: list[tf.Tensor], variables: Sequence[Any]) -> list[tf.Tensor]:
        dense = [tf.convert_to_tensor(each) for each in gradients]  # those of embeddings are sparse
        squares = [tf.reduce_sum(tf.square(tf.cast(each, tf.float64))) for each in dense]
        scale = tf.minimum(self._max_norm / tf.sqrt(tf.add_n(squares)), 1.0)  # a norm of 0 gives 1
        return [each * tf.cast(scale, each.dtype) for each in dense]
