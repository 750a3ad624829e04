"""Spearman's rank correlation of two series in time, with an interval that allows for their inertia."""

import dataclasses
import math
from typing import Any

import numpy as np
import scipy.signal
import scipy.stats

from tfplastic.reports.aggregate import FEWEST_RUNS
from tfplastic.reports.statistics.spearman import spearman

_NORMAL = 1.959964  # of 95 %
_VARIANCE = 1.06  # of Fisher's z of ranks, times n - 3: Fieller, Hartley and Pearson 1957
_BELOW_1 = 1 - 1e-12
_LAGS = 5  # lags up to a fifth of the series: Pyper and Peterman 1998
_MOST_EQUAL = 0.9  # share of equal values beyond which a few others would decide


@dataclasses.dataclass(frozen=True)
class RankCorrelation:
    """A rank correlation with its 95 % interval; prints as `0.31 [-0.12, 0.64]`.

    Attributes:
        value: in [-1, 1]; NaN where one of the series is constant, or there are fewer than three pairs. Of
            series in time also where more than nine tenths of the values of one are equal.
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


def of_series(x: Any, y: Any, window: int | None = None) -> RankCorrelation:
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
        window: see `ranks_in_time`.

    Example:
        >>> from tfplastic.reports.statistics.rank_correlation import of_series
        >>> str(of_series([1, 5, 2, 8, 3, 9, 4, 7], [1, 5, 2, 8, 3, 9, 7, 4]))
        '0.90 [0.29, 0.99]'
    """
    ranks = ranks_in_time(x, y, window)
    if ranks is None:
        known = ~(np.isnan(np.asarray(x, np.float64)) | np.isnan(np.asarray(y, np.float64)))
        return RankCorrelation(math.nan, -1.0, 1.0, float(known.sum()))
    value = float(ranks[0] @ ranks[1]) / math.sqrt(float(ranks[0] @ ranks[0]) * float(ranks[1] @ ranks[1]))
    size = _effective_size(*ranks)
    return RankCorrelation(value, *_interval(value, size), size)


def ranks_in_time(x: Any, y: Any, window: int | None = None) -> np.ndarray | None:
    """Returns the ranks of two series less their means, `[2, n]`; None where a correlation has no value.

    Args:
        x: `[n]`; pairs with a NaN are left out.
        y: `[n]`.
        window: odd number of measurements whose running mean is taken off both series before they are
            ranked, so that the course of time that they share does not count; at both ends it is the
            straight line that fits the last `window` measurements. None for the series as they are.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    kept = ~(np.isnan(x) | np.isnan(y))
    series = [x[kept], y[kept]]
    if len(series[0]) < max(3, window or 0) or any(_is_nearly_constant(each) for each in series):
        return None
    if window is not None:
        spreads = [each.std() for each in series]
        series = [each - scipy.signal.savgol_filter(each, window, 1) for each in series]
        if any(
            each.std() <= 1e-9 * spread for each, spread in zip(series, spreads, strict=True)
        ):  # nothing but a trend
            return None
    ranks = np.array([scipy.stats.rankdata(each) for each in series])
    return ranks - ranks.mean(axis=1, keepdims=True)


def _is_nearly_constant(values: np.ndarray) -> bool:
    _, counts = np.unique(values, return_counts=True)
    return len(counts) == 1 or counts.max() > _MOST_EQUAL * len(values)


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
