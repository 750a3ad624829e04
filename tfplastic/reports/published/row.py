"""A published number, and how ours is computed from runs."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tfplastic.reports.reproduction.result import Claim, Drawing
from tfplastic.reports.runs import Runs

Seeds = Mapping[str, Sequence[int]]
"""{arm: seeds}: the runs that there should be."""


@dataclasses.dataclass(frozen=True)
class Judged:
    """Our result.

    Attributes:
        ours: the number next to the target, in words; '' without runs.
        claims: statements of the source with our measurement, the one that the check is about first.
    """

    ours: str
    claims: Sequence[Claim]


def _no_tables(runs: Runs, planned: Seeds) -> Sequence[str]:
    return ()


def _no_drawings(runs: Runs) -> Sequence[Drawing]:
    return ()


@dataclasses.dataclass(frozen=True)
class Row:
    """A check.

    Attributes:
        name: its name for `make published`, and the folder of its runs.
        title: subject.
        source: paper, and how sure the target is.
        target: published number with the tolerance, or shape.
        experiment: gin file of its runs.
        judge: computes our result from runs, as many as there are.
        remarks: sentences on differences from the source and on causes.
        needs: tags of the scalars without one of which a run counts as damaged.
        tables: function of the runs that are there and those that there should be, to tables in Markdown.
        drawings: function of at least one run to figures.
    """

    name: str
    title: str
    source: str
    target: str
    experiment: str
    judge: Callable[[Runs], Judged]
    remarks: Sequence[str] = ()
    needs: Sequence[str] = ()
    tables: Callable[[Runs, Seeds], Sequence[str]] = _no_tables
    drawings: Callable[[Runs], Sequence[Drawing]] = _no_drawings


@dataclasses.dataclass(frozen=True)
class RowsPage:
    """A page of checks.

    Attributes:
        file: its name below the folder of documents.
        introduction: text that it begins with, its title first.
        rows: checks, in the order in which they are to be run.
    """

    file: str
    introduction: str
    rows: Sequence[Row]


@dataclasses.dataclass(frozen=True)
class Study:
    """An experiment of our own, with a page or a part of one.

    Attributes:
        name: its name for `make published`, and the folder of its runs.
        title: subject.
        experiment: gin file of its runs.
        page: page that shows it, below the folder of documents.
        write: function that returns its text in Markdown: of its runs, the runs that there should be, and the
            path of the folder of all runs from the page. With a folder it saves its figures there.
    """

    name: str
    title: str
    experiment: str
    page: str
    write: "Writing"


class Writing(Protocol):
    """Form of `Study.write`."""

    def __call__(self, runs: Runs, planned: Seeds, link: str = ..., figures: Path | None = ...) -> str:
        """Returns the text."""
        ...
