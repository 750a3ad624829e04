"""The Hessian of a loss, as a linear operator."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic.linalg._moments import check_moments, exact_moments
from tfplastic.linalg._program import Program, ScalarLoss, trace
from tfplastic.linalg.flatten import as_tf_variables, flatten, unflatten


class HessianOperator:
    """The matrix H with H_ij = d^2 L / d theta_i d theta_j, known by its products H v.

    A product costs some two gradients: H v = d/dtheta (g(theta) . v), v held constant, g the gradient of L
    (Pearlmutter 1994, "Fast exact multiplication by the Hessian"), by a gradient tape over a gradient tape.
    It is compiled at the first product and reads the variables' present values at each. Variables that the
    loss does not touch have zero rows and columns. Where L has kinks (ReLU), H is that of the smooth piece at
    theta. Normalisation layers made of `tf.nn.moments`, whose second derivative TensorFlow gets wrong, are
    put right.

    Args:
        loss_fn: takes nothing, returns the loss L, a floating-point scalar. Must be a fixed function of the
            variables: no dropout, no update of statistics.
        variables: theta: variables of TensorFlow, Keras 2 or Keras 3, distinct, all float32 or all float64.

    Attributes:
        shape: (n, n), n being the number of entries of all variables.
        dtype: the variables' dtype, of numpy.

    Raises:
        TypeError: `loss_fn` is not callable, or something among `variables` is not a variable.
        ValueError: no variables, the same one twice, or unfit dtypes; at the first product, a loss that is
            not a scalar, writes variables, draws random numbers or has a normalisation layer in a
            `tf.function` traced before.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import linalg
        >>> x = tf.Variable([1., 2.])
        >>> operator = linalg.HessianOperator(lambda: x[0] ** 2 * x[1], [x])
        >>> operator.matvec([1., 0.]).numpy().tolist()  # H = [[2 x1, 2 x0], [2 x0, 0]]
        [4.0, 2.0]
    """

    def __init__(self, loss_fn: Callable[[], Any], variables: Sequence[Any]):
        self._loss = ScalarLoss(loss_fn)
        self._variables = as_tf_variables(variables)
        dtypes = sorted({variable.dtype.name for variable in self._variables})
        if dtypes not in (["float32"], ["float64"]):
            raise ValueError(f"`variables` must be all float32 or all float64. Received: {', '.join(dtypes)}")
        size = sum(variable.shape.num_elements() for variable in self._variables)
        self.shape = (size, size)
        self.dtype = np.dtype(dtypes[0])
        self._program: Program | None = None

    def matvec(self, vector: Any) -> tf.Tensor:
        """The product H v.

        Args:
            vector: v, `[n]`; cast to the operator's dtype.

        Returns:
            `[n]`, in the operator's dtype. Not finite where the loss's derivatives are not.

        Raises:
            ValueError: `vector` is not of shape `[n]`; or see the class.
        """
        vector = tf.cast(vector, self.dtype)
        if vector.shape != self.shape[:1]:
            received = vector.shape.as_list()
            raise ValueError(f"`vector` must be of shape [{self.shape[0]}]. Received: shape {received}")
        if self._program is None:
            program = trace("loss_fn", self._product, tf.TensorSpec(self.shape[:1], self.dtype))
            self._loss.check()
            check_moments(program)
            self._program = program
        return self._program(vector)

    def to_dense(self) -> tf.Tensor:
        """H itself, `[n, n]`, by n products. For small n: its memory grows as n^2."""
        identity = np.eye(self.shape[0], dtype=self.dtype)
        return tf.stack([self.matvec(column) for column in identity], axis=1)

    def _product(self, vector: tf.Tensor) -> tf.Tensor:
        variables = self._variables
        with tf.GradientTape(watch_accessed_variables=False) as outer:
            outer.watch(variables)
            with tf.GradientTape(watch_accessed_variables=False) as inner:
                inner.watch(variables)
                with exact_moments():
                    loss = self._loss()
            gradients = inner.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]  # embeddings' are sparse
        products = outer.gradient(
            gradients,
            variables,
            output_gradients=unflatten(vector, variables),
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        return flatten([tf.convert_to_tensor(product) for product in products])
