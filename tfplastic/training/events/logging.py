"""Rows of training metrics and speeds."""

import time

from tfplastic.training.events.event import Periodic
from tfplastic.training.session import Session


class Logging(Periodic):
    """Means of the metrics of the gradient steps since the last row, the task's metrics, and speeds."""

    name = "log"
    title = "metrics"
    is_shown = False

    def __init__(self, period: int, last: int):
        super().__init__(period, last)
        self._clock = (0.0, 0, 0)  # time, gradient steps and agent steps of the last row

    def begin(self, session: Session) -> None:
        self._clock = _read_clock(session)

    def run(self, session: Session) -> bool:
        scalars = {f"train/{name}": total / session.count for name, total in session.sums.items()}
        session.writer.scalars(session.step, {**scalars, **session.driver.metrics()})
        before, now = self._clock, _read_clock(session)
        seconds = now[0] - before[0]
        speeds = {"speed/gradient_steps_per_second": (now[1] - before[1]) / seconds}
        if "agent_steps" in session.task.progress_fields:
            speeds["speed/agent_steps_per_second"] = (now[2] - before[2]) / seconds
        session.writer.clock_scalars(session.step, speeds)
        self._clock = now
        session.sums, session.count = {}, 0
        session.write_status("running")
        return True

    def describe(self) -> str:
        return f"every {self._period:,} gradient steps"


def _read_clock(session: Session) -> tuple[float, int, int]:
    return time.monotonic(), session.step, session.driver.progress().get("agent_steps", 0)
