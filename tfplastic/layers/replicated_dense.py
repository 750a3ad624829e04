"""Dense layers of several networks side by side, none of which sees another."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfplastic._checks import check_positive_integer
from tfplastic._keras import keras
from tfplastic.layers._initializers import initializer_of


def replicated_product(inputs: tf.Tensor, kernels: tf.Tensor) -> tf.Tensor:
    """Returns x_r W_r of each replicate r, `[batch, replicates, units]`.

    Args:
        inputs: `[batch, replicates, inputs]`.
        kernels: `[replicates, inputs, units]`.
    """
    if inputs.shape[0] == 1:  # one sum for XLA to compute in one go, instead of a small product for each
        return tf.reduce_sum(inputs[..., tf.newaxis] * kernels, axis=-2)
    return tf.einsum("bri,riu->bru", inputs, kernels)


@keras.utils.register_keras_serializable(package="tfplastic")
class Stacked(keras.initializers.Initializer):
    """Initializer of the weights of replicates, `[replicates, ...]`: each replicate has one of its own.

    Args:
        initializers: initializer of each replicate.
    """

    def __init__(self, initializers: Sequence[Any]):
        self.initializers = [keras.initializers.get(each) for each in initializers]

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> tf.Tensor:
        return tf.stack([initializer(shape[1:], dtype=dtype) for initializer in self.initializers])

    def get_config(self) -> dict[str, Any]:
        return {"initializers": [keras.initializers.serialize(each) for each in self.initializers]}


@keras.utils.register_keras_serializable(package="tfplastic")
class ReplicatedDense(keras.layers.Layer):
    """A dense layer for each of several networks side by side: y_r = x_r W_r + b_r for replicate r.

    The gradient of a sum over replicates of their losses is, for the weights of each, that of its own loss.
    An optimizer that treats entries one by one, such as SGD or Adam, then trains each as if it were alone.

    Args:
        units: outputs of each replicate; None for one output without an axis of its own.
        kernel_initializer: initializer of the kernels, `[replicates, inputs, units]`; `Stacked` gives each
            replicate its own.
        bias_initializer: initializer of the biases, `[replicates, units]`.
        **kwargs: `name`, `dtype` and the like, as for every Keras layer.

    Input: `[batch, replicates, inputs]`. Output: `[batch, replicates, units]`, or `[batch, replicates]`.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> layer = tp.layers.ReplicatedDense(3)
        >>> layer(tf.zeros([2, 100, 20])).shape, layer.kernel.shape
        (TensorShape([2, 100, 3]), TensorShape([100, 20, 3]))
    """

    def __init__(
        self,
        units: int | None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.units = None if units is None else check_positive_integer("units", units)
        self.kernel_initializer = initializer_of("kernel_initializer", kernel_initializer)
        self.bias_initializer = initializer_of("bias_initializer", bias_initializer)

    def build(self, input_shape: Any) -> None:
        *_, replicates, inputs = input_shape
        units = self.units or 1
        self.kernel = self.add_weight(
            name="kernel", shape=(replicates, inputs, units), initializer=self.kernel_initializer
        )
        self.bias = self.add_weight(name="bias", shape=(replicates, units), initializer=self.bias_initializer)
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        kernel, bias = (tf.convert_to_tensor(each) for each in (self.kernel, self.bias))
        outputs = replicated_product(inputs, kernel) + bias
        return outputs if self.units else tf.squeeze(outputs, -1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], *([self.units] if self.units else []))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }
