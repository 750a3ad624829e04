"""Resampled L2 Init: a penalty of the distance from fresh weights, drawn for each step."""

from collections.abc import Sequence
from typing import Any

import gin
import tensorflow as tf

from tfplastic import seeds
from tfplastic._checks import check_non_negative, check_one_of
from tfplastic._tf.random import fold_in
from tfplastic.mitigations._weights.trainable import Weight, check_which, chosen_weights, values_of
from tfplastic.mitigations.fresh import WeightReinitializer
from tfplastic.mitigations.mitigation import Mitigation
from tfplastic.mitigations.penalties._distances import DISTANCES, total_distance


@gin.register(module="tfplastic.mitigations")
class ResampledInit(Mitigation):
    """L2 Init towards fresh weights: penalty coefficient * sum (theta - phi)^2, with phi drawn at each step.

    Rule: the penalty of `L2Init`, with a fresh draw phi of the layers' initializers at each gradient step in
        place of theta_0. phi is a function of the step's number and the run's seed, so that nothing is kept.
    Defaults: the same as of `L2Init`.
    Source: Kumar et al. 2023, "Maintaining plasticity in continual learning via regenerative
        regularization".
    Departures: the same as of `L2Init`.

    Args:
        coefficient: factor of the sum, at least 0; 0 adds nothing.
        distance: `'l2'`, `'half_l2'`, `'l1'` or `'huber'`, see `L2Init`.
        weights: `'all_but_norms'`, `'all'` or `'kernels'`, see `L2Init`.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import tfplastic as tp
        >>> tp.mitigations.ResampledInit(1e-3).adds_penalty
        True
    """

    turn = 100
    reads = ("step",)
    prefers_graph = True  # for its draws

    def __init__(self, coefficient: float = 1e-2, distance: str = "l2", weights: str = "all_but_norms"):
        self._coefficient = check_non_negative("coefficient", coefficient)
        self._distance = check_one_of("distance", distance, tuple(DISTANCES))
        self._which = check_which(weights)
        self._weights: list[Weight] = []

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Finds the weights and their initializers.

        Raises:
            ValueError: there are none of the kind, or one of the initializers is not known.
        """
        self._weights = chosen_weights(model, self._which)
        self._fresh = WeightReinitializer(self._weights)
        self._key = seeds.derive(seed, "resampled_init")

    def penalty(self, variables: Sequence[Any], context: Any) -> tf.Tensor:
        if self._coefficient == 0:
            return tf.zeros([])
        fresh = self._fresh.draw(fold_in(self._key, context.step))
        values = values_of(self._weights, variables)
        return self._coefficient * total_distance(self._distance, values, fresh)
