"""The checkpoints of a run. The run's directory is only read: the run may be training."""

import pathlib
from collections.abc import Callable, Iterable
from typing import TypeVar

from tfplastic import _checkpoint_files as files
from tfplastic._checkpoint_files import Checkpoint
from tfplastic.command_line.entry_point import print_line
from tfplastic.configuration.errors import UsageError
from tfplastic.run_format import CHECKPOINTS_DIRECTORY, OPERATIVE_CONFIG_FILE

_ACTION = "Name the directory of a run"
_LOOKS = 5  # at a run that removes checkpoints while they are looked at

Value = TypeVar("Value")


def run_directory_of(checkpoint: Checkpoint) -> pathlib.Path:
    """Returns the directory of the run that a checkpoint is of."""
    return checkpoint.directory.parent.parent


def find_checkpoints(run_directory: str) -> list[Checkpoint]:
    """Returns all undamaged checkpoints, the newest last; at least one.

    Prints the damaged ones.

    Raises:
        UsageError: there is no such directory, run or checkpoint, or all of them are damaged.
    """
    root = _checkpoints_of(run_directory)
    damages = _damages(root)
    good = [directory for directory, damage in damages.items() if not damage]
    if not good:
        newest, damage = [*damages.items()][-1]
        text = _unreadable(files.step_of(newest), damage)
        raise UsageError(f"{text}, nor any other. Restore one of them, or name another run")
    for directory, damage in damages.items():
        if damage:
            print_line(f"gradient step {files.step_of(directory):,}: damaged, and left out: {damage}")
    return [files.read(directory) for directory in good]


def find_checkpoint(run_directory: str, step: int) -> Checkpoint:
    """Returns the checkpoint of a gradient step.

    Raises:
        UsageError: see `find_checkpoints`; or there is none of that step or it is damaged; lists the existing
            ones.
    """
    root = _checkpoints_of(run_directory)
    damages = {files.step_of(directory): damage for directory, damage in _damages(root).items()}
    there = ", ".join(str(each) for each, damage in damages.items() if not damage) or "none"
    if step not in damages:
        raise UsageError(f"--checkpoint must be a step with a checkpoint: {there}. Received: {step}")
    if damages[step]:
        raise UsageError(f"{_unreadable(step, damages[step])}. Choose one that can be read: {there}")
    return files.read(root / files.directory_name(step))


def first_readable(
    found: Iterable[Checkpoint], read: Callable[[Checkpoint], Value]
) -> tuple[Checkpoint, Value]:
    """Returns the first of some checkpoints that can be read, and the result of `read`.

    Prints those that cannot be read: checkpoints of an older version, which have no checksums, and
    those that the run has removed in the meantime.

    Args:
        found: checkpoints, at least one.
        read: function that reads one of them; raises `UsageError` where it cannot be read.

    Raises:
        UsageError: none of them can be read; the error is that of the last one.
    """
    waiting = list(found)
    while True:
        checkpoint = waiting.pop(0)
        try:
            return checkpoint, read(checkpoint)
        except UsageError as error:
            if not waiting:
                raise
            print_line(f"gradient step {checkpoint.step:,}: left out. {error}")


def _checkpoints_of(run_directory: str) -> pathlib.Path:
    path = pathlib.Path(run_directory)
    if not path.is_dir():
        raise UsageError(f"--run_dir: no such directory {run_directory!r}. {_ACTION}")
    if not (path / OPERATIVE_CONFIG_FILE).is_file():
        lacking = f"it has no {OPERATIVE_CONFIG_FILE}. {_ACTION}"
        raise UsageError(f"--run_dir: {run_directory!r} holds no run: {lacking}")
    if not files.complete(path / CHECKPOINTS_DIRECTORY):
        raise UsageError(
            f"--run_dir: the run in {run_directory!r} has no checkpoint yet. Wait for its first one"
        )
    return path / CHECKPOINTS_DIRECTORY


def _damages(root: pathlib.Path) -> dict[pathlib.Path, str]:
    """Describes the damage of each checkpoint, '' for none; skips those that the run removes meanwhile."""
    damages: dict[pathlib.Path, str] = {}
    for _ in range(_LOOKS):
        damages = {directory: files.find_damage(directory) for directory in files.complete(root)}
        if damages and all((directory / files.MANIFEST_FILE).exists() for directory in damages):
            break
    return damages


def _unreadable(step: int, damage: str) -> str:
    return f"--run_dir: checkpoint {step} cannot be read: {damage}"
