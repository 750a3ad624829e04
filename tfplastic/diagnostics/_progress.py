"""Lines on the standard error about measurements that take long: how far they are, and how long is left."""

import functools
import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from tfplastic._durations import rough_duration
from tfplastic.diagnostics.quantity import needs_of, reads_of

_FIRST = 10.0  # seconds before the first line
_LONGEST = 60.0  # seconds between lines
# How long a quantity takes compared with a cheap one, by its cost: ratios of the median times of the sets in
# benchmarks/diagnostics_overhead.py, for the MLP.
_WEIGHTS = {"cheap": 1.0, "medium": 5.0, "full": 50.0}
_UNKNOWN_WEIGHT = 5.0


class Progress:
    """A context in which quantities are measured, in the form in which `watched` returns them.

    Nothing is written within the first ten seconds; from then on a line now and then, at most a minute apart,
    also while a single quantity takes long.

    Args:
        model_name: for the lines.
        quantities: all that are to be measured, {name: function}, in their order.
    """

    def __init__(self, model_name: str, quantities: Mapping[str, Any]):
        self._model_name = model_name
        self._weights = {name: _weight(quantity) for name, quantity in quantities.items()}
        self._begun: list[str] = []
        self._begun_at: list[float] = []
        self._start = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write_lines, daemon=True)

    def watched(self, quantities: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the quantities as functions that do the same and call `begin` before."""
        return {name: self._watched(name, quantity) for name, quantity in quantities.items()}

    def _watched(self, name: str, quantity: Any) -> Any:
        def measured(snapshot: Any) -> Any:
            self.begin(name)
            return quantity(snapshot)

        for attribute, value in (("needs", needs_of(quantity)), ("reads", reads_of(quantity))):
            setattr(measured, attribute, value)
        return measured

    def begin(self, name: str) -> None:
        """Notes that a quantity is measured from now on, and those before it are."""
        self._begun_at.append(time.monotonic())
        self._begun.append(name)

    def line(self, now: float) -> str:
        """Returns what there is to say at the time `now`, of `time.monotonic`."""
        elapsed = now - self._start
        text = f"Diagnosing {self._model_name}: {rough_duration(elapsed)} so far"
        if not self._begun:
            return f"{text}, tracing the model."
        done, current = self._begun[:-1], self._begun[-1]
        text += f", {len(done)} of {len(self._weights)} quantities measured, now {current}"
        seconds, weight = self._begun_at[-1] - self._begun_at[0], sum(self._weights[name] for name in done)
        if not weight or not seconds:
            return f"{text}."
        left = sum(self._weights.values()) - weight
        remaining = max(0.0, seconds / weight * left - (now - self._begun_at[-1]))
        return f"{text}, about {rough_duration(remaining)} left."

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _write_lines(self) -> None:
        pause = _FIRST
        while not self._ended.wait(pause):
            sys.stderr.write(f"{ascii(self.line(time.monotonic()))[1:-1]}\n")
            sys.stderr.flush()
            pause = min(2 * pause, _LONGEST)


def _weight(quantity: Any) -> float:
    while isinstance(quantity, functools.partial):
        quantity = quantity.func
    return _WEIGHTS.get(getattr(quantity, "cost", ""), _UNKNOWN_WEIGHT)
