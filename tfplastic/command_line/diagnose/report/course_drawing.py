"""Quantities over a run: a figure for each kind, a panel for each quantity, a line for each layer."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from tfplastic.command_line.diagnose import figures
from tfplastic.command_line.diagnose.report import panels
from tfplastic.command_line.diagnose.report.findings import Findings
from tfplastic.diagnostics.declaration.quantity import group_of
from tfplastic.diagnostics.diagnose import quantities_of_budget

_WHOLE = "all"
_LEGEND_IN = 1.9
_WIDE = 1_000.0  # positive values that span more have a logarithmic axis


def draw(found: Sequence[Findings]) -> dict[str, Figure]:
    """Returns {kind of quantity: figure}; a layer has one color in all of them, the whole network is black.

    Args:
        found: one for each checkpoint of a run, by the same budget, in the order of their steps.
    """
    kinds = {name: group_of(quantity) for name, quantity in quantities_of_budget(found[0].budget).items()}
    series = _series(found)
    layers = list(dict.fromkeys(layer for by_layer in series.values() for layer in by_layer))
    colors = _colors([layer for layer in layers if layer != _WHOLE])
    figures_by_kind = {}
    for kind in dict.fromkeys(kinds[quantity] for quantity in series):
        chosen = {quantity: by_layer for quantity, by_layer in series.items() if kinds[quantity] == kind}
        name = found[0].name.rpartition(", ")[0]
        figures_by_kind[kind] = _draw_kind(f"{name}: {kind}", chosen, colors)
    return figures_by_kind


_Series = dict[str, tuple[list[int], list[float]]]


def _series(found: Sequence[Findings]) -> dict[str, _Series]:
    """Returns {quantity: {layer: (steps, values)}}."""
    series: dict[str, _Series] = {}
    for findings in found:
        for step, quantity, layer, value in findings.rows():
            steps, values = series.setdefault(quantity, {}).setdefault(layer, ([], []))
            steps.append(step)
            values.append(value)
    return series


def _colors(layers: Sequence[str]) -> dict[str, Any]:
    scale = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, max(len(layers), 1)))
    return {_WHOLE: "black", **dict(zip(layers, scale, strict=False))}


def _draw_kind(title: str, quantities: Mapping[str, _Series], colors: Mapping[str, Any]) -> Figure:
    size = panels.size_in(len(quantities), _LEGEND_IN)
    with figures.drawn(size, ConstrainedLayoutEngine()) as figure:
        figure.suptitle(title, x=0.01, ha="left", fontsize=10)
        for axes, (quantity, by_layer) in zip(
            panels.grid(figure, len(quantities)), quantities.items(), strict=True
        ):
            axes.set_title(panels.shortened(quantity), fontsize=8)
            for layer, (steps, values) in by_layer.items():
                style = "--" if layer == _WHOLE else "-"
                axes.plot(steps, values, style, color=colors[layer], linewidth=1.2, marker=".", markersize=3)
            _scale(axes, np.concatenate([values for _, values in by_layer.values()]))
        shown = [layer for layer in colors if any(layer in by_layer for by_layer in quantities.values())]
        handles = [Line2D([], [], color=colors[layer], marker=".", markersize=3) for layer in shown]
        names = [panels.shortened(layer) for layer in shown]
        figure.legend(handles, names, loc="outside right upper", fontsize=7, frameon=False)
        figure.supxlabel("Gradient step", fontsize=8)
    return figure


def _scale(axes: Any, values: np.ndarray) -> None:
    finite = values[np.isfinite(values)]
    if finite.size and finite.min() > 0 and finite.max() > _WIDE * finite.min():
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
