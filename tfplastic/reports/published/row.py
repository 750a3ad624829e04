"""A published number, and how ours is computed from runs."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tfplastic.reports.reproduction.result import Claim
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
    """

    name: str
    title: str
    source: str
    target: str
    experiment: str
    judge: Callable[[Runs], Judged]
    remarks: Sequence[str] = ()


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
