"""The committed files of a run: its metrics, configuration and status, and arrays that figures read."""

import fnmatch
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfplastic.run_format import (
    ARRAYS_DIRECTORY,
    CONFIG_FILE,
    METRICS_FILE,
    OPERATIVE_CONFIG_FILE,
    STATUS_FILE,
)

LARGEST_FILE = 1_500_000
"""Bytes of a file that is committed."""
LARGEST_FOLDER = 60_000_000
"""Bytes of all files next to the queue's file."""

_FILES = (CONFIG_FILE, OPERATIVE_CONFIG_FILE, METRICS_FILE, STATUS_FILE)
_LARGE = 4_096  # entries of an array from which on it is kept in float16; spectra are shorter
_SMALLER = (np.float16, np.float32)


def keep(run: Path, arrays: Sequence[str], target: Path, scratch: Path) -> None:
    """Copies the files of a run that are committed, in one move; replaces `target`.

    Large arrays of floats, such as C_k or curves of probes, are kept in float16 where it has three digits of
    each number, else in float32.

    Args:
        run: its directory.
        arrays: tags or patterns of array files.
        target: the folder to make, two levels below the folder whose size is limited.
        scratch: a folder on the same file system, which is not committed.

    Raises:
        ValueError: a file would be larger than `LARGEST_FILE`, or all files than `LARGEST_FOLDER`.
    """
    part = scratch / f"{target.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name in _FILES:
        shutil.copyfile(run / name, part / name)
    root = run / ARRAYS_DIRECTORY
    for path in sorted(root.rglob("*.npz")):
        tag = path.parent.relative_to(root).as_posix()
        if any(fnmatch.fnmatchcase(tag, pattern) for pattern in arrays):
            _compress(path, part / path.relative_to(run))
    for path in part.rglob("*"):
        if path.stat().st_size > LARGEST_FILE:
            rule = f"must be at most {LARGEST_FILE / 1e6:.1f} MB to be committed"
            raise ValueError(
                f"`{path.relative_to(part)}` {rule}. Received: {path.stat().st_size / 1e6:.1f} MB"
            )
    others = target.parents[1]
    if (size := size_of(others) - size_of(target) + size_of(part)) > LARGEST_FOLDER:
        rule = f"must hold at most {LARGEST_FOLDER / 1e6:.0f} MB"
        raise ValueError(f"`{others}` {rule}. Received: {size / 1e6:.1f} MB")
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    part.rename(target)


def size_of(directory: Path) -> int:
    """Returns bytes of all files below a folder."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _compress(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with np.load(source) as file:
        arrays: dict[str, Any] = {name: _halved(file[name]) for name in file.files}
    np.savez_compressed(target, **arrays)


def _halved(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind != "f" or array.size < _LARGE:
        return array
    sizes = np.abs(array[np.isfinite(array) & (array != 0)])
    for kind in _SMALLER:
        limits = np.finfo(kind)
        if limits.smallest_normal <= sizes.min(initial=1.0) and sizes.max(initial=1.0) <= limits.max:
            return array.astype(kind)
    return array
