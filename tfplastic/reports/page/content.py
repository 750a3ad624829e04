"""The contents of a report, before it is a page: sections of texts, pictures and tables."""

import dataclasses
from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from tfplastic.reports.runs import Runs


@dataclasses.dataclass(frozen=True)
class ReportInput:
    """Input of a report.

    Attributes:
        runs: all runs.
        title: title of the page.
        command: command that makes the report.
        errors: {(arm, seed): error that a sweep records of a run that has left no directory}.
    """

    runs: Runs
    title: str
    command: str = ""
    errors: Mapping[tuple[str, int], str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        name: name of its files, without ending.
        title: a few words.
        caption: subject of the picture, and its runs.
        figure: drawn.
        is_wide: whether it takes the whole width of the page.
        is_cut: whether parts of the drawing may be beyond the figure's edges, or far from them.
    """

    name: str
    title: str
    caption: str
    figure: Figure
    is_wide: bool = False
    is_cut: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: name of its files, without ending.
        title: a few words.
        frame: its content; the index is not shown.
        note: explanation of its columns.
        is_folded: whether the page shows it only on demand.
    """

    name: str
    title: str
    frame: pd.DataFrame
    note: str = ""
    is_folded: bool = False


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        title: its heading.
        texts: paragraphs; of a section without data the reason.
        lists: {heading: lines}.
        pictures: in their order.
        tables: after the pictures, in their order.
        facts: (number, meaning) in large print.
    """

    title: str
    texts: Sequence[str] = ()
    lists: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    facts: Sequence[tuple[str, str]] = ()

    @property
    def anchor(self) -> str:
        """Where links within the page lead."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.title.lower())


def listed(names: Sequence[str], limit: int = 12) -> str:
    """Joins names as a phrase, `limit` of them.

    Example:
        >>> from tfplastic.reports.page.content import listed
        >>> listed(['a', 'b', 'c'], 2)
        'a, b and 1 more'
    """
    shown = ", ".join(names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")
