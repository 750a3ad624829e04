"""A trainable first position."""

from typing import Any

import tensorflow as tf

from tfplastic._keras import keras
from tfplastic.layers._initializers import initializer_of


@keras.utils.register_keras_serializable(package="tfplastic")
class ClassToken(keras.layers.Layer):
    """Layer that puts one trainable vector c before the positions of its inputs: y = (c, x_1, ..., x_T).

    The position from which a transformer reads its answer, in place of a mean over positions (Devlin et al.
    2019; Dosovitskiy et al. 2021, section 3.1).

    Args:
        initializer: initializer of the vector; zeros by default, as in Dosovitskiy et al.'s code.
        **kwargs: `name`, `dtype` and the like, as for every Keras layer.

    Input and output: `[batch, positions, features]` to `[batch, positions + 1, features]`, floats.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> tp.layers.ClassToken('ones')(tf.zeros([1, 2, 2])).numpy().tolist()
        [[[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]]
    """

    def __init__(self, initializer: Any = "zeros", **kwargs: Any):
        super().__init__(**kwargs)
        self.initializer = initializer_of("initializer", initializer)

    def build(self, input_shape: Any) -> None:
        self.token = self.add_weight(name="token", shape=(1, input_shape[-1]), initializer=self.initializer)
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        inputs = tf.convert_to_tensor(inputs)  # [batch, positions, features]
        token = tf.cast(self.token, inputs.dtype)[None]  # [1, 1, features]
        token = tf.broadcast_to(token, [tf.shape(inputs)[0], 1, inputs.shape[-1]])
        return tf.concat([token, inputs], axis=1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, positions, features = input_shape
        return (batch, positions + 1, features)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "initializer": keras.initializers.serialize(self.initializer)}
