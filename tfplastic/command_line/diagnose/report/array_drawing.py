"""The arrays of one quantity: a panel for each layer, matrices as images, distributions as histograms."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from tfplastic.command_line.diagnose import figures
from tfplastic.command_line.diagnose.report import panels

_MOST_BINS, _FEWEST_BINS, _VALUES_OF_A_BIN = 50, 5, 4
_COLOR = "#1f4e79"


def draw(title: str, by_layer: Mapping[str, np.ndarray]) -> Figure:
    """Returns a figure of a quantity.

    Matrices are blue below zero, white at zero and red above, up to the largest absolute entry of each;
    histograms have a logarithmic axis of counts, on which single outliers show.

    Args:
        title: title of the figure.
        by_layer: {layer name: `[k]` or `[k, k]`}.
    """
    with figures.drawn(panels.size_in(len(by_layer)), ConstrainedLayoutEngine()) as figure:
        figure.suptitle(title, x=0.01, ha="left", fontsize=10)
        for axes, (layer, array) in zip(panels.grid(figure, len(by_layer)), by_layer.items(), strict=True):
            axes.set_title(panels.shortened(layer), fontsize=8)
            axes.tick_params(labelsize=7)
            (_draw_matrix if array.ndim == 2 else _draw_histogram)(
                figure, axes, np.asarray(array, np.float64)
            )
    return figure


def _draw_matrix(figure: Figure, axes: Any, matrix: np.ndarray) -> None:
    limit = float(np.max(np.abs(matrix[np.isfinite(matrix)]), initial=0.0)) or 1.0
    image = axes.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit)
    axes.set(xticks=[], yticks=[])
    figure.colorbar(image, ax=axes, shrink=0.8).ax.tick_params(labelsize=7)


def _draw_histogram(figure: Figure, axes: Any, values: np.ndarray) -> None:
    del figure
    finite = values[np.isfinite(values)]
    if not finite.size:
        axes.text(0.5, 0.5, "not finite", transform=axes.transAxes, ha="center", fontsize=8)
        axes.set(xticks=[], yticks=[])
        return
    bins = min(max(finite.size // _VALUES_OF_A_BIN, _FEWEST_BINS), _MOST_BINS)
    axes.hist(finite, bins=bins, color=_COLOR, alpha=0.8, log=True)
    axes.set_ylim(bottom=0.5)
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)
