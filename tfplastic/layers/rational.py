"""Rational activation functions with trained coefficients."""

import functools
from typing import Any

import numpy as np
import tensorflow as tf
from scipy.optimize import least_squares

from tfplastic._keras import keras
from tfplastic._text.near_names import near_matches

_NUMERATOR, _DENOMINATOR = 6, 4  # coefficients
_POINTS = np.linspace(-3.0, 3.0, 601)
_STARTS = ((0.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 1.0))  # b


@keras.utils.register_keras_serializable(package="tfplastic")
class Rational(keras.layers.Layer):
    """Rational function with trained coefficients: y = sum_(i=0..5) a_i x^i / (1 + |sum_(j=1..4) b_j x^j|).

    Rule: the ten coefficients are weights of the layer, shared by all of its units. The denominator is at
        least 1, so there are no poles.
    Defaults: the coefficients start where they fit ReLU.
    Source: Molina et al. 2020, "Pade activation units"; Delfosse et al. 2024, "Adaptive rational activations
        to boost deep reinforcement learning", for plasticity.
    Departures: methods differ in the first coefficients. Here they minimize sum_k (y(x_k) - f(x_k))^2 for
        the activation f named `initial` and 601 equally spaced x_k from -3 to 3, in float64, by
        Levenberg-Marquardt: the better of the minima that are found from the denominators 1 and
        1 + x^2 + x^4. For ReLU, y is within 0.034 of it there. Outside of [-3, 3] y tends to
        a_5 x / |b_4| and may be far from f.
    Works with: every mitigation and quantity. A unit is an entry of the last axis, as for ReLU. A unit is
        dead if it is exactly 0 on the whole batch, which a trained function hardly ever is; use
        `dormant_units`. `saturated_units` is NaN, as the function has no fixed flat piece. Penalties and
        decay act on the coefficients as on all trained weights; resets of units leave them, as all units
        share them.

    Args:
        initial: name of the Keras activation that the first coefficients fit, such as `'relu'`, `'tanh'` or
            `'leaky_relu'`.
        **kwargs: `name`, `dtype` and the like, as for every Keras layer.

    Input and output: any shape of floats, unchanged. Where the layer computes in 16 bits the function is
    evaluated in float32.

    Raises:
        ValueError: `initial` does not name an entrywise Keras activation.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> layer = tp.layers.Rational('relu')
        >>> layer(tf.constant([[-2.0, 2.0]])).numpy().round(1).tolist()
        [[0.0, 2.0]]
        >>> [tuple(weight.shape) for weight in layer.trainable_variables]
        [(6,), (4,)]
    """

    def __init__(self, initial: str = "relu", **kwargs: Any):
        super().__init__(**kwargs)
        self.initial = _check_initial(initial)
        numerator, denominator = rational_fit(initial)
        self.numerator_initializer = keras.initializers.Constant(list(numerator))
        self.denominator_initializer = keras.initializers.Constant(list(denominator))

    def build(self, input_shape: Any) -> None:
        self.numerator = self.add_weight(
            name="numerator", shape=(_NUMERATOR,), initializer=self.numerator_initializer
        )
        self.denominator = self.add_weight(
            name="denominator", shape=(_DENOMINATOR,), initializer=self.denominator_initializer
        )
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        inputs = tf.convert_to_tensor(inputs)
        values = tf.cast(inputs, tf.float32) if inputs.dtype.size == 2 else inputs
        a, b = (
            tf.unstack(tf.cast(tf.convert_to_tensor(each), values.dtype))
            for each in (self.numerator, self.denominator)
        )
        outputs = _horner(a, values) / (1 + tf.abs(values * _horner(b, values)))
        return tf.cast(outputs, inputs.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "initial": self.initial}


@functools.cache
def rational_fit(initial: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns the coefficients (a_0 to a_5, b_1 to b_4) that fit an activation, see `Rational`.

    Args:
        initial: name of an entrywise Keras activation.
    """
    target = np.asarray(keras.activations.get(initial)(tf.constant(_POINTS, tf.float64)), np.float64)
    powers = _POINTS[:, None] ** np.arange(_NUMERATOR)  # [points, 6]
    of_denominator = _POINTS[:, None] ** np.arange(1, _DENOMINATOR + 1)  # [points, 4]

    def residuals(coefficients: np.ndarray) -> np.ndarray:
        a, b = coefficients[:_NUMERATOR], coefficients[_NUMERATOR:]
        return powers @ a / (1 + np.abs(of_denominator @ b)) - target

    def solution(b: Any) -> Any:
        a = np.linalg.lstsq(powers, target * (1 + of_denominator @ b), rcond=None)[0]
        return least_squares(residuals, [*a, *b], method="lm", xtol=1e-14, ftol=1e-14, gtol=1e-14)

    best = min((solution(np.array(b)) for b in _STARTS), key=lambda found: found.cost).x.tolist()
    return tuple(best[:_NUMERATOR]), tuple(best[_NUMERATOR:])


def _check_initial(initial: Any) -> str:
    try:
        if not isinstance(initial, str):
            raise TypeError
        points = tf.constant([[0.0, 1.0, -1.0], [0.0, 2.0, -1.0]])
        values = np.asarray(keras.activations.get(initial)(points))
        known = values.shape == (2, 3) and bool((values[0, [0, 2]] == values[1, [0, 2]]).all())
    except (TypeError, ValueError):
        known = False
    if known:
        return initial
    near = near_matches(initial, [name for name in dir(keras.activations) if name.islower()])
    rule = "must name an entrywise Keras activation"
    raise ValueError(f"`initial` {rule}. Received: {initial!r}{near and '.'}{near}")


def _horner(coefficients: Any, values: Any) -> Any:
    total = coefficients[-1]
    for each in reversed(coefficients[:-1]):
        total = total * values + each
    return total
