"""Initializers of weights as users give them."""

from typing import Any

from tfplastic._checks import shown
from tfplastic._keras import keras


def initializer_of(name: str, value: Any) -> Any:
    """Returns the Keras initializer of an argument: an initializer, the name of one or its config.

    Args:
        name: name of the argument, for the error.
        value: the argument.

    Raises:
        ValueError: Keras knows no such initializer.
    """
    try:
        return keras.initializers.get(value)
    except (TypeError, ValueError):
        rule = "must be an initializer or the name of one of Keras"
        raise ValueError(f"`{name}` {rule}. Received: {shown(value)}") from None
