"""Gradient descent whose step cannot overshoot, with eligibility traces."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_fraction, check_positive
from tfplastic._keras import keras
from tfplastic._shared_arguments import shares_arguments
from tfplastic.optimizers._forms.keras_form import keras_arguments
from tfplastic.optimizers._forms.pure_form import PureForm
from tfplastic.optimizers.pure import OptimizerState, PureOptimizer, cast_to


@dataclasses.dataclass(frozen=True, kw_only=True)
class PureObGD(PureOptimizer):
    """ObGD: theta <- theta - lr / max(1, kappa lr max(|error|, 1) |z|_1) error z, z a trace of gradients.

    See `obgd` for rule, source and departures.

    Args:
        learning_rate: see `PureOptimizer`.
        max_gradient_norm: see `PureOptimizer`.
        discount: discount of the returns, in [0, 1].
        trace_decay: decay of the traces, in [0, 1]; times `discount` in each step.
        kappa: bound of the step, above 0.

    Slots: `trace` z.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> obgd = tp.optimizers.PureObGD(learning_rate=1.0, kappa=2.0)
        >>> state = obgd.init([tf.zeros(2)])
        >>> weights, _ = obgd.update([tf.constant([3.0, 1.0])], state, [tf.zeros(2)])
        >>> weights[0].numpy().tolist()  # the step is 1 / (2 (3 + 1))
        [-0.375, -0.125]
    """

    discount: float = 0.99
    trace_decay: float = 0.8
    kappa: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fraction("discount", self.discount)
        check_fraction("trace_decay", self.trace_decay)
        check_positive("kappa", self.kappa)

    @property
    def slot_names(self) -> tuple[str, ...]:
        return ("trace",)

    def update_unclipped(
        self,
        gradients: Sequence[tf.Tensor],
        state: OptimizerState,
        parameters: Sequence[tf.Tensor],
        error: Any = 1.0,
        ends: Any = False,
    ) -> tuple[list[tf.Tensor], OptimizerState]:
        """Applies one update.

        Args:
            gradients: one for each parameter, of minus the prediction if `error` is a temporal difference.
            state: from `init` or the last update.
            parameters: tensors.
            error: `[]`, the temporal-difference error; 1 for gradients of a loss.
            ends: `[] bool`, whether the episode ends with this step, after which traces are zero.

        Returns:
            The new parameters and the new state.
        """
        kept = self.discount * self.trace_decay
        traces = [
            kept * old + gradient for old, gradient in zip(state.slots["trace"], gradients, strict=True)
        ]
        error = tf.cast(error, tf.float64)
        length = tf.add_n([tf.reduce_sum(tf.abs(tf.cast(each, tf.float64))) for each in traces])  # []
        rate = cast_to(self.learning_rate, tf.float64)
        overshoot = self.kappa * rate * tf.maximum(tf.abs(error), 1.0) * length
        step = error * rate / tf.maximum(overshoot, 1.0)  # [] float64
        updated = [
            parameter - tf.cast(step, parameter.dtype) * trace
            for parameter, trace in zip(parameters, traces, strict=True)
        ]
        traces = [tf.where(ends, tf.zeros_like(each), each) for each in traces]
        return updated, OptimizerState(state.step + 1, {"trace": traces}, state.shared)


@keras.utils.register_keras_serializable(package="tfplastic")
class ObGD(PureForm):
    """Keras optimizer with the update of `PureObGD`.

    Args:
        learning_rate: number above 0, or a schedule of Keras.
        **kwargs: see `PureForm`.

    Attributes:
        error: variable `[]`, the temporal-difference error of the next update. 1 until a caller assigns it.
        ends: variable `[] bool`, whether the next update is the last of an episode.
    """

    pure_class = PureObGD

    def __init__(self, learning_rate: Any = 1.0, **kwargs: Any):
        super().__init__(learning_rate, **kwargs)
        self.error = tf.Variable(1.0, trainable=False, name="error")
        self.ends = tf.Variable(False, trainable=False, name="ends")

    def _update(self, pure: Any, gradients: Any, state: OptimizerState, parameters: Any) -> Any:
        error, ends = tf.convert_to_tensor(self.error), tf.convert_to_tensor(self.ends)
        return pure.update_unclipped(gradients, state, parameters, error, ends)


@gin.register(module="tfplastic.optimizers")
@shares_arguments(PureObGD, omit=("learning_rate",), learning_rate=1.0)
def obgd(
    learning_rate: float = 1.0,
    *,
    settings: PureObGD,
) -> keras.optimizers.Optimizer:
    """Returns overshooting-bounded gradient descent with eligibility traces, as a Keras optimizer.

    Rule: z <- discount trace_decay z + g; dot = kappa lr max(|error|, 1) |z|_1, the norm over all weights;
        theta <- theta - lr / max(1, dot) error z. At the end of an episode z <- 0 after the update.
    Defaults: constants of the released code; kappa is 2 for critics, 3 for actors.
    Source: Elsayed, Vasan and Mahmood 2024, "Streaming deep reinforcement learning finally works", and its
        code, stream-x.
    Departures: none. Sparse initial weights, LayerNorm and the normalization of observations and rewards,
        which stream-x uses with it, are not part of the optimizer.

    For temporal differences, g is the gradient of minus the value, or of minus the log of the policy, and the
    caller assigns `optimizer.error` and `optimizer.ends` before each update. For gradients of a loss the
    error stays 1, and `trace_decay=0` gives plain descent with a bounded step; with a decay above 0, z acts
    as a momentum.

    Args:
        learning_rate: above 0.
        trace_decay: in [0, 1]; lambda in the paper.
        kappa: above 0; larger values bound the step more.
        settings: see `PureObGD`.

    Returns:
        A Keras optimizer; its `pure` is the same as pure functions.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> float(tp.optimizers.obgd(kappa=3.0).error)
        1.0
    """
    return ObGD(
        learning_rate=check_positive("learning_rate", learning_rate),
        **keras_arguments(settings),
    )
