"""Early warnings, from made-up metrics whose correlations are known."""

import numpy as np
import pytest
import scipy.stats

from tests.reports.run_directories import write_run
from tfplastic.reports import published, read_runs
from tfplastic.reports.published import early_warning

LENGTH, TASKS = 10, 60
LAYERS = {
    "dead_units": ("hidden1_relu", "hidden2_relu"),
    "feature_srank": ("hidden1_relu", "hidden2_relu"),
    **dict.fromkeys(("weight_norm", "hessian_rank", "sharpness", "gradient_strength"), ("all",)),
    **dict.fromkeys(("gradient_reliability", "churn"), ("all",)),
}
PLANNED = {f"method{number}": [0] for number in range(4)} | {"other": [0]}


def write(folder, number):
    """The accuracy of task t is in a row at its end; every second task is measured, at its start."""
    noise = np.random.default_rng(number).normal(size=TASKS + 1)
    accuracy = 0.5 + 0.1 * number + 0.01 * noise
    series = {"train/accuracy": [(LENGTH * (task + 1), accuracy[task]) for task in range(TASKS)]}
    for name, layers in LAYERS.items():
        for place, layer in enumerate(layers):
            values = {"dead_units": -accuracy, "feature_srank": accuracy if place else noise * 0}.get(name)
            values = np.random.default_rng(100 + place).normal(size=TASKS + 1) if values is None else values
            points = [
                (LENGTH * task, values[task]) for task in range(0, TASKS + 1, 2)
            ]  # the last without a task
            series[f"next_task/{name}/{layer}"] = points
    write_run(folder / f"method{number}-seed0", 0, series)
    return accuracy[:TASKS:2]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for number in range(4):
        write(folder, number)
    return published.select(read_runs(folder), PLANNED).runs


def test_each_value_goes_with_the_accuracy_of_the_task_that_starts(runs, tmp_path):
    expected = write(tmp_path, 1)
    found = early_warning.series_of(next(run for run in runs if run.arm == "method1"))
    assert found.accuracy == pytest.approx(expected) and list(found.quantities) == list(
        early_warning.QUANTITIES
    )
    assert found.quantities["dead units"] == pytest.approx(-expected)
    assert found.quantities["srank of features"] == pytest.approx(expected)


def test_correlations_within_and_across_methods_are_those_of_scipy(runs):
    found = {run.arm: early_warning.series_of(run) for run in runs}
    correlations, overall = early_warning.within(found), early_warning.across(found)
    for method, each in found.items():
        assert correlations["dead units"][method].value == pytest.approx(-1)
        for title in ("churn", "sharpness"):
            expected = scipy.stats.spearmanr(each.quantities[title], each.accuracy).statistic
            assert correlations[title][method].value == pytest.approx(expected)
    assert overall["srank of features"].value == pytest.approx(1)


def test_the_page_shows_what_is_there_and_what_is_missing(runs, tmp_path):
    text = early_warning.page(runs, PLANNED, figures=tmp_path)
    assert "Not run (4 of 5)." in text and "| other | not run (0 of 1) |" in text
    assert "| dead units | -1.00 (-1.00, -1.00, -1.00, -1.00) | 0 above, 4 below, of 4 |" in text
    assert "(paper/early_warning/method2-seed0)" in text
    assert "![Rank" in text and (tmp_path / "early_warning.png").stat().st_size > 10_000


def test_without_runs_it_has_no_numbers_and_no_figure(tmp_path):
    text = early_warning.page(read_runs(), PLANNED, figures=tmp_path)
    assert "Not run (0 of 5)." in text and text.count("not run (0 of 1)") == 5
    assert "![" not in text and not [*tmp_path.iterdir()]
