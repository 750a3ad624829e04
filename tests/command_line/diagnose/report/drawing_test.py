"""The content of the figures, read from their artists."""

from typing import Any

import numpy as np
import pytest

from tfplastic.command_line.diagnose.report import array_drawing, course_drawing, panels
from tfplastic.command_line.diagnose.report.findings import Findings
from tfplastic.diagnostics.report import Report


def findings(step, values):
    return Findings(f"boxing, gradient step {step}", step, Report(values), "medium")


def test_a_panel_for_each_matrix():
    matrices = {"conv": np.diag([1.0, -2.0, 0.5]), "dense": np.array([[np.nan, 0.0], [0.0, 0.0]])}
    figure: Any = array_drawing.draw("boxing: gradient_covariance", matrices)
    assert figure.get_suptitle() == "boxing: gradient_covariance"
    drawn = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in drawn] == ["conv", "dense"]
    for axes, matrix, limit in zip(drawn, matrices.values(), (2.0, 1.0), strict=True):
        np.testing.assert_array_equal(np.ma.filled(axes.images[0].get_array(), np.nan), matrix)
        assert axes.images[0].get_clim() == (-limit, limit)


def test_a_histogram_for_each_distribution():
    values = {"hidden": np.r_[np.zeros(90), np.ones(10), np.nan], "nothing": np.full(4, np.inf)}
    axes: list[Any] = array_drawing.draw("pre-activations", values).axes
    first, second = axes
    heights = [patch.get_height() for patch in first.patches]
    assert (heights[0], heights[-1], sum(heights)) == (90, 10, 100) and first.get_yscale() == "log"
    assert not second.patches and second.texts[0].get_text() == "not finite"


def test_a_figure_for_each_kind_along_a_run():
    found = [
        findings(
            step,
            {
                "dead_units": {"hidden": step / 100},
                "weight_norm": {"hidden": 1.0, "output": 10.0**step, "all": 2.0},
                "gradient_norm": {"hidden": np.nan},
            },
        )
        for step in (10, 20, 30)
    ]
    figures: dict[str, Any] = course_drawing.draw(found)
    assert list(figures) == ["units", "weights", "gradients"]
    (units,), (weights,) = figures["units"].axes, figures["weights"].axes
    assert figures["units"].get_suptitle() == "boxing: units"
    (line,) = units.lines
    assert line.get_xdata().tolist() == [10, 20, 30] and line.get_ydata().tolist() == [0.1, 0.2, 0.3]
    assert (units.get_yscale(), weights.get_yscale()) == ("linear", "log")
    hidden, _, whole = weights.lines
    assert tuple(hidden.get_color()) == tuple(line.get_color()) and whole.get_color() == "black"
    (legend,) = figures["weights"].legends
    assert [text.get_text() for text in legend.get_texts()] == ["all", "hidden", "output"]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_panels_are_of_one_size(count):
    width, height = panels.size_in(count)
    assert width == pytest.approx(2.4 * min(max(count, 2), 3))
    assert height == pytest.approx(1.8 * -(-count // 3) + 0.4)
