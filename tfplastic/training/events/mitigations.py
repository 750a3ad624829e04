"""Mitigations and the Brownian twin between gradient steps."""

from tfplastic.training.after_updates import MITIGATIONS, AfterUpdates
from tfplastic.training.events.event import Event
from tfplastic.training.session import Session


class Mitigating(Event):
    """The mitigations that act after updates, and the twin, where the compiled program does not call them.

    Args:
        after_updates: the run's.
    """

    name = MITIGATIONS
    is_shown = False

    def __init__(self, after_updates: AfterUpdates):
        self._after_updates = after_updates

    def next_after(self, step: int) -> int | None:
        return min(((step // each + 1) * each for each in self._after_updates.periods), default=None)

    def is_due(self, step: int) -> bool:
        return step > 0 and self._after_updates.is_due(step)

    def run(self, session: Session) -> bool:
        self._after_updates.act(session.step)
        return True
