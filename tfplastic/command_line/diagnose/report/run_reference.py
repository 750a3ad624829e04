"""The network of a run at gradient step 0."""

import pathlib

from tfplastic._text.lines import one_line
from tfplastic.command_line.entry_point import print_line
from tfplastic.diagnostics import Reference
from tfplastic.training.events.measurements.diagnostics import REFERENCE_FILE


def of_run(run_directory: str) -> Reference | None:
    """Returns the reference kept by the run's own diagnostics; None without one, or if damaged."""
    path = pathlib.Path(run_directory) / REFERENCE_FILE
    if not path.exists():
        return None
    try:
        return Reference.load(path)
    except ValueError as error:
        print_line(f"The network of gradient step 0 cannot be read: {one_line(error)}")
        return None
