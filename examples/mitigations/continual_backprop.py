r"""Continual backprop (Dohare et al. 2024, "Loss of plasticity in deep continual learning", Nature).

Run it from the root of the repository:

    bin/train --allow_imports --gin_file=gin/random_labels_digits.gin \
      --gin_file=examples/mitigations/continual_backprop.gin
"""

from typing import Any

import gin
import tensorflow as tf

from tfplastic.diagnostics import UnitMap
from tfplastic.mitigations import Mitigation, UnitReset


@gin.register(module="examples")
class ContinualBackprop(Mitigation):
    """Replacement of the units of least contribution utility, a fixed share of the mature ones at each step.

    Args:
        rate: expected share of the mature units of a layer that is replaced at a step.
        maturity: steps that a unit is safe after it was made.
        decay: decay of the moving averages, in [0, 1).
        corrects_bias: whether a replaced unit's mean output goes into the biases of its readers, as in the
            paper. In the released code the correction adds 0.
    """

    period = 1
    reads = ("activations",)
    turn = 400  # draws weights

    def __init__(
        self, rate: float = 1e-4, maturity: int = 100, decay: float = 0.99, corrects_bias: bool = True
    ):
        self._rate, self._maturity, self._decay, self._corrects_bias = rate, maturity, decay, corrects_bias

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        self._units = UnitMap(model)
        self._reset = UnitReset(model, self._units)
        with_bias = [each for each in model.layers if getattr(each, "bias", None) is not None]
        self._bias_of = {id(layer.kernel): layer.bias for layer in with_bias}
        self._kept: dict[str, tf.Variable] = {}
        for layer, units in self._units.items():
            for name, shape in {"age": [units.num_units], "utility": [units.num_units], "due": []}.items():
                self._kept[f"{layer}/{name}"] = tf.Variable(tf.zeros(shape), trainable=False)
            self._kept[f"{layer}/mean"] = tf.Variable(tf.zeros([units.num_units]), trainable=False)

    def after_update(self, step: Any, model: Any, slots: Any, key: Any, context: Any) -> None:
        chosen = {}
        for layer, units in self._units.items():
            age, utility, mean, due = (
                self._kept[f"{layer}/{name}"] for name in ("age", "utility", "mean", "due")
            )
            values, keep = context.unit_values(units), self._decay  # values: [values, units]
            sums = [part.sums(tf.abs(tf.convert_to_tensor(part.variable))) for part in units.outgoing]
            outgoing = tf.add_n(sums) / sum(part.sizes for part in units.outgoing)  # [units]
            new_age = age + 1
            contribution = tf.reduce_mean(tf.abs(values), axis=0) * outgoing  # [units]
            new_utility = keep * utility + (1 - keep) * contribution
            new_mean = keep * mean + (1 - keep) * tf.reduce_mean(values, axis=0)
            unbias = 1 - keep**new_age
            is_mature = new_age > self._maturity
            number = due + self._rate * tf.reduce_sum(tf.cast(is_mature, tf.float32))  # [], a fraction waits
            due.assign(number - tf.floor(number))
            ranks = tf.argsort(tf.argsort(tf.where(is_mature, new_utility / unbias, float("inf"))))
            which = chosen[layer] = is_mature & (tf.cast(ranks, tf.float32) < tf.floor(number))
            if self._corrects_bias:
                self._correct(units, tf.where(which, new_mean / unbias, 0.0))
            for kept, new in ((age, new_age), (utility, new_utility), (mean, new_mean)):
                kept.assign(tf.where(which, 0.0, new))
        self._reset.reset(chosen, slots, key)

    def _correct(self, units: Any, means: tf.Tensor) -> None:
        """Adds the mean outputs of replaced units to the biases of dense and convolutional readers."""
        for part in units.outgoing:
            bias = self._bias_of.get(id(part.variable))
            if bias is not None:
                given = tf.convert_to_tensor(part.variable) * part.spread(means)  # [..., inputs, outputs]
                bias.assign_add(tf.reduce_sum(given, axis=list(range(len(given.shape) - 1))))

    @property
    def state(self) -> dict[str, tf.Variable]:
        return self._kept
