"""A ring of rows on disk: append-only segment files that consecutive checkpoints share.

A segment holds the rows `start` to `stop` (counted from the first row ever added) of every column, as `.npy`
arrays one after another in one file, so that `numpy.load`, called repeatedly on the open file, reads it. Each
save writes the rows that are new since the save before; a checkpoint needs those segments that still cover
the ring. Removing the others is up to the caller, who knows every checkpoint that is kept. As a segment is
needed until its last row is overwritten, the segments of one checkpoint hold less than two rings in all.
"""

import dataclasses
import io
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

_NAME = re.compile(r"replay-(\d{12})-(\d{12})\.segment")
_TEMPORARY_NAME = "replay.segment.tmp"  # always the same, so that what a killed run leaves is overwritten
_IDENTITY = np.dtype("<i8")


@dataclasses.dataclass(frozen=True)
class _Segment:
    start: int  # first row
    stop: int  # one past the last row

    @property
    def name(self) -> str:
        return f"replay-{self.start:012d}-{self.stop:012d}.segment"


class SegmentLog:
    """Storage of a ring of rows as segments.

    Row `t` of the ring is at index `t % num_rows` of each column. The log remembers which segments lie in the
    directory it saved to last (or restored from); in another directory it starts again, with all rows held.

    Args:
        columns: arrays by name, each `[num_rows, ...]` and C-contiguous. They are read at `save` and written,
            in place, at `restore`.

    Example:
        >>> import pathlib, tempfile
        >>> import numpy as np
        >>> ring = np.array([3, 4, 2])  # rows 2, 3 and 4: row 3 is at index 0
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     names = SegmentLog({'x': ring}).save(pathlib.Path(directory), oldest=2, added=5)
        ...     copy = {'x': np.zeros_like(ring)}
        ...     rows = SegmentLog(copy).restore(pathlib.Path(directory), names)
        >>> names, rows, copy['x'].tolist()
        (['replay-000000000002-000000000005.segment'], (2, 5), [3, 4, 2])
    """

    def __init__(self, columns: Mapping[str, np.ndarray]):
        self._columns = dict(columns)
        self._num_rows = len(next(iter(self._columns.values())))
        self._directory: Path | None = None
        self._segments: list[_Segment] = []

    def save(self, directory: Path, oldest: int, added: int) -> list[str]:
        """Writes the rows since the last save as one segment; without new rows, nothing.

        Where no row is held, an empty segment keeps their number.

        The file appears whole or not at all: it is written under another name, flushed to the disk and
        renamed. No copy of the rows is made in memory.

        Args:
            directory: directory of the segments; made if missing.
            oldest: the first row that is held.
            added: one past the last row.

        Returns:
            The names of the segments of a checkpoint made now, oldest first.
        """
        directory = Path(directory).absolute()
        directory.mkdir(parents=True, exist_ok=True)
        saved = self._segments if directory == self._directory else []
        needed = [segment for segment in saved if segment.stop > oldest]
        start = needed[-1].stop if needed else oldest
        if added > start or (added and not needed):
            needed.append(_Segment(start, added))
            self._write(directory, needed[-1])
        self._directory, self._segments = directory, needed
        return [segment.name for segment in needed]

    def restore(self, directory: Path, names: Sequence[str]) -> tuple[int, int]:
        """Reads the rows of the segments `names` into the columns; saving continues from there.

        All files are checked before the first row is changed.

        Args:
            directory: directory of the segments.
            names: names from `save`. No names at all give the empty ring.

        Returns:
            `(oldest, added)`: the first row that is held and one past the last.

        Raises:
            ValueError: if a file is missing or cut short, is not a segment of a ring of this size with these
                columns, or does not follow the one before it.
        """
        directory = Path(directory).absolute()
        segments: list[_Segment] = []
        for name in names:
            segment = _parse(directory, name)
            if segments and segment.start != segments[-1].stop:
                raise ValueError(
                    f"`names` must be consecutive segments. Received: {name} after {segments[-1].name}"
                )
            self._check(directory, segment)
            segments.append(segment)
        added = segments[-1].stop if segments else 0
        oldest = max(segments[0].start, added - self._num_rows) if segments else 0
        for segment in segments:
            self._read(directory, segment, oldest)
        self._directory, self._segments = directory, segments
        return oldest, added

    def _write(self, directory: Path, segment: _Segment) -> None:
        temporary = directory / _TEMPORARY_NAME
        with open(temporary, "wb") as file:
            file.write(self._preamble(segment))
            for column in self._columns.values():
                file.write(_header(column, segment))
                for part in self._parts(column, segment.start, segment.stop):
                    file.write(part.data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, directory / segment.name)

    def _check(self, directory: Path, segment: _Segment) -> None:
        path = directory / segment.name
        if not path.is_file():
            raise ValueError(f"{path} must exist: the checkpoint needs this part of the replay")
        with open(path, "rb") as file:
            expected = self._preamble(segment)
            received = file.read(len(expected))
            if received != expected:
                raise ValueError(
                    f"{path} must hold [rows of the ring, first row, last row + 1] = {_identity(expected)}. "
                    f"Received: {_identity(received)}"
                )
            for name, column in self._columns.items():
                expected = _header(column, segment)
                received = file.read(len(expected))
                if received != expected:
                    raise ValueError(f"{path}: {name} must be {_text(expected)}. Received: {_text(received)}")
                file.seek((segment.stop - segment.start) * column[0].nbytes, os.SEEK_CUR)
            size = os.fstat(file.fileno()).st_size
            if size != file.tell():
                raise ValueError(f"{path} must have {file.tell()} bytes. Received: {size}")

    def _read(self, directory: Path, segment: _Segment, oldest: int) -> None:
        start = max(segment.start, oldest)
        with open(directory / segment.name, "rb") as file:
            file.seek(len(self._preamble(segment)))
            for column in self._columns.values():
                skipped = (start - segment.start) * column[0].nbytes
                file.seek(len(_header(column, segment)) + skipped, os.SEEK_CUR)
                for part in self._parts(column, start, segment.stop):
                    file.readinto(part.data)

    def _preamble(self, segment: _Segment) -> bytes:
        buffer = io.BytesIO()
        np.save(buffer, np.array([self._num_rows, segment.start, segment.stop], _IDENTITY))
        return buffer.getvalue()

    def _parts(self, column: np.ndarray, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns rows `start` to `stop` as two views: up to the ring's end, and from its beginning."""
        first, length = start % self._num_rows, stop - start
        before_end = min(length, self._num_rows - first)
        return column[first : first + before_end], column[: length - before_end]


def _parse(directory: Path, name: str) -> _Segment:
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"`names` must be names of replay segments. Received: {str(directory / name)!r}")
    return _Segment(int(match[1]), int(match[2]))


def _header(column: np.ndarray, segment: _Segment) -> bytes:
    shape = (segment.stop - segment.start, *column.shape[1:])
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": column.dtype.str, "fortran_order": False, "shape": shape}
    )
    return buffer.getvalue()


def _identity(preamble: bytes) -> list[int]:
    whole = len(preamble) - len(preamble) % _IDENTITY.itemsize
    return np.frombuffer(preamble[:whole], _IDENTITY)[-3:].tolist()


def _text(header: bytes) -> str:
    return header.partition(b"{")[2].strip().decode("ascii", "backslashreplace")
