"""Weights as a freshly initialized network has them, drawn inside a compiled program."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfplastic._keras import keras
from tfplastic._tf.random import fold_in, random_bits
from tfplastic.layers import RMSNormalization
from tfplastic.mitigations._weights.linear_maps import LinearMaps
from tfplastic.mitigations._weights.trainable import Weight

Draw = Callable[[Sequence[int], tf.Tensor], tf.Tensor]
"""From a shape and a key `[2] int32` to `float64` values; traceable."""


class WeightReinitializer:
    """Weights drawn again from the distributions of their layers' initializers.

    Keras' initializers draw once, by a seed that is fixed when a layer is made; these draw from the same
    distributions by a key that may be a tensor. The same key gives the same bits, eager and in a graph, and
    under XLA but for the last bit of one value in a thousand: all is computed in float64 and rounded to the
    weight's dtype at the end.

    Supports Keras' Zeros, Ones, Constant, RandomUniform, RandomNormal, TruncatedNormal, VarianceScaling under
    all its names (Glorot, He, LeCun), and Orthogonal. A layer has to keep the initializer of its weight `x`
    or `x_kernel` as `x_initializer`, as the layers of Keras and of this library do, or the initializer of its
    only weight as `initializer`. The bias of an LSTM with `unit_forget_bias` is not supported.

    Args:
        weights: weights of a model.
        initializer: initializer for all of them in place of their layers' own; a Keras object. Its fans are
            those of the layers: of depthwise, transposed and einsum kernels too.

    Raises:
        ValueError: if the initializer of a weight is not known.
    """

    def __init__(self, weights: Sequence[Weight], initializer: Any = None):
        self._weights = list(weights)
        self._draws = [_draw_of(weight, initializer) for weight in self._weights]

    def draw(self, key: tf.Tensor) -> list[tf.Tensor]:
        """Draws one value for each weight, of its shape and dtype; traceable.

        Args:
            key: `[2] int32`.
        """
        values = []
        for index, (weight, draw) in enumerate(zip(self._weights, self._draws, strict=True)):
            own_key = fold_in(key, index)
            value = draw(tuple(weight.variable.shape), own_key)
            values.append(tf.cast(value, weight.variable.dtype))
        return values


def stateless_initializer(initializer: Any) -> Draw | None:
    """Returns the draw from the distribution of a Keras initializer; None if it is not known."""
    for kind, rule in _RULES.items():
        # A subclass with a `__call__` of its own may have any distribution.
        if isinstance(initializer, kind) and type(initializer).__call__ is kind.__call__:
            return functools.partial(rule, initializer)
    return None


def unit_uniform(shape: Sequence[int], key: tf.Tensor) -> tf.Tensor:
    """Returns uniform draws of [0, 1), `float64`: the same bits eager, in a graph and under XLA; traceable.

    Args:
        shape: shape of the result.
        key: `[2] int32`.
    """
    return _random_integers(shape, key) * 2.0**-32


def _draw_of(weight: Weight, given: Any = None) -> Draw:
    initializer = _initializer_of(weight) if given is None else given
    draw = stateless_initializer(initializer)
    if draw is not None and isinstance(given, keras.initializers.VarianceScaling):
        return functools.partial(_variance_scaling, given, fans=_fans_of(weight))
    if draw is None:
        what = f"{weight} with {'none' if initializer is None else type(initializer).__name__}"
        rule = "must have weights with initializers that can be drawn from again"
        action = "Give the layer an initializer of Keras, or leave the method out"
        raise ValueError(f"`model` {rule}. Received: {what}. {action}")
    return draw


def _initializer_of(weight: Weight) -> Any:
    layer = weight.layer
    if isinstance(layer, RMSNormalization):
        return keras.initializers.Ones()
    if weight.role == "bias" and getattr(layer, "unit_forget_bias", False):
        return None  # of an LSTM, whose bias starts otherwise than its initializer says
    # 'recurrent_initializer'; 'depthwise_initializer', which Keras 3 has for a weight named 'kernel'
    names = (weight.role, weight.role.removesuffix("_kernel"), *["depthwise"] * (weight.role == "kernel"))
    initializer = next(filter(None, (getattr(layer, f"{name}_initializer", None) for name in names)), None)
    if initializer is None and len(layer.trainable_variables) == 1:
        return getattr(layer, "initializer", None)
    if isinstance(layer, keras.layers.EinsumDense) and hasattr(initializer, "input_axes"):
        return _with_axes(initializer, layer.equation)
    return initializer


def _with_axes(initializer: Any, equation: str) -> Any:
    # Keras 3 draws the kernel by such a copy of the initializer, which it does not keep.
    inputs_and_kernel, _, outputs = equation.partition("->")
    kernel = inputs_and_kernel.split(",")[1]
    axes = {
        "input_axes": [axis for axis, label in enumerate(kernel) if label not in outputs],
        "output_axes": [axis for axis, label in enumerate(kernel) if label in outputs],
    }
    return type(initializer).from_config({**initializer.get_config(), **axes})


def _zeros(initializer: Any, shape: Sequence[int], key: tf.Tensor) -> tf.Tensor:
    return tf.zeros(shape, tf.float64)


def _ones(initializer: Any, shape: Sequence[int], key: tf.Tensor) -> tf.Tensor:
    return tf.ones(shape, tf.float64)


def _constant(initializer: Any, shape: Sequence[int], key: tf.Tensor) -> tf.Tensor:
    return tf.broadcast_to(tf.constant(initializer.value, tf.float64), shape)


def _random_uniform(initializer: Any, shape: Sequence[int], key: tf.Tensor) -> tf.Tensor:
    return initializer.minval + (initializer.maxval - initializer.minval) * unit_uniform(shape, key)


def _random_normal(initializer: Any, shape: Sequence[int], key: tf.Tensor) -> tf.Tensor:
    return initializer.mean + _normal(shape, key, initializer.stddev)


def _truncated_normal(initializer: Any, shape: Sequence[int], key: tf.Tensor) -> tf.Tensor:
    return initializer.mean + _normal(shape, key, initializer.stddev, truncated_at=2.0)


def _variance_scaling(
    initializer: Any, shape: Sequence[int], key: tf.Tensor, fans: tuple[int, int] | None = None
) -> tf.Tensor:
    fan_in, fan_out = fans or _fans(initializer, shape)
    fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[initializer.mode]
    stddev = math.sqrt(initializer.scale / max(1.0, fan))
    if initializer.distribution == "uniform":
        limit = math.sqrt(3) * stddev
        return limit * _symmetric_uniform(shape, key)
    if initializer.distribution == "untruncated_normal":
        return _normal(shape, key, stddev)
    return _normal(shape, key, stddev / _STDDEV_WITHIN_TWO, truncated_at=2.0)


def _orthogonal(initializer: Any, shape: Sequence[int], key: tf.Tensor) -> tf.Tensor:
    rows, columns = math.prod(shape[:-1]), shape[-1]
    q, r = tf.linalg.qr(_normal((max(rows, columns), min(rows, columns)), key, stddev=1.0))
    q *= tf.sign(tf.linalg.diag_part(r))  # makes it uniform among the orthogonal matrices
    return initializer.gain * tf.reshape(q if rows >= columns else tf.transpose(q), shape)


_RULES = {
    keras.initializers.Zeros: _zeros,
    keras.initializers.Ones: _ones,
    keras.initializers.Constant: _constant,
    keras.initializers.RandomUniform: _random_uniform,
    keras.initializers.RandomNormal: _random_normal,
    keras.initializers.TruncatedNormal: _truncated_normal,
    keras.initializers.VarianceScaling: _variance_scaling,
    keras.initializers.Orthogonal: _orthogonal,
}

# The standard deviation of a standard normal variable that is known to be within 2 of its mean:
# sqrt(1 - 4 phi(2) / (2 Phi(2) - 1)).
_STDDEV_WITHIN_TWO = math.sqrt(1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2)))


def _fans_of(weight: Weight) -> tuple[int, int] | None:
    """Returns the numbers of inputs of a unit and of units of an input, which a kernel's shape hides."""
    if not weight.is_kernel or len(weight.variable.shape) < 2:
        return None
    maps = LinearMaps(weight)
    return maps.positions * maps.inputs, maps.positions * maps.outputs


def _fans(initializer: Any, shape: Sequence[int]) -> tuple[int, int]:
    # Some layers of Keras 3 tell their initializer which axes of the kernel are inputs and which outputs.
    inputs, outputs = (getattr(initializer, axes, None) for axes in ("input_axes", "output_axes"))
    if inputs is not None and outputs is not None:
        return math.prod(shape[axis] for axis in inputs), math.prod(shape[axis] for axis in outputs)
    if len(shape) < 2:
        return math.prod(shape), math.prod(shape)
    receptive_field = math.prod(shape[:-2])
    return receptive_field * shape[-2], receptive_field * shape[-1]


def _symmetric_uniform(shape: Sequence[int], key: tf.Tensor) -> tf.Tensor:
    return (2 * _random_integers(shape, key) + 1) * 2.0**-32 - 1  # in (-1, 1)


def _normal(shape: Sequence[int], key: tf.Tensor, stddev: float, truncated_at: float = math.inf) -> tf.Tensor:
    # By the inverse of the distribution function: what XLA itself draws as a normal is not what a graph does.
    within = math.erf(truncated_at / math.sqrt(2))
    return stddev * math.sqrt(2) * tf.math.erfinv(within * _symmetric_uniform(shape, key))


def _random_integers(shape: Sequence[int], key: tf.Tensor) -> tf.Tensor:
    # Of [0, 2^32), as float64. XLA and a graph draw the same integers by Philox, but not the same floats.
    bits = random_bits(shape, key, tf.uint32)
    return tf.cast(bits, tf.float64)
