"""Gradient steps on batches that come from the host, one by one."""

import time
from typing import Any

import tensorflow as tf

from tfplastic._tf.determinism import sums_in_order
from tfplastic.tasks import HostTask
from tfplastic.training.after_updates import Moment
from tfplastic.training.execution.non_finite import Examination
from tfplastic.training.step import GradientStep, NonFiniteLossError, StepOutput

_TIMED_STEPS = 10


class HostSteps:
    """Takes the gradient steps of a `HostTask`; `GraphSteps` is the same for a `GraphTask`.

    Args:
        task: built.
        gradient_step: of that task.
    """

    def __init__(self, task: HostTask, gradient_step: GradientStep):
        self._task = task
        self._compiled_step = tf.function(gradient_step, autograph=False)
        self._reads_step = gradient_step.reads_step
        self._last_batch: Any = None
        self._parts: Any = {}  # of the last step's context, that mitigations read after it

    def advance(self, step: int, last: int, sums: dict[str, float]) -> tuple[int, dict[str, float]]:
        """Takes the gradient step that follows `step`.

        Args:
            step: gradient steps done.
            last: not beyond this one.
            sums: of what each step reports, by name.

        Returns:
            `step + 1`, and the sums with what that step reports.

        Raises:
            NonFiniteLossError: if the loss is NaN or infinite; the weights are as they were then.
        """
        del last  # one at a time, so that the loop can be stopped after each
        try:
            self._last_batch = self._task.next()
            output = self._step(self._last_batch, step + 1)
        except tf.errors.InvalidArgumentError as error:
            if GradientStep.NOT_FINITE not in str(error):
                raise
            raise NonFiniteLossError(step + 1) from None
        self._parts = output.parts
        self._task.after_step(step + 1)
        reported = {"loss": output.loss, **output.metrics}
        return step + 1, {name: sums.get(name, 0.0) + float(value) for name, value in reported.items()}

    def moment(self) -> Moment:
        """The end of the last gradient step."""
        return Moment(self._parts)

    def find_non_finite(self, error: NonFiniteLossError, examination: Examination) -> str:
        """Names what first was not finite in the last gradient step, '' where nothing is now.

        Args:
            error: its failure.
            examination: of the gradient step.
        """
        if error.quantity == "gradient":
            return examination.of_gradients()
        return examination.of_weights() or examination.of_step(self._last_batch, is_advanced=True)

    def seconds_per_step(self) -> float:
        """How long a gradient step and its batch take here, by trying; the task is of no use after this."""
        batch = self._task.example()
        self._step(batch, 1)
        begun = time.perf_counter()
        for _ in range(_TIMED_STEPS):
            self._step(batch, 1)
        return (time.perf_counter() - begun) / _TIMED_STEPS + self._task.seconds_per_batch()

    def _step(self, batch: Any, step: int) -> StepOutput:
        number = [tf.constant(step, tf.int64)] if self._reads_step else []
        # Named in a trace of `--profile_steps`.
        with (
            tf.profiler.experimental.Trace("gradient_step"),
            sums_in_order(),
        ):  # a step of large batches would not repeat itself bit for bit
            return self._compiled_step(batch, *number)
