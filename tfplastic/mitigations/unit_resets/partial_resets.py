"""Partial resets (CPR): units are mixed with fresh ones, more so the less gradient they get."""

import math
from collections.abc import Callable
from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_fraction, check_one_of, check_positive, check_positive_integer
from tfplastic._keras import keras
from tfplastic.diagnostics import Slice
from tfplastic.mitigations._weights.changes import change
from tfplastic.mitigations._weights.trainable import trainable_weights
from tfplastic.mitigations.fresh import WeightReinitializer
from tfplastic.mitigations.mitigation import Mitigation, Slots
from tfplastic.mitigations.unit_resets._resettable_units import resettable_units

_TRANSFORMS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "sigmoid": lambda x: 2 * tf.sigmoid(x),
    "exponential": tf.exp,
    "softplus": lambda x: tf.math.softplus(x) / math.log(2),
    "linear": lambda x: 1 + x,
}
_SMALL = 1e-8  # added to the mean of a layer's gradients


@gin.register(module="tfplastic.mitigations")
class PartialResets(Mitigation):
    """Partial reset (CPR): each unit is mixed with a fresh one, more so the less gradient it gets.

    Rule: after every update s_i = G_i / (mean_j G_j + 1e-8) with G_i the mean |dL/dW| over the incoming
        weights of unit i, recurrent ones too, and u_i <- decay u_i + (1 - decay) s_i, from u_i = 1. After
        every `reset_period` updates r_i = strength * min(f(steepness (1 - u_i)), 1), and w_in <- (1 - r_i)
        w_in + r_i fresh, w_out <- (1 - r_i) w_out, with fresh weights of He's uniform distribution. f(x) is
        by `transform` 2 sigmoid(x) (`'sigmoid'`), e^x (`'exponential'`), softplus(x) / ln 2 (`'softplus'`) or
        max(1 + x, 0) (`'linear'`): each is 1 at u_i = 1.
    Defaults: the released code, for all arguments.
    Source: CPR (arXiv 2607.24996); the code LucMc/continual-learning.
    Departures: the rule does not mention biases, norms and the optimizer's slots; they stay. A weight between
        two hidden units is first mixed as an incoming weight and then shrunk as an outgoing one.
    Outputs: they change by every call, but for `strength` 0.

    Args:
        strength: in [0, 1], largest share of fresh weights; 0 does nothing.
        reset_period: gradient steps between mixtures.
        steepness: above 0, of the transform.
        decay: in [0, 1], of the moving average.
        transform: name of f.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> tp.mitigations.PartialResets(strength=0.05).acts_after_update
        True
    """

    turn = 350
    period = 1
    reads = ("gradients",)

    def __init__(
        self,
        strength: float = 0.015,
        reset_period: int = 1_000,
        steepness: float = 16.0,
        decay: float = 0.99,
        transform: str = "sigmoid",
    ):
        self._strength = check_fraction("strength", strength)
        self._reset_period = check_positive_integer("reset_period", reset_period)
        self._steepness = check_positive("steepness", steepness)
        self._decay = check_fraction("decay", decay)
        self._transform = _TRANSFORMS[check_one_of("transform", transform, tuple(_TRANSFORMS))]
        self._utility: dict[str, tf.Variable] = {}

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Finds the units and makes their averages.

        Raises:
            ValueError: if there is no unit.
        """
        self._units = resettable_units(model, activated=False)
        weights = {id(weight.variable): weight for weight in trainable_weights(model)}
        self._mixed = [
            (layer, part)
            for layer, units in self._units.items()
            for part in (units.incoming, units.recurrent)
            if part is not None
        ]
        incoming = [weights[id(part.variable)] for _, part in self._mixed]
        he_uniform = keras.initializers.VarianceScaling(2.0, "fan_in", "uniform", seed=0)
        self._fresh = WeightReinitializer(incoming, he_uniform)
        self._utility = {
            f"{layer}/utility": tf.Variable(tf.ones([units.num_units], tf.float64), trainable=False)
            for layer, units in self._units.items()
        }

    def after_update(self, step: tf.Tensor, model: Any, slots: Slots, key: tf.Tensor, context: Any) -> None:
        if self._strength == 0:
            return
        for units, utility in zip(self._units.values(), self._utility.values(), strict=True):
            gradients = context.unit_gradients(units)  # [units]
            score = gradients / (tf.reduce_mean(gradients) + _SMALL)
            utility.assign(self._decay * utility + (1 - self._decay) * score)
        is_due = tf.equal(step % self._reset_period, 0)
        tf.cond(is_due, lambda: self._mix(key, slots), lambda: tf.constant(False))

    def _mix(self, key: tf.Tensor, slots: Slots) -> tf.Tensor:
        shares = {}
        for layer in self._units:
            transformed = self._transform(self._steepness * (1 - self._utility[f"{layer}/utility"]))
            shares[layer] = tf.maximum(self._strength * tf.minimum(transformed, 1), 0)
        for (layer, part), fresh in zip(self._mixed, self._fresh.draw(key), strict=True):
            _mix_in(part, shares[layer], fresh, slots)
        for layer, units in self._units.items():
            for part in units.outgoing:
                _mix_in(part, shares[layer], 0.0, slots)
        return tf.constant(True)

    @property
    def state(self) -> dict[str, tf.Variable]:
        """Averages of units, {layer/utility: variable}."""
        return self._utility


def _mix_in(part: Slice, share: tf.Tensor, fresh: Any, slots: Slots) -> None:
    """Moves the units' entries of a variable by a share of the way to fresh ones."""
    old = tf.convert_to_tensor(part.variable)
    change(part.variable, old + tf.cast(part.spread(share), old.dtype) * (fresh - old), slots)
