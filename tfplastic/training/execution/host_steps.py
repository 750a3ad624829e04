"""Gradient steps on batches that come from the host, one by one."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic._tf.determinism import deterministic_sums
from tfplastic._tf.programs import DirectCall, own_program
from tfplastic.tasks import HostTask, TaskProgress
from tfplastic.training.after_updates import Moment
from tfplastic.training.execution.driver import Driver
from tfplastic.training.execution.non_finite import Examination
from tfplastic.training.execution.step_parts_file import has_parts, load_parts, save_parts
from tfplastic.training.step import GradientStep, NonFiniteLossError, StepOutput

_TIMED_STEPS = 10


class HostSteps(Driver):
    """The driver of a `HostTask`: one step at a time, so that the loop can stop after each.

    Args:
        task: built.
        gradient_step: gradient step of that task.
    """

    can_repeat = False
    saves_diagnostics_batch = True
    timed = "gradient steps and acting"

    def __init__(self, task: HostTask, gradient_step: GradientStep):
        self._task = task
        self._gradient_step = gradient_step
        self._functions: dict[Any, Any] = {}  # by the shapes and dtypes of a batch
        self._programs: dict[Any, DirectCall] = {}
        self._last_batch: Any = None
        self._last_penalty = 0.0
        self._parts: Any = {}  # of the last step's context, that mitigations read after it

    def advance(self, step: int, last: int, sums: dict[str, float]) -> tuple[int, dict[str, float]]:
        del last  # one at a time, so that the loop can be stopped after each
        try:
            self._last_batch = self._task.next()  # [batch, ...] each
            inputs = self._inputs(self._last_batch, step + 1)
            with _running():
                output = self._program(inputs)(*inputs)  # loss [], per_example_loss [batch]
        except tf.errors.InvalidArgumentError as error:
            if GradientStep.NOT_FINITE not in str(error):
                raise
            raise NonFiniteLossError(step + 1) from None
        self._parts = output.parts
        self._task.note_losses(output.per_example_loss)
        self._task.after_step(step + 1)
        reported = {name: float(value) for name, value in output.metrics.items()}
        self._last_penalty = reported.get("penalty", 0.0)
        reported = {"loss": float(output.loss), **reported}
        return step + 1, {name: sums.get(name, 0.0) + value for name, value in reported.items()}

    def moment(self) -> Moment:
        return Moment(self._parts)

    def at_boundary(self, step: int) -> bool:
        return bool(self._task.boundary(step))

    def find_non_finite(
        self, error: NonFiniteLossError, examination: Examination, restore: Callable[[], int]
    ) -> str:
        del restore  # the last step is at hand
        if error.quantity == "gradient":
            found = examination.of_penalty(self._last_penalty) or examination.of_gradients()
        else:
            found = examination.of_weights() or examination.of_step(
                self._last_batch, is_advanced=True, step=error.step
            )
        return f"{found} at gradient step {error.step}" if found else ""

    def start(self) -> None:
        self._task.start()

    def note_event(self) -> None:
        self._task.note_event()

    def warm_up(self) -> Iterator[None]:
        return self._task.warm_up()

    def metrics(self) -> dict[str, float]:
        return self._task.metrics()

    def progress(self) -> TaskProgress:
        return self._task.progress()

    def evaluate(self, step: int, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        return self._task.evaluate(step, should_stop)

    def diagnostics_batch(self) -> tuple[Any, Any]:
        return self._task.diagnostics_batch()

    def probe_inputs(self, count: int, key: np.ndarray) -> Any:
        return self._task.probe_inputs(count, key)

    def trackables(self) -> dict[str, Any]:
        return self._task.trackables()

    def save(self, directory: Path, shared: Path) -> list[str]:
        save_parts(directory, self._parts)  # a mitigation that reads them may act after resuming only
        return self._task.save(directory, shared)

    def restore(self, directory: Path, shared: Path, shared_files: list[str]) -> None:
        self._task.restore(directory, shared, shared_files)
        if has_parts(directory):
            function = self._function(self._inputs(self._task.example(), 1))
            output = function.get_concrete_function().structured_outputs
            self._parts = load_parts(directory, output.parts)

    def describe(
        self, total_steps: int, checkpoint_period: int, keep_checkpoints: int
    ) -> list[tuple[str, str]]:
        return self._task.describe(total_steps, checkpoint_period, keep_checkpoints)

    def state_bytes(self) -> int:
        return 0  # counters; the replay is in shared files

    def close(self) -> None:
        self._task.close()

    def seconds_per_step(self) -> float:
        batch = self._task.example()
        for repeats in (2, _TIMED_STEPS):  # the first two trace it
            begun = time.perf_counter()
            for _ in range(repeats):
                inputs = self._inputs(batch, 1)
                with _running():
                    self._program(inputs)(*inputs)
        return (time.perf_counter() - begun) / _TIMED_STEPS + self._task.seconds_per_batch()

    def _inputs(self, batch: Any, step: int) -> list[tf.Tensor]:
        """Returns the tensors of a batch, and the number of the step if a penalty reads it."""
        tensors = [_as_tensor(each) for each in tf.nest.flatten(batch)]
        return [*tensors, *([tf.constant(step, tf.int64)] if self._gradient_step.reads_step else [])]

    def _program(self, inputs: list[tf.Tensor]) -> Callable[..., StepOutput]:
        """Returns the step on flat tensors of these shapes: finding it by a nest costs 0.5 ms a step.

        The first call of a function traces it, and makes variables; from then on it is called directly.
        """
        signature = _signature(inputs)
        if signature in self._programs:
            return self._programs[signature]
        if signature in self._functions:
            self._programs[signature] = DirectCall(self._functions[signature].get_concrete_function())
            return self._programs[signature]
        return self._function(inputs)

    def _function(self, inputs: list[tf.Tensor]) -> Any:
        specs = [tf.TensorSpec(each.shape, each.dtype) for each in inputs]
        function = own_program(self._take_step, input_signature=specs)
        return self._functions.setdefault(_signature(inputs), function)

    def _take_step(self, *flat: tf.Tensor) -> StepOutput:
        structure = tf.nest.map_structure(lambda each: None, self._task.example())
        count = len(tf.nest.flatten(structure))
        with self._task.tracing_step():
            return self._gradient_step(tf.nest.pack_sequence_as(structure, flat[:count]), *flat[count:])


def _as_tensor(value: Any) -> tf.Tensor:
    # On arrays `tf.constant` does the same in a third of the time of `tf.convert_to_tensor`.
    return tf.constant(value) if isinstance(value, np.ndarray) else tf.convert_to_tensor(value)


def _signature(inputs: list[tf.Tensor]) -> tuple[Any, ...]:
    return tuple((each.shape, each.dtype) for each in inputs)


@contextlib.contextmanager
def _running() -> Iterator[None]:
    """Names the step in a trace of `--profile_steps`, and repeats its large batches bit for bit."""
    with tf.profiler.experimental.Trace("gradient_step"), deterministic_sums():
        yield
