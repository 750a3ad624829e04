"""The losses of a task's examples, whose mean is the loss that a gradient step takes."""

from typing import Any

import tensorflow as tf

from tfplastic.tasks import GraphTask, HostTask


def example_losses(task: GraphTask | HostTask, batch: Any) -> tf.Tensor:
    """Returns the loss of each example, `[batch]`, the losses of the network itself in each; traceable.

    Those are regularizers and `add_loss`, as far as the task's loss has them. They are left out where the
    loss is not a mean of the examples' losses but a sum over several learners.

    Args:
        task: built.
        batch: batch of the task.
    """
    output = task.loss(task.model, batch)
    losses = output.per_example_loss
    has_learners = bool(len(getattr(task, "score_shape", ())))
    if has_learners or not task.model.losses:
        return losses
    return losses + tf.cast(output.loss, losses.dtype) - tf.reduce_mean(losses)
