"""The interface through which the loop drives a task, wherever its batches come from."""

import abc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfplastic.tasks import TaskProgress
from tfplastic.training.after_updates import Moment
from tfplastic.training.execution.non_finite import Examination
from tfplastic.training.step import NonFiniteLossError


class Driver(abc.ABC):
    """Execution of a task's gradient steps, and the loop's interface to the task.

    Attributes:
        compiler: `'graph'` or `'xla'` of a program of gradient steps; '' where there is none to choose.
        can_repeat: whether steps can be taken again from a checkpoint without a trace, after a failure.
        saves_diagnostics_batch: whether checkpoints hold the batch of diagnostics, known after `restore`.
        timed: words for the subject of `seconds_per_step`.
    """

    compiler: str = ""
    can_repeat: bool
    saves_diagnostics_batch: bool
    timed: str = "gradient steps"

    @abc.abstractmethod
    def advance(self, step: int, last: int, sums: dict[str, float]) -> tuple[int, dict[str, float]]:
        """Takes one gradient step or more of those that follow `step`, to a boundary that is awaited at most.

        Args:
            step: gradient steps done.
            last: gradient step to stop at, at the latest.
            sums: sums of each step's metrics, by name.

        Returns:
            Gradient steps done, and the sums with the metrics of the new steps.

        Raises:
            NonFiniteLossError: the loss is NaN or infinite.
        """

    @abc.abstractmethod
    def moment(self) -> Moment:
        """Returns the end of the last gradient step."""

    @abc.abstractmethod
    def at_boundary(self, step: int) -> bool:
        """Returns whether a boundary of the task follows gradient step `step`, the last one."""

    @abc.abstractmethod
    def find_non_finite(
        self, error: NonFiniteLossError, examination: Examination, restore: Callable[[], int]
    ) -> str:
        """Names the first value that was not finite and its gradient step, '' where it does not show again.

        Args:
            error: the failure.
            examination: examination of the gradient step.
            restore: brings weights and task back to the last checkpoint or the beginning; returns its step.

        Raises:
            TimeoutError: it takes too long.
        """

    def keep_compiler(self, compiler: str) -> None:
        """Continues with the compiler of a checkpoint, which `'auto'` may not be on this machine."""

    @abc.abstractmethod
    def start(self) -> None:
        """Starts the task from its beginning."""

    @abc.abstractmethod
    def warm_up(self) -> Iterator[None]:
        """Does the work before the first gradient step; may be stopped and saved at each `yield`."""

    @abc.abstractmethod
    def metrics(self) -> dict[str, float]:
        """Returns scalars to be logged now, by tag."""

    @abc.abstractmethod
    def progress(self) -> TaskProgress:
        """Returns the task's part of the progress line."""

    def note_event(self) -> None:
        """Notes that an event ran between gradient steps, which may have changed any weight."""

    @abc.abstractmethod
    def evaluate(self, step: int, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        """Returns scalars of an evaluation, by tag; None if `should_stop` ended it."""

    @abc.abstractmethod
    def diagnostics_batch(self) -> tuple[Any, Any]:
        """Returns a batch that stays the same for the whole run, and the model's inputs in it."""

    @abc.abstractmethod
    def probe_inputs(self, count: int, key: np.ndarray) -> Any:
        """Returns inputs of the model to probe it on, `[count, ...]` or fewer, by the seed `key`."""

    @abc.abstractmethod
    def trackables(self) -> dict[str, Any]:
        """Returns the TensorFlow objects whose variables belong in a checkpoint, by name."""

    @abc.abstractmethod
    def save(self, directory: Path, shared: Path) -> list[str]:
        """Writes the task's state into `directory`, append-only files into `shared`; returns their names."""

    @abc.abstractmethod
    def restore(self, directory: Path, shared: Path, shared_files: list[str]) -> None:
        """Restores the state that `save` wrote, exactly."""

    @abc.abstractmethod
    def describe(
        self, total_steps: int, checkpoint_period: int, keep_checkpoints: int
    ) -> list[tuple[str, str]]:
        """Returns the plan as (item, amount) rows, for `--dry_run`."""

    @abc.abstractmethod
    def seconds_per_step(self) -> float:
        """Returns the seconds that a gradient step takes here, by a trial; discard the task afterwards."""

    @abc.abstractmethod
    def state_bytes(self) -> int:
        """Returns the size of the task's state in a checkpoint, without variables and shared files."""

    @abc.abstractmethod
    def close(self) -> None:
        """Releases the resources that `start` or `restore` acquired."""
