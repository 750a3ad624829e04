"""The batch of a gradient step whose loss is not finite, kept where batches are seen by the program alone."""

from collections.abc import Iterator
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
        batch: The batch in the task's form, arrays in place of dense tensors; None before there is one.
    """

    def __init__(self, task: HasLoss):
        self._task = task
        self.batch: Any = None

    def loss(self, model: Any, batch: Any, training: bool = False) -> TaskLoss:
        computed = self._task.loss(model, batch, training=training)
        if num_replicas() > 1:
            return computed
        specs = tf.nest.map_structure(_spec, batch)
        given = [each for each in tf.nest.flatten(batch, expand_composites=True) if each is not None]

        def keep(*arrays: np.ndarray) -> np.bool_:
            rest = iter(arrays)
            self.batch = tf.nest.map_structure(
                lambda spec: None if spec is None else _part(spec, rest), specs
            )
            return np.True_

        is_kept = tf.cond(
            tf.math.is_finite(computed.loss),
            lambda: tf.constant(False),
            lambda: tf.ensure_shape(tf.numpy_function(keep, given, tf.bool), []),
        )
        with tf.control_dependencies([is_kept]):
            return computed._replace(loss=tf.identity(computed.loss))


def _spec(part: Any) -> Any:
    """Returns the type of a part of a batch, None where there is none."""
    return None if part is None else tf.type_spec_from_value(part)


def _part(spec: Any, arrays: Iterator[np.ndarray]) -> Any:
    """Returns the part of a batch that the next arrays are; ragged and sparse ones are several."""
    if isinstance(spec, tf.TensorSpec):
        return next(arrays)
    components = tf.nest.flatten(spec, expand_composites=True)
    tensors = [tf.constant(next(arrays)) for _ in components]
    return tf.nest.pack_sequence_as(spec, tensors, expand_composites=True)
