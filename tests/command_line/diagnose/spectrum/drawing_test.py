"""The content of the figure, read from its artists."""

import io
from typing import Any

import numpy as np
import pytest

from tfplastic.command_line.diagnose import figures
from tfplastic.command_line.diagnose.spectrum import drawing
from tfplastic.command_line.diagnose.spectrum.measurement import Spectrum, table
from tfplastic.command_line.diagnose.spectrum.subject import Subject
from tfplastic.linalg import SpectralDensity

SUBJECT = Subject(hessian=None, name="boxing, gradient step 12,500", num_examples=128, step=12_500)


def make_spectrum(outlier):
    """A bulk from -0.1 to 0.1 and one eigenvalue far out, of a matrix of size 1,000."""
    nodes = np.tile(np.r_[np.linspace(-0.1, 0.1, 20), outlier], (2, 1))
    weights = np.tile(np.r_[np.full(20, 0.999 / 20), 0.001], (2, 1))
    density = SpectralDensity(nodes, weights, 1_000)
    values = np.sort([outlier, 0.1, -0.09, -0.1])[::-1]
    converged = np.array([True, True, False, True])
    return Spectrum(1_000, values, np.full(4, 1e-4), converged, 2, density, density.width(), 99)


def draw(outlier) -> list[Any]:
    """The axes of the figure: the density's, and the strip's below."""
    return drawing.draw(make_spectrum(outlier), SUBJECT).axes


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_what_it_says():
    axes, strip = draw(40.0)
    assert axes.get_title(loc="left") == SUBJECT.name
    ends, caption = texts(axes)
    assert ends == "$\\lambda_1 = 40$\n$\\lambda_n = -0.1$"
    assert caption == "$n$ = 1,000 weights, 128 examples, density from 2 probes $\\times$ 21 steps"
    assert strip.get_xlabel() == "Eigenvalue of the loss Hessian (ticks: 2 largest, 2 smallest)"


def test_what_it_draws():
    spectrum = make_spectrum(40.0)
    axes, strip = draw(40.0)
    ticks = [segment[0, 0] for segment in strip.collections[0].get_segments()]
    np.testing.assert_array_equal(ticks, spectrum.eigenvalues)
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_xdata(), spectrum.density.grid(spectrum.width))
    assert axes.get_yscale() == "log"
    at_outlier = line.get_ydata()[np.argmin(np.abs(line.get_xdata() - 40))]
    assert axes.get_ylim()[0] == pytest.approx(at_outlier / 10, rel=0.02)


def test_a_bulk_that_is_a_line_gets_an_inset():
    assert len(draw(40.0)[0].child_axes) == 1
    assert len(draw(1.0)[0].child_axes) == 0


def test_words_stand_where_the_longer_tail_is():
    (right, _), (left, _) = (draw(outlier)[0].texts for outlier in (40.0, -40.0))
    assert right.get_ha() == "right" and left.get_ha() == "left"
    assert left.get_text() == "$\\lambda_1 = 0.1$\n$\\lambda_n = -40$"


def test_a_spectrum_that_is_one_point():
    density = SpectralDensity(np.zeros([1, 1]), np.ones([1, 1]), 1)
    spectrum = Spectrum(1, np.zeros(1), np.zeros(1), np.ones(1, bool), 1, density, density.width(), 1)
    file = io.BytesIO()
    figures.save(drawing.draw(spectrum, SUBJECT), file, "png")
    assert file.getvalue().startswith(b"\x89PNG")


def test_the_table():
    lines = table(make_spectrum(40.0)).splitlines()
    assert lines[0].split() == ["largest", "residual", "smallest", "residual"]
    assert lines[1].split() == ["1", "40", "1.0e-04", "-0.1", "1.0e-04"]
    assert lines[2].split() == ["2", "0.1", "1.0e-04", "-0.09", "1.0e-04*"]
    assert lines[3].startswith("* not within --tol")
    # The mean of all, 0.04, by both probes alike.
    assert lines[4] == "trace 40 +- 0 (standard error), density from 2 probes of 21 steps, 99 products in all"
    assert len(lines) == 5
