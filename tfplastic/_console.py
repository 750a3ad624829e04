"""Programs on the PATH of an installed package; `bin/` has the same for a clone."""

import sys

from tfplastic.command_line import interpreter
from tfplastic.command_line.interpreter import REPORT_PACKAGES, TRAIN_PACKAGES


def train() -> int:
    """Runs `tfplastic-train`, which is `bin/train`."""
    interpreter.require_extras("rl", TRAIN_PACKAGES)
    from tfplastic.command_line import train as program

    return program.main(sys.argv[1:])


def diagnose() -> int:
    """Runs `tfplastic-diagnose`, which is `bin/diagnose`."""
    interpreter.require_extras("reports", ("matplotlib",))
    from tfplastic.command_line import diagnose as program

    return program.main(sys.argv[1:])


def sweep() -> int:
    """Runs `tfplastic-sweep`, which is `bin/sweep`."""
    interpreter.require_extras("sweeps", ("fsspec", "ray"))
    interpreter.require_extras("rl", TRAIN_PACKAGES)
    from tfplastic.command_line import sweep as program

    return program.main(sys.argv[1:])


def report() -> int:
    """Runs `tfplastic-report`, which is `bin/report`."""
    interpreter.require_extras("reports", REPORT_PACKAGES)
    from tfplastic.command_line import report as program

    return program.main(sys.argv[1:])
