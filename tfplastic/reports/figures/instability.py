"""Fig. 1: an optimizer that kills units, and one that does not."""

import numpy as np
from matplotlib.axes import Axes

from tfplastic.reports._frames import floats, groups
from tfplastic.reports.figures import _sources, forms
from tfplastic.reports.runs import Runs


def figure_1(runs: Runs, ax: Axes) -> Axes:
    """Accuracy (solid, right axis) and dead units (dotted, left axis) while labels change from task to task.

    Fig. 1 of the paper, section 4.1: random labels of MNIST with Adam's default constants and with tuned
    ones. An arm has one colour; medians over seeds with their `aggregate.band`. Grey lines are the
    tasks' ends.

    Args:
        runs: with `evaluation/accuracy`, `diagnostics/dead_units/*`, of which the mean over layers is shown,
            and `evaluation/task`, whose changes are the tasks' ends, if there is one.
        ax: to draw on.

    Raises:
        ValueError: no run has one of the first two.
    """
    accuracy = _sources.scalars(runs, _sources.ACCURACY)
    dead = _sources.mean_over_layers(_sources.scalars(runs, _sources.DEAD_UNITS))
    colours = forms.group_colours(runs.arms)
    right = ax.twinx()
    for step in _ends_of_tasks(runs):
        ax.axvline(step, color="0.85", linewidth=0.8, zorder=0)
    forms.curves(dead, ax, colours=colours, linestyle=":", label="dead units, {} ({})")
    forms.curves(accuracy, right, colours=colours, label="accuracy, {} ({})")
    ax.set(xlabel="gradient steps", ylabel="fraction of dead units", ylim=(0, 1))
    right.set(ylabel="accuracy", ylim=(0, 1.02))
    right.grid(False)
    handles = [handle for axes in (ax, right) for handle in axes.get_legend_handles_labels()[0]]
    right.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return ax


def _ends_of_tasks(runs: Runs) -> list[int]:
    tasks = next((of_run for _, of_run in groups(runs.scalars(_sources.TASK), "run")), None)
    if tasks is None:
        return []
    begins = np.flatnonzero(np.diff(floats(tasks, "value")) > 0) + 1
    return [int(step) for step in tasks["step"].to_numpy()[begins]]
