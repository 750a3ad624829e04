"""The Hessian of a loss, as a linear operator."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic import _checks, seeds
from tfplastic._shared_arguments import shares_arguments
from tfplastic._tf.read_only import CheckedFunction, ReadOnlyProgram
from tfplastic._tf.variables import dense
from tfplastic.linalg.flatten import flatten, unflatten
from tfplastic.linalg.operators.model_arguments import ModelArguments
from tfplastic.linalg.operators.operator import Linear, Operator

MODES = ("reverse-over-reverse", "forward-over-reverse")


class HessianOperator(Operator):
    """The matrix H with H_ij = d^2 L / d theta_i d theta_j, known by its products H v.

    H v = d/dtheta (g(theta) . v), v held constant, g the gradient of L (Pearlmutter 1994, "Fast exact
    multiplication by the Hessian"). A single product costs about two gradients, one among many (`matmat`,
    `lanczos`) about 1.5. Variables that the loss does not touch have zero rows and columns, but one of
    several at least must be touched. Where L has kinks (ReLU), H is that of the smooth piece at theta.
    Normalization layers made of `tf.nn.moments`, whose second derivative TensorFlow gets wrong, are put
    right.

    Args:
        loss_fn: function that returns the loss L, a floating-point scalar. Takes nothing, or with `data` the
            elements of a
            batch: `loss_fn(x, y)`. Must be a fixed function of the variables: no dropout, no update of
            statistics.
        variables: theta: variables of TensorFlow, Keras 2 or Keras 3, distinct, all float32 or all float64.
        data: arrays with the examples along their first axis, as `(x, y)`, or a `tf.data.Dataset` of batches,
            in the same order at each pass. L is then the loss of all of them.
        reduction: reduction that `loss_fn` applies to a batch, and so L to the data: 'mean' (batches count by
            their examples, a smaller last one too) or 'sum'.
        batch_size: examples of arrays per batch; None: all at once, which is faster where it fits in memory.
        mode: 'reverse-over-reverse', a gradient tape over a gradient tape, or 'forward-over-reverse', a
            `tf.autodiff.ForwardAccumulator` over a tape. The same numbers but for rounding; on a CPU the
            first is faster (1.1 to 1.2 times for a product, more in a loop). TensorFlow's forward mode does
            not see through all control flow and compiled functions; where the first product of the two
            differs, or the second fails, a warning says so and the first mode is used.

    Attributes:
        shape: (n, n), n being the number of entries of all variables.
        dtype: the variables' dtype, of numpy.

    Raises:
        TypeError: `loss_fn` is not callable, or something among `variables` is not a variable.
        ValueError: no variables, the same one twice, unfit dtypes, unfit data; at the first product, a loss
            that is not a scalar, touches none of several variables, writes variables, draws random numbers or
            has a normalization layer in a `tf.function` traced before.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import linalg
        >>> x = tf.Variable([1., 2.])
        >>> operator = linalg.HessianOperator(lambda: x[0] ** 2 * x[1], [x])
        >>> operator.matvec([1., 0.]).numpy().tolist()  # H = [[2 x1, 2 x0], [2 x0, 0]]
        [4.0, 2.0]
        >>> data = [[1.], [2.], [3.]]  # L = mean of data * x0^2 = 2 x0^2
        >>> loss_fn = lambda d: tf.reduce_mean(d * x[0] ** 2)
        >>> operator = linalg.HessianOperator(loss_fn, [x], data, batch_size=2)
        >>> operator.to_dense().numpy().tolist()
        [[4.0, 0.0], [0.0, 0.0]]
    """

    def __init__(
        self,
        loss_fn: Callable[..., Any],
        variables: Sequence[Any],
        data: Any = None,
        reduction: str = "mean",
        batch_size: int | None = None,
        mode: str = "reverse-over-reverse",
    ):
        self._loss = CheckedFunction(
            "loss_fn", loss_fn, "no arguments" if data is None else "the elements of a batch"
        )
        super().__init__([self._loss], variables, data, batch_size, reduction)
        self._loss.check_takes(len(self._batches.signature))
        self._mode = _checks.check_one_of("mode", mode, MODES)
        self._is_mode_checked = mode == MODES[0]

    @classmethod
    @shares_arguments(ModelArguments)
    def from_model(cls, *, mode: str = MODES[0], settings: ModelArguments) -> "HessianOperator":
        """Returns the Hessian of the loss of a Keras model on data, by default of its compiled loss.

        Args:
            settings: model, data and loss, see `ModelArguments`.
            mode: see the class.

        Raises:
            TypeError: `model` is not a Keras model, or `loss` not a loss.
            ValueError: the model is not built or has no loss, or the data do not fit; or see the class.

        Example:
            >>> import tensorflow as tf
            >>> from tfplastic import linalg
            >>> model = tf.keras.Sequential([
            ...     tf.keras.layers.Dense(1, use_bias=False, kernel_regularizer=tf.keras.regularizers.L2(0.5))
            ... ])
            >>> x, y = tf.ones([4, 1]), tf.zeros([4, 1])
            >>> _ = model(x)  # builds it
            >>> model.compile('sgd', 'mse')  # L = w^2 + 0.5 w^2
            >>> linalg.HessianOperator.from_model(model, x, y).to_dense().numpy().tolist()
            [[3.0]]
        """
        data = settings.data()
        loss = data.loss(settings.loss, settings.include_model_losses)
        return cls(
            loss.mean, data.variables(settings.variables), loss.data, batch_size=data.batch_size, mode=mode
        )

    def _value(self, *batch: Any) -> tf.Tensor:
        return self._loss(*batch)

    def _check_functions(self) -> None:
        self._loss.check_scalar()

    def _linearize(self, *batch: Any) -> Linear:
        return self._reverse(*batch) if self._mode == MODES[0] else self._forward(*batch)

    def _program(self, function: Callable[..., Any], *signature: tf.TensorSpec) -> ReadOnlyProgram:
        if not self._is_mode_checked:
            fault = self._fault_of_forward_mode()
            self._is_mode_checked = True
            if fault is not None:
                self._mode = MODES[0]
                message = f"`mode` is taken as {MODES[0]!r}: {MODES[1]!r} fails here, {fault}."
                warnings.warn(message, stacklevel=3)
        return super()._program(function, *signature)

    def _fault_of_forward_mode(self) -> str | None:
        """Returns the error of a product of forward mode, compared with one of reverse mode."""
        vector = tf.random.stateless_normal(self.shape[:1], seeds.derive(0, "forward mode"), dtype=self.dtype)
        batch, _ = next(iter(self._batches))

        def product(linearize: Callable[..., Linear]) -> tf.Tensor:
            program = self._compile(lambda vector, *batch: flatten(linearize(*batch)(vector)), spec)
            return program(vector, *batch)

        spec = tf.TensorSpec(self.shape[:1], self.dtype)
        wanted = product(self._reverse)
        try:
            difference = float(tf.norm(product(self._forward) - wanted) / tf.norm(wanted))
        except Exception as error:  # whatever TensorFlow raises where it has no rule
            return f"it raises a {type(error).__name__}"
        if np.isnan(difference):  # where the right product is zero: one cannot tell
            return "its product cannot be checked"
        return None if difference <= np.sqrt(np.finfo(self.dtype).eps) else f"it is off by {difference:.0%}"

    def _reverse(self, *batch: Any) -> Linear:
        variables = self._variables
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(variables)
            gradients = self._gradients(*batch)

        def product(vector: tf.Tensor) -> list[tf.Tensor]:
            products = tape.gradient(
                gradients,
                variables,
                output_gradients=unflatten(vector, variables),
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            return [tf.convert_to_tensor(each) for each in products]

        return product

    def _forward(self, *batch: Any) -> Linear:
        variables = self._variables

        def product(vector: tf.Tensor) -> list[tf.Tensor]:
            with tf.autodiff.ForwardAccumulator(variables, unflatten(vector, variables)) as accumulator:
                gradients = self._gradients(*batch)
            return accumulator.jvp(gradients, unconnected_gradients=tf.UnconnectedGradients.ZERO)

        return product

    def _gradients(self, *batch: Any) -> list[tf.Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._variables)
            loss = self._loss(*batch)
        gradients = tape.gradient(loss, self._variables)
        self._note_connected(any(gradient is not None for gradient in gradients))
        return dense(gradients, self._variables)
