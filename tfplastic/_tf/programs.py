"""Compiled programs of single objects, and their calls."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
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


class DirectCall:
    """A concrete program of flat tensors, called without a look at its arguments; with the same bits.

    `ConcreteFunction.__call__` compares its arguments with the signature and looks for gradients to record,
    which takes 0.5 ms of the 0.7 ms of a small program; here arguments must fit, and no tape sees the call.
    TensorFlow's operation of a call, `tf.raw_ops.StatefulPartitionedCall`, is as fast but rounds differently.

    Args:
        program: program of tensors, without composite ones.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic._tf.programs import DirectCall
        >>> program = tf.function(lambda number: {'next': number + 1})
        >>> call = DirectCall(program.get_concrete_function(tf.TensorSpec([], tf.int32)))
        >>> int(call(tf.constant(1))['next'])
        2
    """

    def __init__(self, program: Any):
        self._program = program  # which the inference function does not keep alive
        self._call = program.inference_fn.call_flat
        self._captured = program.captured_inputs

    def __call__(self, *inputs: tf.Tensor) -> Any:
        """Returns the outputs in the program's structure."""
        outputs = self._call(*inputs, *self._captured)
        return tf.nest.pack_sequence_as(self._program.structured_outputs, outputs)


class ArrayProgram:
    """A function of one tensor as compiled programs of arrays, one for each shape and dtype.

    Args:
        function: traceable function; the variables that it reads exist already.

    Example:
        >>> import numpy as np
        >>> from tfplastic._tf.programs import ArrayProgram
        >>> ArrayProgram(lambda x: x + 1)(np.zeros(2)).tolist()
        [1.0, 1.0]
    """

    def __init__(self, function: Callable[[tf.Tensor], tf.Tensor]):
        self._function = function
        self._calls: dict[Any, DirectCall] = {}

    def __call__(self, array: np.ndarray) -> np.ndarray:
        """Returns the function's value at an array."""
        key = array.shape, array.dtype
        if key not in self._calls:
            program = own_program(self._function).get_concrete_function(tf.TensorSpec(*key))
            self._calls[key] = DirectCall(program)
        return self._calls[key](tf.constant(array)).numpy()
