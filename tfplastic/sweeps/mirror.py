"""A run directory on this machine and its copy in an object store."""

import os
import pathlib
from typing import Any

from tfplastic import run_format
from tfplastic._checkpoint_files import MANIFEST_FILE

_CHECKPOINTS = f"{run_format.CHECKPOINTS_DIRECTORY}/"
_FIRST = run_format.OPERATIVE_CONFIG_FILE  # what makes a directory a run
_LAST = run_format.STATUS_FILE  # says that the run is finished
_LEFT_OUT = (run_format.LOCK_FILE,)


class Mirror:
    """Copy of a run directory in a store, made during the run, that can always be resumed.

    At any moment the store holds, of each checkpoint that has a manifest there, all files, and at least as
    many rows of metrics as it counts. Half-written files and the lock are not copied.

    Args:
        directory: the run directory on this machine.
        filesystem: an fsspec file system.
        path: path of the copy in the store.
    """

    def __init__(self, directory: str | os.PathLike[str], filesystem: Any, path: str):
        self._directory = pathlib.Path(directory)
        self._filesystem = filesystem
        self._path = path
        self._copied: dict[str, tuple[int, int]] = {}  # name -> (size, time of change) when it was copied

    def pull(self) -> None:
        """Fetches the run if the store has one. Call it before the local directory has files."""
        self._filesystem.invalidate_cache()
        if not self._filesystem.exists(f"{self._path}/{_FIRST}"):
            return
        for remote in self._filesystem.find(self._path):
            name = remote.removeprefix(self._path).lstrip("/")
            local = self._directory / name
            local.parent.mkdir(parents=True, exist_ok=True)
            self._filesystem.get_file(remote, str(local))
            self._copied[name] = _signature(local)

    def push(self) -> None:
        """Updates the copy; the run may continue in the meantime."""
        # The list of checkpoints is older than what is read of the metrics, so that these cover them.
        checkpoints = {name for name in self._names() if name.startswith(_CHECKPOINTS)}
        others = {name for name in self._names() if not name.startswith(_CHECKPOINTS)}
        manifests = {name for name in checkpoints if name.endswith(f"/{MANIFEST_FILE}")}
        for name in [*sorted(others - {_LAST}, key=lambda name: (name != _FIRST, name))]:
            self._copy(name)
        for name in [*sorted(checkpoints - manifests), *sorted(manifests)]:
            self._copy(name)
        gone = self._copied.keys() - checkpoints - others
        for name in sorted(gone, key=lambda name: (not name.endswith(f"/{MANIFEST_FILE}"), name)):
            self._filesystem.rm_file(f"{self._path}/{name}")
            del self._copied[name]
        if _LAST in others:
            self._copy(_LAST)

    def _names(self) -> list[str]:
        paths = [path.relative_to(self._directory) for path in self._directory.rglob("*") if path.is_file()]
        return [
            path.as_posix()
            for path in paths
            if path.name not in _LEFT_OUT and not any(part.startswith(".") for part in path.parts)
        ]

    def _copy(self, name: str) -> None:
        local, remote = self._directory / name, f"{self._path}/{name}"
        try:
            signature = _signature(local)
            if self._copied.get(name) != signature:
                self._filesystem.makedirs(remote.rpartition("/")[0], exist_ok=True)
                self._filesystem.put_file(str(local), remote)
                self._copied[name] = signature
        except FileNotFoundError:
            pass  # An old checkpoint, deleted meanwhile, its manifest first.


def _signature(path: pathlib.Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
