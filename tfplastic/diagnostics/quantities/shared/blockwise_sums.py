"""Sums over the entries of large tensors, in float64."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

_BLOCK = 1 << 15  # entries at a time: 256 KB, which the cache keeps


def summed(tensor: Any, function: Callable[[np.ndarray], Any]) -> float:
    """Returns the sum of the results of `function` on the entries, block by block.

    Args:
        tensor: a tensor or a variable.
        function: function that maps a block of entries, `[b] float64`, which it may overwrite, to its part of
            the sum.
    """
    return float(sum(function(block) for block in blocks(tensor)))


def blocks(tensor: Any) -> Iterator[np.ndarray]:
    """Yields the entries, `[b] float64` at a time."""
    values = np.asarray(tf.convert_to_tensor(tensor)).ravel()  # of a variable itself NumPy would make a copy
    for start in range(0, values.size, _BLOCK):
        yield values[start : start + _BLOCK].astype(np.float64)


def square_sum(block: np.ndarray) -> float:
    """Returns the sum of the squares."""
    return float(block @ block)


def magnitude_sum(block: np.ndarray) -> float:
    """Returns the sum of the magnitudes; overwrites the block."""
    return float(np.abs(block, out=block).sum())
