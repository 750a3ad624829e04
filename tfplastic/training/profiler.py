"""A trace of some gradient steps for TensorBoard's profile plugin."""

import contextlib
from pathlib import Path

import tensorflow as tf

from tfplastic._checks import check_integer


class Profiler:
    """Traces the gradient steps after step A up to step B, and all that happens between them.

    The trace lies under `plugins/profile/` in the log directory, as `*.xplane.pb`.

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

    def step(self, step: int) -> contextlib.AbstractContextManager:
        """A context for the gradient steps that follow step number `step`, none of them beyond an edge."""
        if self._steps is None:
            return contextlib.nullcontext()
        first, last = self._steps
        if not self._is_tracing and first <= step < last:
            tf.profiler.experimental.start(str(self._log_dir))
            self._is_tracing = True
        if self._is_tracing:
            return tf.profiler.experimental.Trace("gradient_step", step_num=step + 1, _r=1)
        return contextlib.nullcontext()

    def after(self, step: int) -> None:
        """Ends the trace if `step` is its last gradient step; to be called before what else happens at it."""
        if self._steps is not None and step >= self._steps[1]:
            self.close()

    def edges_after(self, step: int) -> list[int]:
        """The steps after `step` at which the trace begins or ends."""
        return [edge for edge in self._steps or () if edge > step]

    def close(self) -> None:
        """Ends the trace and writes it, if one is being taken."""
        if self._is_tracing:
            self._is_tracing = False
            tf.profiler.experimental.stop()
