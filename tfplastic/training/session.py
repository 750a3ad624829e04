"""A session: all that exists only while a run is running."""

import contextlib
from types import TracebackType
from typing import Any, Self

import tensorflow as tf
from absl import logging

from tfplastic import _renames
from tfplastic.run_format import OPERATIVE_CONFIG_FILE
from tfplastic.training.after_updates import MITIGATIONS
from tfplastic.training.events.profiler import Profiler
from tfplastic.training.execution.non_finite import Examination
from tfplastic.training.run.checkpoints import Checkpoints
from tfplastic.training.run.directory import RunDirectory
from tfplastic.training.run.failures import Failures
from tfplastic.training.run.signals import StopRequest
from tfplastic.training.run.write_errors import writing
from tfplastic.training.run.writer import RunWriter
from tfplastic.training.run_parts import RunParts

EVALUATION = "evaluation"
"""The name of the event that evaluates the task, which may note the results in its state."""


class Session:
    """A run of a loop in its directory, from the beginning or the last checkpoint to a signal or the end.

    A context: errors raised in it are also in `status.json`, and its resources are released at its end.

    Args:
        parts: all that the run's configuration describes, built.
        directory: run directory.
        stop: the request to stop.
        profile_steps: gradient steps (A, B); the steps after step A up to step B are traced for TensorBoard.
        device: name of the device, for `status.json`.

    Attributes:
        directory, stop: the arguments.
        config, task, driver, events: parts of the run.
        step: gradient steps done.
        sums: sums of the metrics of each gradient step since the last row of metrics, by name.
        count: number of these gradient steps.
        pending: names of the events still to run at this step, in order.
        writer: writer of the run directory.
        profiler: traces gradient steps.
        failures: explanation of losses and weights that are not finite.
        is_resumed: whether the run continues from a checkpoint.
    """

    def __init__(
        self,
        parts: RunParts,
        directory: RunDirectory,
        stop: StopRequest,
        profile_steps: tuple[int, int] | None = None,
        device: str = "",
    ):
        self.config, self.task = parts.config, parts.task
        self.driver, self.events = parts.driver, parts.events
        self.directory, self.stop = directory, stop
        self.step, self.count = 0, 0
        self.sums: dict[str, float] = {}
        self.pending = [event.name for event in parts.events if event.is_due(0)]
        self.is_resumed = False
        self.profiler = Profiler(profile_steps, directory.tensorboard)
        self.writer = RunWriter(directory.path)
        self._checkpoints = Checkpoints(
            directory.checkpoints,
            parts.trackables(),
            parts.config.keep_checkpoints,
            optional=parts.event_states(),
            changing=[MITIGATIONS, EVALUATION, *(event.name for event in parts.config.events)],
        )
        self.failures = Failures(
            parts.driver,
            parts.after_updates.act,
            Examination(parts.gradient_step, parts.networks()),
            self._checkpoints,
            directory.path,
        )
        self._profile_steps = profile_steps
        self._device = device
        self._has_begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                self._note_failure(error)
        finally:
            self.profiler.close()
            self.driver.close()

    def begin(self, is_new: bool) -> None:
        """Starts the run, or resumes it from its last checkpoint.

        Args:
            is_new: whether the run was built as one that has no checkpoint.

        Raises:
            ValueError: the run was built as one with a checkpoint, and there is none any more.
        """
        checkpoint = self._checkpoints.latest()
        if checkpoint is not None:
            self.driver.keep_compiler(checkpoint.state.get("compiler", checkpoint.state.get("program", "")))
        if checkpoint is None:
            if not is_new:
                raise ValueError("The checkpoint to resume from is gone. Run the same command again")
            with writing(self.directory.path):
                self.directory.cut_after(-1, 0)
            self.failures.note_beginning()
            self.driver.start()
        else:
            self._checkpoints.restore(checkpoint)
            self.driver.restore(checkpoint.directory, self._checkpoints.shared, checkpoint.shared_files)
            self.is_resumed = True
            self.step = checkpoint.step
            self.pending = checkpoint.state["pending"]
            self.sums = {_renames.step_metric(name): sum for name, sum in checkpoint.state["sums"].items()}
            self.count = checkpoint.state["count"]
            with writing(self.directory.path):
                self.directory.cut_after(
                    checkpoint.step,
                    checkpoint.state["metrics_position"],
                    checkpoint.state.get("event_files"),
                )
            logging.info("Resumed at gradient step %d.", self.step)
            if self._profile_steps is not None and self._profile_steps[1] <= self.step:
                logging.info("No trace recorded: --profile_steps ends at step %d.", self._profile_steps[1])
        self._begin_writing()

    def _begin_writing(self) -> None:
        self.writer.open(self.directory.tensorboard)
        if not self.is_resumed:
            config = (self.directory.path / OPERATIVE_CONFIG_FILE).read_text("utf-8")
            self.writer.text(0, "operative_config", f"```\n{config}\n```")
        for event in self.events:
            event.begin(self)
        self._has_begun = True
        self.write_status("running")

    def next_stop(self) -> int:
        """Returns the first gradient step after this one at which there is something to do.

        Raises:
            ValueError: an event names a step that is none after this one.
        """
        nexts = [event.next_after(self.step) for event in self.events]
        for event, each in zip(self.events, nexts, strict=True):
            if each is not None and each <= self.step:
                rule = f"`{type(event).__name__}.next_after` must return a step after {self.step}, or None"
                raise ValueError(f"{rule}. Received: {each!r}")
        edges = self.profiler.edges_after(self.step)
        return min([*(each for each in nexts if each is not None), self.config.total_steps, *edges])

    def arrive(self, step: int, sums: dict[str, float]) -> None:
        """Records that gradient steps have led to gradient step `step`, and the events due there.

        Args:
            step: gradient steps done.
            sums: `sums` with the metrics of the new steps.

        Raises:
            NonFiniteLossError: gradients and with them weights are not finite.
        """
        self.failures.check_gradient(step, self.sums, sums)
        self.count += step - self.step
        self.step, self.sums = step, sums
        with writing(self.directory.path):
            self.profiler.after(step)
        self.pending = [event.name for event in self.events if event.is_due(step)]

    def save(self) -> None:
        """Writes a checkpoint."""
        self.writer.flush()
        state = {
            "pending": self.pending,
            "sums": self.sums,
            "count": self.count,
            "metrics_position": self.writer.metrics_position(),
            "event_files": self.directory.event_file_sizes(),
            "compiler": self.driver.compiler,
        }
        self.failures.check_weights(self.step)
        self._checkpoints.save(self.step, state, self.driver.save)
        self.failures.checkpoint_saved()
        self.write_status("running")

    def end(self) -> int:
        """Saves and reports the state of the run; returns the exit code."""
        self.save()
        self.writer.close()
        total_steps = self.config.total_steps
        if self.step >= total_steps and not self.pending:
            self.write_status("finished")
            path = self.directory.path
            if self.step > total_steps:
                logging.info("The run is beyond train.total_steps = %d, which is smaller now.", total_steps)
            logging.info("Finished at gradient step %d. tensorboard --logdir=%s", self.step, path)
            return 0
        self.write_status("stopped")
        logging.info("Stopped at gradient step %d. Run the same command again to resume.", self.step)
        return self.stop.exit_code

    def write_status(self, state: str, **fields: Any) -> None:
        """Writes `status.json`.

        Args:
            state: one of `run_format.STATES`.
            **fields: more fields of the file.
        """
        with writing(self.directory.path):
            total_steps = self.config.total_steps
            self.directory.write_status(
                state, self.step, total_steps=total_steps, device=self._device, **fields
            )

    def _note_failure(self, error: BaseException) -> None:
        with contextlib.suppress(OSError, tf.errors.OpError):  # of this error, if it is one of writing
            self.writer.close()
        # A run that could not be resumed stands where it stood, by the directory's `close`.
        if self._has_begun or self.directory.is_new:
            with contextlib.suppress(OSError):
                self.write_status("failed", error=f"{type(error).__name__}: {error}".splitlines()[0])
