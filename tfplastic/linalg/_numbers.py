"""Arrays of numbers, as users give them: inputs, targets, weights of examples, vectors."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

# How the Kerases begin to say that inputs do not fit a layer.
_MISFITS = re.compile(
    r"incompatible with the layer|expects \d+ input|Missing data for input|Invalid input shape"
)

_ENTRY_BY_ENTRY = {
    *("mse", "mean_squared_error", "mae", "mean_absolute_error", "mape", "mean_absolute_percentage_error"),
    *("msle", "mean_squared_logarithmic_error", "huber", "huber_loss", "log_cosh", "logcosh", "poisson"),
    *("binary_crossentropy", "categorical_crossentropy", "kl_divergence", "kld", "cosine_similarity"),
}


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
        model: a Keras model; only functional and Sequential ones say what they take.
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
    if len(given) != len(wanted) or not all(map(_has_shape, given, wanted)):
        rule = (
            f"must be of shape {_shapes([[None, *each.shape[1:]] for each in wanted])}, as those of the model"
        )
        raise ValueError(f"`inputs` {rule}. Received: {_shapes([each.shape for each in given])}")


def check_targets(model: Any, targets: Any, loss: Any) -> None:
    """Checks that a loss of Keras is given targets of the outputs' number and, entry by entry, shape.

    Keras would stretch others, or raise its own error when the loss is traced.

    Args:
        model: a Keras model; only functional and Sequential ones say what they return.
        targets: a nest of tensors `[n, ...]`; of those by name Keras takes what it needs.
        loss: as for `Snapshot`. Of functions nothing is checked here, nor of a compiled loss, which may leave
            outputs out and says itself what it lacks.

    Raises:
        ValueError: they do not fit.
    """
    outputs = getattr(model, "outputs", None)
    is_keras = isinstance(loss, str) or hasattr(loss, "reduction")
    if not outputs or not is_keras or isinstance(targets, Mapping):
        return
    given = tf.nest.flatten(targets)
    name = loss if isinstance(loss, str) else getattr(loss, "name", "")
    is_same = name not in _ENTRY_BY_ENTRY or all(map(_has_shape, given, outputs))
    if len(given) != len(outputs) or not is_same:
        rule = f"must be of shape {_shapes([[None, *each.shape[1:]] for each in outputs])}, as the outputs"
        raise ValueError(f"`targets` {rule}. Received: {_shapes([each.shape for each in given])}")


def misfit(error: Exception, name: str, inputs: Any) -> ValueError | None:
    """Returns the error to raise for one of Keras' about inputs that do not fit; None for another.

    Args:
        error: of the call of a model.
        name: of what must fit, with its rule.
        inputs: a nest of tensors or their specs.
    """
    lines = [line for line in str(error).splitlines() if _MISFITS.search(line)]
    if not lines or str(error).startswith("`"):
        return None
    received = _shapes([each.shape for each in tf.nest.flatten(inputs)])
    return ValueError(f"{name}. Received: {received}; {' '.join(lines[0].split())[:200]}")


def _has_shape(tensor: tf.Tensor, wanted: Any) -> bool:
    """Whether all but the first dimension agree; Keras adds and takes away a last one of 1."""
    given = _without_last_one(list(tensor.shape)[1:])
    expected = _without_last_one(list(wanted.shape)[1:])
    return len(given) == len(expected) and all(
        size is None or size == other for other, size in zip(given, expected, strict=True)
    )


def _without_last_one(sizes: list[Any]) -> list[Any]:
    return sizes[:-1] if sizes and sizes[-1] == 1 else sizes


def _shapes(shapes: Sequence[Any]) -> str:
    return ", ".join(str(list(shape)) for shape in shapes)
