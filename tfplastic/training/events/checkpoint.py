"""Checkpoints of a run."""

from tfplastic.training.events.event import Periodic
from tfplastic.training.session import Session


class SavingCheckpoint(Periodic):
    """A checkpoint of the run; the last event of a step, so that it holds all that has happened at it.

    Args:
        period: gradient steps.
        last: the run's last gradient step.
        keep: number of checkpoints that are kept.
    """

    name = "checkpoint"
    title = "checkpoints"

    def __init__(self, period: int, last: int, keep: int):
        super().__init__(period, last)
        self._keep = keep

    def run(self, session: Session) -> bool:
        session.save()
        return True

    def describe(self) -> str:
        return f"every {self._period:,}, the last {self._keep} kept"
