"""Spearman's rank correlation of two series in time, with an interval that allows for their inertia."""

import dataclasses
import math
from typing import Any

import numpy as np
import scipy.stats

from tfplastic.reports.aggregate import FEWEST_RUNS
from tfplastic.reports.statistics.spearman import spearman

_NORMAL = 1.959964  # of 95 %
_VARIANCE = 1.06  # of Fisher's z of ranks, times n - 3: Fieller, Hartley and Pearson 1957
_BELOW_1 = 1 - 1e-12
_LAGS = 5  # lags up to a fifth of the series: Pyper and Peterman 1998


@dataclasses.dataclass(frozen=True)
class RankCorrelation:
    """A rank correlation with its 95 % interval; prints as `0.31 [-0.12, 0.64]`.

    Attributes:
        value: in [-1, 1]; NaN where one of the series is constant, or there are fewer than three pairs.
        low: lower bound.
        high: upper bound.
        size: number of independent pairs that the pairs are worth.
    """

    value: float
    low: float
    high: float
    size: float

    @property
    def is_away_from_zero(self) -> bool:
        """Returns whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0

    def is_clear_among(self, count: int) -> bool:
        """Returns whether the interval would leave 0 out with 1 - 0.05 / `count` instead of 95 %.

        Of `count` correlations that are 0, none or hardly any passes: at most one in 20 times (Bonferroni).
        """
        if not self.is_away_from_zero:
            return False
        quantile = float(scipy.stats.norm.isf(0.025 / count))
        return abs(math.atanh(min(abs(self.value), _BELOW_1))) > quantile * math.sqrt(
            _VARIANCE / (self.size - 3)
        )

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "–"
        return f"{self.value:z.2f} [{self.low:z.2f}, {self.high:z.2f}]"


def of_series(x: Any, y: Any, is_detrended: bool = False) -> RankCorrelation:
    """Returns the rank correlation of two series, each in the order of time.

    Neighbors in time resemble each other, so that n pairs say less than n independent ones. The interval is
    Fisher's, tanh(atanh r +- 1.96 sqrt(1.06 / (N - 3))), of N pairs by the autocorrelations a_k and b_k of
    both series of ranks, 1 / N = 1 / n + 2 / n sum_(k <= n/5) (1 - k/n) a_k b_k, at most n (Pyper and
    Peterman 1998, "Comparison of methods to account for autocorrelation in correlation analyses of fish
    data"; the variance is of Fieller, Hartley and Pearson 1957). Of two trends N is small and the interval
    wide, as it is hardly evidence that both move in one direction once.

    Args:
        x: `[n]`; pairs with a NaN do not count.
        y: `[n]`.
        is_detrended: whether the straight line in time that fits the ranks best is taken off both: the
            partial rank correlation, given the time.

    Example:
        >>> from tfplastic.reports.statistics.rank_correlation import of_series
        >>> str(of_series([1, 5, 2, 8, 3, 9, 4, 7], [1, 5, 2, 8, 3, 9, 7, 4]))
        '0.90 [0.29, 0.99]'
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    kept = ~(np.isnan(x) | np.isnan(y))
    ranks = [scipy.stats.rankdata(each[kept]) for each in (x, y)]
    count = len(ranks[0])
    if count < 3:
        return RankCorrelation(math.nan, -1.0, 1.0, float(count))
    time = scipy.stats.rankdata(np.flatnonzero(kept))
    ranks = [_centered(each, time if is_detrended else None) for each in ranks]
    powers = [float(each @ each) for each in ranks]
    if min(powers) <= 1e-9 * count**3:  # constant, or nothing but a trend
        return RankCorrelation(math.nan, -1.0, 1.0, float(count))
    value = float(ranks[0] @ ranks[1]) / math.sqrt(powers[0] * powers[1])
    size = _effective_size(*ranks) - (1 if is_detrended else 0)
    return RankCorrelation(value, *_interval(value, size), size)


def of_pairs(x: Any, y: Any) -> RankCorrelation:
    """Returns the rank correlation of independent pairs, with Fisher's interval.

    Of fewer than six pairs the interval is all of [-1, 1]: two of 24 orders of four are perfect.

    Args:
        x: `[n]`; pairs with a NaN do not count.
        y: `[n]`.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    kept = ~(np.isnan(x) | np.isnan(y))
    count = int(kept.sum())
    value = float(spearman(x[kept], y[kept])) if count >= 3 else math.nan
    bounds = _interval(value, count) if count >= FEWEST_RUNS else (-1.0, 1.0)
    return RankCorrelation(value, *bounds, count)


def _centered(ranks: np.ndarray, time: np.ndarray | None) -> np.ndarray:
    centered = ranks - ranks.mean()
    if time is None:
        return centered
    trend = time - time.mean()
    return centered - trend * (centered @ trend) / (trend @ trend)


def _effective_size(x: np.ndarray, y: np.ndarray) -> float:
    """Returns the number of independent pairs that two centered series are worth."""
    count = len(x)
    inverse = 1 / count
    for lag in range(1, count // _LAGS + 1):
        products = [(each[:-lag] @ each[lag:]) / (each @ each) * count / (count - lag) for each in (x, y)]
        inverse += 2 / count * (1 - lag / count) * products[0] * products[1]
    return float(1 / max(inverse, 1 / count))


def _interval(value: float, size: float) -> tuple[float, float]:
    if math.isnan(value) or size <= 3:
        return -1.0, 1.0
    if abs(value) >= _BELOW_1:
        return (value, value) if size >= FEWEST_RUNS else (-1.0, 1.0)
    middle, half = math.atanh(value), _NORMAL * math.sqrt(_VARIANCE / (size - 3))
    return math.tanh(middle - half), math.tanh(middle + half)
