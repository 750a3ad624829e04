"""Which axes of a tensor have the units, found by the operations that it is made of."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

_MAKES_LAST = {
    "BatchMatMul",
    "BatchMatMulV2",
    "BatchMatMulV3",
    "GatherV2",
    "MatMul",
    "ResourceGather",
}
_REDUCES = {"Max", "Mean", "Min", "Prod", "Sum"}
_Axes = tuple[int, ...]


def unit_axes(tensor: Any) -> _Axes:
    """Returns the axes of a traced tensor that hold the units of its layer: the last axis if unknown.

    They are several where a unit has several numbers, such as head and feature. It follows the channels of
    convolutions, pooling and normalization, channels first or last, through transposition, reshaping that
    keeps the axes or joins them, reduction, and entrywise operations. Where reshaping merges the axis with
    others, as flattening does, each entry of the last axis is a unit.
    """
    rank = tensor.shape.rank or 1
    axes = _axes(tensor)
    return (rank - 1,) if not axes or not all(0 < axis < rank for axis in axes) else axes


def units_last(values: Any, axes: _Axes) -> Any:
    """Returns `values` with the axes of their units moved to the end, and joined there; None for None."""
    if values is None or axes == (values.shape.rank - 1,):
        return values
    others = [each for each in range(values.shape.rank) if each not in axes]
    moved = tf.transpose(values, [*others, *axes])
    if len(axes) == 1:
        return moved
    lengths = [values.shape[axis] for axis in axes]
    joined = tf.reshape(moved, tf.concat([tf.shape(moved)[: len(others)], [math.prod(lengths)]], 0))
    return tf.ensure_shape(joined, [*(values.shape[each] for each in others), math.prod(lengths)])


def _axes(tensor: Any) -> _Axes | None:
    operation, rank = tensor.op, tensor.shape.rank
    if rank is None or operation.type in _MAKES_LAST:
        return None
    if operation.type == "Einsum":
        return _of_kernel(operation)
    if operation.type == "TensorListStack":
        step = _step_of_loop(operation)
        return None if step is None else tuple(axis + 1 for axis in _axes(step) or (step.shape.rank - 1,))
    # Keras adds biases to channels first by another format, and reshapes what it normalizes to fit one.
    if (
        not operation.type.startswith(("BiasAdd", "FusedBatchNorm"))
        and "data_format" in operation.node_def.attr
    ):
        is_first = operation.get_attr("data_format").startswith(b"NC")
        return (1,) if is_first and rank > 2 else (rank - 1,)
    before = _source(tensor)
    if before is None:
        return None
    axes = _axes(before) or (before.shape.rank - 1,)
    return _moved(operation, axes, before.shape.as_list(), tensor.shape.as_list())


def _of_kernel(operation: Any) -> _Axes | None:
    """Returns the axes that only the second of two factors has; None where both depend on the batch."""
    inputs, _, result = operation.get_attr("equation").decode().partition("->")
    given, _, kernel = inputs.partition(",")
    if not kernel or given[0] in kernel or "." in result:
        return None
    return tuple(axis for axis, each in enumerate(result) if each in kernel and each not in given)


def _step_of_loop(operation: Any) -> Any:
    """Returns the element that a loop, such as a recurrent layer's, adds to the stacked list, or None."""
    loop = operation.inputs[0]
    if loop.op.type not in ("StatelessWhile", "While"):
        return None
    body = loop.graph._get_function(loop.op.get_attr("body").name).graph
    step = body.outputs[loop.value_index]
    while step.op.type == "Identity":
        step = step.op.inputs[0]
    return step.op.inputs[2] if step.op.type == "TensorListSetItem" else None


def _source(tensor: Any) -> Any:
    """Returns the input with the units: of the result's shape, else the first with axes."""
    given = [each for each in tensor.op.inputs if each.dtype.is_floating and each.shape.rank]
    same = [each for each in given if each.shape.as_list() == tensor.shape.as_list()]
    return next(iter([*same, *given]), None)


def _moved(operation: Any, axes: _Axes, given: list[int | None], shape: list[int | None]) -> _Axes | None:
    """Returns the axes of the result for those of the input; None where they are lost."""
    move = _MOVES.get(operation.type)
    if move is not None:
        return move(operation, axes, given, shape)
    if operation.type in _REDUCES and not operation.get_attr("keep_dims"):
        reduced = _constant(operation)
        if reduced is None:
            return None
        dims = [int(each) % len(given) for each in np.ravel(reduced)]
        return None if set(axes) & set(dims) else _without(dims, axes)
    return axes if len(given) == len(shape) else None


def _transposed(operation: Any, axes: _Axes, given: Any, shape: Any) -> _Axes | None:
    order = _constant(operation)
    return None if order is None else tuple(list(order).index(axis) for axis in axes)


def _squeezed(operation: Any, axes: _Axes, given: Any, shape: Any) -> _Axes | None:
    return _without([each % len(given) for each in operation.get_attr("squeeze_dims")], axes)


def _expanded(operation: Any, axes: _Axes, given: Any, shape: Any) -> _Axes | None:
    place = _constant(operation)
    return None if place is None else tuple(axis + (int(place) % len(shape) <= axis) for axis in axes)


def _packed(operation: Any, axes: _Axes, given: Any, shape: Any) -> _Axes | None:
    place = operation.get_attr("axis") % len(shape)
    return tuple(axis + (place <= axis) for axis in axes)


def _unpacked(operation: Any, axes: _Axes, given: Any, shape: Any) -> _Axes | None:
    return _without([operation.get_attr("axis") % len(given)], axes)


def _sliced(operation: Any, axes: _Axes, given: Any, shape: Any) -> _Axes | None:
    if operation.get_attr("new_axis_mask") or operation.get_attr("ellipsis_mask"):
        return axes if len(given) == len(shape) else None
    mask = operation.get_attr("shrink_axis_mask")
    return _without([axis for axis in range(len(given)) if mask >> axis & 1], axes)


def _reshaped(operation: Any, axes: _Axes, given: Any, shape: Any) -> _Axes | None:
    """Returns the axes where the axes after or before them stay, and they stay themselves or are joined."""
    first, count = min(axes), len(axes)
    if axes != tuple(range(first, first + count)) or None in given[first : first + count]:
        return None
    lengths, before, after = given[first : first + count], given[1:first], given[first + count :]
    for kept in (lengths, [math.prod(lengths)]):
        if None not in after and [*kept, *after] == shape[len(shape) - len(kept) - len(after) :]:
            start = len(shape) - len(kept) - len(after)
            return tuple(range(start, start + len(kept)))
        if None not in before and [*before, *kept] == shape[1 : first + len(kept)]:
            return tuple(range(first, first + len(kept)))
    parts = shape[first:]
    is_split = not after and before == shape[1:first] and None not in [*parts, *before]
    if is_split and math.prod(parts) == math.prod(lengths) and _of_one_layer(operation):
        return tuple(range(first, len(shape)))  # as Keras 3 writes `EinsumDense`: a product, then its axes
    return None


def _of_one_layer(operation: Any) -> bool:
    """Returns whether an operation and the one before it were made in the same call, by their names."""
    scopes = {each.name.rpartition("/")[0] for each in (operation, operation.inputs[0].op)}
    return len(scopes) == 1 and scopes != {""}


def _without(dims: list[int], axes: _Axes) -> _Axes:
    return tuple(axis - sum(each < axis for each in dims) for axis in axes)


def _constant(operation: Any) -> Any:
    return tf.get_static_value(operation.inputs[1])


_MOVES: dict[str, Callable[[Any, _Axes, Any, Any], _Axes | None]] = {
    "ExpandDims": _expanded,
    "Pack": _packed,
    "Reshape": _reshaped,
    "Squeeze": _squeezed,
    "StridedSlice": _sliced,
    "Transpose": _transposed,
    "Unpack": _unpacked,
}
