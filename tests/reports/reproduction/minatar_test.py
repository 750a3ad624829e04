"""Figs. 7 and 19 to 22 from made-up runs in MinAtar that contradict the paper, or are few."""

import numpy as np
import pytest

from tests.reports.reproduction.made_up_grid import STEPS, minatar_fig07
from tests.reports.run_directories import write_run
from tfplastic.command_line import paper_report
from tfplastic.configuration import gin_files
from tfplastic.reports.reproduction.committed import Committed
from tfplastic.reports.reproduction.results import minatar
from tfplastic.reports.statistics import minatar_scores

FIGURES = {number: getattr(minatar, f"figure_{number}") for number in (7, 19, 20, 21, 22)}
COVARIANCE = "diagnostics/gradient_covariance/all"


@pytest.fixture(scope="module")
def plan():
    return paper_report.planned(gin_files.root() / "docs/paper")[0]


def write(folder, arm, seed, scalars, arrays):
    write_run(folder / "minatar_fig07" / f"{arm}-seed{seed}", seed, scalars, arrays, cpu_time_s=60.0)


def results(folder, plan):
    """Results by figure, and {name: whether the claim holds} of all."""
    found = {number: make(Committed(folder, plan)) for number, make in FIGURES.items()}
    return found, {claim.name: claim.agrees for result in found.values() for claim in result.claims}


def test_what_the_runs_contradict_does_not_agree(tmp_path, plan):
    for arm, seeds in plan["minatar_fig07"].items():
        for seed in seeds:
            scalars, arrays = minatar_fig07(arm, seed)
            normed = arm.endswith("-layer_norm")
            # Layer norm is worse but in freeway, and gradients are the more alike the more an agent improves.
            end = 50.0 if arm == "freeway-layer_norm" else 1.0 + seed if normed else 5.0 + seed
            start = 0.5 * end if normed else 0.9 * end
            scalars["evaluation/episode_return"] = [(0, start), (STEPS, end)]
            scalars["diagnostics/sharpness/all"] = [(STEPS, 10 - end / 10)]
            cosine = 0.9 if normed else 0.1
            arrays[COVARIANCE] = {STEPS: {"matrix": np.eye(6) + cosine * (1 - np.eye(6))}}
            write(tmp_path, arm, seed, scalars, arrays)
    found, claims = results(tmp_path, plan)
    assert claims == dict.fromkeys(
        ("improves", "less_correlated", "collinear", "diagonal", "no_relation"), False
    )
    assert {result.verdict for result in found.values()} == {"not"}
    first = found[7].claims[0].ours
    assert first.startswith("layer normalization improves the return in 1 of 3 games: breakout -")
    freeway = 100 * (50 - 6) / (48 - minatar_scores.RANDOM["freeway"][0])
    assert f"freeway {freeway:+.0f} %" in first
    assert "freeway 0.90 and 0.10" in found[7].claims[1].ours
    assert "failing 0.10 (0.10, 0.10, 0.10), improving 0.90 (0.90, 0.90, 0.90)" in found[19].numbers
    assert "breakout -" in found[21].numbers and "space_invaders -" in found[22].numbers


@pytest.mark.parametrize(("cosine", "agrees"), [(0.3, False), (0.6, True)])
def test_gradients_of_agents_that_fail_must_be_nearly_collinear(tmp_path, plan, cosine, agrees):
    for seed, gain in enumerate((0.1, 0.1, 0.1, 0.9, 0.9, 0.9)):
        scalars, arrays = minatar_fig07("breakout-none", seed)
        scalars["evaluation/episode_return"] = [(0, 1 - gain), (STEPS, 1.0)]
        alike = cosine if gain < 0.5 else 0.1  # less than of those that fail in either case
        arrays[COVARIANCE] = {STEPS: {"matrix": np.eye(6) + alike * (1 - np.eye(6))}}
        write(tmp_path, "breakout-none", seed, scalars, arrays)
    assert results(tmp_path, plan)[1]["collinear"] is agrees


def test_the_table_has_every_number_of_an_arm(tmp_path, plan):
    for arm in ("breakout-none", "breakout-layer_norm"):
        for seed in range(2):
            write(tmp_path, arm, seed, *minatar_fig07(arm, seed))
    found, claims = results(tmp_path, plan)
    (row,) = [line for line in found[7].tables[0].splitlines() if "Layer norm" in line]
    gain = 100 * (7.5 - 5.5) / (9 - minatar_scores.RANDOM["breakout"][0])
    assert row.strip("| ").split(" | ") == [
        *("breakout", "Layer norm", "7.5 (7.0, 8.0)", f"{gain:.0f}", "0.64 (0.63, 0.65)"),
        *("0.30 (0.30, 0.30)", "0.100 (0.100, 0.100)", "0.250 (0.250, 0.250)", "60"),
        "[0](minatar_fig07/breakout-layer_norm-seed0) [1](minatar_fig07/breakout-layer_norm-seed1)",
    ]
    assert found[7].verdict == "agree (4 of 36)" and claims["improves"]
    # Four runs are too few to correlate, and to tell three that fail from three that improve.
    assert {found[number].verdict for number in (19, 20, 21, 22)} == {"not run (4 of 36)"}


def test_without_both_arms_of_a_game_nothing_is_judged(tmp_path, plan):
    assert {result.verdict for result in results(tmp_path, plan)[0].values()} == {"not run (0 of 36)"}
    write(tmp_path, "breakout-c51", 0, *minatar_fig07("breakout-c51", 0))
    found, claims = results(tmp_path, plan)
    assert found[7].verdict == "not run (1 of 36)" and claims["improves"] is None


def test_improvements_are_shares_of_what_is_possible():
    random = minatar_scores.RANDOM["space_invaders"][0]
    weak, strong = ((20.0, 10.0), (50.0, 40.0))  # below and above the published 33
    assert minatar_scores.improvement("space_invaders", *weak) == pytest.approx(10 / (33 - random))
    assert minatar_scores.improvement("space_invaders", *strong) == pytest.approx(10 / (40 - random))
    with pytest.raises(ValueError, match=r"`game` must be one of .* Received: 'asterix'\."):
        minatar_scores.improvement("asterix", 1.0, 0.0)
