"""Which axis of a tensor has the units, found by the operations that it is made of."""

from typing import Any

import numpy as np
import tensorflow as tf

_MAKES_LAST = {
    "BatchMatMul",
    "BatchMatMulV2",
    "BatchMatMulV3",
    "Einsum",
    "GatherV2",
    "MatMul",
    "ResourceGather",
}
_REDUCES = {"Max", "Mean", "Min", "Prod", "Sum"}


def unit_axis(tensor: Any) -> int:
    """The axis of a traced tensor that has the units of the layer that made it: the last if nothing tells.

    It follows the channels of convolutions, pooling and normalisation, channels first or last, through
    transposition, reshaping that keeps the axis, reduction, and what works entry by entry. Where reshaping
    merges the axis with others, as flattening does, each entry of the last axis is a unit.
    """
    rank = tensor.shape.rank or 1
    axis = _axis(tensor)
    return rank - 1 if axis is None or not 0 < axis < rank else axis


def units_last(values: Any, axis: int) -> Any:
    """`values` with the axis of their units moved to the end; None for None."""
    if values is None or axis == values.shape.rank - 1:
        return values
    axes = [each for each in range(values.shape.rank) if each != axis]
    return tf.transpose(values, [*axes, axis])


def _axis(tensor: Any) -> int | None:
    operation, rank = tensor.op, tensor.shape.rank
    if rank is None or operation.type in _MAKES_LAST:
        return None
    # Keras adds biases to channels first by another format, and reshapes what it normalises to fit one.
    if (
        not operation.type.startswith(("BiasAdd", "FusedBatchNorm"))
        and "data_format" in operation.node_def.attr
    ):
        is_first = operation.get_attr("data_format").startswith(b"NC")
        return 1 if is_first and rank > 2 else rank - 1
    before = _source(tensor)
    if before is None:
        return None
    axis = _axis(before)
    if axis is None:
        axis = before.shape.rank - 1
    return _moved(operation, axis, before.shape.as_list(), tensor.shape.as_list())


def _source(tensor: Any) -> Any:
    """The input that has the units: the one with the shape of the result, else the first with axes."""
    given = [each for each in tensor.op.inputs if each.dtype.is_floating and each.shape.rank]
    same = [each for each in given if each.shape.as_list() == tensor.shape.as_list()]
    return next(iter([*same, *given]), None)


def _moved(operation: Any, axis: int, given: list[int | None], shape: list[int | None]) -> int | None:
    """The axis of the result for that of the input; None where it is lost."""
    if operation.type == "Transpose":
        order = _constant(operation)
        return None if order is None else list(order).index(axis)
    if operation.type == "Squeeze":
        dims = [each % len(given) for each in operation.get_attr("squeeze_dims")]
        return axis - sum(each < axis for each in dims)
    if operation.type == "ExpandDims":
        place = _constant(operation)
        return None if place is None else axis + (int(place) % len(shape) <= axis)
    if operation.type in _REDUCES and not operation.get_attr("keep_dims"):
        reduced = _constant(operation)
        if reduced is None:
            return None
        dims = [int(each) % len(given) for each in np.ravel(reduced)]
        return None if axis in dims else axis - sum(each < axis for each in dims)
    if operation.type == "Reshape":
        after, from_end = given[axis:], len(given) - axis
        if None not in after and after == shape[-from_end:]:
            return len(shape) - from_end
        before = given[1 : axis + 1]
        return axis if None not in before and before == shape[1 : axis + 1] else None
    return axis if len(given) == len(shape) else None


def _constant(operation: Any) -> Any:
    return tf.get_static_value(operation.inputs[1])
