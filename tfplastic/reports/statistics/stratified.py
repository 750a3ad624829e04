"""Differences of two means with Welch's interval, and their mean over strata."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import stdtrit

_LEVEL = 0.95  # of a two-sided interval


@dataclasses.dataclass(frozen=True)
class Difference:
    """A difference of means with its 95 % interval, value +- t_{.975, freedom} standard_error.

    Attributes:
        value: the difference.
        standard_error: NaN where a sample has one value.
        freedom: degrees of freedom of Welch and Satterthwaite; NaN where a sample has one value.
    """

    value: float
    standard_error: float
    freedom: float

    @property
    def half_width(self) -> float:
        """Half of the interval's width; NaN where a sample has one value."""
        return self.half_width_of(_LEVEL)

    @property
    def low(self) -> float:
        """The lower bound."""
        return self.value - self.half_width

    @property
    def high(self) -> float:
        """The upper bound."""
        return self.value + self.half_width

    def half_width_of(self, level: float) -> float:
        """Returns half the width of an interval of another level, such as 0.9; two-sided."""
        return float(stdtrit(self.freedom, (1 + level) / 2)) * self.standard_error

    @property
    def is_above_zero(self) -> bool:
        """Returns whether the whole interval is above 0; False without an interval."""
        return self.low > 0

    @property
    def is_below_zero(self) -> bool:
        """Returns whether the whole interval is below 0; False without an interval."""
        return self.high < 0


def welch(sample: Any, baseline: Any, scale: float = 1.0) -> Difference:
    """Returns (mean of `sample` - mean of `baseline`) / `scale`; the variances may differ.

    Welch 1947, "The generalization of 'Student's' problem when several different population variances are
    involved". Where both samples are constant, the interval is the difference alone.

    Args:
        sample: `[n]`, n >= 1.
        baseline: `[m]`, m >= 1.
        scale: positive number that is taken as known.

    Example:
        >>> from tfplastic.reports.statistics.stratified import welch
        >>> found = welch([3.0, 4.0, 5.0], [1.0, 2.0, 3.0], scale=2.0)
        >>> round(found.value, 3), round(found.half_width, 3), round(found.freedom, 3)
        (1.0, 1.133, 4.0)
    """
    samples = [np.asarray(each, np.float64) / scale for each in (sample, baseline)]
    value = float(samples[0].mean() - samples[1].mean())
    if min(map(len, samples)) < 2:
        return Difference(value, math.nan, math.nan)
    return _combined(
        value,
        [float(each.var(ddof=1)) / len(each) for each in samples],
        [len(each) - 1 for each in samples],
    )


def mean_over_strata(differences: Sequence[Difference]) -> Difference:
    """Returns the mean of independent differences, one for each stratum; all strata weigh the same.

    The interval is about these strata, over the samples within them, and says nothing about other strata.

    Args:
        differences: at least one, by `welch`.
    """
    count = len(differences)
    return _combined(
        sum(each.value for each in differences) / count,
        [(each.standard_error / count) ** 2 for each in differences],
        [each.freedom for each in differences],
    )


def contrast(first: Difference, second: Difference) -> Difference:
    """Returns `first` - `second` of independent differences: by how much an effect is larger in one place.

    Args:
        first: a difference by `welch`, such as that with a method.
        second: another one, of other samples, such as that without.

    Example:
        >>> from tfplastic.reports.statistics.stratified import contrast, welch
        >>> with_method, without = welch([5.0, 7.0], [1.0, 3.0]), welch([2.0, 4.0], [1.0, 3.0])
        >>> found = contrast(with_method, without)
        >>> found.value, found.freedom  # 4 - 1; of four samples of two
        (3.0, 4.0)
    """
    variances = [each.standard_error**2 for each in (first, second)]
    return _combined(first.value - second.value, variances, [first.freedom, second.freedom])


def _combined(value: float, variances: Sequence[float], freedoms: Sequence[float]) -> Difference:
    """Returns an estimate whose variance is a sum, with the degrees of freedom of Satterthwaite 1946."""
    total = sum(variances)
    inverse = sum(each**2 / freedom for each, freedom in zip(variances, freedoms, strict=True))
    return Difference(value, math.sqrt(total), sum(freedoms) if inverse == 0 else total**2 / inverse)
