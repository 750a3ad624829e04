"""The utilities of units that continual backprop ranks them by."""

from typing import Any

import tensorflow as tf

from tfplastic.diagnostics import Units
from tfplastic.mitigations.fresh import unit_uniform

_FACTORS = {
    "contribution": ("activity", "outgoing"),
    "zero_contribution": ("deviation", "outgoing"),
    "adaptable_contribution": ("deviation", "outgoing", "1 / incoming"),
    "weight": ("outgoing",),
    "adaptation": ("1 / incoming",),
    "feature_by_input": ("deviation", "1 / incoming"),
    "random": ("uniform",),
}
UTILITIES = tuple(_FACTORS)
"""Names of the utilities."""


def unit_utility(name: str, units: Units, context: Any, mean: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Returns the utility of each unit in one step, `[units] float64`; traceable.

    Args:
        name: one of `UTILITIES`.
        units: units of one layer.
        context: context of the step.
        mean: `[units]`, average output of each unit over the steps so far.
        key: `[2] int32`, of random utilities.
    """
    makers = {
        "activity": lambda: context.unit_statistic(units, "mean_abs"),
        "deviation": lambda: tf.reduce_mean(
            tf.abs(tf.cast(context.unit_values(units), tf.float64) - mean), axis=0
        ),
        "outgoing": lambda: _mean_magnitude(units.outgoing),
        "1 / incoming": lambda: 1 / _mean_magnitude([units.incoming]),
        "uniform": lambda: unit_uniform([units.num_units], key),
    }
    factors = [makers[factor]() for factor in _FACTORS[name]]
    return tf.reduce_prod(tf.stack(factors), axis=0)


def _mean_magnitude(parts: Any) -> tf.Tensor:
    """Returns the mean magnitude of all weights of each unit, `[units] float64`."""
    sums = [part.sums(tf.abs(tf.cast(tf.convert_to_tensor(part.variable), tf.float64))) for part in parts]
    return tf.add_n(sums) / sum(part.sizes for part in parts)
