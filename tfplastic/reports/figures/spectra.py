"""Smoothed densities of eigenvalues, from Lanczos nodes and weights, on one axis for all."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfplastic.reports.runs import Arrays

_WIDTH = 1 / 150  # standard deviation of the kernel, of the length of the axis
_MARGIN = 6  # widths
_POINTS = 600


class SpectralAxis(NamedTuple):
    """Where densities are evaluated, and how they are smoothed.

    Attributes:
        grid: `[points] float64`, evenly spaced.
        width: standard deviation of the Gaussian kernel.
    """

    grid: np.ndarray
    width: float


def has_nodes(file: Arrays) -> bool:
    """Returns whether a file holds nodes and weights; older ones hold a histogram or a density."""
    return {"nodes", "weights"} <= set(file.values)


def common_axis(files: Sequence[Arrays]) -> SpectralAxis | None:
    """Returns the axis of all spectra that have nodes, with one kernel for all; None where none has.

    Args:
        files: files of one figure. Nodes that are not finite are ignored.
    """
    nodes = [np.ravel(file.values["nodes"]) for file in files if has_nodes(file)]
    every = np.concatenate(nodes) if nodes else np.zeros(0)
    every = every[np.isfinite(every)]
    if not len(every):
        return None
    low, high = float(every.min()), float(every.max())
    width = _WIDTH * (high - low) or 1e-3 * max(abs(high), 1.0)
    return SpectralAxis(np.linspace(low - _MARGIN * width, high + _MARGIN * width, _POINTS), width)


def smoothed(file: Arrays, axis: SpectralAxis) -> np.ndarray:
    """Returns the mean over probes of sum_i weight_i N(t; node_i, width^2), `[points]`; its integral is 1."""
    nodes, weights = (np.atleast_2d(np.asarray(file.values[key], np.float64)) for key in ("nodes", "weights"))
    distances = (axis.grid[:, None] - nodes.ravel()) / axis.width  # [points, nodes]
    heights = np.exp(-(distances**2) / 2) @ weights.ravel()
    return heights / (len(nodes) * axis.width * np.sqrt(2 * np.pi))


def limits(files: Sequence[Arrays], axis: SpectralAxis) -> tuple[float, float]:
    """Returns the limits of a logarithmic density scale: from a tenth of one eigenvalue's bump up."""
    sizes = [int(file.values["size"]) for file in files if has_nodes(file) and "size" in file.values]
    smallest = [np.min(file.values["weights"], initial=1.0) for file in files if has_nodes(file)]
    share = 1 / max(sizes) if sizes else max(1e-9, float(min(smallest)))
    highest = max(float(smoothed(file, axis).max()) for file in files if has_nodes(file))
    return share / (10 * axis.width * float(np.sqrt(2 * np.pi))), 3 * highest
