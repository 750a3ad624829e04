"""Adam as C51 uses it."""

import gin

from tfplastic._checks import check_fraction, check_positive
from tfplastic._keras import keras


@gin.register(module="tfplastic.optimizers")
def adam(
    learning_rate: float = 2.5e-4,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 0.01 / 32,
    max_gradient_norm: float | None = None,
) -> keras.optimizers.Optimizer:
    """Keras' Adam: theta <- theta - lr m / (sqrt(v) + epsilon), m and v bias-corrected running means of g and g^2.

    Args:
        learning_rate: above 0. 2.5e-4 in DQN Zoo's `c51`.
        beta_1: decay of m, in [0, 1].
        beta_2: decay of v, in [0, 1].
        epsilon: outside the root, above 0. 0.01 / 32 in DQN Zoo's `c51`.
        max_gradient_norm: if given, gradients whose global norm exceeds it are scaled down to it. 10 in DQN Zoo's `c51`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> tp.optimizers.adam(max_gradient_norm=10.0).global_clipnorm
        10.0
    """
    if max_gradient_norm is not None:
        check_positive("max_gradient_norm", max_gradient_norm)
    return keras.optimizers.Adam(
        check_positive("learning_rate", learning_rate),
        beta_1=check_fraction("beta_1", beta_1),
        beta_2=check_fraction("beta_2", beta_2),
        epsilon=check_positive("epsilon", epsilon),
        global_clipnorm=max_gradient_norm,
    )
