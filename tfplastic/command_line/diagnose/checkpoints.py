"""The checkpoints that a run has. The run's directory is only read: it may be at work."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from tfplastic.command_line import programs
from tfplastic.command_line.errors import UsageError

OPERATIVE_CONFIG = "operative_config.gin"
_CHECKPOINTS = "checkpoints"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """One complete checkpoint of the run in `run_directory`, after gradient step `step`."""

    run_directory: pathlib.Path
    directory: pathlib.Path
    step: int

    @property
    def shared(self) -> pathlib.Path:
        """The folder of the files that checkpoints share."""
        return self.run_directory / _CHECKPOINTS / "shared"

    def manifest(self) -> dict[str, Any]:
        """What it says of itself."""
        return json.loads((self.directory / "manifest.json").read_text(encoding="utf-8"))


def find_checkpoints(run_directory: str) -> list[Checkpoint]:
    """All of them, the newest last; at least one.

    Raises:
        UsageError: there is no such directory, run or checkpoint.
    """
    path = pathlib.Path(run_directory)
    if not path.is_dir():
        raise UsageError(f"--run_dir: no such directory {run_directory!r}")
    if not (path / OPERATIVE_CONFIG).is_file():
        raise UsageError(f"--run_dir: {run_directory!r} holds no run: it has no {OPERATIVE_CONFIG}")
    # A folder without a manifest is one that is being written or removed.
    complete = sorted(manifest.parent for manifest in (path / _CHECKPOINTS).glob("step_*/manifest.json"))
    if not complete:
        raise UsageError(f"--run_dir: the run in {run_directory!r} has no checkpoint yet")
    return [Checkpoint(path, directory, int(directory.name.removeprefix("step_"))) for directory in complete]


def find_checkpoint(run_directory: str, step: int | None) -> Checkpoint:
    """The checkpoint of `step`, None being the newest.

    Raises:
        UsageError: as `find_checkpoints`, and if there is none of that step; lists those that there are.
    """
    by_step = {each.step: each for each in find_checkpoints(run_directory)}
    chosen = _newest(by_step) if step is None else step
    if chosen not in by_step:
        there = ", ".join(map(str, by_step))
        raise UsageError(f"--checkpoint must be a step with a checkpoint: {there}. Received: {step}")
    return by_step[chosen]


def _newest(by_step: Mapping[int, Checkpoint]) -> int:
    """The newest step whose checkpoint can be read as far as its manifest; says so where it is not the last.

    Of the rest, `TrainedRun` finds damage when it reads.
    """
    for step in sorted(by_step, reverse=True):
        try:
            manifest = by_step[step].manifest()
            if isinstance(manifest, dict) and "shared_files" in manifest:
                return step
        except (OSError, ValueError):
            pass
        programs.say(f"gradient step {step:,}: its checkpoint is damaged or gone; an older one is taken")
    return max(by_step)
