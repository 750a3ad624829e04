"""Kernels as linear maps: one matrix for each position of a convolution's window and each group."""

import math

import tensorflow as tf

from tfplastic.mitigations._weights.matrices import axes_of_outputs, is_depthwise
from tfplastic.mitigations._weights.trainable import Weight


class LinearMaps:
    """The matrices of a kernel, `[positions, groups, inputs, outputs]`.

    A convolution has one for each position of its window and each group of channels; a depthwise one has a
    group for each channel. Dense and recurrent layers and `EinsumDense` have one matrix.

    Args:
        weight: a kernel of a model.

    Attributes:
        positions: number of positions of the window, 1 without one.
        inputs: number of rows of each matrix.
        outputs: number of columns of each.
    """

    def __init__(self, weight: Weight):
        shape = [int(each) for each in weight.variable.shape]
        is_einsum = hasattr(weight.layer, "equation")
        window = 0 if is_einsum else max(len(shape) - 2, 0)
        columns = [len(shape) - 1] if is_depthwise(weight) else axes_of_outputs(weight, len(shape))
        rows = [axis for axis in range(window, len(shape)) if axis not in columns]
        self._order = [*range(window), *rows, *columns]
        self._ordered_shape = [shape[axis] for axis in self._order]
        self.positions = math.prod(shape[:window])
        num_rows, num_columns = (math.prod(shape[axis] for axis in axes) for axes in (rows, columns))
        if is_depthwise(weight):
            self.inputs, self.outputs = 1, num_columns
            self._split, self._turn = [self.positions, num_rows, 1, num_columns], [0, 1, 2, 3]
        else:
            groups = 1 if is_einsum else getattr(weight.layer, "groups", 1)
            self.inputs, self.outputs = num_rows, num_columns // groups
            self._split, self._turn = [self.positions, num_rows, groups, self.outputs], [0, 2, 1, 3]

    def of(self, value: tf.Tensor) -> tf.Tensor:
        """Returns a value of the kernel as the matrices."""
        ordered = tf.transpose(value, self._order)
        return tf.transpose(tf.reshape(ordered, self._split), self._turn)

    def kernel(self, matrices: tf.Tensor) -> tf.Tensor:
        """Returns the value of the kernel that has these matrices."""
        ordered = tf.reshape(tf.transpose(matrices, self._turn), self._ordered_shape)  # its own inverse
        return tf.transpose(ordered, [self._order.index(axis) for axis in range(len(self._order))])
