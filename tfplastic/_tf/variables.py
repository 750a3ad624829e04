"""The variables of an operator: their TensorFlow form, their names, their layers."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic._checks import shown
from tfplastic._keras import check_backend


def as_tf_variables(variables: Sequence[Any]) -> list[tf.Variable]:
    """Returns the `tf.Variable` behind each of `variables`, which may be of TensorFlow, Keras 2 or Keras 3.

    Raises:
        ValueError: there is no variable, or one is there twice, or is one of Keras on another backend.
        TypeError: something is not a variable.
    """
    if isinstance(variables, str | type) or not isinstance(variables, Iterable):
        rule = "must be a list of variables, such as model.trainable_variables"
        raise TypeError(f"`variables` {rule}. Received: {shown(variables)}")
    if not variables:
        raise ValueError(f"`variables` must hold at least one variable. Received: {variables!r}")
    for each in variables:
        check_backend("variables", each)
    # In TensorFlow and Keras 2 `value` is a method, in Keras 3 a property that holds the tf.Variable.
    found = [each if isinstance(each, tf.Variable) else getattr(each, "value", each) for each in variables]
    for each in found:
        if not isinstance(each, tf.Variable):
            raise TypeError(f"`variables` must hold variables only. Received: a {type(each).__name__}")
    if len({id(each) for each in found}) < len(found):
        raise ValueError(f"`variables` must be distinct. Received: {names(variables)}")
    return found


def common_dtype(variables: Sequence[tf.Variable]) -> np.dtype:
    """Returns the dtype of all `variables`.

    Raises:
        ValueError: they are not all float32 or all float64.
    """
    dtypes = sorted({variable.dtype.name for variable in variables})
    if dtypes not in (["float32"], ["float64"]):
        raise ValueError(f"`variables` must be all float32 or all float64. Received: {', '.join(dtypes)}")
    return np.dtype(dtypes[0])


def dense(gradients: Sequence[Any], variables: Sequence[tf.Variable]) -> list[tf.Tensor]:
    """Returns a tape's gradients as tensors: sparse ones made dense, None made zeros."""
    return [
        tf.zeros_like(variable) if gradient is None else tf.convert_to_tensor(gradient)
        for gradient, variable in zip(gradients, variables, strict=True)
    ]


def names(variables: Sequence[Any]) -> list[str]:
    """Returns a name such as 'dense/kernel' for each variable: its path in Keras 3, its name otherwise."""
    return [getattr(each, "path", each.name).split(":")[0] for each in variables]


def group(names: Sequence[str], by: str) -> dict[str, list[int]]:
    """Returns positions of the variables in each block, `by` 'variable' or 'layer'.

    Parts of the path that all layers share, such as a model's name, are left out of the blocks' names. A name
    that comes again is another variable's, as of a second model; it gets a block of its own with a number.
    """
    blocks: list[tuple[str, dict[str, int]]] = []
    for position, name in enumerate(names):
        title = name.rpartition("/")[0] if by == "layer" and "/" in name else name
        if by == "layer" and blocks and blocks[-1][0] == title and name not in blocks[-1][1]:
            blocks[-1][1][name] = position
        else:
            blocks.append((title, {name: position}))
    titles = _distinct(_without_common_beginning([title for title, _ in blocks]))
    return {title: list(positions.values()) for title, (_, positions) in zip(titles, blocks, strict=True)}


def _without_common_beginning(titles: list[str]) -> list[str]:
    parts = [title.split("/") for title in titles]
    while all(len(each) > 1 for each in parts) and len({each[0] for each in parts}) == 1:
        parts = [each[1:] for each in parts]
    return ["/".join(each) for each in parts]


def _distinct(titles: list[str]) -> list[str]:
    taken, distinct = set(titles), []
    for title in titles:
        numbered = (f"{title}_{number}" for number in itertools.count(1))
        name = next(each for each in numbered if each not in taken) if title in distinct else title
        taken.add(name)
        distinct.append(name)
    return distinct
