import numpy as np
import pandas as pd
import pytest
import scipy.stats

from tfplastic.reports import correlations, verdicts


def points(signs, count=30, noise=0.1, seed=0):
    """Runs of groups 'g0', 'g1', ... in which the outcome goes by `signs` with the statistic."""
    generator = np.random.default_rng(seed)
    rows = []
    for number, sign in enumerate(signs):
        x = generator.normal(size=count)
        y = sign * x + noise * generator.normal(size=count)
        rows.append(pd.DataFrame({"norm": x, "plasticity_loss": y, "group": f"g{number}"}))
    return pd.concat(rows, ignore_index=True)


@pytest.mark.parametrize(
    ("signs", "verdict"),
    [
        ((1, 2), "sign-consistent"),
        ((-1, -1, -1), "sign-consistent"),
        ((1, -1), "reversed"),
        ((1, 0, -1), "reversed"),
        ((1, 0), "undetermined"),
        ((0, 0), "undetermined"),
    ],
)
def test_verdicts(signs, verdict):
    table = verdicts(correlations(points(signs), ["norm"], ["group"]))
    assert table.values.tolist() == [["norm", "group", verdict]]


def test_slope_and_rho_are_those_of_scipy():
    data = points((1, -0.3), noise=1.0).round(1)  # with ties
    table = correlations(data, ["norm"], ["group"]).set_index("value")
    for value, group in data.groupby("group"):
        expected = scipy.stats.linregress(group["norm"], group["plasticity_loss"]).slope
        assert table.loc[value, "slope"] == pytest.approx(expected)
        rho = scipy.stats.spearmanr(group["norm"], group["plasticity_loss"]).statistic
        assert table.loc[value, "rho"] == pytest.approx(rho)
        assert table.loc[value, "low"] < rho < table.loc[value, "high"] and table.loc[value, "runs"] == 30


def test_the_interval_is_that_of_scipys_bootstrap():
    data = points((0.5,), noise=1.0)
    (row,) = correlations(data, ["norm"], ["group"], num_resamples=8_000).itertuples()
    expected = scipy.stats.bootstrap(
        (data["norm"], data["plasticity_loss"]),
        lambda x, y: scipy.stats.spearmanr(x, y).statistic,
        paired=True,
        vectorized=False,
        n_resamples=3_000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert (row.low, row.high) == pytest.approx(tuple(expected), abs=0.03)


def test_groups_without_a_correlation():
    data = points((1,), count=5)
    data.loc[0, "norm"], data.loc[1, "plasticity_loss"] = np.nan, np.inf
    (row,) = correlations(data, ["norm"], ["group"]).itertuples()
    assert row.runs == 3 and row.rho == pytest.approx(1)
    for broken in (data.iloc[:4], data.assign(norm=1.0), data.assign(plasticity_loss=0.0)):
        table = correlations(broken, ["norm"], ["group"])
        assert table[["slope", "rho", "low", "high"]].isna().all(axis=None)
        assert verdicts(table)["verdict"].tolist() == ["undetermined"]


@pytest.mark.parametrize("count", [3, 4, 5, 6, 10])
@pytest.mark.parametrize("law", ["normal", "lognormal"])
def test_noise_is_seldom_called_a_correlation(count, law):
    generator, groups = np.random.default_rng(0), 400
    values = getattr(generator, law)(size=(2, groups * count))
    data = pd.DataFrame({"norm": values[0], "plasticity_loss": values[1]})
    data["group"] = np.repeat(np.arange(groups), count)
    table = correlations(data, ["norm"], ["group"], num_resamples=300)
    known = np.mean((table["low"] > 0) | (table["high"] < 0))
    assert known == 0 if count < 6 else known < 0.05 + 2 * np.sqrt(0.05 * 0.95 / groups)
    assert table["rho"].notna().all()


def test_few_runs_have_a_correlation_and_no_verdict():
    table = correlations(points((1, -1), count=5), ["norm"], ["group"])
    assert table["rho"].abs().min() > 0.8 and table[["low", "high"]].isna().all(axis=None)
    assert verdicts(table)["verdict"].tolist() == ["undetermined"]
    assert verdicts(correlations(points((1, -1), count=6), ["norm"], ["group"])).iloc[0, 2] == "reversed"


def test_all_statistics_and_splits_are_there():
    data = points((1, -1)).assign(rank=1.0, other="same")
    table = correlations(data, ["norm", "rank"], ["group", "other"])
    assert table.groupby(["statistic", "split"], sort=False).size().tolist() == [2, 1, 2, 1]
    assert verdicts(table)["verdict"].tolist() == ["reversed", "undetermined", "undetermined", "undetermined"]


def test_the_same_seed_gives_the_same_interval_another_another():
    data = points((0.5,), noise=1.0)
    one, same, other = (correlations(data, ["norm"], ["group"], seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(one, same)
    assert one["low"].item() != other["low"].item()


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="^`points` must have a column for each name. Received: no 'rank'$"):
        correlations(points((1,)), ["rank"], ["group"])
    with pytest.raises(ValueError, match=r"^`confidence` must be a number in \[0, 1\]. Received: 2$"):
        correlations(points((1,)), ["norm"], ["group"], confidence=2)
