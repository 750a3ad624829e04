"""Fig. 5: wider networks lose less plasticity."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from tfplastic.reports import style
from tfplastic.reports._frames import floats, groups, where
from tfplastic.reports.figures import _sources, forms
from tfplastic.reports.paper import paper_name
from tfplastic.reports.runs import Runs
from tfplastic.reports.statistics.factorial import probe_losses, with_factors
from tfplastic.reports.statistics.factors import chosen_factors

_MOST_LINES = 6  # that one can tell apart
_FACTORS = ("architecture", "data", "target_period", "width")


def figure_5(
    runs: Runs,
    ax: Axes,
    factors: Sequence[str] | None = None,
) -> Axes:
    """Draws the increase of the probe loss over the width of the network, on a logarithmic scale.

    Fig. 5 of the paper, section 6.1. Means over seeds, with the smallest and largest; a color for each
    architecture and data, a style of line for each target period; where these are many lines, a panel for
    each architecture and data. A mean that is not above 0, which the scale does not show, is counted in the
    legend.

    Args:
        runs: with at least two probes each.
        ax: axes to draw on.
        factors: parts of the arms' names, 'width', a number, among them, and 'target_period', if it varies;
            by default architecture, data, target period and width, or the kinds that the names show.

    Raises:
        ValueError: no run has probes, an arm's name has other parts, or its width is not a number.
    """
    _sources.scalars(runs, "probe/final_loss")
    factors = chosen_factors(runs, factors, _FACTORS, _FACTORS)
    rows = with_factors(probe_losses(runs), factors)
    rows["width"] = [_width(text) for text in rows["width"]]
    rows["period"] = rows["target_period"] if "target_period" in rows else ""
    others = [name for name in factors if name not in ("width", "target_period")]
    rows["group"] = [" ".join(str(rows[name][index]) for name in others) for index in range(len(rows))]
    groups_of_rows, periods = (list(dict.fromkeys(rows[name])) for name in ("group", "period"))
    if len(groups_of_rows) * len(periods) > _MOST_LINES:
        _panels(rows, ax, groups_of_rows)
    else:
        _lines(rows, ax)
    return ax


def _panels(rows: pd.DataFrame, ax: Axes, names: Sequence[str]) -> None:
    """Draws a panel for each architecture and data, on common limits."""
    columns = math.ceil(math.sqrt(len(names)))
    grid = [panel for row in forms.panels(ax, -(-len(names) // columns), columns) for panel in row]
    for panel in grid[len(names) :]:
        panel.remove()
    shown = grid[: len(names)]
    for panel, name in zip(shown, names, strict=True):
        _lines(where(rows, rows["group"] == name).assign(group=""), panel)
        panel.set_title(" ".join(map(paper_name, name.split(" "))))
    limits = [panel.get_ylim() for panel in shown]
    for index, panel in enumerate(shown):
        panel.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
        if index % columns:
            panel.set_ylabel("")
            panel.tick_params(labelleft=False, which="both")
        if index + columns < len(shown):
            panel.set_xlabel("")


def _lines(rows: pd.DataFrame, ax: Axes) -> None:
    """Draws a line for each group and period: colors by groups, or by periods where there is one group."""
    names, periods = (list(dict.fromkeys(rows[name])) for name in ("group", "period"))
    colors = forms.group_colors(rows["group"] if len(names) > 1 else rows["period"])
    lowest = math.inf
    for (group, period), of_line in groups(rows.sort_values("width", kind="stable"), ["group", "period"]):
        by_width = {width: floats(each, "plasticity_loss") for width, each in groups(of_line, "width")}
        mean, low, high = np.array([(each.mean(), each.min(), each.max()) for each in by_width.values()]).T
        above = mean > 0
        shown = np.where(above, mean, np.nan)
        label = ", ".join(part for part in (group, f"period {period}" if period else "") if part)
        label += f" ({np.count_nonzero(~above)} not above 0)" if not above.all() else ""
        linestyle = style.LINE_STYLES[periods.index(period) % len(style.LINE_STYLES)]
        color = colors[group if len(names) > 1 else period]
        ax.plot(list(by_width), shown, linestyle, marker="o", markersize=3, color=color, label=label)
        ends = np.where(above, np.maximum(low, 1e-12), np.nan), np.where(above, high, np.nan)
        ax.fill_between(list(by_width), *ends, color=color, alpha=0.12, linewidth=0)
        lowest = min(lowest, float(mean[above].min(initial=math.inf)))
    if math.isfinite(lowest):
        forms.logarithmic(ax)
        ax.set_ylim(bottom=lowest / 3)
    widths = sorted(set(rows["width"]))
    ax.set_xticks(widths, [f"{width:g}" for width in widths])
    ax.set(xlabel="width multiplier", ylabel="increase of the final probe loss")
    ax.legend(fontsize=7)


def _width(text: str) -> float:
    try:
        return float(text.lstrip("x"))
    except ValueError:
        raise ValueError(f"The part 'width' of arms must be a number. Received: {text!r}") from None
