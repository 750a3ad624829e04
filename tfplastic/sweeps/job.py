"""A job on one slot of a cluster: it trains one run."""

import contextlib
import dataclasses
import os
import pathlib
import platform
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import IO, NamedTuple

import tfplastic
from tfplastic import run_format
from tfplastic._text.lines import last_line
from tfplastic.sweeps import run_process
from tfplastic.sweeps.mirror import Mirror
from tfplastic.sweeps.run_root import RunRoot

LOGS = "logs"
_LOOK_PERIOD_S = 0.5
_TAIL_BYTES = 4_000


def run_name(arm: str, seed: int) -> str:
    """Returns the name of a run, which is that of its directory in the run root."""
    return f"{arm}-seed{seed}"


def import_path() -> str:
    """Returns `PYTHONPATH` for a process that is to import this library from where this one has."""
    library = str(pathlib.Path(tfplastic.__file__).resolve().parent.parent)
    return os.pathsep.join(dict.fromkeys(filter(None, [library, os.environ.get("PYTHONPATH")])))


@dataclasses.dataclass(frozen=True)
class Job:
    """One process of `bin/train`.

    Attributes:
        arm: name of the arm.
        seed: root seed.
        config: the gin configuration, whole.
        root: path or URL of the run root.
        device: the flag `--device`.
        threads: number of TensorFlow's threads.
        sync_period_s: seconds between copies to a run root that is a URL.
        allow_imports: whether the configuration may import modules.
        environment: environment variables that the run needs.
    """

    arm: str
    seed: int
    config: str
    root: str
    device: str = "cpu"
    threads: int = 1
    sync_period_s: float = 60.0
    allow_imports: bool = False
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        """The run's name."""
        return run_name(self.arm, self.seed)


class JobStatus(NamedTuple):
    """Status of a job.

    Attributes:
        host: node that runs it.
        state: state of the run by its `status.json`, one of `run_format.STATES`, '' before the first.
        step: gradient steps done, by the same file.
        code: exit code, None while it is running.
        error: the error in one line, or ''.
    """

    host: str
    state: str
    step: int
    code: int | None = None
    error: str = ""


def work(job: Job) -> Iterator[JobStatus]:
    """Yields the job's status at its start, after progress and at its end, while it trains.

    An interrupt (`KeyboardInterrupt`) stops the run, which saves a checkpoint, and is raised to the caller.
    """
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="tfplastic-sweep-"))
        workspace = _Workspace(job, RunRoot(job.root), pathlib.Path(scratch))
        yield (report := JobStatus(platform.node(), *workspace.status()))
        with workspace.log() as log, _process(job, workspace, log) as process:
            while process.poll() is None:
                workspace.push_if_due(log)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_LOOK_PERIOD_S)
                if (now := JobStatus(report.host, *workspace.status())) != report:
                    yield (report := now)
        workspace.push()
        code = process.returncode
        yield JobStatus(report.host, *workspace.status(), code, workspace.last_words(code) if code else "")


class _Workspace:
    """The run directory of a job on this machine: in the run root, or in scratch and copied there."""

    def __init__(self, job: Job, root: RunRoot, scratch: pathlib.Path):
        self._job = job
        self._root = root
        self._local = scratch / "runs" if root.is_remote else pathlib.Path(root.location)
        self.scratch = scratch
        self.run_directory = self._local / job.name
        self._log = self._local / LOGS / f"{job.name}.log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._pushed_at = time.monotonic()
        (scratch / run_format.CONFIG_FILE).write_text(job.config, encoding="utf-8")
        self._mirror: Mirror | None = None
        if root.is_remote:
            self._mirror = Mirror(self.run_directory, root.filesystem, f"{root.path}/{job.name}")
            self._mirror.pull()
            self._log.write_text(root.read(f"{LOGS}/{self._log.name}") or "", encoding="utf-8")

    def log(self) -> IO[bytes]:
        return open(self._log, "ab")

    def status(self) -> tuple[str, int]:
        """Returns the run's state and its gradient steps, by its `status.json`."""
        try:
            content = (self.run_directory / run_format.STATUS_FILE).read_bytes()
        except OSError:  # There is none yet.
            content = None
        status = run_format.known_status(content)
        return status.get("state", ""), status.get("step", 0)

    def push_if_due(self, log: IO[bytes]) -> None:
        if self._mirror is not None and time.monotonic() - self._pushed_at >= self._job.sync_period_s:
            try:
                self.push()
            except OSError as error:  # Only the last copy must succeed; the store may be back by then.
                log.write(f"Not copied to {self._job.root}: {error}\n".encode())
            self._pushed_at = time.monotonic()

    def push(self) -> None:
        if self._mirror is not None:
            self._mirror.push()
            self._root.write(
                f"{LOGS}/{self._log.name}", self._log.read_text(encoding="utf-8", errors="replace")
            )

    def last_words(self, code: int) -> str:
        """Returns the last line that the process wrote."""
        with open(self._log, "rb") as log:
            log.seek(max(0, os.path.getsize(self._log) - _TAIL_BYTES))
            words = last_line(log.read().decode(errors="replace"))
        last = words.removeprefix("bin/train: error: ") or "no output"
        return last if code > 0 else f"ended by signal {-code}: {last}"


@contextlib.contextmanager
def _process(job: Job, workspace: _Workspace, log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The process of `bin/train`; the files of a stopped run are copied to the run root."""
    arguments = ["--gin_file=config.gin", f"--run_dir={workspace.run_directory}", f"--device={job.device}"]
    arguments += [f"--seed={job.seed}"]
    arguments += ["--allow_imports"] if job.allow_imports else []
    environment = {
        **run_process.thread_limits(job.threads),
        **job.environment,
        "PYTHONPATH": import_path(),
    }
    try:
        with run_process.start(arguments, workspace.scratch, environment, log) as process:
            yield process
    except BaseException:
        workspace.push()
        raise
