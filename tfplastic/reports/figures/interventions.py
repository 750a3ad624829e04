"""Figs. 6 and 8 to 11: effects of the interventions on the loss of plasticity, as heat maps."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from tfplastic.reports._frames import where
from tfplastic.reports.figures import _sources, forms
from tfplastic.reports.paper import ARCHITECTURES, INTERVENTIONS, paper_cells, paper_name
from tfplastic.reports.runs import Runs
from tfplastic.reports.statistics.factorial import FACTORS, probe_cells
from tfplastic.reports.statistics.factors import chosen_factors


def figure_6(runs: Runs, ax: Axes, factors: Sequence[str] | None = None) -> Axes:
    """Draws the rise of the probe loss on CIFAR-10 by intervention and architecture, next to the paper's.

    Fig. 6 of the paper, section 6.2, which is the part of Fig. 8 without combinations. A cell is the mean
    over runs, then its bounds where there are several, the range of fewer than six and else the 95 %
    bootstrap interval of the mean, and below, in brackets, the paper's number with the spread that it prints;
    a cell without runs is gray.

    Args:
        runs: with at least two probes each.
        ax: axes to draw on.
        factors: parts of the arms' names, 'architecture' and 'intervention' among them; by default the kinds
            that the names show. With 'data', as in `gin/paper/small/fig06.gin`, runs on other data are left
            out; else all are taken to be on the figure's data.

    Raises:
        ValueError: no run has probes, or an arm's name has other parts.
    """
    return _differences(runs, ax, factors, "cifar10", combinations=False)


def figure_8(runs: Runs, ax: Axes, factors: Sequence[str] | None = None) -> Axes:
    """Draws `figure_6` with the combinations of a two-hot head and others: Fig. 8, appendix B.1."""
    return _differences(runs, ax, factors, "cifar10", combinations=True)


def figure_9(runs: Runs, ax: Axes, factors: Sequence[str] | None = None) -> Axes:
    """Draws `figure_8` on MNIST: Fig. 9, appendix B.1."""
    return _differences(runs, ax, factors, "mnist", combinations=True)


def figure_10(runs: Runs, ax: Axes, factors: Sequence[str] | None = None) -> Axes:
    """Draws the probe loss at the start and at the end of training on CIFAR-10, next to the paper's.

    Fig. 10 of the paper, appendix B.1. A network that cannot fit the probe at the start shows no loss of
    plasticity: look at both maps. The paper repeats the spreads of the differences here; they are left out.

    Args:
        runs: see `figure_6`.
        ax: axes to draw on.
        factors: see `figure_6`.

    Raises:
        ValueError: see `figure_6`.
    """
    return _both_ends(runs, ax, factors, "cifar10")


def figure_11(runs: Runs, ax: Axes, factors: Sequence[str] | None = None) -> Axes:
    """Draws `figure_10` on MNIST: Fig. 11, appendix B.1."""
    return _both_ends(runs, ax, factors, "mnist")


def _differences(runs: Runs, ax: Axes, factors: Sequence[str] | None, data: str, combinations: bool) -> Axes:
    ours = _cells(runs, factors, data)
    rows = [name for name in INTERVENTIONS if combinations or "+" not in name]
    ours = where(ours, [combinations or "+" not in name for name in ours["intervention"]])
    _map(ours, "plasticity_loss", data, rows, ax, bounds=True)
    ax.set_title(f"increase of the final probe loss, {paper_name(data)}")
    return ax


def _both_ends(runs: Runs, ax: Axes, factors: Sequence[str] | None, data: str) -> Axes:
    ours = _cells(runs, factors, data)
    top = max(0.0, float(ours[["initial_loss", "final_loss"]].max(axis=None)))
    left, right = forms.panels(ax, 1, 2)[0]
    for panel, column, when in ((left, "initial_loss", "start"), (right, "final_loss", "end")):
        _map(ours, column, data, list(INTERVENTIONS), panel, bounds=False, limits=(0.0, top))
        panel.set_title(f"probe loss at the {when} of training, {paper_name(data)}")
    right.set_yticklabels([])
    return ax


def _cells(runs: Runs, factors: Sequence[str] | None, data: str) -> pd.DataFrame:
    _sources.scalars(runs, "probe/final_loss")
    factors = chosen_factors(runs, factors, ("architecture", "intervention"), FACTORS)
    fixed = {} if "data" in factors else {"data": data}
    cells = probe_cells(runs, factors, **fixed)
    return where(cells, cells["data"] == data)


def _map(
    ours: pd.DataFrame, column: str, data: str, rows: list[str], ax: Axes, bounds: bool, limits: Any = None
) -> None:
    """Draws the map of `column`, rows and columns in the paper's order, others after them."""
    rows = rows + [name for name in dict.fromkeys(ours["intervention"]) if name not in rows]
    has = set(ours["architecture"])
    columns = [name for name in ARCHITECTURES if name in has] + sorted(has - set(ARCHITECTURES))
    paper = paper_cells()
    theirs = paper[paper["data"] == data].set_index(["intervention", "architecture"])
    mine = ours.set_index(["intervention", "architecture"])
    texts = {
        name: [
            "\n".join(
                filter(
                    None,
                    (
                        _ours(mine, (row, name), column, bounds),
                        _theirs(theirs, (row, name), column, bounds),
                    ),
                )
            )
            for row in rows
        ]
        for name in columns
    }
    values = {
        name: [
            float(mine.loc[(row, name), column]) if (row, name) in mine.index else float("nan")
            for row in rows
        ]
        for name in columns
    }
    table, words = pd.DataFrame(values, index=rows), pd.DataFrame(texts, index=rows)
    named = [each.rename(index=paper_name, columns=paper_name) for each in (table, words)]
    forms.heat_map(named[0], ax, named[1], limits)


def _ours(table: Any, cell: tuple[str, str], column: str, bounds: bool) -> str:
    if cell not in table.index:
        return ""
    found = table.loc[cell]
    text = f"{found[column]:z.2f}"
    return f"{text}\n{found['low']:z.2f} to {found['high']:z.2f}" if bounds and found["runs"] > 1 else text


def _theirs(table: Any, cell: tuple[str, str], column: str, spread: bool) -> str:
    if cell not in table.index:
        return ""
    text = f"{table.loc[cell, column]:z.2f}"
    if spread and np.isfinite(table.loc[cell, "spread"]):
        text += f" ± {table.loc[cell, 'spread']:.2f}"
    return f"({text})"
