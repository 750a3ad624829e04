"""Early warnings: which quantity at the start of a task goes with the accuracy of that task."""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from tfplastic.reports import aggregate, style
from tfplastic.reports.published.early_warning_series import (
    BEFORE,
    QUANTITIES,
    WINDOW,
    Correlations,
    Series,
    across,
    means,
    series_of,
    that_fall,
    within,
)
from tfplastic.reports.published.row import Seeds, Study
from tfplastic.reports.reproduction import numbers
from tfplastic.reports.reproduction.result import NOT_RUN
from tfplastic.reports.runs import Runs
from tfplastic.reports.statistics.mean_rank_correlation import MeanRankCorrelation
from tfplastic.reports.statistics.rank_correlation import RankCorrelation

FIGURE = "early_warning"
"""Name of the figure, without ending."""
_EXPERIMENT = "gin/published/early_warning.gin"
_FOLLOWS = 0.5
_FEWEST_STEADY = 9  # signs that agree by chance once in 32 studies of eight quantities: 8 * 2 ** -8
_INTRODUCTION = """\
# Early warnings

Which quantity at the start of a task predicts how well that task will be learned? Ten methods learn 500
tasks of permuted MNIST (Kumar et al. 2023: 10,000 images, one epoch of each task, a ReLU network of 2 x 100
units, Adam). At the start of every second task, after all that a method does there, the network is measured
on the first 256 images of the task that starts; its accuracy is the mean over the task's steps, each batch
before its update.

```
make published NAME=early_warning
bin/sweep --experiment=gin/published/early_warning.gin --run_root=runs/published/early_warning
```

The first command makes the runs and prints this page; `make published` writes it from committed runs.

## Why

Papers disagree, and none of them compares all of these on one stream:

- "Spectral collapse drives loss of plasticity in deep continual learning" (Prakash et al. 2026, arXiv
  2509.22335): failure follows a collapse of the Hessian's rank at the start of the task; on continual
  ImageNet it explains .71 of the variance of accuracy.
- "Predicting plasticity in deep continual learning" (arXiv 2605.09044): strength and reliability of the
  gradient predict the decrease of the loss better than ranks do.
- Tang et al. 2025 (C-CHAIN) hold churn responsible, in reinforcement learning.
- Dohare et al. 2024 and Sokar et al. 2023 show dead and dormant units, the rank of features and the size of
  weights next to the loss of plasticity. Lyle et al. 2023 find that none of these explains it in all
  settings (Fig. 3).

## How it is computed

All correlations are Spearman's, of ranks; a positive sign means that more of the quantity goes with more
accuracy. Within a method: over its measured tasks, in the order of time, without the first one, at whose
start the optimizer has no state. Tasks next to each other resemble each other, so that 249 of them say less
than 249 independent ones: the interval is Fisher's for the number of independent pairs that they are worth
by the autocorrelations of both series (Pyper and Peterman 1998). A quantity with one value at more than nine
tenths of the tasks has no correlation. Means over methods are followed by the least and the largest value.

Without the trend: the running mean over 25 measured tasks is taken off both series first. It asks whether a
quantity says more than the time does, since two things that both change once along a run always correlate.
All methods have the same images and permutations, and some tasks are easier for all of them, so that ten
methods are not ten independent witnesses. The interval of their mean is that of a moving-block bootstrap over
tasks, with the same blocks of 10 measured tasks in all methods; it is of these ten methods and this stream.
Methods that keep their accuracy show how hard single tasks are, and not the loss of plasticity: the mean
over those whose accuracy falls, by more than .01 from its best tenth to its last, stands next to that over
all. Across methods: of the means over the run, one pair for each method, with Fisher's interval; with ten
pairs only a correlation beyond about .8 is clearly not 0 among eight.

Square brackets hold 95 % intervals. With eight quantities, some interval leaves 0 out by chance more often
than not, so that each list beyond the trend in the result names a quantity only where an interval of 99.4 %
leaves it out: 5 % for all eight together, in each list. "With the same sign" needs nine methods with a value.
The accuracy of the task before is known without any measurement: what a quantity has to beat. One seed.

Several layers: dead units are the mean over hidden layers, srank is of the last one, with CReLU of its 180
features; the other quantities are of the whole network. The rank of the Hessian counts eigenvalues above a
hundredth of the largest (`hessian_rank`): smaller ones are not resolved by 60 steps of Lanczos, and 4 random
vectors leave an error of about a twentieth. Churn is that of a step on 128 images with the method's own
optimizer and without its penalty. Where the optimizer's state has just been reset it is that of Adam's first
step: across methods it compares optimizers, too. Reliability is of 16 batches of 16 images; all definitions
are in [quantities](quantities.md)."""


def page(runs: Runs, planned: Seeds, link: str = "paper", figures: Path | None = None) -> str:
    """Returns the page, in Markdown.

    Args:
        runs: the runs that are there.
        planned: the runs that there should be.
        link: path of the folder of all runs from the page.
        figures: folder for the figure; None for none.
    """
    there, of = len(runs), sum(map(len, planned.values()))
    found = {run.arm: series_of(run) for run in runs}
    verdict = "" if there == of else f" {NOT_RUN[0].upper()}{NOT_RUN[1:]} ({there} of {of})."
    parts = [_INTRODUCTION, f"## Result\n\nRuns: {there} of {of}.{verdict}"]
    if found:
        parts += [_conclusion(found), _summary(found)]
    parts.append(f"## By method\n\n{_of_methods(found, planned, runs, link)}")
    if found and figures is not None:
        _save(within(found), within(found, WINDOW), across(found), figures)
    if found:
        caption = "Rank correlation of each quantity with the accuracy of the task"
        parts.insert(
            -1,
            f"![{caption}]({FIGURE}.png)\n\n{caption}: along the tasks of each method, the same"
            " without the trend, and across methods.",
        )
    return "\n\n".join(parts) + "\n"


def _conclusion(found: Mapping[str, Series]) -> str:
    """Returns the quantities whose correlations are clear; of few methods there is no conclusion."""
    if len(found) < aggregate.FEWEST_RUNS:
        return f"Conclusions need the runs of {aggregate.FEWEST_RUNS} methods."
    falling, overall = that_fall(found), across(found)
    partial, of_falling = means(found, WINDOW), means(falling, WINDOW)
    steady = [title for title in QUANTITIES if _is_steady(partial[title].values)]
    apart = [f"{title} {each}" for title, each in overall.items() if each.is_clear_among(len(QUANTITIES))]
    run = _lists({"Quantities that go with it by .5 or more in each of these methods": _that_follow(falling)})
    rest = {
        "Quantities that go with the accuracy of single tasks, in the mean over all methods": _clear(partial),
        "In the mean over those that fall": _clear(of_falling),
        "With the same sign in every method": steady,
        "Across methods": apart,
    }
    return "\n\n".join(
        [
            f"Along the whole run the accuracy falls with {', '.join(falling) or 'no method'}. {run}",
            f"Beyond the trend: {_lists(rest)} The accuracy of the task before has {partial[BEFORE]} in the"
            f" mean over all methods, {of_falling[BEFORE]} over those that fall.",
        ]
    )


def _lists(listed: Mapping[str, Sequence[str]]) -> str:
    return " ".join(f"{words}: {', '.join(names) or 'none'}." for words, names in listed.items())


def _that_follow(falling: Mapping[str, Series]) -> list[str]:
    """Returns the quantities with a correlation of .5 or more along the whole run of each method."""
    values = {title: [each.value for each in of.values()] for title, of in within(falling).items()}
    return [
        f"{title} {_range(each)}"
        for title, each in values.items()
        if each and not np.isnan(each).any() and (min(each) >= _FOLLOWS or max(each) <= -_FOLLOWS)
    ]


def _range(values: Sequence[float]) -> str:
    """Returns the mean with the least and the largest value; NONE where there are no values."""
    known = [value for value in values if not math.isnan(value)]
    return f"{np.mean(known):z.2f} ({min(known):z.2f} to {max(known):z.2f})" if known else numbers.NONE


def _clear(found: Mapping[str, MeanRankCorrelation]) -> list[str]:
    """Returns the quantities whose mean is not 0, at a level of 5 % for all together, with their means."""
    return [f"{title} {found[title]}" for title in QUANTITIES if found[title].is_clear_among(len(QUANTITIES))]


def _is_steady(values: Sequence[float]) -> bool:
    return len(values) >= _FEWEST_STEADY and len({value > 0 for value in values}) == 1


def _summary(found: Mapping[str, Series]) -> str:
    columns = [
        "quantity",
        "within methods",
        "within methods that fall",
        "methods with an interval off 0",
        "without the trend",
        "without the trend, methods that fall",
        "methods with an interval off 0, without the trend",
        "across methods",
    ]
    falling = that_fall(found)
    raw, raw_falling, partial, partial_falling = (
        means(of, window) for window in (None, WINDOW) for of in (found, falling)
    )
    counts = [
        {title: _counts(of.values()) for title, of in within(found, each).items()} for each in (None, WINDOW)
    ]
    overall = across(found)
    rows = [
        [
            title,
            _range(raw[title].values),
            _range(raw_falling[title].values),
            counts[0].get(title, ""),
            str(partial[title]),
            str(partial_falling[title]),
            counts[1].get(title, ""),
            str(overall.get(title, "")),
        ]
        for title in (*QUANTITIES, BEFORE)
    ]
    return numbers.table(columns, rows)


def _counts(found: Collection[RankCorrelation]) -> str:
    above, below = (
        sum(each.is_away_from_zero and sign * each.value > 0 for each in found) for sign in (1, -1)
    )
    known = sum(not math.isnan(each.value) for each in found)
    return f"{above} above, {below} below, of {known}"


def _of_methods(found: Mapping[str, Series], planned: Seeds, runs: Runs, link: str) -> str:
    names = {run.arm: run.name for run in runs}
    partial = within(found, WINDOW)
    rows = []
    for method, seeds in planned.items():
        if method not in found:
            rows.append([method, f"{NOT_RUN} (0 of {len(seeds)})", *[""] * (1 + len(QUANTITIES))])
            continue
        of_method = [str(partial[title][method]) for title in QUANTITIES]
        name = f"[{method}]({link}/{STUDY.name}/{names[method]})"
        own = found[method]
        rows.append([name, f"{own.accuracy.mean():.3f}", f"{own.fall:.3f}", *of_method])
    table = numbers.table(["method", "accuracy", "fall", *QUANTITIES], rows)
    return (
        "Mean accuracy of the measured tasks, the fall from the best tenth of all tasks to the last, and the"
        f" correlations without the trend.\n\n{table}"
    )


def _save(
    correlations: Correlations,
    partial: Correlations,
    overall: Mapping[str, RankCorrelation],
    folder: Path,
) -> None:
    with style.styled():
        figure, ax = style.new_figure(11.0, 3.6)
        draw(correlations, partial, overall, ax)
        style.save(figure, folder / FIGURE, ["png"])


def draw(
    correlations: Correlations, partial: Correlations, overall: Mapping[str, RankCorrelation], ax: Axes
) -> Axes:
    """Draws all correlations as a map: quantities by methods, twice, and across methods.

    Args:
        correlations: along the tasks.
        partial: the same without the trend.
        overall: across methods.
        ax: axes to draw on.
    """
    methods = list(next(iter(correlations.values())))
    gap = np.full([len(QUANTITIES), 1], np.nan)
    maps = [
        np.array([[each[title][method].value for method in methods] for title in QUANTITIES])
        for each in (correlations, partial)
    ]
    last = np.array([[overall[title].value] for title in QUANTITIES])
    values = np.concatenate([maps[0], gap, maps[1], gap, last], axis=1)
    image = ax.imshow(values, cmap=style.DIVERGING, vmin=-1, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        if math.isfinite(value):
            color = "white" if abs(value) > 0.6 else "black"
            ax.text(column, row, f"{value:z.1f}", ha="center", va="center", fontsize=6.5, color=color)
    names = [*methods, "", *methods, "", "all"]
    ax.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=7)
    ax.set_yticks(range(len(QUANTITIES)), list(QUANTITIES))
    middle = (len(methods) - 1) / 2
    for place, heading in (
        (middle, "along tasks"),
        (middle + len(methods) + 1, "along tasks, without the trend"),
        (len(names) - 1, "across methods"),
    ):
        ax.text(place, -0.8, heading, ha="center", va="bottom", fontsize=8)
    ax.grid(visible=False)
    ax.figure.colorbar(image, ax=ax, label="Spearman")
    return ax


STUDY = Study("early_warning", "Early warnings", _EXPERIMENT, "early_warning.md", page)
