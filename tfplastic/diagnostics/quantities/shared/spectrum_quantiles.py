"""Quantiles of a spectrum that know the Lanczos nodes and weights they come from."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfplastic.linalg import SpectralDensity


class SpectrumQuantiles(np.ndarray):
    """An array of quantiles, `[points] float64`, like any other.

    Attributes:
        arrays: contents of an array file in place of a histogram: `nodes` and `weights`,
            `[num_probes, m] float64`, of Gauss quadrature, and `size`, the number of eigenvalues. Empty for
            parts of it.
    """

    arrays: Mapping[str, Any]

    @classmethod
    def of(cls, density: SpectralDensity, num_points: int) -> "SpectrumQuantiles":
        """Returns the smallest t with a share of at least q up to t, for even q from 0 to 1."""
        order = np.argsort(density.nodes, axis=None)
        nodes, weights = density.nodes.ravel()[order], density.weights.ravel()[order]
        shares = np.cumsum(weights) / weights.sum()
        points = nodes[np.minimum(np.searchsorted(shares, np.linspace(0, 1, num_points)), len(nodes) - 1)]
        points[-1] = nodes[-1]  # where the last shares round to 1
        found = points.view(cls)
        found.arrays = {
            "nodes": density.nodes,
            "weights": density.weights,
            "size": np.int64(density.size),
        }
        return found

    def __array_finalize__(self, source: Any) -> None:
        self.arrays = {}
