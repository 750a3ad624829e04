"""`tf.nn.moments`, which LayerNorm and GroupNorm are made of, with its true second derivative.

TensorFlow takes the variance about a mean that it holds constant (`stop_gradient`). Value and gradient are
right, because the term this leaves out of the gradient, mean(x - mean), is zero. Its derivative is not, and
so the Hessian of a network with such a layer is silently wrong: in a small case tried, by a tenth of its
largest entry.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.ops import nn_impl

from tfplastic._keras import replaced_attribute
from tfplastic._tf.read_only import ReadOnlyProgram


@contextlib.contextmanager
def exact_moments() -> Iterator[None]:
    """While open, traced moments can be differentiated any number of times."""
    with replaced_attribute(nn_impl, "moments", _moments):  # every public name of the function ends here
        yield


def check_moments(name: str, program: ReadOnlyProgram) -> None:
    """Raises `ValueError` if `program` has TensorFlow's own moments in it, from a function traced before.

    Args:
        name: the argument that the program was made of, in backquotes, for the error.
        program: a compiled program.
    """
    if any(re.search(r"(^|/)mean(_\d+)?$", _sources(node)[0]) for node in _constants_of_squares(program)):
        raise ValueError(
            f"{name} must not call a `tf.function` traced before with `tf.nn.moments` in it, whose second"
            " derivatives are wrong. Received: such a function"
        )


def _constants_of_squares(program: ReadOnlyProgram) -> list[Any]:
    """Returns the `stop_gradient`s c of all (x - c)^2: of means in moments, of targets in some losses."""
    squares = [node for node in program.nodes() if node.op == "SquaredDifference"]
    wanted = {source for node in squares for source in _sources(node)}
    return [node for node in program.nodes() if node.op == "StopGradient" and node.name in wanted]


def _sources(node: Any) -> list[str]:
    return [name.split(":")[0] for name in node.input]


# The signature is TensorFlow's, which ignores `shift` as well.
def _moments(
    x: Any, axes: Any, shift: Any = None, name: Any = None, keep_dims: Any = None, keepdims: Any = None
) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.name_scope(name or "moments"):
        x = tf.convert_to_tensor(x)
        values = tf.cast(x, tf.float32) if x.dtype == tf.float16 else x  # squares overflow float16
        mean = tf.reduce_mean(values, axes, keepdims=True)
        variance = tf.reduce_mean(tf.math.squared_difference(values, mean), axes, keepdims=True)
        if not (keep_dims or keepdims):
            mean, variance = tf.squeeze(mean, axes), tf.squeeze(variance, axes)
        return tf.cast(mean, x.dtype), tf.cast(variance, x.dtype)
