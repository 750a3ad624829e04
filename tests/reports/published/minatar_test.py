"""docs/minatar.md from made-up metrics, on both sides of each rule."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.stats

from tests.reports.run_directories import write_run
from tfplastic.command_line import published as program
from tfplastic.reports import published, read_runs, style
from tfplastic.reports.published import minatar
from tfplastic.reports.published.minatar import cells, levers, sequence
from tfplastic.reports.statistics import minatar_scores

ROWS = {row.name: row for row in minatar.PAGE.rows}
GAMES = ("breakout", "freeway", "space_invaders")
TURN = 1_000  # gradient steps
CONFIG = f"GameSequence.games = {[*GAMES]}\n"
RANDOM, RANDOM_ERROR = minatar_scores.RANDOM["breakout"]


@pytest.fixture(scope="module")
def plan():
    """{name: {arm: seeds}} of the committed experiments."""
    found = {name: program.planned(row) for name, row in ROWS.items()}
    return {**found, "minatar_scores": {game: [0, 1, 2] for game in GAMES}}  # the experiment has one seed


def judge(name, folder, plan):
    found, verdict = published.judged(ROWS[name], published.selection(ROWS[name], folder, plan[name]))
    return [claim.agrees for claim in found.claims], verdict, found


def page(folder, plan, name):
    """The page with one of its sections."""
    return published.build(dataclasses.replace(minatar.PAGE, rows=[ROWS[name]]), folder, plan)


def line(text, *cells_of_line):
    """The cells of the one line of a table that begins with these."""
    lines = [each.strip("| ").split(" | ") for each in text.splitlines() if each.startswith("|")]
    (found,) = [each for each in lines if each[: len(cells_of_line)] == [*cells_of_line]]
    return found


def write_scores(folder, **returns):
    for game, values in returns.items():
        for seed, value in enumerate(values):
            path = folder / "minatar_scores" / f"{game}-seed{seed}"
            write_run(path, seed, {cells.RETURN: [(1_000, 0.5), (995_000, value)]}, cpu_time_s=1_800)


@pytest.mark.parametrize(
    ("returns", "claims", "verdict"),
    [  # within 2.25, 12 and 8.25 of 9, 48 and 33, the bounds included
        ([(6.0, 6.75, 7.5), (60, 60, 60), (24.75, 41.25, 33)], [True, True, True], "agree"),
        ([(6.74, 6.74, 6.74), (60.1, 60.1, 60.1), (24, 24, 24)], [False, False, False], "not"),
        ([(9, 9, 9), (30, 48, 48), (50, 50, 50)], [True, True, False], "partly"),
        ([(9,), (), ()], [True, None, None], "agree (1 of 9)"),
        ([(), (48,), ()], [None, True, None], "not run (1 of 9)"),
    ],
)
def test_scores_agree_within_a_quarter_of_the_published_ones(returns, claims, verdict, tmp_path, plan):
    write_scores(tmp_path, **dict(zip(GAMES, returns, strict=True)))
    assert judge("minatar_scores", tmp_path, plan)[:2] == (claims, verdict)


def test_a_score_of_one_seed_says_so_and_every_game_counts_its_runs(tmp_path, plan):
    write_scores(tmp_path, breakout=(8.0,), freeway=(40.0, 50.0))
    text = page(tmp_path, plan, "minatar_scores").text
    assert line(text, "breakout") == ["breakout", "9", "8.0 (one seed)", "not run (1 of 3)"]
    assert line(text, "freeway") == ["freeway", "48", "45.0 (40.0, 50.0)", "not run (2 of 3)"]
    assert line(text, "space_invaders") == ["space_invaders", "33", "–", "not run (0 of 3)"]
    assert line(text, "breakout 9 ± 2.25") == ["breakout 9 ± 2.25", "8.0 (one seed)", "yes"]
    first = line(text, "Scores of DQN at 1M frames")
    assert first[3:] == [
        "breakout 8.0 (one seed); freeway 45.0 (40.0, 50.0)",
        *("agree (3 of 9)", "make published NAME=minatar_scores", "30 min"),
    ]
    assert "[1](paper/minatar_scores/freeway-seed1)" in text


def sequence_run(path, seed, fresh, last, first_cycle, second_cycle, relearned=None):
    """Metrics of two cycles: returns by game, probes that rise evenly, evaluations at the end of turns.

    A fresh network's probe loss rises by half as much as that of the run, whose observations change.
    """
    steps = range(250, 6 * TURN + 1, 250)
    scalars = {cells.RETURN: [(step, 1.0) for step in steps]}
    scalars["sequence/turn"] = [(step, (step - 1) // TURN) for step in steps]
    scalars["probe/final_loss"] = [
        (TURN * turn, loss) for turn, loss in enumerate(np.linspace(fresh, last, 7))
    ]
    scalars["probe/fresh_final_loss"] = [
        (TURN * turn, loss) for turn, loss in enumerate(np.linspace(fresh, (fresh + last) / 2, 7))
    ]
    for form in ("final_loss", "fresh_final_loss"):
        scalars[f"probe/standardized_{form}"] = scalars[f"probe/{form}"]
        scalars[f"probe/{form}"] = [(step, -2 * value) for step, value in scalars[f"probe/{form}"]]
    for place, game in enumerate(GAMES):
        for cycle, value in ((0, first_cycle[place]), (1, second_cycle[place])):
            start = TURN * (3 * cycle + place)
            steps = range(start + 250, start + TURN + 1, 250)
            tag = f"sequence/{game}/episode_return_of_cycle_{cycle + 1}"
            scalars[tag] = [(step, value * (step - start) / TURN) for step in steps]
        # After each turn of another game: 1 more with each, and 100 in the second cycle.
        scalars[f"evaluation/{game}/forgetting"] = [
            (TURN * (turn + 1), turn - place + (100 if turn > place + 3 else 0))
            for turn in range(place + 1, 6)
            if turn != place + 3
        ]
        if relearned:
            scalars[f"sequence/{game}/relearning_steps"] = [(TURN * (3 + place) + 500, relearned)]
    write_run(path, seed, scalars, config=CONFIG, cpu_time_s=60)


def write_sequences(folder, **arms):
    """Arms {name: (probe losses at the end by seed, returns of the second cycle)}; a fresh one has 0.1.

    Returns are those of all seeds, or a list for each.
    """
    for arm, (losses, returns) in arms.items():
        for seed, last in enumerate(losses):
            path = folder / "minatar_sequence" / f"{arm}-seed{seed}"
            relearned = None if seed == 2 else 4_000 + 1_000 * seed
            second = returns[seed] if isinstance(returns, list) else returns
            sequence_run(path, seed, 0.1 + 0.001 * seed, last, (5.0, 6.0, 7.0), second, relearned)


HIGH, LOW = (9.0, 9.0, 2.0), (8.0, 8.0, 8.0)
MIXED = [(9.0, 9.0, 9.0), (9.0, 9.0, 7.0), (7.0, 7.0, 9.0)]  # a higher mean than `LOW`, but not clearly


@pytest.mark.parametrize(
    ("none", "projected", "claims"),
    [
        (((0.4, 0.41, 0.42), LOW), ((0.1, 0.11, 0.12), HIGH), [True, True, True]),
        (((0.08, 0.081, 0.08), HIGH), ((0.3, 0.31, 0.32), LOW), [False, False, False]),
        # Increases .05, .2, .15, with an interval of .19; .05 less without and with, with one of .22
        (((0.2, 0.5, 0.4), LOW), ((0.2, 0.3, 0.3), MIXED), [None, None, None]),
    ],
)
def test_sequences_by_their_three_statements(none, projected, claims, tmp_path, plan):
    write_sequences(tmp_path, none=none, normalize_and_project=projected)
    found, verdict, _ = judge("minatar_sequence", tmp_path, plan)
    word = {True: "agree", False: "not", None: "not run"}[claims[0]]
    assert (found, verdict) == (claims, f"{word} (6 of 12)")


def test_a_network_that_is_nan_is_not_left_out_of_a_test(tmp_path, plan):
    for last, expected in ((math.nan, None), (0.42, True)):
        folder = tmp_path / str(last)
        write_sequences(folder, none=((0.4, 0.41, last), LOW))
        assert judge("minatar_sequence", folder, plan)[0][0] is expected


def test_the_sequences_show_each_game_and_each_switch(tmp_path, plan):
    write_sequences(tmp_path, none=((0.4, 0.4, 0.7), LOW))
    built = page(tmp_path, plan, "minatar_sequence")
    assert line(built.text, "none", "freeway") == [
        *("none", "freeway", "6.0 (6.0, 6.0, 6.0)", "8.0 (8.0, 8.0, 8.0)"),
        "4500 (4000, 5000); missed in 1 of 3",
        *("2.0 (2.0, 2.0, 2.0)", "3"),  # two turns after its own, not one, and not in the second cycle
    ]
    assert "| redo |  |  |  |  |  | not run (0 of 3) |" in built.text
    switches = [f"after {game}, cycle {cycle}" for cycle in (1, 2) for game in GAMES]
    assert built.text.count(f"| method | {' | '.join(switches)} | runs |") == 2
    probes = line(built.text, "none", "0.033 (0.025, 0.025, 0.050)")  # a sixth of the way
    assert probes[-2:] == ["0.200 (0.150, 0.150, 0.299)", "3"]
    plain = line(built.text, "none", "-0.067 (-0.100, -0.050, -0.050)")
    assert plain[-2:] == ["-0.399 (-0.598, -0.300, -0.299)", "3"]
    (drawing,) = built.drawings
    assert f"![{drawing.caption}](minatar_sequence.png)" in built.text
    with style.styled():
        figure, ax = style.new_figure(*drawing.size)
        assert [panel.get_title() for panel in drawing.draw(ax).child_axes] == [
            *("return of training", "loss at the end of the probe"),
        ]
        figure.draw_without_rendering()


def test_a_game_without_an_episode_and_a_second_turn_has_no_numbers(tmp_path):
    scalars = {
        "sequence/turn": [(250, 0), (1_000, 0), (1_250, 1), (2_000, 1), (2_250, 2), (3_000, 2)],
        "sequence/breakout/episode_return_of_cycle_1": [(250, 1.0), (1_000, 3.0)],
        "evaluation/breakout/forgetting": [(2_000, 0.5), (3_000, 0.75)],
    }
    write_run(tmp_path / "none-seed0", 0, scalars, config=CONFIG)
    write_run(tmp_path / "none-seed1", 1, {"a": [(1, 1.0)]}, config=CONFIG)
    run, other = read_runs(tmp_path)
    assert sequence.turn_ends(run) == [1_000, 2_000, 3_000] and sequence.turn_ends(other) == []
    assert sequence.forgetting(run, "breakout") == 0.75 and sequence.return_of(run, "breakout", 1) == 3
    nothing = (sequence.forgetting(run, "freeway"), sequence.return_of(run, "freeway", 1))
    nothing += (sequence.relearning_steps(run, "breakout"), sequence.forgetting(other, "breakout"))
    assert np.isnan(nothing).all()


METHODS = (
    *("none", "layer_norm", "redo", "reset_last_layer", "reset_last_layer_by_steps"),
    *("shrink_and_perturb", "shrink_and_perturb_by_steps"),
)


def write_ratios(folder, dormant, returns, seeds=3):
    """Dormant units by ratio (none of the channels), returns by arm, spread evenly over seeds."""
    for ratio, share in dormant.items():
        for method in METHODS:
            for seed in range(seeds):
                apart = 0.02 * (seed - 1)
                scalars = {
                    "diagnostics/dormant_units/conv1_relu": [(0, 0.9), (95_000, 0.0)],
                    "diagnostics/dormant_units/dense_relu": [(0, 0.9), (95_000, 9 / 8 * (share + apart))],
                    "probe/final_loss": [(0, 0.125), (95_000, 0.25)],
                    "probe/standardized_final_loss": [(0, 0.125), (95_000, 0.2)],
                    cells.RETURN: [(95_000, returns.get(f"{ratio}-{method}", 2.0) + 10 * apart)],
                }
                path = folder / "minatar_replay_ratio" / f"{ratio}-{method}-seed{seed}"
                write_run(path, seed, scalars, cpu_time_s=60)


GROWS = {"quarter": 0.1, "one": 0.2, "four": 0.3}
BY_STEPS = "shrink_and_perturb_by_steps"


@pytest.mark.parametrize(
    ("dormant", "returns", "claims", "verdict"),
    [
        (GROWS, {"four-reset_last_layer": 4.0, f"four-{BY_STEPS}": 4.0}, [True, True, True], "agree"),
        # Intervals of 0.45 and, of four means, 0.53.
        (GROWS, {f"four-{BY_STEPS}": 1.5, "four-none": 0.0}, [True, True, False], "partly"),  # less is lost
        (GROWS, {"four-reset_last_layer": 2.1, f"four-{BY_STEPS}": 2.5}, [True, None, None], "agree"),
        (GROWS, {f"four-{BY_STEPS}": 4.0, "four-none": 4.0}, [True, False, None], "partly"),  # both grow
        (GROWS, {f"four-{BY_STEPS}": 4.0, "four-none": 5.0}, [True, False, False], "partly"),
        (GROWS, {f"quarter-{BY_STEPS}": 1.0}, [True, None, True], "agree"),
        ({"quarter": 0.3, "one": 0.2, "four": 0.1}, {"four-none": 4.0}, [False] * 3, "not"),
        ({"quarter": 0.1, "one": 0.3, "four": 0.11}, {}, [None, None, None], "undecided"),
    ],
)
def test_the_three_statements_on_replay_ratios(dormant, returns, claims, verdict, tmp_path, plan):
    write_ratios(tmp_path, dormant, returns)
    assert judge("minatar_replay_ratio", tmp_path, plan)[:2] == (claims, verdict)


def test_replay_ratios_have_every_number_and_one_seed_says_nothing(tmp_path, plan):
    write_ratios(tmp_path / "3", GROWS, {"four-redo": 4.0})
    text = page(tmp_path / "3", plan, "minatar_replay_ratio").text
    assert line(text, "4", "redo") == [
        *("4", "redo", "0.300 (0.280, 0.300, 0.320)", "4.0 (3.8, 4.0, 4.2)"),
        *("0.125 (0.125, 0.125, 0.125)", "0.250 (0.250, 0.250, 0.250)"),
        *("0.125 (0.125, 0.125, 0.125)", "0.200 (0.200, 0.200, 0.200)", "3"),
    ]
    write_ratios(tmp_path / "1", GROWS, {}, seeds=1)
    claims, verdict, found = judge("minatar_replay_ratio", tmp_path / "1", plan)
    assert (claims, verdict) == ([None, None, None], "not run (21 of 63)")
    assert found.claims[0].ours == "1/4: 0.080, 1: 0.180, 4: 0.280"


def write_agent(folder, name, agent, distances, error=0.5, early=50.0, **status):
    """Evaluations half way and at the end, those by so many pooled standard errors above random play."""
    for seed, distance in enumerate(distances):
        above = distance * (error**2 + RANDOM_ERROR**2) ** 0.5
        scalars = {
            "evaluation/episode_return": [(50, early), (100, RANDOM + above)],
            "evaluation/episode_return_stderr": [(50, 0.1), (100, error)],
        }
        write_run(folder / name / f"{agent}-seed{seed}", seed, scalars, **{"cpu_time_s": 600, **status})


@pytest.mark.parametrize(
    ("distances", "agrees", "verdict"),
    [
        ((5.001, 7, 9), True, "agree"),
        ((4.999, 7, 9), False, "not"),
        ((7, 9), None, "not run (2 of 3)"),
        ((7, 4), False, "not (2 of 3)"),
    ],
)
def test_an_agent_learns_if_three_seeds_are_above_random_play(distances, agrees, verdict, tmp_path, plan):
    write_agent(tmp_path, "minatar_ppo", "ppo", distances)
    claims, found, _ = judge("minatar_ppo", tmp_path, plan)
    assert (claims, found) == ([agrees], verdict)


@pytest.mark.parametrize(
    ("seconds", "early", "minutes", "agrees"),
    [
        (1_790, 50.0, "14.9 (14.9, 14.9, 14.9)", True),  # above from half of the run on
        (1_810, 50.0, "15.1 (15.1, 15.1, 15.1)", False),
        (890, 0.5, "14.8 (14.8, 14.8, 14.8)", True),  # at the end alone
        (910, 0.5, "15.2 (15.2, 15.2, 15.2)", False),
    ],
)
def test_an_agent_has_to_learn_within_fifteen_minutes(seconds, early, minutes, agrees, tmp_path, plan):
    write_agent(tmp_path, "minatar_ppo", "ppo", (8, 8, 8), cpu_time_s=seconds, early=early)
    assert judge("minatar_ppo", tmp_path, plan)[0] == [agrees]
    assert line(page(tmp_path, plan, "minatar_ppo").text, "ppo")[3] == minutes


def test_without_a_processor_time_nothing_is_said_of_the_minutes(tmp_path, plan):
    write_agent(tmp_path, "minatar_ppo", "ppo", (8, 8, 8), cpu_time_s=None, wall_time_s=None)
    assert judge("minatar_ppo", tmp_path, plan)[0] == [None]


def test_each_agent_of_the_experiment_has_a_statement(tmp_path, plan):
    for agent in plan["minatar_agents"]:
        write_agent(tmp_path, "minatar_agents", agent, (8, 9, 3 if agent == "noisy" else 10))
    claims, verdict, found = judge("minatar_agents", tmp_path, plan)
    assert [claim.name for claim in found.claims] == [*plan["minatar_agents"]]
    assert verdict == "partly" and claims.count(False) == 1 and claims.count(True) == 6
    text = page(tmp_path, plan, "minatar_agents").text
    assert line(text, "noisy")[2:] == ["6.7 (3.0, 8.0, 9.0)", "inf (5.0, 5.0, inf)", "3"]
    shown = [claim.ours for claim in found.claims if claim.name == "noisy"]
    assert shown == ["2 of 3 are; at the end by 6.7 (3.0, 8.0, 9.0)"]


@pytest.mark.parametrize(
    ("bfloat16", "one", "claims", "verdict"),
    [  # `cpu` has 4, 4.1 and 4.2, 3.6 over random play: from 2.3 to 5.9 agree if they are clearly within
        ((2.7, 2.8, 2.9), (5.4, 5.5, 5.6), [True, True], "agree"),
        ((2.2, 2.3, 2.4), (5.8, 5.9, 6.0), [False, False], "not"),
        ((2.0, 4.0, 6.0), (3.9, 4.1, 4.3), [None, True], "undecided"),
        ((4.1,), (5.8, 5.9, 6.0), [None, False], "not run (7 of 9)"),
        ((), (), [None, None], "not run (3 of 9)"),
    ],
)
def test_levers_agree_where_as_much_is_learned(bfloat16, one, claims, verdict, tmp_path, plan):
    for arm, values in {"cpu": (4.0, 4.1, 4.2), "bfloat16": bfloat16, "one_environment": one}.items():
        for seed, value in enumerate(values):
            scalars = {cells.RETURN: [(10, value)], "evaluation/episode_return": [(10, value + 1.0)]}
            write_run(tmp_path / f"minatar_levers/{arm}-seed{seed}", seed, scalars)
    assert judge("minatar_levers", tmp_path, plan)[:2] == (claims, verdict)
    text = page(tmp_path, plan, "minatar_levers").text
    assert line(text, "cpu") == ["cpu", "4.1 (4.0, 4.1, 4.2)", "5.1 (5.0, 5.1, 5.2)", "3"]


@pytest.mark.parametrize("seed", range(4))
def test_levers_are_compared_by_two_one_sided_tests(seed):
    """Half of the baseline's gain over random play is a scaled sample of its own."""
    generator = np.random.default_rng(seed)
    values, without = generator.normal(2.6 + 0.5 * seed, 0.4, 3), generator.normal(3.5, 0.4, 3)
    gains = values - RANDOM, without - RANDOM
    sides = [
        scipy.stats.ttest_ind(gains[0], share * gains[1], equal_var=False, alternative=side).pvalue < 0.05
        for share, side in ((0.5, "greater"), (1.5, "less"))
    ]
    assert (levers.is_as_good(values, without) is True) == all(sides)


def test_damaged_runs_are_named_and_the_others_are_shown(tmp_path, plan):
    write_sequences(tmp_path, none=((0.4, 0.4, 0.4), LOW), redo=((0.3, 0.3, 0.3), HIGH))
    folder = tmp_path / "minatar_sequence"
    (folder / "none-seed1/metrics.csv").write_bytes(b"\x93NUMPY")
    (folder / "none-seed2/status.json").write_text("{")
    lines = (folder / "redo-seed0/metrics.csv").read_text().splitlines(keepends=True)
    kept = [each for each in lines if "probe/" not in each]
    (folder / "redo-seed0/metrics.csv").write_text("".join(kept))
    built = page(tmp_path, plan, "minatar_sequence")
    (named,) = [each for each in built.text.splitlines() if each.startswith("Left out as damaged: ")]
    first, second, third = named.removeprefix("Left out as damaged: ").split("; ")
    assert first.startswith("none-seed1: metrics.csv cannot be read:")
    assert second.startswith("none-seed2: status.json cannot be read:")
    assert third == "redo-seed0: metrics.csv has no probe/final_loss."
    assert line(built.text, "none", "breakout")[-1] == "not run (1 of 3)"
    assert line(built.text, "redo", "breakout")[2:4] == ["5.0 (5.0, 5.0)", "9.0 (9.0, 9.0)"]
    assert line(built.text, "Sequences of games")[4] == "not run (3 of 12)" and len(built.drawings) == 1


def test_without_runs_every_section_states_what_is_judged_and_what_is_missing(tmp_path, plan):
    built = published.build(minatar.PAGE, tmp_path, plan)
    assert not built.drawings and "| yes |" not in built.text and "| no |" not in built.text
    for name, row in ROWS.items():
        of = sum(map(len, plan[name].values()))
        assert line(built.text, row.title)[3:6] == ["", f"not run (0 of {of})", f"make published NAME={name}"]
        assert f"Experiment: `{row.experiment}`; `make published NAME={name}` makes its runs." in built.text
        assert all(f"| {claim.paper} | – | – |" in built.text for claim in row.judge(read_runs()).claims)


@pytest.mark.parametrize("seed", range(6))
def test_clear_differences_are_those_of_welch(seed):
    generator = np.random.default_rng(seed)
    ours, theirs = generator.normal(2.0, 1.0, 3), generator.normal(0.0, 2.0, 4)
    test = scipy.stats.ttest_ind(ours, theirs, equal_var=False)
    expected = None if test.pvalue >= 0.05 else bool(test.statistic > 0)
    assert cells.is_clearly_above(ours, theirs) is expected
    assert cells.is_clearly_above(ours[:1], theirs) is None
    one = scipy.stats.ttest_1samp(ours, 0)
    expected = None if one.pvalue >= 0.05 else bool(one.statistic > 0)
    assert cells.is_clearly_positive(ours) is expected and cells.is_clearly_positive(ours[:1]) is None


def test_means_that_do_not_vary_differ_clearly_and_equal_ones_do_not():
    ours, theirs = np.ones(3), np.zeros(3)
    assert cells.is_clearly_above(ours, theirs) is True and cells.is_clearly_above(theirs, ours) is False
    assert cells.is_clearly_above(ours, ours) is False and cells.is_clearly_positive(ours) is True
