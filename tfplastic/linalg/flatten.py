"""Between a list of variables and one vector."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def flatten(tensors: Sequence[Any]) -> tf.Tensor:
    """The entries of all `tensors`, each in row-major order, one tensor after another.

    Args:
        tensors: at least one tensor or variable, all of one dtype.

    Returns:
        `[n]`, in the dtype of the tensors, where n is the number of their entries together.

    Raises:
        ValueError: there is no tensor.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import linalg
        >>> linalg.flatten([tf.constant([[1., 2.], [3., 4.]]), tf.constant(5.)]).numpy().tolist()
        [1.0, 2.0, 3.0, 4.0, 5.0]
    """
    if not tensors:
        raise ValueError(f"`tensors` must hold at least one tensor. Received: {tensors!r}")
    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)


def unflatten(vector: Any, variables: Sequence[Any]) -> list[tf.Tensor]:
    """Cuts `vector` into tensors of the shapes of `variables`: the inverse of `flatten`.

    Args:
        vector: `[n]`.
        variables: tensors or variables with n entries together; only their shapes are read.

    Returns:
        One tensor for each of `variables`, of its shape, in the dtype of `vector`.

    Raises:
        ValueError: `vector` is not of shape `[n]`.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import linalg
        >>> matrix, scalar = linalg.unflatten(tf.range(5.), [tf.zeros([2, 2]), tf.zeros([])])
        >>> matrix.numpy().tolist(), float(scalar)
        ([[0.0, 1.0], [2.0, 3.0]], 4.0)
    """
    vector = tf.convert_to_tensor(vector)
    shapes = [tf.TensorShape(variable.shape) for variable in variables]
    sizes = [shape.num_elements() for shape in shapes]
    received = vector.shape.as_list()
    if received != [sum(sizes)]:
        raise ValueError(f"`vector` must be of shape [{sum(sizes)}]. Received: shape {received}")
    return [tf.reshape(part, shape) for part, shape in zip(tf.split(vector, sizes), shapes, strict=True)]


def as_tf_variables(variables: Sequence[Any]) -> list[tf.Variable]:
    """The `tf.Variable` behind each of `variables`, which may be those of TensorFlow, Keras 2 or Keras 3.

    Raises:
        ValueError: there is no variable, or one is there twice.
        TypeError: something is not a variable.
    """
    if not variables:
        raise ValueError(f"`variables` must hold at least one variable. Received: {variables!r}")
    # In TensorFlow and Keras 2 `value` is a method, in Keras 3 a property that holds the tf.Variable.
    found = [each if isinstance(each, tf.Variable) else getattr(each, "value", each) for each in variables]
    for each in found:
        if not isinstance(each, tf.Variable):
            raise TypeError(f"`variables` must hold variables only. Received: a {type(each).__name__}")
    if len({id(each) for each in found}) < len(found):
        names = [each.name for each in found]
        raise ValueError(f"`variables` must be distinct. Received: {names}")
    return found
