"""Wrong arguments of the functions of reports: one line with argument, rule and the value received."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.contracts.wrong_values import HUGE
from tfplastic import reports
from tfplastic.reports import aggregate

NAN, BEYOND = float("nan"), 10**400
RUNS = {"Pong": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]}
ARMS = pd.DataFrame({"arm": ["cnn-none"]})
CURVES = np.ones((7, 3))
POINTS = pd.DataFrame({"rank": [1.0], "net": ["a"], "plasticity_loss": [1.0]})
NO_NUMBERS: tuple[Any, ...] = ("x", np.array(["a"]), {"a": 1.0}, [[1.0], [1.0, 2.0]], [object()], BEYOND)
NO_SCORES: tuple[Any, ...] = (5, NAN, None, "x", b"x", object(), [], {"Pong": []}, {"Pong": "x"}, int)
NO_FRAME: tuple[Any, ...] = (5, None, "x", {}, [], np.ones(3), pd.DataFrame)

# (function, arguments that fit, the argument that is wrong, its values)
ROWS: list[tuple[Callable[..., Any], dict[str, Any], str, tuple[Any, ...]]] = [
    *((each, {}, "scores", NO_SCORES) for each in (aggregate.mean, aggregate.interquartile_mean)),
    (aggregate.bootstrap, {"statistic": aggregate.mean}, "scores", NO_SCORES),
    (aggregate.bootstrap, {"scores": RUNS}, "statistic", (5, "mean", None, int)),
    (aggregate.bootstrap, {"scores": RUNS, "statistic": aggregate.mean}, "seed", (-1, 0.5, NAN, "x", True)),
    (
        aggregate.bootstrap,
        {"scores": RUNS, "statistic": aggregate.mean},
        "num_resamples",
        (0, NAN, HUGE, BEYOND),
    ),
    (aggregate.bootstrap, {"scores": RUNS, "statistic": aggregate.mean}, "confidence", (2, NAN, BEYOND)),
    (aggregate.optimality_gap, {"scores": RUNS}, "gamma", ("x", None, [1.0], NAN, BEYOND)),
    (aggregate.probability_of_improvement, {"baseline": RUNS}, "scores", (5, None, "x", [RUNS], NAN)),
    (aggregate.probability_of_improvement, {"scores": RUNS}, "baseline", (5, None, "x", {}, {"Pong": "x"})),
    (aggregate.performance_profile, {"scores": RUNS}, "thresholds", (*NO_NUMBERS, 0.5, None)),
    (aggregate.band, {"curves": CURVES}, "num_resamples", (0, HUGE, BEYOND)),
    (aggregate.band, {}, "curves", (*NO_NUMBERS, None, 1.0, [], [1.0])),
    (aggregate.student_t, {}, "runs", (*NO_NUMBERS, None, 1.0, [], CURVES)),
    (aggregate.band_name, {}, "num_runs", (3, "x", b"x", None, [None], [0.5], {})),
    (reports.human_normalized, {"game": "Pong"}, "score", ("x", None, True, BEYOND)),
    (reports.human_normalized, {"score": 1.0}, "game", ("pong", 5, None, [], np.ones(2))),
    (reports.improvement, {"game": "Pong", "score": 1.0}, "baseline", ("x", None, BEYOND)),
    (reports.paper_numbers, {}, "figure", (-1, 1, "7", NAN, [7], np.ones(2))),
    (reports.missing_cells, {}, "ours", (*NO_FRAME, ARMS)),
    (reports.agreement, {}, "ours", (*NO_FRAME, ARMS)),
    (reports.agreement, {"ours": reports.paper_cells()}, "paper", (5, "x", ARMS)),
    (reports.agreement, {"ours": reports.paper_cells()}, "num_runs", (0, BEYOND)),
    (reports.agreement, {"ours": reports.paper_cells()}, "num_simulations", (0, HUGE)),
    (reports.correlations, {"statistics": ["rank"], "splits": ["net"]}, "points", (*NO_FRAME, ARMS)),
    (reports.correlations, {"points": POINTS, "splits": ["net"]}, "statistics", (5, None, "rank")),
    (
        reports.correlations,
        {"points": POINTS, "statistics": ["rank"], "splits": ["net"]},
        "outcome",
        (5, None, []),
    ),
    (reports.verdicts, {}, "correlations", (*NO_FRAME, ARMS)),
    (reports.with_factors, {"factors": ["a", "b"]}, "rows", (*NO_FRAME, POINTS)),
    (reports.with_factors, {"rows": ARMS}, "factors", (5, None, "ab", b"ab")),
    (reports.probe_losses, {}, "runs", (5, None, "docs", ARMS)),
    (lambda paths: reports.read_runs(paths), {}, "paths", (5, None, [], "/no/such/directory")),
    (lambda expected: reports.read_runs(expected=expected), {}, "expected", (5, "x", [1])),
    (reports.style.new_figure, {}, "width", (0, -1, NAN, "x", None)),
]


@pytest.mark.parametrize(
    ("function", "fitting", "name", "values"), ROWS, ids=[f"{row[0].__name__}.{row[2]}" for row in ROWS]
)
def test_a_wrong_argument_is_refused_in_one_line(function, fitting, name, values):
    for value in values:
        with pytest.raises((TypeError, ValueError)) as error:
            function(**fitting, **{name: value})
        text = str(error.value)
        assert text.startswith(f"`{name}` must ") and "Received: " in text and "\n" not in text, (value, text)


def test_infinite_and_missing_scores_are_numbers():
    assert reports.human_normalized("Pong", float("inf")) == float("inf")
    assert np.isnan(reports.improvement("Pong", NAN, 1.0))
    assert reports.human_normalized("Pong", np.float32(14.6)) == pytest.approx(1, abs=1e-6)
    scores = {"Pong": [float("inf"), 1, 2, 3, 4, 5, 6]}
    assert aggregate.bootstrap(scores, aggregate.mean).point == float("inf")
    assert np.isnan(aggregate.student_t(scores["Pong"]).low)
    assert np.isnan(aggregate.student_t([1.0, None]).point)
