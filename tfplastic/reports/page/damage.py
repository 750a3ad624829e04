"""Sections of a page where files of some runs are damaged: those runs are named, the rest is drawn."""

import dataclasses
from collections.abc import Callable

from tfplastic.reports.page.content import Material, Section
from tfplastic.reports.runs import Run, Runs


def of_readable(part: Callable[[Material], Section], material: Material) -> Section:
    """Makes a section without the runs from which alone it cannot be made, and names each of them in it.

    Args:
        part: makes a section.
        material: input of the report, with all runs.

    Raises:
        Exception: error of `part` where no single run is at fault.
    """
    try:
        return part(material)
    except Exception as error:  # whatever damaged arrays make of it
        faults = {run.path: _fault(part, material, run) for run in material.runs}
        if not any(faults.values()):
            raise error
        good = material.runs.where(lambda run: not faults[run.path])
        section = part(dataclasses.replace(material, runs=good))
        lines = [
            f"{run.name} is left out here: {faults[run.path]}." for run in material.runs if faults[run.path]
        ]
        return dataclasses.replace(section, texts=[*section.texts, *lines])


def _fault(part: Callable[[Material], Section], material: Material, run: Run) -> str:
    """Describes the problem of a run for this section, '' where there is none."""
    try:
        part(dataclasses.replace(material, runs=Runs([run])))
    except Exception as error:
        return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
    return ""
