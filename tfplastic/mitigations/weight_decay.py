"""Weight decay, as a penalty in the loss."""

from collections.abc import Sequence
from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_non_negative
from tfplastic.mitigations._weights import check_which, select, trainable_weights
from tfplastic.mitigations.mitigation import Mitigation


@gin.register(module="tfplastic.mitigations")
class WeightDecay(Mitigation):
    """Penalty coefficient * sum theta^2 of the loss, with gradient 2 * coefficient * theta.

    The sum is that of Keras' `regularizers.L2`; the `weight_decay` of PyTorch's Adam, whose gradient is
    weight_decay * theta, is twice the coefficient here. Nothing is decoupled from the optimizer as in AdamW.

    Args:
        coefficient: at least 0; 0 adds nothing. "L2 coefficient 1e-5" in Lyle et al. 2023, appendix B.1,
            which does not say whether of the sum or of its half.
        weights: `'all'` trainable weights, or the `'kernels'` alone: no biases, gains and offsets. The paper
            does not say which.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import numpy as np, tfplastic as tp
        >>> decay, model = tp.mitigations.WeightDecay(0.5), tp.networks.mlp(1, (), input_shape=(2,))
        >>> model.set_weights([np.array([[1.0], [2.0]]), np.array([3.0])])
        >>> decay.build(model, optimizer=None, seed=0)
        >>> float(decay.penalty(model.trainable_variables))  # 0.5 * (1 + 4 + 9)
        7.0
    """

    turn = 100

    def __init__(self, coefficient: float = 1e-5, weights: str = "all"):
        self._coefficient = check_non_negative("coefficient", coefficient)
        self._which = check_which(weights)
        self._chosen: set[int] = set()

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Finds the weights.

        Raises:
            ValueError: if there is none.
        """
        weights = select(trainable_weights(model), self._which)
        if not weights:
            raise ValueError(f"`model` must have kernels to decay. Received: {model.name!r}")
        self._chosen = {id(weight.variable) for weight in weights}

    def penalty(self, variables: Sequence[Any], context: Any = None) -> tf.Tensor:
        if self._coefficient == 0:
            return tf.zeros([])
        values = [tf.convert_to_tensor(each) for each in variables if id(each) in self._chosen]
        squares = [tf.cast(tf.reduce_sum(tf.square(value)), tf.float32) for value in values]
        return self._coefficient * tf.add_n(squares)
