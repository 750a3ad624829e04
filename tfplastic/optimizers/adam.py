"""Adam with the constants of C51."""

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
    """Keras' Adam: theta <- theta - lr_t m / (sqrt(v) + epsilon), m and v running means of g and g^2.

    lr_t = lr sqrt(1 - beta_2^t) / (1 - beta_1^t) corrects the bias of both means in step t, the second form
    in section 2 of Kingma and Ba 2015. Their Algorithm 1, which DQN Zoo's Optax follows, adds epsilon to the
    corrected root instead: the epsilon there that equals this one is epsilon / sqrt(1 - beta_2^t), 32 times
    as large in the first step and within 1 % after 4,000, for the default beta_2.

    Args:
        learning_rate: above 0. 2.5e-4 in DQN Zoo's `c51`.
        beta_1: decay of m, in [0, 1).
        beta_2: decay of v, in [0, 1).
        epsilon: as above, above 0. 0.01 / 32 in DQN Zoo's `c51`.
        max_gradient_norm: if given, gradients whose global norm exceeds it are scaled down to it. 10 in DQN
            Zoo's `c51`.

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
        beta_1=_check_decay("beta_1", beta_1),
        beta_2=_check_decay("beta_2", beta_2),
        epsilon=check_positive("epsilon", epsilon),
        global_clipnorm=max_gradient_norm,
    )


def _check_decay(name: str, value: float) -> float:
    if check_fraction(name, value) == 1:  # the bias could not be corrected
        raise ValueError(f"`{name}` must be a number in [0, 1). Received: {value!r}")
    return float(value)
