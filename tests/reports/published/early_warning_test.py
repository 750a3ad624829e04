"""Early warnings, from made-up metrics whose correlations are known."""

import re

import numpy as np
import pytest
import scipy.stats

from tests.reports.run_directories import write_run
from tfplastic.reports import published, read_runs
from tfplastic.reports.published import early_warning, early_warning_series, measures

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
    return accuracy[:TASKS]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for number in range(4):
        write(folder, number)
    return published.select(read_runs(folder), PLANNED).runs


def test_each_value_goes_with_the_accuracy_of_the_task_that_starts(runs, tmp_path):
    expected = write(tmp_path, 1)
    found = early_warning_series.series_of(next(run for run in runs if run.arm == "method1"))
    measured = expected[2::2]  # the first task is left out
    assert found.accuracy == pytest.approx(measured) and found.before == pytest.approx(expected[1:-1:2])
    assert list(found.quantities) == list(early_warning_series.QUANTITIES)
    assert found.quantities["dead units"] == pytest.approx(-measured)
    assert found.quantities["srank of features"] == pytest.approx(measured)
    assert found.fall == pytest.approx(measures.fall(expected))


def test_correlations_within_and_across_methods_are_those_of_scipy(runs):
    found = {run.arm: early_warning_series.series_of(run) for run in runs}
    correlations, overall = early_warning_series.within(found), early_warning_series.across(found)
    for method, each in found.items():
        assert correlations["dead units"][method].value == pytest.approx(-1)
        for title in ("churn", "sharpness"):
            expected = scipy.stats.spearmanr(each.quantities[title], each.accuracy).statistic
            assert correlations[title][method].value == pytest.approx(expected)
    assert overall["srank of features"].value == pytest.approx(1)


def test_the_page_shows_what_is_there_and_what_is_missing(runs, tmp_path):
    text = early_warning.page(runs, PLANNED, figures=tmp_path)
    assert "Not run (4 of 5)." in text and "| other | not run (0 of 1) |" in text
    assert "| dead units | -1.00 (-1.00 to -1.00) | -1.00 (-1.00 to -1.00) | 0 above, 4 below, of 4 |" in text
    assert "| accuracy of the task before | " in text and "Conclusions need the runs of 6 methods." in text
    assert "(paper/early_warning/method2-seed0)" in text
    assert "![Rank" in text and (tmp_path / "early_warning.png").stat().st_size > 10_000


def made_up(count, related=(), seed=0, shared=0.0, falls=0.0):
    """Measurements of methods whose accuracies go with the quantities that are named."""
    generator = np.random.default_rng(seed)
    found = {}
    common = shared * generator.normal(size=[1 + len(early_warning.QUANTITIES), 120])
    for number in range(count):
        noise = generator.normal(size=common.shape) + common
        accuracy = noise[0]
        quantities = {
            title: accuracy + each if title in related else each
            for title, each in zip(early_warning.QUANTITIES, noise[1:], strict=True)
        }
        before = generator.normal(size=120)
        fall = falls if number < 3 else 0.0
        found[f"method{number}"] = early_warning.Series(accuracy, before, quantities, fall)
    return found


def conclusion(found):
    return early_warning._conclusion(found)


def test_conclusions_are_of_intervals_that_leave_0_out():
    text = conclusion(made_up(10, related=("churn",), falls=0.1))
    first, second = text.split("\n\n")
    assert first.startswith(
        "Along the whole run the accuracy falls with method0, method1, method2. Quantities"
    )
    assert re.search(r"in each of these methods: churn 0\.\d+ \(0\.\d+ to 0\.\d+\)\.$", first)
    along, falling, steady, apart, before = (part.rpartition(": ")[2] for part in second.split(". "))
    assert along.startswith("churn 0.6") and "[0.6" in along and falling.startswith("churn 0.6")
    assert (steady, apart) == ("churn", "none") and before.startswith("The accuracy of the task before has ")


@pytest.mark.parametrize("shared", [0.0, 2.0])
def test_noise_is_hardly_ever_a_conclusion(shared):
    """Counts among 15 studies of eight unrelated quantities; with 95 % for each, half would name one."""
    texts = [conclusion(made_up(10, seed=seed, shared=shared)) for seed in range(15)]
    for words in (
        "in the mean over all methods: none",
        "In the mean over those that fall: none",
        "Across methods: none",
    ):
        assert sum(words not in text for text in texts) <= 4  # 0.75 are expected; above once in 1,000


def test_the_same_sign_needs_nine_methods():
    def listed(count):
        text = conclusion(made_up(count, related=("churn",)))
        return text.partition("every method: ")[2].partition(".")[0]

    assert listed(9) == "churn" and listed(8) == "none"


def test_five_methods_are_too_few_for_a_conclusion():
    assert conclusion(made_up(5, related=("churn",))) == "Conclusions need the runs of 6 methods."


def test_a_quantity_that_is_missing_at_a_task_is_still_compared_across_methods():
    found = made_up(8)
    whole = early_warning_series.across(found)["churn"].value
    for each in found.values():
        each.quantities["churn"][3] = np.nan
    means = [np.nanmean(each.quantities["churn"]) for each in found.values()]
    accuracies = [each.accuracy.mean() for each in found.values()]
    missing = early_warning_series.across(found)["churn"]
    assert missing.value == pytest.approx(scipy.stats.spearmanr(means, accuracies).statistic)
    assert missing.size == 8 and np.isfinite(whole)
    found["method0"].quantities["churn"][:] = np.nan
    assert early_warning_series.across(found)["churn"].size == 7


def test_without_runs_it_has_no_numbers_and_no_figure(tmp_path):
    text = early_warning.page(read_runs(), PLANNED, figures=tmp_path)
    assert "Not run (0 of 5)." in text and text.count("not run (0 of 1)") == 5
    assert "![" not in text and not [*tmp_path.iterdir()]
