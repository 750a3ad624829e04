"""All figures of the paper, the runs they need, and their captions."""

import dataclasses
import fnmatch
from collections.abc import Callable

from matplotlib.axes import Axes

from tfplastic.reports import aggregate
from tfplastic.reports.figures import (
    _sources,
    atari,
    correlates,
    instability,
    interventions,
    landscape,
    learning,
    probes,
    width,
)
from tfplastic.reports.runs import Runs

_PROBES = "probe/final_loss"


@dataclasses.dataclass(frozen=True)
class PaperFigure:
    """A figure of the paper.

    Attributes:
        number: in the paper.
        title: subject of the figure.
        draw: function that takes runs and axes, returns the axes; further arguments give the meaning of the
            arms' names.
        scalars: tags or patterns that at least one run must have.
        arrays: tags of arrays that at least one run must have; of a tuple of tags, one of them.
        size: width and height that suit it, in inches.
    """

    number: int
    title: str
    draw: Callable[..., Axes]
    scalars: tuple[str, ...] = ()
    arrays: tuple[str | tuple[str, ...], ...] = ()
    size: tuple[float, float] = (6.0, 4.0)

    def lacks(self, runs: Runs) -> list[str]:
        """Returns the tags that no run has; empty where the figure can be drawn."""
        tags, array_tags = runs.tags(), set(runs.array_tags())
        absent = [each for each in self.scalars if not fnmatch.filter(tags, each)]
        choices = [(each,) if isinstance(each, str) else each for each in self.arrays]
        return absent + [each[0] for each in choices if array_tags.isdisjoint(each)]


def caption(runs: Runs, command: str = "") -> str:
    """Returns the text under a figure about its runs: seeds, interval, missing runs, and the command.

    Args:
        runs: runs that it shows.
        command: command that drew it.
    """
    seeds = {arm: len({run.seed for run in runs if run.arm == arm}) for arm in runs.arms}
    fewest, most = min(seeds.values(), default=0), max(seeds.values(), default=0)
    count = f"{most}" if fewest == most else f"{fewest} to {most}"
    what = f"{_counted(len(runs), 'run')} of {_counted(len(seeds), 'arm')}"
    parts = [f"{what}, {count} seed{'' if most == 1 else 's'} each."]
    parts.append(f"Lines with bands: medians over seeds; bands: {aggregate.band_name([*seeds.values()])}.")
    failed = sum(run.state != "finished" or bool(run.errors) for run in runs)
    if failed or runs.missing():
        parts.append(f"Not finished or with errors: {failed}; missing: {len(runs.missing())}.")
    return " ".join([*parts, *([f"Drawn by: {command}"] if command else [])])


FIGURES = {
    figure.number: figure
    for figure in (
        PaperFigure(
            1,
            "Optimizer instability under changing random labels",
            instability.figure_1,
            (_sources.ACCURACY, _sources.DEAD_UNITS),
        ),
        PaperFigure(
            2,
            "Loss landscape under gradient descent and Brownian motion",
            landscape.figure_2,
            (),
            (_sources.SPECTRA, _sources.COVARIANCE),
            (7, 9),
        ),
        PaperFigure(
            3,
            "Statistics and the loss of plasticity",
            correlates.figure_3,
            (_PROBES, *(tag for tag, _ in correlates.PANELS.values())),
            (),
            (14, 3.6),
        ),
        PaperFigure(4, "Probe curves by checkpoint", probes.figure_4, (), (_sources.PROBE_CURVES,)),
        PaperFigure(5, "Width and the loss of plasticity", width.figure_5, (_PROBES,)),
        PaperFigure(6, "Interventions, CIFAR-10", interventions.figure_6, (_PROBES,), (), (6, 5)),
        PaperFigure(7, "Layer normalization on Atari", atari.figure_7, (_sources.RETURN,), (), (10, 7)),
        PaperFigure(
            8,
            "Interventions and their combinations, CIFAR-10",
            interventions.figure_8,
            (_PROBES,),
            (),
            (6, 7),
        ),
        PaperFigure(
            9, "Interventions and their combinations, MNIST", interventions.figure_9, (_PROBES,), (), (6, 7)
        ),
        PaperFigure(
            10,
            "Probe loss at both ends of training, CIFAR-10",
            interventions.figure_10,
            (_PROBES,),
            (),
            (9, 7),
        ),
        PaperFigure(
            11, "Probe loss at both ends of training, MNIST", interventions.figure_11, (_PROBES,), (), (9, 7)
        ),
        PaperFigure(12, "Accuracy, CIFAR-10", learning.figure_12, (_sources.ACCURACY,), (), (16, 6)),
        PaperFigure(13, "Accuracy, MNIST", learning.figure_13, (_sources.ACCURACY,), (), (16, 6)),
        PaperFigure(14, "Sharpness along training", landscape.figure_14, (_sources.SHARPNESS,), (), (9, 4)),
        PaperFigure(15, "TD loss, MNIST", learning.figure_15, (_sources.TD_LOSS,), (), (16, 6)),
        PaperFigure(16, "TD loss, CIFAR-10", learning.figure_16, (_sources.TD_LOSS,), (), (16, 6)),
        PaperFigure(
            17, "Probe curves by seed and variant", probes.figure_17, (), (_sources.PROBE_CURVES,), (12, 9)
        ),
        PaperFigure(
            18,
            "Probe curves by seed and variant, other data",
            probes.figure_18,
            (),
            (_sources.PROBE_CURVES,),
            (12, 9),
        ),
        PaperFigure(
            19,
            "Gradient covariance of agents that fail",
            atari.figure_19,
            (_sources.RETURN,),
            (_sources.COVARIANCE,),
            (12, 8),
        ),
        PaperFigure(
            20,
            "Gradient covariance of agents that improve",
            atari.figure_20,
            (_sources.RETURN,),
            (_sources.COVARIANCE,),
            (12, 8),
        ),
        PaperFigure(
            21, "Spectra of the games, first half", landscape.figure_21, (), (_sources.SPECTRA,), (14, 12)
        ),
        PaperFigure(
            22, "Spectra of the games, second half", landscape.figure_22, (), (_sources.SPECTRA,), (14, 12)
        ),
    )
}
"""{number: figure}, all 22."""


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
