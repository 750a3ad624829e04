r"""A short C-CHAIN (Tang et al. 2025), of which `tfplastic.mitigations.CChain` has all arguments.

Run it from the root of the repository:

    bin/train --allow_imports --gin_file=gin/random_labels_digits.gin \
      --gin_file=examples/mitigations/c_chain.gin
"""

from collections.abc import Sequence
from typing import Any

import gin
import tensorflow as tf

from tfplastic.mitigations import Mitigation


@gin.register(module="examples")
class ChurnPenalty(Mitigation):
    """Penalty lambda * mean (f_theta(B') - f_older(B'))^2: outputs on other data should not move.

    B' is a second batch, and the older network the one before the last update. lambda is `first` for `window`
    // 5 updates, then `share` times the mean of |loss| over that of the churn in the last `window` updates.

    Args:
        first: lambda in the first updates. 50 in the released code.
        share: fraction of the loss that the penalty has then.
        window: updates. 50,000 in the released code.
    """

    reads = ("further_batch", "loss", "step")
    history = 1
    turn = 100  # a penalty

    def __init__(self, first: float = 50.0, share: float = 0.01, window: int = 50_000):
        self._first, self._share, self._window = first, share, window

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        names = ("losses", "churns")
        self._kept = {name: tf.Variable(tf.zeros([self._window]), trainable=False) for name in names}

    def penalty(self, variables: Sequence[Any], context: Any) -> tf.Tensor:
        batch = context.further_batch
        outputs, older = context.outputs_on(batch), context.outputs_on(batch, context.older_weights(1))
        churn = tf.reduce_mean(tf.square(outputs - older))  # []
        place = [[tf.cast((context.step - 1) % self._window, tf.int32)]]
        losses, churns = self._kept["losses"], self._kept["churns"]
        # Places that are still 0 count in both sums alike.
        ratio = tf.math.divide_no_nan(tf.reduce_sum(losses), tf.reduce_sum(churns))
        weight = tf.where(context.step <= self._window // 5, self._first, self._share * ratio)
        losses.scatter_nd_update(place, [tf.abs(tf.stop_gradient(context.loss))])
        churns.scatter_nd_update(place, [tf.stop_gradient(churn)])
        return weight * churn

    @property
    def state(self) -> dict[str, tf.Variable]:
        return self._kept
