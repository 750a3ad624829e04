"""The empirical Fisher matrix, as a linear operator."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfplastic._shared_arguments import shares_arguments
from tfplastic._tf.read_only import CheckedFunction
from tfplastic.linalg.flatten import unflatten
from tfplastic.linalg.operators.jacobian import Jacobian
from tfplastic.linalg.operators.model_arguments import ModelArguments
from tfplastic.linalg.operators.operator import Linear, Operator


class EmpiricalFisherOperator(Operator):
    """The matrix F = 1/N sum_i g_i g_i^T, g_i being the gradient of the loss of example i.

    The second moment of the gradients, positive semidefinite, of rank N at most. It is not the Fisher matrix
    of the model's predictions (Kunstner et al. 2019, "Limitations of the empirical Fisher approximation for
    natural gradient descent"); `GaussNewtonOperator` is, for cross-entropy.

    Args:
        per_example_loss_fn: function that returns the losses, `[batch]` of floating point, entry i of example
            i alone. Takes nothing, or with `data` the elements of a batch. Must be a fixed function of the
            variables.
        variables: variables of TensorFlow, Keras 2 or Keras 3, distinct, all float32 or all float64.
        data: data, as in `HessianOperator`.
        batch_size: examples per batch, as in `HessianOperator`.

    Attributes:
        shape: (n, n), n being the number of entries of all variables.
        dtype: the variables' dtype, of numpy.

    Raises:
        TypeError: `per_example_loss_fn` is not callable, or something among `variables` is not a variable.
        ValueError: unfit variables or data; at the first product, losses that are not a floating-point
            vector, or a function that writes variables or draws random numbers.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import linalg
        >>> w = tf.Variable(2.)
        >>> operator = linalg.EmpiricalFisherOperator(lambda x: w * x, [w], [1., 3.])  # g_i = x_i
        >>> operator.to_dense().numpy().tolist()
        [[5.0]]
    """

    def __init__(
        self,
        per_example_loss_fn: Callable[..., Any],
        variables: Sequence[Any],
        data: Any = None,
        batch_size: int | None = None,
    ):
        takes = "no arguments" if data is None else "the elements of a batch"
        self._losses = CheckedFunction("per_example_loss_fn", per_example_loss_fn, takes)
        super().__init__([self._losses], variables, data, batch_size)
        self._losses.check_takes(len(self._batches.signature))

    @classmethod
    @shares_arguments(ModelArguments)
    def from_model(cls, *, settings: ModelArguments) -> "EmpiricalFisherOperator":
        """Returns the matrix of the examples' losses of a Keras model, by default of its compiled loss.

        The loss of the data is the mean of the examples' losses, whose gradients are the g_i: of a loss that
        is summed over the batch, N times an example's term. Losses of the model (regularizers) enter each.

        Args:
            settings: model, data and loss, see `ModelArguments`.

        Raises:
            TypeError: `model` is not a Keras model, or `loss` not a loss.
            ValueError: the model is not built or has no loss, or the data do not fit.
        """
        data = settings.data()
        flat = data.loss(settings.loss, settings.include_model_losses)
        return cls(flat.of_examples, data.variables(settings.variables), flat.data, data.batch_size)

    def _value(self, *batch: Any) -> tf.Tensor:
        return self._losses(*batch)

    def _check_functions(self) -> None:
        self._losses.check_vector(self._batches.num_examples)

    def _linearize(self, *batch: Any) -> Linear:
        jacobian = Jacobian(lambda: self._losses(*batch), self._variables)
        self._note_connected(jacobian.is_connected)
        count = tf.cast(tf.size(jacobian.outputs), self.dtype)
        return lambda vector: jacobian.transposed_product(
            jacobian.product(unflatten(vector, self._variables)) / count
        )
