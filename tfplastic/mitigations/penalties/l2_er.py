"""L2-ER: L2 regularization with steps to a higher effective rank."""

from collections.abc import Sequence
from typing import Any

import gin
import tensorflow as tf

from tfplastic._checks import check_non_negative, check_positive_integer
from tfplastic._keras import tf_variable
from tfplastic.mitigations._weights.changes import change
from tfplastic.mitigations.mitigation import Mitigation, Slots, check_period

EPSILON = 1e-8
"""Number that keeps the logarithm and the division of an effective rank finite, as in the port."""


@gin.register(module="tfplastic.mitigations")
class L2ER(Mitigation):
    """L2 penalty together with gradient ascent on the effective rank of the hidden layers' activations.

    Rule: after an update, theta <- theta + step_size * d/dtheta mean_l erank(A_l), by the activations A_l
        `[examples, units * positions]` of each hidden layer l on the step's batch, with the updated weights.
        erank(A) = exp(-sum_i p_i log(p_i + 1e-8)), with p_i = s_i / sum_j s_j by the singular values s of A.
        The ascent does not use the optimizer. The penalty is decay / 2 * the sum of theta^2 over all
        trainable weights.
    Defaults: step size and decay of the port's configuration, whose grids are 1e-2 to 1e-4 and 1e-3 to 1e-5.
        In its convolutional networks only the last two layers count (`num_layers=2`).
    Source: Prakash et al. 2026, "Spectral collapse drives loss of plasticity in deep continual learning"; its
        code, KevinGuo27/lop-jax.
    Departures: the port ascends once per 100 examples (12 batches of its ImageNet, 5 of CIFAR), on all of
        them together; here each ascent is on one batch. A batch of one example has an effective rank of 1 and
        no gradient. In its networks for CIFAR and ImageNet the ascent precedes the updates with the same
        examples.
    Outputs: they change by every call, but for `step_size` 0.

    Args:
        step_size: learning rate of the ascent, at least 0; 0 leaves the penalty alone.
        decay: factor of the penalty, at least 0.
        num_layers: number of last hidden layers that count; None for all.
        period: see `Mitigation`.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import tfplastic as tp
        >>> tp.mitigations.L2ER(step_size=1e-3, num_layers=2).adds_penalty
        True
    """

    reads = ("batch",)
    turn = 300
    prefers_graph = True  # for its singular values

    def __init__(
        self,
        step_size: float = 1e-2,
        decay: float = 1e-3,
        num_layers: int | None = None,
        period: int | None = 1,
    ):
        self.period = check_period(period)
        self._step_size = check_non_negative("step_size", step_size)
        self._decay = check_non_negative("decay", decay)
        self._num_layers = None if num_layers is None else check_positive_integer("num_layers", num_layers)

    def penalty(self, variables: Sequence[Any], context: Any) -> tf.Tensor:
        if self._decay == 0:
            return tf.zeros([])
        squares = [tf.reduce_sum(tf.square(tf.convert_to_tensor(each))) for each in variables]
        return self._decay / 2 * tf.add_n([tf.cast(each, tf.float32) for each in squares])

    def after_update(self, step: tf.Tensor, model: Any, slots: Slots, key: tf.Tensor, context: Any) -> None:
        if self._step_size == 0:
            return
        variables = [tf_variable(each) for each in model.trainable_variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            layers = list(context.activations_on(context.batch).values())
            counted = layers if self._num_layers is None else layers[-self._num_layers :]
            mean = tf.add_n([effective_rank(each) for each in counted]) / len(counted)
        gradients = tape.gradient(mean, variables)
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
            if gradient is not None:
                old = tf.convert_to_tensor(variable)
                step_up = tf.cast(self._step_size, old.dtype) * tf.cast(gradient, old.dtype)
                change(variable, old + step_up, slots)


def effective_rank(activations: tf.Tensor) -> tf.Tensor:
    """Returns the exponential of the entropy of normalized singular values, `[] float32`; differentiable.

    Args:
        activations: `[examples, ...]`; all axes but the first are one.
    """
    flat = tf.reshape(activations, [tf.shape(activations)[0], activations[0].shape.num_elements()])
    s = tf.linalg.svd(tf.cast(flat, tf.float32), compute_uv=False)
    p = s / tf.maximum(tf.reduce_sum(s), EPSILON)
    return tf.exp(-tf.reduce_sum(p * tf.math.log(p + EPSILON)))
