"""Results of the diagnostics in each layer, along training."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import LogFormatter

from tfplastic.reports import style
from tfplastic.reports._frames import floats, groups, mapped, where
from tfplastic.reports.page.content import Picture, ReportInput, Section, Table, listed

_PREFIX = "diagnostics/"
_FIRST = (
    "dead_units",
    "dormant_units",
    "feature_srank",
    "weight_norm",
    "distance_from_init",
    "gradient_norm",
)
_MOST_FIGURES = 16
_GAP = 0.06  # between arms, in widths of one
_LOGARITHMIC = 300.0  # ratio of values from which colors are on a logarithmic scale
_ARM_IN, _LAYER_IN = 1.15, 0.3
_MOST_IN = 13.0


def heat_maps(contents: ReportInput) -> Section:
    """Returns each quantity by layer and gradient step, a map for each arm: medians over seeds."""
    rows, title = contents.runs.scalars(f"{_PREFIX}*"), "Layers over time"
    if rows.empty:
        return Section(title, ["No run has scalars of diagnostics."])
    quantity, layer = (
        mapped(rows["tag"], lambda tag, index=index: tag.removeprefix(_PREFIX).partition("/")[index])
        for index in (0, 2)
    )
    rows = rows.assign(quantity=quantity, layer=layer)
    quantities = sorted(rows["quantity"].unique(), key=lambda name: (_index(name), name))
    pictures = []
    for quantity in quantities[:_MOST_FIGURES]:
        of_quantity = where(rows, rows["quantity"] == quantity)
        pictures.append(_picture(of_quantity, quantity, contents.runs.arms))
    texts = ["Rows are layers, an arm's columns its gradient steps; medians over seeds. Gray: not measured."]
    if len(quantities) > _MOST_FIGURES:
        texts.append(f"In the table alone: {listed(quantities[_MOST_FIGURES:], 40)}.")
    return Section(title, texts, pictures=pictures, tables=[_last(rows)])


def layers_over_time(rows: pd.DataFrame, ax: Axes, arms: list[str] | None = None) -> Axes:
    """Draws a map of layers by gradient steps for each arm, side by side, in one scale of colors.

    Args:
        rows: columns `arm`, `layer`, `step`, `value`; medians are taken over runs.
        ax: axes to draw on.
        arms: in their order; by default those of `rows`.
    """
    arms = list(rows["arm"].unique()) if arms is None else arms
    layers = list(rows["layer"].unique())
    steps = sorted(rows["step"].unique())
    table = rows.pivot_table(index="layer", columns=["arm", "step"], values="value", aggfunc="median")
    columns = pd.MultiIndex.from_product([arms, steps])
    values = table.reindex(index=layers, columns=columns).to_numpy(np.float64)
    values = np.where(np.isfinite(values), values, np.nan).reshape(len(layers), len(arms), len(steps))
    colors = matplotlib.colormaps[style.SEQUENTIAL].with_extremes(bad=style.MISSING)
    norm = _norm(values)
    image = None
    for index in range(len(arms)):
        left = index * (1 + _GAP)
        extent = (left, left + 1, len(layers) - 0.5, -0.5)
        shown = np.ma.masked_invalid(values[:, index])
        image = ax.imshow(shown, cmap=colors, norm=norm, aspect="auto", extent=extent)
    ax.set(xlim=(0, len(arms) * (1 + _GAP) - _GAP), ylim=(len(layers) - 0.5, -0.5))
    turned = any(len(arm) > 16 for arm in arms) or len(arms) > 7
    ax.set_xticks(
        [index * (1 + _GAP) + 0.5 for index in range(len(arms))],
        arms,
        rotation=35 if turned else 0,
        ha="right" if turned else "center",
    )
    ax.set_yticks(range(len(layers)), layers)
    ax.set_xlabel(f"gradient steps {steps[0]:,} to {steps[-1]:,}, for each arm")
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    if image is not None and ax.figure is not None:
        numbers = LogFormatter() if isinstance(norm, LogNorm) else None  # the style sets no mathematics
        ax.figure.colorbar(image, ax=ax, pad=0.02, aspect=12, format=numbers)
    return ax


def _index(quantity: str) -> int:
    return _FIRST.index(quantity) if quantity in _FIRST else len(_FIRST)


def _norm(values: np.ndarray) -> Normalize:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Normalize(0, 1)
    low, high = float(finite.min()), float(finite.max())
    if low > 0 and high > _LOGARITHMIC * low:
        return LogNorm(low, high)
    return Normalize(low, high if high > low else low + 1)


def _picture(rows: pd.DataFrame, quantity: str, arms: list[str]) -> Picture:
    present = set(rows["arm"].unique())
    shown = [arm for arm in arms if arm in present]
    width = min(_MOST_IN, max(4.6, 1.6 + _ARM_IN * len(shown)))
    height = 1.25 + _LAYER_IN * max(2, len(rows["layer"].unique()))
    figure, ax = style.new_figure(width, height)
    layers_over_time(rows, ax, shown)
    title = quantity.replace("_", " ")
    caption = f"{title}, by layer and gradient step; medians over seeds."
    return Picture(f"layers_{quantity}", title, caption, figure, is_wide=len(shown) > 7)


def _last(rows: pd.DataFrame) -> Table:
    ordered = rows.sort_values("step", kind="stable").drop_duplicates(["run", "tag"], keep="last")
    found = []
    for (quantity, layer), of_tag in groups(ordered, ["quantity", "layer"]):
        medians = {arm: _median(floats(of_arm, "value")) for arm, of_arm in groups(of_tag, "arm")}
        found.append({"quantity": quantity, "layer": layer, **medians})
    frame = pd.DataFrame(found).sort_values(["quantity", "layer"], kind="stable")
    return Table("layers_last", "Layers at the end", frame, "Medians over runs of the last value.", True)


def _median(values: np.ndarray) -> float:
    """Returns the median of the values that are not NaN; NaN where there are none."""
    there = values[~np.isnan(values)]
    return float(np.median(there)) if len(there) else np.nan
