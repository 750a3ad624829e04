"""Numbers of the published checks, each one for every run of an arm."""

from collections.abc import Sequence

import numpy as np

from tfplastic.reports._frames import floats, where
from tfplastic.reports.runs import Run, Runs

ONLINE = "train/accuracy"
"""Online accuracy of a task, where a row of metrics is a task."""
AVERAGE = "evaluation/average_online_accuracy"
SMALLEST_FALL = 0.01
"""Fall of the accuracy from which on a curve falls."""
_BLOCKS = 10


def of_arm(runs: Runs, arm: str) -> Runs:
    """Returns the runs of an arm, by ascending seed."""
    return Runs(sorted((run for run in runs if run.arm == arm), key=lambda run: run.seed or 0))


def last(runs: Runs, arm: str, tag: str) -> np.ndarray:
    """Returns the last value of a scalar of each run of an arm that has it, `[runs]`, by ascending seed."""
    found = [_values(run, tag)[-1:] for run in of_arm(runs, arm)]
    return np.concatenate([np.zeros(0), *found])


def curves(runs: Runs, arm: str, tag: str = ONLINE) -> list[np.ndarray]:
    """Returns the values of a scalar in each run of an arm, `[rows]` each, by ascending seed."""
    return [each for run in of_arm(runs, arm) if len(each := _values(run, tag))]


def fall(curve: np.ndarray) -> float:
    """Returns by how much a curve ends below its best part: of tenths, the largest mean less the last one.

    Example:
        >>> from tfplastic.reports.published.measures import fall
        >>> fall([0.5] * 10 + [0.75] * 5 + [0.25] * 5)
        0.5
    """
    means = _tenths(curve)
    return float(means.max() - means[-1])


def rise(curve: np.ndarray) -> float:
    """Returns by how much the best part of a curve is above its first task.

    Example:
        >>> from tfplastic.reports.published.measures import rise
        >>> rise([0.25] + [0.5] * 9 + [0.75] * 5 + [0.25] * 5)
        0.5
    """
    return float(_tenths(curve).max() - np.asarray(curve)[0])


def ends(curve: np.ndarray, share: float) -> tuple[float, float]:
    """Returns the means over the first and over the last part of a curve, `share` of it."""
    values = np.asarray(curve, np.float64)
    count = max(round(share * len(values)), 1)
    return float(values[:count].mean()), float(values[-count:].mean())


def best_first(runs: Runs, arms: Sequence[str], tag: str = AVERAGE) -> list[tuple[str, float]]:
    """Returns the arms that have runs with their means of a scalar, the largest first."""
    means = [(arm, float(values.mean())) for arm in arms if len(values := last(runs, arm, tag))]
    return sorted(means, key=lambda pair: -pair[1])


def by_layer(run: Run, prefix: str) -> dict[str, float]:
    """Returns the last values of a quantity, {layer: value}, by the names of the layers.

    Args:
        run: the run.
        prefix: tag up to the layer, such as 'next_task/dead_units/'.
    """
    tags = sorted(tag for tag in run.metrics["tag"].unique() if str(tag).startswith(prefix))
    return {tag.removeprefix(prefix): float(_values(run, tag)[-1]) for tag in tags}


def scalar(run: Run, tag: str) -> float:
    """Returns the last value of a scalar of a run; NaN where it has none."""
    found = _values(run, tag)
    return float(found[-1]) if len(found) else float("nan")


def _tenths(curve: np.ndarray) -> np.ndarray:
    parts = np.array_split(np.asarray(curve, np.float64), min(_BLOCKS, len(curve)))
    return np.array([part.mean() for part in parts])


def _values(run: Run, tag: str) -> np.ndarray:
    rows = where(run.metrics, run.metrics["tag"] == tag).sort_values("step", kind="stable")
    return floats(rows, "value")
