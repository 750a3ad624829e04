"""`bin/train` as a process that does not outlive the one that started it.

A lost node takes its runs with it: a run that continued would hold the lock of a run directory in which the
run is to resume elsewhere. It is killed at once; the last checkpoint is whole.
"""

import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

_TRAIN = "tfplastic.command_line.train"
_PR_SET_PDEATHSIG = 1  # prctl(2); exec keeps it
_THREAD_VARIABLES = (
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
)


def thread_limits(threads: int) -> dict[str, str]:
    """Returns the environment variables that give TensorFlow and numpy this number of threads."""
    return dict.fromkeys(_THREAD_VARIABLES, str(threads))


@contextlib.contextmanager
def start(
    arguments: Sequence[str], folder: str | pathlib.Path, environment: Mapping[str, str], log: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    """Starts `bin/train`; the block ends once the process has.

    The process is in a session of its own: Ctrl-C in a terminal is for the sweep or queue, which then stops
    its runs; each saves a checkpoint. An exception in the block, an interrupt included, stops the run alike.

    Args:
        arguments: The command line of `bin/train`.
        folder: The working folder.
        environment: Environment variables that are added to this process'.
        log: An open file that gets all output.

    Yields:
        The running process.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "tfplastic.sweeps.run_process", str(os.getpid()), *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    except BaseException:
        process.terminate()
        raise
    finally:
        process.wait()


def main(arguments: Sequence[str]) -> int:
    """Becomes `bin/train`: a sweep starts the program and does not import it.

    Args:
        arguments: the number of the process that started this one, then the command line of `bin/train`.

    Returns:
        1 if the process that started this one has ended; otherwise the exit code is that of `bin/train`.
    """
    parent, *rest = arguments
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # It ended before it could be asked for the signal.
        return 1
    os.execv(sys.executable, [sys.executable, "-m", _TRAIN, *rest])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
