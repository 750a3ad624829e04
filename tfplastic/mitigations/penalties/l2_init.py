"""L2 Init: a penalty of the distance from the initial weights."""

from collections.abc import Sequence
from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_non_negative, check_one_of
from tfplastic.mitigations._weights.starts import Starts
from tfplastic.mitigations._weights.trainable import Weight, check_which, chosen_weights, values_of
from tfplastic.mitigations.mitigation import Mitigation
from tfplastic.mitigations.penalties._distances import DISTANCES, total_distance


@gin.register(module="tfplastic.mitigations")
class L2Init(Mitigation):
    """Regenerative regularization: adds coefficient * sum (theta - theta_0)^2 to the loss.

    theta_0 are the weights that the run starts with. Penalty and gradient are 0 there.

    Rule: coefficient * the sum over all entries of a distance of d = theta - theta_0: `'l2'` d^2,
        `'half_l2'` d^2 / 2, `'l1'` |d|, `'huber'` d^2 / 2 where |d| < 1 and |d| - 1/2 elsewhere.
    Defaults: the paper's sum, with the coefficient that was best over all its problems; its grid is 1e-2,
        1e-3, 1e-4 and 1e-5.
    Source: Kumar et al. 2023, "Maintaining plasticity in continual learning via regenerative
        regularization", with L1 Init and Huber Init.
    Departures: the paper writes d^2, its code halves it for L2 and L2 Init alike (`distance='half_l2'`). For
        draws in place of theta_0 see `ResampledInit`. Plasticine adds the norm itself instead of its square;
        its gradient has a constant length and does not exist at theta_0, so it is not offered.

    Args:
        coefficient: factor of the sum, at least 0; 0 adds nothing.
        distance: `'l2'`, `'half_l2'`, `'l1'` or `'huber'`.
        weights: `'all_but_norms'` leaves out gains and offsets of norms, as the code; `'all'` trainable
            weights; or the `'kernels'` alone, without biases too.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import numpy as np, tfplastic as tp
        >>> init, model = tp.mitigations.L2Init(0.5), tp.networks.mlp(1, (), input_shape=(2,))
        >>> init.build(model, optimizer=None, seed=0)
        >>> float(init.penalty(model.trainable_variables))
        0.0
        >>> for each in model.trainable_variables: _ = each.assign_add(np.full(each.shape, 2.0))
        >>> round(float(init.penalty(model.trainable_variables)), 4)  # 0.5 * (4 + 4 + 4)
        6.0
    """

    turn = 100

    def __init__(self, coefficient: float = 1e-2, distance: str = "l2", weights: str = "all_but_norms"):
        self._coefficient = check_non_negative("coefficient", coefficient)
        self._distance = check_one_of("distance", distance, tuple(DISTANCES))
        self._which = check_which(weights)
        self._weights: list[Weight] = []
        self._starts = Starts([])

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Copies the initial weights.

        Raises:
            ValueError: there are none of the kind.
        """
        self._weights = chosen_weights(model, self._which)
        self._starts = Starts(self._weights)

    def penalty(self, variables: Sequence[Any], context: Any = None) -> tf.Tensor:
        if self._coefficient == 0:
            return tf.zeros([])
        values = values_of(self._weights, variables)
        return self._coefficient * total_distance(self._distance, values, self._starts.values())

    @property
    def state(self) -> dict[str, tf.Variable]:
        return self._starts.state
