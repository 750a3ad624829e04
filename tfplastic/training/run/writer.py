"""The writers of a run."""

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tfplastic.training.run.write_errors import writing
from tfplastic.writers import ManyWriters, Writer


def _guarded(method: Any) -> Any:
    """The method of a `RunWriter`, within `writing`."""

    @functools.wraps(method)
    def guarded(self: Any, /, *arguments: Any, **named: Any) -> None:
        with writing(self.path):
            method(self, *arguments, **named)

    return guarded


class RunWriter(ManyWriters):
    """Hands everything to each of `writers`; their errors say that the run directory cannot be written.

    Args:
        path: run directory.
        writers: into it.
    """

    def __init__(self, path: Path, writers: Iterable[Writer] = ()):
        super().__init__(writers)
        self.path = path

    scalars = _guarded(ManyWriters.scalars)
    clock_scalars = _guarded(ManyWriters.clock_scalars)
    histogram = _guarded(ManyWriters.histogram)
    image = _guarded(ManyWriters.image)
    text = _guarded(ManyWriters.text)
    arrays = _guarded(ManyWriters.arrays)
    layout = _guarded(ManyWriters.layout)
    flush = _guarded(ManyWriters.flush)
    close = _guarded(ManyWriters.close)
