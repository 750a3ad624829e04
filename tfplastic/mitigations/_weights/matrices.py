"""Kernels as matrices of inputs and outputs."""

import math

import tensorflow as tf

from tfplastic.mitigations._weights.trainable import Weight


class KernelMatrix:
    """The linear map of a kernel, `[inputs, outputs]`, as in `diagnostics.weight_rank`.

    The outputs of a convolution are its filters, its inputs all entries of a patch. A filter of a depthwise
    kernel is an output; `EinsumDense`, as in attention, has the axes of its result as outputs; the inputs of
    embeddings are the tokens.

    Args:
        weight: a kernel of a model.

    Attributes:
        inputs: number of rows, the fan-in of each output.
        outputs: number of columns.
    """

    def __init__(self, weight: Weight):
        shape = [int(each) for each in weight.variable.shape]
        columns = axes_of_outputs(weight, len(shape))
        rows = [axis for axis in range(len(shape)) if axis not in columns]
        self._order = [*rows, *columns]
        self.inputs = math.prod(shape[axis] for axis in rows)
        self.outputs = math.prod(shape[axis] for axis in columns)

    def of(self, value: tf.Tensor) -> tf.Tensor:
        """Returns a value of the kernel as the matrix; differentiable."""
        if self._order != sorted(self._order):
            value = tf.transpose(value, self._order)
        return tf.reshape(value, [self.inputs, self.outputs])


def axes_of_outputs(weight: Weight, rank: int) -> list[int]:
    """Returns the axes of a kernel that are those of its layer's outputs.

    Args:
        weight: a kernel of a model.
        rank: number of its axes.
    """
    if hasattr(weight.layer, "equation"):
        letters, result = weight.layer.equation.replace(" ", "").split(",")[1].split("->")
        return [axis for axis, letter in enumerate(letters) if letter in result]
    if is_depthwise(weight):
        return [rank - 2, rank - 1]
    kinds = {base.__name__ for base in type(weight.layer).__mro__}
    if any(kind.startswith("Conv") and kind.endswith("Transpose") for kind in kinds):
        return [rank - 2]
    return [rank - 1]


def is_depthwise(weight: Weight) -> bool:
    """Returns whether a kernel gives each channel filters of its own."""
    kinds = (base.__name__ for base in type(weight.layer).__mro__)
    return weight.role == "depthwise_kernel" or any(kind.startswith("Depthwise") for kind in kinds)
