"""Self-normalized resets of units that are silent for longer than they used to be."""

from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_fraction, check_positive_integer
from tfplastic.mitigations.mitigation import Mitigation, Slots
from tfplastic.mitigations.unit_resets._resettable_units import resettable_units
from tfplastic.mitigations.unit_resets.unit_reset import UnitReset

_LARGEST = 2**30  # so that its double is an int32


@gin.register(module="tfplastic.mitigations")
class SelfNormalizedResets(Mitigation):
    """Reset of units that have been silent for longer than each of them used to be.

    Rule: each unit has an age, the examples since it last fired, a histogram of ages, and a threshold, at
        first `max_threshold`. A unit fires on a batch of B examples if h > 0 for any example, at any
        position. Then its age is counted in the histogram and becomes 0; otherwise the age grows by B. After
        the optimizer's step, a unit whose age has reached its threshold is reset (`UnitReset`), and this age
        is counted too. After every `num_tasks` tasks, q is the (1 - rejection) quantile of the counted ages
        of at least 1; the threshold becomes q if that is smaller, else its double, from `min_threshold` to
        `max_threshold`, and the histogram is emptied.
    Defaults: the released code. The paper's rejections are 0.02 to 0.08.
    Source: Farias and Jozefiak 2024, "Self-normalized resets for plasticity in continual learning"; the code
        ajozefiak/SelfNormalizedResets, whose README says that algorithm 1 leaves out details.
    Departures: for an empty histogram the released code divides 0 by 0 and takes the smallest threshold; so
        does this class, without the division. The code's smallest threshold is 100 (`min_threshold`), where
        the paper's text has the batch size. `estimate_period` is ours, for `fit` and others without tasks.
    Outputs: they stay exactly as they are on the last batch, where a unit that is reset was silent, unless a
        normalization couples units or the nonlinearity gives other outputs than 0 when it is silent.

    Args:
        rejection: in [0, 1], share of the longest ages that a new threshold cuts off; eta in the paper.
        max_threshold: most examples that a unit may be silent, at least `min_threshold`. Histograms take four
            bytes for each of them and each unit.
        min_threshold: fewest examples that a unit may be silent, at least 1.
        num_tasks: tasks between new thresholds.
        estimate_period: gradient steps between new thresholds in place of tasks, which `fit` does not know.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> tp.mitigations.SelfNormalizedResets(rejection=0.02).acts_after_update
        True
    """

    turn = 400
    period = 1
    reads = ("activations", "at_boundary", "batch")

    def __init__(
        self,
        rejection: float = 0.08,
        max_threshold: int = 20_000,
        min_threshold: int = 100,
        num_tasks: int = 16,
        estimate_period: int | None = None,
    ):
        self._rejection = check_fraction("rejection", rejection)
        self._min = check_positive_integer("min_threshold", min_threshold)
        self._max = _check_threshold(max_threshold, self._min)
        self._num_tasks = check_positive_integer("num_tasks", num_tasks)
        if estimate_period is not None:
            check_positive_integer("estimate_period", estimate_period)
            self.reads = ("activations", "batch")
        self._estimate_period = estimate_period
        self._kept: dict[str, tf.Variable] = {}

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Finds the units and makes their ages, histograms and thresholds.

        Raises:
            ValueError: if there is no unit, or the initializer of a kernel is not known.
        """
        self._units = resettable_units(model)
        self._reset = UnitReset(model, self._units)
        self._kept = {"boundaries": tf.Variable(0, trainable=False)}
        for layer, units in self._units.items():
            count = units.num_units
            first = {
                "age": tf.zeros([count], tf.int32),
                "threshold": tf.fill([count], self._max),
                "histogram": tf.zeros([count, self._max + 1], tf.int32),
            }
            self._kept |= {f"{layer}/{name}": tf.Variable(v, trainable=False) for name, v in first.items()}

    def after_update(self, step: tf.Tensor, model: Any, slots: Slots, key: tf.Tensor, context: Any) -> None:
        size = tf.shape(tf.nest.flatten(context.batch)[0])[0]  # []
        estimates = self._estimates(step, context)  # []
        chosen = {}
        for layer, units in self._units.items():
            age, threshold, histogram = (
                self._kept[f"{layer}/{name}"] for name in ("age", "threshold", "histogram")
            )
            fires = tf.reduce_any(context.unit_values(units) > 0, axis=0)  # [units]
            new_age = tf.where(fires, 0, age + size)
            which = chosen[layer] = new_age >= threshold
            places = tf.minimum(tf.where(fires, age, new_age), self._max)
            indices = tf.stack([tf.range(units.num_units), places], axis=1)  # [units, 2]
            histogram.scatter_nd_add(indices, tf.cast(fires | which, tf.int32))
            age.assign(tf.where(which, 0, new_age))

            def renew(threshold: tf.Variable = threshold, histogram: tf.Variable = histogram) -> tf.Tensor:
                threshold.assign(self._estimate(threshold, histogram))
                histogram.assign(tf.zeros_like(histogram))
                return tf.constant(True)

            # It reads whole histograms, which takes as long as many steps.
            tf.cond(estimates, renew, lambda: tf.constant(False))
        self._reset.reset(chosen, slots, key)

    def _estimates(self, step: tf.Tensor, context: Any) -> tf.Tensor:
        """Returns whether thresholds are new after this step, `[] bool`."""
        if self._estimate_period is not None:
            return tf.equal(step % self._estimate_period, 0)
        boundaries = self._kept["boundaries"]
        boundaries.assign_add(tf.cast(context.at_boundary, tf.int32))
        return context.at_boundary & tf.equal(boundaries % self._num_tasks, 0)

    def _estimate(self, threshold: tf.Variable, histogram: tf.Variable) -> tf.Tensor:
        """Returns new thresholds, `[units] int32`."""
        below = tf.cumsum(histogram[:, 1:], axis=1)  # [units, max_threshold]
        share = tf.cast(below, tf.float64)
        is_reached = share >= (1 - self._rejection) * share[:, -1:]
        age = 1 + tf.argmax(is_reached, axis=1, output_type=tf.int32)
        return tf.clip_by_value(tf.where(age < threshold, age, 2 * threshold), self._min, self._max)

    @property
    def state(self) -> dict[str, tf.Variable]:
        """Ages, thresholds and histograms of units, {layer/name: variable}, and the count of boundaries."""
        return self._kept


def _check_threshold(maximum: Any, minimum: int) -> int:
    if check_positive_integer("max_threshold", maximum) < minimum or maximum > _LARGEST:
        rule = f"must be from {minimum}, `min_threshold`, to {_LARGEST}"
        raise ValueError(f"`max_threshold` {rule}. Received: {maximum!r}")
    return int(maximum)
