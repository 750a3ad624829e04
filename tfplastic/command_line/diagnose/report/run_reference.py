"""What the network of a run was at gradient step 0."""

import pathlib

from tfplastic.command_line.errors import UsageError, one_line
from tfplastic.diagnostics import Reference
from tfplastic.training.run_diagnostics import REFERENCE_FILE


def of_run(run_directory: str) -> Reference | None:
    """What the run's own diagnostics have kept; None where they had no use for it.

    Raises:
        UsageError: the file is damaged.
    """
    path = pathlib.Path(run_directory) / REFERENCE_FILE
    if not path.exists():
        return None
    try:
        return Reference.load(path)
    except ValueError as error:
        raise UsageError(f"--run_dir: {one_line(error)}") from error
