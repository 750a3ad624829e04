"""Differences and their mean over strata, against scipy and float64 loops, and by their rate of errors."""

import math

import numpy as np
import pytest
import scipy.stats

from tfplastic.reports.statistics.stratified import contrast, mean_over_strata, welch

SPREADS = ((1.0, 3.0), (0.2, 0.5), (10.0, 2.0))  # of both arms of three strata


@pytest.mark.parametrize("sizes", [(3, 3), (2, 9)])
def test_one_stratum_is_that_of_scipy(sizes):
    generator = np.random.default_rng(0)
    sample, baseline = (generator.normal(size=size) * size for size in sizes)
    test = scipy.stats.ttest_ind(sample, baseline, equal_var=False)
    expected = test.confidence_interval(0.95)
    for found in (welch(sample, baseline, 7.0), mean_over_strata([welch(sample, baseline, 7.0)])):
        assert (found.low, found.high) == pytest.approx((expected.low / 7, expected.high / 7))
        assert found.freedom == pytest.approx(test.df)
        assert found.value == pytest.approx((sample.mean() - baseline.mean()) / 7)


def test_other_levels_are_those_of_scipy():
    sample, baseline = np.random.default_rng(3).normal(size=(2, 5))
    expected = scipy.stats.ttest_ind(sample, baseline, equal_var=False).confidence_interval(0.9)
    assert welch(sample, baseline).half_width_of(0.9) == pytest.approx((expected.high - expected.low) / 2)


def test_the_mean_over_strata_is_that_of_loops():
    generator = np.random.default_rng(1)
    sizes, scales = ((3, 3), (4, 2), (3, 5)), (8.5, 48.0, 30.0)
    strata = [[generator.normal(size=size) * 9 for size in of_stratum] for of_stratum in sizes]
    variance, inverse, value = 0.0, 0.0, 0.0
    for (sample, baseline), scale in zip(strata, scales, strict=True):
        value += (sum(sample) / len(sample) - sum(baseline) / len(baseline)) / scale
        for values in (sample, baseline):
            squares = sum((each - sum(values) / len(values)) ** 2 for each in values)
            part = squares / (len(values) - 1) / len(values) / scale**2
            variance += part
            inverse += part**2 / (len(values) - 1)
    half = scipy.stats.t.ppf(0.975, variance**2 / inverse) * math.sqrt(variance) / 3
    found = mean_over_strata([welch(*pair, scale) for pair, scale in zip(strata, scales, strict=True)])
    assert (found.value, found.half_width) == pytest.approx((value / 3, half))


def test_equal_values_leave_an_interval_without_a_width():
    found = [welch([3.0, 3.0], [1.0, 1.0, 1.0], 4.0), welch([1.0, 1.0], [1.0, 1.0])]
    assert (found[0].low, found[0].high) == (0.5, 0.5) and found[0].is_above_zero
    assert not found[1].is_above_zero and not found[1].is_below_zero
    mean = mean_over_strata(found)
    assert (mean.low, mean.high) == (0.25, 0.25)
    with_spread = mean_over_strata([found[0], welch([1.0, 2.0], [1.0, 2.0])])
    assert with_spread.freedom == pytest.approx(2) and with_spread.value == 0.25


def test_one_value_has_no_interval():
    for found in (welch([3.0], [1.0, 2.0]), welch([3.0, 4.0], [1.0]), welch([3.0], [1.0])):
        for each in (found, mean_over_strata([found, welch([3.0, 4.0], [1.0, 2.0])])):
            assert each.value > 0 and math.isnan(each.half_width)
            assert not each.is_above_zero and not each.is_below_zero


def drawn(generator, effect):
    """Mean over strata of made-up returns of three seeds each."""
    strata = [[generator.normal(0, spread, 3) for spread in spreads] for spreads in SPREADS]
    return mean_over_strata([welch(sample + effect, baseline, 5.0) for sample, baseline in strata])


def test_without_an_effect_hardly_any_interval_is_above_zero():
    generator = np.random.default_rng(2)
    found = [drawn(generator, 0.0) for _ in range(2_000)]
    assert np.mean([each.is_above_zero for each in found]) < 0.035  # 0.025 are expected
    assert np.mean([each.low <= 0 <= each.high for each in found]) == pytest.approx(0.95, abs=0.02)


def test_a_large_effect_is_found():
    generator = np.random.default_rng(3)
    assert np.mean([drawn(generator, 20.0).is_above_zero for _ in range(100)]) > 0.9


def test_a_contrast_is_that_of_loops():
    generator = np.random.default_rng(5)
    samples = [
        generator.normal(size=size) * spread for size, spread in ((3, 1.0), (4, 5.0), (2, 2.0), (6, 0.5))
    ]
    parts = [np.var(each, ddof=1) / len(each) for each in samples]
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(each) - 1) for part, each in zip(parts, samples, strict=True)
    )
    means = [each.mean() for each in samples]
    found = contrast(welch(*samples[:2]), welch(*samples[2:]))
    assert found.value == pytest.approx(means[0] - means[1] - means[2] + means[3])
    half = scipy.stats.t.ppf(0.975, freedom) * math.sqrt(sum(parts))
    assert (found.half_width, found.freedom) == pytest.approx((half, freedom))
