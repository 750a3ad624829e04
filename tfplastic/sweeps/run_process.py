"""`bin/train` as a process that does not outlive the one that started it.

A node that is lost takes its runs with it: one that went on would hold the lock of a run directory in which
the run is to go on elsewhere. It is killed where it stands; the last checkpoint is whole.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

from tfplastic.command_line import train

_PR_SET_PDEATHSIG = 1  # prctl(2)


def main(arguments: Sequence[str]) -> int:
    """Runs `bin/train`.

    Args:
        arguments: the number of the process that started this one, then the command line of `bin/train`.

    Returns:
        The exit code of `bin/train`.
    """
    parent, *rest = arguments
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # It ended before it could be asked for the signal.
        return 1
    return train.main(rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
