"""Conclusions from losses, checked by hand."""

import json
import math
from typing import Any

import numpy as np
import pytest

from tfplastic.probing import FreshNetworks, ProbeResult


def result(final=(0.3, 0.5), fresh=((0.1, 0.1), (0.2, 0.2), (0.3, 0.3)), variance=0.5, curves=None):
    fresh = np.reshape(np.array(fresh, np.float64), [-1, len(final)])
    curves = np.array([[0.5, 0.25], [0.5, 0.25]]) if curves is None else curves
    fresh_networks = FreshNetworks(fresh + 1, fresh, np.tile(curves, [len(fresh), 1, 1]))
    return ProbeResult(
        initial_losses=np.array([1.0, 2.0]),
        final_losses=np.array(final),
        target_variances=np.full(2, variance),
        curves=curves,
        fresh=fresh_networks,
        how="one after another",
    )


def test_numbers_by_hand():
    found = result()
    assert found.initial_loss == 1.5 and found.final_loss == 0.4 and found.target_variance == 0.5
    assert found.plasticity == pytest.approx(0.1)  # 0.5 - 0.4
    assert found.loss_of_plasticity == pytest.approx(0.2)  # mean of 0.3 - 0.2 and 0.5 - 0.2
    assert found.gain_of_plasticity == pytest.approx(-0.2)
    # The differences 0.1 and 0.3 have the standard deviation sqrt(0.02); over sqrt(2).
    assert found.standard_error_over_targets == pytest.approx(0.1)
    # Mean 0.2, s = 0.1, t of 2 degrees of freedom at 97.5 % is 4.302653: half 4.302653 * 0.1 * sqrt(4/3),
    # which is more than 0.2. At 95 % it is 2.919986: one-sided.
    np.testing.assert_allclose(found.fresh_interval, (0, 0.2 + 0.337171), rtol=1e-5)
    np.testing.assert_allclose(found.loss_of_plasticity_interval, (0.4 - 0.537171, 0.4), rtol=1e-5)
    assert found.is_one_sided
    # With 2 more on each of the losses the interval is two-sided.
    above = result(final=(2.3, 2.5), fresh=((2.1, 2.1), (2.2, 2.2), (2.3, 2.3)), variance=5.0)
    np.testing.assert_allclose(above.fresh_interval, (2.2 - 0.496828, 2.2 + 0.496828), rtol=1e-5)
    assert not above.is_one_sided
    assert found.curve_area == pytest.approx(0.75)  # mean of 1 and 0.5
    assert found.verdict == "as fresh" and found.percentile == 100


@pytest.mark.parametrize(
    ("final", "verdict", "percentile"),
    [(0.54, "lost", 100), (0.53, "as fresh", 100), (0.25, "as fresh", 200 / 3), (0.2, "as fresh", 50),
     (0.0, "as fresh", 0), (math.nan, "lost", 100), (math.inf, "lost", 100)],
)  # fmt: skip
def test_verdicts(final, verdict, percentile):
    found = result(final=(final, final))
    assert found.verdict == verdict and found.percentile == pytest.approx(percentile)
    assert ("diverged on 2 of 2" in " ".join(found.warnings)) == (not math.isfinite(final))


@pytest.mark.parametrize(
    ("final", "verdict"), [(1.6, "gained"), (1.71, "as fresh"), (2.69, "as fresh"), (2.7, "lost")]
)
def test_gains_are_possible_where_the_interval_begins_above_zero(final, verdict):
    fresh = ((2.1, 2.1), (2.2, 2.2), (2.3, 2.3))
    assert result(final=(final, final), fresh=fresh, variance=5.0).verdict == verdict


@pytest.mark.parametrize("spread", [0.01, 0.1])
def test_at_most_five_percent_of_fresh_networks_are_called_otherwise(spread):
    """Intervals of normal losses far from 0, and close to it, where some intervals are one-sided."""
    generator = np.random.default_rng(0)
    for count in (8, 64):
        losses = np.maximum(generator.normal(0.3, spread, (2_000, count + 1)), 0.0)
        otherwise = 0
        for first, *others in losses:
            found = result(final=(first, first), fresh=np.repeat(others, 2), variance=0.5)
            otherwise += found.verdict in ("lost", "gained")
        assert otherwise / len(losses) < 0.06


def test_fresh_networks_that_diverge_are_not_the_better_ones():
    assert result(fresh=((0.1, 0.1), (math.nan, 0.1))).percentile == 50
    assert result(final=(math.nan, 0.1), fresh=((0.1, 0.1), (math.nan, 0.1))).percentile == 75


@pytest.mark.parametrize(
    ("settings", "beginning"),
    [
        (dict(fresh=((0.46, 0.46), (0.45, 0.47))), "the probe saturates"),
        (dict(curves=np.full([2, 2], 0.04)), "the probe is trivial"),
        (dict(variance=0.0), "the targets are constant"),
        (dict(fresh=()), "no verdict without at least two fresh networks"),
        (dict(fresh=((0.1, 0.1),)), "no verdict without at least two fresh networks"),
        (dict(fresh=((0.1, 0.1), (math.nan, 0.1))), "training of fresh networks diverged"),
        (dict(final=(math.nan, 0.3)), "training diverged on 1 of 2 targets"),
    ],
)
def test_warnings(settings, beginning):
    found = result(**settings)
    assert any(each.startswith(beginning) for each in found.warnings), found.warnings
    assert f"  warning: {beginning}" in str(found)


def test_no_verdict_where_it_would_mean_nothing():
    assert result().warnings == ()
    cases: tuple[dict[str, Any], ...] = (
        dict(fresh=((0.46, 0.46), (0.45, 0.47))),
        dict(fresh=()),
        dict(fresh=((0.1, 0.1), (math.nan, 0.1))),
    )
    for settings in cases:
        assert result(**settings).verdict == "undecided"


def test_one_target_has_no_standard_error():
    one = ProbeResult(
        np.ones(1), np.ones(1), np.ones(1), np.ones([1, 3]),
        FreshNetworks(np.ones([2, 1]), np.ones([2, 1]), np.ones([2, 1, 3])), "one after another",
    )  # fmt: skip
    assert math.isnan(one.standard_error_over_targets)
    assert "nan" not in str(one) and "unknown" in str(one) and "+-" not in str(one)


def test_summary_is_for_people():
    assert str(result(final=(0.9, 0.9))).splitlines() == [
        "This network has lost plasticity: it fits new targets worse than fresh networks do.",
        "  final loss 0.9; a fresh network would end in [0, 0.537] (95 %, one-sided, 3 networks);"
        " percentile 100",
        "  loss of plasticity +0.7 +- 0 (standard error over targets); above 0 is lost",
        "  plasticity b - final loss: -0.4; initial loss 1.5, target variance b 0.5",
        "  area under the curve / b: 0.75, fresh 0.75",
        "  2 targets, 2 steps each, one after another",
    ]


def test_to_dict_holds_numbers_and_arrays_can_be_saved(tmp_path):
    found = result()
    values = found.to_dict()
    assert json.loads(json.dumps(values)) == values
    assert (
        values["loss_of_plasticity"] == found.loss_of_plasticity
        and values["fresh_low"] == found.fresh_interval[0]
    )
    np.savez(tmp_path / "probe.npz", allow_pickle=False, **found.arrays())
    with np.load(tmp_path / "probe.npz") as arrays:
        np.testing.assert_array_equal(arrays["fresh_curves"], found.fresh.curves)


@pytest.mark.parametrize("fresh", [(), ((0.1, 0.1), (0.2, 0.2))])
def test_plot_draws_targets_means_and_the_variance(fresh):
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    assert result(fresh=fresh).plot(ax) is ax
    assert len(ax.lines) == 2 + 1 + bool(fresh) + 1
    np.testing.assert_array_equal(ax.lines[2].get_ydata(), [0.5, 0.25])
