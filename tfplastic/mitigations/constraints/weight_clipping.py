"""Weight clipping: weights stay within the bounds of their initialization."""

import math
from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_positive
from tfplastic.mitigations._weights.changes import change
from tfplastic.mitigations._weights.matrices import KernelMatrix
from tfplastic.mitigations._weights.trainable import Weight, check_which, select, trainable_weights
from tfplastic.mitigations.mitigation import Mitigation, Slots, check_period


@gin.register(module="tfplastic.mitigations")
class WeightClipping(Mitigation):
    """Clipping of each weight to the interval [-kappa b, kappa b], with b the initial bound of its layer.

    Rule: after each update, w <- min(max(w, -kappa b), kappa b) with b = 1 / sqrt(fan-in of the layer), the
        bound of PyTorch's uniform initialization. A bias has the b of its own layer. Optimizer slots stay.
    Defaults: the released code's. The paper's runs have kappa from 1 to 5, mostly 2 or 3.
    Source: Elsayed et al. 2024, "Weight clipping for deep continual and reinforcement learning".
    Departures: none from the code. As there, gains and offsets of a norm have the b of the last kernel before
        them, which clips a gain of 1 far below 1; `weights='all_but_norms'` leaves them alone. Weights before
        any kernel, such as those of a norm of the inputs, have no such bound and are not clipped, and
        neither are coefficients of nonlinearities (PReLU, `Rational`), tokens and positions.
    Outputs: they change where a weight is outside of its bound.

    Args:
        kappa: factor of the bound, above 0.
        period: see `Mitigation`. 1, after every update, in the paper.
        weights: `'all'` trainable weights; `'all_but_norms'`; or the `'kernels'` alone.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import numpy as np, tfplastic as tp
        >>> clipping, model = tp.mitigations.WeightClipping(), tp.networks.mlp(1, (), input_shape=(4,))
        >>> model.set_weights([np.array([[1.0], [0.25], [-0.5], [-9.0]]), np.array([3.0])])
        >>> clipping.build(model, optimizer=None, seed=0)
        >>> clipping.after_update(1, model, slots=None, key=None)
        >>> model.get_weights()[0].ravel().tolist(), model.get_weights()[1].tolist()  # b = 1 / sqrt(4)
        ([0.5, 0.25, -0.5, -0.5], [0.5])
    """

    def __init__(self, kappa: float = 1.0, period: int | None = 1, weights: str = "all"):
        self._kappa = check_positive("kappa", kappa)
        self.period = check_period(period)
        self._which = check_which(weights)
        self._bounds: list[tuple[Weight, float]] = []

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Finds the weights and their bounds.

        Raises:
            ValueError: no weight has a bound.
        """
        weights = trainable_weights(model)
        bounds = _bounds(weights)
        chosen = [each for each in select(weights, self._which) if str(each) in bounds]
        if not chosen:
            action = "Choose other `weights`, or leave the method out"
            raise ValueError(f"`model` must have kernels to clip. Received: {model.name!r}. {action}")
        self._bounds = [(each, self._kappa * bounds[str(each)]) for each in chosen]

    def after_update(
        self, step: tf.Tensor, model: Any, slots: Slots, key: tf.Tensor, context: Any = None
    ) -> None:
        for weight, bound in self._bounds:
            value = tf.convert_to_tensor(weight.variable)
            change(weight.variable, tf.clip_by_value(value, -bound, bound), slots)


def _bounds(weights: list[Weight]) -> dict[str, float]:
    """Returns {weight: 1 / sqrt(fan-in)} of the weights of units, but for those before any kernel."""
    kernels = {id(each.layer): each for each in weights if each.is_kernel}
    found, last = {}, None
    for weight in weights:
        last = weight if weight.is_kernel else kernels.get(id(weight.layer), last)
        is_of_units = weight.is_bias or weight.is_norm or id(weight.layer) in kernels
        if last is not None and is_of_units:
            found[str(weight)] = 1 / math.sqrt(KernelMatrix(last).inputs)
    return found
