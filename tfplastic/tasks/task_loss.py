"""A task's results on a batch."""

from typing import NamedTuple

import tensorflow as tf


class TaskLoss(NamedTuple):
    """The loss of a batch, with the values found along the way.

    Attributes:
        loss: `[] float32`, differentiable in the weights: the mean of the examples' losses, plus those of the
            network itself (`model.losses`: regularizers, `add_loss`).
        per_example_loss: `[batch] float32`.
        metrics: scalars of the batch by name, such as its accuracy; logged under `train/` as means over the
            steps since the last row.
    """

    loss: tf.Tensor
    per_example_loss: tf.Tensor
    metrics: dict[str, tf.Tensor]
