"""The mean of rank correlations of several runs on the same tasks, with an interval over these tasks."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.stats

from tfplastic.reports.statistics.rank_correlation import ranks_in_time

_DRAWS = 1_000
_BLOCK = 10  # measurements next to each other that are drawn together
_INTERVAL = 0.05


@dataclasses.dataclass(frozen=True)
class MeanRankCorrelation:
    """A mean of rank correlations with its 95 % interval; prints as `0.31 [0.12, 0.50]`.

    Attributes:
        value: in [-1, 1]; NaN where no run has a correlation.
        standard_error: over tasks; NaN for fewer than two blocks of them, which have none.
        values: correlations of the runs that have one.
    """

    value: float
    standard_error: float
    values: tuple[float, ...]

    def is_clear_among(self, count: int) -> bool:
        """Returns whether the interval of 1 - 0.05 / `count` leaves 0 out (Bonferroni)."""
        return abs(self.value) > self._half(count)

    def _half(self, count: int) -> float:
        return float(scipy.stats.norm.isf(_INTERVAL / 2 / count)) * self.standard_error

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "–"
        if math.isnan(self.standard_error):
            return f"{self.value:z.2f}"
        half = self._half(1)
        return f"{self.value:z.2f} [{self.value - half:z.2f}, {self.value + half:z.2f}]"


def mean_of_series(pairs: Sequence[tuple[Any, Any]], window: int | None = None) -> MeanRankCorrelation:
    """Returns the mean of the rank correlations of runs, each of two series in the order of time.

    All runs have the same tasks, of which some are easier than others for all of them: their correlations
    are not independent, and an interval over runs would be too narrow. The standard error is that of a
    moving-block bootstrap (Künsch 1989, "The jackknife and the bootstrap for general stationary
    observations"): blocks of 10 measurements, the same ones in all runs, are drawn 1,000 times, with the
    ranks of the whole series. It is of these runs, and says nothing on others.

    Args:
        pairs: two series `[n]` for each run, with the same n; pairs with a NaN do not count.
        window: see `rank_correlation.ranks_in_time`.
    """
    found = []
    for x, y in pairs:
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        ranks = ranks_in_time(x, y, window)
        if ranks is not None:
            placed = np.full([2, len(x)], np.nan)
            placed[:, ~(np.isnan(x) | np.isnan(y))] = ranks
            found.append(placed)
    if not found:
        return MeanRankCorrelation(math.nan, math.nan, ())
    weights = _drawn(found[0].shape[1])
    ones = np.ones([1, weights.shape[1]])
    values = tuple(float(_correlations(each, ones)[0]) for each in found)
    drawn = np.mean([_correlations(each, weights) for each in found], axis=0)
    error = float(np.std(drawn, ddof=1)) if weights.shape[1] >= 2 * _BLOCK else math.nan
    return MeanRankCorrelation(float(np.mean(values)), error, values)


@functools.cache  # all means of a page are over the same tasks
def _drawn(count: int) -> np.ndarray:
    """Returns how often each measurement is drawn, `[draws, count]`; blocks go round at the end."""
    length = min(_BLOCK, count)
    generator = np.random.default_rng(0)
    starts = generator.integers(count, size=[_DRAWS, math.ceil(count / length)])
    places = (starts[:, :, None] + np.arange(length)) % count
    drawn = places.reshape(_DRAWS, -1)[:, :count]
    return np.array([np.bincount(each, minlength=count) for each in drawn], np.float64)


def _correlations(ranks: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns Pearson's correlation of two rows of ranks under each row of weights, `[draws]`."""
    known = ~np.isnan(ranks[0])
    x, y = ranks[:, known]
    weights = weights[:, known] / weights[:, known].sum(axis=1, keepdims=True)
    mean_x, mean_y = weights @ x, weights @ y
    covariance = weights @ (x * y) - mean_x * mean_y
    variances = (weights @ x**2 - mean_x**2) * (weights @ y**2 - mean_y**2)
    return covariance / np.sqrt(variances)
