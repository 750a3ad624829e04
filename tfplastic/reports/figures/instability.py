"""Fig. 1: an optimizer that kills units, and one that does not."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from tfplastic.reports._frames import floats, groups, where
from tfplastic.reports.figures import _sources, forms
from tfplastic.reports.paper import paper_name
from tfplastic.reports.runs import Runs


def figure_1(runs: Runs, ax: Axes) -> Axes:
    """Draws accuracy, and below it dead units, while labels change from task to task.

    Fig. 1 of the paper, section 4.1: random labels of MNIST with Adam's default constants and with tuned
    ones. The paper has both in one panel with two axes. An arm has one color; medians over seeds with their
    `aggregate.band`. Dead units: the mean over layers, and dotted the worst layer. Gray lines are the tasks'
    ends.

    Args:
        runs: with `evaluation/accuracy`, `diagnostics/dead_units/*`,
            and `evaluation/task`, whose changes are the tasks' ends, if there is one.
        ax: axes to draw on.

    Raises:
        ValueError: no run has one of the first two.
    """
    accuracy = _sources.scalars(runs, _sources.ACCURACY)
    dead = _sources.scalars(runs, _sources.DEAD_UNITS)
    has_layers = len(set(dead["tag"])) > 1
    colors = forms.group_colors(runs.arms)
    (top,), (below,) = forms.panels(ax, 2, 1, gap=0.08)
    for step in _ends_of_tasks(runs):
        for panel in (top, below):
            panel.axvline(step, color="0.85", linewidth=0.8, zorder=0)
    names = {arm: paper_name(arm) for arm in runs.arms}
    for arm, color in colors.items():
        of_arm = [where(rows, rows["arm"] == arm) for rows in (accuracy, dead)]
        label = names[arm].replace("{", "{{").replace("}", "}}") + " ({1})"
        forms.curves(of_arm[0], top, colors=colors, label=label)
        forms.curves(_sources.mean_over_layers(of_arm[1]), below, colors=colors, label=label)
        if has_layers:
            worst = _sources.worst_over_layers(of_arm[1])
            forms.curves(worst, below, colors={arm: color}, linestyle=":", label=f"{label}, worst layer")
    top.set(ylabel="accuracy", ylim=(0, 1.02))
    top.tick_params(labelbottom=False)
    below.set(xlabel="gradient steps", ylabel="dead units", ylim=(0, 1.02))
    lefts, rights = zip(top.get_xlim(), below.get_xlim(), strict=True)
    for panel in (top, below):
        panel.set_xlim(min(lefts), max(rights))
    top.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    if has_layers:
        looks = [Line2D([], [], color="0.3", linestyle=line) for line in ("-", ":")]
        below.legend(
            looks,
            ["mean over layers", "worst layer"],
            loc="center right",
            bbox_to_anchor=(1.0, 0.32),
            fontsize=7,
        )
    return ax


def _ends_of_tasks(runs: Runs) -> list[int]:
    tasks = next((of_run for _, of_run in groups(runs.scalars(_sources.TASK), "run")), None)
    if tasks is None:
        return []
    begins = np.flatnonzero(np.diff(floats(tasks, "value")) > 0) + 1
    return [int(step) for step in tasks["step"].to_numpy()[begins]]
