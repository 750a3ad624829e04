"""The remaining time of a sweep, from the progress of its runs so far."""

import statistics
import time
from collections.abc import Callable

from tfplastic.sweeps.records import Records, Run


class Eta:
    """The time left of the runs of a sweep.

    The speed of a run is measured since it was first seen running. A run that has not been seen running is
    taken to be as fast as the median run of its arm, or else of all arms. All runs together need the sum of
    their remaining times divided by the number of running jobs, and at least the longest remaining time.

    Args:
        records: records of the runs.
        clock: function that returns seconds, from any origin.
    """

    def __init__(self, records: Records, clock: Callable[[], float] = time.monotonic):
        self._records = records
        self._clock = clock
        self._first: dict[str, tuple[float, int]] = {}  # where an attempt was first seen
        self._seconds_per_step: dict[str, float] = {}

    def update(self) -> None:
        """Updates the speeds from the runs; call it every other second."""
        now = self._clock()
        for run in self._records.runs:
            if run.state not in ("running", "finished"):
                self._first.pop(run.name, None)
                continue
            at, step = self._first.setdefault(run.name, (now, run.step))
            if run.state == "running" and run.step < step:  # It resumed from an earlier checkpoint.
                self._first[run.name] = now, run.step
            elif run.step > step and run.state == "running":
                self._seconds_per_step[run.name] = (now - at) / (run.step - step)

    def seconds_of(self, run: Run) -> float | None:
        """Returns the remaining time of one run; None if no run has been seen running."""
        known = self._seconds_per_step
        speeds = [known[run.name]] if run.name in known else []
        speeds = speeds or [known[each.name] for each in self._of_arm(run.arm) if each.name in known]
        speeds = speeds or list(known.values())
        return statistics.median(speeds) * (run.total_steps - run.step) if speeds else None

    def seconds(self) -> float | None:
        """Returns the remaining time of all runs that are waiting or running."""
        at_work = [run for run in self._records.runs if run.state == "running"]
        left = [self.seconds_of(run) for run in self._records.runs if run.state in ("running", "waiting")]
        known = [seconds for seconds in left if seconds is not None]
        if len(known) < len(left):
            return None
        longest = max((self.seconds_of(run) or 0.0 for run in at_work), default=0.0)
        return max(sum(known) / max(1, len(at_work)), longest)

    def _of_arm(self, arm: str) -> list[Run]:
        return [run for run in self._records.runs if run.arm == arm]
