"""THE gradient step: every task, and everything that changes or watches training, goes through it."""

from typing import Any, NamedTuple

import tensorflow as tf

from tfplastic._keras import keras
from tfplastic.tasks import HostTask


class StepOutput(NamedTuple):
    """What one gradient step reports.

    Attributes:
        loss: `[] float32`, the mean loss of the batch before the update.
        per_example_loss: `[batch] float32`.
        metrics: scalars by name.
    """

    loss: tf.Tensor
    per_example_loss: tf.Tensor
    metrics: dict[str, tf.Tensor]


class GradientStep:
    """theta <- optimizer(theta, grad of the task's loss on a batch); traceable by `tf.function`.

    A loss that is NaN or infinite raises `tf.errors.InvalidArgumentError` with `NOT_FINITE` in its message
    and leaves the weights as they were.

    Args:
        task: supplies `loss(model, batch, training) -> (loss [], per_example_loss [batch])`.
        model: its trainable variables are updated.
        optimizer: a Keras optimizer.
    """

    NOT_FINITE = "the loss of the gradient step is not finite"

    def __init__(self, task: HostTask, model: keras.Model, optimizer: keras.optimizers.Optimizer):
        self._task = task
        self._model = model
        self._optimizer = optimizer
        optimizer.build(model.trainable_variables)

    def __call__(self, batch: Any) -> StepOutput:
        """One update on `batch`, a nest of arrays as the task's loss takes it."""
        variables = self._model.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            loss, per_example_loss = self._task.loss(self._model, batch, training=True)
        gradients = tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        with tf.control_dependencies([tf.debugging.assert_all_finite(loss, self.NOT_FINITE)]):
            self._optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return StepOutput(loss, per_example_loss, {"gradient_norm": tf.linalg.global_norm(gradients)})
