"""Figs. 12, 13, 15 and 16: effects of the interventions on learning itself."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from tfplastic.reports._frames import floats, where
from tfplastic.reports.figures import _sources, forms
from tfplastic.reports.paper import INTERVENTIONS, paper_name
from tfplastic.reports.runs import Runs
from tfplastic.reports.statistics.factorial import with_factors
from tfplastic.reports.statistics.factors import chosen_factors

_FACTORS = ("environment", "architecture", "intervention")


def figure_12(runs: Runs, ax: Axes, factors: Sequence[str] | None = None) -> Axes:
    """Draws accuracy along training on CIFAR-10: a row for each environment, a column for each intervention.

    Figs. 12 (CIFAR-10) and 13 (MNIST) of the paper, appendix B.1, on the easy and the hard MDP; a line for
    each architecture. Medians over seeds with their `aggregate.band`.

    Args:
        runs: with `evaluation/accuracy`.
        ax: axes to draw on.
        factors: parts of the arms' names, 'environment', 'architecture' and 'intervention' among them; by
            default the kinds that the names show. With 'data' the runs on other data are left out.

    Raises:
        ValueError: no run has it, or an arm's name has other parts.
    """
    return _grid(runs, ax, factors, _sources.ACCURACY, "accuracy", "cifar10")


def figure_13(runs: Runs, ax: Axes, factors: Sequence[str] | None = None) -> Axes:
    """Draws `figure_12` on MNIST."""
    return _grid(runs, ax, factors, _sources.ACCURACY, "accuracy", "mnist")


def figure_15(runs: Runs, ax: Axes, factors: Sequence[str] | None = None) -> Axes:
    """Draws the TD loss along training on MNIST, in the form of `figure_12`.

    Figs. 15 (MNIST) and 16 (CIFAR-10) of the paper, appendix B.1: losses are alike where accuracies are not.

    Args:
        runs: with `evaluation/td_loss`.
        ax: axes to draw on.
        factors: see `figure_12`.

    Raises:
        ValueError: no run has it, or an arm's name has other parts.
    """
    return _grid(runs, ax, factors, _sources.TD_LOSS, "TD loss", "mnist")


def figure_16(runs: Runs, ax: Axes, factors: Sequence[str] | None = None) -> Axes:
    """Draws `figure_15` on CIFAR-10."""
    return _grid(runs, ax, factors, _sources.TD_LOSS, "TD loss", "cifar10")


def _top(values: np.ndarray) -> float:
    """Returns the end of the vertical axes: 1, as in the paper, or more where values are larger."""
    largest = float(values[np.isfinite(values)].max(initial=0.0))
    return 1.0 if largest <= 1 else 1.05 * largest


def _grid(runs: Runs, ax: Axes, factors: Sequence[str] | None, tag: str, name: str, data: str) -> Axes:
    scalars = _sources.scalars(runs, tag)
    factors = chosen_factors(runs, factors, _FACTORS, _FACTORS)
    rows = with_factors(scalars, factors)
    rows = rows.assign(architecture=[paper_name(name) for name in rows["architecture"]])
    if "data" in factors:
        rows = where(rows, rows["data"] == data)
    environments = list(dict.fromkeys(rows["environment"]))
    present = set(rows["intervention"])
    known = [name for name in ("none", *INTERVENTIONS) if name in present]
    interventions = list(dict.fromkeys([*known, *rows["intervention"]]))
    colors = forms.group_colors(rows["architecture"])
    top = _top(floats(rows, "value"))
    grid = forms.panels(ax, max(1, len(environments)), max(1, len(interventions)))
    for line, environment in zip(grid, environments, strict=False):
        for panel, intervention in zip(line, interventions, strict=False):
            chosen = (rows["environment"] == environment) & (rows["intervention"] == intervention)
            forms.curves(where(rows, chosen), panel, "architecture", colors)
            panel.set(title=f"{paper_name(environment)}, {paper_name(intervention)}", ylim=(0, top))
            if line is grid[-1]:
                panel.set_xlabel("gradient steps")
            if panel is line[0]:
                panel.set_ylabel(name)
            if chosen.any():
                panel.legend(fontsize=6)
    return ax
