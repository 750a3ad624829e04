"""ReDo: recycling dormant neurons."""

from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_boolean, check_integer, check_non_negative
from tfplastic.mitigations._weights.changes import check_resets_step
from tfplastic.mitigations.mitigation import Mitigation, Slots, check_period
from tfplastic.mitigations.unit_resets._resettable_units import lowest, resettable_units
from tfplastic.mitigations.unit_resets.unit_reset import UnitReset


@gin.register(module="tfplastic.mitigations")
class ReDo(Mitigation):
    """Reset of units that are dormant on the batch: hardly active compared with the others of their layer.

    Rule: s_i = E|h_i| / mean_j E|h_j|, over the batch and all positions. Every unit with s_i <= threshold
        gets incoming weights from its layer's initializer, bias 0, normalizations between it and its readers
        at identity, outgoing weights 0, and the optimizer's slots of all these 0 (`UnitReset`). A channel
        that is flattened has its whole block of the next kernel. The last layer has no such units, nor have
        layers without a nonlinearity after them and layers whose outputs are added to others'.
    Defaults: threshold 0.1 and period 1,000, of the main experiments. The class of the released code has 0.0
        and 200,000, which its configuration files override.
    Source: Sokar et al. 2023, "The dormant neuron phenomenon in deep reinforcement learning", Eq. 1 and
        algorithm 1; google/dopamine, labs/redo.
    Departures: scores are of the batch of the step, before its update, in place of 64 states of their own, so
        that they cost no forward pass. `reset_step` and `max_units` are of a port to PyTorch
        (timoklein/redo). The form of Kumar et al. 2023 restores initial weights in place of fresh ones and
        keeps Adam's means.
    Outputs: they stay exactly as they are on the batch if the reset units gave 0 there, as with threshold 0,
        unless a normalization couples units (`UnitReset`).

    Args:
        period: see `Mitigation`.
        threshold: at least 0, of the layer's mean activity; 0 resets units that are silent on the batch.
        max_units: most units of a layer to reset at once, the least active; None for all, 0 for none.
        outgoing_scale: at least 0; outgoing weights become this multiple of fresh ones. More than 0 is worse
            in the paper.
        reset_step: whether the optimizer's count of steps, which all weights share, is set to zero where a
            unit is reset.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> tp.mitigations.ReDo(period=500, threshold=0.025).period
        500
    """

    turn = 400
    reads = ("activations",)

    def __init__(
        self,
        period: int | None = 1_000,
        threshold: float = 0.1,
        max_units: int | None = None,
        outgoing_scale: float = 0.0,
        reset_step: bool = False,
    ):
        self.period = check_period(period)
        self._threshold = check_non_negative("threshold", threshold)
        self._max_units = None if max_units is None else check_integer("max_units", max_units)
        self._outgoing_scale = check_non_negative("outgoing_scale", outgoing_scale)
        self._reset_step = check_boolean("reset_step", reset_step)

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Finds the units.

        Raises:
            ValueError: if there is none, the initializer of a kernel is not known, or the optimizer draws
                noise by its count of steps, which would be reset.
        """
        self._units = resettable_units(model)
        self._reset = UnitReset(model, self._units, outgoing_scale=self._outgoing_scale)
        is_reset = check_resets_step(optimizer, self._reset_step)
        self._iterations = optimizer.iterations if is_reset else None

    def after_update(self, step: tf.Tensor, model: Any, slots: Slots, key: tf.Tensor, context: Any) -> None:
        chosen = {}
        for layer, units in self._units.items():
            activity = context.unit_statistic(units, "mean_abs")  # [units]
            is_dormant = activity <= self._threshold * tf.reduce_mean(activity)
            count = units.num_units if self._max_units is None else self._max_units
            chosen[layer] = lowest(activity, count, is_dormant)
        self._reset.reset(chosen, slots, key)
        if self._iterations is not None:
            is_any = tf.reduce_any(tf.concat(list(chosen.values()), axis=0))
            old = tf.convert_to_tensor(self._iterations)
            self._iterations.assign(tf.where(is_any, tf.zeros_like(old), old))
