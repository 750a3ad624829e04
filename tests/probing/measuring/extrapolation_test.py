"""Curves that are the reference at another speed end where they should."""

import numpy as np
import pytest

from tfplastic.probing import FreshNetworks, ProbeResult
from tfplastic.probing._measuring.extrapolation import at_full_length, extrapolated

STEPS = np.arange(2_000)


def falling(steps):
    return 0.5 / (1 + steps / 200)


@pytest.mark.parametrize("speed", [0.3, 0.7, 1.0, 2.0])
def test_another_speed(speed):
    curve = falling(speed * STEPS[:500])
    assert extrapolated(curve, falling(STEPS)) == pytest.approx(falling(speed * 2_000), rel=0.1)


def test_noise_is_averaged():
    generator = np.random.default_rng(0)
    curves = falling(0.5 * STEPS[:500]) * generator.uniform(0.5, 1.5, [20, 500])
    found = extrapolated(curves, falling(STEPS) * generator.uniform(0.9, 1.1, 2_000))
    assert found.shape == (20,)
    np.testing.assert_allclose(found, falling(1_000), rtol=0.2)


def test_a_level_that_fresh_networks_never_had_stays():
    assert extrapolated(np.full(500, 0.7), falling(STEPS)) == pytest.approx(0.7)


def test_curves_of_all_steps_end_where_they_end():
    assert extrapolated(falling(0.8 * STEPS), falling(STEPS)) == pytest.approx(falling(1_600), rel=0.1)


def test_a_curve_from_far_above_goes_on_by_itself_to_where_fresh_networks_begin():
    curves = np.array([[8_000.0], [4_000.0], [400.0]]) / (1 + STEPS[:500])  # 4, 2 and 0.2 in the end
    found = extrapolated(curves, falling(STEPS))  # fresh networks begin at 0.5
    np.testing.assert_allclose(found, [4.0, 2.0, 0.5], rtol=0.05)


def test_what_diverges_stays_diverged():
    curves = np.stack([falling(STEPS[:500]), np.where(STEPS[:500] < 400, 0.3, np.nan), np.full(500, np.inf)])
    found = extrapolated(curves, falling(STEPS))
    assert np.isfinite(found[0]) and np.isnan(found[1]) and found[2] == np.inf


def test_a_fresh_network_that_diverges_is_no_reference():
    whole = np.stack([falling(STEPS)[None], falling(STEPS)[None], np.where(STEPS < 900, 0.3, np.nan)[None]])
    fresh = FreshNetworks(whole[..., 0], whole[..., -1], whole)
    curves = falling(0.5 * STEPS[:500])[None]
    given = ProbeResult(curves[:, 0], curves[:, -1], np.full(1, 0.5), curves, fresh, "one after another")
    assert at_full_length(given).final_loss == pytest.approx(falling(1_000), rel=0.1)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_few_steps(steps):
    assert np.isfinite(extrapolated(falling(STEPS[:1]), falling(STEPS[:steps])))
