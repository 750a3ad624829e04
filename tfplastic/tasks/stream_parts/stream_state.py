"""The state that a supervised stream carries from step to step, and the batch of one step."""

from typing import Any, NamedTuple

import tensorflow as tf


class StreamBatch(NamedTuple):
    """Inputs of the network `[batch, ...]` and targets as the stream's objective takes them."""

    inputs: tf.Tensor
    targets: tf.Tensor


class StreamState(NamedTuple):
    """The state of the task, which changes from step to step.

    Attributes:
        step: `[] int32`, gradient steps taken within the task.
        task: `[] int32`, number of the task, from 0.
        content: a nest of tensors, the result of the subclass' `content` for the task.
        order: `[examples] int32`, of the epoch; unused where examples are drawn with replacement.
        position: `[] int32`, examples of the epoch that have been used.
        epoch: `[] int32`, number of the epoch, counted over all tasks.
        task_score: float64, sum of the scores of the task's steps.
        total_score: float64, the same over all steps.
        total_steps: `[] int64`.
        final_score: float64, the sum over the steps of the task's final epoch so far.
    """

    step: tf.Tensor
    task: tf.Tensor
    content: Any
    order: tf.Tensor
    position: tf.Tensor
    epoch: tf.Tensor
    task_score: tf.Tensor
    total_score: tf.Tensor
    total_steps: tf.Tensor
    final_score: tf.Tensor
