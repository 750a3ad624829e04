"""Checkpoints: complete or absent, and resumable bit for bit."""

import dataclasses
import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import tensorflow as tf
from absl import logging

from tfplastic import _checkpoint_files as files
from tfplastic._checkpoint_files import MANIFEST_FILE, Checkpoint
from tfplastic.run_format import ARRAY_FILE_ERRORS
from tfplastic.training.run.write_errors import writing

_DAMAGED = "damaged_"
_OLD = ".old_"  # that the complete checkpoint of the same step is about to replace


class Checkpoints:
    """The checkpoints of one run, the newest `keep` of them.

    A checkpoint is written into a temporary folder which is renamed when it is complete, so that a process
    killed at any moment leaves the last complete one. Files in `shared` (replay segments) belong to several
    checkpoints; those that no complete checkpoint names are deleted.

    Args:
        root: the folder `checkpoints` in a run directory; made when first needed.
        trackables: TensorFlow objects whose variables are saved, by name.
        keep: number of checkpoints to keep, at least 1.
        optional: names of trackables that an older checkpoint may lack.
        changing: names of events that may change variables; where one was pending in a checkpoint, that of
            the same step after it is another.
    """

    def __init__(
        self,
        root: Path,
        trackables: dict[str, Any],
        keep: int,
        optional: Collection[str] = (),
        changing: Collection[str] = (),
    ):
        self.root = root
        self.shared = root / files.SHARED_DIRECTORY
        self._keep = keep
        self._shared_checksums: dict[str, str] = {}  # of segments, which never change
        self._trackables, self._optional, self._changing = trackables, optional, changing
        self._variables = tf.train.Checkpoint(**trackables)

    def save(self, step: int, state: dict[str, Any], save_task: Callable[[Path, Path], list[str]]) -> None:
        """Writes a checkpoint of `step`, then deletes those beyond `keep`.

        Args:
            step: gradient steps done.
            state: JSON-able numbers of the loop.
            save_task: function called with the checkpoint's folder and the shared folder; returns the shared
                files it needs.
        """
        with writing(self.root.parent):
            self._save(step, state, save_task)

    def _save(self, step: int, state: dict[str, Any], save_task: Callable[[Path, Path], list[str]]) -> None:
        directory = self.root / files.directory_name(step)
        saved = files.read(directory) if step > 0 and (directory / MANIFEST_FILE).exists() else None
        waited = [] if saved is None else saved.state.get("pending", [])
        has_changed = any(name in self._changing and name not in state["pending"] for name in waited)
        if saved is not None and not has_changed:
            # The same step of the same run: variables and task are as they were, only the loop's numbers may
            # differ. (Not at step 0, where a warm-up may have continued.)
            _write_manifest(directory, dataclasses.replace(saved, state=state))
            return
        self.shared.mkdir(parents=True, exist_ok=True)
        temporary = self.root / f".writing_{directory.name}"
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            self._write(temporary, step, state, save_task)
        except Exception:
            shutil.rmtree(temporary, ignore_errors=True)  # leaves room on a full disk
            raise
        if directory.exists():
            directory.rename(self.root / f"{_OLD}{directory.name}")
        temporary.rename(directory)
        _sync(self.root)
        self._clean()

    def _write(
        self,
        temporary: Path,
        step: int,
        state: dict[str, Any],
        save_task: Callable[[Path, Path], list[str]],
    ) -> None:
        temporary.mkdir()
        self._variables.write(str(temporary / files.VARIABLES))
        shared_files = save_task(temporary, self.shared)
        checksums = {path.name: files.checksum(path) for path in sorted(temporary.iterdir())}
        checksums |= {
            f"{files.SHARED_DIRECTORY}/{name}": self._shared_checksum(name) for name in shared_files
        }
        _write_manifest(temporary, Checkpoint(temporary, step, shared_files, state, checksums))
        for path in (*temporary.iterdir(), temporary):
            _sync(path)
        _sync(self.shared)

    def latest(self) -> Checkpoint | None:
        """Returns the newest checkpoint whose files are as they were written, or None if there is none.

        Damaged ones are put aside, as `damaged_step_<step>`, and named in the log. One that was about to be
        replaced when the process was killed is back in its place.

        Raises:
            DamagedCheckpointError: there are checkpoints, all of them damaged; they stay where they are.
        """
        for old in self.root.glob(f"{_OLD}step_*/{MANIFEST_FILE}"):
            directory = old.parent.with_name(old.parent.name.removeprefix(_OLD))
            if not directory.exists():
                with writing(self.root.parent):
                    old.parent.rename(directory)
        found, damaged = files.newest_good(self.root, find_unreadable_values)
        if found is None and damaged:
            newest, text = next(iter(damaged.items()))
            raise DamagedCheckpointError(
                f"no checkpoint of {self.root} can be read: {newest.name}: {text}. Restore one of them, or "
                "choose another run directory"
            )
        for path, text in damaged.items():
            aside = path.with_name(f"{_DAMAGED}{path.name}")
            with writing(self.root.parent):
                shutil.rmtree(aside, ignore_errors=True)
                path.rename(aside)
            logging.warning("Damaged checkpoint put aside as %s: %s.", aside, text)
        if found is not None and damaged:
            logging.warning("Resuming from the older %s.", found.directory)
        return found

    def _shared_checksum(self, name: str) -> str:
        if name not in self._shared_checksums:
            self._shared_checksums[name] = files.checksum(self.shared / name)
        return self._shared_checksums[name]

    def restore(self, checkpoint: Checkpoint) -> None:
        """Assigns the saved values to all variables; raises if one of them was not saved.

        Those of optional trackables that were not saved keep their values.
        """
        absent = self._absent(checkpoint)
        kept = {name: each for name, each in self._trackables.items() if name not in absent}
        status = (tf.train.Checkpoint(**kept) if absent else self._variables).read(checkpoint.variables)
        status.assert_existing_objects_matched()
        status.expect_partial()  # tf.train.Checkpoint's own save counter is not ours
        with writing(self.root.parent):
            self._clean()

    def _absent(self, checkpoint: Checkpoint) -> list[str]:
        """Returns the names of optional trackables of which the checkpoint has nothing."""
        if not self._optional:
            return []
        names = tf.train.load_checkpoint(checkpoint.variables).get_variable_to_shape_map()
        # TensorFlow writes '.' in a name as '..' and '/' as '.S'.
        parts = {name.partition("/")[0].replace(".S", "/").replace("..", ".") for name in names}
        return [name for name in self._optional if name not in parts]

    def copied(self) -> Callable[[], None]:
        """Copies the values of all variables now; the function that it returns assigns them again."""
        tracked = tf.train.TrackableView(self._variables).descendants()
        values = [(each, each.numpy()) for each in tracked if isinstance(each, tf.Variable)]

        def assign() -> None:
            for variable, value in values:
                variable.assign(value)

        return assign

    def _clean(self) -> None:
        complete = files.complete(self.root)
        for directory in complete[: -self._keep]:
            # The manifest goes first: a folder without one is not a checkpoint.
            (directory / MANIFEST_FILE).unlink()
            shutil.rmtree(directory)
        aside = self.root.glob(f"{_DAMAGED}step_*")
        needed = {name for directory in (*complete[-self._keep :], *aside) for name in _shared_of(directory)}
        incomplete = [path for path in self.root.glob("step_*") if not (path / MANIFEST_FILE).exists()]
        for path in (*incomplete, *self.root.glob(".*_step_*")):
            shutil.rmtree(path)
        for path in self.shared.glob("*"):
            if path.name not in needed:
                path.unlink()


class DamagedCheckpointError(ValueError):
    """All checkpoints of a run are damaged; the message says in one line which file of the newest."""


def find_unreadable_values(checkpoint: Checkpoint) -> str:
    """Says which values of a checkpoint of an older version cannot be read, '' where all can.

    Where there are checksums of its files, these have been compared, and nothing is read.
    """
    if checkpoint.checksums is not None:
        return ""
    try:
        reader = tf.train.load_checkpoint(checkpoint.variables)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except (*ARRAY_FILE_ERRORS, tf.errors.OpError):
        return f"the values of {files.VARIABLES} cannot be read"
    return ""


def _shared_of(directory: Path) -> list[str]:
    """Returns the shared files that a checkpoint needs, as far as its manifest can be read."""
    try:
        return files.read(directory).shared_files
    except (OSError, ValueError):
        return []


def _write_manifest(directory: Path, checkpoint: Checkpoint) -> None:
    temporary = directory / f".{MANIFEST_FILE}"
    temporary.write_text(files.manifest_text(checkpoint), "utf-8")
    _sync(temporary)
    temporary.replace(directory / MANIFEST_FILE)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
