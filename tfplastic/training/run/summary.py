"""The plan of a run as text, for `--dry_run`."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfplastic._keras import keras


def describe(model: keras.Model, rows: Sequence[tuple[str, str]]) -> str:
    """Returns the layers of a model with output shapes and parameters, then rows of (item, amount).

    A layer of a model that is not a graph of layers has no output shape there.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic.training.run import summary
        >>> layers = [tf.keras.layers.InputLayer((3,)), tf.keras.layers.Dense(2, name='output')]
        >>> print(summary.describe(tf.keras.Sequential(layers, name='net'), [('seed', '0')]))
        Network net
          output  Dense  (2,)  8
          in all               8
        Plan
          seed  0
    """
    layers = [
        (layer.name, type(layer).__name__, _output_shapes(layer), f"{_num_weights(layer):,}")
        for layer in model.layers
    ]
    layers.append(("in all", "", "", f"{model.count_params():,}"))
    return "\n".join([f"Network {model.name}", *_aligned(layers, "<<<>"), "Plan", *_aligned(rows, "<<")])


def _output_shapes(layer: Any) -> str:
    """Returns the shapes of a layer's outputs for one example; '' where they are unknown."""
    try:
        outputs = tf.nest.flatten(layer.output)
    except (AttributeError, ValueError):
        return ""
    return ", ".join(str(tuple(output.shape[1:])) for output in outputs)


def _num_weights(layer: Any) -> int:
    """Returns the number of a layer's weights, those of one that is not built being none."""
    return layer.count_params() if layer.built else 0


def _aligned(rows: Sequence[Sequence[str]], alignments: str) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    formats = [f"{how}{width}" for how, width in zip(alignments, widths, strict=True)]
    return ["  " + "  ".join(map(format, row, formats)).rstrip() for row in rows]
