"""Paths of the files that `bin/diagnose` writes."""

import dataclasses
import importlib.util
import os
import pathlib
from collections.abc import Callable
from typing import Any, BinaryIO

from tfplastic.configuration.errors import UsageError
from tfplastic.run_format import ARRAYS_DIRECTORY
from tfplastic.writers import atomic_file

_FIGURES_DIRECTORY = "figures"


@dataclasses.dataclass(frozen=True)
class OutputPaths:
    """The directories of arrays and of figures, and the name, without an ending, of all files in them."""

    arrays: pathlib.Path
    figures: pathlib.Path
    name: str

    @classmethod
    def of_run(cls, run_directory: str, command: str, name: str, out: str | None) -> "OutputPaths":
        """Returns the paths for results on a run: in the run's directory unless `out` is given.

        Args:
            run_directory: directory of the run.
            command: the command's name.
            name: part of the run, such as a gradient step.
            out: another directory.
        """
        if out is not None:
            return cls(pathlib.Path(out), pathlib.Path(out), f"{name}_{command}")
        root = pathlib.Path(run_directory)
        return cls(root / ARRAYS_DIRECTORY / command, root / _FIGURES_DIRECTORY / command, name)

    @classmethod
    def of_model(cls, model: str, command: str, out: str | None) -> "OutputPaths":
        """Returns the paths for results on a Keras file: in its own directory unless `out` is given."""
        path = pathlib.Path(model)
        directory = path.parent if out is None else pathlib.Path(out)
        return cls(directory, directory, f"{path.stem}_{command}")

    def check(self) -> None:
        """Raises `UsageError` if the outputs cannot be written, before any work."""
        if importlib.util.find_spec("matplotlib") is None:
            raise UsageError("the figure needs matplotlib: pip install '.[reports]'")
        for directory in (self.arrays, self.figures):
            there = next(path for path in (directory, *directory.absolute().parents) if path.exists())
            if not there.is_dir() or not os.access(there, os.W_OK):
                raise UsageError(f"cannot write to {str(directory)!r}; --out takes another directory")

    def write_data(self, ending: str, save: Callable[[BinaryIO], Any]) -> pathlib.Path:
        """Writes arrays or tables to NAME and `ending`, such as '.npz', by `save`; returns the path."""
        return _write(self.arrays / f"{self.name}{ending}", save)

    def write_figure(self, ending: str, save: Callable[[BinaryIO], Any]) -> pathlib.Path:
        """Writes like `write_data`, in the directory of figures."""
        return _write(self.figures / f"{self.name}{ending}", save)


def _write(path: pathlib.Path, save: Callable[[BinaryIO], Any]) -> pathlib.Path:
    """Writes a file that appears whole, in one move, and replaces an older one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        save(file)
    return path
