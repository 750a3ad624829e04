"""Figs. 4, 17 and 18: speed at which a network fits new targets, checkpoint by checkpoint."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from tfplastic.reports.cells import arm_factors
from tfplastic.reports.figures import _sources, forms
from tfplastic.reports.runs import Runs

_CHECKPOINTS = 5  # lines that one can tell apart, and the paper's number


def figure_4(runs: Runs, ax: Axes, steps: Sequence[int] | None = None) -> Axes:
    """The loss along the probe, from several checkpoints of training.

    Fig. 4 of the paper, section 5.3: a CNN on CIFAR-10. Lines are means over targets and seeds, shades lie
    between their quartiles.

    Args:
        runs: runs of one arm, with arrays `probe/curves`.
        ax: to draw on.
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
    runs: Runs, ax: Axes, factors: Sequence[str] = ("intervention",), steps: Sequence[int] | None = None
) -> Axes:
    """The loss along the probe from several checkpoints: a row for each seed, a column for each variant.

    Figs. 17 and 18 of the paper, appendix B.2: seeds and variants differ a lot. It has one for each of easy
    and hard, MNIST and CIFAR-10; here 17 and 18 have the same form, for the runs that they are given.

    Args:
        runs: with arrays `probe/curves`.
        ax: to draw on.
        factors: parts of the arms' names, 'intervention' among them.
        steps: steps of the checkpoints; by default five of them, evenly from the first to the last.

    Raises:
        ValueError: no run has probe curves, or an arm's name has other parts.
    """
    files = _sources.arrays(runs, _sources.PROBE_CURVES)
    every = sorted({file.step for file in files})
    variant_of = {arm: parts["intervention"] for arm, parts in arm_factors(runs, factors).items()}
    variants = list(dict.fromkeys(variant_of.values()))
    seeds = sorted({file.run.seed for file in files if file.run.seed is not None})
    for row, seed in zip(forms.panels(ax, len(seeds), len(variants)), seeds, strict=True):
        for panel, variant in zip(row, variants, strict=True):
            chosen = [file for file in files if file.run.seed == seed and variant_of[file.run.arm] == variant]
            shown = _sources.spread_out(every, _CHECKPOINTS) if steps is None else steps
            forms.probe_curves(chosen, panel, shown)
            panel.set(title=f"{variant}, seed {seed}" if chosen else f"{variant}, seed {seed}: missing")
            if panel is not row[0]:
                panel.set_ylabel("")
            if chosen:
                panel.legend(fontsize=6)
    return ax


def figure_18(
    runs: Runs, ax: Axes, factors: Sequence[str] = ("intervention",), steps: Sequence[int] | None = None
) -> Axes:
    """Draws `figure_17` for the other data."""
    return figure_17(runs, ax, factors, steps)
