"""Centred RMSProp as DQN uses it."""

import gin

from tfplastic._checks import check_fraction, check_positive
from tfplastic._keras import keras


@gin.register(module="tfplastic.optimizers")
def centered_rmsprop(
    learning_rate: float = 2.5e-4, decay: float = 0.95, epsilon: float = 0.01 / 32**2
) -> keras.optimizers.Optimizer:
    """Keras' centred RMSprop: theta <- theta - lr g / sqrt(v - m^2 + epsilon), m, v running means of g, g^2.

    The defaults are those of DQN Zoo's `dqn` and `double_q`, which Lyle et al. 2023 (section 6.3) start from.
    Epsilon is inside the root, there and here.

    Args:
        learning_rate: above 0.
        decay: of the running means, in [0, 1].
        epsilon: above 0.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> tp.optimizers.centered_rmsprop().centered
        True
    """
    return keras.optimizers.RMSprop(
        check_positive("learning_rate", learning_rate),
        rho=check_fraction("decay", decay),
        epsilon=check_positive("epsilon", epsilon),
        centered=True,
    )
