"""Scheduling of jobs to their end: restarts of failed and lost ones, and the records."""

from collections.abc import Sequence
from typing import Any, Protocol

from tfplastic.sweeps.job import Job, JobStatus
from tfplastic.sweeps.ray_pool import LostError
from tfplastic.sweeps.records import Records, Run
from tfplastic.sweeps.stop import Stop

_WAIT_S = 0.5
_LOST = "lost: "


class Pool(Protocol):
    """Interface to run jobs, implemented by `RayPool`."""

    def submit(self, job: Job) -> Any: ...
    def ready(self, tasks: Sequence[Any], timeout_s: float) -> list[Any]: ...
    def next(self, task: Any) -> JobStatus | None: ...
    def cancel(self, task: Any) -> None: ...


class Display(Protocol):
    """Interface to show a sweep, implemented by `display.Display`."""

    def say(self, text: str) -> None: ...
    def update(self) -> None: ...


class Engine:
    """Scheduler of the jobs of a sweep.

    A run that failed or was lost resumes from its last checkpoint.

    Args:
        records: records of the runs.
        pool: pool that runs the jobs.
        display: display of the progress.
        retries: number of restarts of a run without progress since the last one.
    """

    def __init__(self, records: Records, pool: Pool, display: Display, retries: int):
        self._records = records
        self._pool = pool
        self._display = display
        self._retries = retries
        self._jobs: dict[Any, Job] = {}
        self._ends: dict[str, tuple[int, int]] = {}  # the furthest step, and how often it ended there

    def run(self, jobs: Sequence[Job], stop: Stop) -> None:
        """Runs the jobs in their order, as slots become free; returns when all have ended.

        Args:
            jobs: jobs to run.
            stop: once requested, running jobs stop and save checkpoints, and waiting jobs are not started.
        """
        self._jobs = {self._pool.submit(job): job for job in jobs}
        self._records.write()
        is_stopping = False
        while self._jobs:
            if stop.requested and not is_stopping:
                is_stopping = True
                self._display.say(
                    "Stopping: running jobs save a checkpoint. Press Ctrl-C again to stop without waiting."
                )
                for task in self._jobs:
                    self._pool.cancel(task)
            for task in self._pool.ready(list(self._jobs), _WAIT_S):
                self._take(task, is_stopping)
            self._display.update()
            self._records.write_now_and_then()
        self._records.write()

    def _take(self, task: Any, is_stopping: bool) -> None:
        job = self._jobs[task]
        try:
            report = self._pool.next(task)
        except LostError as error:
            del self._jobs[task]
            self._ended(job, f"{_LOST}{error}", is_stopping)
            return
        if report is None:
            del self._jobs[task]
            return
        self._note(job, report)
        if report.code is not None:
            error = report.error or f"it ended with code {report.code} before its last step"
            self._ended(job, error, is_stopping)

    def _note(self, job: Job, report: JobStatus) -> None:
        run = self._records.run(job.arm, job.seed)
        if run.state == "finished":
            return
        if run.state != "running":
            run.state, run.attempts, run.host = "running", run.attempts + 1, report.host
        run.step = report.step
        # Not before its last report, which follows the last copy to the run root.
        has_ended = report.code is not None
        if has_ended and report.state == "finished" and run.step >= run.total_steps:
            run.state, run.error = "finished", None
            self._display.say(f"{run.name} has finished.")

    def _ended(self, job: Job, error: str, is_stopping: bool) -> None:
        """Notes that the process of a job has ended, with `error` unless its run has finished."""
        run = self._records.run(job.arm, job.seed)
        if run.state == "finished":
            return
        if is_stopping:
            run.state = "stopped" if run.attempts else "waiting"
            return
        run.error = error
        failures = self._count_failure(run)
        where = f"{run.name} at step {run.step:,} of {run.total_steps:,}: {error}"
        if failures > self._retries:
            run.state = "failed"
            self._display.say(f"Given up: {where}")
        else:
            run.state = "waiting"
            self._display.say(f"Again ({failures} of {self._retries}): {where}")
            self._jobs[self._pool.submit(job)] = job

    def _count_failure(self, run: Run) -> int:
        """Returns how often in a row a run has ended without progress, now included."""
        best, failures = self._ends.get(run.name, (0, 0))
        failures = 1 if run.step > best else failures + 1
        self._ends[run.name] = max(run.step, best), failures
        return failures
