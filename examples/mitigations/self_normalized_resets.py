r"""Self-normalized resets (Farias and Jozefiak 2024, "Self-normalized resets for plasticity").

Run it from the root of the repository:

    bin/train --allow_imports --gin_file=gin/random_labels_digits.gin \
      --gin_file=examples/mitigations/self_normalized_resets.gin
"""

from typing import Any

import gin
import tensorflow as tf

from tfplastic.diagnostics import UnitMap
from tfplastic.mitigations import Mitigation, UnitReset

_SHORTEST = 100  # examples; a literal in the released code


@gin.register(module="examples")
class SelfNormalizedResets(Mitigation):
    """Resets of units that have been silent for longer than they used to be.

    Each unit has an age, the examples since it last fired, and a histogram of ages at which it fired. As in
    the released code a batch counts as firing if any of its examples does. Units start with the longest
    threshold. A unit without any age at a new estimate gets the shortest threshold, as there.

    Args:
        share: fraction of the longest ages that a threshold cuts off.
        longest: longest threshold, in examples.
        boundaries: boundaries of the task between new estimates of thresholds.
    """

    period = 1
    reads = ("activations", "at_boundary", "batch")
    turn = 400  # draws weights

    def __init__(self, share: float = 0.08, longest: int = 20_000, boundaries: int = 16):
        self._share, self._longest, self._boundaries = share, longest, boundaries

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        self._units = UnitMap(model)
        self._reset = UnitReset(model, self._units)
        self._kept = {"boundaries": tf.Variable(0, trainable=False)}
        for layer, units in self._units.items():
            count = units.num_units
            first = {
                "age": tf.zeros([count], tf.int32),
                "threshold": tf.fill([count], self._longest),
                "histogram": tf.zeros([count, self._longest + 1], tf.int32),
            }
            self._kept |= {f"{layer}/{name}": tf.Variable(v, trainable=False) for name, v in first.items()}

    def after_update(self, step: Any, model: Any, slots: Any, key: Any, context: Any) -> None:
        size = tf.shape(tf.nest.flatten(context.batch)[0])[0]
        count = self._kept["boundaries"]
        count.assign_add(tf.cast(context.at_boundary, tf.int32))
        estimates = context.at_boundary & tf.equal(count % self._boundaries, 0)
        chosen = {}
        for layer, units in self._units.items():
            age, threshold, histogram = (
                self._kept[f"{layer}/{name}"] for name in ("age", "threshold", "histogram")
            )
            fires = tf.reduce_any(context.unit_values(units) > 0, axis=0)  # [units]
            new_age = tf.where(fires, 0, age + size)
            which = chosen[layer] = new_age >= threshold
            places = tf.minimum(tf.where(fires, age, new_age), self._longest)
            indices = tf.stack([tf.range(units.num_units), places], axis=1)  # [units, 2]
            histogram.scatter_nd_add(indices, tf.cast(fires | which, tf.int32))
            age.assign(tf.where(which, 0, new_age))
            threshold.assign(tf.where(estimates, self._estimate(threshold, histogram), threshold))
            histogram.assign(tf.where(estimates, 0, histogram))
        self._reset.reset(chosen, slots, key)

    def _estimate(self, threshold: tf.Variable, histogram: tf.Variable) -> tf.Tensor:
        """Returns new thresholds, `[units] int32`, from the ages of at least one example."""
        below = tf.cumsum(histogram[:, 1:], axis=1)  # [units, longest]
        is_reached = tf.cast(below, tf.float32) >= (1 - self._share) * tf.cast(below[:, -1:], tf.float32)
        age = 1 + tf.argmax(is_reached, axis=1, output_type=tf.int32)
        return tf.clip_by_value(tf.where(age < threshold, age, 2 * threshold), _SHORTEST, self._longest)

    @property
    def state(self) -> dict[str, tf.Variable]:
        return self._kept
