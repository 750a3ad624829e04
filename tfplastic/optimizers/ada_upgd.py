"""Utility-based perturbed gradient descent with the moments of Adam."""

import dataclasses
from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_positive
from tfplastic._keras import keras
from tfplastic._shared_arguments import shares_arguments
from tfplastic.optimizers._forms.keras_form import keras_arguments
from tfplastic.optimizers._forms.pure_form import PureForm
from tfplastic.optimizers.pure import OptimizerState, check_decay, moments, one_minus_power
from tfplastic.optimizers.upgd import PureUPGD


@dataclasses.dataclass(frozen=True, kw_only=True)
class PureAdaUPGD(PureUPGD):
    """UPGD in the direction of Adam, m_hat / (sqrt(v_hat) + epsilon) in place of the gradient.

    See `ada_upgd` for rule, source and departures.

    Args:
        learning_rate: see `PureOptimizer`.
        max_gradient_norm: see `PureOptimizer`.
        weight_decay: see `PureUPGD`.
        noise_scale: see `PureUPGD`.
        utility_decay: see `PureUPGD`.
        scaling: see `PureUPGD`.
        protects: see `PureUPGD`.
        order: see `PureUPGD`.
        corrects_maximum: see `PureUPGD`.
        guards_maximum: see `PureUPGD`.
        step_factor: see `PureUPGD`.
        seed: see `PureUPGD`.
        beta_1: decay of m, in [0, 1).
        beta_2: decay of v, in [0, 1).
        epsilon: above 0.

    Slots: all of `PureUPGD`, `mean` m and `mean_square` v.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> upgd = tp.optimizers.PureAdaUPGD(learning_rate=0.5, noise_scale=0.0, weight_decay=0.0)
        >>> weights, _ = upgd.update([tf.constant([3.0])], upgd.init([tf.zeros(1)]), [tf.zeros(1)])
        >>> round(float(weights[0][0]), 4)
        -0.5
    """

    weight_decay: float = 1e-3
    noise_scale: float = 1e-3
    utility_decay: float = 0.999
    step_factor: float = 2.0
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_decay("beta_1", self.beta_1)
        check_decay("beta_2", self.beta_2)
        check_positive("epsilon", self.epsilon)

    @property
    def slot_names(self) -> tuple[str, ...]:
        return (*super().slot_names, "mean", "mean_square")

    def _directions(
        self, gradients: Any, state: OptimizerState, step: tf.Tensor
    ) -> tuple[list[tf.Tensor], dict[str, list[tf.Tensor]]]:
        directions, means, squares = [], [], []
        for gradient, mean, square in zip(
            gradients, state.slots["mean"], state.slots["mean_square"], strict=True
        ):
            of_step = tf.cast(step, gradient.dtype)
            mean, square = moments(gradient, mean, square, self.beta_1, self.beta_2)
            means.append(mean)
            squares.append(square)
            corrected = mean / one_minus_power(self.beta_1, of_step)
            root = tf.sqrt(square / one_minus_power(self.beta_2, of_step))
            directions.append(corrected / (root + self.epsilon))
        return directions, {"mean": means, "mean_square": squares}


@keras.utils.register_keras_serializable(package="tfplastic")
class AdaUPGD(PureForm):
    """Keras optimizer with the update of `PureAdaUPGD`."""

    pure_class = PureAdaUPGD


@gin.register(module="tfplastic.optimizers")
@shares_arguments(PureAdaUPGD, omit=("learning_rate", "order"), learning_rate=1.0)
def ada_upgd(
    learning_rate: float = 1e-5,
    *,
    settings: PureAdaUPGD,
) -> keras.optimizers.Optimizer:
    """Returns UPGD with the moments of Adam, for reinforcement learning, as a Keras optimizer.

    Rule: theta <- (1 - lr decay) theta - factor lr (m_hat / (sqrt(v_hat) + epsilon) + noise)(1 - s), with
        m_hat and v_hat those of Adam, noise and s those of `upgd`.
    Defaults: constants of the released code.
    Source: Elsayed and Mahmood 2024, the released code, `core/run/rl/adaupgd.py` of mohmdelsayed/upgd.
    Departures: the paper does not have the code's factor of 2, `step_factor`. If no utility is above 0, see
        `upgd`.

    Args:
        learning_rate: above 0.
        epsilon: outside the root, above 0.
        protects: whether useful weights also get less of the direction, or only less noise.
        step_factor: factor of the learning rate in the second term, above 0.
        seed: seed of the noise. None: 0, or in a run the root seed.
        settings: see `PureAdaUPGD`.

    Returns:
        A Keras optimizer; its `pure` is the same as pure functions.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> tp.optimizers.ada_upgd().pure.step_factor
        2.0
    """
    return AdaUPGD(
        learning_rate=check_positive("learning_rate", learning_rate),
        **keras_arguments(settings),
    )
