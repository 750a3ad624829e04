"""A trainable vector for each position."""

from typing import Any

import tensorflow as tf

from tfplastic._keras import keras
from tfplastic.layers._initializers import initializer_of


@keras.utils.register_keras_serializable(package="tfplastic")
class PositionEmbedding(keras.layers.Layer):
    """Layer that adds a trainable vector for each position to its inputs: y_t = x_t + p_t.

    Dosovitskiy et al. 2021, "An image is worth 16x16 words", section 3.1.

    Args:
        initializer: initializer of the vectors; zeros by default. Dosovitskiy et al.'s code has normal values
            with a standard deviation of 0.02.
        **kwargs: `name`, `dtype` and the like, as for every Keras layer.

    Input and output: `[batch, positions, features]` floats, unchanged in shape.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> tp.layers.PositionEmbedding('ones')(tf.zeros([1, 2, 3])).numpy().tolist()
        [[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]]
    """

    def __init__(self, initializer: Any = "zeros", **kwargs: Any):
        super().__init__(**kwargs)
        self.initializer = initializer_of("initializer", initializer)

    def build(self, input_shape: Any) -> None:
        shape = tuple(input_shape)[1:]
        self.embedding = self.add_weight(name="embedding", shape=shape, initializer=self.initializer)
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        return inputs + tf.convert_to_tensor(self.embedding)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "initializer": keras.initializers.serialize(self.initializer)}
