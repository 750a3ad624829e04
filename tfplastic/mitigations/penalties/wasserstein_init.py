"""2-Wasserstein regularization: a penalty of the distance between distributions of weights."""

from collections.abc import Sequence
from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_non_negative, check_one_of
from tfplastic.mitigations._weights.starts import Starts
from tfplastic.mitigations._weights.trainable import Weight, check_which, chosen_weights, values_of
from tfplastic.mitigations.mitigation import Mitigation

_REDUCTIONS = {"mean": tf.reduce_mean, "sum": tf.reduce_sum}


@gin.register(module="tfplastic.mitigations")
class WassersteinInit(Mitigation):
    """2-Wasserstein regularization: a penalty of how far each weight's distribution is from its initial one.

    Single entries may move as long as others take their places: penalty and gradient are 0 at any permutation
    of the initial weights.

    Rule: coefficient * the sum over tensors of the mean (`'mean'`) or the sum (`'sum'`) over ranks r of
        (w_(r) - w_0(r))^2, with w_(r) the r-th smallest entry of the tensor and w_0(r) that of its initial
        value.
    Defaults: coefficient and mean of the code below.
    Source: Lewandowski et al. 2023, "Directions of curvature as an explanation for loss of plasticity", with
        the sum; the code of Chung et al. 2024, "Parseval regularization for continual reinforcement
        learning".
    Departures: neither says whether gains and offsets of norms count; by default they do.

    Args:
        coefficient: factor of the penalty, at least 0; 0 adds nothing.
        reduction: `'mean'` over the entries of each tensor, as the code, or `'sum'`, as the paper.
        weights: `'all'` trainable weights; `'all_but_norms'`; or the `'kernels'` alone.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import numpy as np, tfplastic as tp
        >>> init, model = tp.mitigations.WassersteinInit(1.0), tp.networks.mlp(1, (), input_shape=(2,))
        >>> model.set_weights([np.array([[1.0], [2.0]]), np.array([3.0])])
        >>> init.build(model, optimizer=None, seed=0)
        >>> model.set_weights([np.array([[4.0], [1.0]]), np.array([3.0])])
        >>> float(init.penalty(model.trainable_variables))  # ((1 - 1)^2 + (4 - 2)^2) / 2
        2.0
    """

    turn = 100
    prefers_graph = True  # for its sorting

    def __init__(self, coefficient: float = 1e-3, reduction: str = "mean", weights: str = "all"):
        self._coefficient = check_non_negative("coefficient", coefficient)
        self._reduce = _REDUCTIONS[check_one_of("reduction", reduction, tuple(_REDUCTIONS))]
        self._which = check_which(weights)
        self._weights: list[Weight] = []
        self._starts = Starts([])

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Sorts the initial weights.

        Raises:
            ValueError: there are none of the kind.
        """
        self._weights = chosen_weights(model, self._which)
        self._starts = Starts(self._weights, _sorted)

    def penalty(self, variables: Sequence[Any], context: Any = None) -> tf.Tensor:
        if self._coefficient == 0:
            return tf.zeros([])
        pairs = zip(values_of(self._weights, variables), self._starts.values(), strict=True)
        each = [self._reduce(tf.square(_sorted(value) - start)) for value, start in pairs]
        return self._coefficient * tf.add_n([tf.cast(distance, tf.float32) for distance in each])

    @property
    def state(self) -> dict[str, tf.Variable]:
        return self._starts.state


def _sorted(value: tf.Tensor) -> tf.Tensor:
    return tf.sort(tf.reshape(value, [-1]))
