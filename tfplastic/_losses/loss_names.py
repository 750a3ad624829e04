"""Keras losses by name."""

from typing import Any

from tfplastic._text.near_names import near_matches

# Names that Keras' functions go by as well.
_SHORT_NAMES = ("bce", "kld", "mae", "mape", "mse", "msle")
_NO_LOSSES = ("Loss", "Reduction", "deserialize", "get", "serialize")


def loss_of_name(keras: Any, name: str, argument: str = "`loss`") -> Any:
    """Returns the loss that a version of Keras knows as `name`, as its `losses.get` does.

    Args:
        keras: The module of that version.
        name: Name of a function or a class.
        argument: name of the argument that has it, for the error.

    Raises:
        ValueError: There is no such loss; names near matches.
    """
    try:
        return keras.losses.get(name)
    except ValueError:
        names = {each for each in dir(keras.losses) if not each.startswith("_")}
        near = near_matches(name, sorted((names | {*_SHORT_NAMES}) - {*_NO_LOSSES}))
        received = f"{name!r}.{near}" if near else repr(name)
        raise ValueError(f"{argument} must be the name of a Keras loss. Received: {received}") from None
