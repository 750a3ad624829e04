"""The number of weights of a network before it is built, so that one too large is refused early."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from tfplastic._checks import check_fits_in_memory

_BYTES = 8  # of a float32 weight and its gradient, without which it cannot be trained


def dense(sizes: Sequence[int], features: int = 1) -> int:
    """Returns the weights of dense layers, from `sizes[0]` inputs to `sizes[-1]` outputs.

    Args:
        sizes: number of inputs, and units of each layer.
        features: outputs of a nonlinearity for each unit.
    """
    inputs = [sizes[0], *(features * units for units in sizes[1:])]
    return sum((before + 1) * after for before, after in zip(inputs, sizes[1:], strict=False))


def convolution(kernel_size: int, channels: int, filters: int) -> int:
    """Returns the weights of a convolution with a square kernel."""
    return (kernel_size**2 * channels + 1) * filters


def check_size(num_weights: int, arguments: dict[str, Any]) -> None:
    """Checks that a network with this number of weights fits into the memory of the machine.

    Args:
        num_weights: number of weights of the whole network.
        arguments: its sizes, numbers or sequences of them, by name; the error is about the largest.

    Raises:
        ValueError: it does not fit.
    """
    name = max(arguments, key=lambda name: _largest(arguments[name]))
    check_fits_in_memory(name, arguments[name], _BYTES * num_weights)


def _largest(value: Any) -> float:
    return max(value, default=0) if isinstance(value, Iterable) else value


def outputs(shape: Sequence[int]) -> int:
    """Returns the units of a layer whose outputs have this shape."""
    return math.prod(shape)
