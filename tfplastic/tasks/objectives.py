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
        progress_fields: names of the fields of the progress line that the score has.
    """

    score: str
    losses: PerExample
    scores: PerExample
    progress_fields: tuple[str, ...] = ()


def _cross_entropies(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)  # [batch]


def _hits(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32) == labels, tf.float32)  # [batch]


def _squared_errors(outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    squares = tf.math.squared_difference(outputs, targets)  # [batch, outputs]
    return tf.reduce_mean(squares, axis=tf.range(1, tf.rank(squares)))  # [batch]


CLASSIFICATION = Objective("accuracy", _cross_entropies, _hits, ("accuracy",))
"""Cross-entropy of logits `[batch, classes]` to labels `[batch] int32`; the score is the accuracy."""

REGRESSION = Objective("error", _squared_errors, _squared_errors)
"""Mean over the outputs of the squared error, of outputs and targets `[batch, outputs] float32`."""
