"""Committed runs and the runs that there should be, by figure of the paper."""

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tfplastic.reports.runs import Run, Runs, read_runs

Grid = Mapping[str, Mapping[str, Sequence[int]]]
"""{folder next to the page: {arm: seeds}}: the runs that there should be."""


class Part(NamedTuple):
    """Some runs of a folder.

    Attributes:
        folder: next to the page.
        arms: a regular expression that the whole name of an arm fits.
        prefix: put before the names of the arms.
    """

    folder: str
    arms: str = ".*"
    prefix: str = ""


_FIG06_AS_FIG12 = "(two_hot|weight_decay|shrink_and_perturb|reset_last_layer|layer_norm|none)"
_MINATAR = (Part("minatar_fig07"),)


def _learning(data: str) -> tuple[Part, ...]:
    easy = Part("fig06", rf"{data}-\w+-{_FIG06_AS_FIG12}", "easy-")
    return easy, Part("fig12", rf"hard-{data}-.*")


PARTS: Mapping[int, Sequence[Part]] = {
    1: (Part("fig01"), Part("fig01_paper_network", prefix="paper_network-")),
    2: (Part("fig02_both_losses"),),
    3: (Part("fig03"),),
    4: (Part("fig04_iterations"),),
    5: (Part("fig05"),),
    6: (Part("fig06", r"cifar10-[^+]*"),),
    7: _MINATAR,
    8: (Part("fig06", "cifar10-.*"),),
    9: (Part("fig06", "mnist-.*"),),
    10: (Part("fig06", "cifar10-.*"),),
    11: (Part("fig06", "mnist-.*"),),
    12: _learning("cifar10"),
    13: _learning("mnist"),
    14: (Part("fig14"),),
    15: _learning("mnist"),
    16: _learning("cifar10"),
    17: (Part("fig17"),),
    18: (Part("fig18"),),
    **dict.fromkeys((19, 20, 21, 22), _MINATAR),
}
"""{figure of the paper: the runs that it is of}."""
TESTS: Mapping[int, Sequence[Part]] = {
    6: (Part("fig06", "cifar10-cnn-none", "float32-"), Part("fig06_bfloat16", prefix="bfloat16-")),
    8: (Part("fig06_coefficients"),),
    10: (Part("fig06", "cifar10-mlp-none", "centered-"), Part("fig06_pixel_range", prefix="uncentered-")),
}
"""{figure: runs that test an explanation or a setting}, which no verdict is of."""
EARLIER: Mapping[int, Sequence[Part]] = {2: (Part("fig02"),), 4: (Part("fig04"),)}
"""{figure: runs of before its experiment changed}, which count while there are no others."""


@dataclasses.dataclass(frozen=True)
class Selection:
    """Runs of one figure.

    Attributes:
        runs: the finished ones, named by their path from the page.
        there: number of the required runs that are there.
        of: number of runs that there should be.
        is_earlier: whether `runs` are of before the experiment changed; they are not counted in `there`.
        damaged: lines on required runs that are left out, 'name: problem'.
    """

    runs: Runs
    there: int
    of: int
    is_earlier: bool = False
    damaged: Sequence[str] = ()

    @property
    def progress(self) -> str:
        """Such as '3 of 12'."""
        return f"{self.there} of {self.of}"

    @property
    def is_complete(self) -> bool:
        """Whether all runs that there should be are there."""
        return self.there == self.of > 0


class Committed:
    """Committed runs.

    Args:
        folder: folder of the page, with a folder for each experiment.
        grid: runs that there should be.
        listed: {path of a run from the page}: the runs to consider, such as those that an earlier page lists;
            all by default.
    """

    def __init__(self, folder: Path, grid: Grid, listed: Collection[str] | None = None):
        self.folder = folder
        self._grid = grid
        self._listed = listed
        self._read: dict[str, Runs] = {}

    def select(self, figure: int) -> Selection:
        """Returns the runs of a figure of the paper."""
        selection = self._selection(PARTS[figure])
        if len(selection.runs) or figure not in EARLIER:
            return selection
        earlier = Runs(self._runs(EARLIER[figure]))
        return dataclasses.replace(selection, runs=earlier, is_earlier=True)

    def tests(self, figure: int) -> Selection:
        """Returns the runs that test an explanation or a setting of a figure."""
        return self._selection(TESTS[figure])

    def _selection(self, parts: Sequence[Part]) -> Selection:
        wanted = {
            (part.prefix + arm, seed)
            for part in parts
            for arm, seeds in self._grid.get(part.folder, {}).items()
            if re.fullmatch(part.arms, arm)
            for seed in seeds
        }
        runs = self._runs(parts)
        there = len({(run.arm, run.seed) for run in runs} & wanted)
        return Selection(Runs(runs), there, len(wanted), damaged=self._damaged(parts, wanted))

    def _runs(self, parts: Sequence[Part]) -> list[Run]:
        return [run for run in self._named(parts) if run.state == "finished" and not run.errors]

    def _damaged(self, parts: Sequence[Part], wanted: Collection[tuple[str, int | None]]) -> list[str]:
        """Returns a line for each required run with an error."""
        return [
            f"{run.name}: {'; '.join(run.errors)}"
            for run in self._named(parts)
            if run.errors and (run.arm, run.seed) in wanted
        ]

    def _named(self, parts: Sequence[Part]) -> list[Run]:
        """Returns all runs of some parts, with the prefixes of their arms."""
        return [
            dataclasses.replace(run, arm=part.prefix + run.arm)
            for part in parts
            for run in self._of_folder(part.folder)
            if re.fullmatch(part.arms, run.arm)
        ]

    def _of_folder(self, name: str) -> Runs:
        if name not in self._read:
            path = self.folder / name
            found = read_runs(path) if path.is_dir() else Runs([])
            order = {arm: number for number, arm in enumerate(self._grid.get(name, {}))}
            named = [dataclasses.replace(run, name=f"{name}/{run.name}") for run in found]
            named.sort(key=lambda run: order.get(run.arm, len(order)))  # stable: by seed within an arm
            self._read[name] = Runs(run for run in named if self._listed is None or run.name in self._listed)
        return self._read[name]
