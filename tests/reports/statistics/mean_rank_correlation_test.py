"""Mean rank correlations, against scipy, and by the coverage of their intervals where runs share tasks."""

import math

import numpy as np
import pytest
import scipy.signal
import scipy.stats

from tfplastic.reports.statistics.mean_rank_correlation import mean_of_series
from tfplastic.reports.statistics.rank_correlation import of_series


def test_the_mean_is_that_of_the_correlations():
    noise = np.random.default_rng(0).normal(size=(4, 2, 120))
    pairs = [(x, 0.3 * x + y) for x, y in noise]
    pairs[1][0][5] = np.nan
    pairs[3] = (np.ones(120), pairs[3][1])  # has none
    for window in (None, 9):
        expected = [of_series(*pair, window).value for pair in pairs[:3]]
        found = mean_of_series(pairs, window)
        assert found.values == pytest.approx(expected) and found.value == pytest.approx(np.mean(expected))
    scipys = [scipy.stats.spearmanr(x, y, nan_policy="omit").statistic for x, y in pairs[:3]]
    assert mean_of_series(pairs).values == pytest.approx(scipys)


def test_of_independent_pairs_the_error_is_that_of_the_theory():
    pairs = np.random.default_rng(1).normal(size=(6, 2, 300))
    assert mean_of_series(pairs).standard_error == pytest.approx(1 / math.sqrt(6 * 299), rel=0.2)


def test_runs_that_share_hard_tasks_do_not_make_the_interval_narrow():
    """Quantities and accuracies are unrelated; each is nearly the same in all runs."""
    generator = np.random.default_rng(2)
    ours, students = 0, 0
    for _ in range(100):
        shared, own = generator.normal(size=(2, 1, 200)), generator.normal(size=(2, 10, 200))
        found = mean_of_series(list(zip(*(shared + 0.5 * own), strict=True)))
        ours += found.is_clear_among(1)
        students += abs(scipy.stats.ttest_1samp(found.values, 0).statistic) > 2.26
    assert 1 <= ours <= 12  # 5 are expected
    assert students > 40


def test_inertia_does_not_make_the_interval_narrow():
    generator = np.random.default_rng(3)
    noise = scipy.signal.lfilter([1], [1, -0.6], generator.normal(size=(100, 2, 300)), axis=-1)
    assert np.mean([mean_of_series([pair]).is_clear_among(1) for pair in noise]) < 0.13


def test_of_one_block_of_tasks_there_is_no_error():
    pairs = [(np.arange(count, dtype=float), np.arange(count, dtype=float)) for count in (10, 19)]
    for pair in pairs:
        found = mean_of_series([pair])
        assert found.value == 1 and math.isnan(found.standard_error)
        assert not found.is_clear_among(1) and str(found) == "1.00"
    generator = np.random.default_rng(0)
    assert mean_of_series([tuple(generator.normal(size=(2, 20)))]).standard_error > 0


def test_without_correlations_there_is_no_mean():
    for pairs in ([], [(np.ones(20), np.arange(20.0))]):
        found = mean_of_series(pairs)
        assert math.isnan(found.value) and str(found) == "–" and not found.is_clear_among(1)
