"""A regression whose outputs are first brought to the mean and the scale of the targets."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic.probing.heads import Head, Regression

_CONSTANT = 1e-12  # standard deviation of an output, relative to its mean, that is none


@dataclasses.dataclass(frozen=True)
class Standardized(Regression):
    """Head that fits f'_j(x) = m_j + s_j (f_j(x) - mean f_j) / std f_j in place of the outputs f_j.

    m_j and s_j are mean and standard deviation of the target's output j, those of f_j are of the network
    before the probe: constants, while the network trains. An output that does not vary is only shifted. So
    every network starts at the targets' own scale, and a probe measures no unlearning of a scale.

    The map travels with the targets, `[n, outputs, 3]` with (target, slope, shift) on the last axis, so that
    one compiled step serves all networks.
    """

    def prepared(self, targets: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        mean, deviation = _moments(predictions)  # [outputs, ...]
        means, deviations = _moments(targets.swapaxes(0, 1))  # [targets, outputs, ...]
        varies = deviation > _CONSTANT * np.maximum(np.abs(mean), 1e-30)
        slopes = np.where(varies, deviations / np.where(varies, deviation, 1.0), 1.0)
        shifts = means - slopes * mean
        maps = (np.broadcast_to(each[:, None], targets.shape) for each in (slopes, shifts))
        return np.stack([targets, *maps], axis=-1).astype(np.float32)

    def loss(self, outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(self.errors(self.predictions(outputs), targets))

    def errors(self, predictions: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        goals, slopes, shifts = tf.unstack(targets, axis=-1)
        return super().errors(slopes * predictions + shifts, goals)


def standardized(head: Head) -> Standardized:
    """Returns the standardized form of a regression.

    Raises:
        ValueError: `head` is another kind.
    """
    if type(head) is not Regression:
        rule = "needs the head Regression, whose outputs are the predictions"
        raise ValueError(f"`standardize` {rule}. Received: {head!r}")
    return Standardized(outputs=head.outputs)


def _moments(values: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean and standard deviation over the first axis, in float64."""
    values = np.asarray(values, np.float64)
    return values.mean(axis=0), values.std(axis=0)
