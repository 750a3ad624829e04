"""The contract between the training loop and a task whose batches come from the host."""

import abc
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from tfplastic._keras import keras
from tfplastic.tasks.task_loss import TaskLoss

_TIMED_BATCHES = 10


class TaskProgress(TypedDict, total=False):
    """A task's part of the progress line. A stream with another score reports it by its name."""

    agent_steps: int
    episode_return: float
    accuracy: float
    epsilon: float


class HostTask(abc.ABC):
    """A source of batches that lives on the host, such as an emulator with a replay buffer.

    A task is configured by its constructor, which only checks its arguments; `build` makes networks and
    buffers; `start` or `restore` begins the interaction. Steps and periods count gradient steps.

    Attributes:
        extend_network: function of each network that `build` makes, whose result is used instead; set by the
            loop for mitigations that extend networks.
        name: name of the task.
        progress_fields: fields of `TaskProgress` that the task knows, at least from some time on.
        model: the network that is trained, from `build` on.
        boundary_period: gradient steps between changes of the network's targets, such as copies to the target
            network; None if there are none, or at the steps that `boundary` says. Mitigations act there by
            default.
        most_steps: gradient steps after which the task has no further batch; None without an end.
    """

    name: str
    progress_fields: Sequence[str] = ("agent_steps", "episode_return", "epsilon")
    model: keras.Model
    boundary_period: int | None
    most_steps: int | None = None
    extend_network: Callable[[keras.Model], keras.Model] = staticmethod(lambda model: model)

    @abc.abstractmethod
    def build(self, seed: int) -> None:
        """Makes the network(s) and buffers from the root seed. Starts no environment."""

    @abc.abstractmethod
    def start(self) -> None:
        """Starts from the beginning: resets the environment that the task interacts with."""

    def warm_up(self) -> Iterator[None]:
        """Does the work before the first gradient step; may be stopped and saved at each `yield`."""
        return iter(())

    @abc.abstractmethod
    def next(self) -> Any:
        """Returns the batch of the next gradient step: a nest of arrays of fixed structure and shapes."""

    def boundary(self, step: int) -> bool:
        """Returns whether the network's targets change right after gradient step `step`."""
        return self.boundary_period is not None and step > 0 and step % self.boundary_period == 0

    def agent_steps_of(self, gradient_steps: int) -> float | None:
        """Returns the agent steps that go with a number of gradient steps; None where that varies."""
        return None

    def further_batch(self, step: int) -> Any:
        """Returns a batch of the distribution of the last one, drawn independently.

        Args:
            step: number of the gradient step, which distinguishes draws; the same one gives the same batch.

        Raises:
            ValueError: the task has none.
        """
        raise ValueError(f"`{type(self).__name__}` gives no further batches. Override `further_batch` in it")

    def data_batches(self) -> Sequence[Any]:
        """Returns all data in whole batches, each made when it is read.

        Raises:
            ValueError: the task has none.
        """
        raise ValueError(f"`{type(self).__name__}` gives no pass over data. Override `data_batches` in it")

    def weights_replaced(self) -> None:
        """Updates copies of the first network after its weights were replaced."""

    def tracing_step(self) -> contextlib.AbstractContextManager[None]:
        """Returns a context in which the program of the gradient steps is traced.

        The program is called right after `next`, before any weight changes, so that its loss may read what
        `next` has derived from the weights.
        """
        return contextlib.nullcontext()

    def note_event(self) -> None:
        """Notes that an event ran between gradient steps, which may have changed any weight."""

    @abc.abstractmethod
    def loss(self, model: keras.Model, batch: Any, training: bool = False) -> TaskLoss:
        """Returns the loss of a batch; traceable, differentiable in the weights of `model`."""

    def note_losses(self, losses: Any) -> None:
        """Takes the loss of each example of the last batch, `[batch] float32`, from before the update."""

    def after_step(self, step: int) -> None:
        """Runs the work between steps, such as target networks; called after gradient step `step`, from 1."""

    def metrics(self) -> dict[str, float]:
        """Returns the scalars to log now, by tag; reproducible, so nothing that depends on the clock."""
        return {}

    def progress(self) -> TaskProgress:
        """Returns the task's part of the progress line, without the fields that it does not know."""
        return {}

    @abc.abstractmethod
    def evaluate(self, step: int, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        """Returns scalars of an evaluation, which leaves the state alone; None if `should_stop` ended it."""

    @abc.abstractmethod
    def diagnostics_batch(self) -> tuple[Any, Any]:
        """Returns a batch that stays the same for the whole run, and the model's inputs in it."""

    @abc.abstractmethod
    def probe_inputs(self, count: int, key: np.ndarray) -> Any:
        """Returns inputs to probe the model on, `[count, ...]` or fewer, by `key`, `[2] int32`."""

    def trackables(self) -> dict[str, Any]:
        """Returns the TensorFlow objects to save in a checkpoint, by name; the model is among them."""
        return {"model": self.model}

    @abc.abstractmethod
    def save(self, directory: Path, shared: Path) -> list[str]:
        """Writes all other state into `directory`, append-only files into `shared`; returns their names."""

    @abc.abstractmethod
    def restore(self, directory: Path, shared: Path, shared_files: list[str]) -> None:
        """Takes up the state that `save` wrote, exactly."""

    @abc.abstractmethod
    def example(self) -> Any:
        """Returns a batch of the right structure, shapes and dtypes, without meaning or environment."""

    def seconds_per_batch(self) -> float:
        """Measures by a trial how long `next` takes on this machine; discard the task afterwards."""
        self.start()
        begun = time.perf_counter()
        for _ in range(_TIMED_BATCHES):
            self.next()
        self.close()
        return (time.perf_counter() - begun) / _TIMED_BATCHES

    @abc.abstractmethod
    def describe(
        self, total_steps: int, checkpoint_period: int, keep_checkpoints: int
    ) -> list[tuple[str, str]]:
        """Returns the plan as (item, amount) rows, for `--dry_run`."""

    def close(self) -> None:
        """Releases the resources that `start` or `restore` acquired."""
