"""Scalars that all variables of an optimizer's step share."""

from collections.abc import Callable
from typing import Any, Self

import tensorflow as tf


class OncePerStep:
    """A value of a step, computed for its first variable and kept for the others.

    As a context manager it stands for one step. Outside of one each variable computes the value, and so does
    the first in another graph, such as a branch of `tf.cond`.

    Example:
        >>> from tfplastic.optimizers._forms.once_per_step import OncePerStep
        >>> counts = iter(range(10))
        >>> value = OncePerStep()
        >>> with value:
        ...     first = [value.get(lambda: next(counts)) for _ in range(3)]
        >>> with value:
        ...     second = value.get(lambda: next(counts))
        >>> first, second, value.get(lambda: next(counts))
        ([0, 0, 0], 1, 2)
    """

    def __init__(self) -> None:
        self._known: dict[Any, Any] | None = None

    def __enter__(self) -> Self:
        self._known = {}
        return self

    def __exit__(self, *error: object) -> None:
        self._known = None  # a graph's tensors live no longer than its step

    def get(self, compute: Callable[[], Any]) -> Any:
        """Returns the step's value.

        Args:
            compute: function that returns the value, called where there is none yet.
        """
        if self._known is None:
            return compute()
        graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
        if graph not in self._known:
            self._known[graph] = compute()
        return self._known[graph]
