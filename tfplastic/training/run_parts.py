"""The parts of a run, built from its configuration."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from tfplastic.tasks import GraphTask, HostTask
from tfplastic.training.after_updates import AfterUpdates
from tfplastic.training.events.event import Event
from tfplastic.training.execution.driver import Driver
from tfplastic.training.step import GradientStep
from tfplastic.training.train_config import TrainConfig


@dataclasses.dataclass(frozen=True)
class RunParts:
    """All that a configuration describes, built.

    Attributes:
        config: the configuration.
        gradient_step: the gradient step.
        after_updates: mitigations and the twin, after updates.
        driver: driver that takes the gradient steps.
        events: events between gradient steps, in this order.
    """

    config: TrainConfig
    gradient_step: GradientStep
    after_updates: AfterUpdates
    driver: Driver
    events: Sequence[Event]

    @property
    def task(self) -> GraphTask | HostTask:
        """The task to train on."""
        return self.config.task

    def trackables(self) -> dict[str, Any]:
        """Returns the TensorFlow objects whose variables belong in a checkpoint, by name."""
        twins = [] if self.config.twin is None else [self.config.twin]
        # The twin has the number after the last mitigation, as when it was one itself.
        states: dict[str, Any] = {
            f"mitigation{number}": each.state
            for number, each in enumerate([*self.config.mitigations, *twins])
        }
        states |= self.event_states()
        states["weight_history"] = self.gradient_step.history.state
        kept = {name: state for name, state in states.items() if state}
        return {**self.driver.trackables(), "optimizer": self.config.optimizer, **kept}

    def event_states(self) -> dict[str, Any]:
        """Returns the states of the events that have one, which an older checkpoint may lack."""
        return {f"event_{event.name}": event.state for event in self.events if event.state}

    def networks(self) -> dict[str, Any]:
        """Returns the task's networks by name."""
        return {name: each for name, each in self.task.trackables().items() if hasattr(each, "layers")}
