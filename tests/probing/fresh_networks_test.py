"""Shares of fresh networks that a probe calls other than fresh, from committed losses of 64 of each kind."""

import pathlib
import re

import numpy as np
import pytest
from scipy import stats

from benchmarks import fresh_networks
from tfplastic.probing import Probe

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "plasticity" / "fresh_networks.csv"


def oracle(losses, draws, seed):
    """The prediction interval by its formula in float64, one-sided where it would begin below zero."""
    generator, shares = np.random.default_rng(seed), []
    for _ in range(draws):
        order = generator.permutation(losses)
        known, others = order[:8], order[8:]
        mean, scale = known.mean(), known.std(ddof=1) * (1 + 1 / 8) ** 0.5
        low, high = mean + stats.t.ppf([0.025, 0.975], 7) * scale
        if low < 0:
            low, high = -np.inf, mean + stats.t.ppf(0.95, 7) * scale
        shares.append(1 - np.mean((others >= low) & (others <= high)))
    return shares


@pytest.mark.parametrize("mean", [0.05, 1.0])  # one-sided intervals in some draws, and in none
def test_shares_are_those_of_the_formula(mean):
    losses = np.abs(np.random.default_rng(3).normal(mean, 0.02, 40))
    shares = fresh_networks.other_verdicts(losses, draws=50, seed=7)
    np.testing.assert_allclose(shares, oracle(losses, 50, 7), rtol=0, atol=1e-12)
    assert 0 < np.mean(shares) < 0.2


def test_the_written_table_is_read_again(tmp_path):
    found = {"MLP": np.array([[2.5, 0.125, 0.5], [2.25, 0.25, 0.5]]), "CNN": np.array([[1.0, 0.75, 0.5]])}
    fresh_networks.write(tmp_path / "table.csv", found)
    again = fresh_networks.read(tmp_path / "table.csv")
    assert list(again) == ["MLP", "CNN"]
    for name, values in found.items():
        np.testing.assert_array_equal(again[name], values)


def test_the_documents_have_the_numbers_of_the_committed_table():
    found = fresh_networks.read(TABLE)
    page = " ".join((ROOT / "docs" / "plasticity.md").read_text(encoding="utf-8").split())
    shares = {
        name: fresh_networks.other_verdicts(values[:, 1]) for name, values in found.items() if len(values) > 1
    }
    means = [f"{100 * each.mean():.1f}" for each in shares.values()]
    assert len(means) == 3
    listed = f"{means[0]}, {means[1]} and {means[2]} %"
    assert listed in page
    assert listed in " ".join(str(Probe.__doc__).split())
    losses = [float(each) for each in re.findall(r"at (0\.\d{3}) with", page)]
    sizes = [found[fresh_networks.size_name(*each)][0, 1] for each in fresh_networks.SIZES]
    np.testing.assert_allclose(losses, sizes, rtol=0, atol=5e-4)
