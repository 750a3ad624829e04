"""Statistics of single units.

A unit is an entry of an activation's last axis: a unit of a dense layer, or a channel of a convolution, which
is then judged over the batch and all positions together. Images are channels-last.
"""

import gin
import tensorflow as tf

from tfplastic import _checks
from tfplastic.diagnostics.snapshot import Snapshot


@gin.register(module="tfplastic.diagnostics")
def dead_units(snapshot: Snapshot) -> dict[str, float]:
    """The fraction of units that are dead: #{i : h_i(x) = 0 for every input x and position} / #units.

    Cheap: one forward pass. The zero is exact, whatever the activation function is: a saturated tanh or a
    leaky ReLU does not count.

    Args:
        snapshot: of the model; needs no loss.

    Returns:
        {layer name: fraction in [0, 1]} for every hidden nonlinearity. NaN where an activation of the layer
        is NaN or infinite; TensorFlow's fused ReLU for the CPU makes NaN 0, though.

    Source: Lyle et al. 2023, "Understanding plasticity in neural networks", section 4.1, Fig. 1;
        that a channel is one unit is our choice, as in Sokar et al. 2023.
    """
    return {layer: float(dead_fraction(each)) for layer, each in snapshot.activations.items()}


@gin.register(module="tfplastic.diagnostics")
def dormant_units(snapshot: Snapshot, tau: float = 0.025) -> dict[str, float]:
    """The fraction of tau-dormant units: #{i : s_i <= tau} / #units, s_i = E|h_i| / ((1/K) sum_k E|h_k|).

    E is the mean over inputs and positions, k runs over the layer's K units: scores average to one (they do
    not sum to one). Computed as E|h_i| <= tau times the layer's mean, in float64, so that a layer that is all
    zeros is dormant as a whole: 1. With tau = 0 it equals `dead_units`. Cheap: one forward pass.

    Args:
        snapshot: of the model; needs no loss.
        tau: threshold of the score, at least 0. The field uses 0, 0.025 and 0.1.

    Returns:
        {layer name: fraction in [0, 1]} for every hidden nonlinearity. NaN as in `dead_units`.

    Raises:
        ValueError: `tau` is negative or not a finite number.

    Source: Sokar et al. 2023, "The dormant neuron phenomenon in deep reinforcement learning", Definition 3.1.
    """
    return {layer: float(dormant_fraction(each, tau)) for layer, each in snapshot.activations.items()}


@gin.register(module="tfplastic.diagnostics")
def dead_fraction(activations: tf.Tensor) -> tf.Tensor:
    """As `dead_units`, of one layer's activations; traceable, for each step of a training loop.

    Args:
        activations: `[batch, ..., units]` floats.

    Returns:
        `[] float64` in [0, 1]. NaN where an activation is NaN or infinite.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import diagnostics
        >>> float(diagnostics.dead_fraction(tf.constant([[0., 1.], [0., 0.]])))
        0.5
    """
    means = _mean_magnitudes(activations)
    return _fraction(means == 0, means)


@gin.register(module="tfplastic.diagnostics")
def dormant_fraction(activations: tf.Tensor, tau: float = 0.025) -> tf.Tensor:
    """As `dormant_units`, of one layer's activations; traceable, for each step of a training loop.

    Args:
        activations: `[batch, ..., units]` floats.
        tau: threshold of the score, at least 0.

    Returns:
        `[] float64` in [0, 1]. NaN where an activation is NaN or infinite.

    Raises:
        ValueError: `tau` is negative or not a finite number.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import diagnostics
        >>> float(diagnostics.dormant_fraction(tf.constant([[.01, 1., 1., 0.]]), tau=.025))
        0.5
    """
    _checks.check_non_negative("tau", tau)
    means = _mean_magnitudes(activations)
    return _fraction(means <= tau * tf.reduce_mean(means), means)


def _mean_magnitudes(activations: tf.Tensor) -> tf.Tensor:
    """E|h_i|, `[units] float64`."""
    magnitudes = tf.abs(tf.cast(activations, tf.float64))  # [batch, ..., units]
    return tf.reduce_mean(magnitudes, axis=tf.range(tf.rank(magnitudes) - 1))


def _fraction(is_counted: tf.Tensor, means: tf.Tensor) -> tf.Tensor:
    fraction = tf.reduce_mean(tf.cast(is_counted, tf.float64))
    return tf.where(tf.reduce_all(tf.math.is_finite(means)), fraction, tf.constant(float("nan"), tf.float64))
