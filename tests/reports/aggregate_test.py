import numpy as np
import pytest

from tfplastic.reports import aggregate

# Four tasks, five runs each; what follows from them is by rliable 1.2.0 (Agarwal et al.), its intervals by
# 20,000 to 50,000 resamples.
X = {
    "a": [0.65, 0.39, 0.32, -0.33, 0.38],
    "b": [0.55, 0.74, 0.09, 0.51, 0.47],
    "c": [0.86, 1.12, 0.35, 0.1, 0.76],
    "d": [0.64, 0.98, 0.62, 0.31, 1.02],
}
Y = {
    "a": [0.45, 0.86, 0.32, 0.44, 0.24],
    "b": [1.05, 0.54, 0.59, 0.72, 0.45],
    "c": [0.23, 0.2, 0.1, 0.59, 0.81],
    "d": [0.64, 0.13, 0.42, 0.64, 1.1],
}
RLIABLE = {
    aggregate.median_of_tasks: (0.555, 0.38, 0.68),
    aggregate.mean: (0.5265, 0.393, 0.652),
    aggregate.interquartile_mean: (0.53, 0.396, 0.664),
    aggregate.optimality_gap: (0.4805, 0.36, 0.611),
}


@pytest.mark.parametrize("statistic", RLIABLE, ids=lambda each: each.__name__)
def test_aggregates_equal_those_of_rliable(statistic):
    interval = aggregate.bootstrap(X, statistic, num_resamples=20_000)
    point, low, high = RLIABLE[statistic]
    assert interval.point == pytest.approx(point, abs=1e-12)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.01)


def test_probability_of_improvement_equals_that_of_rliable():
    interval = aggregate.probability_of_improvement(X, Y, num_resamples=20_000)
    assert interval.point == pytest.approx(0.49, abs=1e-12)
    assert (interval.low, interval.high) == pytest.approx((0.31, 0.675), abs=0.01)


def test_performance_profile_equals_that_of_rliable():
    point, low, high = aggregate.performance_profile(X, [0.25, 0.5, 0.75], num_resamples=20_000)
    np.testing.assert_allclose(point, [0.85, 0.55, 0.25])
    np.testing.assert_allclose(low, [0.7, 0.35, 0.1], atol=0.01)
    np.testing.assert_allclose(high, [1.0, 0.75, 0.4], atol=0.01)


def test_small_cases_by_hand():
    scores = {"a": [0.0, 1.0, 2.0, 9.0], "b": [5.0]}
    assert aggregate.mean(scores) == 4.0  # (3 + 5) / 2
    assert aggregate.median(scores) == 2.0
    assert aggregate.interquartile_mean(scores) == pytest.approx(8 / 3)  # of 1, 2, 5
    assert aggregate.optimality_gap(scores, gamma=2.0) == 2 - (5 / 4 + 2) / 2
    # 4 pairs, of which one is greater and one a tie; 1 of 1.
    chance = aggregate.probability_of_improvement(
        {"a": [1.0, 2.0], "b": [1.0]}, {"a": [2.0, 3.0], "b": [0.0]}
    )
    assert chance.point == (0.5 / 4 + 1) / 2


@pytest.mark.parametrize("statistic", [*RLIABLE, aggregate.median], ids=lambda each: each.__name__)
def test_equal_runs_have_an_interval_of_no_width_and_nan_is_passed_on(statistic):
    interval = aggregate.bootstrap({"a": [0.5] * 3, "b": [0.5]}, statistic)
    assert (interval.point, interval.low, interval.high) == (0.5, 0.5, 0.5)
    broken = aggregate.bootstrap({"a": [0.5, 0.5, np.nan]}, statistic)
    assert np.isnan([broken.point, broken.low, broken.high]).all()


def test_nan_is_passed_on_where_scores_are_compared():
    assert np.isnan(aggregate.probability_of_improvement({"a": [np.nan, 1.0]}, {"a": [0.0]}).point)
    assert np.isnan(aggregate.performance_profile({"a": [np.nan, 1.0]}, [0.5])).all()


def test_resampling_keeps_to_the_tasks():
    # Within each task the runs are equal, so no resample differs; across tasks they would.
    interval = aggregate.bootstrap({"a": [0.0, 0.0], "b": [1.0, 1.0]}, aggregate.mean)
    assert (interval.low, interval.high) == (0.5, 0.5)


def test_the_interval_of_a_mean_covers_as_often_as_it_says():
    generator = np.random.default_rng(0)
    intervals = [
        aggregate.bootstrap({"a": generator.normal(size=30)}, aggregate.mean, num_resamples=400, seed=seed)
        for seed in range(400)
    ]
    covered = np.mean([each.low <= 0 <= each.high for each in intervals])
    assert 0.89 < covered < 0.97  # the percentile interval of 30 is a little short of 0.95


@pytest.mark.parametrize(
    "draw",
    [
        lambda seed: aggregate.bootstrap(X, aggregate.mean, seed=seed),
        lambda seed: aggregate.probability_of_improvement(X, Y, seed=seed),
        lambda seed: str(aggregate.performance_profile(X, [0.25, 0.52], num_resamples=51, seed=seed)),
        lambda seed: str(
            aggregate.band(np.random.default_rng(0).normal(size=(9, 4)), num_resamples=99, seed=seed)
        ),
    ],
)
def test_the_same_seed_gives_the_same_interval_another_another(draw):
    assert draw(0) == draw(0)
    assert draw(0) != draw(1)


def test_confidence_widens_the_interval():
    narrow, wide = (aggregate.bootstrap(X, aggregate.mean, confidence) for confidence in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_a_band_is_of_the_runs_that_have_a_value():
    curves = [[1.0, 4.0, np.nan, np.nan], [2.0, 6.0, 5.0, np.nan], [3.0, np.nan, 5.0, np.nan]]
    point, low, high = aggregate.band(curves)
    np.testing.assert_array_equal(point, [2.0, 5.0, 5.0, np.nan])
    np.testing.assert_array_equal(low, [1.0, 4.0, 5.0, np.nan])
    np.testing.assert_array_equal(high, [3.0, 6.0, 5.0, np.nan])
    assert [len(each) for each in aggregate.band(np.zeros((2, 0)))] == [0, 0, 0]


def test_a_band_is_the_interval_of_the_median_of_whole_curves():
    curves = np.random.default_rng(0).normal(size=(9, 150))
    curves[:4, 100:] = np.nan
    curves[:3, 120:] = 0.5  # seven runs from there
    point, low, high = aggregate.band(curves, num_resamples=20_000)
    np.testing.assert_array_equal(low[100:120], curves[4:, 100:120].min(axis=0))  # the range of five runs
    np.testing.assert_array_equal(high[100:120], curves[4:, 100:120].max(axis=0))
    for place, runs in ((0, curves[:, 0]), (99, curves[:, 99]), (149, curves[[0, 1, 2, *range(4, 9)], 149])):
        interval = aggregate.bootstrap({"a": runs}, aggregate.median, num_resamples=20_000)
        assert point[place] == interval.point
        assert (low[place], high[place]) == pytest.approx((interval.low, interval.high), abs=0.05)
    assert np.isinf(aggregate.band([[np.inf], [np.inf]])).all()  # a value that diverged is no missing one


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: aggregate.mean({}), r"^`scores` must have at least one run of .* Received: shapes \[\]$"),
        (lambda: aggregate.mean({"a": []}), r"^`scores` must have at least one run .* shapes \[\[0\]\]$"),
        (
            lambda: aggregate.bootstrap(X, aggregate.mean, 1.5),
            r"^`confidence` must be a number in \[0, 1\]. Received: 1.5$",
        ),
        (
            lambda: aggregate.bootstrap(X, aggregate.mean, num_resamples=0),
            "^`num_resamples` must be an integer of at least 1. Received: 0$",
        ),
        (
            lambda: aggregate.probability_of_improvement(X, {"a": [1.0]}),
            "^`baseline` must have the tasks of `scores`. Received: 'b' in one only$",
        ),
        (lambda: aggregate.band([1.0]), r"^`curves` must be of shape \[runs, points\]. Received: \[1\]$"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_interval_prints_shortly():
    assert str(aggregate.Interval(0.12345, -1.0, 20.0)) == "0.123 [-1, 20]"


# What covers what: (interval of runs `[n]`, what it should cover of the distribution, least coverage by n).
# Of a median the range of n runs covers 1 - 2 / 2^n.
LAWS = {
    "normal": (lambda generator, shape: generator.normal(size=shape), 0.0, 0.0),
    "exponential": (lambda generator, shape: generator.exponential(size=shape), np.log(2), 1.0),
}
TRIALS = 4_000


def covered(low, high, truth):
    return np.mean((low <= truth) & (truth <= high))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("count", [2, 3, 5, 6, 10])
def test_bands_cover_the_median_as_often_as_they_say(law, count):
    draw, median, _ = LAWS[law]
    runs = draw(np.random.default_rng(count), (count, TRIALS))
    _, low, high = aggregate.band(runs, num_resamples=1_000)
    assert ("range" in aggregate.band_name([count])) == (count < 6)
    if count < 6:  # a range: exactly this, and no claim of 95 %
        assert covered(low, high, median) == pytest.approx(1 - 2 / 2**count, abs=0.02)
        np.testing.assert_array_equal(low, runs.min(axis=0))
    else:
        assert 0.90 < covered(low, high, median) < 0.99  # 0.93 to 0.94


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("count", [2, 3, 5, 6, 10])
def test_student_t_covers_the_mean_as_often_as_it_says(law, count):
    draw, _, mean = LAWS[law]
    runs = draw(np.random.default_rng(count), (TRIALS // 4, count))
    found = [aggregate.student_t(each) for each in runs]
    share = covered(*np.array([(each.low, each.high) for each in found]).T, mean)
    least = 0.93 if law == "normal" else 0.85  # 0.88 to 0.91
    assert least < share < 0.97
    assert {each.kind for each in found} == {"Student-t"}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("count", [2, 3, 5, 6, 10])
def test_bootstrap_is_the_range_below_six_runs(law, count):
    draw, median, _ = LAWS[law]
    runs = draw(np.random.default_rng(count), (300, count))
    found = [aggregate.bootstrap({"a": each}, aggregate.median, num_resamples=200) for each in runs]
    share = covered(*np.array([(each.low, each.high) for each in found]).T, median)
    assert {each.kind for each in found} == {"range" if count < 6 else "bootstrap"}
    assert share == pytest.approx(1 - 2 / 2**count, abs=0.08) if count < 6 else share > 0.88


def test_the_range_of_several_tasks_and_of_a_falling_statistic():
    scores = {"a": [1.0, 3.0], "b": [10.0, 2.0]}
    interval = aggregate.bootstrap(scores, aggregate.mean)
    assert (interval.point, interval.low, interval.high, interval.kind) == (4.0, 1.5, 6.5, "range")
    gap = aggregate.bootstrap(scores, lambda runs: aggregate.optimality_gap(runs, gamma=20.0))
    assert (gap.low, gap.high) == (13.5, 18.5)
    assert aggregate.bootstrap({"a": [1.0] * 3, "b": [2.0] * 3}, aggregate.mean).kind == "bootstrap"


def test_equal_infinities_are_a_tie():
    infinite = {"a": [np.inf, -np.inf, 1.0]}
    assert aggregate.probability_of_improvement(infinite, infinite).point == 0.5
    assert aggregate.probability_of_improvement({"a": [-np.inf]}, {"a": [-np.inf] * 2}).point == 0.5
    assert aggregate.probability_of_improvement({"a": [np.inf]}, {"a": [-np.inf, np.inf]}).point == 0.75
    assert np.isnan(aggregate.probability_of_improvement({"a": [np.inf, np.nan]}, {"a": [np.inf]}).point)
    many = aggregate.probability_of_improvement({"a": [np.inf] * 6}, {"a": [np.inf] * 6})
    assert (many.low, many.high) == (0.5, 0.5)
    few = aggregate.probability_of_improvement({"a": [1.0] * 5}, {"a": [0.0] * 6})
    assert few.point == 1 and np.isnan([few.low, few.high]).all()


def test_a_single_run_has_no_interval_of_its_mean():
    single = aggregate.student_t([2.0])
    assert single.point == 2 and np.isnan([single.low, single.high]).all()
    assert np.isnan(aggregate.student_t([2.0, np.nan]).high)


@pytest.mark.parametrize("count", [6, 7, 20, 200])
def test_medians_of_resamples_are_those_of_the_resampled_values_to_the_last_bit(count):
    generator = np.random.default_rng(count)
    values = generator.normal(size=(count, 9))
    values[:, 1] = np.round(values[:, 1])  # ties
    values[0, 2], values[1, 2], values[:, 3] = np.inf, -np.inf, 3.0
    chosen = generator.integers(count, size=(50, count))
    found = aggregate._medians_of_resamples(values, chosen)
    np.testing.assert_array_equal(found, np.median(values[chosen], axis=1))
