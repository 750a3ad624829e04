"""Adam with a decoupled pull of matrices towards orthogonality."""

import dataclasses
from collections.abc import Sequence

import gin
import tensorflow as tf

from tfplastic._checks import check_non_negative, check_positive
from tfplastic._keras import keras
from tfplastic._shared_arguments import shares_arguments
from tfplastic.optimizers._forms.hidden_matrices import HiddenMatricesForm, as_matrix, check_hidden, hidden_of
from tfplastic.optimizers._forms.keras_form import keras_arguments
from tfplastic.optimizers.pure import OptimizerState, PureAdam, cast_to


@dataclasses.dataclass(frozen=True, kw_only=True)
class PureAdamO(PureAdam):
    """AdamO: the update of Adam, then W <- W - lr strength 4 W (W^T W - I). See `adamo`.

    Args:
        learning_rate: see `PureOptimizer`.
        max_gradient_norm: if given, gradients whose global norm exceeds it are scaled down to it. The pull
            is not clipped.
        beta_1: see `PureAdam`.
        beta_2: see `PureAdam`.
        epsilon: see `PureAdam`.
        epsilon_root: see `PureAdam`.
        bias_correction: see `PureAdam`.
        per_entry_steps: see `PureAdam`.
        strength: factor of the pull, at least 0.
        hidden: whether each parameter is a hidden matrix, which is pulled. None: all parameters of two axes
            or more but the last of them; the Keras form goes by the names of the weights too.

    Slots: `PureAdam` has the same.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> pure = tp.optimizers.PureAdamO(learning_rate=0.1, strength=0.5, hidden=[True])
        >>> weights = [0.5 * tf.eye(2)]
        >>> (new,), _ = pure.update([tf.zeros([2, 2])], pure.init(weights), weights)
        >>> round(float(new[0, 0]), 4)  # 0.5 + 0.1 x 0.5 x 4 x 0.5 x 0.75
        0.575
    """

    strength: float
    hidden: Sequence[bool] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_non_negative("strength", self.strength)
        check_hidden(self.hidden)

    def with_hidden(self, hidden: tuple[bool, ...]) -> "PureAdamO":
        """Returns the same optimizer for parameters of which these are hidden matrices."""
        return dataclasses.replace(self, hidden=hidden)

    def update_unclipped(
        self, gradients: Sequence[tf.Tensor], state: OptimizerState, parameters: Sequence[tf.Tensor]
    ) -> tuple[list[tf.Tensor], OptimizerState]:
        """Implements `PureOptimizer.update_unclipped`."""
        updated, new_state = super().update_unclipped(gradients, state, parameters)
        if not self.strength:
            return updated, new_state
        hidden = hidden_of(self.hidden, parameters, convolutions=True)
        return [
            each - cast_to(self.learning_rate, each.dtype) * self.strength * _pull(each)
            if is_hidden
            else each
            for each, is_hidden in zip(updated, hidden, strict=True)
        ], new_state


def _pull(kernel: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of |W^T W - I|_F^2, or for a wide W of |W W^T - I|_F^2."""
    w = as_matrix(kernel)  # [inputs, outputs]
    if w.shape[0] >= w.shape[1]:
        pull = tf.matmul(w, tf.matmul(w, w, transpose_a=True) - tf.eye(w.shape[1], dtype=w.dtype))
    else:
        pull = tf.matmul(tf.matmul(w, w, transpose_b=True) - tf.eye(w.shape[0], dtype=w.dtype), w)
    return 4 * tf.reshape(pull, kernel.shape)


@keras.utils.register_keras_serializable(package="tfplastic")
class AdamO(HiddenMatricesForm):
    """Keras optimizer with the update of `PureAdamO`."""

    pure_class = PureAdamO


@gin.register(module="tfplastic.optimizers")
@shares_arguments(PureAdam, omit=("learning_rate",), learning_rate=1.0)
def adamo(
    strength: float,
    learning_rate: float = 1e-3,
    *,
    exclude: Sequence[str] | None = None,
    settings: PureAdam,
) -> keras.optimizers.Optimizer:
    """Returns Adam with a decoupled pull of hidden matrices towards orthogonality, as a Keras optimizer.

    Rule: the update of `adam` with the gradient of the loss; then W <- W - 4 lr strength W (W^T W - I) for
        each hidden matrix W, for a wide one 4 (W W^T - I) W. The pull, the gradient of |W^T W - I|_F^2, is
        part of neither moment. A kernel of a convolution is a matrix `[height * width * in, out]`.
    Defaults: constants of Adam. The strength has none.
    Source: Rosseau, Mueller and Nowe 2026, "Preserving plasticity in continual learning via dynamical
        isometry" (arXiv 2606.09762), AdamO with its isometry step size at the learning rate.
    Departures: the choice of matrices is ours: all kernels but the last one and those of embeddings.

    Args:
        strength: factor of the pull, at least 0.
        learning_rate: above 0; it multiplies the pull as well.
        bias_correction: `'means'` or `'step_size'`, see `adam`.
        exclude: regular expressions, such as `['output']`: kernels whose path has one of them are not pulled.
            None: the last kernel, and those of embeddings.
        per_entry_steps: whether each entry counts its updates, see `adam`.
        settings: see `PureAdam`.

    Returns:
        A Keras optimizer; its `pure` is the same as pure functions.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> tp.optimizers.adamo(strength=0.01).pure.strength
        0.01
    """
    return AdamO(
        learning_rate=check_positive("learning_rate", learning_rate),
        strength=strength,
        exclude=exclude,
        **keras_arguments(settings),
    )
