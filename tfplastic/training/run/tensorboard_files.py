"""TensorBoard event files, cut back to a step."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from tfplastic.writers import atomic_file

_EVENT_FILES = "*.tfevents.*"
_FRAMING_BYTES = 16  # Of each TFRecord: its length, 8 bytes, and two checksums, 4 bytes each.


def event_file_sizes(directory: Path) -> dict[str, int]:
    """Returns {name: bytes} of the event files directly in `directory`, which may be absent."""
    return {path.name: path.stat().st_size for path in sorted(directory.glob(_EVENT_FILES))}


def cut_event_files(directory: Path, step: int, sizes: Mapping[str, int] | None = None) -> None:
    """Removes every summary of a step beyond `step` from the event files directly in `directory`.

    Bytes after the last whole record of a file, where a kill struck, are removed too. A file without either
    stays as it is, and so does everything that is not an event file (traces of the profiler). One with
    nothing left but its header is deleted. A file changes in one move: a kill during the cut leaves the old
    one or the new one.

    Args:
        directory: directory of a `TensorBoardWriter`; may be absent.
        step: the last gradient step whose summaries stay; -1 for none.
        sizes: `event_file_sizes` when `step` was saved, where it is known: what has been written at the same
            step since then is removed too.
    """
    for path in sorted(directory.glob(_EVENT_FILES)):
        is_newer = sizes is not None and path.name not in sizes
        bounds = step - is_newer, None if sizes is None else sizes.get(path.name)
        lengths = [len(record) + _FRAMING_BYTES for record in _records_until(path, *bounds)]
        if sum(lengths) == path.stat().st_size:
            continue
        if len(lengths) < 2:
            path.unlink()
        else:
            _write_records(path, _records_until(path, *bounds))


def _records_until(path: Path, step: int, size: int | None) -> Iterator[bytes]:
    """Yields the records that stay: of a summary up to `step`, and among the first `size` bytes."""
    # Imported here, because it takes seconds that a new run has no use for.
    import tensorflow as tf
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader

    end = 0
    for record in RawEventFileLoader(str(path)).Load():  # Ends before a record that is cut short.
        end += len(record) + _FRAMING_BYTES
        if size is not None and end > size:
            return
        event = tf.compat.v1.Event.FromString(record)
        if event.step <= step or not event.HasField("summary"):
            yield record


def _write_records(path: Path, records: Iterator[bytes]) -> None:
    import tensorflow as tf

    with atomic_file(path) as copy, tf.io.TFRecordWriter(copy.name) as writer:
        for record in records:
            writer.write(record)
