"""Activation functions of the network builders: Keras' by name, and this library's layers."""

import functools
from collections.abc import Callable
from typing import Any

from tfplastic._keras import keras
from tfplastic._text.near_names import near_matches
from tfplastic.layers import CReLU, DeepFourier, Rational

LAYERS: dict[str, Callable[..., keras.layers.Layer]] = {
    "crelu": CReLU,
    "deep_fourier": DeepFourier,
    "pytorch_leaky_relu": functools.partial(keras.layers.LeakyReLU, 0.01),
    "rational": Rational,
}
"""Layers by the name of their activation, beyond the functions of Keras."""

_FEATURES = {"crelu": 2, "deep_fourier": 2}


def activation_layer(activation: str, **arguments: Any) -> keras.layers.Layer:
    """Returns the layer of a nonlinearity.

    Args:
        activation: name of the nonlinearity.
        **arguments: `name` and `dtype` of the layer.
    """
    make = LAYERS.get(activation)
    return keras.layers.Activation(activation, **arguments) if make is None else make(**arguments)


def features_per_unit(activation: str) -> int:
    """Returns the number of outputs that the nonlinearity has for each unit, 1 or 2."""
    return _FEATURES.get(activation, 1)


def check_activation(activation: Any) -> None:
    """Raises `ValueError` if `activation` does not name one."""
    try:
        is_known = isinstance(activation, str) and (
            activation in LAYERS or keras.activations.get(activation) is not None
        )
    except ValueError:
        is_known = False
    if not is_known:
        names = [*LAYERS, *(name for name in dir(keras.activations) if name.islower())]
        near = near_matches(activation, names)
        rule = "must name a Keras activation"
        raise ValueError(f"`activation` {rule}. Received: {activation!r}{near and '.'}{near}")
