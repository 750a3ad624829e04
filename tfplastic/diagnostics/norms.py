"""Euclidean norms of weights and gradients."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import gin
import tensorflow as tf

from tfplastic.diagnostics.snapshot import Snapshot


@gin.register(module="tfplastic.diagnostics")
def weight_norm(snapshot: Snapshot) -> dict[str, float]:
    """The norm of each layer's trainable variables together: sqrt(sum_i theta_i^2).

    Biases count, and so do the scales and offsets of normalisation layers, each under its own layer's name.
    Cheap: no pass at all. Squares are summed in float64.

    Args:
        snapshot: of the model; needs no loss.

    Returns:
        {layer name: norm, at least 0} for every layer with variables of its own, and under 'all' the norm of
        all of them together. NaN or infinite where a variable is.

    Source: Lyle et al. 2023, "Understanding plasticity in neural networks", section 5.1 (which
        variables count is not said there).
    """
    return _norms(snapshot.weights)


@gin.register(module="tfplastic.diagnostics")
def gradient_norm(snapshot: Snapshot) -> dict[str, float]:
    """The norm of the loss's gradient, by layer: sqrt(sum_i (dL / dtheta_i)^2).

    Medium: one gradient. Squares are summed in float64.

    Args:
        snapshot: of the model, with a loss.

    Returns:
        {layer name: norm, at least 0} for every layer with variables of its own, 0 where the loss does not
        touch them, and under 'all' the norm of the whole gradient. NaN or infinite where the gradient is.

    Raises:
        ValueError: the snapshot has no loss.

    Source: Abbas et al. 2023, "Loss of plasticity in continual deep reinforcement learning".
    """
    return _norms(snapshot.gradients)


def _norms(tensors_by_layer: Mapping[str, Sequence[Any]]) -> dict[str, float]:
    squares = {
        layer: float(sum(tf.reduce_sum(tf.square(tf.cast(each, tf.float64))) for each in tensors))
        for layer, tensors in tensors_by_layer.items()
    }
    return {layer: math.sqrt(square) for layer, square in {**squares, "all": sum(squares.values())}.items()}
