"""Muon: momentum made orthogonal, for hidden matrices."""

import dataclasses
from collections.abc import Sequence

import gin
import tensorflow as tf

from tfplastic._checks import (
    check_boolean,
    check_fraction,
    check_integer,
    check_non_negative,
    check_positive,
)
from tfplastic._keras import keras
from tfplastic._shared_arguments import shares_arguments
from tfplastic.optimizers._forms.hidden_matrices import HiddenMatricesForm, as_matrix, check_hidden, hidden_of
from tfplastic.optimizers._forms.keras_form import keras_arguments
from tfplastic.optimizers.pure import OptimizerState, PureAdam, PureOptimizer, cast_to, check_decay

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of Jordan's quintic iteration


@dataclasses.dataclass(frozen=True, kw_only=True)
class PureMuon(PureOptimizer):
    """Muon on hidden matrices, AdamW on the rest. See `muon` for rule, source and departures.

    Args:
        learning_rate: see `PureOptimizer`.
        max_gradient_norm: see `PureOptimizer`.
        weight_decay: share by which, times the learning rate, an update shrinks hidden matrices; at least 0.
        momentum: decay of the momentum of hidden matrices, in [0, 1].
        nesterov: whether the gradient is added to the momentum once more.
        num_iterations: iterations that make a matrix orthogonal, at least 0.
        rms_rate: root mean square that an update has, times the learning rate, above 0. None: the update is
            the orthogonal matrix as it is.
        flattens_convolutions: whether kernels of convolutions are matrices, `[height * width * in, out]`.
        adam_rate_ratio: learning rate of AdamW, in units of that of Muon, above 0.
        adam_weight_decay: weight decay of AdamW, at least 0.
        beta_1: decay of AdamW's m, in [0, 1).
        beta_2: decay of AdamW's v, in [0, 1).
        epsilon: AdamW's, above 0.
        hidden: whether each parameter is a hidden matrix. None: all matrices but the last; the Keras form
            goes by the names of the weights too.

    Slots: `momentum`, of AdamW its m; `velocity`, AdamW's v, zeros for hidden matrices.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> pure = tp.optimizers.PureMuon(learning_rate=0.1, weight_decay=0.0, rms_rate=None, hidden=[True])
        >>> zeros = [tf.zeros([2, 2])]
        >>> weights, _ = pure.update([5 * tf.eye(2)], pure.init(zeros), zeros)
        >>> bool(tf.reduce_all(tf.abs(weights[0] + 0.1 * tf.eye(2)) < 0.05))
        True
    """

    weight_decay: float = 0.004
    momentum: float = 0.95
    nesterov: bool = True
    num_iterations: int = 5
    rms_rate: float | None = 0.2
    flattens_convolutions: bool = False
    adam_rate_ratio: float = 1.0
    adam_weight_decay: float = 0.004
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    hidden: Sequence[bool] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_non_negative("weight_decay", self.weight_decay)
        check_fraction("momentum", self.momentum)
        check_boolean("nesterov", self.nesterov)
        check_integer("num_iterations", self.num_iterations, 0, 100)
        if self.rms_rate is not None:
            check_positive("rms_rate", self.rms_rate)
        check_boolean("flattens_convolutions", self.flattens_convolutions)
        check_positive("adam_rate_ratio", self.adam_rate_ratio)
        check_non_negative("adam_weight_decay", self.adam_weight_decay)
        check_decay("beta_1", self.beta_1)
        check_decay("beta_2", self.beta_2)
        check_positive("epsilon", self.epsilon)
        check_hidden(self.hidden)

    @property
    def slot_names(self) -> tuple[str, ...]:
        return ("momentum", "velocity")

    def with_hidden(self, hidden: tuple[bool, ...]) -> "PureMuon":
        """Returns the same optimizer for parameters of which these are hidden matrices."""
        return dataclasses.replace(self, hidden=hidden)

    def update_unclipped(
        self, gradients: Sequence[tf.Tensor], state: OptimizerState, parameters: Sequence[tf.Tensor]
    ) -> tuple[list[tf.Tensor], OptimizerState]:
        """Implements `PureOptimizer.update_unclipped`."""
        step = state.step + 1
        hidden = hidden_of(self.hidden, parameters, self.flattens_convolutions)
        updated = []
        for is_hidden, gradient, parameter, *slots in zip(
            hidden, gradients, parameters, state.slots["momentum"], state.slots["velocity"], strict=True
        ):
            rate = cast_to(self.learning_rate, parameter.dtype)
            decay = self.weight_decay if is_hidden else self.adam_weight_decay
            kept = parameter - parameter * tf.constant(decay, parameter.dtype) * rate
            if is_hidden:
                direction, momentum = self._direction(gradient, slots[0])
                updated.append((kept - rate * direction, momentum, slots[1]))
            else:
                value, moments = self._adam(rate).rule(gradient, kept, slots, step)
                updated.append((value, *moments))
        values, momenta, velocities = (list(each) for each in zip(*updated, strict=True))
        return values, OptimizerState(step, {"momentum": momenta, "velocity": velocities}, state.shared)

    def _adam(self, rate: tf.Tensor) -> PureAdam:
        return PureAdam(
            learning_rate=rate * self.adam_rate_ratio,
            beta_1=self.beta_1,
            beta_2=self.beta_2,
            epsilon=self.epsilon,
            bias_correction="step_size",
        )

    def _direction(self, gradient: tf.Tensor, momentum: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        momentum = self.momentum * momentum + gradient
        mean = gradient + self.momentum * momentum if self.nesterov else momentum
        matrix = as_matrix(mean)  # [inputs, outputs]
        direction = orthogonal(matrix, self.num_iterations)
        if self.rms_rate is not None:
            direction *= self.rms_rate * max(matrix.shape) ** 0.5
        return tf.reshape(direction, gradient.shape), momentum


def orthogonal(matrix: tf.Tensor, num_iterations: int) -> tf.Tensor:
    """Returns about U V^T of a matrix U S V^T, with singular values of 0.7 to 1.2 after five iterations.

    Formula: X <- a X + (b X X^T + c (X X^T)^2) X, from X = matrix / |matrix|_F, the transpose of tall ones.
    """
    a, b, c = _COEFFICIENTS
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = tf.transpose(matrix) if is_tall else matrix
    x /= tf.norm(x) + tf.cast(1e-7, x.dtype)
    for _ in range(num_iterations):
        gram = tf.matmul(x, x, transpose_b=True)
        x = a * x + tf.matmul(b * gram + c * tf.matmul(gram, gram), x)
    return tf.transpose(x) if is_tall else x


@keras.utils.register_keras_serializable(package="tfplastic")
class Muon(HiddenMatricesForm):
    """Keras optimizer with the update of `PureMuon`."""

    pure_class = PureMuon


@gin.register(module="tfplastic.optimizers")
@shares_arguments(PureMuon, omit=("learning_rate", "hidden"), learning_rate=1.0)
def muon(
    learning_rate: float = 1e-3,
    *,
    exclude: Sequence[str] | None = None,
    settings: PureMuon,
) -> keras.optimizers.Optimizer:
    """Returns Muon as a Keras optimizer, for Keras 2 and Keras 3: hidden matrices by Muon, the rest by AdamW.

    Rule: m <- momentum m + g; G = g + momentum m (m without `nesterov`); O = G with its singular values made
        about 1, by `num_iterations` of X <- a X + (b X X^T + c (X X^T)^2) X from X = G / |G|_F, with
        a, b, c = 3.4445, -4.775, 2.0315; theta <- (1 - lr decay) theta - lr rms_rate sqrt(max(n, m)) O, for a
        matrix of n inputs and m outputs. The rest: AdamW with the bias correction `'step_size'` of `adam`.
    Defaults: constants of `keras.optimizers.Muon` of Keras 3.
    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; `rms_rate` of
        Liu et al. 2025, "Muon is scalable for LLM training".
    Departures: the last kernel goes to AdamW by default, as Jordan recommends; in Keras it has to be excluded
        by name. Kernels of convolutions go to AdamW, as in Keras; Jordan's code flattens them,
        `flattens_convolutions`.

    Args:
        learning_rate: above 0.
        weight_decay: decay of hidden matrices, at least 0.
        momentum: in [0, 1].
        rms_rate: above 0; None: without this factor and the root next to it.
        flattens_convolutions: whether kernels of convolutions are hidden matrices too.
        adam_weight_decay: decay of the rest, at least 0.
        epsilon: above 0.
        exclude: regular expressions, such as `['output', 'embedding']`: matrices whose path has one of them
            go to AdamW. None: the last kernel, and those of embeddings.
        settings: see `PureMuon`.

    Returns:
        A Keras optimizer; its `pure` is the same as pure functions.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> model = tp.networks.mlp(2, (3, 3), input_shape=(4,))
        >>> optimizer = tp.optimizers.muon()
        >>> optimizer.build(model.trainable_variables)
        >>> optimizer.pure.hidden  # the first two kernels; no biases, and not the last layer
        (True, False, True, False, False, False)
    """
    return Muon(
        learning_rate=check_positive("learning_rate", learning_rate),
        exclude=exclude,
        **keras_arguments(settings),
    )
