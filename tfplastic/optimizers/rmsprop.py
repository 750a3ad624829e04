"""Centered RMSProp as DQN uses it."""

from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_positive
from tfplastic._keras import is_legacy, keras
from tfplastic.optimizers._forms.keras_form import apply_rule, check_form, index_of
from tfplastic.optimizers.pure import PureCenteredRMSprop


@keras.utils.register_keras_serializable(package="tfplastic")
class CenteredRMSprop(keras.optimizers.RMSprop):
    """Keras' centered RMSprop, with the update of `PureCenteredRMSprop` in one kernel for each variable.

    Args:
        outer_epsilon: see `PureCenteredRMSprop`.
        **kwargs: arguments of Keras' RMSprop.
    """

    def __init__(self, outer_epsilon: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.outer_epsilon = outer_epsilon
        check_form(self, self.pure, momentum=0.0, centered=True)

    @property
    def pure(self) -> PureCenteredRMSprop:
        """The same optimizer as pure functions; they read the learning rate of this one."""
        return PureCenteredRMSprop(
            learning_rate=self.learning_rate,
            max_gradient_norm=self.global_clipnorm,
            decay=self.rho,
            epsilon=self.epsilon,
            outer_epsilon=self.outer_epsilon,
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the configuration, of which Keras makes the same optimizer."""
        outer = {"outer_epsilon": self.outer_epsilon} if self.outer_epsilon else {}
        return {**super().get_config(), **outer}

    def build(self, variables: Any) -> None:
        """Makes the slots; Keras 2 calls this again at each step."""
        super().build(variables)
        if not self.outer_epsilon and not hasattr(self, "_increments"):
            names = {"variable_name" if is_legacy() else "name": "increment"}
            # The kernel's slot for momentum, which without momentum holds the last increment.
            self._increments = [self.add_variable_from_reference(v, **names) for v in variables]

    def update_step(self, gradient: tf.Tensor, variable: Any, learning_rate: Any = None) -> None:
        """Updates `variable` once; Keras 3 passes the learning rate, Keras 2 does not."""
        index = index_of(self, variable)
        slots = [self._average_gradients[index], self._velocities[index]]
        if self.outer_epsilon:
            apply_rule(self.pure, gradient, variable, slots, self.iterations)
            return
        slots.append(self._increments[index])
        tf.raw_ops.ResourceApplyCenteredRMSProp(
            var=variable.handle,
            mg=slots[0].handle,
            ms=slots[1].handle,
            mom=slots[2].handle,
            lr=tf.cast(self.learning_rate if learning_rate is None else learning_rate, gradient.dtype),
            rho=self.rho,
            momentum=0.0,
            epsilon=self.epsilon,
            grad=gradient,
        )


@gin.register(module="tfplastic.optimizers")
def centered_rmsprop(
    learning_rate: float = 2.5e-4,
    decay: float = 0.95,
    epsilon: float = 0.01 / 32**2,
    outer_epsilon: float = 0.0,
) -> keras.optimizers.Optimizer:
    """Returns Keras' centered RMSprop: theta <- theta - lr g / (sqrt(v - m^2 + epsilon) + outer_epsilon).

    Rule: m <- decay m + (1 - decay) g, v <- decay v + (1 - decay) g^2, and
        theta <- theta - lr g / (sqrt(v - m^2 + epsilon) + outer_epsilon).
    Defaults: constants of DQN Zoo's `dqn` and `double_q`, which Lyle et al. 2023 (section 6.3) start from.
    Source: Graves 2013, "Generating sequences with recurrent neural networks", Eqs. 38 to 41.
    Departures: no momentum, as in DQN Zoo. Epsilon is inside the root, there and here; PyTorch's is outside,
        which is `epsilon=0.0, outer_epsilon=...` here.

    Args:
        learning_rate: above 0.
        decay: decay of the running means, in [0, 1].
        epsilon: inside the root, above 0; or 0 where `outer_epsilon` is above it.
        outer_epsilon: outside the root, at least 0. With it, v - m^2 counts as 0 where rounding makes it
            negative.

    Returns:
        A Keras optimizer; its `pure` is the same as pure functions.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> tp.optimizers.centered_rmsprop().centered
        True
    """
    return CenteredRMSprop(
        learning_rate=check_positive("learning_rate", learning_rate),
        rho=decay,
        epsilon=epsilon,
        outer_epsilon=outer_epsilon,
        centered=True,
    )
