"""Gradient steps of a task whose data is in memory: many of them are one call of one compiled program."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from tfplastic import seeds
from tfplastic._tf.determinism import deterministic_sums
from tfplastic._tf.programs import own_program
from tfplastic._tf.random import fold_in
from tfplastic.tasks import GraphTask, TaskLoss, TaskProgress
from tfplastic.training.after_updates import AfterUpdates, Moment
from tfplastic.training.execution.chunks import Chunks
from tfplastic.training.execution.driver import Driver
from tfplastic.training.execution.non_finite import Examination
from tfplastic.training.execution.retaken_steps import RetakenSteps
from tfplastic.training.execution.step_parts_file import has_parts, load_parts, save_parts
from tfplastic.training.step import GradientStep, NonFiniteLossError

_STATE_FILE = "task_state.npz"
_TIMED_STEPS = 10


class GraphSteps(Driver):
    """The driver of a `GraphTask`.

    A `tf.while_loop` over steps: batch, gradient step, the task's work after it, mitigations that act more
    often than every ten steps, and the sums of the steps' metrics. The number of steps is an input of the
    program, so that it is compiled once whatever the lengths of the chunks; how a run is cut into chunks
    leaves no trace in its results. Where mitigations await the boundaries of tasks of different lengths, it
    ends at the next boundary.

    Args:
        task: built.
        gradient_step: gradient step of that task.
        after_updates: mitigations, some of which act in the program.
        seed: root seed of the run.
        compiler: `'graph'` or `'xla'`.

    Attributes:
        compiler: the given compiler, or that of a checkpoint.
        state: state of the task, once it has been started or restored.
    """

    can_repeat = True
    saves_diagnostics_batch = False

    def __init__(
        self,
        task: GraphTask,
        gradient_step: GradientStep,
        after_updates: AfterUpdates,
        seed: int,
        compiler: str,
    ):
        self._task = task
        self._gradient_step = gradient_step
        self._after_updates = after_updates
        self._key = tf.constant(seeds.derive(seed, "step"))
        self.compiler = compiler
        self._next = own_program(task.next)  # for `step_begin` alone
        self._step = own_program(self._take_step)
        self._program = self._compiled(compiler)
        self._at = tf.Variable(0, trainable=False, dtype=tf.int64)  # the step that the program is at
        self._names: list[str] = []  # of what a step reports, known once it has been traced
        self.state: Any = None
        self._parts: Any = {}  # of the last step's context, that mitigations read between programs
        self._chunks = Chunks()

    def advance(self, step: int, last: int, sums: dict[str, float]) -> tuple[int, dict[str, float]]:
        """Takes as many of the gradient steps that follow `step` as fit into about half a second.

        Args:
            step: number of the last gradient step taken, see `Driver`.
            last: gradient step to go to at most, see `Driver`.
            sums: sums of the metrics, see `Driver`.

        Raises:
            NonFiniteLossError: the loss is NaN or infinite; the weights are as they were then in the graph,
                and updated once more under XLA.
        """
        if not self._names:  # one step is traced alone first, so that its errors come from here
            with _undisturbed():
                trace = self._step.get_concrete_function(*self._step_specs())
            _, reported, parts = trace.structured_outputs
            self._names = sorted(reported)
            self._parts = tf.nest.map_structure(_empty, parts)
        reached, sums, is_finite = self._chunks.take(step, last, lambda target: self._run(step, target, sums))
        if not is_finite:
            raise NonFiniteLossError(reached)
        return reached, sums

    def _step_specs(self) -> tuple[tf.TensorSpec, Any]:
        """Returns the specs of the arguments of one step."""
        return tf.TensorSpec([], tf.int64), tf.nest.map_structure(tf.TensorSpec.from_tensor, self.state)

    def keep_compiler(self, compiler: str) -> None:
        if compiler != self.compiler:
            logging.info("Continuing with the compiler that this run began with: %s.", compiler)
            self.compiler = compiler
            self._program = self._compiled(compiler)

    def find_non_finite(
        self, error: NonFiniteLossError, examination: Examination, restore: Callable[[], int]
    ) -> str:
        logging.info("Looking for where it began, by repeating the steps since the last checkpoint.")
        steps = RetakenSteps(self, self.step_begin, self._after_updates, restore, examination)
        return steps.find(error.step)

    def step_begin(self, step: int) -> tuple[Any, Any]:
        """Returns the batch of gradient step `step`, which follows the present state, and the state then."""
        return self._next(self.state, fold_in(self._key, tf.constant(step, tf.int64)))

    def moment(self) -> Moment:
        return Moment(self._parts, self.state)

    def at_boundary(self, step: int) -> bool:
        del step  # the one that the state is of
        return bool(self._task.boundary(self.state))

    def _compiled(self, compiler: str) -> Any:
        return own_program(self._take_steps, jit_compile=compiler == "xla" or None)

    def _run(self, step: int, last: int, sums: dict[str, float]) -> tuple[int, dict[str, float], bool]:
        with _undisturbed():
            tensors = {name: tf.constant(sums.get(name, 0.0), tf.float64) for name in self._names}
            bounds = tf.constant(step, tf.int64), tf.constant(last, tf.int64)
            try:
                outputs = self._program(*bounds, self.state, tensors, self._parts)
            except tf.errors.InvalidArgumentError as error:
                if GradientStep.NOT_FINITE not in str(error):
                    raise
                return int(self._at), sums, False
        reached, _, self.state, tensors, is_finite, self._parts = outputs
        return int(reached), {name: float(value) for name, value in tensors.items()}, bool(is_finite)

    def _take_steps(
        self, step: tf.Tensor, last: tf.Tensor, state: Any, sums: dict[str, tf.Tensor], parts: Any
    ) -> Any:
        def continues(
            step: tf.Tensor, end: tf.Tensor, state: Any, sums: Any, is_finite: tf.Tensor, parts: Any
        ) -> tf.Tensor:
            return (step < end) & is_finite

        def body(
            step: tf.Tensor, end: tf.Tensor, state: Any, sums: Any, is_finite: tf.Tensor, parts: Any
        ) -> Any:
            state, reported, parts = self._step(step + 1, state)  # reported: each []
            # Each [] float64.
            sums = {name: total + tf.cast(reported[name], tf.float64) for name, total in sums.items()}
            if self._after_updates.awaits_boundaries:
                end = tf.where(self._task.boundary(state), step + 1, end)
            return step + 1, end, state, sums, tf.math.is_finite(reported["loss"]), parts

        return tf.while_loop(continues, body, (step, last, state, sums, tf.constant(True), parts))

    def _take_step(self, step: tf.Tensor, state: Any) -> tuple[Any, dict[str, tf.Tensor], dict[str, Any]]:
        """Takes gradient step `step`; returns the task's state, the metrics, and the parts to hand on."""
        key = fold_in(self._key, step)  # [2] int32
        with tf.control_dependencies([self._at.assign(step)]):
            batch, state = self._task.next(state, key)  # batch: each [batch, ...]
            with tf.name_scope("gradient_step"):  # that separates operations in a profile
                output = self._gradient_step(batch, step, state)  # loss [], per_example_loss [batch]
        metrics = output.metrics  # each []
        state = self._task.after_step(state, step, TaskLoss(output.loss, output.per_example_loss, metrics))
        self._after_updates.in_program(step, Moment(output.parts, state))
        handed_on = self._after_updates.handed_on
        parts = {name: part for name, part in output.parts.items() if name in handed_on}
        return state, {"loss": output.loss, **metrics}, parts

    def start(self) -> None:
        self.state = self._task.initial_state()

    def warm_up(self) -> Iterator[None]:
        return iter(())  # it is part of the initial state

    def metrics(self) -> dict[str, float]:
        return self._task.metrics(self.state)

    def progress(self) -> TaskProgress:
        return self._task.progress(self.state)

    def evaluate(self, step: int, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        del should_stop  # too short to be stopped
        return self._task.evaluate(step, self.state)

    def diagnostics_batch(self) -> tuple[Any, Any]:
        return self._task.diagnostics_batch()

    def probe_inputs(self, count: int, key: np.ndarray) -> Any:
        return self._task.probe_inputs(self.state, count, key)

    def trackables(self) -> dict[str, Any]:
        return self._task.trackables()

    def save(self, directory: Path, shared: Path) -> list[str]:
        """Writes the state of the task into `directory`, its tensors in the order of `tf.nest.flatten`."""
        del shared
        save_parts(directory, self._parts)  # a mitigation that reads them may act after resuming only
        np.savez(directory / _STATE_FILE, *(value.numpy() for value in tf.nest.flatten(self.state)))
        return []

    def restore(self, directory: Path, shared: Path, shared_files: list[str]) -> None:
        del shared, shared_files
        structure = self._task.initial_state()
        with np.load(directory / _STATE_FILE) as arrays:
            values = [tf.constant(arrays[name]) for name in arrays.files]
        # The state of an earlier version lacks what has come last since: sums that nobody kept.
        unknown = tf.nest.flatten(structure)[len(values) :]
        values += [tf.fill(each.shape, tf.constant(math.nan, each.dtype)) for each in unknown]
        self.state = tf.nest.pack_sequence_as(structure, values)
        if has_parts(directory):
            with _undisturbed():
                trace = self._step.get_concrete_function(*self._step_specs())
            _, reported, parts = trace.structured_outputs
            self._names, self._parts = sorted(reported), load_parts(directory, parts)

    def describe(
        self, total_steps: int, checkpoint_period: int, keep_checkpoints: int
    ) -> list[tuple[str, str]]:
        return [*self._task.describe(total_steps), ("compiler", self.compiler)]

    def seconds_per_step(self) -> float:
        self.start()
        self.advance(0, 1, {})
        begun = time.perf_counter()
        reached, *_ = self._run(1, 1 + _TIMED_STEPS, {})  # fewer steps if there is a boundary
        return (time.perf_counter() - begun) / (reached - 1)

    def state_bytes(self) -> int:
        if self.state is None:
            self.start()
        return sum(value.numpy().nbytes for value in tf.nest.flatten(self.state))

    def close(self) -> None:
        """Releases nothing, as nothing is held."""


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """A context without the summaries that a task's library writes, which have no place in the program."""
    with tf.summary.record_if(False), deterministic_sums():
        yield


def _empty(part: Any) -> tf.Tensor:
    """Returns a tensor in the place of a part that no step has handed on yet."""
    if not part.shape.is_fully_defined():
        rule = "must read tensors of fixed shape to act every ten steps or more rarely"
        action = "Give it a period below 10, or read no activations of masked layers."
        raise ValueError(f"`mitigations` {rule}. Received: one that reads shape {part.shape}. {action}")
    return tf.zeros(part.shape, part.dtype)
