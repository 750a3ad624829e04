"""Base of layers that give each unit two features."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfplastic._keras import keras


class FeaturePairs(keras.layers.Layer):
    """Base of layers whose outputs are two functions of the inputs, one behind the other on an axis.

    Unit i of n has the features i and n + i.

    Args:
        axis: axis of the units, not that of the batch.
        **kwargs: `name`, `dtype` and the like, as for every Keras layer.

    Attributes:
        first, second: the two functions.
    """

    first: Callable[[Any], Any]
    second: Callable[[Any], Any]

    def __init__(self, axis: int = -1, **kwargs: Any):
        super().__init__(**kwargs)
        if isinstance(axis, bool) or not isinstance(axis, int) or axis == 0:
            raise ValueError(f"`axis` must be an integer, and not 0, the batch's. Received: {axis!r}")
        self.axis = axis
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        rank = len(input_shape)
        if not (0 < self.axis < rank or -rank < self.axis < 0):
            rule = f"must be of 1 to {rank - 1}, or negative, for inputs of rank {rank}"
            raise ValueError(f"`axis` {rule}. Received: {self.axis}")
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        inputs = tf.convert_to_tensor(inputs)
        return tf.concat([type(self).first(inputs), type(self).second(inputs)], self.axis)

    def compute_output_shape(self, input_shape: Any) -> Any:
        shape = list(input_shape)
        if shape[self.axis] is not None:
            shape[self.axis] *= 2
        return type(input_shape)(shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}
