"""Figs. 4, 17 and 18: speed at which a network fits new targets, checkpoint by checkpoint."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from tfplastic.reports.figures import _sources, forms
from tfplastic.reports.paper import paper_name
from tfplastic.reports.runs import Runs
from tfplastic.reports.statistics.factorial import arm_factors
from tfplastic.reports.statistics.factors import chosen_factors

_CHECKPOINTS = 5  # lines that one can tell apart, and the paper's number
_TRANSIENT = 0.1  # of a probe's steps, in which a fresh two-hot network may rise to a loss of 100


def figure_4(runs: Runs, ax: Axes, steps: Sequence[int] | None = None) -> Axes:
    """Draws the loss along the probe, from several checkpoints of training.

    Fig. 4 of the paper, section 5.3: a CNN on CIFAR-10. Lines are means over targets and seeds, shades lie
    between their quartiles.

    Args:
        runs: runs of one arm, with arrays `probe/curves`.
        ax: axes to draw on.
        steps: steps of the checkpoints; by default five of them, evenly from the first to the last.

    Raises:
        ValueError: no run has probe curves.
    """
    files = _sources.arrays(runs, _sources.PROBE_CURVES)
    every = sorted({file.step for file in files})
    forms.probe_curves(files, ax, _sources.spread_out(every, _CHECKPOINTS) if steps is None else steps)
    ax.legend()
    return ax


def figure_17(
    runs: Runs, ax: Axes, factors: Sequence[str] | None = None, steps: Sequence[int] | None = None
) -> Axes:
    """Draws the probe loss from several checkpoints: a row for each seed, a column for each variant.

    Figs. 17 and 18 of the paper, appendix B.2, of a CNN: seeds and variants differ a lot. The paper has one
    figure for each data set and does not say which; here 17 is of MNIST and 18 of CIFAR-10. Where the arms
    have environments, as in `gin/paper/small/fig17.gin`, each has its rows, one for each seed. All panels
    share an axis, which ends at the largest loss after the first tenth of the steps.

    Args:
        runs: with arrays `probe/curves`.
        ax: axes to draw on.
        factors: parts of the arms' names, 'intervention' among them; by default the kinds that the names
            show. With 'data' runs on other data are left out, with 'architecture' those of other networks
            than a CNN.
        steps: steps of the checkpoints; by default five of them, evenly from the first to the last.

    Raises:
        ValueError: no run has probe curves, or an arm's name has other parts.
    """
    return _variants(runs, ax, factors, steps, "mnist")


def figure_18(
    runs: Runs, ax: Axes, factors: Sequence[str] | None = None, steps: Sequence[int] | None = None
) -> Axes:
    """Draws `figure_17` on CIFAR-10."""
    return _variants(runs, ax, factors, steps, "cifar10")


def _variants(
    runs: Runs, ax: Axes, factors: Sequence[str] | None, steps: Sequence[int] | None, data: str
) -> Axes:
    _sources.arrays(runs, _sources.PROBE_CURVES)
    factors = chosen_factors(runs, factors, ("intervention",), ("intervention",))
    shown_only = {"data": data, "architecture": "cnn"}
    parts = {
        arm: of_arm
        for arm, of_arm in arm_factors(runs, factors).items()
        if all(of_arm.get(factor, value) == value for factor, value in shown_only.items())
    }
    files = [file for file in runs.arrays(_sources.PROBE_CURVES) if file.run.arm in parts]
    every = sorted({file.step for file in files})
    shown = _sources.spread_out(every, _CHECKPOINTS) if steps is None else steps
    variants = list(dict.fromkeys(of_arm["intervention"] for of_arm in parts.values()))
    environments = list(dict.fromkeys(of_arm.get("environment", "") for of_arm in parts.values()))
    seeds = sorted({file.run.seed for file in files if file.run.seed is not None})
    with_files = {(parts[file.run.arm].get("environment", ""), file.run.seed) for file in files}
    lines = [(each, seed) for each in environments for seed in seeds if (each, seed) in with_files]
    grid = forms.panels(ax, max(1, len(lines)), max(1, len(variants)))
    for row, (environment, seed) in zip(grid, lines, strict=False):
        for panel, variant in zip(row, variants, strict=True):
            key = {"intervention": variant, **({"environment": environment} if environment else {})}
            chosen = [
                file for file in files if file.run.seed == seed and key.items() <= parts[file.run.arm].items()
            ]
            forms.probe_curves(chosen, panel, shown)
            names = (paper_name(environment), paper_name(variant), f"seed {seed}")
            title = ", ".join(filter(None, names))
            panel.set_title(title if chosen else f"{title}: missing", fontsize="medium")
            if panel is not row[0]:
                panel.set_ylabel("")
            if row is not grid[-1]:
                panel.set_xlabel("")
    drawn = [panel for row in grid for panel in row if panel.lines]
    top = _top_after(_TRANSIENT, drawn)
    for panel in (panel for row in grid for panel in row):
        panel.set_ylim(0, 1.05 * top or 1.0)
    if drawn:
        first_row = [panel for panel in drawn if panel in grid[0]] or drawn[:1]
        roomiest = min(first_row, key=lambda panel: _top_after(0.5, [panel]))
        roomiest.legend(fontsize=7, loc="upper right")
    return ax


def _top_after(share: float, panels: Sequence[Axes]) -> float:
    """Returns the largest finite loss of curves after a share of their steps; 1 without curves."""
    curves = [np.asarray(line.get_ydata(), float) for panel in panels for line in panel.lines]
    later = np.concatenate([curve[int(share * len(curve)) :] for curve in curves] or [np.ones(1)])
    return float(np.max(later, where=np.isfinite(later), initial=0.0))
