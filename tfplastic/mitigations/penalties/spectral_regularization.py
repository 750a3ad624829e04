"""Spectral regularization: a penalty of the distance of largest singular values from 1."""

from collections.abc import Sequence
from typing import Any

import gin
import tensorflow as tf

from tfplastic import seeds
from tfplastic._checks import check_boolean, check_non_negative, check_positive, check_positive_integer
from tfplastic._tf.random import fold_in, random_bits
from tfplastic.mitigations._weights.matrices import KernelMatrix
from tfplastic.mitigations._weights.trainable import trainable_weights, values_of
from tfplastic.mitigations.mitigation import Mitigation


@gin.register(module="tfplastic.mitigations")
class SpectralRegularization(Mitigation):
    """Spectral regularization: a penalty of largest singular values that are not 1, and of biases.

    Rule: coefficient * the sum of (sigma^k - target)^2 over kernels, with sigma the largest singular value
        of the kernel as a matrix `[inputs, outputs]`; of (||b||_2)^(2k) over biases and the offsets of
        norms; and of sum (s - 1)^2 over gains s of norms. sigma is u'Wv with u and v from power iteration;
        the gradient takes them as constants.
    Defaults: k and target of the paper, and a coefficient in the middle of its range, from 1e-2 to 1e-4.
    Source: Lewandowski et al. 2024, "Learning continually by spectral regularization"; its port lop-jax.
    Departures: the port has target 2, 10 iterations from the same random vector in each step, which are the
        default here, and the sum of squares of biases (`squared_biases`), with a coefficient of 0.1. After
        few iterations sigma is too small where singular values lie close together. The output layer counts
        like any other. A kernel is one matrix, as in `diagnostics.weight_rank`, also that of a convolution in
        groups or of a depthwise one, which is several maps. Weights of other kinds, such as the slopes of
        PReLU, are left out.

    Args:
        coefficient: factor of the penalty, at least 0; 0 adds nothing.
        k: power of the singular value, at least 1.
        target: value that sigma^k is drawn to, above 0.
        num_iterations: steps of power iteration for each gradient step, at least 1.
        squared_biases: whether biases have the penalty ||b||_2^2, for any k.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import numpy as np, tfplastic as tp
        >>> spectral = tp.mitigations.SpectralRegularization(1.0)
        >>> model = tp.networks.mlp(2, (), input_shape=(2,))
        >>> model.set_weights([np.array([[2.0, 0.0], [0.0, 0.5]]), np.array([1.0, 1.0])])
        >>> spectral.build(model, optimizer=None, seed=0)
        >>> round(float(spectral.penalty(model.trainable_variables)), 3)  # (2^2 - 1)^2 + (1 + 1)^2
        13.0
    """

    turn = 100

    def __init__(
        self,
        coefficient: float = 1e-3,
        k: int = 2,
        target: float = 1.0,
        num_iterations: int = 10,
        squared_biases: bool = False,
    ):
        self._coefficient = check_non_negative("coefficient", coefficient)
        self._k = check_positive_integer("k", k)
        self._target = check_positive("target", target)
        self._num_iterations = check_positive_integer("num_iterations", num_iterations)
        self._power_of_biases = 1 if check_boolean("squared_biases", squared_biases) else self._k

    def build(self, model: Any, optimizer: Any, seed: int) -> None:
        """Finds kernels, biases and norms.

        Raises:
            ValueError: there are no kernels.
        """
        weights = trainable_weights(model)
        self._kernels = [each for each in weights if each.is_kernel]
        if not self._kernels:
            action = "Leave the penalty out"
            raise ValueError(f"`model` must have kernels. Received: {model.name!r}. {action}")
        self._biases = [each for each in weights if each.is_bias]
        self._gains = [each for each in weights if each.is_gain]
        self._matrices = [KernelMatrix(each) for each in self._kernels]
        self._key = seeds.derive(seed, "spectral_regularization")

    def penalty(self, variables: Sequence[Any], context: Any = None) -> tf.Tensor:
        if self._coefficient == 0:
            return tf.zeros([])
        kernels = zip(self._matrices, values_of(self._kernels, variables), strict=True)
        sigmas = [self._sigma(matrix.of(value), n) for n, (matrix, value) in enumerate(kernels)]
        # Powers of the square: the norm itself has no gradient at 0.
        squares = [tf.reduce_sum(tf.square(each)) for each in values_of(self._biases, variables)]
        parts = [
            *[tf.square(sigma**self._k - self._target) for sigma in sigmas],
            *[each**self._power_of_biases for each in squares],
            *[tf.reduce_sum(tf.square(each - 1)) for each in values_of(self._gains, variables)],
        ]
        return self._coefficient * tf.add_n([tf.cast(each, tf.float32) for each in parts])

    def _sigma(self, matrix: tf.Tensor, number: int) -> tf.Tensor:
        """Returns u'Wv of the kernel with this number."""
        fixed = tf.stop_gradient(matrix)  # [inputs, outputs]
        key = fold_in(self._key, number)
        bits = random_bits([matrix.shape[0]], key)
        u = tf.cast(_unit(tf.cast(bits, tf.float64)), matrix.dtype)  # [inputs]
        for _ in range(self._num_iterations - 1):
            u = _unit(tf.linalg.matvec(fixed, tf.linalg.matvec(fixed, u, transpose_a=True)))
        v = _unit(tf.linalg.matvec(fixed, u, transpose_a=True))  # [outputs]
        u = _unit(tf.linalg.matvec(fixed, v))
        return tf.tensordot(u, tf.linalg.matvec(matrix, v), 1)


def _unit(vector: tf.Tensor) -> tf.Tensor:
    return tf.math.divide_no_nan(vector, tf.norm(vector))
