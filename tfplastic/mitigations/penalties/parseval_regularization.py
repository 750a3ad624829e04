"""Parseval regularization: a penalty of hidden weight matrices that are not orthogonal."""

from collections.abc import Sequence
from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_boolean, check_non_negative, check_positive, check_positive_integer
from tfplastic.diagnostics.reading.output_layers import kernel_layers, output_layers
from tfplastic.mitigations._weights.matrices import KernelMatrix
from tfplastic.mitigations._weights.trainable import Weight, trainable_weights, values_of
from tfplastic.mitigations.mitigation import Mitigation

_REFERENCE_WIDTH = 64


@gin.register(module="tfplastic.mitigations")
class ParsevalRegularization(Mitigation):
    """Parseval regularization: penalty ||W W' - s I||^2 of hidden layers, with W `[outputs, inputs]`.

    It keeps the rows of W, the incoming weights of each unit, orthogonal and of squared length s. Rows can be
    orthogonal where a layer has no more outputs than inputs; elsewhere the penalty does not reach 0.

    Rule: coefficient * the sum of (64 / outputs)^2 * ||W W' - s I||_F^2 over all layers with a kernel but the
        last one, in the order of `model.trainable_variables`. Biases have no part in it.
    Defaults: s = 2, the squared gain of an orthogonal initialization with gain sqrt(2); coefficient 1e-4, as
        for most of the paper's problems (1e-3 for MetaWorld).
    Source: Chung et al. 2024, "Parseval regularization for continual reinforcement learning", and its code.
    Departures: the paper's networks have orthogonal initial weights and tanh; with another initialization the
        penalty pulls W towards orthogonality from the first step. `normalize_rows` and `groups` are options
        of the code; its diagonal scale after each layer and its scale of inputs change the network and are
        left out. Plasticine has s = 1. A kernel is one matrix, as in `diagnostics.weight_rank`: filters of
        different groups of a convolution, and of different channels of a depthwise one, are made orthogonal
        although they read different channels.

    Args:
        coefficient: factor of the penalty, at least 0; 0 adds nothing.
        scale: s, above 0: the squared gain of the initialization.
        scale_by_width: whether the factor (64 / outputs)^2 is there.
        normalize_rows: whether rows are divided by their lengths first, so that only their angles are
            penalized; set `scale` to 1 then.
        groups: number of equal groups of outputs; only rows of one group are made orthogonal.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import numpy as np, tfplastic as tp
        >>> parseval = tp.mitigations.ParsevalRegularization(1.0)
        >>> model = tp.networks.mlp(1, (64,), input_shape=(64,))
        >>> parseval.build(model, optimizer=None, seed=0)
        >>> _ = model.layers[0].kernel.assign(2 * np.eye(64))
        >>> float(parseval.penalty(model.trainable_variables))  # 64 * (4 - 2)^2
        256.0
    """

    turn = 100

    def __init__(
        self,
        coefficient: float = 1e-4,
        scale: float = 2.0,
        scale_by_width: bool = True,
        normalize_rows: bool = False,
        groups: int = 1,
    ):
        self._coefficient = check_non_negative("coefficient", coefficient)
        self._normalize_rows = check_boolean("normalize_rows", normalize_rows)
        self._scale = check_positive("scale", scale)
        self._scale_by_width = check_boolean("scale_by_width", scale_by_width)
        self._groups = check_positive_integer("groups", groups)
        self._kernels: list[Weight] = []

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Finds the hidden layers' kernels.

        Raises:
            ValueError: there are none, or the outputs of one cannot be divided into the groups.
        """
        kernels = [each for each in trainable_weights(model) if each.is_kernel]
        outputs = {id(each) for each in output_layers(model, kernel_layers(model))}
        self._kernels = [each for each in kernels if id(each.layer) not in outputs]
        if not self._kernels:
            rule = "must have a layer with a kernel before its last one"
            action = "Add a hidden layer, or leave the method out"
            raise ValueError(f"`model` {rule}. Received: {model.name!r}. {action}")
        self._matrices = [KernelMatrix(each) for each in self._kernels]
        for kernel, matrix in zip(self._kernels, self._matrices, strict=True):
            if matrix.outputs % self._groups:
                rule = f"must divide the {matrix.outputs} outputs of {kernel.path}"
                raise ValueError(f"`groups` {rule}. Received: {self._groups}")

    def penalty(self, variables: Sequence[Any], context: Any = None) -> tf.Tensor:
        if self._coefficient == 0:
            return tf.zeros([])
        pairs = zip(self._matrices, values_of(self._kernels, variables), strict=True)
        parts = [tf.cast(self._distance(matrix.of(value)), tf.float32) for matrix, value in pairs]
        return self._coefficient * tf.add_n(parts)

    def _distance(self, matrix: tf.Tensor) -> tf.Tensor:
        """Returns the squared distance of a kernel `[inputs, outputs]`, `[]`."""
        inputs, outputs = matrix.shape
        columns = tf.math.l2_normalize(matrix, axis=0) if self._normalize_rows else matrix
        grouped = tf.reshape(columns, [inputs, self._groups, -1])
        products = tf.einsum("igo,igp->gop", grouped, grouped)  # [groups, outputs, outputs] of a group
        identity = tf.eye(outputs // self._groups, dtype=matrix.dtype)
        distance = tf.reduce_sum(tf.square(products - self._scale * identity))
        return distance * (_REFERENCE_WIDTH / outputs) ** 2 if self._scale_by_width else distance
