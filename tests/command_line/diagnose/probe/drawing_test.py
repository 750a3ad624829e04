"""The content of the figure, read from its artists."""

import io
from typing import Any

import numpy as np
import pytest

from tfplastic.command_line.diagnose import figures
from tfplastic.command_line.diagnose.probe import drawing
from tfplastic.command_line.diagnose.probe.course import Course
from tfplastic.probing import FreshNetworks, Probe, ProbeResult


def result(level, num_steps=400, num_fresh=3):
    """Curves of 2 targets that fall from 0.5 to `level`."""
    fall = np.linspace(0.5, level, num_steps)
    curves = np.stack([fall + 0.01, fall - 0.01]).astype(np.float32)
    fresh = np.linspace(0.5, 0.1, num_steps) + 0.02 * np.arange(num_fresh)[:, None, None] * np.ones([1, 2, 1])
    own = curves[:, 0], curves[:, -1]
    networks = FreshNetworks(fresh[..., 0], fresh[..., -1], fresh.astype(np.float32))
    return ProbeResult(*own, np.full(2, 0.5), curves, networks, "graph")


def course(steps, levels, **kwargs):
    results = [result(level, **kwargs) for level in levels]
    return Course("boxing", list(steps), results, Probe(batch_size=16), num_inputs=5_000)


def labeled(axes: Any):
    return {line.get_label(): line for line in axes.lines}


def test_what_it_says():
    figure: Any = drawing.draw(course([0, 20_000], [0.1, 0.3]))
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == "boxing"
    assert [text.get_text() for text in axes.texts] == [
        "2 targets on 5,000 inputs, 400 steps of 16; bands: range of the targets"
    ]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Optimizer steps", "Probe loss")
    (legend,) = figure.legends
    named = [text.get_text() for text in legend.get_texts()]
    assert named == ["3 fresh networks", "step 0", "step 20,000", "target variance"]


def test_what_it_draws():
    drawn = course([0, 20_000], [0.1, 0.3])
    (axes,) = drawing.draw(drawn).axes
    lines = labeled(axes)
    line = lines["step 20,000"]
    assert len(line.get_xdata()) == 100 and line.get_xdata()[0] == 1.5
    expected = drawn.results[1].curves.reshape(2, 100, 4).mean(axis=(0, 2))
    np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-6)
    np.testing.assert_array_equal(lines["target variance"].get_ydata(), 0.5)
    fresh = drawn.results[1].fresh.curves.reshape(3, 2, 100, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(lines["3 fresh networks"].get_ydata(), fresh.mean(axis=0), rtol=1e-6)
    gray, first, last = [np.asarray(band.get_paths()[0].vertices)[:, 1] for band in axes.collections]
    assert (gray.min(), gray.max()) == pytest.approx((fresh.min(), fresh.max()))
    assert (last.min(), last.max()) == pytest.approx((expected.min() - 0.01, expected.max() + 0.01), abs=1e-6)
    assert first.min() < last.min()
    assert axes.get_xlim() == (0, 400) and axes.get_ylim()[0] == 0


def test_many_checkpoints_get_a_bar_of_colors():
    figure: Any = drawing.draw(course(range(0, 1_200, 100), np.linspace(0.1, 0.4, 12)))
    axes, bar = figure.axes
    assert not figure.legends and len(axes.get_legend().get_texts()) == 2
    named = [text.get_text() for text in bar.get_yticklabels()]
    assert len(named) == 8 and named[0] == "0" and named[-1] == "1,100"
    colors = [line.get_color() for label, line in labeled(axes).items() if label.startswith("step")]
    assert len({tuple(color) for color in colors}) == 12


def test_a_network_that_begins_far_above_does_not_hide_the_rest():
    far = course([5], [0.2])
    far.results[0].curves[:, :3] = 1e6
    far.results[0].curves[:, -1] = np.nan
    (axes,) = drawing.draw(far).axes
    assert axes.get_ylim()[1] == pytest.approx(1.05 * 1.5 * 0.5)


@pytest.mark.parametrize("kwargs", [{"num_steps": 1}, {"num_fresh": 0}, {"num_fresh": 1, "num_steps": 99}])
def test_edges(kwargs):
    file = io.BytesIO()
    figures.save(drawing.draw(course([None], [0.2], **kwargs)), file, "png")
    assert file.getvalue().startswith(b"\x89PNG")
