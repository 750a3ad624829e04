"""FIRE: kernels made orthogonal before new data."""

import math
from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_boolean, check_positive_integer
from tfplastic.mitigations._weights.attention import query_key_kernels
from tfplastic.mitigations._weights.changes import change, reset_slots
from tfplastic.mitigations._weights.linear_maps import LinearMaps
from tfplastic.mitigations._weights.trainable import Weight, chosen_weights
from tfplastic.mitigations.mitigation import Mitigation, Slots, check_period


@gin.register(module="tfplastic.mitigations")
class FIRE(Mitigation):
    """FIRE: every kernel is replaced by the orthogonal matrix nearest to it, scaled, when new data come.

    All singular values become equal, while the directions that were learned stay. One application takes a
    few products of matrices and no data.

    Rule: with W `[outputs, inputs]`, X = W / ||W||_F (Frobenius norm), then `num_iterations` times
        X <- 1.5 X - 0.5 X X' X (Newton and Schulz), and W <- X sqrt(outputs / inputs). A convolution has a W
        for each position of its window, divided by their number. Biases and norms stay. In networks with
        attention the kernels of queries and keys alone change.
    Defaults: at boundaries of the task; 10 iterations, of 5 to 15 in the paper.
    Source: "FIRE", 2026, arXiv 2602.08040, and its code.
    Departures: groups of a convolution, and channels of a depthwise one, have matrices of their own. Queries
        and keys are whole matrices, not split by heads. Embeddings stay. The source is silent about the
        optimizer's slots; here they stay by default. A kernel of zeros stays.
    Outputs: they change.
    Works with: all other mitigations. Small singular values need more iterations: each multiplies one by 1.5
        at most, from its share of the norm on.

    Args:
        period: see `Mitigation`.
        num_iterations: iterations of Newton and Schulz, at least 1.
        attention_only: whether queries and keys alone change where the network has attention.
        reset_slots: whether the optimizer's slots of changed kernels become zero.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import numpy as np, tfplastic as tp
        >>> fire, model = tp.mitigations.FIRE(), tp.networks.mlp(2, (), input_shape=(2,))
        >>> model.set_weights([np.array([[3.0, 0.0], [0.0, -1.0]]), np.zeros(2)])
        >>> fire.build(model, optimizer=None, seed=0)
        >>> fire.after_update(step=1, model=model, slots=None, key=None, context=None)
        >>> model.layers[-1].kernel.numpy().round(3).tolist()
        [[1.0, 0.0], [0.0, -1.0]]
    """

    def __init__(
        self,
        period: int | None = None,
        num_iterations: int = 10,
        attention_only: bool = True,
        reset_slots: bool = False,
    ):
        self.period = check_period(period)
        self._num_iterations = check_positive_integer("num_iterations", num_iterations)
        self._attention_only = check_boolean("attention_only", attention_only)
        self._reset_slots = check_boolean("reset_slots", reset_slots)
        self._kernels: list[_Kernel] = []

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Finds the kernels.

        Raises:
            ValueError: there is none, or the queries and keys are not found.
        """
        kernels = [each for each in chosen_weights(model, "kernels") if not each.role.endswith("embeddings")]
        found = query_key_kernels(model, kernels) if self._attention_only else []
        self._kernels = [_Kernel(*each) for each in found or [(each, 1) for each in kernels]]

    def after_update(
        self, step: tf.Tensor, model: Any, slots: Slots, key: tf.Tensor, context: Any = None
    ) -> None:
        for kernel in self._kernels:
            variable = kernel.weight.variable
            changed = kernel.orthogonal(tf.convert_to_tensor(variable), self._num_iterations)
            change(variable, changed, slots)
            if self._reset_slots:
                reset_slots(slots, variable)


class _Kernel:
    """A kernel to be made orthogonal; `blocks` of columns, of which the last of several, the values, stay."""

    def __init__(self, weight: Weight, blocks: int):
        self.weight, self._blocks = weight, blocks
        self._maps = LinearMaps(weight)
        outputs = self._maps.outputs // blocks
        self._scale = math.sqrt(outputs / self._maps.inputs) / self._maps.positions

    def orthogonal(self, value: tf.Tensor, num_iterations: int) -> tf.Tensor:
        blocks = tf.split(self._maps.of(value), self._blocks, axis=-1)
        changed = [self._scale * nearest_orthogonal(each, num_iterations) for each in blocks[:2]]
        return self._maps.kernel(tf.concat([*changed, *blocks[2:]], axis=-1))


def nearest_orthogonal(matrices: tf.Tensor, num_iterations: int) -> tf.Tensor:
    """Returns the orthogonal matrices nearest to `[..., rows, columns]` ones, by Newton and Schulz.

    Args:
        matrices: matrices of full rank; zeros stay.
        num_iterations: iterations, at least 1.
    """
    rows, columns = matrices.shape[-2:]
    tall = tf.linalg.matrix_transpose(matrices) if rows < columns else matrices
    x = tf.math.divide_no_nan(tall, tf.norm(tall, axis=[-2, -1], keepdims=True))
    for _ in range(num_iterations):
        x = 1.5 * x - 0.5 * tf.matmul(x, tf.matmul(x, x, transpose_a=True))
    return tf.linalg.matrix_transpose(x) if rows < columns else x
