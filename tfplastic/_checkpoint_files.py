"""The files of a run's checkpoints: their names, their contents, and whether they are damaged.

All of it only reads, so that the run may be training; TensorFlow is not imported.
"""

import dataclasses
import hashlib
import json
import math
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MANIFEST_FILE = "manifest.json"
SHARED_DIRECTORY = "shared"
VARIABLES = "variables"
"""Prefix of the files with the values of all variables."""
_PREFIX = "step_"
_INDEX_FILE = f"{VARIABLES}.index"
_INDEX_END = bytes.fromhex("57fb808b247547db")  # of every table of TensorFlow's and LevelDB's


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

    @property
    def variables(self) -> str:
        """The path of its `tf.train.Checkpoint`."""
        return str(self.directory / VARIABLES)

    @property
    def shared(self) -> Path:
        """The folder of the files that checkpoints share."""
        return self.directory.parent / SHARED_DIRECTORY


class Newest(NamedTuple):
    """The newest checkpoint whose files are as they were written.

    Attributes:
        checkpoint: None where there is none.
        damaged: {directory of a newer one: its damage}, the newest first.
    """

    checkpoint: Checkpoint | None
    damaged: dict[Path, str]


def directory_name(step: int) -> str:
    """Returns the name of the folder of a checkpoint."""
    return f"{_PREFIX}{step:012d}"


def step_of(directory: Path) -> int:
    """Returns the gradient step of the checkpoint in a folder; -1 of a folder with another name."""
    digits = directory.name.removeprefix(_PREFIX)
    return int(digits) if digits.isdecimal() else -1


def complete(root: Path) -> list[Path]:
    """Returns the folders of all complete checkpoints, the newest last.

    A folder without a manifest is one that is being written or removed.
    """
    folders = [path.parent for path in root.glob(f"{_PREFIX}*/{MANIFEST_FILE}")]
    return sorted((path for path in folders if step_of(path) >= 0), key=step_of)


def read(directory: Path) -> Checkpoint:
    """Returns the contents of a checkpoint's manifest.

    Raises:
        OSError: there is none.
        ValueError: it cannot be read, or is not as it was written.
    """
    try:
        manifest = json.loads((directory / MANIFEST_FILE).read_text(encoding="utf-8"))
        step, shared_files, state = manifest["step"], manifest["shared_files"], manifest["state"]
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{MANIFEST_FILE} must hold a checkpoint's numbers") from error
    checksums = manifest.get("checksums") or None
    are_names = isinstance(shared_files, list) and all(map(_is_name, shared_files))
    if step != step_of(directory) or not are_names or not isinstance(state, dict):
        raise ValueError(f"{MANIFEST_FILE} must hold its folder's step, names of shared files and a state")
    if checksums is not None and not isinstance(checksums, dict):
        raise ValueError(f"{MANIFEST_FILE} must hold checksums of the checkpoint's files")
    own = (checksums or {}).pop(MANIFEST_FILE, None)
    checkpoint = Checkpoint(directory, step, shared_files, state, checksums)
    if own is not None and own != _own_checksum(checkpoint):
        raise ValueError(f"{MANIFEST_FILE} must be as it was written")
    return checkpoint


def manifest_text(checkpoint: Checkpoint) -> str:
    """Returns the text of a checkpoint's manifest, with its own checksum among those of the files."""
    manifest = _manifest(checkpoint)
    if checkpoint.checksums is not None:
        manifest["checksums"] = {**checkpoint.checksums, MANIFEST_FILE: _own_checksum(checkpoint)}
    return json.dumps(manifest, indent=1)


def _manifest(checkpoint: Checkpoint) -> dict[str, Any]:
    return {"step": checkpoint.step, "shared_files": checkpoint.shared_files, "state": checkpoint.state}


def _own_checksum(checkpoint: Checkpoint) -> str:
    content = json.loads(json.dumps([_manifest(checkpoint), checkpoint.checksums]))  # as it is read again
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and Path(value).name == value


def newest_good(root: Path, find_more: Callable[[Checkpoint], str] = lambda checkpoint: "") -> Newest:
    """Looks for the newest checkpoint that `find_damage` finds nothing wrong with.

    Args:
        root: the folder `checkpoints` of a run directory.
        find_more: function that describes further damage of a checkpoint, '' for none.
    """
    damaged: dict[Path, str] = {}
    for directory in reversed(complete(root)):
        damage = find_damage(directory)
        if not damage:
            checkpoint = read(directory)
            damage = find_more(checkpoint)
            if not damage:
                return Newest(checkpoint, damaged)
        damaged[directory] = damage
    return Newest(None, damaged)


def find_damage(directory: Path) -> str:
    """Says which file of a checkpoint is not as it was written, '' where all are.

    Of a checkpoint without checksums, of an older version, only visible damage is found: a manifest that does
    not parse, a missing or empty file, one that is cut short or whose own checksums do not fit. Damage of the
    variables' values takes TensorFlow to find.

    Args:
        directory: `step_<step>`.
    """
    try:
        checkpoint = read(directory)
    except (OSError, ValueError) as error:
        return f"{MANIFEST_FILE} cannot be read ({type(error).__name__})"
    paths = {f"{SHARED_DIRECTORY}/{name}": checkpoint.shared / name for name in checkpoint.shared_files}
    if checkpoint.checksums is None:
        paths |= {path.name: path for path in directory.glob("*")}
        wanted: dict[str, str] = dict.fromkeys((*paths, _INDEX_FILE), "")
    else:
        wanted = checkpoint.checksums
    for name, wanted_checksum in wanted.items():
        path = paths.get(name, directory / name)
        try:
            if path.stat().st_size == 0:
                return f"{name} is empty"
            if checksum(path) != wanted_checksum if wanted_checksum else not _is_whole(path):
                return f"{name} is not as it was written"
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
    return ""


def checksum(path: Path) -> str:
    """Returns the SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_whole(path: Path) -> bool:
    """Returns whether a file without our checksum is as its format wants it, as far as this is known."""
    try:
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        elif path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                return archive.testzip() is None
        elif path.suffix == ".index":
            return path.read_bytes().endswith(_INDEX_END)
        elif path.suffix == ".segment":
            return _holds_whole_arrays(path)
    except (ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return False
    return True


def _holds_whole_arrays(path: Path) -> bool:
    """Returns whether a file of numpy arrays, one after another, ends where the last one does."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        while file.tell() < size:
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            file.seek(math.prod(shape) * dtype.itemsize, 1)
        return file.tell() == size
