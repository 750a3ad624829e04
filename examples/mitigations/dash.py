r"""DASH (Shin et al. 2024, "DASH: Warm-starting neural network training in stationary settings").

Run it from the root of the repository:

    bin/train --allow_imports --gin_file=gin/random_labels_digits.gin \
      --gin_file=examples/mitigations/dash.gin
"""

from typing import Any

import gin
import tensorflow as tf

from tfplastic.mitigations import Mitigation
from tfplastic.mitigations.mitigation import check_period


@gin.register(module="examples")
class Dash(Mitigation):
    """Shrinkage of the weights of each unit that point against the negative gradient on the data to come.

    At each boundary one pass over the data gives G <- (1 - share) G - share * gradient, batch by batch from
    zeros. Each row w of a matrix, slice of a convolution's kernel or bias vector is multiplied by
    clip(cos(w, G), floor, 1).

    Args:
        period: None: at each boundary of the task.
        share: weight of a batch's gradient in G. 0.3 in the paper.
        floor: least factor. 0.3 in the paper.
        max_batches: most batches of the pass; None for all.
    """

    reads = ("data",)
    turn = 300  # changes weights

    def __init__(
        self,
        period: int | None = None,
        share: float = 0.3,
        floor: float = 0.3,
        max_batches: int | None = None,
    ):
        self.period = check_period(period)
        self._share, self._floor, self._max_batches = share, floor, max_batches

    def after_update(self, step: Any, model: Any, slots: Any, key: Any, context: Any) -> None:
        def average(directions: list[tf.Tensor], batch: Any) -> list[tf.Tensor]:
            pairs = zip(directions, context.gradients_on(batch), strict=True)
            return [(1 - self._share) * old - self._share * gradient for old, gradient in pairs]

        weights = [tf.convert_to_tensor(each) for each in model.trainable_variables]
        start = [tf.zeros_like(each) for each in weights]
        directions = context.pass_over_data(average, start, self._max_batches)
        for variable, weight, direction in zip(model.trainable_variables, weights, directions, strict=True):
            axes = list(range(max(len(weight.shape) - 2, 1)))  # kernels are [..., inputs, outputs]
            product, *squares = (
                tf.reduce_sum(each, axes, keepdims=True)
                for each in (weight * direction, tf.square(weight), tf.square(direction))
            )
            cosine = tf.math.divide_no_nan(product, tf.sqrt(squares[0]) * tf.sqrt(squares[1]))
            variable.assign(weight * tf.clip_by_value(cosine, self._floor, 1.0))
