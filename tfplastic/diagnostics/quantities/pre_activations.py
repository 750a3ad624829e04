"""Location of the pre-activations of a layer's units, and their shift since a reference.

A unit is defined as in `units`: a channel is one unit over all positions, or with `per_position` at each of
them. Values are NaN for a layer of which a pre-activation is unknown, NaN or infinite.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tfplastic.diagnostics.declaration.quantity import quantity
from tfplastic.diagnostics.quantities.shared.thinned import thinned
from tfplastic.diagnostics.snapshot import Snapshot
from tfplastic.diagnostics.units.unit_statistics import UnitStatistics

__all__ = [
    "pre_activation_histogram",
    "pre_activation_mean_shift",
    "pre_activation_means",
    "pre_activation_variance_shift",
    "pre_activation_variances",
]

_READS = ("pre_mean", "pre_variance")


@quantity("cheap", group="pre activations", reads=("pre_activations",))
def pre_activation_histogram(snapshot: Snapshot, max_values: int = 10_000) -> dict[str, np.ndarray]:
    """Returns the pre-activations of each layer, of all inputs, positions and units, for a histogram.

    Of more values, `max_values` are taken, spread evenly over inputs, positions and units:
    number floor(size * frac(j * golden ratio)) for j = 0, 1, ...; in equal steps they could be all of one
    unit.

    Formula: z_i(x) for inputs x, positions and units i
    Range: any sign
    NaN: in the entries that are NaN.
    Cost: one forward pass.

    Args:
        snapshot: snapshot of the model; needs no loss.
        max_values: most values of a layer, at least 1.

    Returns:
        {layer name: `[min(size, max_values)] float64`} for every hidden nonlinearity whose pre-activations
        are known.

    Raises:
        ValueError: `max_values` is not a whole number of at least 1.

    Source: Lyle et al. 2024, "Disentangling the causes of plasticity loss in neural networks", section 3.
    """
    values, masks = snapshot.pre_activations, snapshot.masks
    return {
        layer: thinned(np.asarray(each)[np.asarray(masks[layer]) if layer in masks else ...], max_values)
        for layer, each in values.items()
    }


@quantity("cheap", group="pre activations", reads=_READS)
def pre_activation_means(snapshot: Snapshot, per_position: bool = False) -> dict[str, np.ndarray]:
    """Returns the mean pre-activation of each unit over inputs and positions: a distribution over units.

    Formula: E z_i
    Range: any sign
    NaN: for units of which a pre-activation is NaN. Layers whose pre-activations are unknown are left out.
    Cost: one forward pass.

    Args:
        snapshot: snapshot of the model; needs no loss.
        per_position: whether each position of a channel is a unit of its own.

    Returns:
        {layer name: `[units] float64`} for every hidden nonlinearity.

    Source: Lyle et al. 2024, "Disentangling the causes of plasticity loss in neural networks", section 3.
    """
    return {layer: each.pre_mean.ravel() for layer, each in _statistics(snapshot, per_position).items()}


@quantity("cheap", group="pre activations", reads=_READS)
def pre_activation_variances(snapshot: Snapshot, per_position: bool = False) -> dict[str, np.ndarray]:
    """Returns the variance of each unit's pre-activation: a distribution over units.

    Formula: E (z_i - E z_i)^2
    Range: at least 0; 0 in a batch of one, unless there are positions
    NaN: for units of which a pre-activation is NaN or infinite. Layers whose pre-activations are unknown are
        left out.
    Cost: one forward pass.

    Args:
        snapshot: snapshot of the model; needs no loss.
        per_position: whether each position of a channel is a unit of its own.

    Returns:
        {layer name: `[units] float64`} for every hidden nonlinearity.

    Source: Lyle et al. 2024, "Disentangling the causes of plasticity loss in neural networks", section 3.
    """
    return {layer: each.pre_variance.ravel() for layer, each in _statistics(snapshot, per_position).items()}


@quantity("cheap", group="pre activations", needs=("reference",), reads=_READS)
def pre_activation_mean_shift(snapshot: Snapshot, per_position: bool = False) -> dict[str, float]:
    """Returns how far units' mean pre-activations have moved from the reference, in its standard deviations.

    E and var are over inputs and positions, of the snapshot's batch and of that of the reference.
    `pre_activation_means` has the means unit by unit.

    Formula: ((1/K) sum_i |E z_i - E z_i^ref|) / sqrt((1/K) sum_i var z_i^ref) over the layer's K units
    Range: at least 0; infinite where the reference does not vary at all and the means have moved, 0 where
        they have not
    NaN: where a pre-activation is unknown, NaN or infinite, now or in the reference.
    Cost: one forward pass.

    Args:
        snapshot: snapshot of the model, with a reference.
        per_position: whether each position of a channel is a unit of its own.

    Returns:
        {layer name: shift} for every hidden nonlinearity.

    Raises:
        ValueError: the snapshot has no reference, or one of other layers.

    Source: Lyle et al. 2024, "Disentangling the causes of plasticity loss in neural networks", section 3,
        where histograms of units' means and variances are compared; the scalar is ours.
    """

    def shift(now: UnitStatistics, then: UnitStatistics) -> float:
        moved = np.abs(now.pre_mean - then.pre_mean).mean()
        return _ratio(moved, np.sqrt(then.pre_variance.mean()))

    return _against_reference(snapshot, per_position, shift)


@quantity("cheap", group="pre activations", needs=("reference",), reads=_READS)
def pre_activation_variance_shift(snapshot: Snapshot, per_position: bool = False) -> dict[str, float]:
    """Returns how far the variances of pre-activations have moved, as a share of those of the reference.

    Otherwise as `pre_activation_mean_shift`.

    Formula: sum_i |var z_i - var z_i^ref| / sum_i var z_i^ref over the layer's units
    Range: at least 0; 1 where nothing varies any more, infinite where the reference does not vary and the
        variances have moved, 0 where they have not
    NaN: where a pre-activation is unknown, NaN or infinite, now or in the reference.
    Cost: one forward pass.

    Args:
        snapshot: snapshot of the model, with a reference.
        per_position: whether each position of a channel is a unit of its own.

    Returns:
        {layer name: shift} for every hidden nonlinearity.

    Raises:
        ValueError: the snapshot has no reference, or one of other layers.

    Source: see `pre_activation_mean_shift`.
    """

    def shift(now: UnitStatistics, then: UnitStatistics) -> float:
        return _ratio(np.abs(now.pre_variance - then.pre_variance).sum(), then.pre_variance.sum())

    return _against_reference(snapshot, per_position, shift)


def _statistics(snapshot: Snapshot, per_position: bool) -> dict[str, UnitStatistics]:
    statistics = snapshot.statistics_with(_READS)
    return {
        layer: each.by_position() if per_position else each.by_channel() for layer, each in statistics.items()
    }


def _against_reference(
    snapshot: Snapshot, per_position: bool, shift: Callable[[UnitStatistics, UnitStatistics], float]
) -> dict[str, float]:
    """Returns {layer name: `shift` of its statistics now and in the reference}."""
    snapshot.require("reference")
    statistics = snapshot.statistics_with(_READS)
    values = dict.fromkeys([*statistics, *snapshot.unmeasured], float("nan"))
    for layer, now in statistics.items():
        then = snapshot.reference.statistics_like(layer, now)
        if per_position:
            both = now.counted & then.counted
            now, then = now.by_position(both), then.by_position(both)
        else:
            now, then = now.by_channel(), then.by_channel()
        if np.isfinite([now.pre_mean, then.pre_mean]).all():
            values[layer] = float(shift(now, then))
    return values


def _ratio(numerator: Any, denominator: Any) -> float:
    if denominator == 0:
        return 0.0 if numerator == 0 else float("inf")
    return float(numerator / denominator)
