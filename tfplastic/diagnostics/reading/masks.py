"""Masks of Keras: which examples and positions of a layer's output count.

A mask belongs to a tensor that Keras gave one, and to tensors computed from it position by position: residual
sums, products with weights, bare functions and layers that support masks. Keras itself loses a mask at the
first raw operation. Where positions are mixed, as by a convolution or by flattening, no mask is left.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from tfplastic._keras import replaced_attribute

_ELEMENTWISE = {
    "Abs", "Add", "AddN", "AddV2", "BiasAdd", "Cast", "ClipByValue", "Cube", "Div", "DivNoNan", "Elu", "Erf",
    "Erfc", "Exp", "Expm1", "Identity", "LeakyRelu", "Log", "Log1p", "Maximum", "Minimum", "Mul", "MulNoNan",
    "Neg", "Pow", "RealDiv", "Relu", "Relu6", "Rsqrt", "Select", "SelectV2", "Selu", "Sigmoid", "Sign",
    "Softmax", "Softplus", "Softsign", "Sqrt", "Square", "SquaredDifference", "StopGradient", "Sub", "Tanh",
}  # fmt: skip
_PRODUCTS = {"BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum", "MatMul"}
_FIXED = {"Const", "ReadVariableOp"}

Step = Callable[[tf.Tensor], tf.Tensor | None]  # None: the mask is lost


class _LayerCall(NamedTuple):
    """One call of a layer: its first inputs and its outputs, flat, and masks of the former."""

    layer: Any
    given: list[Any]
    masks: list[Any]
    results: list[Any]


class Masks:
    """The masks in one call of a model. Filled while the call is traced; to be asked in the same graph."""

    def __init__(self) -> None:
        self._calls: list[_LayerCall] = []
        self._known: dict[int, tuple[tf.Tensor, bool]] | None = None
        self._before: dict[int, list[Any]] = {}

    def noting(self, layer: Any) -> Callable[..., Any]:
        """Returns the `call` of a layer, which notes masks."""
        call = layer.call

        def noted(*args: Any, **kwargs: Any) -> Any:
            given = tf.nest.flatten(args[0] if args else next(iter(kwargs.values()), None))
            explicit = tf.nest.flatten(kwargs.get("mask"))
            explicit += [None] * (len(given) - len(explicit))
            masks = [_own_mask(each, mask) for each, mask in zip(given, explicit, strict=False)]
            result = call(*args, **kwargs)
            self._calls.append(_LayerCall(layer, given, masks, tf.nest.flatten(result)))
            return result

        vars(noted)["__signature__"] = inspect.signature(call)  # TF-Agents asks for it
        return noted

    def of(self, tensor: Any) -> tf.Tensor | None:
        """Returns the mask of a tensor `[n, ..., units]`: `[n, ...] bool`, over its first axes; or None."""
        if self._known is None:
            self._known = self._note_all()
        if not self._known or not tf.is_tensor(tensor):
            return None
        found = {id(each): each for each in self._sources(tensor, self._known)}
        masks = [each for each in found.values() if _fits(each, tensor)]
        if not masks:
            return None
        return masks[0] if len(masks) == 1 else tf.reduce_all(tf.stack(masks), axis=0)

    def _note_all(self) -> dict[int, tuple[tf.Tensor, bool]]:
        """Returns {id of a tensor: (its mask, whether that is the other way round in time)}."""
        known = {
            id(tensor): (mask, False)
            for call in self._calls
            for tensor, mask in zip(call.given, call.masks, strict=True)
            if mask is not None
        }
        for call in self._calls:
            is_leaf = not any(True for _ in call.layer._flatten_layers(include_self=False))
            is_masked = any(mask is not None for mask in call.masks)
            for tensor in call.results:
                mask = getattr(tensor, "_keras_mask", None)
                if mask is not None:  # Keras leaves it as it was where the output is reversed
                    known[id(tensor)] = mask, bool(getattr(call.layer, "go_backwards", False))
                elif call.layer.supports_masking and (is_leaf or (is_masked and hasattr(call.layer, "cell"))):
                    self._before.setdefault(id(tensor), call.given)
        return known

    def _sources(self, tensor: Any, known: Mapping[int, tuple[tf.Tensor, bool]]) -> Iterator[tf.Tensor]:
        """Yields the masks that a tensor inherits, in the form of its first axes."""
        made: dict[Any, tf.Tensor | None] = {}
        left: list[tuple[Any, tuple[tuple[Any, Step], ...]]] = [(tensor, ())]
        seen = set()
        while left:
            each, steps = left.pop()
            key = id(each), tuple(name for name, _ in steps)
            if key in seen or not tf.is_tensor(each):
                continue
            seen.add(key)
            if id(each) in known:
                mask, is_reversed = known[id(each)]
                key = id(mask), is_reversed, key[1]
                if key not in made:
                    made[key] = _stepped(tf.reverse(mask, [1]) if is_reversed else mask, steps)
                found = made[key]
                if found is not None:
                    yield found
            elif id(each) in self._before:
                left += [(before, steps) for before in self._before[id(each)]]
            elif not tf.executing_eagerly():
                left += [(before, _with(steps, step)) for before, step in _before(each)]


@contextlib.contextmanager
def noted_masks(layers: Mapping[str, Any]) -> Iterator[Masks]:
    """While open, the object it gives notes the masks in calls of the named layers, but for the first."""
    masks = Masks()
    with contextlib.ExitStack() as stack:
        for layer in list(layers.values())[1:]:
            is_leaf = not any(True for _ in layer._flatten_layers(include_self=False))
            if is_leaf or getattr(layer, "supports_masking", False):
                stack.enter_context(replaced_attribute(layer, "call", masks.noting(layer)))
        yield masks


def _stepped(mask: tf.Tensor, steps: tuple[tuple[Any, Step], ...]) -> tf.Tensor | None:
    found: tf.Tensor | None = tf.cast(mask, tf.bool)
    for _, step in reversed(steps):
        if found is not None:
            found = step(found)
    return found


def _with(steps: tuple[tuple[Any, Step], ...], step: tuple[Any, Step] | None) -> tuple[tuple[Any, Step], ...]:
    """Adds a step; of the same axes kept twice, as in each block of a Transformer, one is enough."""
    is_there = step is None or (step[0][:1] == ("kept",) and steps[-1:] and steps[-1][0] == step[0])
    return steps if step is None or is_there else (*steps, step)


def _own_mask(tensor: Any, given: Any) -> Any:
    own = getattr(tensor, "_keras_mask", None)
    return given if own is None else own


def _fits(mask: tf.Tensor, tensor: Any) -> bool:
    rank = mask.shape.rank or 0
    return 0 < rank < (tensor.shape.rank or 0) and mask.shape.is_compatible_with(tensor.shape[:rank])


def _before(tensor: Any) -> list[tuple[Any, tuple[Any, Step] | None]]:
    """Returns the tensors that one is made of by position, each with its mask's step, None for no step."""
    operation = tensor.op
    if operation.type in _ELEMENTWISE:
        return [(each, None) for each in operation.inputs]
    if operation.type in _PRODUCTS:
        return _multiplied(operation)
    if operation.type == "Reshape":
        given = operation.inputs[0]
        step = _reshaped(given.shape, tensor.shape)
        return [] if step is None else [(given, step if step[0] else None)]
    if operation.type == "StridedSlice":
        return _sliced(operation)
    return []


def _multiplied(operation: Any) -> list[tuple[Any, tuple[Any, Step] | None]]:
    """Follows a product with a weight or a constant, which keeps the first axes and may mix the others."""
    fixed = [_is_fixed(each) for each in operation.inputs]
    if len(fixed) != 2 or all(fixed) or not any(fixed):
        return []
    which = fixed.index(False)
    given, result = operation.inputs[which], operation.outputs[0]
    if given.shape.rank is None or result.shape.rank is None:
        return []
    kept = (_kept_by_einsum if operation.type == "Einsum" else _kept_by_matmul)(operation, which)
    if not kept or not given.shape[:kept].is_compatible_with(result.shape[:kept]):
        return []
    return [(given, (("kept", kept), lambda mask: mask if (mask.shape.rank or 0) <= kept else None))]


def _kept_by_einsum(operation: Any, which: int) -> int:
    """Returns the number of first axes of an operand that are those of the result."""
    inputs, output = operation.get_attr("equation").decode().replace(" ", "").split("->")
    given = _labels(inputs.split(",")[which], operation.inputs[which].shape.rank)
    result = _labels(output, operation.outputs[0].shape.rank)
    if len(set(given)) < len(given):  # a diagonal
        return 0
    same = [one == other for one, other in zip(given, result, strict=False)]
    return [*same, False].index(False)


def _labels(labels: str, rank: int) -> list[Any]:
    """Returns a label for each axis; an ellipsis is numbered from its end, as it is broadcast."""
    before, dots, after = labels.partition("...")
    return [*before, *(range(rank - len(before) - len(after), 0, -1) if dots else ()), *after]


def _kept_by_matmul(operation: Any, which: int) -> int:
    """Counts axes like an einsum: all but the last of x in x w, but the last two in w x or a turned x."""
    given, result = operation.inputs[which].shape.rank, operation.outputs[0].shape.rank
    turned = operation.get_attr("transpose_a" if operation.type == "MatMul" else "adj_x")
    if given != result:  # the weight has axes before those
        return 0
    return given - 1 if which == 0 and not turned else given - 2


def _is_fixed(tensor: Any) -> bool:
    """Returns whether it is a weight or a constant."""
    while tensor.op.type in ("Cast", "Identity", "Reshape", "Transpose"):
        tensor = tensor.op.inputs[0]
    return tensor.op.type in _FIXED


def _reshaped(given: Any, shape: Any) -> tuple[Any, Step] | None:
    """Follows a mask of `[n, positions, ...]` through a reshaping; None where it is lost."""
    if given.rank is None or shape.rank is None or not given.rank or not shape.rank:
        return None
    before, after = given.as_list(), shape.as_list()
    if before[:2] == after[:2] and min(given.rank, shape.rank) > 1 and None not in after[1:2]:
        return "", lambda mask: mask
    if given.rank == shape.rank + 1 and before[2:] == after[1:]:
        return "merged", lambda mask: tf.reshape(mask, [-1])
    if shape.rank == given.rank + 1 and before[1:] == after[2:] and after[1] is not None:
        return ("cut", after[1]), lambda mask: tf.reshape(mask, [-1, after[1]])
    return None


def _sliced(operation: Any) -> list[tuple[Any, tuple[Any, Step] | None]]:
    """Follows x[:, i], or x'[i] with the first two axes swapped, which TimeDistributed takes."""
    begin = tf.get_static_value(operation.inputs[1])
    axis = {1: 0, 2: 1}.get(operation.get_attr("shrink_axis_mask"))
    if begin is None or axis is None:
        return []
    given, index = operation.inputs[0], int(begin[axis])
    if axis == 0:
        order = tf.get_static_value(given.op.inputs[1]) if given.op.type == "Transpose" else None
        if order is None or list(order[:2]) != [1, 0]:
            return []
        given = given.op.inputs[0]
    return [(given, (("taken", index), lambda mask: mask[:, index]))]
