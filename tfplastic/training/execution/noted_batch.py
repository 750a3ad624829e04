"""The batch of a gradient step whose loss is not finite, kept where batches are seen by the program alone."""

from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic._tf.replicas import num_replicas
from tfplastic.tasks import TaskLoss
from tfplastic.training.step import HasLoss


class NotedBatch:
    """A task whose loss keeps the batch on which it is not finite; values and gradients are the task's own.

    Not for programs of XLA, which cannot call Python. Under a `tf.distribute` strategy of several replicas
    nothing is kept.

    Args:
        task: Has the loss.

    Attributes:
        batch: The batch in the task's form, arrays in place of tensors; None before there is one.
    """

    def __init__(self, task: HasLoss):
        self._task = task
        self.batch: Any = None

    def loss(self, model: Any, batch: Any, training: bool = False) -> TaskLoss:
        computed = self._task.loss(model, batch, training=training)
        if num_replicas() > 1:
            return computed
        parts = tf.nest.flatten(batch)
        given = [each for each in parts if each is not None]

        def keep(*arrays: np.ndarray) -> np.bool_:
            rest = iter(arrays)
            self.batch = tf.nest.pack_sequence_as(
                batch, [None if each is None else next(rest) for each in parts]
            )
            return np.True_

        is_kept = tf.cond(
            tf.math.is_finite(computed.loss),
            lambda: tf.constant(False),
            lambda: tf.ensure_shape(tf.numpy_function(keep, given, tf.bool), []),
        )
        with tf.control_dependencies([is_kept]):
            return computed._replace(loss=tf.identity(computed.loss))
