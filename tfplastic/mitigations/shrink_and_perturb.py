"""Shrink and perturb."""

from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_boolean, check_fraction, check_non_negative
from tfplastic.mitigations._weights import Weight, check_which, reset_slots, select, trainable_weights
from tfplastic.mitigations.fresh import WeightReinitializer
from tfplastic.mitigations.mitigation import Mitigation, Slots, check_period


@gin.register(module="tfplastic.mitigations")
class ShrinkAndPerturb(Mitigation):
    """theta <- shrink * theta + perturb * phi, with phi the weights of a freshly initialized network.

    Ash and Adams 2020, "On warm-starting neural network training"; Lyle et al. 2023, section 6.2, do it at
    each target update. phi comes from the initializers of the model's layers, so that a bias that starts at
    zero is only shrunk, and a gain that starts at one moves towards one. Statistics that are not trained, as
    of BatchNormalization, are left alone. With `shrink` 1 and `perturb` 0 nothing happens, to slots neither.

    Args:
        period: see `Mitigation`. None, at each target update, in the paper.
        shrink: in [0, 1]. The paper gives no value; 0.8 is ours.
        perturb: at least 0. The paper gives no value, and writes the sum with phi itself; 0.2 is ours, which
            leaves a gain of one as it is.
        weights: `'all'` trainable weights, as the paper's theta; `'all_but_norms'`, which leaves out gains
            and offsets; or the `'kernels'` alone, without biases too.
        reset_slots: whether the optimizer's slots of these weights are zeroed too. The paper speaks of
            weights only, so they are not by default.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> tp.mitigations.ShrinkAndPerturb(shrink=0.5, perturb=0.5).acts_after_update
        True
    """

    def __init__(
        self,
        period: int | None = None,
        shrink: float = 0.8,
        perturb: float = 0.2,
        weights: str = "all",
        reset_slots: bool = False,
    ):
        self.period = check_period(period)
        self._shrink = check_fraction("shrink", shrink)
        self._perturb = check_non_negative("perturb", perturb)
        self._which = check_which(weights)
        self._reset_slots = check_boolean("reset_slots", reset_slots)
        self._weights: list[Weight] = []

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Finds the weights and their initializers.

        Raises:
            ValueError: if one of the initializers is not known.
        """
        self._weights = select(trainable_weights(model), self._which)
        self._fresh = WeightReinitializer(self._weights)

    def after_update(
        self, step: tf.Tensor, model: Any, slots: Slots, key: tf.Tensor, context: Any = None
    ) -> None:
        if self._shrink == 1 and self._perturb == 0:  # the sum would turn -0.0 into 0.0
            return
        for weight, fresh in zip(self._weights, self._fresh.draw(key), strict=True):
            value = tf.convert_to_tensor(weight.variable)
            weight.variable.assign(self._shrink * value + self._perturb * fresh)
            if self._reset_slots:
                reset_slots(slots, weight.variable)
