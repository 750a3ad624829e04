"""The units that layers with kernels read, and the parts of their weights that belong to their own units.

Layers go by the names of their classes, as in `_unit_rules`. Labels are those of `_unit_rules` as well.
"""

import dataclasses
import math
import types
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from tfplastic._keras import keras_of
from tfplastic.diagnostics.units.unit_rules import (
    Labels,
    channel_axis,
    has_elementwise_activation,
    of_channels,
)
from tfplastic.diagnostics.units.unit_slices import Slice


class Mixed(Exception):
    """A layer's weights do not tell units apart; its text says why."""


def check_variables(tensors: Iterable[Any], pronoun: str = "its") -> None:
    """Raises `Mixed` if one is not a variable, as the kernel of a layer with LoRA."""
    if not all(hasattr(each, "assign") for each in tensors):
        raise Mixed(f"{pronoun} kernel is computed from other weights, as with LoRA")


class Read(NamedTuple):
    """Inputs of a kernel: along one axis, or several neighboring ones from it, the labels."""

    variable: Any
    axis: int
    labels: Labels


@dataclasses.dataclass(frozen=True)
class Own:
    """The parts of a layer's weights that belong to its units, see `Units`."""

    incoming: Slice
    bias: Slice | None = None
    recurrent: Slice | None = None


class Kernel:
    """A kind of layers with a kernel."""

    def own(self, layer: Any) -> Own:
        """Returns the weights of the units of `layer`. Raises `Mixed`."""
        raise NotImplementedError

    def reads(self, layer: Any, labels: Labels) -> list[Read]:
        """Returns the inputs of the layer's kernels where its input has `labels`. Raises `Mixed`."""
        raise NotImplementedError

    def place(self, layer: Any, units: Labels, shape: tuple[int, ...]) -> Labels:
        """Returns the labels of the layer's output, of `shape`, given those of its units, `[units]`."""
        axis = channel_axis(layer, len(shape))
        return np.moveaxis(np.broadcast_to(units, _moved_to_end(shape, axis)), -1, axis)

    def is_elementwise(self, layer: Any) -> bool:
        """Returns whether the layer's activation functions keep its units apart."""
        return has_elementwise_activation(layer)

    def reads_of_own(self, layer: Any, units: Labels) -> list[Read]:
        """Returns the inputs of the layer's kernels from its own units."""
        return []


class _Dense(Kernel):
    """Dense layers and convolutions, in groups or not: `[..., inputs, units]`."""

    def own(self, layer: Any) -> Own:
        return Own(Slice(layer.kernel, -1), _bias(layer))

    def reads(self, layer: Any, labels: Labels) -> list[Read]:
        channels, groups = _channels(layer, labels), getattr(layer, "groups", 1)
        if groups == 1:
            scale = getattr(layer, "kernel_scale", None)  # of a noisy layer
            return [Read(each, -2, channels) for each in (layer.kernel, scale) if each is not None]
        in_groups = channels.reshape(groups, -1).T  # [inputs of a group, groups]
        return [Read(layer.kernel, -2, in_groups.repeat(layer.kernel.shape[-1] // groups, axis=1))]


class _Transposed(Kernel):
    """Transposed convolutions: `[..., units, inputs]`."""

    def own(self, layer: Any) -> Own:
        return Own(Slice(layer.kernel, -2), _bias(layer))

    def reads(self, layer: Any, labels: Labels) -> list[Read]:
        return [Read(layer.kernel, -1, _channels(layer, labels))]


class _Depthwise(Kernel):
    """Depthwise convolutions: `[..., inputs, multiplier]`, each pair a unit."""

    def own(self, layer: Any) -> Own:
        kernel = _depthwise(layer)
        inputs, multiplier = (int(each) for each in kernel.shape[-2:])
        units = np.arange(inputs * multiplier).reshape(inputs, multiplier)
        return Own(Slice(kernel, -2, units if multiplier > 1 else None), _bias(layer))

    def reads(self, layer: Any, labels: Labels) -> list[Read]:
        return [Read(_depthwise(layer), -2, _channels(layer, labels))]


class _Separable(Kernel):
    """Separable convolutions: a depthwise kernel that reads, and a pointwise one that makes the units."""

    def own(self, layer: Any) -> Own:
        return Own(Slice(layer.pointwise_kernel, -1), _bias(layer))

    def reads(self, layer: Any, labels: Labels) -> list[Read]:
        return [Read(layer.depthwise_kernel, -2, _channels(layer, labels))]


class _Recurrent(Kernel):
    """Recurrent layers with one cell of Keras: `[..., inputs, gates * units]`, and one from the units."""

    def own(self, layer: Any) -> Own:
        cell = layer.cell
        units = self._of_gates(cell)
        bias = getattr(cell, "bias", None)
        return Own(
            Slice(cell.kernel, -1, units),
            None if bias is None else Slice(bias, -1, units),
            Slice(cell.recurrent_kernel, -1, units),
        )

    def reads(self, layer: Any, labels: Labels) -> list[Read]:
        return [Read(layer.cell.kernel, -2, _channels(layer, labels))]

    def is_elementwise(self, layer: Any) -> bool:
        cell = layer.cell
        gate = getattr(cell, "recurrent_activation", None)
        return has_elementwise_activation(cell) and (gate is None or has_elementwise_activation(cell, gate))

    def reads_of_own(self, layer: Any, units: Labels) -> list[Read]:
        return [Read(layer.cell.recurrent_kernel, -2, units)]

    @staticmethod
    def _of_gates(cell: Any) -> np.ndarray:
        units = int(cell.recurrent_kernel.shape[-2])
        return np.arange(int(cell.kernel.shape[-1])) % units


class _Einsum(Kernel):
    """`EinsumDense`: the kernel's axes that the input lacks identify its units; the others read units."""

    def own(self, layer: Any) -> Own:
        given, kernel, returned = _letters(layer)
        letters = [each for each in kernel if each in returned]
        if not letters or set(letters) & set(given):
            raise Mixed("its weights are of single positions, or it has no axis of units")
        axis, shape = _neighbors(kernel, letters), _lengths(layer, kernel, letters)
        units = np.arange(math.prod(shape)).reshape(shape)
        return Own(Slice(layer.kernel, axis, units), self._bias(layer, units, letters, returned))

    def reads(self, layer: Any, labels: Labels) -> list[Read]:
        given, kernel, returned = _letters(layer, given_rank=labels.ndim + 1)
        letters = [each for each in kernel if each in given]
        if set(letters) & set(returned) or given[0] in letters:
            raise Mixed("which has weights of single positions")
        axes = [given.index(each) - 1 for each in letters]
        there = np.moveaxis(labels, axes, range(-len(axes), 0))
        flat = there.reshape(-1, *there.shape[there.ndim - len(axes) :])
        if not len(flat) or (flat != flat[0]).any():
            raise Mixed("")
        return [Read(layer.kernel, _neighbors(kernel, letters), flat[0])]

    def place(self, layer: Any, units: Labels, shape: tuple[int, ...]) -> Labels:
        _, kernel, returned = _letters(layer, returned_rank=len(shape) + 1)
        letters = [each for each in kernel if each in returned]
        array = units.reshape(_lengths(layer, kernel, letters))
        return np.broadcast_to(_aligned(array, letters, returned[1:]), shape)

    @staticmethod
    def _bias(layer: Any, units: Labels, letters: list[str], returned: str) -> Slice | None:
        bias = layer.bias
        if bias is None or not set(letters) <= set(layer.bias_axes):
            return None
        array = _aligned(units, letters, returned[-len(bias.shape) :])
        array = np.broadcast_to(array, tuple(bias.shape))
        return Slice(bias, 0, array)


def _letters(layer: Any, given_rank: int = 0, returned_rank: int = 0) -> tuple[str, str, str]:
    """Returns the axes of input, kernel and result, with letters for '...' where a rank is known."""
    inputs, returned = layer.equation.replace(" ", "").split("->")
    given, kernel = inputs.split(",")
    count = max(given_rank - len(given), returned_rank - len(returned)) + len("...")
    others = "".join(chr(0x3B1 + number) for number in range(count))
    return given.replace("...", others), kernel, returned.replace("...", others)


def _lengths(layer: Any, kernel: str, letters: list[str]) -> tuple[int, ...]:
    return tuple(int(layer.kernel.shape[kernel.index(each)]) for each in letters)


def _neighbors(kernel: str, letters: list[str]) -> int:
    axis = kernel.index(letters[0])
    if kernel[axis : axis + len(letters)] != "".join(letters):
        raise Mixed("whose axes of units are not neighbors")
    return axis


def _aligned(array: Labels, letters: list[str], axes: str) -> Labels:
    """Aligns `array`, whose axes have `letters`, with `axes`: length 1 where it has none."""
    there = [each for each in axes if each in letters]
    moved = array.transpose([letters.index(each) for each in there])
    return np.expand_dims(moved, [place for place, each in enumerate(axes) if each not in letters])


def _channels(layer: Any, labels: Labels) -> Labels:
    channels = of_channels(labels, channel_axis(layer, labels.ndim))
    if channels is None:
        raise Mixed("")
    return channels


def _moved_to_end(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    axis %= len(shape)
    return (*shape[:axis], *shape[axis + 1 :], shape[axis])


def _depthwise(layer: Any) -> Any:
    return getattr(layer, "depthwise_kernel", None) if hasattr(layer, "depthwise_kernel") else layer.kernel


def _bias(layer: Any) -> Slice | None:
    bias = getattr(layer, "bias", None)
    return None if bias is None else Slice(bias, 0)


def adds_bias_to_columns(layer: Any, shape: tuple[int, ...]) -> bool:
    """Returns whether Keras adds the bias of `layer`, channels first, along the result's last axis.

    Keras 3.15 does where that is as long as the channels' (`keras.ops.add` takes the bias for one of channels
    last), so that an entry of the bias is of all units.
    """
    axis = channel_axis(layer, len(shape))
    if axis == len(shape) - 1 or shape[axis] != shape[-1] or getattr(layer, "bias", None) is None:
        return False
    ops = getattr(keras_of(layer), "ops", None)
    if ops is None:
        return False
    bias = np.arange(2.0, dtype=np.float32).reshape(1, 2, 1)
    return not np.array_equal(ops.add(np.zeros((1, 2, 2), np.float32), bias)[0, :, 0], bias[0, :, 0])


_CELLS = {"GRUCell", "LSTMCell", "SimpleRNNCell", "ConvLSTMCell"}


def kernel_of(kind: str, layer: Any) -> Kernel | None:
    """Returns the kind of kernels that a layer of `kind` has; None if it has none that is known."""
    if kind == "RNN":
        return _KERNELS["LSTM"] if type(layer.cell).__name__ in _CELLS else None
    return _KERNELS.get(kind)


def incoming_of(layer: Any) -> list[Slice]:
    """Returns the weights into the units of `layer`, or of the recurrent layer that has it as its cell.

    Empty where the layer has no units of its own, or is of a kind that is not known.
    """
    names = [base.__name__ for base in type(layer).__mro__]
    if hasattr(layer, "cell"):  # which has the weights
        return []
    is_cell = any(name in _CELLS for name in names)
    kernel = (
        _KERNELS["LSTM"] if is_cell else next((_KERNELS[name] for name in names if name in _KERNELS), None)
    )
    try:
        own = kernel and kernel.own(types.SimpleNamespace(cell=layer) if is_cell else layer)
        found = [] if own is None else [each for each in (own.incoming, own.recurrent) if each is not None]
        check_variables(each.variable for each in found)
    except Mixed:
        return []
    return found


_MAKERS: dict[Callable[[], Kernel], tuple[str, ...]] = {
    _Dense: ("Dense", "Conv1D", "Conv2D", "Conv3D"),
    _Transposed: ("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"),
    _Depthwise: ("DepthwiseConv1D", "DepthwiseConv2D"),
    _Separable: ("SeparableConv1D", "SeparableConv2D"),
    _Recurrent: ("SimpleRNN", "GRU", "LSTM", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"),
    _Einsum: ("EinsumDense",),
}
_KERNELS = {name: make() for make, names in _MAKERS.items() for name in names}
