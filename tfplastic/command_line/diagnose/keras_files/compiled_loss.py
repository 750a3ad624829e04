"""The compiled loss of a model in a Keras file."""

from collections.abc import Mapping
from typing import Any

from tfplastic._text.lines import one_line
from tfplastic.configuration.errors import UsageError


def is_in(compiled: Mapping[str, Any]) -> bool:
    """Returns whether the settings of `compile` in a file name a loss."""
    loss = compiled.get("loss")
    return bool(loss) and any(each is not None for each in _leaves(loss))


def compile_with(keras: Any, model: Any, compiled: Mapping[str, Any], path: str) -> None:
    """Compiles a model with the loss and the loss weights that its file names, and no metrics.

    Args:
        keras: the module of the Keras of the model.
        model: model loaded without compilation.
        compiled: settings of `compile`, whose config is allowed.
        path: path of the file, for the error.

    Raises:
        UsageError: the loss cannot be made.
    """
    try:
        model.compile(loss=_made(keras, compiled["loss"]), loss_weights=compiled.get("loss_weights"))
    except Exception as error:  # whatever the classes of settings raise
        text = f"cannot make the loss that {path!r} was compiled with: {one_line(error)[:200]}"
        raise UsageError(f"--model: {text} (--loss takes another)") from error


def takes_labels(model_loss: Any) -> bool:
    """Returns whether a loss in the settings of `compile` takes integer labels."""
    names = [str(each).lower() for each in _leaves(model_loss)]
    return any(name.replace("_", "").startswith("sparse") for name in names)


def _made(keras: Any, loss: Any) -> Any:
    if isinstance(loss, dict) and "class_name" in loss:
        return keras.losses.deserialize(loss)
    if isinstance(loss, dict):
        return {name: _made(keras, each) for name, each in loss.items()}
    if isinstance(loss, list | tuple):
        return [_made(keras, each) for each in loss]
    return loss


def _leaves(loss: Any) -> list[Any]:
    """Returns the names of losses in the settings of `compile`: of functions and classes."""
    if isinstance(loss, dict):
        is_one = "class_name" in loss
        return [loss["class_name"]] if is_one else [name for each in loss.values() for name in _leaves(each)]
    return [name for each in loss for name in _leaves(each)] if isinstance(loss, list | tuple) else [loss]
