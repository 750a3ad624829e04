"""Optimizers as pure functions: `init(parameters) -> state`, `update(gradients, state, parameters)`.

They own no variable, so that a caller may keep parameters and state wherever it likes: in a `tf.while_loop`,
or, with one more axis, under `tf.vectorized_map` for several seeds side by side. The Keras optimizers of this
package have the same update; `optimizer.pure` is the pure form of each.
"""

import abc
import dataclasses
import math
import numbers
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfplastic._checks import check_boolean, check_fraction, check_non_negative, check_one_of, check_positive

BIAS_CORRECTIONS = ("step_size", "means")


class OptimizerState(NamedTuple):
    """State of an optimizer between two updates.

    Attributes:
        step: `[] int64`, the number of updates so far.
        slots: by the name of the slot, one tensor for each parameter, of its shape and dtype; counts of steps
            have at least the precision of float32.
        shared: by name, tensors that belong to all parameters together.
    """

    step: tf.Tensor
    slots: dict[str, list[tf.Tensor]]
    shared: dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PureOptimizer(abc.ABC):
    """An optimizer as two pure functions, both traceable: `init` and `update`.

    Args:
        learning_rate: a number above 0, or a scalar tensor or variable that is read at each update.
        max_gradient_norm: if given, above 0: gradients whose global norm exceeds it are scaled down to it.
    """

    learning_rate: Any
    max_gradient_norm: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.learning_rate, numbers.Number) or not hasattr(self.learning_rate, "dtype"):
            check_positive("learning_rate", self.learning_rate)
        if self.max_gradient_norm is not None:
            check_positive("max_gradient_norm", self.max_gradient_norm)

    @property
    @abc.abstractmethod
    def slot_names(self) -> tuple[str, ...]:
        """The names of the slots, in the order in which `rule` takes them."""

    @property
    def shared_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the state that belongs to all parameters together, float64, by name."""
        return {}

    @property
    def draws_noise(self) -> bool:
        """Whether each update draws noise for every entry of the parameters."""
        return False

    def rule(
        self, gradient: tf.Tensor, parameter: tf.Tensor, slots: Sequence[tf.Tensor], step: tf.Tensor
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        """Returns the update of one parameter; an optimizer overrides it, or `update_unclipped`.

        Args:
            gradient: gradient with the shape and dtype of the parameter.
            parameter: any shape of floats.
            slots: in the order of `slot_names`.
            step: `[]` integer, 1 in the first update.

        Returns:
            The new parameter and its new slots.
        """
        raise NotImplementedError(f"{type(self).__name__} must override `rule` or `update_unclipped`.")

    def slot_dtype(self, name: str, dtype: tf.DType) -> tf.DType:
        """Returns the dtype of the slot `name` of a parameter of `dtype`."""
        return dtype

    def init(self, parameters: Sequence[Any]) -> OptimizerState:
        """Returns the state before the first update: zeros."""
        zeros = {
            name: [tf.zeros_like(each, self.slot_dtype(name, each.dtype)) for each in parameters]
            for name in self.slot_names
        }
        shared = {name: tf.zeros(shape, tf.float64) for name, shape in self.shared_shapes.items()}
        return OptimizerState(tf.zeros([], tf.int64), zeros, shared)

    def update(
        self, gradients: Sequence[Any], state: OptimizerState, parameters: Sequence[Any]
    ) -> tuple[list[tf.Tensor], OptimizerState]:
        """Applies one update.

        Args:
            gradients: one for each parameter.
            state: from `init` or the last `update`.
            parameters: tensors or variables; variables are read, not assigned.

        Returns:
            The new parameters and the new state.
        """
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        if self.max_gradient_norm is not None:
            gradients = _clip_by_global_norm(gradients, self.max_gradient_norm)
        return self.update_unclipped(gradients, state, [tf.convert_to_tensor(each) for each in parameters])

    def update_unclipped(
        self, gradients: Sequence[tf.Tensor], state: OptimizerState, parameters: Sequence[tf.Tensor]
    ) -> tuple[list[tf.Tensor], OptimizerState]:
        """Applies one update of gradients as they are: by default, `rule` to each parameter.

        Args:
            gradients: one for each parameter.
            state: from `init` or the last update.
            parameters: tensors.

        Returns:
            The new parameters and the new state.
        """
        step = state.step + 1
        new_parameters, new_slots = [], {name: [] for name in self.slot_names}
        for index, (gradient, parameter) in enumerate(zip(gradients, parameters, strict=True)):
            old = [state.slots[name][index] for name in self.slot_names]
            new_parameter, new = self.rule(gradient, parameter, old, step)
            new_parameters.append(new_parameter)
            for name, slot in zip(self.slot_names, new, strict=True):
                new_slots[name].append(slot)
        return new_parameters, OptimizerState(step, new_slots, state.shared)


def moments(
    gradient: tf.Tensor, mean: tf.Tensor, mean_square: tf.Tensor, decay: float, decay_of_square: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the running means of a gradient and of its square, updated."""
    return (
        mean + (1 - decay) * (gradient - mean),
        mean_square + (1 - decay_of_square) * (tf.square(gradient) - mean_square),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PureAdam(PureOptimizer):
    """Adam: theta <- theta - lr m_hat / (sqrt(v_hat + epsilon_root) + epsilon), Eq. 6 of Lyle et al. 2023.

    m and v are the running means of g and g^2, m_hat = m / (1 - beta_1^t) and v_hat = v / (1 - beta_2^t) in
    step t (Kingma and Ba 2015, Algorithm 1, with one epsilon more: `eps_root` of Optax).

    Args:
        learning_rate: see `PureOptimizer`.
        max_gradient_norm: see `PureOptimizer`.
        beta_1: decay of m, in [0, 1).
        beta_2: decay of v, in [0, 1).
        epsilon: outside the root, above 0.
        epsilon_root: inside the root, at least 0.
        bias_correction: `'means'`, the equation above. Or `'step_size'`, the second form in section 2 of
            Kingma and Ba 2015 and that of Keras: the epsilons are added to the uncorrected v and its root,
            lr sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v + epsilon_root) + epsilon).
        per_entry_steps: whether each entry has a t of its own, a slot that a reset of the entry's unit zeroes
            with the others, as `AdamGnT` of Dohare et al. 2024 does. Else t is the step of the optimizer.

    Slots: `mean` m, `mean_square` v, and `steps` t with `per_entry_steps`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> adam = tp.optimizers.PureAdam(learning_rate=0.1)
        >>> weights, state = adam.update([tf.constant([2.0])], adam.init([tf.zeros(1)]), [tf.zeros(1)])
        >>> round(float(weights[0][0]), 6), int(state.step)
        (-0.1, 1)
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    epsilon_root: float = 0.0
    bias_correction: str = "means"
    per_entry_steps: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_decay("beta_1", self.beta_1)
        check_decay("beta_2", self.beta_2)
        check_positive("epsilon", self.epsilon)
        check_non_negative("epsilon_root", self.epsilon_root)
        check_one_of("bias_correction", self.bias_correction, BIAS_CORRECTIONS)
        check_boolean("per_entry_steps", self.per_entry_steps)

    @property
    def slot_names(self) -> tuple[str, ...]:
        return ("mean", "mean_square", *(["steps"] if self.per_entry_steps else []))

    def slot_dtype(self, name: str, dtype: tf.DType) -> tf.DType:
        # 16-bit floats cannot count beyond 256.
        return tf.float32 if name == "steps" and dtype.size < tf.float32.size else dtype

    def corrections(self, step: Any, dtype: tf.DType) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns 1 - beta_1^t and 1 - beta_2^t in step t."""
        step = tf.cast(step, dtype)
        return one_minus_power(self.beta_1, step), one_minus_power(self.beta_2, step)

    def constants(self, step: Any, dtype: tf.DType) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns the scalars a, r, e of step t, with which theta <- theta - a m / (sqrt(v + r) + e)."""
        correction_1, correction_2 = self.corrections(step, dtype)
        root_of_correction = tf.sqrt(correction_2)
        step_size = cast_to(self.learning_rate, dtype) * root_of_correction / correction_1
        if self.bias_correction == "step_size":
            return step_size, tf.constant(self.epsilon_root, dtype), tf.constant(self.epsilon, dtype)
        return step_size, self.epsilon_root * correction_2, self.epsilon * root_of_correction

    def rule(
        self, gradient: tf.Tensor, parameter: tf.Tensor, slots: Sequence[tf.Tensor], step: tf.Tensor
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        mean, mean_square, *counts = slots
        counts = [steps + 1 for steps in counts]
        step_size, epsilon_root, epsilon = self.constants(counts[0] if counts else step, parameter.dtype)
        mean, mean_square = moments(gradient, mean, mean_square, self.beta_1, self.beta_2)
        update = step_size * mean / (tf.sqrt(mean_square + epsilon_root) + epsilon)
        return parameter - update, (mean, mean_square, *counts)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PureCenteredRMSprop(PureOptimizer):
    """Centered RMSProp: theta <- theta - lr g / (sqrt(v - m^2 + epsilon) + outer_epsilon).

    m and v are running means of g and g^2.

    Graves 2013, "Generating sequences with recurrent neural networks", section 4.2, without momentum, as DQN
    has it.

    Args:
        learning_rate: see `PureOptimizer`.
        max_gradient_norm: see `PureOptimizer`.
        decay: decay of both running means, in [0, 1].
        epsilon: inside the root, above 0, or 0 where `outer_epsilon` is above it.
        outer_epsilon: outside the root, at least 0. With it, v - m^2 counts as 0 where rounding makes it
            negative.

    Slots: `mean` m, `mean_square` v.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> rmsprop = tp.optimizers.PureCenteredRMSprop(learning_rate=1.0, epsilon=1.0)
        >>> weights, _ = rmsprop.update([tf.zeros(1)], rmsprop.init([tf.ones(1)]), [tf.ones(1)])
        >>> float(weights[0][0])
        1.0
    """

    decay: float = 0.95
    epsilon: float = 0.01 / 32**2
    outer_epsilon: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fraction("decay", self.decay)
        check_non_negative("outer_epsilon", self.outer_epsilon)
        check = check_non_negative if self.outer_epsilon else check_positive
        check("epsilon", self.epsilon)

    @property
    def slot_names(self) -> tuple[str, ...]:
        return ("mean", "mean_square")

    def rule(
        self, gradient: tf.Tensor, parameter: tf.Tensor, slots: Sequence[tf.Tensor], step: tf.Tensor
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        learning_rate = cast_to(self.learning_rate, parameter.dtype)
        mean, mean_square = slots
        mean, mean_square = moments(gradient, mean, mean_square, self.decay, self.decay)
        variance = mean_square - tf.square(mean)
        if self.outer_epsilon:
            variance = tf.maximum(variance, 0)
        root = tf.sqrt(variance + self.epsilon)
        if self.outer_epsilon:
            root += self.outer_epsilon
        return parameter - learning_rate * gradient / root, (mean, mean_square)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PureSGD(PureOptimizer):
    """Stochastic gradient descent: u <- momentum u - lr g, theta <- theta + u.

    The learning rate is inside u, as in Keras: if it changes, increments of past steps keep the old one.

    Args:
        learning_rate: see `PureOptimizer`.
        max_gradient_norm: see `PureOptimizer`.
        momentum: decay of the velocity, in [0, 1]; with 0 there is no slot.

    Slots: `increment` u, only with a momentum above 0.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> sgd = tp.optimizers.PureSGD(learning_rate=0.5)
        >>> weights, _ = sgd.update([tf.ones(1)], sgd.init([tf.ones(1)]), [tf.ones(1)])
        >>> float(weights[0][0])
        0.5
    """

    momentum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fraction("momentum", self.momentum)

    @property
    def slot_names(self) -> tuple[str, ...]:
        return ("increment",) if self.momentum else ()

    def rule(
        self, gradient: tf.Tensor, parameter: tf.Tensor, slots: Sequence[tf.Tensor], step: tf.Tensor
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        descent = cast_to(self.learning_rate, parameter.dtype) * gradient
        if not self.momentum:
            return parameter - descent, ()
        increment = self.momentum * slots[0] - descent
        return parameter + increment, (increment,)


def check_decay(name: str, value: float) -> None:
    """Raises `ValueError` unless the decay of a running mean is in [0, 1)."""
    if check_fraction(name, value) == 1:  # the bias could not be corrected
        raise ValueError(f"`{name}` must be a number in [0, 1). Received: {value!r}")


def cast_to(value: Any, dtype: tf.DType) -> tf.Tensor:
    """Returns a number, or a tensor or variable, as a tensor of `dtype`."""
    # A Python number goes straight to the dtype: `tf.cast` would make it float32 first.
    return tf.cast(value, dtype) if hasattr(value, "dtype") else tf.constant(value, dtype)


def _clip_by_global_norm(gradients: list[tf.Tensor], max_norm: float) -> list[tf.Tensor]:
    squares = [tf.reduce_sum(tf.square(tf.cast(gradient, tf.float64))) for gradient in gradients]
    scale = tf.minimum(max_norm / tf.sqrt(tf.add_n(squares)), 1.0)  # a norm of 0 gives 1
    return [gradient * tf.cast(scale, gradient.dtype) for gradient in gradients]


def one_minus_power(beta: float, step: tf.Tensor) -> tf.Tensor:
    """Returns 1 - beta^step, for a step of floats."""
    # By the logarithm, because float32 rounds 0.999 by so much that 1 - 0.999 would be off by 1.3e-5.
    return -tf.math.expm1(step * (math.log(beta) if beta else -math.inf))
