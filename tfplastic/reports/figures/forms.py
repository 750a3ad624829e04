"""The forms that figures have: each takes data and axes, draws, and returns the axes."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.ticker import LogFormatter

from tfplastic.reports import aggregate, style
from tfplastic.reports._frames import floats, groups
from tfplastic.reports.figures.spectra import SpectralAxis, common_axis, has_nodes, limits, smoothed
from tfplastic.reports.paper import paper_name
from tfplastic.reports.runs import Arrays

_GAP_ACROSS, _GAP_DOWN = 0.06, 0.16
_INK = "#111111"  # No pure black, which pages turn into the color of their own text.
_THIN = 0.6  # of the lines of single runs
_FEW_BARS = 6  # whose names have room next to each other
_DARK = 0.5  # of a color's luminance, below which text on it is white


def panels(ax: Axes, rows: int, columns: int, gap: float | None = None) -> list[list[Axes]]:
    """Returns a grid of axes that fills the place of `ax`, which itself shows nothing any more.

    Args:
        ax: any axes.
        rows: labels of the rows of the grid.
        columns: labels of the columns of the grid.
        gap: between rows, as a share of the height of `ax`; by default smaller where there are more than two.

    Returns:
        `[rows][columns]` axes, children of `ax`, the first row on top.
    """
    ax.set_axis_off()
    width = (1 - _GAP_ACROSS * (columns - 1)) / columns
    gap = _GAP_DOWN * min(1.0, 2 / rows) if gap is None else gap
    height = (1 - gap * (rows - 1)) / rows
    return [
        [
            ax.inset_axes((column * (width + _GAP_ACROSS), (rows - 1 - row) * (height + gap), width, height))
            for column in range(columns)
        ]
        for row in range(rows)
    ]


def curves(
    rows: pd.DataFrame,
    ax: Axes,
    by: str = "arm",
    colors: Mapping[Any, str] | None = None,
    linestyle: str = "-",
    label: str = "{} ({})",
) -> Axes:
    """Draws a line for each group of runs: the median over its runs at each step, with its `aggregate.band`.

    Of fewer than six runs each is drawn as well, as a thin line, and the band is their range. A median
    without another next to it, such as of runs with one evaluation, is a dot.

    Args:
        rows: columns `run`, `step`, `value` and that of `by`; of each run one value per step.
        ax: axes to draw on.
        by: column that distinguishes the groups.
        colors: {group: color}; by default those of the style, in the order of the groups.
        linestyle: style of all lines.
        label: function of the group and its number of runs, those that have a value at its last step too,
            that returns a line's label.
    """
    given = colors or group_colors(rows[by])
    for group, of_group in groups(rows, by):
        table = of_group.pivot_table(index="run", columns="step", values="value", dropna=False)
        point, low, high = aggregate.band(table.to_numpy())
        steps, color = table.columns.to_numpy(), given[group]
        left = int(table.iloc[:, -1].notna().sum())
        count = f"n = {len(table)}" + (f", {left} at the end" if left < len(table) else "")
        (line,) = ax.plot(steps, point, linestyle, color=color, label=label.format(group, count))
        if any(alone := _alone(point)):
            line.set(marker="o", markersize=3.5, markevery=alone)
        ax.fill_between(steps, low, high, color=color, alpha=0.2, linewidth=0)
        if 1 < len(table) < aggregate.FEWEST_RUNS:
            runs = [np.column_stack([steps, values]) for values in table.to_numpy()]
            ax.add_collection(
                LineCollection(runs, colors=color, linestyles=linestyle, linewidths=_THIN, alpha=0.5)
            )
    return ax


def _alone(values: np.ndarray) -> list[bool]:
    """Returns the mask of numbers without a neighbor, so that no line shows them: `[points]`."""
    there = np.pad(np.isfinite(values), 1)
    return (there[1:-1] & ~there[:-2] & ~there[2:]).tolist()


def logarithmic(ax: Axes) -> Axes:
    """Makes the vertical axis logarithmic, with numbers like 1e-05: the style sets no mathematics."""
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(LogFormatter())
    ax.yaxis.set_minor_formatter(LogFormatter())
    return ax


def group_colors(groups: Any) -> dict[Any, str]:
    """Returns a color of the style for each distinct value, in the order in which they come."""
    distinct = list(dict.fromkeys(groups))
    return {group: style.COLORS[index % len(style.COLORS)] for index, group in enumerate(distinct)}


def matrix(values: Any, ax: Axes, limit: float = 1.0) -> Axes:
    """Draws a square matrix with a middle at 0, such as C_k: red above, blue below.

    Args:
        values: `[k, k]`; NaN is gray.
        ax: axes to draw on. Its ticks are the first and the last row and column, counted from 1.
        limit: limit of the colors, in both directions.
    """
    values = np.asarray(values, np.float64)
    colors = matplotlib.colormaps[style.DIVERGING].with_extremes(bad=style.MISSING)
    ax.imshow(values, cmap=colors, vmin=-limit, vmax=limit)
    for set_ticks, length in ((ax.set_yticks, len(values)), (ax.set_xticks, values.shape[1])):
        ends = sorted({0, length - 1})
        set_ticks(ends, [str(end + 1) for end in ends])
    ax.tick_params(length=2, labelsize=6, pad=1)
    ax.grid(False)
    return ax


def color_bar(ax: Axes, label: str) -> None:
    """Puts the bar of colors of the image that `ax` shows to the right of it."""
    if ax.figure is not None:
        bar = ax.figure.colorbar(ax.images[0], cax=ax.inset_axes((1.04, 0.1, 0.04, 0.8)), label=label)
        bar.ax.tick_params(labelsize=6)


def heat_map(
    table: pd.DataFrame,
    ax: Axes,
    texts: pd.DataFrame | None = None,
    limits: tuple[float, float] | None = None,
) -> Axes:
    """Draws a colored table.

    Args:
        table: numbers, rows by its index; a NaN is gray.
        ax: axes to draw on.
        texts: texts of the cells, with the same rows and columns; the numbers by default.
        limits: the values of the first and the last color; by default the smallest and the largest.
    """
    values = table.to_numpy(np.float64)
    finite = values[np.isfinite(values)]
    low, high = limits or (float(finite.min(initial=0.0)), float(finite.max(initial=0.0)))
    norm = Normalize(low, high if high > low else low + 1.0)
    colors = matplotlib.colormaps[style.SEQUENTIAL].with_extremes(bad=style.MISSING)
    ax.imshow(np.ma.masked_invalid(values), cmap=colors, norm=norm, aspect="auto")
    for row, name in enumerate(table.index):
        for column, other in enumerate(table.columns):
            value = values[row, column]
            text = f"{value:z.2f}" if texts is None else texts.loc[name, other]
            red, green, blue, _ = colors(norm(value)) if np.isfinite(value) else (1.0, 1.0, 1.0, 1.0)
            is_dark = 0.299 * red + 0.587 * green + 0.114 * blue < _DARK
            ax.text(
                column, row, str(text), ha="center", va="center", fontsize=7, color="w" if is_dark else _INK
            )
    ax.set_xticks(range(len(table.columns)), [str(each) for each in table.columns])
    ax.set_yticks(range(len(table.index)), [str(each) for each in table.index])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    return ax


def densities(
    files: Sequence[Arrays], ax: Axes, labels: Sequence[str], axis: SpectralAxis | None = None
) -> Axes:
    """Draws densities of eigenvalues, smoothed by one kernel on one axis.

    Args:
        files: with the keys `nodes` and `weights`, `[probes, m]` each. Older files: `grid` and `density`,
            `[points]` each, a line as it is; or `counts`, `[bins]`, and `edges`, `[bins + 1]`, which become
            the steps of a density with integral 1.
        ax: axes to draw on.
        labels: one for each.
        axis: axis of the densities, where other panels share it; by default that of `files`.
    """
    axis = axis or common_axis(files)
    for number, (file, label) in enumerate(zip(files, labels, strict=True)):
        density(file, ax, style.COLORS[number % len(style.COLORS)], "-", label, axis)
    ax.set(xlabel="eigenvalue", ylabel="density")
    logarithmic(ax)
    if axis is not None and files and all(map(has_nodes, files)):
        ax.set_ylim(limits(files, axis))
    return ax


def density(
    file: Arrays, ax: Axes, color: str, linestyle: str, label: str, axis: SpectralAxis | None = None
) -> Axes:
    """Draws one density of eigenvalues, see `densities`."""
    values = file.values
    look: Any = {"color": color, "linestyle": linestyle, "label": label}
    if axis is not None and has_nodes(file):
        ax.plot(axis.grid, smoothed(file, axis), **look)
    elif "density" in values:
        ax.plot(values["grid"], values["density"], **look)
    else:
        heights = values["counts"] / max(values["counts"].sum(), 1) / np.diff(values["edges"])
        ax.stairs(heights, values["edges"], **look)
    return ax


def probe_curves(files: Sequence[Arrays], ax: Axes, steps: Sequence[int] | None = None) -> Axes:
    """Draws the loss along a probe, a line for each checkpoint: the mean over targets and runs.

    The shade is between the quartiles of all targets of all runs. Later checkpoints are lighter.

    Args:
        files: with the key `curves`, `[targets, steps]`.
        ax: axes to draw on.
        steps: steps of the checkpoints to show; all by default.
    """
    shown = sorted({file.step for file in files if steps is None or file.step in steps})
    shades = matplotlib.colormaps[style.SEQUENTIAL](np.linspace(0, 0.9, max(len(shown), 1)))
    for step, color in zip(shown, shades, strict=False):
        of_step = [np.asarray(file.values["curves"], np.float64) for file in files if file.step == step]
        length = min(each.shape[1] for each in of_step)
        values = np.concatenate([each[:, :length] for each in of_step])  # [runs * targets, length]
        low, high = np.percentile(values, [25, 75], axis=0)
        ax.plot(np.arange(length), values.mean(axis=0), color=color, label=f"step {step:,}")
        ax.fill_between(np.arange(length), low, high, color=color, alpha=0.15, linewidth=0)
    ax.set(xlabel="steps of the probe", ylabel="probe loss", ylim=(0, None))
    return ax


def scatter(points: pd.DataFrame, ax: Axes, x: str, y: str, by: str) -> Axes:
    """Draws a point for each run, and the least squares line of each group that has two different x.

    Args:
        points: the columns that are named.
        ax: axes to draw on.
        x: column of the horizontal axis.
        y: column of the vertical axis.
        by: column that distinguishes the groups.
    """
    colors = group_colors(sorted(points[by].unique()))
    for group, of_group in groups(points.sort_values(by, kind="stable"), by):
        across, up = floats(of_group, x), floats(of_group, y)
        finite = np.isfinite(across) & np.isfinite(up)
        ax.scatter(
            across, up, s=12, color=colors[group], label=f"{paper_name(str(group))} (n = {finite.sum()})"
        )
        if finite.sum() > 1 and np.ptp(across[finite]) > 0:
            ends = np.array([across[finite].min(), across[finite].max()])
            slope, offset = np.polyfit(across[finite], up[finite], 1)
            ax.plot(ends, offset + slope * ends, color=colors[group])
    return ax


def bars(values: pd.Series, ax: Axes, beside: pd.Series | None = None, label: str = "paper") -> Axes:
    """Draws bars in ascending order, blue above 0 and orange below.

    Args:
        values: by name; NaN has no bar, and stands first.
        ax: axes to draw on.
        beside: other values of the same names, drawn as dots.
        label: label of the other values.
    """
    ordered = values.sort_values(na_position="first")
    heights = ordered.to_numpy(np.float64)
    above, below = style.COLORS[0], style.COLORS[1]
    positions = np.arange(len(ordered))
    ax.bar(positions, np.nan_to_num(heights), color=np.where(heights < 0, below, above).tolist())
    if beside is not None:
        dots = beside.reindex(ordered.index).to_numpy(np.float64)
        ax.plot(positions, dots, "o", color="k", markersize=3, label=label)
    ax.axhline(0, color="k", linewidth=0.6)
    turned = 90 if len(ordered) > _FEW_BARS else 0
    ax.set_xticks(positions, [str(name) for name in ordered.index], rotation=turned)
    return ax
