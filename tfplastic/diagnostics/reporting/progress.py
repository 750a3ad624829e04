"""Lines on the standard error about measurements that take long: how far they are, and how long is left."""

import functools
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from tfplastic._text.durations import rough_duration
from tfplastic.diagnostics.declaration.quantity import needs_of, reads_of

_FIRST = 10.0  # seconds before the first line
_LONGEST = 60.0  # seconds between lines
# How long a quantity takes compared with a cheap one, by its cost, until one of that cost has been measured:
# ratios of the median times of the sets in benchmarks/diagnostics_overhead.py, for the MLP. In larger models
# gradients and curvature take longer still, so that what these say is a lower bound.
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
        """Returns the line to print at the time `now`, of `time.monotonic`."""
        elapsed = now - self._start
        text = f"Diagnosing {self._model_name}: {rough_duration(elapsed)} so far"
        if not self._begun:
            return f"{text}, tracing the model."
        done, current = self._begun[:-1], self._begun[-1]
        text += f", {len(done)} of {len(self._weights)} quantities measured, now {current}"
        if not done or self._begun_at[-1] == self._begun_at[0]:
            return f"{text}."
        seconds = self._seconds_of_costs()
        left = [self._weights[name] for name in self._weights if name not in done]
        remaining = sum(map(seconds, left)) - (now - self._begun_at[-1])
        if max(left) <= max(self._weights[name] for name in done):
            return f"{text}, about {rough_duration(max(0.0, remaining))} left."
        return f"{text}, at least {rough_duration(remaining)} left." if remaining > 0 else f"{text}."

    def _seconds_of_costs(self) -> Callable[[float], float]:
        """Returns the seconds that a quantity takes by its weight: the mean of those of equal weight.

        Where none was measured, by the ratio of the weights.
        """
        measured: dict[float, list[float]] = {}
        for name, start, end in zip(self._begun, self._begun_at, self._begun_at[1:], strict=False):
            measured.setdefault(self._weights[name], []).append(end - start)
        total = sum(map(sum, measured.values()))
        per_weight = total / sum(weight * len(each) for weight, each in measured.items())

        def seconds(weight: float) -> float:
            return statistics.fmean(measured[weight]) if weight in measured else per_weight * weight

        return seconds

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
