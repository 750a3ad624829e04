"""The runs of a queue, and how one of them is made."""

import contextlib
import dataclasses
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from tfplastic import run_format
from tfplastic._text.lines import last_line
from tfplastic.configuration.errors import UsageError
from tfplastic.sweeps import experiment_file, run_process
from tfplastic.sweeps.experiment import Arm, Experiment
from tfplastic.sweeps.job import LOGS, run_name
from tfplastic.sweeps.queue.checkout import Checkout
from tfplastic.sweeps.queue.queue_file import Entry

_LOOK_PERIOD_S = 0.5


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of the queue.

    Attributes:
        entry: the experiment that it is of.
        arm: its arm.
        seed: its root seed.
        commit: 40 digits.
        code: the clone of that commit.
        directory: directory in which it is made.
        kept: folder of its committed files.
    """

    entry: Entry
    arm: Arm
    seed: int
    commit: str
    code: Path
    directory: Path
    kept: Path

    @property
    def name(self) -> str:
        """Directory of the figure and of the run."""
        return f"{self.entry.figure} {self.directory.name}"

    @property
    def is_kept(self) -> bool:
        """Returns whether the committed files are there, of a run that finished at this commit."""
        status = _status(self.kept)
        return status.get("state") == "finished" and status.get("commit") == self.commit

    @property
    def is_finished(self) -> bool:
        """Whether it has been made."""
        return _status(self.directory).get("state") == "finished"

    @property
    def log(self) -> Path:
        """The file that holds its output."""
        return self.directory.parent / LOGS / f"{self.directory.name}.log"

    def why_not(self) -> str:
        """Returns the error that ended it, in one line."""
        error = _status(self.directory).get("error")
        if error:
            return str(error)
        with contextlib.suppress(OSError):
            return last_line(self.log.read_text(encoding="utf-8", errors="replace")) or "no output"
        return "no output"

    def make(self, stop: threading.Event) -> None:
        """Trains it, or continues it, with one thread, until it ends or `stop` is set.

        The process does not outlive this one.
        """
        arguments = [f"--gin_file={file}" for file in self.arm.files]
        arguments += [f"--gin_bindings={binding}" for binding in self.arm.bindings]
        arguments += [f"--seed={self.seed}", f"--run_dir={self.directory}", "--device=cpu"]
        environment = {**run_process.thread_limits(1), "PYTHONPATH": os.fspath(self.code)}
        if data := os.environ.get("TFPLASTIC_DATA_DIR"):  # the run has another working directory
            environment["TFPLASTIC_DATA_DIR"] = os.path.abspath(os.path.expanduser(data))
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with (
            open(self.log, "ab") as log,
            run_process.start(arguments, self.code, environment, log) as process,
        ):
            while process.poll() is None:
                if stop.is_set():
                    process.terminate()
                    process.wait()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_LOOK_PERIOD_S)


def runs_of(entries: list[Entry], checkout: Checkout, scratch: Path, kept: Path) -> Iterator[Run]:
    """Returns all runs, entry after entry, seed after seed; nothing is cloned or written for them.

    Args:
        entries: entries of the queue.
        checkout: checkout that holds their commits.
        scratch: directory for clones of the commits and for unfinished runs.
        kept: folder of committed runs.

    Raises:
        UsageError: an experiment is missing or malformed, or two runs would be committed to one path.
    """
    taken: set[Path] = set()
    for entry in entries:
        commit = checkout.commit_of(entry.commit)
        code = scratch / commit[:12] / "code"
        experiment = _experiment(entry, checkout, commit)
        for seed in experiment.seeds:
            for arm in experiment.arms:
                name = run_name(arm.name, seed)
                target = kept / entry.figure / name
                if target in taken:
                    text = f"two runs of the queue would be committed to {target}"
                    raise UsageError(f"{text}. Remove the line of one of them")
                taken.add(target)
                yield Run(entry, arm, seed, commit, code, code.parent / entry.figure / name, target)


def _experiment(entry: Entry, checkout: Checkout, commit: str) -> Experiment:
    text = checkout.file_of(commit, entry.experiment)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, entry.experiment)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        try:
            return experiment_file.read(os.fspath(file))
        except UsageError as error:
            raise UsageError(str(error).replace(f"{scratch}{os.sep}", f"{commit[:12]}:")) from error


def _status(directory: Path) -> dict[str, object]:
    try:
        return run_format.known_status((directory / run_format.STATUS_FILE).read_bytes())
    except OSError:
        return {}
