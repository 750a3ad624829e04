"""The writers of a run."""

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tfplastic.training.run.write_errors import writing
from tfplastic.writers import ManyWriters, MetricsFileWriter, TensorBoardWriter, Writer


def _guarded(method: Any) -> Any:
    """Returns the method of a `RunWriter`, within `writing`."""

    @functools.wraps(method)
    def guarded(self: Any, /, *arguments: Any, **named: Any) -> None:
        with writing(self.path):
            method(self, *arguments, **named)

    return guarded


class RunWriter(ManyWriters):
    """The writers of metrics, arrays and TensorBoard; their errors say that the directory cannot be written.

    Nothing is written before it is opened.

    Args:
        path: run directory.
        writers: further writers, which are open already.
    """

    def __init__(self, path: Path, writers: Iterable[Writer] = ()):
        super().__init__(writers)
        self.path = path
        self._metrics: MetricsFileWriter | None = None

    def open(self, tensorboard: Path) -> None:
        """Starts to write, after the present content of the files.

        Args:
            tensorboard: folder of TensorBoard's events.
        """
        with writing(self.path):
            self._metrics = MetricsFileWriter(self.path)
            self.writers = (self._metrics, TensorBoardWriter(tensorboard))

    def metrics_position(self) -> int:
        """Returns the size of the metrics file, in bytes."""
        with writing(self.path):
            return 0 if self._metrics is None else self._metrics.position()

    scalars = _guarded(ManyWriters.scalars)
    clock_scalars = _guarded(ManyWriters.clock_scalars)
    histogram = _guarded(ManyWriters.histogram)
    image = _guarded(ManyWriters.image)
    text = _guarded(ManyWriters.text)
    arrays = _guarded(ManyWriters.arrays)
    layout = _guarded(ManyWriters.layout)
    flush = _guarded(ManyWriters.flush)
    close = _guarded(ManyWriters.close)
