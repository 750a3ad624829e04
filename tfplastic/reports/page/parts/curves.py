"""Learning curves, and the final values of every scalar of the runs."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from tfplastic.reports import aggregate, style
from tfplastic.reports._frames import floats, groups, where
from tfplastic.reports.figures import forms
from tfplastic.reports.page.content import Picture, ReportInput, Section, Table, listed
from tfplastic.reports.page.parts.arms import looks, panels_of
from tfplastic.reports.runs import Runs

_PANEL_IN = (4.6, 3.1)
_SMALL_IN = (2.7, 2.1)
_COLUMNS = 4
_MOST_FIGURES = 6
_NO_CURVES = ("evaluation/task",)


def learning_curves(contents: ReportInput) -> Section:
    """Returns the curves of training and evaluation by gradient step: medians over seeds, by arm."""
    runs, title = contents.runs, "Learning curves"
    tags = [tag for tag in runs.tags() if tag.startswith(("evaluation/", "train/"))]
    tags = sorted((tag for tag in tags if tag not in _NO_CURVES), key=_order)
    tags, same_as = _distinct(runs, tags)
    pictures = [picture(runs, tag, f"curves_{tag}") for tag in tags[:_MOST_FIGURES]]
    if not pictures:
        return Section(title, [f"No run has measurements of training or evaluation ({len(runs)} runs)."])
    counts = [sum(run.arm == arm for run in runs) for arm in runs.arms]
    texts = [f"Medians over seeds; bands: {aggregate.band_name(counts)}."]
    if min(counts) < aggregate.FEWEST_RUNS:
        texts[0] += " Thin lines are single runs."
    texts += [f"{other} is the same as {tag} in these runs." for other, tag in same_as.items()]
    if len(tags) > _MOST_FIGURES:
        texts.append(f"In the table alone: {listed(tags[_MOST_FIGURES:])}.")
    return Section(title, texts, pictures=pictures, tables=[_last_values(runs)])


def _distinct(runs: Runs, tags: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Returns the first of the tags that have the same values in all runs, and {another: the first}."""
    first_of: dict[tuple[Any, ...], str] = {}
    same_as: dict[str, str] = {}
    for tag in tags:
        rows = runs.scalars(tag)
        places, names = pd.factorize(rows["run"])
        numbers = (places, rows["step"].to_numpy(), floats(rows, "value"))
        first = first_of.setdefault((*names, *(each.tobytes() for each in numbers)), tag)
        if first != tag:
            same_as[tag] = first
    return [tag for tag in tags if tag not in same_as], same_as


def picture(runs: Runs, tag: str, name: str, caption: str = "") -> Picture:
    """Returns a scalar by gradient step, a panel for each group of arms, a line for each arm.

    Args:
        runs: some of which have it.
        tag: tag of the scalar.
        name: name of the figure's files.
        caption: by default the tag and the meaning of the bands.
    """
    rows = runs.scalars(tag)
    present = set(rows["arm"].unique())
    panels = {each: [arm for arm in of if arm in present] for each, of in panels_of(runs.arms).items()}
    panels = {each: of for each, of in panels.items() if of}
    columns = min(_COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    width, height = _PANEL_IN if len(panels) == 1 else (_SMALL_IN[0] * columns, _SMALL_IN[1] * lines + 0.5)
    figure, ax = style.new_figure(width, height)
    figure.delaxes(ax)
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True)
    look = looks(runs.arms)
    for ax, (title, arms) in zip(grid.flat, panels.items(), strict=False):
        for arm in arms:
            color, line = look[arm]
            label = "{}, {}" if title == "" else arm.removeprefix(f"{title}-") + ", {1}"
            forms.curves(where(rows, rows["arm"] == arm), ax, "arm", {arm: color}, line, label)
        ax.set_title(title)
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        ax.locator_params(axis="x", nbins=5)
    for ax in grid.flat[len(panels) :]:
        ax.set_axis_off()
    for ax in grid[-1]:
        ax.set_xlabel("gradient steps")
    _legend(figure, [ax for ax in grid.flat if ax.lines], len(panels) == 1)
    seeds = [len(set(of_arm["run"])) for _, of_arm in groups(rows, "arm")]
    count = f"{min(seeds)} to {max(seeds)}" if min(seeds) < max(seeds) else f"{seeds[0]}"
    text = f"{caption or tag}: medians over {count} runs an arm; bands: {aggregate.band_name(seeds)}."
    title = _words(tag)
    return Picture(name.replace("/", "_"), title, text, figure, is_wide=len(panels) > 1)


def _words(tag: str) -> str:
    """Returns words such as 'accuracy (evaluation)'."""
    group, _, name = tag.replace("_", " ").partition("/")
    return f"{name.replace('/', ', ')} ({group})"


def _order(tag: str) -> tuple[bool, bool, bool, str]:
    """Returns the sort key of a tag: evaluations before training, its loss first and its layers last."""
    return tag.startswith("train/"), tag != "train/loss", tag.count("/") > 1, tag


def _legend(figure: Figure, axes: Sequence[Axes], is_single: bool) -> None:
    """Draws one legend above: equal labels of different panels are one."""
    entries = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label if is_single else label.partition(", n =")[0], handle)
    columns = 2 if is_single else 6
    figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=columns, fontsize=7.5)


def _parts(interval: aggregate.Interval) -> tuple[float, float, float, str]:
    return interval.point, interval.low, interval.high, interval.kind


def _last_values(runs: Runs) -> Table:
    """Returns the median of each scalar's last value in each arm, with its interval."""
    rows = runs.last("evaluation/*", "train/*", "probe/*")
    found = []
    for (tag, arm), of_cell in groups(rows.sort_values("tag", kind="stable"), ["tag", "arm"]):
        values = floats(of_cell, "value")
        interval = aggregate.bootstrap({"": values}, aggregate.median)
        found.append([tag, arm, len(values), *_parts(interval)])
    frame = pd.DataFrame(found, columns=["scalar", "arm", "runs", "median", "low", "high", "bounds"])
    note = (
        "The last value of each run and the median over runs. Bounds: the range of fewer than"
        f" {aggregate.FEWEST_RUNS} runs, else the 95 % bootstrap interval of the median."
    )
    return Table("last_values", "Last values", frame, note, is_folded=True)
