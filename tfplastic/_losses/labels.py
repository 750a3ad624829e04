"""Labels of classes, checked against the outputs they count before any program runs.

TensorFlow reports a label out of range from inside the compiled program, in a page; a GPU returns NaN.
"""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfplastic._keras import keras_of
from tfplastic._losses.keras_loss import is_loss

_FUNCTION = "sparse_categorical_crossentropy"


def check_labels(model: Any, targets: Any, loss: Any) -> None:
    """Checks that the labels of a sparse crossentropy of Keras are numbers of the outputs.

    Args:
        model: a Keras model; only functional and Sequential ones declare their outputs.
        targets: a nest of tensors `[n, ...]`, or None.
        loss: a loss, the name of one, or a nest of them; other losses are not checked.

    Raises:
        ValueError: a label is out of range, and is not the `ignore_class` of the loss.
    """
    outputs = getattr(model, "outputs", None)
    if not outputs or targets is None:
        return
    names = list(getattr(model, "output_names", None) or [""] * len(outputs))
    parts = zip(names, outputs, _by_output(targets, names), _by_output(loss, names), strict=False)
    for name, output, labels, own in parts:
        options = _options(model, own)
        if options is not None and tf.is_tensor(labels) and output.shape[-1] and tf.size(labels):
            argument = "`targets`" if len(names) == 1 else f"`targets` of {name!r}"
            _check(argument, labels, int(output.shape[-1]), options.get("ignore_class"))


def _check(argument: str, labels: tf.Tensor, num_classes: int, ignored: int | None) -> None:
    labels = tf.cast(labels, tf.int64)
    counted = labels if ignored is None else tf.boolean_mask(labels, labels != ignored)
    if not tf.size(counted):
        return
    least, most = int(tf.reduce_min(counted)), int(tf.reduce_max(counted))
    ends = [f"down to {least}"] * (least < 0) + [f"up to {most}"] * (most >= num_classes)
    if ends:
        outputs = f"{num_classes} output{'s' * (num_classes != 1)}"
        rule = f"must be labels in [0, {num_classes}), as the {outputs}"
        raise ValueError(f"{argument} {rule}. Received: labels {' and '.join(ends)}")


def _by_output(nest: Any, names: list[str]) -> list[Any]:
    """Returns the entries of a nest for each output; one for all where it is not a nest."""
    if isinstance(nest, Mapping):
        return [nest.get(name) for name in names]
    return list(nest) if isinstance(nest, list | tuple) else [nest] * len(names)


def _options(model: Any, loss: Any) -> Mapping[str, Any] | None:
    """Returns the arguments of a sparse crossentropy over the last axis; None for another loss."""
    if isinstance(loss, str):
        loss = keras_of(model).losses.get(loss)
    function = getattr(loss, "fn", loss) if is_loss(loss) and _is_of_keras(type(loss)) else loss
    options: Mapping[str, Any] = getattr(loss, "_fn_kwargs", {})
    is_sparse = getattr(function, "__name__", "") == _FUNCTION and _is_of_keras(function)
    return options if is_sparse and options.get("axis", -1) == -1 else None


def _is_of_keras(thing: Any) -> bool:
    return getattr(thing, "__module__", "").partition(".")[0] in ("keras", "tf_keras")
