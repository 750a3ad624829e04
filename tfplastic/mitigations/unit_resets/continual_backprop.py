"""Continual backprop: selective replacement of units of little use."""

import math
from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import (
    check_boolean,
    check_fraction,
    check_integer,
    check_one_of,
    check_positive,
)
from tfplastic._keras import keras
from tfplastic._tf.random import fold_in
from tfplastic.diagnostics import Units
from tfplastic.mitigations.fresh import unit_uniform
from tfplastic.mitigations.mitigation import Mitigation, Slots, check_period
from tfplastic.mitigations.unit_resets._outgoing_bias import OutgoingBias
from tfplastic.mitigations.unit_resets._resettable_units import lowest, resettable_units
from tfplastic.mitigations.unit_resets._unit_utility import UTILITIES, unit_utility
from tfplastic.mitigations.unit_resets.unit_reset import UnitReset

INITIALIZERS = ("own", "kaiming", "xavier", "lecun", "default")
"""Names of the distributions of new incoming weights."""


@gin.register(module="tfplastic.mitigations")
class ContinualBackprop(Mitigation):
    """Replacement of the units of the least utility, a small share of the mature ones at each step.

    Rule: after the optimizer's step, in each hidden layer, by the activations h before it:

        1. age <- age + 1.
        2. f <- decay f + (1 - decay) E[h], u <- decay u + (1 - decay) y, with the utility y of the step; both
           are corrected: f_hat = f / (1 - decay^age), u_hat = u / (1 - decay^age).
        3. Of the units with age > maturity a share of `rate` is replaced, those with the lowest u_hat. A
           fraction of a unit is carried over to later steps (`accumulate`), or is the probability of
           replacing one now.
        4. A replaced unit gets fresh incoming weights, bias 0, outgoing weights 0, optimizer slots 0, and u =
           f = age = 0. With `correct_bias`, f_hat times its old outgoing weights goes into the biases of its
           readers.

        The utility y, with means over the batch and over weights: `'contribution'` E|h| mean|w_out|;
        `'zero_contribution'` E|h - f_hat| mean|w_out|; `'adaptable_contribution'` E|h - f_hat| mean|w_out| /
        mean|w_in|; `'weight'` mean|w_out|; `'adaptation'` 1 / mean|w_in|; `'feature_by_input'` E|h - f_hat| /
        mean|w_in|; `'random'`, drawn at each step. Equation 1 of the paper sums |w_out|, which gives the same
        order.
    Defaults: contribution, decay 0.99, rate 1e-4 and maturity 100 of the released code for online permuted
        MNIST, whose rates are 1e-4 to 1e-6. Kumar et al. 2023 have rates of 1e-3 and 1e-4, maturity
        100 and the adaptable contribution in their launch scripts, and `accumulate=False`.
    Source: Dohare et al. 2024, "Loss of plasticity in deep continual learning", algorithm 1; the code
        shibhansh/loss-of-plasticity, lop/algos/gnt.py.
    Departures: the paper corrects biases; in the released code f_hat is set to 0 before, so that the
        correction adds 0: `correct_bias=False` reproduces its numbers. Its Adam counts the steps of each
        entry and restarts the counts of new units, as `optimizers.adam(per_entry_steps=True)` does here.
    Outputs: they stay as they are, with `correct_bias`, for units that are constant, with readers that are
        plain dense or convolutional layers with a bias, no padding (at whose edges a channel gives less) and
        no normalization after the nonlinearity. Other readers get no correction, and neither do readers of
        units with two features, such as CReLU's.

    Args:
        rate: in [0, 1], share of the mature units of a layer that is replaced at each call; 0 does nothing.
        maturity: number of calls during which a new unit cannot be replaced.
        decay: at least 0, below 1, of the moving averages.
        utility: name of y.
        correct_bias: whether readers' biases take over the mean output of replaced units.
        accumulate: whether a fraction of a unit is carried over; otherwise a number below 1 is a probability,
            and others are rounded down.
        initializer: distribution of new incoming weights: `'kaiming'` U(-B, B) with B = gain
            sqrt(3 / fan_in); `'xavier'` B = gain sqrt(6 / (fan_in + fan_out)); `'lecun'` B = sqrt(3 /
            fan_in); `'default'` B = 1 / sqrt(fan_in); or `'own'`, the layer's initializer.
        gain: above 0: sqrt(2) for ReLU, swish and ELU, 5/3 for tanh, 1 for linear and sigmoid.
        period: see `Mitigation`; 1 in the paper. Ages count calls.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> tp.mitigations.ContinualBackprop(rate=1e-3, correct_bias=False).period
        1
    """

    turn = 400
    reads = ("activations",)

    def __init__(
        self,
        rate: float = 1e-4,
        maturity: int = 100,
        decay: float = 0.99,
        utility: str = "contribution",
        correct_bias: bool = True,
        accumulate: bool = True,
        initializer: str = "kaiming",
        gain: float = math.sqrt(2),
        period: int | None = 1,
    ):
        self.period = check_period(period)
        self._rate = check_fraction("rate", rate)
        self._maturity = check_integer("maturity", maturity)
        self._decay = _check_decay(decay)
        self._utility = check_one_of("utility", utility, UTILITIES)
        self._correct_bias = check_boolean("correct_bias", correct_bias)
        self._accumulate = check_boolean("accumulate", accumulate)
        check_one_of("initializer", initializer, INITIALIZERS)
        self._initializer = _initializer(initializer, check_positive("gain", gain))
        self._kept: dict[str, tf.Variable] = {}

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Finds the units and makes their ages and averages.

        Raises:
            ValueError: if there is no unit, or the initializer of a kernel is not known.
        """
        self._units = resettable_units(model)
        self._reset = UnitReset(model, self._units, self._initializer)
        self._bias = OutgoingBias(model)
        self._kept = {}
        for layer, units in self._units.items():
            shapes = dict.fromkeys(("age", "utility", "mean"), [units.num_units]) | {"due": []}
            for name, shape in shapes.items():
                self._kept[f"{layer}/{name}"] = tf.Variable(tf.zeros(shape, tf.float64), trainable=False)

    def after_update(self, step: tf.Tensor, model: Any, slots: Slots, key: tf.Tensor, context: Any) -> None:
        if self._rate == 0:
            return
        chosen = {}
        for number, (layer, units) in enumerate(self._units.items()):
            chosen[layer] = self._replaced(layer, units, fold_in(fold_in(key, -2), number), context, slots)
        self._reset.reset(chosen, slots, key)

    def _replaced(self, layer: str, units: Units, key: tf.Tensor, context: Any, slots: Slots) -> tf.Tensor:
        """Updates the averages of a layer, corrects biases, and returns its units to replace."""
        age, utility, mean, due = (
            self._kept[f"{layer}/{name}"] for name in ("age", "utility", "mean", "due")
        )
        keep = self._decay
        new_age = age + 1  # [units]
        new_mean = keep * mean + (1 - keep) * context.unit_statistic(units, "mean")
        unbias = 1 - tf.pow(tf.constant(keep, tf.float64), new_age)
        step_utility = unit_utility(self._utility, units, context, new_mean / unbias, fold_in(key, 0))
        new_utility = keep * utility + (1 - keep) * step_utility
        is_mature = new_age > self._maturity
        count = self._count(due, self._rate * tf.reduce_sum(tf.cast(is_mature, tf.float64)), fold_in(key, 1))
        score = step_utility if self._utility == "random" else new_utility / unbias
        which = lowest(score, count, is_mature)
        if self._correct_bias:
            self._bias.add(units, tf.where(which, new_mean / unbias, tf.zeros_like(new_mean)), slots)
        for kept, new in ((age, new_age), (utility, new_utility), (mean, new_mean)):
            kept.assign(tf.where(which, tf.zeros_like(new), new))
        return which

    def _count(self, due: tf.Variable, number: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """Returns how many units to replace, `[]`, a whole number."""
        if self._accumulate:
            total = due + number
            due.assign(total - tf.floor(total))
            return tf.floor(total)
        is_drawn = tf.cast(unit_uniform([], key) < number, tf.float64)
        return tf.where(number < 1, is_drawn, tf.floor(number))

    @property
    def state(self) -> dict[str, tf.Variable]:
        """Ages and averages of units, {layer/name: variable}."""
        return self._kept


def _check_decay(decay: Any) -> float:
    if check_fraction("decay", decay) == 1:
        raise ValueError(f"`decay` must be a number in [0, 1), below 1. Received: {decay!r}")
    return float(decay)


def _initializer(name: str, gain: float) -> Any:
    scales = {"kaiming": gain**2, "xavier": gain**2, "lecun": 1.0, "default": 1 / 3}
    if name not in scales:
        return None
    mode = "fan_avg" if name == "xavier" else "fan_in"
    return keras.initializers.VarianceScaling(scales[name], mode, "uniform", seed=0)
