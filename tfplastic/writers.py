"""Writers: where the measurements of a run go.

A `Writer` takes scalars, histograms, images, texts and named arrays and puts them somewhere:
`TensorBoardWriter` into event files, `MetricsFileWriter` into the run directory's `metrics.csv` and
`arrays/`, `MemoryWriter` into lists, `NullWriter` nowhere, `ManyWriters` into several at once. A writer
ignores kinds that it has no place for.

Steps are gradient steps. A tag is one or more names joined by `/`, such as `diagnostics/dead_units/dense_1`.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from tfplastic import _renames
from tfplastic._checks import check_integer
from tfplastic._text.tags import FORBIDDEN_CHARACTERS, FORBIDDEN_PARTS, path_of
from tfplastic.run_format import ARRAYS_DIRECTORY, METRICS_FILE, METRICS_HEADER

HISTOGRAM_BINS = 30
_TEMPORARY_SUFFIX = ".tmp"
__getattr__ = _renames.module_getattr(__name__)


def check_tag(tag: Any) -> str:
    """Returns `tag` if it can stand in a CSV row and be a path below `arrays/`, else raises `ValueError`.

    Example:
        >>> from tfplastic import writers
        >>> writers.check_tag('diagnostics/dead_units/dense_1')
        'diagnostics/dead_units/dense_1'
    """
    if (
        not isinstance(tag, str)
        or not tag.isprintable()  # No line breaks, no control characters.
        or not FORBIDDEN_CHARACTERS.isdisjoint(tag)
        or not FORBIDDEN_PARTS.isdisjoint(tag.split("/"))
    ):
        raise ValueError(
            "`tag` must be names joined by '/', without commas, double quotes, line breaks, '.' and '..'. "
            f"Received: {tag!r}"
        )
    return tag


class Writer:
    """The interface of writers. Each method does nothing here: a writer overrides the kinds it takes."""

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        """Writes numbers that belong to a gradient step.

        Args:
            step: number of gradient steps done, at least 0.
            values: `{tag: number}`; a number is anything of shape `[]` that is real: NaN and infinities are
                written as they are.

        Raises:
            ValueError: if the step, a tag or a value breaks these rules; nothing is written then.
        """

    def clock_scalars(self, step: int, values: Mapping[str, Any]) -> None:
        """Writes scalars that depend on the clock, such as gradient steps per second.

        `MetricsFileWriter` leaves them out: its files are the same bits however often a run was interrupted.
        """

    def histogram(self, step: int, tag: str, values: Any) -> None:
        """Writes how `values`, an array of any shape, are distributed. Non-finite ones are counted apart."""

    def image(self, step: int, tag: str, image: Any) -> None:
        """Writes an image, `[height, width, 3] uint8`."""

    def text(self, step: int, tag: str, text: str) -> None:
        """Writes a text, which TensorBoard shows as Markdown."""

    def arrays(self, step: int, tag: str, /, **arrays: Any) -> None:
        """Writes numeric arrays that belong together, such as the points and the density of a spectrum."""

    def layout(self, charts: Mapping[str, Mapping[str, str]]) -> None:
        """Says how a page of charts is arranged: {category: {chart: regular expression of its tags}}."""

    def flush(self) -> None:
        """Hands the written bytes to the operating system, so that readers see them."""

    def close(self) -> None:
        """Flushes and closes. A second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class NullWriter(Writer):
    """Writer that ignores everything: for runs that nobody records."""


class TensorBoardWriter(Writer):
    """Writer of TensorBoard event files; arrays are ignored, since TensorBoard has no place for them.

    Each writer begins a file of its own in the directory; TensorBoard reads them as one run.

    Args:
        log_dir: the directory, created if absent.
    """

    def __init__(self, log_dir: str | os.PathLike[str]):
        import tensorflow as tf  # Here, because importing it takes seconds and the other writers do without.

        self._tf = tf
        self._writer = tf.summary.create_file_writer(os.fspath(log_dir))

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        """Writes them as float32, the type that TensorBoard keeps."""
        step, values = _checked_scalars(step, values)
        with self._as_default(step):
            for tag, value in values.items():
                self._tf.summary.scalar(tag, value)

    def clock_scalars(self, step: int, values: Mapping[str, Any]) -> None:
        self.scalars(step, values)

    def histogram(self, step: int, tag: str, values: Any) -> None:
        """Leaves non-finite values out, since TensorBoard cannot show them."""
        values = _real_array(tag, values).astype(np.float64)
        with self._as_default(check_integer("step", step)):
            self._tf.summary.histogram(check_tag(tag), values[np.isfinite(values)], buckets=HISTOGRAM_BINS)

    def image(self, step: int, tag: str, image: Any) -> None:
        with self._as_default(check_integer("step", step)):
            self._tf.summary.image(check_tag(tag), _checked_image(image)[None])

    def text(self, step: int, tag: str, text: str) -> None:
        with self._as_default(check_integer("step", step)):
            self._tf.summary.text(check_tag(tag), text)

    def layout(self, charts: Mapping[str, Mapping[str, str]]) -> None:
        """Writes the charts with which the page "Custom scalars" opens."""
        from tensorboard.plugins.custom_scalar import layout_pb2, summary

        protocol: Any = layout_pb2  # whose classes are made on import
        categories = [
            protocol.Category(
                title=title,
                chart=[
                    protocol.Chart(title=name, multiline=protocol.MultilineChartContent(tag=[tags]))
                    for name, tags in group.items()
                ],
            )
            for title, group in charts.items()
        ]
        serialized = summary.pb(protocol.Layout(category=categories)).SerializeToString()
        with self._as_default(0):
            self._tf.summary.experimental.write_raw_pb(serialized)

    def flush(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    @contextlib.contextmanager
    def _as_default(self, step: int) -> Iterator[None]:
        """Makes it TensorFlow's default writer within a block, and never after it.

        Summaries inside an XLA program fail to compile. TensorFlow leaves the writer as the default one if
        the flush that ends its block fails, as on a full disk.
        """
        from tensorflow.python.ops import summary_ops_v2

        state: Any = summary_ops_v2._summary_state
        before = state.writer, state.step
        try:
            with self._writer.as_default(step):
                yield
        finally:
            state.writer, state.step = before


class MetricsFileWriter(Writer):
    r"""Writer of `metrics.csv` and `arrays/<tag>/<step>.npz` of a run directory, which reports read.

    `metrics.csv` has the header `step,tag,value` and a row per scalar. A value is Python's `repr` of it as
    float64, so that reading it back gives the same number exactly; non-finite ones read `nan`, `inf` and
    `-inf`. A histogram becomes an array file with `counts` `[30] int64`, `edges` `[31] float64` and
    `non_finite` `[] int64` (30 is TensorBoard's number of buckets). Array files appear under their name when
    they are complete, not before; characters of a tag that are not ASCII are percent-encoded in their paths.
    Images and texts, and scalars that depend on the clock, are left out by rule: the contents are the same
    bits for an interrupted and an uninterrupted run.

    Args:
        run_dir: the run directory, created if absent. Rows are appended; a last row that a kill cut short is
        removed.

    Raises:
        ValueError: if there is a `metrics.csv` with another header.

    Example:
        >>> import pathlib, tempfile
        >>> from tfplastic import writers
        >>> with tempfile.TemporaryDirectory() as run_dir:
        ...     with writers.MetricsFileWriter(run_dir) as writer:
        ...         writer.scalars(100, {'train/loss': 0.25})
        ...     pathlib.Path(run_dir, 'metrics.csv').read_text()
        'step,tag,value\n100,train/loss,0.25\n'
    """

    def __init__(self, run_dir: str | os.PathLike[str]):
        self._arrays = Path(run_dir) / ARRAYS_DIRECTORY
        path = Path(run_dir) / METRICS_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_row(path)
        self._file = open(path, "ab")
        if self._file.tell() == 0:
            self._file.write(METRICS_HEADER)
            self._file.flush()

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        step, values = _checked_scalars(step, values)
        rows = "".join(f"{step},{tag},{value!r}\n" for tag, value in values.items())
        self._file.write(rows.encode())

    def histogram(self, step: int, tag: str, values: Any) -> None:
        values = _real_array(tag, values).astype(np.float64)
        finite = values[np.isfinite(values)]
        counts, edges = np.histogram(finite, HISTOGRAM_BINS)
        self.arrays(step, tag, counts=counts, edges=edges, non_finite=np.int64(values.size - finite.size))

    def arrays(self, step: int, tag: str, /, **arrays: Any) -> None:
        """Replaces an array file of the same tag and step.

        Raises:
            ValueError: if no array is given, or one is not numeric.
        """
        step = check_integer("step", step)
        if not arrays:
            raise ValueError(f"`arrays` of {check_tag(tag)!r} must name at least one array. Received: none")
        numeric = {name: _real_array(f"{tag}/{name}", array, kinds="biufc") for name, array in arrays.items()}
        path = self._arrays / path_of(check_tag(tag)) / f"{step}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            np.savez(file, allow_pickle=False, **numeric)

    def position(self) -> int:
        """Returns the length of `metrics.csv` in bytes, once everything written is on the disk.

        A checkpoint records it; `RunDirectory.cut_after` cuts back to it.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class MemoryWriter(Writer):
    """Writer that keeps everything in lists, for tests and notebooks.

    Attributes:
        scalar_rows, clock_rows: lists of `(step, tag, float)`.
        histogram_rows, image_rows, text_rows: lists of `(step, tag, value)`.
        array_rows: list of `(step, tag, {name: array})`.

    Example:
        >>> from tfplastic import writers
        >>> writer = writers.MemoryWriter()
        >>> writer.scalars(1, {'loss': 0.5})
        >>> writer.scalars(2, {'loss': 0.25})
        >>> writer.series('loss')
        [(1, 0.5), (2, 0.25)]
    """

    def __init__(self):
        self.scalar_rows: list[tuple[int, str, float]] = []
        self.clock_rows: list[tuple[int, str, float]] = []
        self.histogram_rows: list[tuple[int, str, np.ndarray]] = []
        self.image_rows: list[tuple[int, str, np.ndarray]] = []
        self.text_rows: list[tuple[int, str, str]] = []
        self.array_rows: list[tuple[int, str, dict[str, np.ndarray]]] = []

    def series(self, tag: str) -> list[tuple[int, float]]:
        """Returns the `(step, value)` pairs of the scalar `tag`, in the order of writing."""
        return [(step, value) for step, row_tag, value in self.scalar_rows if row_tag == tag]

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        step, values = _checked_scalars(step, values)
        self.scalar_rows += [(step, tag, value) for tag, value in values.items()]

    def clock_scalars(self, step: int, values: Mapping[str, Any]) -> None:
        step, values = _checked_scalars(step, values)
        self.clock_rows += [(step, tag, value) for tag, value in values.items()]

    def histogram(self, step: int, tag: str, values: Any) -> None:
        """Keeps the values themselves."""
        values = _real_array(tag, values)
        self.histogram_rows.append((check_integer("step", step), check_tag(tag), values.copy()))

    def image(self, step: int, tag: str, image: Any) -> None:
        self.image_rows.append((check_integer("step", step), check_tag(tag), _checked_image(image).copy()))

    def text(self, step: int, tag: str, text: str) -> None:
        self.text_rows.append((check_integer("step", step), check_tag(tag), text))

    def arrays(self, step: int, tag: str, /, **arrays: Any) -> None:
        copies = {name: np.array(array) for name, array in arrays.items()}
        self.array_rows.append((check_integer("step", step), check_tag(tag), copies))


class ManyWriters(Writer):
    """Writer that hands everything to each of `writers`, in their order."""

    def __init__(self, writers: Iterable[Writer]):
        self.writers = tuple(writers)

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        for writer in self.writers:
            writer.scalars(step, values)

    def clock_scalars(self, step: int, values: Mapping[str, Any]) -> None:
        for writer in self.writers:
            writer.clock_scalars(step, values)

    def histogram(self, step: int, tag: str, values: Any) -> None:
        for writer in self.writers:
            writer.histogram(step, tag, values)

    def image(self, step: int, tag: str, image: Any) -> None:
        for writer in self.writers:
            writer.image(step, tag, image)

    def text(self, step: int, tag: str, text: str) -> None:
        for writer in self.writers:
            writer.text(step, tag, text)

    def arrays(self, step: int, tag: str, /, **arrays: Any) -> None:
        for writer in self.writers:
            writer.arrays(step, tag, **arrays)

    def layout(self, charts: Mapping[str, Mapping[str, str]]) -> None:
        for writer in self.writers:
            writer.layout(charts)

    def flush(self) -> None:
        for writer in self.writers:
            writer.flush()

    def close(self) -> None:
        """Closes every writer, even where closing another one fails."""
        with contextlib.ExitStack() as stack:
            for writer in reversed(self.writers):
                stack.callback(writer.close)


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file to write whose content appears at `path` in one move, if the block ends without an error.

    Whoever opens `path` at any moment, after a kill at any moment, finds the old content or the new, whole.
    """
    path = Path(path)
    temporary = path.with_name(temporary_name(path.name))
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_name(name: str) -> str:
    """Returns the name of the file `name` until it is complete; a kill may leave one behind."""
    return f".{name}{_TEMPORARY_SUFFIX}"


def _cut_torn_row(path: Path) -> None:
    """Removes the bytes after the last line break of a metrics file, the row in which a kill struck."""
    content = path.read_bytes() if path.exists() else b""
    whole = content.rfind(b"\n") + 1
    if not content.startswith(METRICS_HEADER[: len(content)]):
        start = content[:80].decode(errors="replace").splitlines()[0]
        raise ValueError(f"{path} must begin with 'step,tag,value'. Received: {start!r}")
    if whole < len(content):
        os.truncate(path, whole)


def _checked_scalars(step: int, values: Mapping[str, Any]) -> tuple[int, dict[str, float]]:
    return check_integer("step", step), {check_tag(tag): _scalar(tag, value) for tag, value in values.items()}


def _scalar(tag: str, value: Any) -> float:
    array = _real_array(tag, value)
    if array.ndim:
        raise ValueError(f"`{tag}` must be one number. Received: an array of shape {list(array.shape)}")
    return float(array)


def _real_array(tag: str, value: Any, kinds: str = "biuf") -> np.ndarray:
    # A bfloat16 tensor of shape [] is nothing that np.asarray takes, and bfloat16 no kind of float to numpy.
    array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    if array.dtype.kind not in kinds:
        raise ValueError(f"`{tag}` must be numeric. Received: {value!r:.80} of type {array.dtype}")
    return array


def _checked_image(image: Any) -> np.ndarray:
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] != 3:
        raise ValueError(
            f"`image` must be [height, width, 3] uint8. Received: {array.dtype} of shape {list(array.shape)}"
        )
    return array
