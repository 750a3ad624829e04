"""The run directory: the files of a run, in a public format; resumed or refused, never overwritten.

    config.gin              the configuration that was requested
    operative_config.gin    every value it used; it decides whether two runs are the same
    metrics.csv             step,tag,value                     (`tfplastic.writers.MetricsFileWriter`)
    arrays/<tag>/<step>.npz spectra, histograms, probe curves  (the same)
    tensorboard/            event files                        (`tfplastic.writers.TensorBoardWriter`)
    checkpoints/
    status.json             state, step, versions, device, times, error
    run.lock                held by the process that runs here

Steps are gradient steps.
"""

import contextlib
import datetime
import fcntl
import importlib.metadata
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Self

import tfplastic
from tfplastic import _source, run_format
from tfplastic._checks import check_integer, check_one_of
from tfplastic.run_format import (
    ARRAYS_DIRECTORY,
    CHECKPOINTS_DIRECTORY,
    CONFIG_FILE,
    LOCK_FILE,
    METRICS_FILE,
    OPERATIVE_CONFIG_FILE,
    STATES,
    STATUS_FILE,
    TENSORBOARD_DIRECTORY,
)
from tfplastic.training.run import bindings as run_bindings
from tfplastic.training.run.config_differences import differences
from tfplastic.training.run.tensorboard_files import cut_event_files, event_file_sizes
from tfplastic.writers import atomic_file, temporary_name

_TOTAL_STEPS = "train.total_steps"
_PACKAGES = {
    "tensorflow": "tensorflow",
    "keras": "keras",
    "tf_keras": "tf-keras",
    "tf_agents": "tf-agents",
    "ale_py": "ale-py",
    "numpy": "numpy",
}
_ELSEWHERE = "Choose another run directory"


class RunDirectoryError(ValueError):
    """A directory that cannot hold this run; the message gives the reason and the remedy in one line."""


class RunDirectory:
    """One run's directory, held by one process at a time.

    It is made by `open` and released by `close` or the end of the process.

    Attributes:
        path: the directory.
        is_new: whether `open` found no run in it.
        state: the last state written, one of `STATES`. After `open` it is 'finished' if the same run is there
            and has done all its steps, so that there is nothing to do, and 'starting' otherwise.
    """

    def __init__(self, path: Path, is_new: bool, total_steps: int | None, lock: IO[str]):
        self.path = path
        self.is_new = is_new
        self.state = "starting"
        self._lock = lock
        self._versions = versions()
        self._status_before = self._read_status_bytes()
        self._source = _source.of_package()
        self._fields: dict[str, Any] = {"device": None, "step": 0} | self.status()
        self._fields["total_steps"] = total_steps
        # Clocks that would have read 0 when the first process began, had none paused.
        self._wall_start = time.monotonic() - self._fields.get("wall_time_s", 0.0)
        self._cpu_start = time.process_time() - self._fields.get("cpu_time_s", 0.0)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], config_text: str, operative_text: str, resume: bool = True
    ) -> "RunDirectory":
        """Starts a run in a new or empty directory, or resumes the same run in its own.

        Two runs are the same if their operative configs have equal bindings, apart from `train.total_steps`,
        `train.log_period`, `train.checkpoint_period` and `train.keep_checkpoints`. An argument that one of
        them lacks has its default there, or the value in `tfplastic/_renames/old_values.py`. Where only those
        differ, the files of the config are brought up to date. Half-written files of a killed process are
        removed.

        Args:
            path: the directory.
            config_text: the gin config as given.
            operative_text: gin's operative config, complete: everything configured has been built.
            resume: whether to resume a run that is there already.

        Raises:
            RunDirectoryError: if the directory holds another run (the message names a binding that differs)
                or something that is not a run, if it holds this run and `resume` is false, if another process
                is running in it, or if it cannot be written. Nothing the run wrote is changed then.
        """
        path = Path(path)
        _check_is_free_or_run(path)
        new = run_bindings.parse_bindings(operative_text)
        lock = _lock(path)
        try:
            is_new = not (path / OPERATIVE_CONFIG_FILE).exists()
            old = new if is_new else _check_same_run(path, new, resume)
            _remove_temporary_files(path)
            directory = cls(path, is_new, _total_steps(new), lock)
            if directory._has_finished():
                directory.state = "finished"
                return directory
            # The operative config comes first: it is what makes a directory a run.
            if is_new or old != new:
                _write_text(path / OPERATIVE_CONFIG_FILE, operative_text)
            if is_new or old != new or not (path / CONFIG_FILE).exists():
                _write_text(path / CONFIG_FILE, config_text)
            directory.write_status("starting", directory._fields["step"])
            return directory
        except BaseException:
            lock.close()
            raise

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints go; created by whoever writes the first."""
        return self.path / CHECKPOINTS_DIRECTORY

    @property
    def tensorboard(self) -> Path:
        """Where TensorBoard's event files go; created by whoever writes the first."""
        return self.path / TENSORBOARD_DIRECTORY

    def write_status(self, state: str, step: int, **fields: Any) -> None:
        """Writes `status.json`, in one move.

        Besides `fields` it holds `state`, `step`, `total_steps` (of the operative config, null if it has
        none), `versions` (of Python, this library and its dependencies; null where not installed), `commit`
        of this library's code and `tree_changed` (whether files differ from it; both null where that cannot
        be known, see `tfplastic/_source.py`), `device` (null until given), `wall_time_s` and `cpu_time_s`
        (seconds that processes held this directory, and the processor time of all their threads, over all
        resumes, up to this writing), `error` (one line, or null), and `started` and `updated` (UTC, ISO
        8601).

        Args:
            state: one of `STATES`.
            step: gradient steps done.
            **fields: more entries, JSON values; non-finite numbers become null. They are kept at later
                writings that do not give them, except `error`, which is null unless given.

        Raises:
            ValueError: if the state or the step is none.
        """
        check_one_of("state", state, STATES)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self._fields = {"started": now} | self._fields | {"error": None} | fields
        self._fields |= {
            "state": state,
            "step": check_integer("step", step),
            "versions": self._versions,
            **self._source._asdict(),
            "wall_time_s": time.monotonic() - self._wall_start,
            "cpu_time_s": time.process_time() - self._cpu_start,
            "updated": now,
        }
        if self._fields["error"] is not None:
            self._fields["error"] = " ".join(str(self._fields["error"]).split())
        self._write_status_text(run_format.status_text(self._fields))
        self.state = state

    def status(self) -> dict[str, Any]:
        """Returns the entries of `status.json`; empty where there is none yet, or a garbled one.

        It is only a record: nothing is resumed from it, so damage to it stops no run.
        """
        return run_format.known_status(self._read_status_bytes())

    def _write_status_text(self, text: str) -> None:
        try:
            _write_text(self.path / STATUS_FILE, text)
        except OSError:
            if self._fields["state"] != "failed":
                raise
            _write_in_place(self.path / STATUS_FILE, text.encode())

    def _read_status_bytes(self) -> bytes | None:
        try:
            return (self.path / STATUS_FILE).read_bytes()
        except FileNotFoundError:
            return None

    def event_file_sizes(self) -> dict[str, int]:
        """Returns {name: bytes} of TensorBoard's event files, as `cut_after` takes them."""
        return event_file_sizes(self.tensorboard)

    def cut_after(
        self, step: int, metrics_position: int, event_files: Mapping[str, int] | None = None
    ) -> None:
        """Removes everything written after a checkpoint, so that a run that resumes from it writes it once.

        `metrics.csv` is cut to its length at the checkpoint, array files and TensorBoard summaries of later
        steps are removed. Call it before the writers of the resumed part are opened.

        Args:
            step: the gradient step of the checkpoint; -1 to start again from nothing.
            metrics_position: `MetricsFileWriter.position()` at the checkpoint; 0 to start again from nothing.
            event_files: `event_file_sizes()` at the checkpoint; None of an older version's: summaries of its
                own step stay then.

        Raises:
            RunDirectoryError: if `metrics.csv` is shorter than it was, or has no row that ends there; nothing
                is removed then.
        """
        check_integer("step", step, minimum=-1)
        self._cut_metrics(check_integer("metrics_position", metrics_position))
        for path in (self.path / ARRAYS_DIRECTORY).rglob("*.npz"):
            if path.stem.isdecimal() and int(path.stem) > step:
                path.unlink()
        cut_event_files(self.tensorboard, step, event_files)

    def close(self) -> None:
        """Lets other processes in. A second call does nothing.

        Where the run was there and has not been resumed, `status.json` has again its content from before
        `open`.
        """
        if self.state == "starting" and not self.is_new and self._status_before is not None:
            with contextlib.suppress(OSError), atomic_file(self.path / STATUS_FILE) as file:
                file.write(self._status_before)
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _has_finished(self) -> bool:
        total_steps = self._fields["total_steps"]
        finished = self._fields.get("state") == "finished"
        return finished and (total_steps is None or self._fields["step"] >= total_steps)

    def _cut_metrics(self, position: int) -> None:
        path = self.path / METRICS_FILE
        if not path.exists() and position == 0:
            return
        size = path.stat().st_size if path.exists() else 0
        if size < position:
            raise RunDirectoryError(
                f"{path} must have the {position} bytes that the checkpoint counted. Received: {size} bytes. "
                f"{_ELSEWHERE}, or restore the file."
            )
        with open(path, "rb+") as file:
            file.seek(max(position - 1, 0))
            if position and file.read(1) != b"\n":
                raise RunDirectoryError(
                    f"{path} must have a row that ends at byte {position}, where the checkpoint was made. "
                    f"Received: a longer row. {_ELSEWHERE}, or restore the file."
                )
            file.truncate(position)
            os.fsync(file.fileno())


def versions() -> dict[str, str | None]:
    """Returns the versions of Python, this library and its dependencies, None if missing. Imports nothing."""
    found: dict[str, str | None] = {"python": platform.python_version(), "tfplastic": tfplastic.__version__}
    for name, distribution in _PACKAGES.items():
        try:
            found[name] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def _check_is_free_or_run(path: Path) -> None:
    """Raises unless `path` is absent, empty, a run, or the rest of a process that was killed at its start."""
    if not path.exists():
        return
    if not path.is_dir():
        raise RunDirectoryError(f"{path} must be a directory. Received: a file. {_ELSEWHERE}.")
    names = {entry.name for entry in path.iterdir()}
    foreign = sorted(names - {LOCK_FILE, temporary_name(OPERATIVE_CONFIG_FILE)})
    if foreign and OPERATIVE_CONFIG_FILE not in names:
        raise RunDirectoryError(
            f"{path} must be empty or hold a run. Received: a directory with {foreign[0]!r} and no "
            f"{OPERATIVE_CONFIG_FILE}. {_ELSEWHERE}."
        )


def _check_same_run(path: Path, new: dict[str, str], resume: bool) -> dict[str, str]:
    """Returns the bindings of the run in `path`, if they allow it to continue with `new`."""
    if not resume:
        raise RunDirectoryError(f"{path} holds a run already, and this one must not resume. {_ELSEWHERE}.")
    try:
        old = run_bindings.parse_bindings((path / OPERATIVE_CONFIG_FILE).read_text(encoding="utf-8"))
    except ValueError as error:
        name = path / OPERATIVE_CONFIG_FILE
        raise RunDirectoryError(f"{name} cannot be read: {error}. {_ELSEWHERE}.") from error
    different = [item for item in differences(old, new) if item[0] not in run_bindings.CHANGEABLE]
    if different:
        name, *values = different[0]
        old_value, new_value = _short(*values)
        others = len(different) - 1
        more = f" and {others} more differ{'s' * (others == 1)}" if others else ""
        raise RunDirectoryError(
            f"{path} holds another run: `{name}` is {old_value} there and {new_value} here"
            f"{more}. {_ELSEWHERE}, or the old {'values' if more else 'value'}."
        )
    return old


def _lock(path: Path) -> IO[str]:
    """Returns the locked file; the lock ends with the file object or the process, whichever ends first."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = open(path / LOCK_FILE, "a+", encoding="utf-8")
    except OSError as error:
        raise RunDirectoryError(f"{path} cannot be written: {error.strerror}. {_ELSEWHERE}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        holder = lock.read().strip()
        lock.close()
        raise RunDirectoryError(
            f"{path} is in use by another process{f' ({holder})' if holder else ''}. "
            f"{_ELSEWHERE}, or wait for its end."
        ) from error
    lock.truncate(0)
    lock.write(f"process {os.getpid()} on {platform.node()}\n")
    lock.flush()
    return lock


def _remove_temporary_files(path: Path) -> None:
    for place, pattern in ((path, "."), (path / TENSORBOARD_DIRECTORY, "."), (path / ARRAYS_DIRECTORY, "**")):
        for temporary in place.glob(f"{pattern}/{temporary_name('*')}"):
            temporary.unlink()


def _write_text(path: Path, text: str) -> None:
    with atomic_file(path) as file:
        file.write(text.encode())


def _write_in_place(path: Path, content: bytes) -> None:
    """Writes where a file keeps its room, for a full disk; if this fails too, nothing is changed."""
    with open(path, "rb+", buffering=0) as file:
        before = file.read()
        for each in (content, before):
            file.seek(0)
            if file.write(each) == len(each):
                file.truncate()
                return


def _total_steps(bindings: dict[str, str]) -> int | None:
    total_steps = bindings.get(_TOTAL_STEPS, "")
    return int(total_steps) if total_steps.isdecimal() else None


def _short(old: str, new: str) -> tuple[str, str]:
    """Shortens two different values to the parts that show the difference, of paths often the end."""
    first, second = (value if len(value) <= 60 else f"{value[:57]}..." for value in (old, new))
    return (first, second) if first != second else (f"...{old[-57:]}", f"...{new[-57:]}")
