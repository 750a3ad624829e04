"""Copies of a network's kernels in bfloat16, made once for many calls of a network that computes in it.

Keras casts a weight wherever a layer reads it. At a batch of 1, where acting is bound by reading the weights,
that costs more than bfloat16 saves.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from tfplastic._keras import keras, replaced_attribute
from tfplastic._tf.programs import own_program


class WeightCopies:
    """bfloat16 copies of the kernels of a network's dense and convolutional layers that compute in bfloat16.

    Other weights are small, and cast where they are read, as always. A copy holds what a cast of the kernel
    gave when `refresh` was called last.

    Args:
        model: network, built.
    """

    def __init__(self, model: keras.Model):
        layers = [each for each in model._flatten_layers() if _casts_its_kernel(each)]
        self._kernels = [(layer, layer.kernel) for layer in layers]
        self._copies = [
            tf.Variable(tf.cast(tf.convert_to_tensor(kernel), tf.bfloat16), trainable=False)
            for _, kernel in self._kernels
        ]
        self._refresh = own_program(self._assign)

    def __bool__(self) -> bool:
        """Returns whether there are any."""
        return bool(self._copies)

    def refresh(self) -> None:
        """Copies the kernels."""
        if self._copies:
            self._refresh()

    @contextlib.contextmanager
    def read(self) -> Iterator[None]:
        """While open, the layers read the copies; gradients still arrive at the kernels, in float32."""
        with contextlib.ExitStack() as stack:
            for (layer, kernel), copy in zip(self._kernels, self._copies, strict=True):
                value = _with_value(tf.convert_to_tensor(kernel), tf.convert_to_tensor(copy))
                stack.enter_context(replaced_attribute(layer, "kernel", value))
            yield

    def _assign(self) -> tf.Tensor:
        for (_, kernel), copy in zip(self._kernels, self._copies, strict=True):
            copy.assign(tf.cast(tf.convert_to_tensor(kernel), tf.bfloat16))
        return tf.constant(True)


def _casts_its_kernel(layer: Any) -> bool:
    known = type(layer) in (keras.layers.Dense, keras.layers.Conv2D)
    return known and layer.compute_dtype == "bfloat16" and layer.variable_dtype == "float32"


@tf.custom_gradient
def _with_value(kernel: tf.Tensor, copy: tf.Tensor) -> Any:
    """Returns `copy` as if it had been cast from `kernel`."""

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, None]:
        return tf.cast(upstream, kernel.dtype), None

    return tf.identity(copy), gradient
