"""One bias for all outputs."""

from typing import Any

from tfplastic._keras import keras
from tfplastic.layers._initializers import initializer_of


@keras.utils.register_keras_serializable(package="tfplastic")
class SharedBias(keras.layers.Layer):
    """Layer that adds one trainable scalar b to all of its inputs: y = x + b.

    The last layer of the tuned Double DQN has a single bias shared by all actions, which can move the value
    of a state without moving the advantages (van Hasselt et al. 2016, and `double_q` in DQN Zoo).

    Args:
        initializer: initializer of the scalar; zeros by default.
        **kwargs: `name`, `dtype` and the like, as for every Keras layer.

    Input and output: any shape of floats, unchanged.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> layer = tp.layers.SharedBias('ones')
        >>> layer(tf.constant([[1.0, 2.0]])).numpy().tolist()
        [[2.0, 3.0]]
    """

    def __init__(self, initializer: Any = "zeros", **kwargs: Any):
        super().__init__(**kwargs)
        self.initializer = initializer_of("initializer", initializer)

    def build(self, input_shape: Any) -> None:
        self.bias = self.add_weight(name="bias", shape=(1,), initializer=self.initializer)
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        return inputs + self.bias

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "initializer": keras.initializers.serialize(self.initializer)}
