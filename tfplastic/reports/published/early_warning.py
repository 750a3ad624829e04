"""Early warnings: which quantity at the start of a task goes with the accuracy of that task."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from tfplastic.reports import aggregate, style
from tfplastic.reports._frames import floats, where
from tfplastic.reports.published import measures
from tfplastic.reports.published.row import Seeds, Study
from tfplastic.reports.reproduction import numbers
from tfplastic.reports.reproduction.result import NOT_RUN
from tfplastic.reports.runs import Run, Runs
from tfplastic.reports.statistics.rank_correlation import RankCorrelation, of_pairs, of_series

FIGURE = "early_warning"
"""Name of the figure, without ending."""
_EXPERIMENT = "gin/published/early_warning.gin"
_PREFIX = "next_task"
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

All correlations are Spearman's, of ranks. Within a method: over its measured tasks, in the order of time.
Tasks next to each other resemble each other, so that 250 of them say less than 250 independent ones: the
interval is Fisher's for the number of independent pairs that they are worth by the autocorrelations of both
series (Pyper and Peterman 1998). Without the trend: the partial correlation given the number of the task.
It asks whether a quantity says more than the time does, since two things that both change once along a run
always correlate. Across methods: of the means over the run, one pair for each method, with Fisher's
interval of independent pairs. Square brackets hold 95 % intervals: of the mean over methods by the
bootstrap over these, from six methods on. With eight quantities, some interval leaves 0 out by chance more
often than not, so that the first paragraph of the result names a quantity only where an interval of 99.4 %
does, Student's or Fisher's: 5 % for all eight together. One seed; a positive sign means that more of the
quantity goes with more accuracy.
Several layers: dead units are the mean over hidden layers, srank is of the last one; the other quantities
are of the whole network. The rank of the Hessian counts eigenvalues above a hundredth of the largest
(`hessian_rank`): smaller ones are not resolved by 60 steps of Lanczos. Reliability is of 16 batches of 16
images; all definitions are in [quantities](quantities.md)."""


class Series(NamedTuple):
    """Measurements of a run, `[n]` each.

    Attributes:
        accuracy: accuracy of the task that starts.
        quantities: {title: values at the start of the task}.
    """

    accuracy: np.ndarray
    quantities: Mapping[str, np.ndarray]


def _whole(name: str) -> Callable[[Mapping[str, np.ndarray]], np.ndarray]:
    return lambda by_tag: by_tag[f"{_PREFIX}/{name}/all"]


def _mean_of_layers(by_tag: Mapping[str, np.ndarray]) -> np.ndarray:
    found = [values for tag, values in by_tag.items() if tag.startswith(f"{_PREFIX}/dead_units/")]
    return np.mean(found, axis=0)


def _last_hidden(by_tag: Mapping[str, np.ndarray]) -> np.ndarray:
    return by_tag[max(tag for tag in by_tag if tag.startswith(f"{_PREFIX}/feature_srank/hidden"))]


QUANTITIES: Mapping[str, Callable[[Mapping[str, np.ndarray]], np.ndarray]] = {
    "dead units": _mean_of_layers,
    "srank of features": _last_hidden,
    "weight norm": _whole("weight_norm"),
    "rank of the Hessian": _whole("hessian_rank"),
    "sharpness": _whole("sharpness"),
    "gradient strength": _whole("gradient_strength"),
    "gradient reliability": _whole("gradient_reliability"),
    "churn": _whole("churn"),
}
"""{title: function of {tag: values, in the order of time} that returns one series}."""


def series_of(run: Run) -> Series:
    """Returns the measurements of a run whose tasks have an accuracy, in the order of time.

    Args:
        run: with `next_task/<quantity>/<layer>`, and a row of metrics for each task.
    """
    accuracies = _by_step(run, measures.ONLINE)
    length = min(accuracies)  # gradient steps of a task
    tags = sorted({str(tag) for tag in run.metrics["tag"] if str(tag).startswith(f"{_PREFIX}/")})
    values = {tag: _by_step(run, tag) for tag in tags}
    steps = sorted({step for each in values.values() for step in each if step + length in accuracies})
    by_tag = {tag: np.array([each.get(step, math.nan) for step in steps]) for tag, each in values.items()}
    accuracy = np.array([accuracies[step + length] for step in steps])
    return Series(accuracy, {title: function(by_tag) for title, function in QUANTITIES.items()})


def _by_step(run: Run, tag: str) -> dict[int, float]:
    rows = where(run.metrics, run.metrics["tag"] == tag)
    return dict(zip(map(int, rows["step"]), floats(rows, "value"), strict=True))


Correlations = Mapping[str, Mapping[str, RankCorrelation]]
"""{quantity: {method: correlation}}."""


def within(found: Mapping[str, Series], is_detrended: bool = False) -> Correlations:
    """Returns the correlations along the tasks of each method.

    Args:
        found: {method: measurements}.
        is_detrended: see `rank_correlation.of_series`.
    """
    return {
        title: {
            method: of_series(each.quantities[title], each.accuracy, is_detrended)
            for method, each in found.items()
        }
        for title in QUANTITIES
    }


def across(found: Mapping[str, Series]) -> dict[str, RankCorrelation]:
    """Returns the correlation of each quantity's means with those of the accuracy, over methods.

    Tasks at which a quantity has no value are left out of its mean.
    """
    accuracies = [each.accuracy.mean() for each in found.values()]
    return {
        title: of_pairs([_mean_of(each.quantities[title]) for each in found.values()], accuracies)
        for title in QUANTITIES
    }


def _mean_of(values: np.ndarray) -> float:
    """Returns the mean of the values that are there; NaN of none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


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
    correlations, partial, overall = within(found), within(found, is_detrended=True), across(found)
    if found:
        parts.append(_conclusion(partial, overall))
        parts.append(_summary(correlations, partial, overall))
    parts.append(f"## By method\n\n{_of_methods(found, partial, planned, runs, link)}")
    if found and figures is not None:
        _save(correlations, partial, overall, figures)
    if found:
        caption = "Rank correlation of each quantity with the accuracy of the task"
        parts.insert(
            -1,
            f"![{caption}]({FIGURE}.png)\n\n{caption}: along the tasks of each method, the same"
            " without the trend, and across methods.",
        )
    return "\n\n".join(parts) + "\n"


def _conclusion(partial: Correlations, overall: Mapping[str, RankCorrelation]) -> str:
    """Returns the quantities whose correlations are clear; of few methods there is no conclusion."""
    few = aggregate.FEWEST_RUNS
    if max(map(len, partial.values())) < few:
        return f"Conclusions need the runs of {few} methods."
    values = {title: _known(each.values()) for title, each in partial.items()}
    along = [f"{title} {numbers.several(each, 2)}" for title, each in values.items() if _is_clear(each)]
    steady = [title for title, each in partial.items() if _is_steady(each.values())]
    apart = [f"{title} {each}" for title, each in overall.items() if each.is_clear_among(len(overall))]
    listed = [", ".join(each) or "none" for each in (along, steady, apart)]
    return (
        "Quantities that go with the accuracy along tasks, beyond the trend, in the mean over methods:"
        f" {listed[0]}. With the same sign in every method: {listed[1]}. Across methods: {listed[2]}."
    )


def _is_clear(values: Sequence[float]) -> bool:
    """Returns whether the mean over methods is not 0, at a level of 5 % for all quantities together."""
    if len(values) < aggregate.FEWEST_RUNS:
        return False
    interval = aggregate.student_t(values, 1 - 0.05 / len(QUANTITIES))
    return interval.low > 0 or interval.high < 0


def _is_steady(found: Iterable[RankCorrelation]) -> bool:
    values = _known(found)
    return len(values) >= aggregate.FEWEST_RUNS and len({value > 0 for value in values}) == 1


def _known(found: Iterable[RankCorrelation]) -> list[float]:
    return [each.value for each in found if not math.isnan(each.value)]


def _summary(
    correlations: Correlations, partial: Correlations, overall: Mapping[str, RankCorrelation]
) -> str:
    columns = [
        "quantity",
        "within methods",
        "within, interval off 0",
        "within, without the trend",
        "without the trend, interval off 0",
        "across methods",
    ]
    rows = [
        [title, *_cells(correlations[title]), *_cells(partial[title]), str(overall[title])]
        for title in QUANTITIES
    ]
    return numbers.table(columns, rows)


def _cells(found: Mapping[str, RankCorrelation]) -> tuple[str, str]:
    known = [each for each in found.values() if not math.isnan(each.value)]
    above, below = (
        sum(each.is_away_from_zero and sign * each.value > 0 for each in known) for sign in (1, -1)
    )
    return numbers.several(
        [each.value for each in known], 2
    ), f"{above} above, {below} below, of {len(found)}"


def _of_methods(
    found: Mapping[str, Series], partial: Correlations, planned: Seeds, runs: Runs, link: str
) -> str:
    names = {run.arm: run.name for run in runs}
    rows = []
    for method, seeds in planned.items():
        if method not in found:
            rows.append([method, f"{NOT_RUN} (0 of {len(seeds)})", *[""] * len(QUANTITIES)])
            continue
        of_method = [str(partial[title][method]) for title in QUANTITIES]
        name = f"[{method}]({link}/{STUDY.name}/{names[method]})"
        rows.append([name, f"{found[method].accuracy.mean():.3f}", *of_method])
    table = numbers.table(["method", "accuracy", *QUANTITIES], rows)
    return f"Mean accuracy of the measured tasks, and the correlations without the trend.\n\n{table}"


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
    names = [*methods, "", *[f"{method}, no trend" for method in methods], "", "across methods"]
    ax.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=7)
    ax.set_yticks(range(len(QUANTITIES)), list(QUANTITIES))
    ax.grid(visible=False)
    ax.figure.colorbar(image, ax=ax, label="Spearman")
    return ax


STUDY = Study("early_warning", "Early warnings", _EXPERIMENT, "early_warning.md", page)
