"""Ctrl-C and SIGTERM as a request to stop a sweep."""

import signal
from types import FrameType
from typing import Any, Self


class Stop:
    """A context in which SIGINT and SIGTERM only set `signal`; a second SIGINT raises `KeyboardInterrupt`.

    The counterpart of `training.signals.StopRequest`, without an import of TensorFlow.

    Attributes:
        signal: the signal received, or None.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._previous: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self.signal is not None

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal == signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
