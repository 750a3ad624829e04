"""Between a list of variables and one vector."""

from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

from tfplastic._checks import shown


def flatten(tensors: Sequence[Any]) -> tf.Tensor:
    """Returns the entries of all `tensors`, each in row-major order, one tensor after another.

    Args:
        tensors: at least one tensor or variable, all of one dtype.

    Returns:
        `[n]`, in the dtype of the tensors, where n is the number of their entries together.

    Raises:
        TypeError: `tensors` is not a list.
        ValueError: there is no tensor.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import linalg
        >>> linalg.flatten([tf.constant([[1., 2.], [3., 4.]]), tf.constant(5.)]).numpy().tolist()
        [1.0, 2.0, 3.0, 4.0, 5.0]
    """
    if isinstance(tensors, str | bytes) or not isinstance(tensors, Iterable):
        raise TypeError(f"`tensors` must be a list of tensors. Received: {shown(tensors)}")
    tensors = list(tensors)
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
        TypeError: `variables` is not a list.
        ValueError: `vector` is not of shape `[n]`.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import linalg
        >>> matrix, scalar = linalg.unflatten(tf.range(5.), [tf.zeros([2, 2]), tf.zeros([])])
        >>> matrix.numpy().tolist(), float(scalar)
        ([[0.0, 1.0], [2.0, 3.0]], 4.0)
    """
    vector = tf.convert_to_tensor(vector)
    if isinstance(variables, str | bytes) or not isinstance(variables, Iterable):
        raise TypeError(f"`variables` must be a list of variables. Received: {shown(variables)}")
    shapes = [tf.TensorShape(variable.shape) for variable in variables]
    sizes = [shape.num_elements() for shape in shapes]
    received = vector.shape.as_list()
    if received != [sum(sizes)]:
        raise ValueError(f"`vector` must be of shape [{sum(sizes)}]. Received: shape {received}")
    return [tf.reshape(part, shape) for part, shape in zip(tf.split(vector, sizes), shapes, strict=True)]
