"""Sections of a page where files of some runs are damaged: those runs are named, the rest is drawn."""

import dataclasses
from collections.abc import Callable

from tfplastic.reports.page.content import ReportInput, Section
from tfplastic.reports.runs import Run, Runs


def of_readable(part: Callable[[ReportInput], Section], contents: ReportInput) -> Section:
    """Makes a section without the damaged runs, which it names.

    Args:
        part: function that makes a section.
        contents: input of the report, with all runs.

    Raises:
        Exception: error of `part` where no single run is at fault.
    """
    try:
        return part(contents)
    except Exception as error:  # whatever damaged arrays make of it
        faults = {run.path: _fault(part, contents, run) for run in contents.runs}
        if not any(faults.values()):
            raise error
        good = contents.runs.where(lambda run: not faults[run.path])
        section = part(dataclasses.replace(contents, runs=good))
        lines = [
            f"{run.name} is left out here: {faults[run.path]}." for run in contents.runs if faults[run.path]
        ]
        return dataclasses.replace(section, texts=[*section.texts, *lines])


def _fault(part: Callable[[ReportInput], Section], contents: ReportInput, run: Run) -> str:
    """Describes the problem of a run for this section, '' where there is none."""
    try:
        part(dataclasses.replace(contents, runs=Runs([run])))
    except Exception as error:
        return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
    return ""
