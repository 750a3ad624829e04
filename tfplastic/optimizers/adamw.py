"""Adam with decoupled weight decay."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_boolean, check_non_negative, check_positive
from tfplastic._keras import keras
from tfplastic._shared_arguments import shares_arguments
from tfplastic.optimizers._forms.hidden_matrices import is_kernel
from tfplastic.optimizers._forms.keras_form import check_form, keras_arguments
from tfplastic.optimizers.adam import Adam
from tfplastic.optimizers.pure import PureAdam, cast_to


@dataclasses.dataclass(frozen=True, kw_only=True)
class PureAdamW(PureAdam):
    """AdamW: theta <- (1 - lr decay) theta - the update of Adam (Loshchilov and Hutter 2019, Algorithm 2).

    Args:
        learning_rate: see `PureOptimizer`.
        max_gradient_norm: if given, gradients whose global norm exceeds it are scaled down to it. The decay
            is not clipped.
        beta_1: see `PureAdam`.
        beta_2: see `PureAdam`.
        epsilon: see `PureAdam`.
        epsilon_root: see `PureAdam`.
        bias_correction: see `PureAdam`.
        per_entry_steps: see `PureAdam`.
        weight_decay: share by which, times the learning rate, an update shrinks the parameters; at least 0.
        decay_vectors: whether parameters that are no kernels decay as well: biases, gains and offsets. Pure
            functions know shapes only, so that theirs are the parameters of fewer than two axes; the Keras
            form goes by the names of the weights too.

    Slots: `PureAdam` has the same.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> adamw = tp.optimizers.PureAdamW(learning_rate=0.5, weight_decay=0.5)
        >>> weights, _ = adamw.update([tf.zeros(1)], adamw.init([tf.ones(1)]), [tf.ones(1)])
        >>> float(weights[0][0])
        0.75
    """

    weight_decay: float = 0.01
    decay_vectors: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_non_negative("weight_decay", self.weight_decay)
        check_boolean("decay_vectors", self.decay_vectors)

    def rule(
        self, gradient: tf.Tensor, parameter: tf.Tensor, slots: Sequence[tf.Tensor], step: tf.Tensor
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        if self.decay_vectors or len(parameter.shape) >= 2:
            learning_rate = cast_to(self.learning_rate, parameter.dtype)
            parameter -= parameter * tf.constant(self.weight_decay, parameter.dtype) * learning_rate
        return super().rule(gradient, parameter, slots, step)


@keras.utils.register_keras_serializable(package="tfplastic")
class AdamW(Adam):
    """Keras' Adam with the update of `PureAdamW`; Keras itself applies the decay before the update."""

    decay_vectors = True

    def __init__(self, *, decay_vectors: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.decay_vectors = check_boolean("decay_vectors", decay_vectors)

    def _check(self) -> None:
        check_form(self, self.pure, amsgrad=False, adaptive_epsilon=False, weight_decay=self.weight_decay)

    @property
    def pure(self) -> PureAdamW:
        """The same optimizer as pure functions; they read the learning rate of this one."""
        own = {"weight_decay": self.weight_decay, "decay_vectors": self.decay_vectors}
        return PureAdamW(**vars(super().pure), **own)

    @property
    def _rule(self) -> PureAdam:
        return super().pure  # Keras has applied the decay

    def _use_weight_decay(self, variable: Any) -> bool:
        return self.decay_vectors or is_kernel(variable)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make the same optimizer again."""
        return {**super().get_config(), "decay_vectors": self.decay_vectors}


@gin.register(module="tfplastic.optimizers")
@shares_arguments(PureAdamW, omit=("learning_rate",), learning_rate=1.0)
def adamw(
    learning_rate: float = 1e-3,
    *,
    settings: PureAdamW,
) -> keras.optimizers.Optimizer:
    """Returns AdamW as a Keras optimizer: Adam after theta <- (1 - lr decay) theta.

    Rule: theta <- (1 - lr decay) theta - lr m_hat / (sqrt(v_hat + epsilon_root) + epsilon), the second term
        that of `adam`. The decay is not part of the gradient: it changes neither means nor clipping.
    Defaults: constants of PyTorch's `AdamW`.
    Source: Loshchilov and Hutter 2019, "Decoupled weight decay regularization", Algorithm 2.
    Departures: the learning rate multiplies the decay, as in PyTorch and Keras; in the paper only a schedule
        does.

    Args:
        learning_rate: above 0.
        bias_correction: `'means'` or `'step_size'`, see `adam`.
        per_entry_steps: whether each entry counts its updates, see `adam`.
        settings: see `PureAdamW`.

    Returns:
        A Keras optimizer; its `pure` is the same as pure functions.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> tp.optimizers.adamw(3e-4, weight_decay=0.1).pure.weight_decay
        0.1
    """
    return AdamW(
        learning_rate=check_positive("learning_rate", learning_rate),
        **keras_arguments(settings),
    )
