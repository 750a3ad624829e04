"""The figure of a spectrum: its density, an inset of its bulk, and ticks for the eigenvalues at both ends."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from tfplastic.command_line.diagnose import figures
from tfplastic.command_line.diagnose.figures import CAPTION
from tfplastic.command_line.diagnose.spectrum.measurement import Spectrum
from tfplastic.command_line.diagnose.spectrum.subject import Subject

_DENSITY, _EIGENVALUES = "#1f4e79", "#c0392b"
_SIZE_IN = (6.0, 3.6)
# The bulk is all but this many eigenvalues at each end, and gets an inset where it is this part of the whole.
_OUTLIERS = 10
_SMALL_BULK = 0.05
_BULK_WIDTH = 1 / 60  # kernel, of the bulk's length: nodes of Lanczos are further apart there


def draw(spectrum: Spectrum, subject: Subject) -> Figure:
    """Returns the density on a logarithmic scale over the eigenvalues, as Ghorbani et al. 2019 draw it.

    The scale ends below the height of the bump that a single eigenvalue makes. The strip under it has a tick
    for each eigenvalue that was found at the ends, and the corner gives lambda_1 and lambda_n. Where outliers
    are so far out that the bulk becomes a line, an inset shows the bulk, with a kernel of its own.

    Args:
        spectrum: spectrum to show.
        subject: name of the run or the model.
    """
    with figures.drawn(_SIZE_IN, ConstrainedLayoutEngine(h_pad=0.06, hspace=0)) as figure:
        axes, strip = figure.subplots(2, 1, sharex=True, height_ratios=(16, 1))
        _draw_density(axes, spectrum, spectrum.density.grid(spectrum.width), spectrum.width)
        axes.set_ylabel("Density")
        axes.tick_params(bottom=False, labelbottom=False)
        axes.spines["bottom"].set_visible(False)
        _draw_ends(axes, strip, spectrum)
        low, high = _bulk(spectrum)
        if high - low < _SMALL_BULK * (spectrum.density.nodes.max() - spectrum.density.nodes.min()):
            _draw_bulk(axes, spectrum, low, high)
        axes.set_title(subject.name, loc="left", fontsize=10, pad=17)
        num_probes, num_steps = spectrum.density.nodes.shape
        caption = (
            f"$n$ = {spectrum.size:,} weights, {subject.num_examples:,} examples,"
            f" density from {num_probes} probe{'s' * (num_probes > 1)} $\\times$ {num_steps} steps"
        )
        axes.text(0, 1.03, caption, transform=axes.transAxes, fontsize=8, color=CAPTION)
    return figure


def _draw_density(axes: Any, spectrum: Spectrum, grid: np.ndarray, width: float) -> None:
    density = spectrum.density.density(grid, width)
    single = 1 / (spectrum.size * width * np.sqrt(2 * np.pi))
    bottom = single / 10
    axes.fill_between(grid, density, bottom, color=_DENSITY, alpha=0.15, linewidth=0)
    axes.plot(grid, density, color=_DENSITY, linewidth=1.0)
    axes.set_yscale("log")
    axes.set_ylim(bottom, density.max() * 4)
    axes.margins(x=0.03)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_ends(axes: Any, strip: Any, spectrum: Spectrum) -> None:
    values, num_largest = spectrum.eigenvalues, spectrum.num_largest
    strip.vlines(values, 0, 1, color=_EIGENVALUES, linewidth=1.0)
    strip.set_ylim(0, 1)
    strip.set_yticks([])
    strip.spines[["top", "right", "left"]].set_visible(False)
    ticks = f"ticks: {num_largest} largest, {len(values) - num_largest} smallest"
    strip.set_xlabel(f"Eigenvalue of the loss Hessian ({ticks})")
    right = _tail_is_right(spectrum)
    axes.text(
        0.99 if right else 0.01,
        0.98,
        f"$\\lambda_1 = {_number(values[0])}$\n$\\lambda_n = {_number(values[-1])}$",
        transform=axes.transAxes,
        ha="right" if right else "left",
        va="top",
        linespacing=1.6,
        color=_EIGENVALUES,
    )


def _draw_bulk(axes: Any, spectrum: Spectrum, low: float, high: float) -> None:
    width = _BULK_WIDTH * max(high - low, spectrum.width)  # which is 0 where the bulk is one point
    inset = axes.inset_axes((0.33 if _tail_is_right(spectrum) else 0.27, 0.42, 0.42, 0.48))
    _draw_density(inset, spectrum, np.linspace(low - 3 * width, high + 3 * width, 1_000), width)
    inset.set_title("bulk", fontsize=8, color=CAPTION, pad=2)
    inset.tick_params(labelsize=7)
    inset.locator_params(axis="x", nbins=5)


def _bulk(spectrum: Spectrum) -> tuple[float, float]:
    """Returns the eigenvalues between which all lie but some outliers, by the density's weights."""
    nodes, weights = spectrum.density.nodes, spectrum.density.weights
    order = np.argsort(nodes, axis=None)
    mass = np.cumsum(weights.ravel()[order]) / len(nodes)
    tail = min(_OUTLIERS / spectrum.size, 0.25)
    first, last = np.searchsorted(mass, (tail, 1 - tail))
    return float(nodes.ravel()[order[first]]), float(nodes.ravel()[order[last]])


def _tail_is_right(spectrum: Spectrum) -> bool:
    """Returns whether the longer tail, over which there is room, is that of the largest eigenvalues."""
    return bool(spectrum.eigenvalues[0] >= -spectrum.eigenvalues[-1])


def _number(value: float) -> str:
    mantissa, _, exponent = f"{value:.3g}".partition("e")
    return f"{mantissa} \\times 10^{{{int(exponent)}}}" if exponent else mantissa
