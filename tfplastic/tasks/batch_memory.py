"""The memory that a batch takes in a network, before it is tried."""

import math
from typing import Any

import tensorflow as tf

from tfplastic._checks import check_fits_in_memory

_BYTES = 8  # of a float32 and its gradient


def check_batch_fits(name: str, batch_size: int, model: Any) -> None:
    """Checks that the outputs of all layers for a batch, and their gradients, fit into memory.

    Args:
        name: name of the argument that gives the size, for the error.
        batch_size: examples.
        model: a Keras model, built; a model that is not a graph of layers is not checked.

    Raises:
        ValueError: they do not fit.
    """
    entries = sum(_entries(layer) for layer in getattr(model, "layers", ()))
    check_fits_in_memory(name, batch_size, _BYTES * batch_size * entries)


def _entries(layer: Any) -> int:
    """Returns the entries of a layer's outputs for one example; 0 where that is unknown."""
    try:
        outputs = tf.nest.flatten(layer.output)
    except (AttributeError, ValueError):
        return 0
    return sum(math.prod(size or 1 for size in output.shape[1:]) for output in outputs)
