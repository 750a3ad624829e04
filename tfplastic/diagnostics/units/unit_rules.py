"""Which layers keep units apart, and how they move them.

The labels of a tensor are an integer array of its shape, without the batch, that says for every entry which
unit it is made of, -1 for none. Layers go by the names of their classes, since Keras 2 and Keras 3 share
none.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic.diagnostics.units.unit_slices import Slice
from tfplastic.layers import SpectralConv2D, SpectralDense

Labels = np.ndarray
_Move = Callable[[Any, Labels, tuple[int, ...]], Labels | None]

# Layers with kernels of their own, and those that hold such layers.
WITH_KERNELS = frozenset(
    {
        "Dense",
        "EinsumDense",
        "GRU",
        "LSTM",
        "RNN",
        "SimpleRNN",
        *(f"Conv{rank}D" for rank in (1, 2, 3)),
        *(f"Conv{rank}DTranspose" for rank in (1, 2, 3)),
        *(f"ConvLSTM{rank}D" for rank in (1, 2, 3)),
        *(f"{kind}Conv{rank}D" for kind in ("Depthwise", "Separable") for rank in (1, 2)),
    }
)
ATTENTION = frozenset({"GroupedQueryAttention", "MultiHeadAttention"})
WRAPPERS = frozenset({"Bidirectional", "TimeDistributed"})
MERGES = frozenset({"Add", "Average", "Dot", "Dueling", "Maximum", "Minimum", "Multiply", "Subtract"})
NORMS = frozenset(
    {
        "BatchNormalization",
        "GroupNormalization",
        "LayerNormalization",
        "RMSNormalization",
        "UnitNormalization",
    }
)
_ROLES = {
    "scale": ("gamma", "scale"),
    "offset": ("beta",),
    "mean": ("moving_mean",),
    "variance": ("moving_variance",),
}
_TRUSTED = frozenset({"keras", "tf_keras", "tfplastic"})


def kind_of(layer: Any) -> str:
    """Returns the name of the class of Keras or this library that `layer` is of; '' if unknown."""
    bases = type(layer).__mro__
    owner = next((base for base in bases if "call" in vars(base)), object)
    known = next((base.__name__ for base in bases if base.__name__ in _KNOWN), "")
    is_own = owner.__module__.split(".")[0] not in _TRUSTED  # a `call` of its own may do anything
    is_layer = hasattr(layer, "_flatten_layers")  # and none of Keras 3's operations
    return known if is_layer and not is_own else ""


def is_norm(layer: Any) -> bool:
    """Returns whether `layer` is, or derives from, a normalization layer of Keras or this library."""
    return any(base.__name__ in NORMS for base in type(layer).__mro__)


def channel_axis(layer: Any, rank: int) -> int:
    """Returns the axis of channels in labels of `rank` that `layer` takes or returns."""
    if getattr(layer, "data_format", None) != "channels_first":
        return rank - 1
    positions = re.search(r"(\d)D", kind_of(layer))
    return rank - 1 - int(positions[1]) if positions else 0


def of_channels(labels: Labels, axis: int = -1) -> Labels | None:
    """Returns `[channels]`: the labels along `axis`, if they are the same at all positions."""
    flat = np.moveaxis(labels, axis, -1).reshape(-1, labels.shape[axis])
    return flat[0] if len(flat) and (flat == flat[0]).all() else None


def moved_labels(kind: str, layer: Any, labels: list[Labels], shape: tuple[int, ...]) -> Labels | None:
    """Returns the labels of the output of a layer without a kernel, of `shape`; None if it mixes units."""
    if kind == "Concatenate" and layer.axis:
        axis = layer.axis - 1 if layer.axis > 0 else layer.axis
        return np.concatenate(labels, axis)
    if kind not in _MOVES or len(labels) != 1 or not has_elementwise_activation(layer):
        return None
    moved = _MOVES[kind](layer, labels[0], shape)
    return moved if moved is not None and moved.shape == shape else None


def has_elementwise_activation(layer: Any, function: Any = None) -> bool:
    """Returns whether `layer` has no `activation`, or one that does not mix units, as softmax does.

    Args:
        layer: layer that has it.
        function: another one of its functions, instead of its `activation`.
    """
    activation = getattr(layer, "activation", None) if function is None else function
    if activation is None:
        return True
    if hasattr(activation, "_flatten_layers"):  # a layer
        return _MOVES.get(kind_of(activation)) is _stay and has_elementwise_activation(activation)
    values = np.linspace(-2.0, 2.0, 8, dtype=np.float32).reshape(2, 4)
    changed = values.copy()
    changed[0, 1] = 3.0
    try:
        one, other = (np.array(activation(tf.constant(each))) for each in (values, changed))
    except (TypeError, ValueError, tf.errors.OpError):
        return False
    return one.shape == values.shape and np.count_nonzero(one != other) <= (one[0, 1] != other[0, 1])


def is_spectral(layer: Any) -> bool:
    """Returns whether the kernel of `layer` is divided by its largest singular value."""
    return isinstance(layer, (SpectralConv2D, SpectralDense))


def norm_couples(kind: str, layer: Any, labels: Labels) -> bool:
    """Returns whether a normalization makes units of an example depend on each other, at inference."""
    if kind == "BatchNormalization":
        return False
    axes = [axis - 1 for axis in _axes(layer, labels.ndim + 1)]
    together = np.moveaxis(labels, axes, range(-len(axes), 0))
    if kind == "GroupNormalization":  # each group of channels at all positions
        rows = np.moveaxis(together, -1, 0).reshape(layer.groups, -1)
    else:
        rows = together.reshape(-1, math.prod(together.shape[together.ndim - len(axes) :]))
    return bool((rows != rows[:, :1]).any())


def norm_parameters(layer: Any, labels: Labels) -> dict[str, Slice]:
    """Returns the parts of a normalization's variables that belong to `labels`, by role."""
    axes = _axes(layer, labels.ndim + 1)
    if axes != sorted(axes) or 0 in axes:
        return {}
    there = np.moveaxis(labels, [axis - 1 for axis in axes], range(-len(axes), 0))
    flat = there.reshape(-1, *there.shape[there.ndim - len(axes) :])
    if not len(flat) or (flat != flat[0]).any():
        return {}
    found = {
        role: next((value for name in names if (value := getattr(layer, name, None)) is not None), None)
        for role, names in _ROLES.items()
    }
    return {
        role: _slice_of(value, flat[0])
        for role, value in found.items()
        if tuple(getattr(value, "shape", ())) == flat[0].shape
    }


def _slice_of(variable: Any, labels: Labels) -> Slice:
    """Returns the slice with `labels`, of the variable's shape: along one axis where it suffices."""
    for axis in reversed(range(labels.ndim)):
        channels = of_channels(labels, axis)
        if channels is not None:
            return Slice(variable, axis, channels)
    return Slice(variable, 0, labels)


def _axes(layer: Any, rank: int) -> list[int]:
    axes = [layer.axis] if isinstance(layer.axis, int) else layer.axis
    return [int(axis) % rank for axis in axes]


def _stay(layer: Any, labels: Labels, shape: tuple[int, ...]) -> Labels | None:
    return labels


def _pair(layer: Any, labels: Labels, shape: tuple[int, ...]) -> Labels | None:
    axis = layer.axis - 1 if layer.axis > 0 else layer.axis
    return np.concatenate([labels, labels], axis)


def _keep_channels(layer: Any, labels: Labels, shape: tuple[int, ...]) -> Labels | None:
    axis = channel_axis(layer, labels.ndim)
    channels = of_channels(labels, axis)
    if channels is None or len(shape) == 1:
        return channels
    others = [each for each in range(len(shape)) if each != axis]
    return np.broadcast_to(np.expand_dims(channels, others), shape)


def _repeat(layer: Any, labels: Labels, shape: tuple[int, ...]) -> Labels | None:
    return np.broadcast_to(labels, shape)


def _reshape(layer: Any, labels: Labels, shape: tuple[int, ...]) -> Labels | None:
    if getattr(layer, "data_format", None) == "channels_first":  # of Flatten, which puts them last
        labels = np.moveaxis(labels, 0, -1)
    return labels.reshape(shape) if labels.size == math.prod(shape) else None


def _permute(layer: Any, labels: Labels, shape: tuple[int, ...]) -> Labels | None:
    return labels.transpose([axis - 1 for axis in layer.dims])


_ELEMENTWISE = (
    *("Activation", "ActivationMonitor", "ActivityRegularization", "AlphaDropout", "Dropout", "ELU"),
    *("GaussianDropout", "GaussianNoise", "Identity", "InputLayer", "LeakyReLU", "Normalization"),
    *("PReLU", "PositionEmbedding", "ReLU", "Rational", "Rescaling", "SharedBias", "SteppedDropout"),
    "ThresholdedReLU",
)
_OF_CHANNELS = (
    *("AveragePooling", "Cropping", "GlobalAveragePooling", "GlobalMaxPooling", "MaxPooling"),
    *("SpatialDropout", "UpSampling", "ZeroPadding"),
)
_MOVES: dict[str, _Move] = {
    **dict.fromkeys(_ELEMENTWISE, _stay),
    **{f"{name}{rank}D": _keep_channels for name in _OF_CHANNELS for rank in (1, 2, 3)},
    **dict.fromkeys(("CReLU", "DeepFourier"), _pair),
    "RepeatVector": _repeat,
    "Flatten": _reshape,
    "Reshape": _reshape,
    "Permute": _permute,
}
_KNOWN = {*WITH_KERNELS, *ATTENTION, *WRAPPERS, *MERGES, *NORMS, *_MOVES, "Concatenate"}
