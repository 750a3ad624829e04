"""Checkpoints: whole or not there, and resumable bit for bit."""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

_MANIFEST = "manifest.json"
_SHARED = "shared"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """One complete checkpoint on disk.

    Attributes:
        directory: `step_<step>`, with `variables.*` (a `tf.train.Checkpoint`), the task's files and
            `manifest.json`.
        step: gradient steps done.
        shared_files: names of the files in the `shared` folder that it needs.
        state: the loop's own numbers, as JSON keeps them.
    """

    directory: Path
    step: int
    shared_files: list[str]
    state: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run, the newest `keep` of them.

    A checkpoint is written into a temporary folder which is renamed when it is complete, so that a process
    killed at any moment leaves the last complete one. Files in `shared` (replay segments) belong to several
    checkpoints; those that no complete checkpoint names are deleted.

    Args:
        root: the folder `checkpoints` of a run directory; made when first needed.
        trackables: TensorFlow objects whose variables are saved, by name.
        keep: how many to keep, at least 1.
    """

    def __init__(self, root: Path, trackables: dict[str, Any], keep: int):
        self.root = root
        self.shared = root / _SHARED
        self._keep = keep
        self._variables = tf.train.Checkpoint(**trackables)

    def save(self, step: int, state: dict[str, Any], save_task: Callable[[Path, Path], list[str]]) -> None:
        """Writes a checkpoint of `step`, then deletes those beyond `keep`.

        Args:
            step: gradient steps done.
            state: JSON-able numbers of the loop.
            save_task: called with the checkpoint's folder and the shared folder; returns the shared files it
                needs.
        """
        directory = self.root / f"step_{step:012d}"
        if step > 0 and (directory / _MANIFEST).exists():
            # The same step of the same run: variables and task are as they were, only the loop's numbers may
            # differ. (Not at step 0, where a warm-up may have gone on.)
            saved = _read(directory)
            _write_manifest(directory, dataclasses.replace(saved, state=state))
            return
        self.shared.mkdir(parents=True, exist_ok=True)
        temporary = self.root / f".writing_{directory.name}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        self._variables.write(str(temporary / "variables"))
        shared_files = save_task(temporary, self.shared)
        _write_manifest(temporary, Checkpoint(temporary, step, shared_files, state))
        for path in (*temporary.iterdir(), temporary):
            _sync(path)
        _sync(self.shared)
        if directory.exists():
            directory.rename(self.root / f".old_{directory.name}")
        temporary.rename(directory)
        _sync(self.root)
        self._clean()

    def latest(self) -> Checkpoint | None:
        """The newest complete checkpoint, or None."""
        complete = self._complete()
        return _read(complete[-1]) if complete else None

    def restore(self, checkpoint: Checkpoint) -> None:
        """Assigns the saved values to all variables; raises if one of them was not saved."""
        status = self._variables.read(str(checkpoint.directory / "variables"))
        status.assert_existing_objects_matched()
        status.expect_partial()  # tf.train.Checkpoint's own save counter is not ours
        self._clean()

    def _complete(self) -> list[Path]:
        return sorted(path.parent for path in self.root.glob(f"step_*/{_MANIFEST}"))

    def _clean(self) -> None:
        complete = self._complete()
        for directory in complete[: -self._keep]:
            # The manifest goes first: a folder without one is not a checkpoint.
            (directory / _MANIFEST).unlink()
            shutil.rmtree(directory)
        needed = {name for directory in complete[-self._keep :] for name in _read(directory).shared_files}
        incomplete = [path for path in self.root.glob("step_*") if not (path / _MANIFEST).exists()]
        for path in (*incomplete, *self.root.glob(".*_step_*")):
            shutil.rmtree(path)
        for path in self.shared.glob("*"):
            if path.name not in needed:
                path.unlink()


def _read(directory: Path) -> Checkpoint:
    manifest = json.loads((directory / _MANIFEST).read_text())
    return Checkpoint(directory, manifest["step"], manifest["shared_files"], manifest["state"])


def _write_manifest(directory: Path, checkpoint: Checkpoint) -> None:
    manifest = {"step": checkpoint.step, "shared_files": checkpoint.shared_files, "state": checkpoint.state}
    temporary = directory / f".{_MANIFEST}"
    temporary.write_text(json.dumps(manifest, indent=1))
    _sync(temporary)
    temporary.replace(directory / _MANIFEST)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
