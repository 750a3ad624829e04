"""Compiled programs of single objects."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf


def own_program(function: Callable[..., Any], **options: Any) -> Any:
    """Returns `tf.function(function)`, by default without AutoGraph, as a program of its own.

    TensorFlow counts traces by the code of a function. Programs of several objects of a class, each traced
    once, are one to it that is traced again and again, of which it warns. A `functools.partial` has no code.

    Args:
        function: method or inner function of which there are several in a process.
        **options: arguments of `tf.function`.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic._tf.programs import own_program
        >>> int(own_program(lambda number: number + 1)(tf.constant(1)))
        2
    """
    alone = functools.partial(function)
    vars(alone)["__name__"] = function.__name__.strip("<>")  # in the names of traces
    return tf.function(alone, **{"autograph": False, **options})
