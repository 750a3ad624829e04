"""Early warnings: series of quantities and accuracies along tasks, and their rank correlations."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from tfplastic.reports._frames import floats, where
from tfplastic.reports.published import measures
from tfplastic.reports.runs import Run
from tfplastic.reports.statistics.mean_rank_correlation import MeanRankCorrelation, mean_of_series
from tfplastic.reports.statistics.rank_correlation import RankCorrelation, of_pairs, of_series

_PREFIX = "next_task"


class Series(NamedTuple):
    """Measurements of a run, `[n]` each.

    Attributes:
        accuracy: accuracy of the task that starts.
        before: accuracy of the task before it.
        quantities: {title: values at the start of the task}.
        fall: by how much the accuracy of all tasks ends below its best part.
    """

    accuracy: np.ndarray
    before: np.ndarray
    quantities: Mapping[str, np.ndarray]
    fall: float


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
BEFORE = "accuracy of the task before"
"""Title of what every quantity has to compete with."""
WINDOW = 25
"""Measurements whose running mean is the trend."""


def series_of(run: Run) -> Series:
    """Returns the measurements of a run whose tasks have an accuracy, in the order of time.

    The first task is left out: no task is before it, and the optimizer has no state.

    Args:
        run: with `next_task/<quantity>/<layer>`, and a row of metrics for each task.
    """
    accuracies = _by_step(run, measures.ONLINE)
    length = min(accuracies)  # gradient steps of a task
    tags = sorted({str(tag) for tag in run.metrics["tag"] if str(tag).startswith(f"{_PREFIX}/")})
    values = {tag: _by_step(run, tag) for tag in tags}
    measured = {step for each in values.values() for step in each}
    steps = sorted(step for step in measured if step in accuracies and step + length in accuracies)
    by_tag = {tag: np.array([each.get(step, math.nan) for step in steps]) for tag, each in values.items()}
    return Series(
        accuracy=np.array([accuracies[step + length] for step in steps]),
        before=np.array([accuracies[step] for step in steps]),
        quantities={title: function(by_tag) for title, function in QUANTITIES.items()},
        fall=measures.fall(np.array([accuracies[step] for step in sorted(accuracies)])),
    )


def _by_step(run: Run, tag: str) -> dict[int, float]:
    rows = where(run.metrics, run.metrics["tag"] == tag)
    return dict(zip(map(int, rows["step"]), floats(rows, "value"), strict=True))


Correlations = Mapping[str, Mapping[str, RankCorrelation]]
"""{quantity: {method: correlation}}."""


def within(found: Mapping[str, Series], window: int | None = None) -> Correlations:
    """Returns the correlations along the tasks of each method.

    Args:
        found: {method: measurements}.
        window: see `rank_correlation.ranks_in_time`.
    """
    return {
        title: {
            method: of_series(each.quantities[title], each.accuracy, window) for method, each in found.items()
        }
        for title in QUANTITIES
    }


def means(found: Mapping[str, Series], window: int | None = None) -> dict[str, MeanRankCorrelation]:
    """Returns the mean over methods of each quantity's correlations along the tasks, and of `BEFORE`.

    Args:
        found: {method: measurements}.
        window: see `rank_correlation.ranks_in_time`.
    """
    result = {
        title: mean_of_series([(each.quantities[title], each.accuracy) for each in found.values()], window)
        for title in QUANTITIES
    }
    return result | {
        BEFORE: mean_of_series([(each.before, each.accuracy) for each in found.values()], window)
    }


def that_fall(found: Mapping[str, Series]) -> dict[str, Series]:
    """Returns the methods whose accuracy falls by more than `measures.SMALLEST_FALL`."""
    return {method: each for method, each in found.items() if each.fall > measures.SMALLEST_FALL}


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
