"""One value for each unit of activations that give it two features."""

from collections.abc import Callable

import tensorflow as tf

_VALUES: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "crelu": lambda positive, negative: positive - negative,
    "deep_fourier": lambda sine, cosine: tf.sqrt(tf.square(sine) + tf.square(cosine)),
}


def has_feature_pairs(activation: str) -> bool:
    """Returns whether the activation function of that name gives each unit two features."""
    return activation in _VALUES


def values_of_units(activations: tf.Tensor, activation: str) -> tf.Tensor:
    """Returns one value for each unit; traceable.

    A unit of CReLU has the features relu(x) and relu(-x) and the value x, their difference; it is 0 where
    both are. A unit of deep Fourier features has sin x, cos x and their length, 1.

    Args:
        activations: `[..., features]`, with two of each unit, i and units + i, where the function pairs them.
        activation: name of the activation function.

    Returns:
        `[..., units]`; `activations` themselves for all other functions.
    """
    if not has_feature_pairs(activation):
        return activations
    return _VALUES[activation](*tf.split(activations, 2, axis=-1))
