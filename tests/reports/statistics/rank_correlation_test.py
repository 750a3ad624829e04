"""Rank correlations, against scipy, by hand, and by the coverage of their intervals."""

import math

import numpy as np
import pytest
import scipy.signal
import scipy.stats

from tfplastic.reports.statistics.rank_correlation import of_pairs, of_series


@pytest.mark.parametrize("digits", [1, 6])  # with ties and without
def test_values_are_those_of_scipy(digits):
    x, noise = np.random.default_rng(0).normal(size=(2, 200))
    x, y = np.round(x, digits), np.round(-0.5 * x**3 + noise, digits)
    expected = scipy.stats.spearmanr(x, y).statistic
    assert of_pairs(x, y).value == pytest.approx(expected, abs=1e-12)
    assert of_series(x, y).value == pytest.approx(expected, abs=1e-12)
    holes = np.where(np.arange(200) % 7 == 0, np.nan, x)
    kept = ~np.isnan(holes)
    assert of_series(holes, y).value == pytest.approx(scipy.stats.spearmanr(x[kept], y[kept]).statistic)


def test_without_the_trend_it_is_that_of_differences_from_the_running_mean():
    time = np.arange(150)
    noise = np.random.default_rng(1).normal(size=(2, 150))
    x, y = 0.02 * time + noise[0], -0.03 * (time - 60) ** 2 / 60 + noise[1] + 0.5 * noise[0]
    rests = []
    for values in (x, y):
        rest = [values[at] - values[at - 4 : at + 5].mean() for at in range(4, 146)]
        for at in range(4):  # the line through the first and the last nine values
            for part, place in ((slice(0, 9), at), (slice(141, 150), 149 - at)):
                slope, offset = np.polyfit(time[part], values[part], 1)
                rest.append(values[place] - slope * place - offset)
        rests.append(rest)
    expected = scipy.stats.spearmanr(*rests).statistic
    found = of_series(x, y, window=9)
    assert found.value == pytest.approx(expected, abs=1e-9) and found.low > 0.2
    assert scipy.stats.spearmanr(x, y).statistic < 0


def test_the_interval_of_independent_pairs_by_hand():
    x, y = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [2, 1, 4, 3, 6, 5, 8, 7, 10, 9]
    found = of_pairs(x, y)
    value = 1 - 6 * 10 / (10 * 99)  # ten differences of 1
    half = 1.959964 * math.sqrt(1.06 / 7)
    assert found.value == pytest.approx(value) and found.size == 10
    bounds = math.tanh(math.atanh(value) - half), math.tanh(math.atanh(value) + half)
    assert (found.low, found.high) == pytest.approx(bounds)


def test_few_pairs_have_no_interval():
    for count in range(3, 6):
        found = of_pairs(range(count), range(count))  # of four, 2 of 24 orders are perfect
        assert found.value == pytest.approx(1) and (found.low, found.high) == (-1, 1)
        assert not found.is_away_from_zero
        assert not of_series(range(count), range(count)).is_away_from_zero
    assert of_pairs(range(6), range(6)).is_away_from_zero


def test_among_several_a_correlation_must_be_larger():
    pairs = range(12), [0, 1, 6, 3, 4, 9, 2, 7, 8, 5, 10, 11]
    found = of_pairs(*pairs)  # 3.02 standard deviations of Fisher's z
    assert found.value == pytest.approx(1 - 6 * 64 / (12 * 143)) and found.is_clear_among(1)
    assert found.is_clear_among(10) and not found.is_clear_among(30)  # 2.81 and 3.14 are needed
    assert not of_pairs(range(4), range(4)).is_clear_among(1)


def coverage(inertia, measure, repeats=300, count=250):
    """Share of the intervals of unrelated series that hold 0."""
    noise = np.random.default_rng(2).normal(size=(repeats, 2, count + 100))
    series = scipy.signal.lfilter([1], [1, -inertia], noise, axis=-1)[..., 100:]
    return np.mean([not measure(x, y).is_away_from_zero for x, y in series])


def test_intervals_of_series_with_inertia_hold_the_right_value_as_often_as_they_say():
    assert 0.92 < coverage(0.0, of_series) < 0.98
    assert 0.91 < coverage(0.9, of_series) < 0.99
    assert coverage(0.9, of_pairs) < 0.65  # which takes them for independent


def test_two_trends_are_hardly_evidence():
    time = np.arange(250)
    noise = np.random.default_rng(3).normal(size=(2, 250))
    x, y = time + noise[0], time**2 + noise[1]
    found = of_series(x, y)
    assert found.value > 0.99 and found.size < 10
    assert abs(of_series(x, y, window=25).value) < 0.2


@pytest.mark.parametrize("x", [np.ones(20), np.arange(20.0)[:2], np.full(20, np.nan)])
def test_what_cannot_be_ranked_has_no_value(x):
    for measure in (of_pairs, of_series):
        found = measure(x, np.arange(float(len(x))))
        assert math.isnan(found.value) and (found.low, found.high) == (-1, 1) and str(found) == "–"
    assert math.isnan(of_series(np.arange(20.0), np.arange(20.0) ** 2, window=5).value)
    assert math.isnan(of_series(np.arange(20.0) ** 2, np.arange(20.0) ** 2, window=21).value)


def test_a_few_values_apart_from_one_decide_nothing():
    y = np.random.default_rng(4).normal(size=100)
    for count, is_known in ((9, False), (10, True)):
        x = np.where(np.arange(100) < count, 1.0 + np.arange(100), 0.0)
        for window in (None, 25):
            assert math.isnan(of_series(x, y, window).value) is not is_known
