"""Stochastic gradient descent with momentum."""

from typing import Any

import gin

from tfplastic._checks import check_fraction, check_positive
from tfplastic._keras import keras
from tfplastic.optimizers._forms.keras_form import apply_rule, check_form, index_of
from tfplastic.optimizers.pure import PureSGD


@keras.utils.register_keras_serializable(package="tfplastic")
class SGD(keras.optimizers.SGD):
    """Keras' SGD with the update of `PureSGD`."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        check_form(self, self.pure, nesterov=False)

    @property
    def pure(self) -> PureSGD:
        """The same optimizer as pure functions; they read the learning rate of this one."""
        return PureSGD(
            learning_rate=self.learning_rate, max_gradient_norm=self.global_clipnorm, momentum=self.momentum
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any = None) -> None:
        """Updates `variable` once; Keras 3 passes the learning rate, Keras 2 does not."""
        slots = (self.momentums[index_of(self, variable)],) if self.momentum else ()
        apply_rule(self.pure, gradient, variable, slots, self.iterations)


@gin.register(module="tfplastic.optimizers")
def sgd(
    learning_rate: float = 1e-3, momentum: float = 0.0, max_gradient_norm: float | None = None
) -> keras.optimizers.Optimizer:
    """Returns stochastic gradient descent as a Keras optimizer: u <- momentum u - lr g, theta <- theta + u.

    Rule: u <- momentum u - lr g, theta <- theta + u; u is kept only with a momentum.
    Defaults: the learning rate of gradient descent next to Brownian motion in Lyle et al. 2023, who name no
        momentum.
    Source: Robbins and Monro 1951, "A stochastic approximation method"; Lyle et al. 2023, "Understanding
        plasticity in neural networks", appendix A.1.
    Departures: none.

    Args:
        learning_rate: above 0.
        momentum: in [0, 1].
        max_gradient_norm: if given, gradients whose global norm exceeds it are scaled down to it.

    Returns:
        A Keras optimizer; its `pure` is the same as pure functions.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> tp.optimizers.sgd(0.01, momentum=0.9).pure.slot_names
        ('increment',)
    """
    return SGD(
        learning_rate=check_positive("learning_rate", learning_rate),
        momentum=check_fraction("momentum", momentum),
        global_clipnorm=max_gradient_norm,
    )
