"""Operations on variables as functions of their values, and those that `tf.vectorized_map` does not batch."""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

RANDOM = (
    "StatelessRandomGetKeyCounter",
    "StatelessRandomNormalV2",
    "StatelessRandomUniformFullIntV2",
    "StatelessRandomUniformIntV2",
    "StatelessRandomUniformV2",
    "StatelessTruncatedNormalV2",
)
"""Their draws are a function of one key each, which has no batched form."""


def _scatter(tensor: Any, indices: Any, updates: Any) -> list[tf.Tensor]:
    # One scatter, which may happen in place: indices [networks, ..., depth] get the network as their first.
    places = indices.shape.as_list()[:-1]  # [networks, ...]
    networks = tf.reshape(tf.range(places[0], dtype=indices.dtype), [-1] + [1] * len(places))
    indices = tf.concat([tf.broadcast_to(networks, [*places, 1]), indices], axis=-1)
    return [tf.tensor_scatter_nd_update(tensor, indices, updates)]


STACKED: dict[str, Callable[..., list[tf.Tensor]]] = {"TensorScatterUpdate": _scatter}
"""Operations as functions of stacked inputs, because TensorFlow's own batched form is wrong or slow."""


class Rule(NamedTuple):
    """An operation as a function of values.

    Attributes:
        compute: function that maps the operation and its inputs, variables being their values, to its
            outputs, followed by the values that it assigns.
        count: number of these tensors.
        assigns: the inputs that are assigned, by their position.
    """

    compute: Callable[..., list[tf.Tensor]]
    count: int = 1
    assigns: tuple[int, ...] = ()


def _adam(operation: Any, theta: Any, m: Any, v: Any, *rest: Any) -> list[tf.Tensor]:
    power_1, power_2, learning_rate, beta_1, beta_2, epsilon, gradient = rest
    step_size = learning_rate * tf.sqrt(1 - power_2) / (1 - power_1)
    m += (gradient - m) * (1 - beta_1)
    v += (tf.square(gradient) - v) * (1 - beta_2)
    mean = beta_1 * m + (1 - beta_1) * gradient if operation.get_attr("use_nesterov") else m
    return [theta - step_size * mean / (tf.sqrt(v) + epsilon), m, v]


def _centered_rmsprop(operation: Any, theta: Any, *rest: Any) -> list[tf.Tensor]:
    mean, mean_square, increment, learning_rate, rho, momentum, epsilon, gradient = rest
    mean_square += (tf.square(gradient) - mean_square) * (1 - rho)
    mean += (gradient - mean) * (1 - rho)
    scaled = learning_rate * gradient / tf.sqrt(mean_square - tf.square(mean) + epsilon)
    increment = momentum * increment + scaled
    return [theta - increment, mean, mean_square, increment]


def _read_and_skip(operation: Any, state: Any, algorithm: Any, delta: Any) -> list[tf.Tensor]:
    # The state of a `tf.random.Generator`: two words of a counter, which advances by 256 for each of `delta`,
    # and the key. The carry into the second word would come after 2^56 draws.
    skipped = tf.cast(delta, state.dtype) * 256
    return [state, state + tf.stack([skipped, tf.zeros_like(skipped), tf.zeros_like(skipped)])]


RULES = {
    "ReadVariableOp": Rule(lambda operation, value: [value]),
    "AssignVariableOp": Rule(lambda operation, old, new: [new], assigns=(0,)),
    "AssignAddVariableOp": Rule(lambda operation, old, change: [old + change], assigns=(0,)),
    "AssignSubVariableOp": Rule(lambda operation, old, change: [old - change], assigns=(0,)),
    "ResourceApplyAdam": Rule(_adam, 3, assigns=(0, 1, 2)),
    "ResourceApplyCenteredRMSProp": Rule(_centered_rmsprop, 4, assigns=(0, 1, 2, 3)),
    "RngReadAndSkip": Rule(_read_and_skip, 2, assigns=(0,)),
    "L2Loss": Rule(lambda operation, value: [tf.reduce_sum(tf.square(value)) / 2]),
}
