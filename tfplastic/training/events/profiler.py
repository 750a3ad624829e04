"""A trace of some gradient steps for TensorBoard's profile plugin, XProf."""

import contextlib
from pathlib import Path

import tensorflow as tf

from tfplastic._checks import check_integer
from tfplastic.training.events import trace_files

_MOST_STEPS_SHOWN_WHOLE = 5  # of a longer trace, XProf leaves out the first and the last step


class Profiler:
    """Trace of the gradient steps after step A up to step B, and all that happens between them.

    The trace lies under `plugins/profile/` in the log directory, as `*.xplane.pb`. Each gradient step, with
    the acting and sampling that belong to it, is one span `train_step` there, which XProf takes for a step.

    Args:
        steps: (A, B) with 0 <= A < B, or None for no trace.
        log_dir: TensorBoard's log directory.

    Raises:
        ValueError: if the steps are not in order.
    """

    def __init__(self, steps: tuple[int, int] | None, log_dir: Path):
        if steps is not None:
            check_integer("profile_steps", steps[0])
            check_integer("profile_steps", steps[1], minimum=steps[0] + 1)
        self._steps = steps
        self._log_dir = log_dir
        self._is_tracing = False
        self._has_edges = False
        self._older: set[Path] = set()  # traces of earlier sessions in this directory

    def step(self, step: int) -> contextlib.AbstractContextManager:
        """Returns a context for the gradient steps after step `step`, none of them beyond an edge."""
        if self._steps is None:
            return contextlib.nullcontext()
        first, last = self._steps
        if not self._is_tracing and first <= step < last:
            self._older = trace_files.find(self._log_dir)
            tf.profiler.experimental.start(str(self._log_dir))
            self._is_tracing = True
            self._has_edges = last - step > _MOST_STEPS_SHOWN_WHOLE
            self._mark_edge(step)
        if self._is_tracing:
            return tf.profiler.experimental.Trace(trace_files.STEP, step_num=step + 1, _r=1)
        return contextlib.nullcontext()

    def after(self, step: int) -> None:
        """Ends the trace if `step` is its last gradient step; call it before the other events of the step."""
        if self._steps is not None and step >= self._steps[1]:
            self.close()

    def edges_after(self, step: int) -> list[int]:
        """Returns the steps after `step` at which the trace begins, ends, or needs a step of its own."""
        if self._steps is None:
            return []
        first, last = self._steps
        next_edge = max(first, step + 1)
        return [next_edge] if next_edge <= last else []

    def close(self) -> None:
        """Ends the trace and writes it, if one is being taken."""
        if self._is_tracing:
            self._is_tracing = False
            self._mark_edge((self._steps or (0, 0))[1] + 1)
            tf.profiler.experimental.stop()
            for path in trace_files.find(self._log_dir) - self._older:
                trace_files.mend(path)

    def _mark_edge(self, step_num: int) -> None:
        """Adds an empty step at an end of a long trace, for XProf to leave out."""
        if self._has_edges:
            with tf.profiler.experimental.Trace(trace_files.STEP, step_num=step_num, _r=1):
                tf.constant(0.0)  # a step without any operation is none
