"""Products with the Jacobian of a function of the variables, recorded once."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from tfplastic._tf.variables import dense


class Jacobian:
    """J, `[m, n]`: the derivatives of a function's m outputs by the n entries of the variables. Traceable.

    J^T u is a backward pass. J v is the derivative of J^T u by u along v, u being any vector, since J^T u is
    linear in u: two backward passes, of which the one recorded here serves all v.

    Args:
        function: function that returns a tensor.
        variables: the variables.

    Attributes:
        outputs: outputs of `function`.
        is_connected: whether the outputs depend on any of the variables.
    """

    def __init__(self, function: Callable[[], tf.Tensor], variables: Sequence[tf.Variable]):
        self._variables = variables
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as self._tape:
            self._tape.watch(variables)
            self.outputs = function()
        self._cotangent = tf.zeros_like(self.outputs)
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as self._cotangent_tape:
            self._cotangent_tape.watch(self._cotangent)
            gradients = self._tape.gradient(self.outputs, variables, output_gradients=self._cotangent)
            self._gradients = dense(gradients, variables)
        self.is_connected = any(gradient is not None for gradient in gradients)

    def transposed_product(self, cotangent: tf.Tensor) -> list[tf.Tensor]:
        """Returns J^T u, in the shapes of the variables, of u in the shape of the outputs."""
        gradients = self._tape.gradient(self.outputs, self._variables, output_gradients=cotangent)
        return dense(gradients, self._variables)

    def product(self, tangents: Sequence[tf.Tensor]) -> tf.Tensor:
        """Returns J v, in the shape of the outputs, of v in the shapes of the variables."""
        return self._cotangent_tape.gradient(
            self._gradients,
            self._cotangent,
            output_gradients=list(tangents),
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
