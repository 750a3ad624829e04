"""Bounds of the sizes and lengths that a stream's tasks may have."""

from collections.abc import Callable

import tensorflow as tf

_CHECKED = 1_000  # of the first tasks; a stream has no last one

Count = int | tf.Tensor
"""An integer or `[] int32`."""


def bounded(count: Count, most: int | None = None) -> Count:
    """Returns a count moved to 1 where it is less, and to `most` where it is more; traceable."""
    if isinstance(count, int):
        return max(count, 1) if most is None else min(max(count, 1), most)
    at_least_one = tf.maximum(tf.cast(count, tf.int32), 1)
    return at_least_one if most is None else tf.minimum(at_least_one, most)


def check_of_tasks(
    name: str, count_of: Callable[[int], Count], least: int, most: int | None, rule: str, action: str
) -> None:
    """Checks a count of each of the first tasks.

    Args:
        name: name of the stream's function.
        count_of: function that gives it.
        least: least count.
        most: greatest count; None for any.
        rule: rule in words, for the error.
        action: remedy, for the error.

    Raises:
        ValueError: the count of a task is less or more.
    """
    for task in range(_CHECKED):
        count = int(count_of(task))
        if count < least or (most is not None and count > most):
            raise ValueError(f"`{name}` {rule}. Received: {count} of task {task}. {action}")
