"""Weight decay, as a penalty in the loss."""

from collections.abc import Sequence
from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_boolean, check_non_negative
from tfplastic.mitigations._weights.trainable import check_which, select, trainable_weights
from tfplastic.mitigations.mitigation import Mitigation


@gin.register(module="tfplastic.mitigations")
class WeightDecay(Mitigation):
    """Penalty coefficient * sum theta^2 of the loss, with gradient 2 * coefficient * theta.

    Rule: coefficient * sum theta^2, the sum of Keras' `regularizers.L2`. With `half` it is coefficient / 2 *
        sum theta^2, of gradient coefficient * theta: the `weight_decay` of PyTorch's Adam. Unlike AdamW's, it
        is part of the gradient.
    Defaults: coefficient 1e-5 of Lyle et al. 2023, who do not say whether of the sum or of its half.
    Source: Lyle et al. 2023, "Understanding plasticity in neural networks", appendix B.1; Krogh and Hertz
        1991, "A simple weight decay can improve generalization".
    Departures: Kumar et al. 2023, "Maintaining plasticity in continual learning via regenerative
        regularization", write the whole sum; their code has `half` and `'all_but_norms'`.

    Args:
        coefficient: at least 0; 0 adds nothing. "L2 coefficient 1e-5" in Lyle et al. 2023, appendix B.1,
            which does not say whether of the sum or of its half.
        weights: `'all'` trainable weights; `'all_but_norms'`, which leaves out gains and offsets; or the
            `'kernels'` alone, without biases too. The paper does not say which.
        half: whether the sum is halved.

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

    def __init__(self, coefficient: float = 1e-5, weights: str = "all", half: bool = False):
        self._coefficient = check_non_negative("coefficient", coefficient)
        self._factor = self._coefficient / (2 if check_boolean("half", half) else 1)
        self._which = check_which(weights)
        self._chosen: set[int] = set()

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Finds the weights.

        Raises:
            ValueError: if there is none.
        """
        weights = select(trainable_weights(model), self._which)
        if not weights:
            action = "Choose other `weights`, or leave the method out"
            raise ValueError(f"`model` must have kernels to decay. Received: {model.name!r}. {action}")
        self._chosen = {id(weight.variable) for weight in weights}

    def penalty(self, variables: Sequence[Any], context: Any = None) -> tf.Tensor:
        if self._coefficient == 0:
            return tf.zeros([])
        values = [tf.convert_to_tensor(each) for each in variables if id(each) in self._chosen]
        squares = [tf.cast(tf.reduce_sum(tf.square(value)), tf.float32) for value in values]
        return self._factor * tf.add_n(squares)
