"""The generalized Gauss-Newton matrix, as a linear operator."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfplastic._shared_arguments import shares_arguments
from tfplastic._tf.read_only import CheckedFunction
from tfplastic.linalg.flatten import unflatten
from tfplastic.linalg.operators.jacobian import Jacobian
from tfplastic.linalg.operators.model_arguments import ModelArguments
from tfplastic.linalg.operators.model_outputs import FlatOutputs
from tfplastic.linalg.operators.operator import Linear, Operator


class GaussNewtonOperator(Operator):
    """The matrix G = J^T H_L J: J the Jacobian of the outputs, H_L the Hessian of the loss by the outputs.

    The Hessian without the outputs' own curvature (Schraudolph 2002, "Fast curvature matrix-vector products
    for second-order gradient descent"). Positive semidefinite where the loss is convex in the outputs, as
    squared error and cross-entropy are; for cross-entropy it is the Fisher matrix of the model's own
    predictions (Martens 2020, "New insights and perspectives on the natural gradient method", section 9.2).

    Args:
        output_fn: function that returns the outputs, a floating-point tensor. Takes nothing, or with `data`
            the first
            element of a batch: `output_fn(x)`. Must be a fixed function of the variables.
        loss_on_outputs: function that takes the outputs, and with `data` the other elements of a batch:
            `loss_on_outputs(outputs, y)`. Returns the loss, a floating-point scalar.
        variables: variables of TensorFlow, Keras 2 or Keras 3, distinct, all float32 or all float64.
        data: data, as in `HessianOperator`.
        reduction: reduction that `loss_on_outputs` applies to a batch: 'mean' or 'sum'.
        batch_size: examples per batch, as in `HessianOperator`.

    Attributes:
        shape: (n, n), n being the number of entries of all variables.
        dtype: the variables' dtype, of numpy.

    Raises:
        TypeError: a function is not callable, or something among `variables` is not a variable.
        ValueError: unfit variables or data; at the first product, outputs that are not of floating point, a
            loss that is not a scalar, or functions that write variables or draw random numbers.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import linalg
        >>> w = tf.Variable([1., 2.])
        >>> x, y = tf.constant([[1., 0.], [1., 1.]]), tf.constant([3., 4.])
        >>> operator = linalg.GaussNewtonOperator(
        ...     lambda x: tf.linalg.matvec(x, w), lambda z, y: tf.reduce_mean((z - y) ** 2) / 2, [w], (x, y)
        ... )
        >>> operator.to_dense().numpy().tolist()  # X^T X / 2
        [[1.0, 0.5], [0.5, 0.5]]
    """

    def __init__(
        self,
        output_fn: Callable[..., Any],
        loss_on_outputs: Callable[..., Any],
        variables: Sequence[Any],
        data: Any = None,
        reduction: str = "mean",
        batch_size: int | None = None,
    ):
        self._outputs = CheckedFunction("output_fn", output_fn, "no arguments" if data is None else "inputs")
        self._loss = CheckedFunction("loss_on_outputs", loss_on_outputs, "the outputs")
        super().__init__([self._outputs, self._loss], variables, data, batch_size, reduction)
        self._outputs.check_takes(min(1, len(self._batches.signature)))
        self._loss.check_takes(max(1, len(self._batches.signature)))

    @classmethod
    @shares_arguments(ModelArguments, omit=("include_model_losses",))
    def from_model(cls, *, settings: ModelArguments) -> "GaussNewtonOperator":
        """Returns the matrix of a Keras model on data, by default of its compiled loss.

        Losses of the model (regularizers, `add_loss`) have no part in it, as they are not functions of the
        outputs. Several outputs count as one, side by side.

        Args:
            settings: model, data and loss, see `ModelArguments`.

        Raises:
            TypeError: `model` is not a Keras model, or `loss` not a loss.
            ValueError: the model is not built, has no loss, or computes its loss itself; or the data do not
                fit.
        """
        data = settings.data()
        outputs = FlatOutputs(data)
        rows = outputs.loss(settings.loss)
        given = outputs.inputs, *rows.data
        return cls(
            outputs.rows, rows.mean, data.variables(settings.variables), given, batch_size=data.batch_size
        )

    def _value(self, *batch: Any) -> tf.Tensor:
        return self._loss(self._outputs(*batch[:1]), *batch[1:])

    def _check_functions(self) -> None:
        self._outputs.check_tensor()
        self._loss.check_scalar()

    def _linearize(self, *batch: Any) -> Linear:
        jacobian = Jacobian(lambda: self._outputs(*batch[:1]), self._variables)
        self._note_connected(jacobian.is_connected)
        outputs = tf.stop_gradient(jacobian.outputs)  # on their own: H_L alone is wanted here
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(outputs)
            with tf.GradientTape(watch_accessed_variables=False) as inner:
                inner.watch(outputs)
                loss = self._loss(outputs, *batch[1:])
            gradient = inner.gradient(loss, outputs, unconnected_gradients=tf.UnconnectedGradients.ZERO)

        def product(vector: tf.Tensor) -> list[tf.Tensor]:
            tangent = jacobian.product(unflatten(vector, self._variables))
            curved = tape.gradient(
                gradient,
                outputs,
                output_gradients=tangent,
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            return jacobian.transposed_product(curved)

        return product
