"""The Hessian as an adaptive optimizer sees it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic._tf.variables import as_tf_variables
from tfplastic.diagnostics.quantities.shared.virtual_step import innermost
from tfplastic.diagnostics.snapshot import Snapshot
from tfplastic.linalg import Operator
from tfplastic.optimizers import slots


class PreconditionedOperator:
    """The matrix S A S of an operator A and a diagonal matrix S.

    Args:
        operator: A, of size n.
        scales: the diagonal of S, `[n]`.

    Attributes:
        shape: (n, n).
        dtype: dtype of A.
    """

    def __init__(self, operator: Operator, scales: np.ndarray):
        self.shape, self.dtype = operator.shape, operator.dtype
        self._operator = operator
        self._scales = scales.astype(operator.dtype)

    def matvec(self, vector: Any) -> tf.Tensor:
        """Returns the product S A S v, `[n]`."""
        return self._scales * self._operator.matvec(self._scales * np.asarray(vector))

    def feed(self, start: np.ndarray, advance: Callable[[np.ndarray], np.ndarray | None]) -> None:
        """Implements `Operator.feed`."""

        def scaled(product: np.ndarray) -> np.ndarray | None:
            product *= self._scales
            vector = advance(product)
            return None if vector is None else self._scales * vector

        self._operator.feed(self._scales * start, scaled)

    def is_deterministic(self) -> bool:
        """Implements `Operator.is_deterministic`."""
        return self._operator.is_deterministic()


def adam_denominators(snapshot: Snapshot) -> np.ndarray | None:
    """Returns Adam's divisor for each of the snapshot's weights in the order of its Hessian, `[n] float64`.

    None where the snapshot's optimizer is not an Adam, or has made no update.
    """
    optimizer = innermost(snapshot.optimizer)
    # By name, because Keras 2 and Keras 3 share no class.
    is_adam = any(base.__name__ in ("Adam", "AdamW") for base in type(optimizer).__mro__)
    updates = int(np.asarray(optimizer.iterations)) if is_adam else 0
    if not updates:
        return None
    beta_2 = float(optimizer.beta_2)
    epsilon, epsilon_root = float(optimizer.epsilon), float(getattr(optimizer, "epsilon_root", 0.0))
    corrects_means = getattr(optimizer, "bias_correction", "step_size") == "means"
    variables = snapshot.model.trainable_variables
    of_weight = dict(zip(map(id, as_tf_variables(variables)), variables, strict=True))
    denominators = []
    for weight in (weight for weights in snapshot.weights.values() for weight in weights):
        found = slots(optimizer, of_weight[id(weight)])
        squares = np.asarray(found.get("velocity_hat", found["velocity"]), np.float64).ravel()
        # A count of 0, of an entry that has been reset since, is that of its next update.
        counts = np.maximum(np.asarray(found.get("steps", updates), np.float64).ravel(), 1)
        correction = 1 - beta_2**counts
        if corrects_means:
            denominators.append(np.sqrt(squares / correction + epsilon_root) + epsilon)
        else:
            denominators.append((np.sqrt(squares + epsilon_root) + epsilon) / np.sqrt(correction))
    return np.concatenate(denominators)
