"""The sum of a state's value and the advantages of its actions."""

from typing import Any

import tensorflow as tf

from tfplastic._keras import keras


@keras.utils.register_keras_serializable(package="tfplastic")
class Dueling(keras.layers.Layer):
    """Layer that adds a state's value to the advantages of its actions: Q_a = V + A_a - mean_b A_b.

    Wang et al. 2016, "Dueling network architectures for deep reinforcement learning", Eq. 9. Adding a number
    to all advantages changes nothing, so that V is the mean of Q over the actions. For a categorical head the
    entries are logits of each atom (Hessel et al. 2018).

    Args:
        **kwargs: `name`, `dtype` and the like, as for every Keras layer.

    Input and output: `[batch, 1 + actions, ...]` floats, V first, to `[batch, actions, ...]`.

    Raises:
        ValueError: if the input has no axis of actions, or no advantage on it.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> layer = tp.layers.Dueling()
        >>> layer(tf.constant([[10.0, 1.0, 2.0, 6.0]])).numpy().tolist()  # V = 10, A = 1, 2, 6
        [[8.0, 9.0, 13.0]]
    """

    def build(self, input_shape: Any) -> None:
        shape = tuple(input_shape)
        if len(shape) < 2 or shape[1] is None or shape[1] < 2:
            raise ValueError(
                f"The inputs must be [batch, 1 + actions, ...] with at least one action. Received: {shape}"
            )
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        inputs = tf.convert_to_tensor(inputs)
        value, advantages = inputs[:, :1], inputs[:, 1:]  # [batch, 1, ...], [batch, actions, ...]
        return value + advantages - tf.reduce_mean(advantages, axis=1, keepdims=True)

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, entries, *rest = input_shape
        return type(input_shape)((batch, entries - 1, *rest))
