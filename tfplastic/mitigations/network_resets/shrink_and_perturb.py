"""Shrink and perturb."""

from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_boolean, check_fraction, check_non_negative, check_one_of
from tfplastic._keras import keras
from tfplastic.mitigations._weights.changes import change, reset_slots
from tfplastic.mitigations._weights.trainable import (
    Weight,
    check_which,
    chosen_weights,
    trainable_weights,
)
from tfplastic.mitigations.fresh import WeightReinitializer
from tfplastic.mitigations.mitigation import Mitigation, Slots, check_period


@gin.register(module="tfplastic.mitigations")
class ShrinkAndPerturb(Mitigation):
    """Shrinking of all weights, with noise or fresh weights added: theta <- shrink * theta + perturb * phi.

    Rule: phi is, by `noise`, a draw of the initializers of the model's layers (`'fresh'`), the weights that
        the run started with (`'initial'`), or a draw of N(0, 1) for every entry (`'normal'`). With fresh ones
        a bias that starts at zero is only shrunk, and a gain that starts at one moves towards one. Statistics
        that are not trained, as of BatchNormalization, are left alone. With `shrink` 1 and `perturb` 0
        nothing changes, not even slots. The forms of the field, with their published values:

        - Ash and Adams: when new data arrive, shrink 0.4 to 0.6, and noise of a standard deviation of 0.01
          (`noise='normal'`, `perturb=0.01`) or a scaled fresh network.
        - Kumar et al. 2023: `period=1`, shrink 1 - 1e-4 or 1 - 1e-3, perturb 1e-2 of a fresh network.
        - Dohare et al. 2024: `period=1`, shrink 1, `noise='normal'` with perturb 1e-4 to 1e-6, and
          `WeightDecay(1e-4, half=True)` with it.
        - Elsayed and Mahmood 2024, with a learning rate of 1e-3: `period=1`, `shrinks='older'`, shrink 1 -
          1e-5, `noise='normal'`, perturb 1e-4. By gradient descent that is w <- (1 - lr 0.01) w - lr (g +
          xi), xi of a standard deviation of 0.1.
        - Juliani and Ash 2024: `period=1`, shrink 0.999999, perturb 1e-6 of a fresh network; Plasticine's
          code takes the initial weights (`noise='initial'`).
        - SR-SPR and BBF: shrink 0.8 (0.5) and perturb 0.2 (0.5) of a fresh network, together with
          `ResetLastLayer`, which acts after it. A target network follows at its next copy; theirs is reset
          too.
    Defaults: the period is that of Lyle et al. 2023, who give no other values: 0.8 and 0.2 are ours, and
        leave a gain of one as it is.
    Source: Ash and Adams 2020, "On warm-starting neural network training"; Lyle et al. 2023, section 6.2, at
        each target update.
    Departures: the papers do not mention the optimizer's slots, and their codes leave them as they are; so
        does this class, unless `reset_slots` is set.
    Outputs: they change by every call, but for `shrink` 1 and `perturb` 0.

    Args:
        period: see `Mitigation`. None, at each target update, in the paper.
        shrink: in [0, 1]. The paper gives no value; 0.8 is ours.
        perturb: at least 0. The paper gives no value, and writes the sum with phi itself; 0.2 is ours, which
            leaves a gain of one as it is.
        weights: `'all'` trainable weights, as the paper's theta; `'all_but_norms'`, which leaves out gains
            and offsets; or the `'kernels'` alone, without biases too.
        reset_slots: whether the optimizer's slots of these weights are zeroed too. The paper mentions weights
            only, so by default they are not.
        noise: `'fresh'`, `'initial'` or `'normal'`, see above. `'initial'` keeps a copy of the weights.
        shrinks: `'updated'` weights, or the `'older'` ones before the step's update, so that the update is
            not shrunk: theta <- theta - (1 - shrink) * theta_before + perturb * phi. Keeps a copy of them.

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
        noise: str = "fresh",
        shrinks: str = "updated",
    ):
        self.period = check_period(period)
        self._shrink = check_fraction("shrink", shrink)
        self._perturb = check_non_negative("perturb", perturb)
        self._which = check_which(weights)
        self._reset_slots = check_boolean("reset_slots", reset_slots)
        self._noise = check_one_of("noise", noise, ("fresh", "initial", "normal"))
        self.prefers_graph = self.period == 1 and noise != "initial"
        self._shrinks_older = check_one_of("shrinks", shrinks, ("updated", "older")) == "older"
        self.history = int(self._shrinks_older)
        self._weights: list[Weight] = []
        self._initial: list[tf.Variable] = []

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Finds the weights and their initializers.

        Raises:
            ValueError: if there are no weights of the kind, or an initializer is not known.
        """
        weights = trainable_weights(model)
        self._weights = chosen_weights(model, self._which)
        places = {id(weight.variable): place for place, weight in enumerate(weights)}
        self._places = [places[id(weight.variable)] for weight in self._weights]
        normal = keras.initializers.RandomNormal(0.0, 1.0, seed=0)
        self._fresh = WeightReinitializer(
            [] if self._noise == "initial" else self._weights, normal if self._noise == "normal" else None
        )
        self._initial = []
        if self._noise == "initial":
            values = [tf.convert_to_tensor(weight.variable) for weight in self._weights]
            self._initial = [tf.Variable(value, trainable=False) for value in values]

    def after_update(
        self, step: tf.Tensor, model: Any, slots: Slots, key: tf.Tensor, context: Any = None
    ) -> None:
        if self._shrink == 1 and self._perturb == 0:  # the sum would turn -0.0 into 0.0
            return
        added = self._initial or self._fresh.draw(key)
        for weight, place, phi in zip(self._weights, self._places, added, strict=True):
            value = tf.convert_to_tensor(weight.variable)
            if self._shrinks_older:
                shrunk = value - (1 - self._shrink) * context.older_weights(1)[place]
            else:
                shrunk = self._shrink * value
            change(weight.variable, shrunk + self._perturb * phi, slots)
            if self._reset_slots:
                reset_slots(slots, weight.variable)

    @property
    def state(self) -> dict[str, tf.Variable]:
        """The first weights, if they are added."""
        return {f"initial{number}": each for number, each in enumerate(self._initial)}
