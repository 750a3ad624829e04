"""Shares of a layer's units that are dead, dormant, active, saturated or linear.

A unit is an entry of an activation's last axis: a unit of a dense layer, or a channel of a convolution, which
is then judged over the batch and all positions together; that a channel is one unit is our choice, as in
Sokar et al. 2023. Of CReLU and deep Fourier features, which give
each unit two features, the unit is the pair (see `layers.CReLU`). With `per_position` a channel counts as a
unit of its own at each position instead. Images are channels-last.

All values are NaN for a layer with an activation, or a pre-activation where that is measured, that is NaN or
infinite, and for layers in `Snapshot.unmeasured`. Note: TensorFlow's fused CPU ReLU maps NaN to 0.

`dead_units` and `dormant_units` also take one layer's activations instead of a snapshot, and then return a
tensor, in a graph as well: so they serve as `step_statistics` of a training loop.
"""

from typing import overload

import numpy as np
import tensorflow as tf

from tfplastic.diagnostics.declaration.quantity import quantity, reads_of
from tfplastic.diagnostics.quantities.shared.per_layer import by_layer
from tfplastic.diagnostics.snapshot import Snapshot
from tfplastic.diagnostics.units.unit_statistics import UnitStatistics

__all__ = ["active_units", "dead_units", "dormant_units", "linearized_units", "saturated_units"]

# Activations that are linear above zero, and those among them that are linear below as well.
_LINEAR_ABOVE_ZERO = {"celu", "crelu", "elu", "leaky_relu", "prelu", "relu", "relu6", "scaled_elu", "selu"}
_LINEAR_BELOW_ZERO = {"crelu", "leaky_relu", "prelu"}


@overload
def dead_units(snapshot: tf.Tensor, per_position: bool = False) -> tf.Tensor: ...


@overload
def dead_units(snapshot: Snapshot, per_position: bool = False) -> dict[str, float]: ...


@quantity("cheap", group="units", reads=("mean_abs",), of_activations=True)
def dead_units(snapshot: Snapshot | tf.Tensor, per_position: bool = False) -> dict[str, float] | tf.Tensor:
    """Returns the fraction of units that are dead: exactly zero on the whole batch.

    The zero is exact for every activation function: a saturated tanh or a leaky ReLU does not count.

    Formula: #{i : h_i(x) = 0 for every input x and position} / #units
    Range: [0, 1]
    NaN: where an activation is NaN or infinite, and for layers in `Snapshot.unmeasured`.
    Cost: one forward pass.

    Args:
        snapshot: snapshot of the model; needs no loss. Or one layer's activations, `[batch, ..., units]`
            floats.
        per_position: whether each position of a channel is a unit of its own.

    Returns:
        {layer name: fraction} for every hidden nonlinearity; of activations `[] float64`.

    Source: Lyle et al. 2023, "Understanding plasticity in neural networks", section 4.1, Fig. 1;
        Dohare et al. 2024, "Loss of plasticity in deep continual learning" (on 2000 inputs). Others call
        units dead that are `saturated_units` here.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import diagnostics
        >>> float(diagnostics.dead_units(tf.constant([[0., 1.], [0., 0.]])))
        0.5
    """
    if tf.is_tensor(snapshot):
        means = _mean_magnitudes(snapshot, per_position)
        return _fraction(means == 0, means)
    return by_layer(snapshot, reads_of(dead_units), per_position, lambda of: np.mean(of.mean_abs == 0))


@overload
def dormant_units(snapshot: tf.Tensor, tau: float = 0.025, per_position: bool = False) -> tf.Tensor: ...


@overload
def dormant_units(snapshot: Snapshot, tau: float = 0.025, per_position: bool = False) -> dict[str, float]: ...


@quantity("cheap", group="units", reads=("mean_abs",), of_activations=True)
def dormant_units(
    snapshot: Snapshot | tf.Tensor, tau: float = 0.025, per_position: bool = False
) -> dict[str, float] | tf.Tensor:
    """Returns the fraction of tau-dormant units: those with little of their layer's activity.

    The score of a unit is its mean magnitude E|h_i| over inputs and positions, divided by the mean of its
    layer's K units: scores average to one (they do not sum to one). Computed as E|h_i| <= tau times the
    layer's mean, in float64, so that a layer that is all zeros is dormant as a whole: 1. With tau = 0 it
    equals `dead_units`.

    Formula: #{i : s_i <= tau} / #units, s_i = E|h_i| / ((1/K) sum_k E|h_k|)
    Range: [0, 1]
    NaN: where an activation is NaN or infinite, and for layers in `Snapshot.unmeasured`.
    Cost: one forward pass.

    Args:
        snapshot: snapshot of the model; needs no loss. Or one layer's activations, `[batch, ..., units]`
            floats.
        tau: threshold of the score, at least 0. The field uses 0, 0.025 and 0.1.
        per_position: whether each position of a channel is a unit of its own.

    Returns:
        {layer name: fraction} for every hidden nonlinearity; of activations `[] float64`.

    Raises:
        ValueError: `tau` is negative or not a finite number.

    Source: Sokar et al. 2023, "The dormant neuron phenomenon in deep reinforcement learning", Definition 3.1.
        `dormant_gradients` is of scores by gradients.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import diagnostics
        >>> float(diagnostics.dormant_units(tf.constant([[.01, 1., 1., 0.]]), tau=.025))
        0.5
    """
    if tf.is_tensor(snapshot):
        means = _mean_magnitudes(snapshot, per_position)
        return _fraction(means <= tau * tf.reduce_mean(means), means)
    return by_layer(
        snapshot,
        reads_of(dormant_units),
        per_position,
        lambda of: np.mean(of.mean_abs <= tau * of.mean_abs.mean()),
    )


@quantity("cheap", group="units", reads=("mean_abs", "zero_fraction"))
def active_units(snapshot: Snapshot) -> dict[str, float]:
    """Returns the fraction of active units (FAU): the share of activations that are not exactly zero.

    The mean is over inputs, positions and units alike, so convolutions need no choice.

    Formula: mean over inputs x, positions and units i of [h_i(x) != 0]
    Range: [0, 1], at most 1 - `dead_units`
    NaN: where an activation is NaN or infinite, and for layers in `Snapshot.unmeasured`.
    Cost: one forward pass.

    Args:
        snapshot: snapshot of the model; needs no loss.

    Returns:
        {layer name: fraction} for every hidden nonlinearity.

    Source: Ma et al. 2024, "Revisiting plasticity in visual reinforcement learning: data, modules and
        training stages", section 3.
    """
    return by_layer(snapshot, reads_of(active_units), False, lambda of: 1 - of.zero_fraction.mean())


@quantity("cheap", group="units", reads=("mean_abs", "saturated_fraction"))
def saturated_units(
    snapshot: Snapshot, min_fraction: float = 1.0, per_position: bool = False
) -> dict[str, float]:
    """Returns the fraction of units that are at the flat ends of their activation function.

    p_i is the share of inputs and positions with |h_i| > 0.99 for tanh, with h_i < 0.01 or h_i > 0.99 for
    sigmoid, and so for their hard versions; softsign as tanh; ReLU6 where h is 0 or 6; ELU (alpha 1) and SELU
    at their lower ends, h < -0.99 and h < 0.99 of -1.7581. `dead_units` counts ReLU's flat side. For
    softplus, GELU, SiLU and similar functions a value near 0 does not distinguish the flat side from the
    middle.

    Formula: #{i : p_i >= min_fraction} / #units, p_i = share of inputs and positions at which unit i is
        saturated
    Range: [0, 1]
    NaN: for ReLU, softplus, GELU, SiLU and their kin, for ELU with another alpha, for ReLU with other
        settings (`max_value`, `negative_slope`, `threshold`), and for unknown functions; where an activation
        is NaN or infinite, and for layers in `Snapshot.unmeasured`.
    Cost: one forward pass.

    Args:
        snapshot: snapshot of the model; needs no loss.
        min_fraction: in [0, 1]; 1: a unit counts only if saturated on every input.
        per_position: whether each position of a channel is a unit of its own.

    Returns:
        {layer name: fraction} for every hidden nonlinearity.

    Raises:
        ValueError: `min_fraction` is outside [0, 1].

    Source: the bounds are those by which Dohare et al. 2024 call units of tanh and sigmoid dead; that it is
        to hold for every input follows their rule for ReLU.
    """

    def saturated(of: UnitStatistics) -> float:
        if np.isnan(of.saturated_fraction).any():
            return np.nan
        return float(np.mean(of.saturated_fraction >= min_fraction))

    return by_layer(snapshot, reads_of(saturated_units), per_position, saturated)


@quantity("cheap", group="units", reads=("pre_mean", "pre_variance", "pre_positive_fraction"))
def linearized_units(
    snapshot: Snapshot, tolerance: float = 0.1, per_position: bool = False
) -> dict[str, float]:
    """Returns the fraction of units that act as a linear function on the batch ("zombie" units).

    ReLU, ELU and similar functions are linear above zero, leaky ReLU, PReLU and CReLU below as well; ReLU6
    passes for ReLU. For other activations, so narrow a piece of a smooth curve is nearly straight. A dead
    ReLU unit is not among them.

    Formula: #{i : z_i > 0 for every input and position} / #units; for leaky ReLU, PReLU and CReLU also
        z_i <= 0 for every one; for other activations std(z_i) <= tolerance, z_i being the pre-activation
    Range: [0, 1]
    NaN: where a pre-activation is unknown, NaN or infinite, and for layers in `Snapshot.unmeasured`.
    Cost: one forward pass.

    Args:
        snapshot: snapshot of the model; needs no loss.
        tolerance: largest standard deviation, at least 0, in the unit of z. There is no published one; tanh
            departs from its tangent at zero by 0.1^3 / 3 within 0.1.
        per_position: whether each position of a channel is a unit of its own.

    Returns:
        {layer name: fraction} for every hidden nonlinearity.

    Raises:
        ValueError: `tolerance` is negative or not a finite number.

    Source: Lyle et al. 2024, "Disentangling the causes of plasticity loss in neural networks", section 3.
    """

    def linearized(of: UnitStatistics) -> float:
        if of.activation not in _LINEAR_ABOVE_ZERO:
            return float(np.mean(np.sqrt(of.pre_variance) <= tolerance))
        is_linear = of.pre_positive_fraction == 1
        if of.activation in _LINEAR_BELOW_ZERO:
            is_linear |= of.pre_positive_fraction == 0
        return float(np.mean(is_linear))

    return by_layer(snapshot, reads_of(linearized_units), per_position, linearized, finite="pre_mean")


def _mean_magnitudes(activations: tf.Tensor, per_position: bool) -> tf.Tensor:
    """Returns E|h_i|, `[units] float64`, or `[*positions, units]` with `per_position`."""
    magnitudes = tf.abs(tf.cast(activations, tf.float64))  # [batch, ..., units]
    axes = [0] if per_position else tf.range(tf.rank(magnitudes) - 1)
    return tf.reduce_mean(magnitudes, axis=axes)


def _fraction(is_counted: tf.Tensor, means: tf.Tensor) -> tf.Tensor:
    fraction = tf.reduce_mean(tf.cast(is_counted, tf.float64))
    return tf.where(tf.reduce_all(tf.math.is_finite(means)), fraction, tf.constant(float("nan"), tf.float64))
