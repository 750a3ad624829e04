"""Reset of the optimizer's state."""

from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_boolean
from tfplastic.mitigations._weights.changes import check_resets_step, slot_start
from tfplastic.mitigations.mitigation import Mitigation, Slots, check_period


@gin.register(module="tfplastic.mitigations")
class ResetOptimizerState(Mitigation):
    """Mitigation that zeroes all slots of the optimizer and, by default, its count of steps.

    Rule: every slot of every weight becomes 0, and so does the count of steps. The next update is then the
        first of a new optimizer, bit for bit. The reference of `optimizers.trac` becomes the weights in place
        of 0. With `reset_slots=False` it is Adam-Rel: the means stay, and the count of steps is zero, so that
        the next updates correct the bias of means as if they were new.
    Defaults: at each target update, as in Asadi et al. 2023. A count that continues leaves Adam's bias
        uncorrected after the reset: with betas of 0.9 and 0.999 and constant gradients, its updates are 3.2
        times as large at once and 6.6 times in the 12th.
    Source: Asadi et al. 2023, "Resetting the optimizer in deep RL"; Lyle et al. 2023, "Understanding
        plasticity in neural networks", appendix B.1; Ellis et al. 2024, "Adam on local time: addressing
        nonstationarity in RL with relative Adam timesteps".
    Departures: the count is all that Keras' learning-rate schedules know of time, so that a reset restarts
        them as well.
    Outputs: they stay exactly as they are, as do all weights.

    Args:
        period: see `Mitigation`.
        reset_step: whether `optimizer.iterations`, and counts of single entries, are set to zero too. The
            paper is silent. False with an optimizer that draws noise, such as `upgd`.
        reset_slots: whether the other slots are set to zero.

    Raises:
        ValueError: if `period` is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> tp.mitigations.ResetOptimizerState().period is None
        True
    """

    turn = 500

    def __init__(self, period: int | None = None, reset_step: bool = True, reset_slots: bool = True):
        self.period = check_period(period)
        self._reset_step = check_boolean("reset_step", reset_step)
        self._reset_slots = check_boolean("reset_slots", reset_slots)
        if not (reset_step or reset_slots):
            raise ValueError("`reset_slots` must be True without `reset_step`. Received: False")

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Keeps the count of steps.

        Raises:
            ValueError: the optimizer draws noise by its count of steps, which would be reset.
        """
        check_resets_step(optimizer, self._reset_step)
        self._iterations = optimizer.iterations

    def after_update(
        self, step: tf.Tensor, model: Any, slots: Slots, key: tf.Tensor, context: Any = None
    ) -> None:
        for variable in model.trainable_variables:
            for name, slot in slots(variable).items():
                if self._reset_step if name == "steps" else self._reset_slots:
                    slot.assign(slot_start(name, slot, variable))
        if self._reset_step:
            self._iterations.assign(tf.zeros([], self._iterations.dtype))
