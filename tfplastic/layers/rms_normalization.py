"""Normalization by the root mean square."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import tensorflow as tf

from tfplastic._checks import check_boolean, check_positive
from tfplastic._keras import keras


@keras.utils.register_keras_serializable(package="tfplastic")
class RMSNormalization(keras.layers.Layer):
    """Division by the root mean square, times a trainable gain: y = gamma x / sqrt(mean(x^2) + epsilon).

    Rule: the mean of squares is over the given axes of each example, in float32 where the layer computes in
        16 bits. It is layer normalization without the mean and the offset.
    Defaults: epsilon 1e-5, as in this library's layer normalization; gains start at 1.
    Source: Zhang and Sennrich 2019, "Root mean square layer normalization".
    Departures: none. Keras 3 has such a layer, Keras 2 has none; this one is the same under both.
    Works with: every mitigation and quantity. Resets of units set the gains of the units between a unit and
        its readers to 1.

    Args:
        axis: one or several axes of the inputs over which the mean runs, and for each of whose positions
            there is a gain; not the first, which is the batch.
        epsilon: added to the mean of squares, above 0. 1e-5 as in this library's layer normalization.
        scale: whether there are gains.
        **kwargs: `name`, `dtype` and the like, as for every Keras layer.

    Input and output: `[batch, ...]` floats, the shape unchanged.

    Raises:
        ValueError: if an axis is that of the batch or none of the inputs', or `epsilon` is not above 0.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> layer = tp.layers.RMSNormalization()
        >>> layer(tf.constant([[3.0, 3.0]])).numpy().round(4).tolist()
        [[1.0, 1.0]]
    """

    def __init__(
        self, axis: int | Sequence[int] = -1, epsilon: float = 1e-5, scale: bool = True, **kwargs: Any
    ):
        super().__init__(**kwargs)
        axes = [axis] if isinstance(axis, Integral) else axis
        if not isinstance(axes, Sequence) or not all(isinstance(one, Integral) for one in axes):
            raise ValueError(f"`axis` must be an integer or a list of them. Received: {axis!r}")
        self.axis = [int(one) for one in axes]
        self.epsilon = check_positive("epsilon", epsilon)
        self.scale = check_boolean("scale", scale)

    def build(self, input_shape: Any) -> None:
        rank = len(input_shape)
        axes = {axis + rank if axis < 0 else axis for axis in self.axis}
        if not axes or not axes <= set(range(1, rank)):
            rule = f"must be of 1 to {rank - 1}, or negative, for inputs of rank {rank}"
            raise ValueError(f"`axis` {rule}. Received: {list(self.axis)}")
        shape = [input_shape[axis] if axis in axes else 1 for axis in range(1, rank)]
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones") if self.scale else None
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        inputs = tf.convert_to_tensor(inputs)
        values = tf.cast(inputs, tf.float32) if inputs.dtype.size == 2 else inputs
        mean_square = tf.reduce_mean(tf.square(values), axis=self.axis, keepdims=True)
        scale = tf.cast(tf.math.rsqrt(mean_square + self.epsilon), inputs.dtype)
        outputs = inputs * scale
        return outputs if self.gamma is None else outputs * tf.cast(self.gamma, inputs.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": list(self.axis), "epsilon": self.epsilon, "scale": self.scale}
