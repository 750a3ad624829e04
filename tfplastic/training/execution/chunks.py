"""Number of gradient steps in one call of a compiled program."""

import time
from collections.abc import Callable
from typing import Any

_LONG_CALL_S = 0.5  # after which a signal or the progress line has waited long enough


class Chunks:
    """Caller of a program for as many steps at a time as fit into about half a second, found by trial."""

    def __init__(self) -> None:
        self._length = 1

    def take(self, step: int, last: int, program: Callable[[int], Any]) -> Any:
        """Returns the result of `program`, whose first part is the step that was reached.

        Args:
            step: gradient steps done.
            last: gradient step to stop at, at the latest.
            program: function that is called once, with the last step to advance to.
        """
        target = min(last, step + self._length)
        begun = time.perf_counter()
        result = program(target)
        seconds = time.perf_counter() - begun
        if seconds > 2 * _LONG_CALL_S:
            self._length = max(1, self._length // 2)
        elif seconds < _LONG_CALL_S and result[0] == step + self._length:
            self._length *= 2
        return result
