"""Shapes of a batch, compared with those of a model's inputs or outputs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

_ENTRY_BY_ENTRY = {
    *("mse", "mean_squared_error", "mae", "mean_absolute_error", "mape", "mean_absolute_percentage_error"),
    *("msle", "mean_squared_logarithmic_error", "huber", "huber_loss", "log_cosh", "logcosh", "poisson"),
    *("binary_crossentropy", "categorical_crossentropy", "kl_divergence", "kld", "cosine_similarity"),
}


def agree(tensor: Any, wanted: Any) -> bool:
    """Returns whether all but the first dimension agree; Keras adds and takes away a last one of 1.

    Args:
        tensor: A tensor, an array or a spec `[n, ...]`.
        wanted: Another. Sizes that either does not say agree.
    """
    shapes = tf.TensorShape(tensor.shape), tf.TensorShape(wanted.shape)
    if None in [shape.rank for shape in shapes]:
        return True
    given, expected = (_without_last_one(shape.as_list()[1:]) for shape in shapes)
    return len(given) == len(expected) and all(
        None in (size, other) or size == other for other, size in zip(given, expected, strict=True)
    )


def shown(shapes: Iterable[Sequence[Any]]) -> str:
    """Returns shapes as errors show them.

    Example:
        >>> from tfplastic._data import shapes
        >>> shapes.shown([(None, 3), (4,)])
        '[None, 3], [4]'
    """
    return ", ".join(str(list(shape)) for shape in shapes)


def check_targets(targets: Any, outputs: Any, loss: Any) -> None:
    """Checks that losses get targets of the outputs' number and, entry by entry, shape.

    Keras would stretch others, or raise its own error when the loss is traced.

    Args:
        targets: a nest of tensors `[n, ...]`. From targets by name Keras takes the ones it needs: nothing is
            checked.
        outputs: The nest of a model's outputs `[n, ...]`, tensors or their specs.
        loss: A Keras loss, its name, or a function, for all outputs; or a nest of them. Functions may take
            targets of any shape; their number is checked.

    Raises:
        ValueError: They do not fit.
    """
    if isinstance(targets, Mapping):
        return
    given, wanted, losses = (tf.nest.flatten(each) for each in (targets, outputs, loss))
    losses = losses * len(wanted) if len(losses) == 1 else losses
    fits = len(given) == len(wanted) and all(
        _name(each) not in _ENTRY_BY_ENTRY or agree(target, output)
        for target, output, each in zip(given, wanted, losses, strict=False)
    )
    if not fits:
        rule = f"must be of shape {shown([None, *each.shape[1:]] for each in wanted)}, as the outputs"
        raise ValueError(f"`targets` {rule}. Received: {shown(each.shape for each in given)}")


def names_keras_loss(loss: Any) -> bool:
    """Returns whether `loss` is one of Keras' losses or the name of one, rather than a function or a nest."""
    return isinstance(loss, str) or hasattr(loss, "reduction")


def _name(loss: Any) -> str:
    if isinstance(loss, str):
        return loss
    return getattr(loss, "name", "") if names_keras_loss(loss) else ""


def _without_last_one(sizes: list[Any]) -> list[Any]:
    return sizes[:-1] if sizes and sizes[-1] == 1 else sizes
