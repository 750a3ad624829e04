"""Attention of positions to each other, without weights of its own."""

from typing import Any

import tensorflow as tf

from tfplastic._checks import check_positive_integer
from tfplastic._keras import keras


@keras.utils.register_keras_serializable(package="tfplastic")
class SelfAttention(keras.layers.Layer):
    """Scaled dot-product attention in several heads: softmax(q k' / sqrt(d)) v, with the heads concatenated.

    Vaswani et al. 2017, "Attention is all you need", section 3.2. It has no weights: the queries, keys and
    values come from one dense layer before it, whose outputs are split in three in this order, and another
    dense layer mixes the heads after it. So each matrix of weights is that of a layer with a name, and has a
    seed of its own. d is the number of features of a head. The softmax is taken in float32 where the layer
    computes in 16 bits.

    Args:
        num_heads: number of heads, at least 1; divides the number of features.
        **kwargs: `name`, `dtype` and the like, as for every Keras layer.

    Input and output: `[batch, positions, 3 * features]` to `[batch, positions, features]`, floats.

    Raises:
        ValueError: if `num_heads` is below 1, or the inputs do not split into three times as many parts.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> layer = tp.layers.SelfAttention(num_heads=2)
        >>> layer(tf.ones([1, 5, 3 * 4])).shape
        TensorShape([1, 5, 4])
    """

    def __init__(self, num_heads: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.num_heads = check_positive_integer("num_heads", num_heads)

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != 3:
            rule = "must be of shape [batch, positions, 3 * features]"
            raise ValueError(f"`inputs` {rule}. Received: {list(input_shape)}")
        if input_shape[-1] % (3 * self.num_heads):
            rule = f"must be a multiple of 3 x {self.num_heads} heads"
            raise ValueError(f"The last axis of the inputs {rule}. Received: {input_shape[-1]}")
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        inputs = tf.convert_to_tensor(inputs)  # [batch, positions, 3 * features]
        positions, features = inputs.shape[1], inputs.shape[2] // 3
        size = features // self.num_heads
        split = tf.reshape(inputs, [-1, positions, 3, self.num_heads, size])
        query, key, value = tf.unstack(
            tf.transpose(split, [2, 0, 3, 1, 4])
        )  # [batch, heads, positions, size]
        scores = tf.matmul(query, key, transpose_b=True) * size**-0.5  # [batch, heads, positions, positions]
        precise = tf.cast(scores, tf.float32) if scores.dtype.size == 2 else scores
        weights = tf.cast(tf.nn.softmax(precise), inputs.dtype)
        mixed = tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3])  # [batch, positions, heads, size]
        return tf.reshape(mixed, [-1, positions, features])

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*tuple(input_shape)[:-1], input_shape[-1] // 3)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_heads": self.num_heads}
