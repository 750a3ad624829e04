"""GraMa: resets of units that get hardly any gradient."""

from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_fraction, check_non_negative
from tfplastic.mitigations.mitigation import Mitigation, Slots, check_period
from tfplastic.mitigations.unit_resets._resettable_units import lowest, resettable_units
from tfplastic.mitigations.unit_resets.unit_reset import UnitReset


@gin.register(module="tfplastic.mitigations")
class GraMa(Mitigation):
    """Reset of units whose incoming weights get hardly any gradient, compared with the others of their layer.

    Rule: G_i = mean |dL/dW| over the incoming weights of unit i, and s_i = G_i / mean_j G_j. Every unit with
        s_i <= threshold gets incoming weights from its layer's initializer, bias 0, normalizations between it
        and its readers at identity, outgoing weights 0, and the optimizer's slots of all these 0
        (`UnitReset`). The last layer has no such units, nor have layers whose outputs are added to others'.
    Defaults: threshold 0.01 and period 1,000, of the released code.
    Source: Liu et al. 2025, "Measure gradients, not activations! Enhancing neuronal activity in deep
        reinforcement learning" (GraMa, ReGraMa).
    Departures: the gradient is of the mean loss of the batch, as in the released code; the paper averages the
        magnitudes of the gradients of single examples. A unit with outgoing weights of 0 gets no gradient in
        the next step and is reset again by a call right after it; AgileRL gives small outgoing weights
        instead (`outgoing_scale`). It also measures the gradient before the nonlinearity, which is not
        offered here.
    Outputs: they stay as they are for units whose outputs were 0, with `outgoing_scale` 0 and unless a
        normalization couples units (`UnitReset`).

    Args:
        period: see `Mitigation`.
        threshold: at least 0, of the layer's mean gradient.
        max_fraction: in [0, 1], largest share of a layer's units to reset at once, least gradient first; 0
            for none. The number is rounded down.
        outgoing_scale: at least 0; outgoing weights become this multiple of fresh ones.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> tp.mitigations.GraMa(threshold=0.05, max_fraction=0.1).period
        1000
    """

    turn = 400
    reads = ("gradients",)

    def __init__(
        self,
        period: int | None = 1_000,
        threshold: float = 0.01,
        max_fraction: float = 1.0,
        outgoing_scale: float = 0.0,
    ):
        self.period = check_period(period)
        self._threshold = check_non_negative("threshold", threshold)
        self._max_fraction = check_fraction("max_fraction", max_fraction)
        self._outgoing_scale = check_non_negative("outgoing_scale", outgoing_scale)

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Finds the units.

        Raises:
            ValueError: if there is none, or the initializer of a kernel is not known.
        """
        self._units = resettable_units(model, activated=False)
        self._reset = UnitReset(model, self._units, outgoing_scale=self._outgoing_scale)

    def after_update(self, step: tf.Tensor, model: Any, slots: Slots, key: tf.Tensor, context: Any) -> None:
        chosen = {}
        for layer, units in self._units.items():
            gradients = context.unit_gradients(units)  # [units]
            is_low = gradients <= self._threshold * tf.reduce_mean(gradients)
            chosen[layer] = lowest(gradients, int(self._max_fraction * units.num_units), is_low)
        self._reset.reset(chosen, slots, key)
