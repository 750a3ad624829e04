"""Events of a run as objects: the loop holds a list of them and knows nothing else about them."""

import abc
from typing import TYPE_CHECKING

import tensorflow as tf

if TYPE_CHECKING:  # A session has a list of events.
    from tfplastic.training.session import Session


class Event(abc.ABC):
    """An action between gradient steps, at exactly its steps.

    `train.events` adds events of one's own to those of the loop. All that are due at a step run in the order
    of the loop's list: metrics, diagnostics, probe, evaluation, `train.events`, mitigations, those of
    `train.events` that follow them, checkpoint. An
    event that is cut short, or whose run is killed before the next checkpoint, runs again when the run is
    resumed. Values that it carries from one time to the next are in the variables of its `state`.

    Attributes:
        name: its name in checkpoints and on the progress line, other than that of any other event.
        title: name of its row in the plan of a run; '' for none.
        is_shown: whether the progress line names it while it runs.
        follows_mitigations: whether it runs after the mitigations of the same step, which `train.events`
            precede otherwise.

    Example:
        >>> from tfplastic.training import Event
        >>> class LargestWeight(Event):
        ...     name = 'largest_weight'
        ...
        ...     def next_after(self, step):
        ...         return (step // 100 + 1) * 100
        ...
        ...     def is_due(self, step):
        ...         return step % 100 == 0
        ...
        ...     def run(self, session):
        ...         largest = max(abs(weight).max() for weight in session.task.model.get_weights())
        ...         session.writer.scalars(session.step, {'largest_weight': largest})
        ...         return True
        >>> LargestWeight().next_after(100)
        200
    """

    name: str
    title: str = ""
    is_shown: bool = True
    follows_mitigations: bool = False

    @abc.abstractmethod
    def next_after(self, step: int) -> int | None:
        """Returns the first gradient step beyond `step` at which it is due; None if there is none."""

    @abc.abstractmethod
    def is_due(self, step: int) -> bool:
        """Returns whether it is due at gradient step `step`; 0 is the beginning, before the first one."""

    @abc.abstractmethod
    def run(self, session: "Session") -> bool:
        """Runs at gradient step `session.step`.

        Args:
            session: the run: its step, task, writer and directory.

        Returns:
            True when it is done; False when a signal has cut it short, so that it stays due.
        """

    def begin(self, session: "Session") -> None:
        """Prepares for a session, which has started or resumed its run."""

    @property
    def state(self) -> dict[str, tf.Variable]:
        """The event's own variables by name, which checkpoints save.

        Make them in the constructor. A checkpoint from before the event had them leaves their first values.
        """
        return {}

    def describe(self) -> str:
        """Returns how often it runs, in words, for the plan of a run."""
        return ""


class Periodic(Event):
    """An event at the multiples of a period but not at the beginning, and at the last step.

    Args:
        period: gradient steps.
        last: the run's last gradient step.
    """

    def __init__(self, period: int, last: int):
        self._period = period
        self._last = last

    def next_after(self, step: int) -> int:
        return (step // self._period + 1) * self._period

    def is_due(self, step: int) -> bool:
        return step > 0 and (step % self._period == 0 or step == self._last)
