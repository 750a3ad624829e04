"""`make runs`: makes the runs of a queue, one after another, and commits each as it is finished."""

import concurrent.futures
import contextlib
import dataclasses
import fcntl
import functools
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from absl import flags

from tfplastic._text.lines import one_line
from tfplastic.command_line import entry_point, flag_table
from tfplastic.command_line.entry_point import print_line
from tfplastic.command_line.flag_table import Flag
from tfplastic.configuration.errors import UsageError
from tfplastic.sweeps.queue import kept_files, queue_file
from tfplastic.sweeps.queue.checkout import Checkout
from tfplastic.sweeps.queue.work import Run, runs_of

PROGRAM = "make runs"
_ATTEMPTS = 2  # of a run that fails; the second continues from the last checkpoint
_SECONDS_TO_A_SIGNAL = 1.0  # at most
_FAILURES_IN_A_ROW = 3  # after which the machine or the environment is at fault, and the rest would fail too

_INTRODUCTION = """\
make runs makes the runs that docs/paper/queue.txt lists and commits each as it is finished, with its metrics,
its configuration and arrays that figures read. Stop it at any time: the same command continues.
"""
_USAGE = "Usage: make runs [JOBS=1] [ARGS='flags']\n"
_EXAMPLES = """\
Examples:
  How far the queue is:
    make runs ARGS=--dry_run
  Two runs at a time, in the background:
    nohup make runs JOBS=2 >runs/queue.log 2>&1 &

To rebase or merge the checkout meanwhile: flock runs/queue/commit.lock git rebase main
"""
_FLAGS = (
    Flag(
        flags.DEFINE_string,
        "queue",
        "docs/paper/queue.txt",
        "--queue=FILE",
        "The file that lists experiments and the commit they run at; runs are committed into folders next to"
        " it, in the checkout that it is in. Default: docs/paper/queue.txt.",
    ),
    Flag(
        functools.partial(flags.DEFINE_integer, lower_bound=1),
        "jobs",
        1,
        "--jobs=N",
        "How many runs are made at a time, each with one thread. Default: 1.",
    ),
    Flag(
        functools.partial(flags.DEFINE_integer, lower_bound=0),
        "limit",
        None,
        "--limit=N",
        "Make the first N of the runs that are not there. Default: all.",
    ),
    Flag(
        flags.DEFINE_boolean,
        "dry_run",
        False,
        "--[no]dry_run",
        "Say how many runs of each experiment are there, and exit, also while another process makes them."
        " Default: --nodry_run.",
    ),
    flag_table.DEBUG,
)
_RULES = {"jobs": "an integer of at least 1", "limit": "an integer of at least 0"}


@dataclasses.dataclass(frozen=True)
class Options:
    """The flags; `--help` explains each."""

    queue: Path
    jobs: int
    limit: int | None
    dry_run: bool
    debug: bool
    help: bool


def main(arguments: Sequence[str]) -> int:
    """Runs the program.

    Args:
        arguments: the command line without the program's name.

    Returns:
        The exit code: 0 when all is done, 1 if a run was given up, 2 if the request cannot be carried out,
        130 or 143 when it was stopped.
    """
    return entry_point.run(PROGRAM, lambda: parse(arguments), _act)


def parse(arguments: Sequence[str]) -> Options:
    """Returns the options that `arguments` give.

    Raises:
        UsageError: a flag is unknown or its value is wrong, or an argument is not a flag.
    """
    values, rest = flag_table.parse(PROGRAM, _FLAGS, arguments, _RULES)
    if rest:
        raise UsageError(f"unexpected argument {rest[0]!r}. The queue is given as --queue=FILE")
    return Options(Path(values.queue), values.jobs, values.limit, values.dry_run, values.debug, values.help)


def _act(given: Options) -> int:
    if given.help:
        print_line(flag_table.help_text(_INTRODUCTION, _USAGE, _FLAGS, _EXAMPLES))
        return 0
    entries = queue_file.read(given.queue)
    folder = given.queue.resolve().parent
    checkout = Checkout(folder)
    scratch = checkout.top / "runs" / "queue"
    runs = list(runs_of(entries, checkout, scratch, folder))
    for line in progress(runs):
        print_line(line)
    if given.dry_run:
        return 0
    with _alone(scratch / "lock"):
        return Queue(checkout, scratch, folder, runs).work_off(given.jobs, given.limit)


def progress(runs: Sequence[Run]) -> list[str]:
    """Returns a line for each experiment: the number of its runs that are there, and of all."""
    entries = dict.fromkeys(run.entry for run in runs)
    total, there = Counter(run.entry for run in runs), Counter(run.entry for run in runs if run.is_kept)
    return [
        f"{entry.figure}: {there[entry]} of {total[entry]} runs of {entry.experiment} at {entry.commit[:12]}"
        for entry in entries
    ]


class Queue:
    """The runs of a queue that are to be made and committed.

    Args:
        checkout: checkout that they are committed into.
        scratch: directory for clones of the commits and for unfinished runs.
        folder: folder of the committed runs.
        runs: all of them, in order.
    """

    def __init__(self, checkout: Checkout, scratch: Path, folder: Path, runs: Sequence[Run]):
        self._checkout = checkout
        self._scratch = scratch
        self._folder = folder
        self._runs = runs
        self._lock = threading.RLock()  # of the checkout and of what is counted
        self._given_up = 0
        self._in_a_row = 0
        self._uncommitted: list[Run] = []  # finished and copied; git was busy

    def work_off(self, jobs: int, limit: int | None) -> int:
        """Makes and commits the runs that are not there; the exit code."""
        self._commit_left_over()
        todo = [run for run in self._runs if not run.is_kept][:limit]
        for run in todo:
            self._checkout.clone(run.commit, run.code)
        with _stop_on_signals() as stop:
            with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
                for future in [pool.submit(self._do, run, stop) for run in todo]:
                    # The system may give a signal to another thread, which does not wake this one.
                    while not concurrent.futures.wait([future], timeout=_SECONDS_TO_A_SIGNAL).done:
                        pass
                    future.result()
            if stop.signal:
                print_line("Stopped. Run the same command again to continue.")
                return 128 + stop.signal
        self._commit_again()
        for run in self._uncommitted:
            print_line(f"{run.name}: not committed. Run the same command again to try again")
        if self._in_a_row >= _FAILURES_IN_A_ROW:
            print_line(
                f"Stopped after {self._in_a_row} failures in a row: see the logs named above, mend the cause"
                " and run the same command again to continue."
            )
        return 1 if self._given_up or self._uncommitted else 0

    def _do(self, run: Run, stop: "_Stop") -> None:
        begun = time.monotonic()
        if self._in_a_row >= _FAILURES_IN_A_ROW:
            return
        for _ in range(_ATTEMPTS):
            if not (run.is_finished or stop.is_set()):
                run.make(stop)
        if run.is_finished:
            self._keep(run, f"{time.monotonic() - begun:.0f} s")
        elif not stop.is_set():
            self._give_up(run, f"{run.why_not()} ({run.log})")

    def _keep(self, run: Run, duration: str) -> None:
        with self._lock:
            self._commit_again()
            try:
                kept_files.keep(run.directory, run.entry.arrays, run.kept, self._scratch / "kept")
            except (OSError, ValueError) as error:
                self._give_up(run, f"not kept: {one_line(error)}. Run the same command again to try again")
                return
            self._in_a_row = 0
            why = self._commit(run)
            there = sum(each.is_kept for each in self._runs)
            if why:
                self._uncommitted.append(run)
        outcome = f"not committed yet: {why}" if why else f"{duration}, {there} of {len(self._runs)}"
        print_line(f"{time.strftime('%H:%M')} {run.name}: {outcome}")

    def _commit_again(self) -> None:
        """Commits the runs that git did not take before."""
        self._uncommitted = [run for run in self._uncommitted if self._commit(run)]

    def _commit(self, run: Run) -> str:
        message = f"{run.entry.figure}: {run.arm.name}, seed {run.seed}"
        return self._checkout.commit(run.kept, message, self._scratch / "commit.lock")

    def _commit_left_over(self) -> None:
        """Commits runs that were copied when this program was killed, before they were committed."""
        changed = {parent for path in self._checkout.changed(self._folder) for parent in path.parents}
        for run in self._runs:
            if run.kept in changed and run.is_kept and (why := self._commit(run)):
                self._give_up(run, f"not committed: {why}")

    def _give_up(self, run: Run, why: str) -> None:
        with self._lock:
            self._given_up += 1
            self._in_a_row += 1
        print_line(f"{time.strftime('%H:%M')} {run.name}: {why}")


class _Stop(threading.Event):
    """Set by SIGINT or SIGTERM.

    Attributes:
        signal: its number, 0 before.
    """

    signal = 0

    def take(self, number: int, frame: FrameType | None) -> None:
        """Handles the signal."""
        self.signal = number
        self.set()


@contextlib.contextmanager
def _stop_on_signals() -> Iterator[_Stop]:
    stop = _Stop()
    before = {number: signal.signal(number, stop.take) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Holds a lock that ends with this process, however it ends.

    Raises:
        UsageError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise UsageError(
                f"process {file.read().strip()} works on this queue already. Wait for it, or stop it"
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
