"""Figs. 7 and 19 to 22 from made-up runs in MinAtar that contradict the paper, or are few."""

import numpy as np
import pytest
import scipy.stats

from tests.reports.reproduction.made_up_grid import STEPS, minatar_fig07
from tests.reports.run_directories import write_run
from tfplastic.command_line import paper_report
from tfplastic.configuration import gin_files
from tfplastic.reports import style
from tfplastic.reports.reproduction.committed import Committed
from tfplastic.reports.reproduction.results import minatar
from tfplastic.reports.statistics import minatar_scores

FIGURES = {number: getattr(minatar, f"figure_{number}") for number in (7, 19, 20, 21, 22)}
GAMES = ("breakout", "freeway", "space_invaders")
COVARIANCE = "diagnostics/gradient_covariance/all"


@pytest.fixture(scope="module")
def plan():
    return paper_report.planned(gin_files.root() / "docs/paper")[0]


def write(folder, arm, seed, scalars, arrays):
    write_run(folder / "minatar_fig07" / f"{arm}-seed{seed}", seed, scalars, arrays, cpu_time_s=60.0)


def results(folder, plan, numbers=tuple(FIGURES)):
    """Results by figure, and {name: whether the claim holds} of all."""
    committed = Committed(folder, plan)
    found = {number: FIGURES[number](committed) for number in numbers}
    return found, {claim.name: claim.agrees for result in found.values() for claim in result.claims}


def write_all(folder, plan, change, sharpness=None):
    """Writes all runs, with a return at the end and a cosine by `change(game, intervention, seed)`."""
    for arm, seeds in plan["minatar_fig07"].items():
        for seed in seeds:
            scalars, arrays = minatar_fig07(arm, seed)
            end, cosine = change(*arm.split("-"), seed)
            scalars["evaluation/episode_return"] = [(STEPS // 2, end), (STEPS, end)]
            if sharpness is not None:
                scalars["diagnostics/sharpness/all"] = [(STEPS, sharpness(end))]
            arrays[COVARIANCE] = {STEPS: {"matrix": np.eye(6) + cosine * (1 - np.eye(6))}}
            write(folder, arm, seed, scalars, arrays)


def write_pairs(folder, ends):
    """Writes runs of layer norm and of none alone: {game: (ends of layer norm, ends of none)}."""
    for game, pair in ends.items():
        for intervention, values in zip(("layer_norm", "none"), pair, strict=True):
            for seed, end in enumerate(values):
                scalars, arrays = minatar_fig07(f"{game}-{intervention}", seed)
                scalars["evaluation/episode_return"] = [(STEPS, end)]
                write(folder, f"{game}-{intervention}", seed, scalars, arrays)


def test_what_the_runs_contradict_does_not_agree(tmp_path, plan):
    def change(game, intervention, seed):
        """Layer norm is worse but in freeway, and gradients are less alike where agents fail."""
        ends = {"none": 5.0 + seed, "layer_norm": 1.0 + seed, "c51": 0.1, "c51+layer_norm": 5.0 + seed}
        end = 12.0 if (game, intervention) == ("freeway", "layer_norm") else ends[intervention]
        return end, 0.1 if intervention == "c51" or (game, intervention) == ("freeway", "none") else 0.9

    write_all(tmp_path, plan, change, sharpness=lambda end: 10 - end / 10)
    found, claims = results(tmp_path, plan)
    assert claims == dict.fromkeys(
        ("improves", "less_correlated", "collinear", "diagonal", "no_relation"), False
    )
    assert {result.verdict for result in found.values()} == {"not"}
    first = found[7].claims[0].ours
    assert first.startswith("in MinAtar layer normalization improves the return in 1 of 3 games: breakout -")
    freeway = 100 * (12 - 6) / (48 - minatar_scores.RANDOM["freeway"][0])
    assert f"freeway {freeway:+.0f} %" in first
    assert "freeway 0.90 and 0.10" in found[7].claims[1].ours
    assert "failing 0.10 (0.10, 0.10, 0.10), improving 0.90 (0.90, 0.90, 0.90)" in found[19].numbers
    assert "breakout DQN -1.00" in found[21].numbers and "space_invaders C51 -1.00" in found[22].numbers


@pytest.mark.parametrize(
    ("gains", "spread", "agrees"),
    [
        ((2.0, 6.0, 4.0), 0.5, True),
        ((2.0, 6.0, 4.0), 4.0, None),  # too wide
        ((4.0, -0.5, -0.5), 0.5, None),  # clear in the mean, but of one game
        ((0.0, 0.0, 0.0), 0.1, False),
        ((0.0, 0.0, 0.0), 2.0, None),
        ((-2.0, -6.0, -4.0), 0.5, False),
        ((0.0, 0.0, 0.0), 0.0, False),
        ((2.0, 6.0, 4.0), 0.0, True),
    ],
)
def test_layer_norm_improves_where_the_interval_of_the_mean_says_so(tmp_path, plan, gains, spread, agrees):
    none = 10 + spread * np.arange(-1.0, 2.0)
    write_pairs(tmp_path, {game: (none + gain, none) for game, gain in zip(GAMES, gains, strict=True)})
    result = minatar.figure_7(Committed(tmp_path, plan))
    assert result.claims[0].agrees is agrees
    assert result.claims[0].ours.endswith("] (95 %, Welch's interval over seeds, games fixed)")


def test_the_interval_of_the_mean_is_in_the_text(tmp_path, plan):
    ends = {"breakout": 8.0, "freeway": 34.0, "space_invaders": 22.0}
    write_pairs(tmp_path, {game: ((end, end + 1, end + 3), (4.0, 5.0, 6.5)) for game, end in ends.items()})
    means, variances, parts = [], [], []
    for game, end in ends.items():
        scale = minatar_scores.PUBLISHED[game] - minatar_scores.RANDOM[game][0]
        means.append((end + 4 / 3 - 15.5 / 3) / scale)
        for arm in ((0.0, 1.0, 3.0), (4.0, 5.0, 6.5)):
            variances.append(np.var(arm, ddof=1) / 3 / scale**2)
            parts.append(variances[-1] ** 2 / 2)
    half = scipy.stats.t.ppf(0.975, sum(variances) ** 2 / sum(parts)) * sum(variances) ** 0.5 / 3
    low, mean, high = (100 * (np.mean(means) + sign * half) for sign in (-1, 0, 1))
    ours = minatar.figure_7(Committed(tmp_path, plan)).claims[0].ours
    assert f"; mean {mean:+.0f} % [{low:.0f}, {high:.0f}] (95 %" in ours


@pytest.mark.parametrize(("games", "runs"), [(GAMES[:2], 3), (GAMES, 1)])
def test_a_missing_game_and_a_single_seed_leave_figure_7_undecided(tmp_path, plan, games, runs):
    ends = {game: ((30.0, 30.1, 30.2), (3.0, 3.1, 3.2)) for game in games}
    ends["breakout"] = (ends["breakout"][0][:runs], ends["breakout"][1])
    write_pairs(tmp_path, ends)
    result = minatar.figure_7(Committed(tmp_path, plan))
    assert result.claims[0].agrees is None and result.verdict.startswith("not run (")
    assert ("Welch" in result.claims[0].ours) is (runs > 1)


@pytest.mark.parametrize(
    ("clear", "normed", "none", "agrees"),
    [
        ("breakout freeway", 0.5, 0.9, True),
        ("breakout freeway", 0.9, 0.5, False),
        ("breakout freeway", 0.88, 0.9, None),  # within the spread of seeds
        ("", 0.5, 0.9, None),
    ],
)
def test_alignment_counts_in_games_that_layer_norm_clearly_helps_in(
    tmp_path, plan, clear, normed, none, agrees
):
    def change(game, intervention, seed):
        """In the other games gradients are the other way around."""
        is_normed, helps = intervention == "layer_norm", game in clear.split()
        cosine = normed if is_normed == helps else none
        return 5.0 + seed + 30.0 * (is_normed and helps), cosine + 0.05 * seed

    write_all(tmp_path, plan, change)
    claim = minatar.figure_7(Committed(tmp_path, plan)).claims[1]
    assert claim.name == "less_correlated" and claim.agrees is agrees
    assert all((f"{game} 0." in claim.ours) is (game in clear) for game in GAMES)
    assert clear or claim.ours == "it clearly helps in no game with C_k"


def alike(cosine, failing, improving=0.1):
    """Returns and cosines of which the first seeds of a game fail by less than 5 standard errors."""
    random, one_action = minatar_scores.RANDOM["space_invaders"][0], minatar_scores.ONE_ACTION["freeway"][0]

    def change(game, intervention, seed):
        if (game, intervention) == ("space_invaders", "none") and seed < failing:
            return random + 0.4, cosine
        if (game, intervention) == ("breakout", "c51"):
            return 60.0, improving
        return {"freeway": one_action + 4.0}.get(game, random + 1.0), 0.2

    return change


@pytest.mark.parametrize(
    ("cosine", "failing", "agrees"), [(0.3, 3, False), (0.6, 3, True), (0.6, 2, None), (0.6, 0, None)]
)
def test_gradients_of_agents_that_fail_must_be_nearly_collinear(tmp_path, plan, cosine, failing, agrees):
    write_all(tmp_path, plan, alike(cosine, failing))
    found, claims = results(tmp_path, plan, (19, 20))
    assert claims["collinear"] is agrees and claims["diagonal"] is True
    assert "improving 0.10 (0.10, 0.10, 0.10)" in found[19].numbers
    few = (
        f"fewer than three agents fail: {failing} are less than 5 pooled standard errors above the better of"
    )
    assert found[19].numbers.startswith(few) is (failing < 3)
    assert found[19].verdict == {True: "agree", False: "not", None: "undecided"}[agrees]
    names = {19: "space_invaders-none", 20: "breakout-c51"}
    assert len(found[19].drawings) == (failing == 3)
    for number in (19, 20):
        for drawing in found[number].drawings:  # the same runs as the text
            with style.styled():
                titles = [panel.get_title() for panel in drawing.draw(style.new_figure(9, 6)[1]).child_axes]
            assert titles[::5] == [f"minatar_fig07/{names[number]}-seed{seed}" for seed in range(3)]


def test_an_agent_that_is_worse_than_a_single_action_fails(tmp_path, plan):
    usual = alike(0.6, 0)

    def change(game, intervention, seed):
        """One run of freeway is far above random play, and below going up alone."""
        end, cosine = usual(game, intervention, seed)
        return (20.0 if (game, intervention, seed) == ("freeway", "none", 1) else end), cosine

    write_all(tmp_path, plan, change)
    failing, _ = minatar._failing_and_improving(Committed(tmp_path, plan).select(19).runs)
    assert [run.name for run in failing] == ["minatar_fig07/freeway-none-seed1"]


def test_agents_that_improve_and_are_alike_are_not_diagonal(tmp_path, plan):
    write_all(tmp_path, plan, alike(0.6, 3, improving=0.55))
    assert results(tmp_path, plan, [20])[1]["diagonal"] is False


def test_agents_that_fail_are_judged_with_all_runs_alone(tmp_path, plan):
    write_all(
        tmp_path, {"minatar_fig07": dict(plan["minatar_fig07"], **{"breakout-c51": [0, 1]})}, alike(0.6, 3)
    )
    found, claims = results(tmp_path, plan, (19, 20))
    assert not claims and {result.verdict for result in found.values()} == {"not run (35 of 36)"}


def spectra(folder, plan, sharpness, seeds):
    """Writes returns that grow with the seed, with a sharpness by `sharpness(game, intervention, seed)`."""
    for arm in plan["minatar_fig07"]:
        for seed in seeds:
            scalars, arrays = minatar_fig07(arm, seed)
            scalars["diagnostics/sharpness/all"] = [(STEPS, sharpness(*arm.split("-"), seed))]
            write(folder, arm, seed, scalars, arrays)
    return results(folder, plan, (21, 22))[0]


def test_spectra_are_related_to_returns_within_a_head(tmp_path, plan):
    # Both are higher with C51, so that over all runs of a game they go together.
    found = spectra(
        tmp_path,
        plan,
        lambda game, intervention, seed: 100 * ("c51" in intervention) + (seed - 4) ** 2,
        range(9),
    )
    for number, heads in ((21, 4), (22, 2)):
        assert found[number].claims[0].agrees is True
        assert found[number].numbers.count(" 0.00 [") == heads


def test_six_runs_cannot_exclude_a_relation_and_can_show_one(tmp_path, plan):
    def nearly(game, intervention, seed):
        """Rank correlations of 0.89 in the first games, of 1 for C51 in the last."""
        place = 3 * intervention.endswith("layer_norm") + seed
        return place if (game, intervention[:3]) == ("space_invaders", "c51") else (1, 0, 3, 2, 4, 5)[place]

    found = spectra(tmp_path, plan, nearly, range(3))
    assert found[21].numbers.count(" 0.89 [") == 4 and found[21].verdict == "undecided"
    assert found[21].numbers.endswith("; too few runs to exclude a relation")
    assert found[22].verdict == "not" and "too few" not in found[22].numbers


def test_the_table_has_every_number_of_an_arm(tmp_path, plan):
    for arm, seeds in (("breakout-none", 2), ("breakout-layer_norm", 2), ("breakout-c51", 1)):
        for seed in range(seeds):
            write(tmp_path, arm, seed, *minatar_fig07(arm, seed))
    found, claims = results(tmp_path, plan)
    rows = [line.strip("| ").split(" | ") for line in found[7].tables[0].splitlines()[2:]]
    none, normed, c51 = rows
    scale = 9 - minatar_scores.RANDOM["breakout"][0]
    half = 100 * 4.302653 * 0.1 / 2**0.5 / scale  # t of 2 degrees of freedom; s^2 = 0.005 in both arms
    assert normed == [
        *("breakout", "Layer norm", "2.5 (2.5, 2.6)", f"{200 / scale:.0f} ± {half:.0f}"),
        *("0.65 (0.64, 0.65)", "0.30 (0.30, 0.30)", "0.100 (0.100, 0.100)", "0.250 (0.250, 0.250)", "60"),
        "[0](minatar_fig07/breakout-layer_norm-seed0) [1](minatar_fig07/breakout-layer_norm-seed1)",
    ]
    assert none[3] == "–" and c51[3] == f"{100 * 3.95 / scale:.0f} ± –"
    # Runs of one game judge no figure; they are too few to correlate, too.
    assert claims == {"improves": None, "less_correlated": True}
    assert {result.verdict for result in found.values()} == {"not run (5 of 36)"}


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
