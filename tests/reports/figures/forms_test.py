import math

import numpy as np
import pandas as pd
import pytest

from tfplastic.reports import figures, style
from tfplastic.reports.runs import Arrays


@pytest.fixture
def ax():
    with style.styled():
        yield style.new_figure()[1]


def file(step, **values):
    return Arrays(None, step, {name: np.asarray(value, float) for name, value in values.items()})


def labels(ax):
    return ax.get_legend_handles_labels()[1]


def test_curves_are_medians_with_bands(ax):
    rows = pd.DataFrame(
        [
            *(("one", "a", step, value) for step, value in ((0, 1.0), (10, 4.0))),
            *(("two", "a", step, value) for step, value in ((0, 2.0), (10, 6.0))),
            *(("three", "a", step, value) for step, value in ((0, 9.0),)),  # it ended early
            *(("four", "b", step, value) for step, value in ((0, 5.0), (5, math.nan))),
        ],
        columns=["run", "arm", "step", "value"],
    )
    assert figures.curves(rows, ax) is ax
    first, second = ax.lines
    np.testing.assert_array_equal(first.get_xydata(), [[0, 2], [10, 5]])
    np.testing.assert_array_equal(second.get_xydata(), [[0, 5], [5, math.nan]])
    assert labels(ax) == ["a (n = 3, 2 at the end)", "b (n = 1, 0 at the end)"]
    (low, high) = ax.collections[0].get_paths()[0].get_extents().get_points()[:, 1]
    assert (low, high) == (1, 9)  # the range of three runs, each of which is a thin line, too
    assert len(ax.collections[1].get_segments()) == 3 and len(ax.collections) == 3
    assert (first.get_color(), second.get_color()) == style.COLORS[:2]


def test_a_median_without_another_next_to_it_is_a_dot(ax):
    values = {"one": {5: 1.0}, "two": {0: 1.0, 5: math.nan, 9: 2.0, 12: 3.0}, "three": {0: 1.0, 5: 2.0}}
    rows = pd.DataFrame(
        [(arm, arm, step, value) for arm, of_arm in values.items() for step, value in of_arm.items()],
        columns=["run", "arm", "step", "value"],
    )
    lone, gap, whole = figures.curves(rows, ax).lines
    assert (lone.get_marker(), lone.get_markevery()) == ("o", [True])
    assert (gap.get_marker(), gap.get_markevery()) == ("o", [True, False, False, False])
    assert whole.get_marker() == "None"


def test_from_six_runs_on_bands_are_intervals_and_runs_are_not_drawn(ax):
    rows = pd.DataFrame(
        [(f"r{run}", "a", step, float(run**2)) for run in range(6) for step in (0, 1)],
        columns=["run", "arm", "step", "value"],
    )
    (band,) = figures.curves(rows, ax).collections
    low, high = band.get_paths()[0].get_extents().get_points()[:, 1]
    assert 0 < low < 6.5 < high < 25


def test_a_matrix_has_zero_in_the_middle_and_gray_where_there_is_none(ax):
    assert figures.matrix([[1.0, -0.5], [0.0, math.nan]], ax) is ax
    (image,) = ax.images
    assert image.get_clim() == (-1, 1)
    np.testing.assert_allclose(image.cmap(image.norm(0.0))[:3], [0.97] * 3, atol=0.01)  # white
    assert image.cmap(np.ma.masked)[:3] == pytest.approx([0xBB / 255] * 3)


def test_a_heat_map_writes_its_numbers(ax):
    table = pd.DataFrame({"cnn": [0.25, -0.001], "mlp": [math.nan, 1.0]}, index=["none", "two_hot"])
    assert figures.heat_map(table, ax) is ax
    texts = {text.get_position(): text for text in ax.texts}
    assert {place: text.get_text() for place, text in texts.items()} == {
        (0, 0): "0.25",
        (1, 0): "nan",
        (0, 1): "0.00",
        (1, 1): "1.00",
    }
    # The smallest is dark and the largest light.
    assert (
        texts[0, 1].get_color() == "w"
        and texts[1, 1].get_color() == "#111111"
        and texts[1, 0].get_color() == "#111111"
    )
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["none", "two_hot"]
    empty = pd.DataFrame({"cnn": [math.nan]}, index=["none"])
    figures.heat_map(empty, ax)


def test_densities(ax):
    files = [file(step, grid=[0, 1], density=[step, 2]) for step in (1, 3)]
    assert figures.densities(files, ax, ["early", "late"]) is ax
    assert [line.get_ydata().tolist() for line in ax.lines] == [[1, 2], [3, 2]]
    assert labels(ax) == ["early", "late"] and ax.get_yscale() == "log"
    ax.figure.draw_without_rendering()
    assert [text.get_text() for text in ax.get_yticklabels()] == ["1e−01", "1", "10"]  # and no LaTeX


def test_probe_curves_are_means_over_targets_and_runs(ax):
    files = [
        file(0, curves=[[4.0, 2.0, 0.0]]),
        file(500, curves=[[1.0, 2.0], [3.0, 4.0]]),
        file(500, curves=[[5.0, 6.0], [7.0, 8.0]]),
        file(900, curves=[[1.0, 1.0]]),
    ]
    assert figures.probe_curves(files, ax, [0, 500]) is ax
    assert [line.get_ydata().tolist() for line in ax.lines] == [[4, 2, 0], [4, 5]]
    assert labels(ax) == ["step 0", "step 500"]
    low, high = ax.collections[1].get_paths()[0].get_extents().get_points()[:, 1]
    assert (low, high) == (2.5, 6.5)  # quartiles of 1, 3, 5, 7, and of 2, 4, 6, 8


def test_scatter_has_a_line_for_each_group(ax):
    points = pd.DataFrame({"x": [0, 1, 2, 3, 5], "y": [1, 3, 5, 0, math.nan], "by": ["a"] * 3 + ["b"] * 2})
    assert figures.scatter(points, ax, "x", "y", "by") is ax
    (line,) = ax.lines  # one point is no line
    np.testing.assert_allclose(line.get_xydata(), [[0, 1], [2, 5]], atol=1e-9)
    assert labels(ax) == ["a (n = 3)", "b (n = 1)"]


def test_bars_ascend(ax):
    values = pd.Series({"up": 2.0, "down": -1.0, "none": math.nan})
    assert figures.bars(values, ax, pd.Series({"up": 3.0, "none": 4.0})) is ax
    assert [bar.get_height() for bar in ax.patches] == [0, -1, 2]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["none", "down", "up"]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [4, math.nan, 3])


def test_panels_fill_the_place_of_the_axes(ax):
    grid = figures.panels(ax, 2, 3)
    assert np.shape(grid) == (2, 3) and not ax.axison
    boxes = np.array([[panel.get_position().extents for panel in row] for row in grid])
    assert (boxes[0, :, 1] > boxes[1, :, 3]).all()  # the first row is on top
    assert (boxes[:, 1:, 0] > boxes[:, :-1, 2]).all()
    np.testing.assert_allclose([*boxes[1, 0, :2], *boxes[0, 2, 2:]], ax.get_position().extents)


# From linear RGB to what people without red or green cones see: Machado et al. 2009, severity 1.
SIGHTS = {
    "all cones": np.eye(3),
    "no red cones": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no green cones": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
}


@pytest.mark.parametrize("sight", SIGHTS)
def test_colors_can_be_told_apart(sight):
    rgb = (
        np.array([[int(color[place : place + 2], 16) for place in (1, 3, 5)] for color in style.COLORS]) / 255
    )
    seen = np.clip(rgb**2.2 @ np.transpose(SIGHTS[sight]), 0, 1) ** (1 / 2.2)
    distances = np.linalg.norm(seen[:, None] - seen[None], axis=-1) + np.eye(len(seen))
    assert distances.min() > 0.12


def test_the_same_figure_is_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        with style.styled():
            figure, ax = style.new_figure()
            ax.plot([0, 1], label="line")
            ax.legend()
            paths = style.save(figure, tmp_path / "new" / name)
        assert [path.name for path in paths] == [f"{name}.png", f"{name}.svg"]
    for kind in ("png", "svg"):
        one, two = ((tmp_path / "new" / f"{name}.{kind}").read_bytes() for name in ("one", "two"))
        assert one == two and len(one) > 1_000
