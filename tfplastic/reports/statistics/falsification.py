"""Whether a statistic explains the loss of plasticity: the test of section 5 of the paper, for any runs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from tfplastic import seeds
from tfplastic._checks import (
    check_fits_in_memory,
    check_fraction,
    check_instance,
    check_integer,
    check_positive_integer,
    check_sequence,
)
from tfplastic.reports._frames import check_columns
from tfplastic.reports.statistics.spearman import spearman

SIGN_CONSISTENT, REVERSED, UNDETERMINED = "sign-consistent", "reversed", "undetermined"
_FEWEST = 3
FEWEST_FOR_INTERVALS = 6
"""Runs of a group below which resampling them calls noise a correlation: 35 % of the time with three."""


def correlations(
    points: pd.DataFrame,
    statistics: Sequence[str],
    splits: Sequence[str],
    outcome: str = "plasticity_loss",
    confidence: float = 0.95,
    num_resamples: int = 2_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Correlates each statistic with the loss of plasticity, in each part of the runs.

    For each statistic, each variable that splits the runs and each of its values: the slope of the least
    squares line of the outcome, and Spearman's rank correlation rho with its percentile interval over
    resamples of the runs. Resamples in which all values are equal have no rho and are left out. Fewer than
    six runs have no interval: of pure noise it would exclude 0 in 33 % of groups with three runs, 8 % with
    four and 13 % with five, and in 3 to 6 % with six to ten, 5 % being nominal.

    Args:
        points: a row for each run, with the columns that are named in the other arguments.
        statistics: columns of measured quantities, such as 'weight_norm'.
        splits: columns that distinguish groups of runs, such as 'architecture'.
        outcome: column of the loss of plasticity.
        confidence: probability that an interval should have. The paper gives no intervals.
        num_resamples: number of resamples of a group's runs.
        seed: same seed, same intervals.

    Returns:
        Columns `statistic`, `split`, `value`, `runs`, `slope`, `rho` in [-1, 1], `low`, `high`. Runs where
        either value is NaN or infinite are left out of `runs`. NaN with fewer than three runs (`low` and
        `high`: than six), or where all values of one of the two are equal.

    Raises:
        ValueError: a column is missing, or an argument is outside its range.

    Source: Lyle et al. 2023, section 5.2, Fig. 3; the intervals are ours.
    """
    check_fraction("confidence", confidence)
    check_positive_integer("num_resamples", num_resamples)
    check_sequence("statistics", statistics, "['dead_units']")
    check_sequence("splits", splits, "['architecture']")
    check_instance("outcome", outcome, str, "'plasticity_loss'")
    check_columns("points", points, [])
    absent = [name for name in (*statistics, *splits, outcome) if name not in points]
    if absent:
        raise ValueError(f"`points` must have a column for each name. Received: no {absent[0]!r}")
    check_fits_in_memory("num_resamples", num_resamples, 16 * num_resamples * len(points))
    rows = []
    for statistic in statistics:
        for split in splits:
            for value, group in points.groupby(split, sort=True):
                x, y = (group[name].to_numpy(np.float64) for name in (statistic, outcome))
                finite = np.isfinite(x) & np.isfinite(y)
                key = seeds.derive(check_integer("seed", seed), "falsification", statistic, split, str(value))
                found = _correlation(x[finite], y[finite], confidence, num_resamples, seeds.generator(key))
                rows.append(
                    {"statistic": statistic, "split": split, "value": value, "runs": finite.sum(), **found}
                )
    columns = ["statistic", "split", "value", "runs", "slope", "rho", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def verdicts(correlations: pd.DataFrame) -> pd.DataFrame:
    """Returns the verdict of each split of the runs on each statistic as a cause of lost plasticity.

    A cause would keep its sign whatever else changes (Buhlmann 2020). The sign in a group is known if
    it has at least six runs and the interval of rho does not contain 0. Then the verdict is

    - 'reversed': one group is known to be positive and one negative; the statistic alone is not a cause;
    - 'sign-consistent': the signs of all groups are known and equal;
    - 'undetermined': otherwise.

    Args:
        correlations: correlations, from the function of that name.

    Returns:
        Columns `statistic`, `split`, `verdict`.
    """
    check_columns("correlations", correlations, ["statistic", "split", "low", "high"])
    groups: Any = correlations.groupby(["statistic", "split"], sort=False)
    rows = [
        {"statistic": statistic, "split": split, "verdict": _verdict(group["low"], group["high"])}
        for (statistic, split), group in groups
    ]
    return pd.DataFrame(rows, columns=["statistic", "split", "verdict"])


def _verdict(low: Any, high: Any) -> str:
    positive, negative = np.count_nonzero(low > 0), np.count_nonzero(high < 0)
    if positive and negative:
        return REVERSED
    return SIGN_CONSISTENT if max(positive, negative) == len(low) else UNDETERMINED


def _correlation(
    x: np.ndarray, y: np.ndarray, confidence: float, num_resamples: int, generator: np.random.Generator
) -> dict[str, float]:
    if len(x) < _FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return dict.fromkeys(("slope", "rho", "low", "high"), float("nan"))
    low = high = float("nan")
    if len(x) >= FEWEST_FOR_INTERVALS:
        chosen = generator.integers(len(x), size=(num_resamples, len(x)))
        resampled = spearman(x[chosen], y[chosen])
        tail = 100 * (1 - confidence) / 2
        low, high = np.percentile(resampled[np.isfinite(resampled)], [tail, 100 - tail])
    slope = float(np.polyfit(x, y, 1)[0])
    return {"slope": slope, "rho": float(spearman(x, y)), "low": float(low), "high": float(high)}
