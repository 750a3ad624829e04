"""Arrays of numbers, as users give them: inputs, targets, weights of examples, vectors."""

import re
from typing import Any

import tensorflow as tf

from tfplastic._data.shapes import agree, shown
from tfplastic._text.lines import one_line

# How the Kerases begin to say that inputs do not fit a layer.
_MISFITS = re.compile(
    r"incompatible with the layer|expects \d+ input|Missing data for input|Invalid input shape"
    r"|doesn't match the expected structure"
)
_BOLD = re.compile(r"\x1b\[\d*m")  # how Keras 3 marks its own words


def check_not_text(name: str, nest: Any) -> None:
    """Raises `ValueError` if one of a nest of tensors holds texts."""
    for each in tf.nest.flatten(nest):
        if each is not None and each.dtype == tf.string:
            raise ValueError(
                f"`{name}` must be an array of numbers. Received: texts of shape {list(each.shape)}"
            )


def check_all_finite(name: str, nest: Any) -> None:
    """Raises `ValueError` if one of a nest of tensors holds a number that is NaN or infinite."""
    for each in tf.nest.flatten(nest):
        if each is None or not each.dtype.is_floating:
            continue
        count = int(tf.math.count_nonzero(~tf.math.is_finite(each)))
        if count:
            size = int(tf.size(each))
            raise ValueError(f"`{name}` must be finite. Received: {count:,} of {size:,} that are not")


def check_inputs(model: Any, inputs: Any) -> None:
    """Checks that inputs have the shapes of the model's, where it says them.

    Args:
        model: a Keras model; only functional and Sequential ones declare their inputs.
        inputs: a nest of tensors `[n, ...]`.

    Raises:
        ValueError: they have others, or are texts and the model takes numbers.
    """
    wanted = getattr(model, "inputs", None)
    if not wanted or isinstance(inputs, dict):
        return
    given = tf.nest.flatten(inputs)
    if not any(tf.as_dtype(each.dtype) == tf.string for each in wanted):
        check_not_text("inputs", given)
    if len(given) != len(wanted) or not all(map(agree, given, wanted)):
        rule = (
            f"must be of shape {shown([[None, *each.shape[1:]] for each in wanted])}, as those of the model"
        )
        raise ValueError(f"`inputs` {rule}. Received: {shown([each.shape for each in given])}")


def misfit(error: Exception, name: str, inputs: Any) -> ValueError | None:
    """Returns the error to raise for one of Keras' about inputs that do not fit; None for another.

    Args:
        error: error that the call of a model raised.
        name: name of the value that must fit, with its rule.
        inputs: a nest of tensors or their specs.
    """
    lines = [line for line in str(error).splitlines() if _MISFITS.search(line)]
    if not lines or str(error).startswith("`"):
        return None
    received = shown([each.shape for each in tf.nest.flatten(inputs)])
    if isinstance(inputs, dict):
        received = f"{received} of {', '.join(map(repr, inputs))}"
    return ValueError(f"{name}. Received: {received}; {one_line(_BOLD.sub('', lines[0]))[:200]}")
