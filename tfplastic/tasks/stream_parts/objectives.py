"""The losses of supervised streams, and the score that each reports."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

PerExample = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""Maps the network's outputs and the targets of a batch to one value for each example, `[batch] float32`."""


class Objective(NamedTuple):
    """A loss and a score of each example.

    Attributes:
        score: name of the score, as in the tag `evaluation/<score>`.
        losses: the loss of each example.
        scores: the score of each example, whose mean is reported.
    """

    score: str
    losses: PerExample
    scores: PerExample

    def losses_of(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Returns the loss of each example, `[batch]`.

        Raises:
            ValueError: `losses` gives another shape.
        """
        return _of_each_example("losses", self.losses(outputs, targets), outputs)

    def scores_of(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Returns the score of each example, `[batch]`.

        Raises:
            ValueError: `scores` gives another shape.
        """
        return _of_each_example("scores", self.scores(outputs, targets), outputs)


def _of_each_example(name: str, values: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    if not values.shape.is_compatible_with(outputs.shape[:1]):
        rule = f"`Objective.{name}` must return one value for each example, {outputs.shape[:1]}"
        raise ValueError(f"{rule}. Received: {values.shape}. Take the mean over the other axes")
    return values


def _cross_entropies(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    labels = _class_labels(logits, labels)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)  # [batch]


def _hits(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    labels = _class_labels(logits, labels)
    return tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32) == labels, tf.float32)  # [batch]


def _class_labels(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Returns the labels of logits `[batch, classes]` as `[batch] int32`."""
    labels = tf.convert_to_tensor(labels)
    rule = "must be logits [batch, classes] and labels [batch] of an integer type"
    given = f"Received: {logits.shape} and {labels.shape} {labels.dtype.name}"
    if not labels.dtype.is_integer:
        raise ValueError(f"Outputs and targets {rule}. {given}. Give the numbers of the classes as int32")
    if logits.shape.rank != 2 or not labels.shape.is_compatible_with(logits.shape[:-1]):
        remedy = "Give each example the number of its class, `tf.argmax(targets, axis=-1)` of one-hot targets"
        raise ValueError(f"Outputs and targets {rule}. {given}. {remedy}")
    return tf.cast(labels, tf.int32)  # NumPy's default, int64, included


def _squared_errors(outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    targets = tf.cast(targets, outputs.dtype)  # NumPy's default, float64, included
    if not targets.shape.is_compatible_with(outputs.shape):  # they would be broadcast to [batch, batch]
        remedy = f"Reshape the targets, `tf.reshape(targets, {[-1, *outputs.shape[1:]]})`, or the outputs"
        given = f"Received: {outputs.shape} and {targets.shape}"
        raise ValueError(f"Outputs and targets must have the same shape. {given}. {remedy}")
    squares = tf.math.squared_difference(outputs, targets)  # [batch, outputs]
    return tf.reduce_mean(squares, axis=tf.range(1, tf.rank(squares)))  # [batch]


CLASSIFICATION = Objective("accuracy", _cross_entropies, _hits)
"""Cross-entropy of logits `[batch, classes]` to integer labels `[batch]`; the score is the accuracy."""

REGRESSION = Objective("error", _squared_errors, _squared_errors)
"""Mean over the outputs of the squared error, of outputs and targets of the same shape, `[batch, ...]`."""
