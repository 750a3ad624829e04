"""The curves of probes by checkpoint, as in Fig. 4 of Lyle et al. 2023."""

from typing import Any

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from tfplastic.command_line.diagnose import figures
from tfplastic.command_line.diagnose.figures import CAPTION
from tfplastic.command_line.diagnose.probe.course import Course

_SIZE_IN = (7.0, 3.6)
_FRESH = "0.45"
_POINTS = 100  # of a curve: the loss of single batches is noise
_MOST_NAMED = 8  # curves in a legend; more get a bar of colors
_HIGHEST = 1.5  # of the axis, in target variances: a network may begin far above


def draw(course: Course) -> Figure:
    """Draws the probe loss over optimizer steps, a curve for each checkpoint, the later the lighter.

    A curve is the mean over targets, each point that of as many steps as make 100 points; its band is
    the range of the targets. The gray band spans the fresh networks, each a mean over
    targets, around their dashed mean; the dotted line is the target variance, at which nothing is learned.

    Args:
        course: course to show.
    """
    with figures.drawn(_SIZE_IN, ConstrainedLayoutEngine(h_pad=0.06)) as figure:
        axes = figure.subplots()
        colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, len(course.results)))
        tops = [_draw_fresh(axes, course.results[-1].fresh.curves)]
        for step, result, color in zip(course.steps, course.results, colors, strict=True):
            label = "network" if step is None else f"step {step:,}"
            tops.append(_draw_curve(axes, result.curves, color, label))
        variance = course.results[-1].target_variance
        axes.axhline(variance, color=_FRESH, linestyle=":", linewidth=1.0, label="target variance")
        axes.set_xlim(0, course.results[-1].curves.shape[1])
        axes.set_ylim(0, 1.05 * max(min(max(tops), _HIGHEST * variance), variance) or 1.0)
        axes.set(xlabel="Optimizer steps", ylabel="Probe loss")
        axes.spines[["top", "right"]].set_visible(False)
        _name_curves(figure, axes, course, colors)
        axes.set_title(course.name, loc="left", fontsize=10, pad=17)
        caption = axes.text(0, 1.03, _caption(course), transform=axes.transAxes, fontsize=8, color=CAPTION)
        caption.set_in_layout(False)  # It may be as wide as axes and legend.
    return figure


def points(curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns curves with at most 100 points, each the mean of consecutive steps.

    Args:
        curves: `[..., steps]`.

    Returns:
        The mean step of each point, `[points]`, and the curves, `[..., points]`.

    Example:
        >>> import numpy as np
        >>> from tfplastic.command_line.diagnose.probe import drawing
        >>> steps, curves = drawing.points(np.arange(200.0))
        >>> steps[:2].tolist(), curves[:2].tolist()
        ([0.5, 2.5], [0.5, 2.5])
    """
    num_steps = curves.shape[-1]
    blocks = np.array_split(np.arange(num_steps), min(num_steps, _POINTS))
    means = [curves[..., block].mean(axis=-1, dtype=np.float64) for block in blocks]
    return np.array([block.mean() for block in blocks]), np.stack(means, axis=-1)


def _draw_fresh(axes: Any, curves: np.ndarray) -> float:
    if not len(curves):
        return 0.0
    steps, means = points(curves.mean(axis=1))  # [networks, points]
    axes.fill_between(steps, means.min(axis=0), means.max(axis=0), color=_FRESH, alpha=0.25, linewidth=0)
    label = f"{len(means)} fresh network{'s' * (len(means) > 1)}"
    axes.plot(steps, means.mean(axis=0), color=_FRESH, linestyle="--", linewidth=1.0, label=label)
    return _top(means)


def _draw_curve(axes: Any, curves: np.ndarray, color: Any, label: str) -> float:
    steps, by_target = points(curves)  # [targets, points]
    axes.fill_between(
        steps, by_target.min(axis=0), by_target.max(axis=0), color=color, alpha=0.15, linewidth=0
    )
    axes.plot(steps, by_target.mean(axis=0), color=color, linewidth=1.4, label=label)
    return _top(by_target)


def _name_curves(figure: Any, axes: Any, course: Course, colors: np.ndarray) -> None:
    handles, labels = axes.get_legend_handles_labels()
    count = len(course.results)
    if count > _MOST_NAMED:
        first = labels.index(f"step {course.steps[0]:,}")
        del handles[first : first + count], labels[first : first + count]
        norm = BoundaryNorm(np.arange(count + 1), count)
        bar = figure.colorbar(ScalarMappable(norm, ListedColormap(colors)), ax=axes, label="Gradient step")
        shown = np.unique(np.linspace(0, count - 1, _MOST_NAMED).round().astype(int))
        bar.set_ticks(shown + 0.5, labels=[f"{course.steps[place]:,}" for place in shown])
        bar.minorticks_off()
        axes.legend(handles, labels, frameon=False)
    else:
        figure.legend(handles, labels, loc="outside right center", frameon=False)


def _caption(course: Course) -> str:
    num_targets, num_steps = course.results[-1].curves.shape
    return (
        f"{num_targets} target{'s' * (num_targets > 1)} on {course.num_inputs:,} inputs, {num_steps:,} steps"
        f" of {course.probe.batch_size}; bands: range of the targets"
    )


def _top(values: np.ndarray) -> float:
    return float(np.max(values[np.isfinite(values)], initial=0.0))
