"""Measured values as files of a run directory and charts of TensorBoard's page."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tfplastic._text.tags import tag_of
from tfplastic.writers import Writer

_NEGATIVE, _ZERO, _POSITIVE = (33, 102, 172), (247, 247, 247), (178, 24, 43)  # ColorBrewer's RdBu
_IMAGE_PIXELS = 512


def write(
    writer: Writer, step: int, measured: Mapping[str, Mapping[str, Any]], prefix: str = "diagnostics"
) -> None:
    """Writes the results of `measure`, each value under the tag `<prefix>/<quantity>/<rest>`.

    The rest is the layer's path below the model, such as `block_1/attention/query`; characters that a tag
    cannot hold are percent-encoded.

    A number is a scalar; an array of one axis a histogram, whose array file holds Lanczos nodes and
    weights if it is a spectrum; a matrix an image, and an array file with the key
    `matrix`.

    Args:
        writer: writer of the values.
        step: gradient steps done.
        measured: {quantity name: {layer name: value}}.
        prefix: prefix of the tags, which distinguishes networks.

    Example:
        >>> from tfplastic import writers
        >>> from tfplastic.diagnostics.reporting.writing import write
        >>> writer = writers.MemoryWriter()
        >>> write(writer, 100, {'dead_units': {'hidden': 0.25}})
        >>> writer.series('diagnostics/dead_units/hidden')
        [(100, 0.25)]
    """
    scalars = {}
    for quantity, by_layer in measured.items():
        for layer, value in by_layer.items():
            tag, rank = tag_of(prefix, quantity, layer), np.ndim(value)
            if rank == 0:
                scalars[tag] = value
            elif rank == 1:
                writer.histogram(step, tag, value)
                if arrays := getattr(value, "arrays", None):
                    writer.arrays(step, tag, **arrays)  # in place of the histogram's counts
            else:
                writer.arrays(step, tag, matrix=value)
                writer.image(step, tag, matrix_image(value))
    writer.scalars(step, scalars)


def matrix_image(matrix: Any) -> np.ndarray:
    """Returns a matrix as an image: blue below zero, white at zero, red above, up to the largest magnitude.

    Args:
        matrix: `[rows, columns]`; entries that are NaN or infinite are black.

    Returns:
        `[height, width, 3] uint8`, each entry a square of as many pixels as fit 512.
    """
    matrix = np.asarray(matrix, np.float64)
    finite = np.isfinite(matrix)
    limit = np.abs(matrix[finite]).max(initial=0.0) or 1.0
    share = np.where(finite, matrix, 0.0)[..., None] / limit
    colors = np.where(share < 0, _NEGATIVE, _POSITIVE)
    pixels = np.rint(_ZERO + np.abs(share) * (colors - _ZERO)) * finite[..., None]
    zoom = max(1, _IMAGE_PIXELS // max(matrix.shape))
    return pixels.astype(np.uint8).repeat(zoom, axis=0).repeat(zoom, axis=1)


def charts(
    quantities: Iterable[str], prefix: str = "diagnostics", category: str = "Diagnostics"
) -> dict[str, dict[str, str]]:
    """Returns, for `Writer.layout`, a chart for each quantity with a line for each layer.

    Args:
        quantities: their names, in the order of the page.
        prefix: prefix of their tags.
        category: under which the charts stand.
    """
    return {category: {name: f"{prefix}/{name}/.*" for name in quantities}}
