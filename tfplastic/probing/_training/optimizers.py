"""Copies of Keras optimizers."""

from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic.optimizers.any_keras import is_optimizer, variables_of


def optimizer_of(model: Any, optimizer: Any) -> Any:
    """Returns `optimizer`, or the one that the model is compiled with.

    Raises:
        ValueError: if there is neither, or it is not a Keras optimizer.
    """
    found = optimizer if optimizer is not None else getattr(model, "optimizer", None)
    if not is_optimizer(found):
        rule = "must be a Keras optimizer, or the model be compiled with one"
        raise ValueError(f"`optimizer` {rule}. Received: {optimizer!r}")
    return found


def copied(optimizer: Any) -> Any:
    """Returns an optimizer with the same settings, that has seen no step."""
    return type(optimizer).from_config(optimizer.get_config())


def settings_of(optimizer: Any) -> tuple[type, str]:
    """Returns a hashable key that identifies an optimizer."""
    config = optimizer.get_config()
    config.pop("name", None)  # Keras counts on when it makes up names
    return type(optimizer), repr(config)


def scaled(optimizer: Any, loss: tf.Tensor) -> tf.Tensor:
    """Returns the loss by whose gradient the optimizer steps: Keras 3's undo their `scale_loss`."""
    scale_loss = getattr(optimizer, "scale_loss", None)
    return loss if scale_loss is None else scale_loss(loss)


def state_of(optimizer: Any, count: int) -> list[np.ndarray]:
    """Returns the values of all its variables.

    Args:
        optimizer: optimizer that has trained the network.
        count: number of slots of a copy that is built for the same network.

    Raises:
        ValueError: if it was not built for such a network.
    """
    variables = variables_of(optimizer)
    if len(variables) != count:
        rule = f"must be built for the model alone, with {count} variables, for its state to be copied"
        received = f"{type(optimizer).__name__} with {len(variables)} variables"
        action = "Give one that trains the model alone, or set optimizer_state='fresh'"
        raise ValueError(f"`optimizer` {rule}. Received: {received}. {action}")
    return [np.array(tf.convert_to_tensor(each)) for each in variables]
