"""The content of single pictures and tables, by numbers."""

import numpy as np
import pandas as pd
import pytest

from tests.reports.run_directories import write_run
from tfplastic.reports import read_runs, style
from tfplastic.reports.page.content import ReportInput
from tfplastic.reports.page.parts import curves, layers, summary
from tfplastic.reports.page.tables import as_csv, as_markdown


def rows(*values):
    return pd.DataFrame(values, columns=["run", "arm", "layer", "step", "value"])


def test_layers_over_time_are_medians_with_gray_for_what_is_not_there():
    _, ax = style.new_figure()
    table = rows(
        *[(f"a{seed}", "a", "one", 0, value) for seed, value in enumerate((1.0, 2.0, 9.0))],
        ("a0", "a", "one", 5, 4.0),
        ("b0", "b", "two", 5, np.nan),
        ("b0", "b", "one", 5, 3.0),
    )
    layers.layers_over_time(table, ax)
    left, right = (np.ma.asarray(image.get_array()) for image in ax.images)
    assert left[0].tolist() == [2.0, 4.0] and np.ma.getmaskarray(left)[1].all()
    assert right.mask.tolist() == [[True, False], [True, True]] and right[0, 1] == 3.0
    assert [text.get_text() for text in ax.get_xticklabels()] == ["a", "b"]
    assert ax.images[0].norm is ax.images[1].norm


@pytest.mark.parametrize(("high", "is_log"), [(200.0, False), (400.0, True)])
def test_colors_are_logarithmic_over_a_wide_range(high, is_log):
    _, ax = style.new_figure()
    layers.layers_over_time(rows(("r", "a", "l", 0, 1.0), ("r", "a", "l", 1, high)), ax)
    middle = float(np.asarray(ax.images[0].norm(np.sqrt(high))))
    assert (abs(middle - 0.5) < 1e-6) == is_log
    ax.figure.draw_without_rendering()
    numbers = [text.get_text() for text in ax.figure.axes[-1].get_yticklabels()]
    assert any(numbers) and not any("$" in number for number in numbers)


def test_a_layer_of_nothing_but_nan_is_drawn():
    _, ax = style.new_figure()
    layers.layers_over_time(rows(("r", "a", "l", 0, np.nan)), ax)
    assert np.ma.getmaskarray(np.ma.asarray(ax.images[0].get_array())).all()


def test_curves_are_medians_over_runs(tmp_path):
    for seed, value in enumerate((0.1, 0.2, 0.9)):
        write_run(tmp_path / f"a-seed{seed}", seed, {"evaluation/accuracy": [(0, 0.0), (10, value)]})
    picture = curves.picture(read_runs(tmp_path), "evaluation/accuracy", "x/y")
    (line,) = picture.figure.axes[0].lines
    assert np.asarray(line.get_ydata()).tolist() == [0.0, 0.2] and line.get_label() == "a, n = 3"
    assert picture.name == "x_y" and "3 runs" in picture.caption


def test_the_configuration_that_tells_arms_apart(tmp_path):
    for arm, norm in (("plain", "None"), ("ln", "'layer'")):
        extra = "ln.epsilon = 1e-5\n" if arm == "ln" else ""
        write_run(tmp_path / f"{arm}-seed0", 0, config=f"mlp.norm = {norm}\nmlp.hidden = (8,)\n{extra}")
    section = summary.runs_and_configuration(ReportInput(read_runs(tmp_path), "t"))
    tables = {table.name: table.frame for table in section.tables}
    assert tables["configuration_shared"].to_numpy().tolist() == [["mlp.hidden", "(8,)"]]
    assert sorted(tables["configuration_differences"].to_numpy().tolist()) == [
        ["ln.epsilon", "1e-5", "ln"],
        ["ln.epsilon", "not used", "plain"],
        ["mlp.norm", "'layer'", "ln"],
        ["mlp.norm", "None", "plain"],
    ]


def test_a_table_as_csv_keeps_all_digits_and_as_markdown_four():
    frame = pd.DataFrame({"a": [1 / 3, np.nan], "b": [10_000, 2], "c": ["<b>", "x\ny"]})
    assert as_csv(frame) == 'a,b,c\n0.3333333333333333,10000,<b>\n,2,"x\ny"\n'
    assert as_markdown(frame).splitlines()[2:] == ["| 0.3333 | 10000 | \\<b\\> |", "|  | 2 | x y |"]


def test_the_worst_layer_is_beside_the_mean(tmp_path):
    for seed, first in ((0, 1.0), (1, 1.0), (2, 0.9)):
        tags = {
            "diagnostics/dead_units/hidden1": [(0, 0.0), (9, first)],
            "diagnostics/dead_units/hidden2": [(0, 0.0), (9, 0.1)],
            "diagnostics/feature_srank/hidden1": [(9, 3.0)],
            "diagnostics/feature_srank/hidden2": [(9, 40.0)],
            "diagnostics/weight_norm/hidden1": [(9, 1.0)],
            "diagnostics/weight_norm/all": [(9, 5.0)],
        }
        write_run(tmp_path / f"a-seed{seed}", seed, tags)
    (table,) = summary.summary(ReportInput(read_runs(tmp_path), "title")).tables
    row = table.frame.iloc[0]
    assert row["dead units, worst layer"] == "1 [0.9, 1] hidden1"
    assert row["dead units, mean of layers"] == "0.55 [0.5, 0.55]"
    assert row["feature rank, worst layer"] == "3 [3, 3] hidden1"
    assert row["weight norm"] == "5 [5, 5]"  # of all weights, not the mean of that and of the layers
    assert "range of the runs" in table.note and "worst layer" in table.note


def test_two_curves_of_one_thing_are_shown_once(tmp_path):
    for seed in (0, 1):
        accuracy = [(0, 0.1), (9, 0.5 + seed / 10)]
        tags = {"evaluation/accuracy": accuracy, "evaluation/optimal_actions": accuracy}
        write_run(tmp_path / f"a-seed{seed}", seed, {**tags, "train/accuracy": [(0, 0.1), (9, 0.4)]})
    section = curves.learning_curves(ReportInput(read_runs(tmp_path), "title"))
    assert [each.name for each in section.pictures] == ["curves_evaluation_accuracy", "curves_train_accuracy"]
    assert "evaluation/optimal_actions is the same as evaluation/accuracy in these runs." in section.texts
