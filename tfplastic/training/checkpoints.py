"""Checkpoints: whole or not there, and resumable bit for bit."""

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from absl import logging

_MANIFEST = "manifest.json"
_SHARED = "shared"
_DAMAGED = "damaged_"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """One complete checkpoint on disk.

    Attributes:
        directory: `step_<step>`, with `variables.*` (a `tf.train.Checkpoint`), the task's files and
            `manifest.json`.
        step: gradient steps done.
        shared_files: names of the files in the `shared` folder that it needs.
        state: the loop's own numbers, as JSON keeps them.
        checksums: {path of a file below the root: SHA-256}; None of older checkpoints, which have none.
    """

    directory: Path
    step: int
    shared_files: list[str]
    state: dict[str, Any]
    checksums: dict[str, str] | None = None


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
        self._shared_checksums: dict[str, str] = {}  # of segments, which never change
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
        checksums = {path.name: _checksum(path) for path in sorted(temporary.iterdir())}
        checksums |= {f"{_SHARED}/{name}": self._shared_checksum(name) for name in shared_files}
        _write_manifest(temporary, Checkpoint(temporary, step, shared_files, state, checksums))
        for path in (*temporary.iterdir(), temporary):
            _sync(path)
        _sync(self.shared)
        if directory.exists():
            directory.rename(self.root / f".old_{directory.name}")
        temporary.rename(directory)
        _sync(self.root)
        self._clean()

    def latest(self) -> Checkpoint | None:
        """Returns the newest checkpoint whose files are as they were written, or None if there is none.

        Damaged ones are put aside, as `damaged_step_<step>`, and named in the log.

        Raises:
            DamagedCheckpointError: there are checkpoints, all of them damaged; they stay where they are.
        """
        damaged: dict[Path, str] = {}
        for directory in reversed(self._complete()):
            damage = find_damage(directory)
            if not damage:
                found = _read(directory)
                for path, text in damaged.items():
                    aside = path.with_name(f"{_DAMAGED}{path.name}")
                    shutil.rmtree(aside, ignore_errors=True)
                    path.rename(aside)
                    logging.warning("Damaged checkpoint put aside as %s: %s.", aside, text)
                if damaged:
                    logging.warning("Resuming from the older %s.", directory)
                return found
            damaged[directory] = damage
        if damaged:
            newest, text = next(iter(damaged.items()))
            raise DamagedCheckpointError(
                f"no checkpoint of {self.root} can be read: {newest.name}: {text}. Restore one of them, or "
                "choose another run directory"
            )
        return None

    def _shared_checksum(self, name: str) -> str:
        if name not in self._shared_checksums:
            self._shared_checksums[name] = _checksum(self.shared / name)
        return self._shared_checksums[name]

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
        aside = self.root.glob(f"{_DAMAGED}step_*")
        needed = {name for directory in (*complete[-self._keep :], *aside) for name in _shared_of(directory)}
        incomplete = [path for path in self.root.glob("step_*") if not (path / _MANIFEST).exists()]
        for path in (*incomplete, *self.root.glob(".*_step_*")):
            shutil.rmtree(path)
        for path in self.shared.glob("*"):
            if path.name not in needed:
                path.unlink()


class DamagedCheckpointError(ValueError):
    """All checkpoints of a run are damaged; the message says in one line which file of the newest."""


def find_damage(directory: Path) -> str:
    """Says which file of a checkpoint is not as it was written, '' where all are.

    Of a checkpoint without checksums, of an older version, only what can be seen is found: a manifest that
    does not parse, a missing or empty file.

    Args:
        directory: `step_<step>`, which is only read.
    """
    try:
        checkpoint = _read(directory)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{_MANIFEST} cannot be read ({type(error).__name__})"
    paths = {f"{_SHARED}/{name}": directory.parent / _SHARED / name for name in checkpoint.shared_files}
    if checkpoint.checksums is None:
        paths |= {path.name: path for path in directory.iterdir()}
        wanted: dict[str, str] = dict.fromkeys((*paths, "variables.index"), "")
    else:
        wanted = checkpoint.checksums
    for name, checksum in wanted.items():
        path = paths.get(name, directory / name)
        try:
            if path.stat().st_size == 0:
                return f"{name} is empty"
            if checksum and _checksum(path) != checksum:
                return f"{name} is not as it was written"
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
    return ""


def _checksum(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _shared_of(directory: Path) -> list[str]:
    """The shared files that a checkpoint needs, as far as its manifest can be read."""
    try:
        return _read(directory).shared_files
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _read(directory: Path) -> Checkpoint:
    manifest = json.loads((directory / _MANIFEST).read_text(encoding="utf-8"))
    shared_files, state = manifest["shared_files"], manifest["state"]
    if not (isinstance(manifest["step"], int) and isinstance(shared_files, list) and isinstance(state, dict)):
        raise ValueError("a manifest must hold a step, a list of shared files and a state")
    return Checkpoint(directory, manifest["step"], shared_files, state, manifest.get("checksums"))


def _write_manifest(directory: Path, checkpoint: Checkpoint) -> None:
    manifest = {"step": checkpoint.step, "shared_files": checkpoint.shared_files, "state": checkpoint.state}
    manifest |= {} if checkpoint.checksums is None else {"checksums": checkpoint.checksums}
    temporary = directory / f".{_MANIFEST}"
    temporary.write_text(json.dumps(manifest, indent=1), "utf-8")
    _sync(temporary)
    temporary.replace(directory / _MANIFEST)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
