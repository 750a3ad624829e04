"""The predictions and targets of a probe that count, where a mask of Keras leaves out positions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic.probing.heads import Head


def mask_of(outputs: Any) -> tf.Tensor | None:
    """Returns the mask `[batch, ...]` that Keras gave the outputs of a model; None where all count."""
    mask = getattr(outputs, "_keras_mask", None)
    return None if mask is None or mask.shape.rank >= outputs.shape.rank else tf.cast(mask, tf.bool)


def counted(values: Any, mask: Any) -> Any:
    """Returns those of `[batch, positions, ...]` that count, `[values, 1, ...]`; without a mask all."""
    if mask is None:
        return values
    if isinstance(mask, np.ndarray):
        return values[mask][:, np.newaxis]
    return tf.boolean_mask(values, mask)[:, tf.newaxis]


def in_batch(mask: tf.Tensor | None) -> tuple[tf.Tensor | None, Callable[[tf.Tensor], tf.Tensor]]:
    """Returns a mask that leaves something, and a function that makes 0 of the loss where none is left."""
    if mask is None:
        return None, lambda loss: loss
    has_any = tf.reduce_any(mask)
    return mask | ~has_any, lambda loss: loss * tf.cast(has_any, loss.dtype)


def constant_error(head: Head, targets: np.ndarray, mask: np.ndarray | None) -> float:
    """Returns `head.constant_error` of targets `[n, ...]`, averaged over positions by their weight."""
    if mask is None:
        return head.constant_error(targets)
    size = mask[0].size
    at_positions = targets.reshape(len(targets), size, *targets.shape[mask.ndim :])
    counts = mask.reshape(-1, size)
    errors = [
        counts[:, place].sum() * head.constant_error(at_positions[counts[:, place], place][:, np.newaxis])
        for place in range(size)
        if counts[:, place].any()
    ]
    return float(sum(errors) / mask.sum()) if errors else float("nan")


def check(head: Head, mask: np.ndarray | None, standardizes: bool) -> None:
    """Checks that a probe can leave out positions.

    Raises:
        ValueError: no position counts; or the head chooses outputs, or the probe standardizes.
    """
    if mask is None:
        return
    if not mask.any():
        raise ValueError("`inputs` must have positions that the mask of `model` leaves. Received: none")
    for name, is_fit in (("outputs", head.outputs is None), ("standardize", not standardizes)):
        if not is_fit:
            default = {"outputs": None, "standardize": False}[name]
            rule = f"must be {default} for a model whose outputs are masked"
            raise ValueError(f"`{name}` {rule}. Received: another value")
