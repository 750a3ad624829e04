"""The neural tangent kernel, as a linear operator."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfplastic._losses.model_loss import ModelData
from tfplastic._tf.read_only import CheckedFunction
from tfplastic.linalg.operators.jacobian import Jacobian
from tfplastic.linalg.operators.model_outputs import FlatOutputs
from tfplastic.linalg.operators.operator import Linear, Operator


class NTKOperator(Operator):
    """The matrix K = J J^T, J being the Jacobian of all outputs on a batch by the variables.

    K_ij is the inner product of the gradients of outputs i and j: the empirical neural tangent kernel (Jacot
    et al. 2018), positive semidefinite. Its nonzero eigenvalues are those of J^T J, which is the Gauss-Newton
    matrix of half the summed squared error.

    Args:
        output_fn: function that takes the inputs, returns the outputs, a floating-point tensor of a known
            shape. Must be a fixed function of the variables.
        variables: variables of TensorFlow, Keras 2 or Keras 3, distinct, all float32 or all float64.
        inputs: a batch: an array or a dict of arrays, all in one product.

    Attributes:
        shape: (m, m), m being the number of entries of the outputs, which are counted in row-major order:
            example after example.
        dtype: the variables' dtype, of numpy.

    `blocks` gives the kernels of parts of the variables; their sum is K.

    Raises:
        TypeError: `output_fn` is not callable, or something among `variables` is not a variable.
        ValueError: unfit variables or inputs, outputs that are not of floating point, or a function that
            writes variables or draws random numbers.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import linalg
        >>> w = tf.Variable([1., 2.])
        >>> operator = linalg.NTKOperator(lambda x: tf.linalg.matvec(x, w), [w], [[1., 0.], [1., 1.]])
        >>> operator.to_dense().numpy().tolist()  # X X^T
        [[1.0, 1.0], [1.0, 2.0]]
    """

    def __init__(self, output_fn: Callable[..., Any], variables: Sequence[Any], inputs: Any):
        self._outputs = CheckedFunction("output_fn", output_fn, "the inputs")
        super().__init__([self._outputs], variables, (inputs,), None)  # the tuple keeps `inputs` one argument
        self._program(self._value)
        self._output_shape = self._outputs.shape
        self.shape = (self._output_shape.num_elements(),) * 2

    @classmethod
    def from_model(cls, model: Any, inputs: Any, *, variables: Sequence[Any] | None = None) -> "NTKOperator":
        """Returns the kernel of all outputs of a Keras model, called with `training=False`.

        Args:
            model: a Keras model, of Keras 2 or Keras 3, built.
            inputs: arrays `[n, ...]`, or a nest of them.
            variables: the J's; None: the trainable variables of the model.

        Raises:
            TypeError: `model` is not a Keras model.
            ValueError: the model is not built, or does not return a tensor of floats.
        """
        data = ModelData(model, inputs)
        outputs = FlatOutputs(data)
        names = [str(number) for number in range(len(outputs.inputs))]
        given = dict(zip(names, outputs.inputs, strict=True))
        chosen = data.variables(variables)
        return cls(lambda flat: outputs.rows(tuple(flat[name] for name in names)), chosen, given)

    def _value(self, *batch: Any) -> tf.Tensor:
        return self._outputs(*batch)

    def _check_functions(self) -> None:
        self._outputs.check_fixed_shape()

    def _linearize(self, *batch: Any) -> Linear:
        jacobian = Jacobian(lambda: self._outputs(*batch), self._variables)
        self._note_connected(jacobian.is_connected)

        def product(vector: tf.Tensor) -> list[tf.Tensor]:
            return [jacobian.product(jacobian.transposed_product(tf.reshape(vector, self._output_shape)))]

        return product

    def _resize(self) -> None:
        """Does nothing: the shape of the outputs does not depend on the variables."""
