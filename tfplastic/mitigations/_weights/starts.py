"""Copies of the weights that training starts with."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from tfplastic._keras import tf_variable
from tfplastic.mitigations._weights.trainable import Weight


class Starts:
    """The values that weights have when it is made; they share no memory with the weights.

    Args:
        weights: weights of a model.
        transform: function of each value, whose result is kept instead.
    """

    def __init__(self, weights: Sequence[Weight], transform: Callable[[tf.Tensor], tf.Tensor] = tf.identity):
        self._copies = {
            str(each): tf.Variable(
                transform(tf.convert_to_tensor(tf_variable(each.variable))), trainable=False
            )
            for each in weights
        }

    def values(self) -> list[tf.Tensor]:
        """Returns the values in the order of the weights."""
        return [tf.convert_to_tensor(each) for each in self._copies.values()]

    @property
    def state(self) -> dict[str, tf.Variable]:
        """The copies by name, for checkpoints."""
        return {f"start/{name}": each for name, each in self._copies.items()}
