"""The gradient steps before a failure, taken again to see where a quantity first was not finite."""

import time
from collections.abc import Callable
from typing import Any

from tfplastic.training.after_updates import AfterUpdates
from tfplastic.training.execution.driver import Driver
from tfplastic.training.execution.non_finite import Examination
from tfplastic.training.step import NonFiniteLossError

_LOOKS = 100  # at the weights, on the way to the failure
_LONGEST_S = 60.0


class RetakenSteps:
    """Repetition of gradient steps of a task in memory, bit for bit, to look between them.

    A compiled program says that a loss was not finite, but the batch is gone by then, and under XLA the
    weights are too: all that costs nothing while training is well.

    Args:
        driver: driver of the run.
        step_begin: function that returns the batch and the state of a gradient step, the one after the
            present state.
        after_updates: mitigations that act between steps.
        restore: brings weights and task back to where steps are at hand from, and returns that gradient step.
        examination: examination of the task's gradient step.
    """

    def __init__(
        self,
        driver: Driver,
        step_begin: Callable[[int], tuple[Any, Any]],
        after_updates: AfterUpdates,
        restore: Callable[[], int],
        examination: Examination,
    ):
        self._driver = driver
        self._step_begin = step_begin
        self._after_updates = after_updates
        self._restore = restore
        self._examination = examination
        self._deadline = time.monotonic() + _LONGEST_S

    def find(self, failed: int) -> str:
        """Names the first value that was not finite and its gradient step, '' where it does not show again.

        Args:
            failed: the gradient step at which the failure was found.

        Raises:
            TimeoutError: it takes longer than a minute.
        """
        first = self._restore()
        if found := self._examination.of_weights():
            return f"{found} before gradient step {first + 1}"
        good, bad = self._walk(first, failed, max(1, (failed - first) // _LOOKS))
        if bad - good > 1:
            self._take(self._restore(), good)
            good, bad = self._walk(good, bad, 1)
        self._take(self._restore(), good)
        return self._look(bad)

    def _walk(self, good: int, failed: int, stride: int) -> tuple[int, int]:
        """Returns a step after which all is finite, and one, at most a stride later, after which not.

        Where all is finite to the end, the last two steps.
        """
        while good < failed:
            bad = min(failed, good + stride)
            try:
                self._take(good, bad)
            except NonFiniteLossError as error:
                return good, error.step
            if self._examination.of_weights():
                return good, bad
            good = bad
        return failed - 1, failed

    def _take(self, step: int, last: int) -> None:
        """Takes the steps that follow `step` up to `last`, and the mitigations after them."""
        while step < last:
            if time.monotonic() > self._deadline:
                raise TimeoutError
            stop = min([last, *((step // period + 1) * period for period in self._after_updates.periods)])
            step, _ = self._driver.advance(step, stop, {})
            self._after_updates.act(step)

    def _look(self, step: int) -> str:
        """Takes one step and names the first value that is not finite in it or after it."""
        at = f"at gradient step {step}"
        batch, state = self._step_begin(step)
        if found := self._examination.of_step(batch, step=step, state=state):
            return f"{found} {at}"
        try:
            self._driver.advance(step - 1, step, {})
        except NonFiniteLossError:
            return ""
        if found := self._examination.of_weights():
            may_be_a_mitigation = self._after_updates.acts_in_program
            actor = "the optimizer or a mitigation" if may_be_a_mitigation else "the optimizer"
            return f"{found}, as {actor} changed it {at}"
        self._after_updates.act(step)
        found = self._examination.of_weights()
        return f"{found}, as a mitigation changed it {at}" if found else ""
