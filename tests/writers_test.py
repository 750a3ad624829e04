"""Every writer: its records, its errors, and its files."""

import csv
import math
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.util.tensor_util import make_ndarray

from tfplastic import writers

NUMBERS = [0.1, np.float32(0.1), 1 / 3, 1e-300, -0.0, 5, np.int64(7), True, math.nan, math.inf, -math.inf]


def read_rows(directory):
    with open(directory / "metrics.csv", newline="") as file:
        return list(csv.reader(file))


def refused(function, *arguments, **keywords):
    """The message of the ValueError, which is one line."""
    with pytest.raises(ValueError) as caught:
        function(*arguments, **keywords)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture(params=["file", "memory", "tensorboard", "many"])
def any_writer(request, tmp_path):
    make = {
        "file": lambda: writers.MetricsFileWriter(tmp_path),
        "memory": writers.MemoryWriter,
        "tensorboard": lambda: writers.TensorBoardWriter(tmp_path),
        "many": lambda: writers.ManyWriters([writers.NullWriter(), writers.MemoryWriter()]),
    }
    with make[request.param]() as writer:
        yield writer


class TestEveryWriter:
    @pytest.mark.parametrize(
        "tag", ["", "a,b", "a\nb", "a\rb", 'a"b', "a\u2028b", "/a", "a//b", "a/", "../a", "./a", 3]
    )
    def test_refuses_tags_that_break_a_row_or_leave_the_directory(self, any_writer, tag):
        message = refused(any_writer.scalars, 0, {tag: 1.0})
        assert message.startswith("`tag` must be names joined by '/'") and message.endswith(
            f"Received: {tag!r}"
        )

    @pytest.mark.parametrize("step", [-1, 1.0, True])
    def test_refuses_what_is_no_step(self, any_writer, step):
        message = refused(any_writer.scalars, step, {"a": 1.0})
        assert message == f"`step` must be an integer of at least 0. Received: {step!r}"

    def test_refuses_what_is_no_number(self, any_writer):
        assert "`a` must be numeric. Received: 'one'" in refused(any_writer.scalars, 0, {"a": "one"})
        assert refused(any_writer.scalars, 0, {"a": [1.0, 2.0]}) == (
            "`a` must be one number. Received: an array of shape [2]"
        )

    def test_takes_tensors_of_every_float_type(self, any_writer):
        any_writer.scalars(np.int64(1), {"a": tf.constant(0.5), "b": tf.constant(0.5, tf.bfloat16)})

    def test_closes_twice(self, any_writer):
        any_writer.close()
        any_writer.close()


def test_the_base_ignores_everything():
    with writers.NullWriter() as writer:
        writer.scalars(0, {"a": 1.0})
        writer.clock_scalars(0, {"a": 1.0})
        writer.histogram(0, "a", [1.0])
        writer.image(0, "a", np.zeros([1, 1, 3], np.uint8))
        writer.text(0, "a", "b")
        writer.arrays(0, "a", b=np.zeros(1))
        writer.layout({"a": {"b": "c"}})
        writer.flush()


class TestMetricsFile:
    def test_numbers_come_back_exactly(self, tmp_path):
        with writers.MetricsFileWriter(tmp_path) as writer:
            writer.scalars(3, {f"n/{index}": number for index, number in enumerate(NUMBERS)})
        header, *rows = read_rows(tmp_path)
        assert header == ["step", "tag", "value"]
        assert [(step, tag) for step, tag, _ in rows] == [("3", f"n/{i}") for i in range(len(NUMBERS))]
        np.testing.assert_array_equal([float(row[2]) for row in rows], np.array(NUMBERS, np.float64))
        assert math.copysign(1, float(rows[4][2])) == -1
        assert [row[2] for row in rows[-3:]] == ["nan", "inf", "-inf"]

    @given(st.floats())
    def test_any_float_comes_back_exactly(self, tmp_path_factory, number):
        directory = tmp_path_factory.mktemp("run")
        with writers.MetricsFileWriter(directory) as writer:
            writer.scalars(0, {"a": number})
        np.testing.assert_array_equal(float(read_rows(directory)[1][2]), number)

    def test_nothing_is_written_when_one_value_is_refused(self, tmp_path):
        with writers.MetricsFileWriter(tmp_path) as writer:
            refused(writer.scalars, 0, {"a": 1.0, "b": None})
        assert read_rows(tmp_path) == [["step", "tag", "value"]]

    def test_clock_images_and_texts_leave_no_trace(self, tmp_path):
        with writers.MetricsFileWriter(tmp_path) as writer:
            writer.clock_scalars(0, {"speed": 1.0})
            writer.image(0, "image", np.zeros([2, 2, 3], np.uint8))
            writer.text(0, "text", "words")
        assert os.listdir(tmp_path) == ["metrics.csv"]
        assert read_rows(tmp_path) == [["step", "tag", "value"]]

    def test_appends_without_a_second_header(self, tmp_path):
        for step in range(2):
            with writers.MetricsFileWriter(tmp_path) as writer:
                writer.scalars(step, {"a": step})
        assert read_rows(tmp_path)[1:] == [["0", "a", "0.0"], ["1", "a", "1.0"]]

    @pytest.mark.parametrize(
        "torn", ["step,ta", "step,tag,value\n0,a,1.0\n5,a,0.", "step,tag,value\n0,a,1.0\n"]
    )
    def test_a_torn_row_is_removed(self, tmp_path, torn):
        (tmp_path / "metrics.csv").write_text(torn)
        with writers.MetricsFileWriter(tmp_path) as writer:
            writer.scalars(5, {"a": 2.0})
        whole = [["0", "a", "1.0"]] if "1.0\n" in torn else []
        assert read_rows(tmp_path) == [["step", "tag", "value"], *whole, ["5", "a", "2.0"]]

    @pytest.mark.parametrize("other", ["time,tag\n1,2\n", "words"])
    def test_another_file_of_that_name_is_refused_and_kept(self, tmp_path, other):
        (tmp_path / "metrics.csv").write_text(other)
        message = refused(writers.MetricsFileWriter, tmp_path)
        assert message.endswith(f"must begin with 'step,tag,value'. Received: {other.splitlines()[0]!r}")
        assert (tmp_path / "metrics.csv").read_text() == other

    def test_position_is_the_size_on_the_disk(self, tmp_path):
        writer = writers.MetricsFileWriter(tmp_path)
        assert writer.position() == len("step,tag,value\n")
        writer.scalars(1, {"a": 0.5})
        position = writer.position()
        assert position == (tmp_path / "metrics.csv").stat().st_size == len("step,tag,value\n1,a,0.5\n")
        writer.close()
        assert writers.MetricsFileWriter(tmp_path).position() == position

    def test_flush_makes_rows_visible(self, tmp_path):
        with writers.MetricsFileWriter(tmp_path) as writer:
            writer.scalars(1, {"a": 0.5})
            writer.flush()
            assert read_rows(tmp_path)[1:] == [["1", "a", "0.5"]]

    def test_arrays_come_back_with_name_type_and_bits(self, tmp_path):
        arrays = {"points": np.linspace(0, 1, 5), "step": np.arange(3), "c_k": np.eye(2, dtype=np.float32)}
        with writers.MetricsFileWriter(tmp_path) as writer:
            writer.arrays(40, "spectrum/hessian", **arrays)
        with np.load(tmp_path / "arrays/spectrum/hessian/40.npz") as stored:
            assert set(stored) == set(arrays)
            for name, array in arrays.items():
                assert stored[name].dtype == array.dtype
                np.testing.assert_array_equal(stored[name], array)
        assert os.listdir(tmp_path / "arrays/spectrum/hessian") == ["40.npz"]

    def test_equal_arrays_make_equal_files(self, tmp_path):
        for run in ("a", "b"):
            with writers.MetricsFileWriter(tmp_path / run) as writer:
                writer.arrays(1, "x", y=np.arange(4.0))
        assert (tmp_path / "a/arrays/x/1.npz").read_bytes() == (tmp_path / "b/arrays/x/1.npz").read_bytes()

    def test_arrays_refuses_nothing_and_objects(self, tmp_path):
        with writers.MetricsFileWriter(tmp_path) as writer:
            assert (
                refused(writer.arrays, 0, "x")
                == "`arrays` of 'x' must name at least one array. Received: none"
            )
            assert refused(writer.arrays, 0, "x", y=np.array([None])).startswith(
                "`x/y` must be numeric. Received:"
            )

    def test_histogram_counts(self, tmp_path):
        with writers.MetricsFileWriter(tmp_path) as writer:
            writer.histogram(2, "weights", np.array([[0.0, 0.05], [3.0, np.nan]]))
        with np.load(tmp_path / "arrays/weights/2.npz") as stored:
            # 30 bins over [0, 3], each 0.1 wide: 0 and 0.05 in the first, 3 in the last.
            np.testing.assert_array_equal(stored["counts"], [2, *[0] * 28, 1])
            np.testing.assert_allclose(stored["edges"], np.linspace(0, 3, 31))
            assert stored["non_finite"] == 1

    def test_histogram_of_nothing(self, tmp_path):
        with writers.MetricsFileWriter(tmp_path) as writer:
            writer.histogram(0, "weights", np.zeros([0]))
        with np.load(tmp_path / "arrays/weights/0.npz") as stored:
            assert stored["counts"].sum() == 0


class TestTensorBoard:
    def read(self, directory):
        accumulator = EventAccumulator(str(directory), {"tensors": 0})
        accumulator.Reload()

        def series(tag):
            return [(event.step, make_ndarray(event.tensor_proto)) for event in accumulator.Tensors(tag)]

        return accumulator, series

    def test_scalars_come_back(self, tmp_path):
        with writers.TensorBoardWriter(tmp_path) as writer:
            writer.scalars(10, {"train/loss": 0.25, "odd": math.nan})
            writer.scalars(20, {"train/loss": 0.125})
            writer.clock_scalars(20, {"speed": 300})
        accumulator, series = self.read(tmp_path)
        assert series("train/loss") == [(10, 0.25), (20, 0.125)]
        assert series("speed") == [(20, 300.0)]
        assert np.isnan(series("odd")[0][1])
        assert accumulator.SummaryMetadata("train/loss").plugin_data.plugin_name == "scalars"

    def test_text_comes_back(self, tmp_path):
        with writers.TensorBoardWriter(tmp_path) as writer:
            writer.text(0, "config", "a = 1\nb = 2")
        accumulator, series = self.read(tmp_path)
        ((step, text),) = series("config")
        assert (step, text.item()) == (0, b"a = 1\nb = 2")
        assert accumulator.SummaryMetadata("config").plugin_data.plugin_name == "text"

    def test_image_comes_back_pixel_by_pixel(self, tmp_path):
        image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
        with writers.TensorBoardWriter(tmp_path) as writer:
            writer.image(7, "frame", image)
        ((step, (width, height, png)),) = self.read(tmp_path)[1]("frame")
        assert (step, width, height) == (7, b"5", b"4")
        np.testing.assert_array_equal(tf.io.decode_png(png), image)

    def test_histogram_comes_back_without_what_is_not_finite(self, tmp_path):
        with writers.TensorBoardWriter(tmp_path) as writer:
            writer.histogram(1, "weights", [0.0, 1.0, 1.0, math.nan, math.inf])
            writer.histogram(2, "weights", [])
        (_, buckets), (_, empty) = self.read(tmp_path)[1]("weights")
        assert buckets.shape == (30, 3)  # left edge, right edge, count
        assert (buckets[:, 2].sum(), buckets[0, 2], buckets[-1, 2]) == (3, 1, 2)
        assert empty[:, 2].sum() == 0

    def test_layout_comes_back(self, tmp_path):
        protocol: Any = layout_pb2  # whose classes are made on import
        with writers.ManyWriters([writers.TensorBoardWriter(tmp_path)]) as writer:
            writer.layout({"Diagnostics": {"dead_units": "diagnostics/dead_units/.*"}})
        accumulator, series = self.read(tmp_path)
        ((step, layout),) = series("custom_scalars__config__")
        (category,) = protocol.Layout.FromString(layout.item()).category
        assert (step, category.title, category.chart[0].title) == (0, "Diagnostics", "dead_units")
        assert list(category.chart[0].multiline.tag) == ["diagnostics/dead_units/.*"]
        assert (
            accumulator.summary_metadata["custom_scalars__config__"].plugin_data.plugin_name
            == "custom_scalars"
        )

    @pytest.mark.parametrize(
        "shape, dtype", [([2, 2], "uint8"), ([2, 2, 1], "uint8"), ([2, 2, 3], "float32")]
    )
    def test_refuses_other_images(self, tmp_path, shape, dtype):
        with writers.TensorBoardWriter(tmp_path) as writer:
            assert refused(writer.image, 0, "frame", np.zeros(shape, dtype)) == (
                f"`image` must be [height, width, 3] uint8. Received: {dtype} of shape {shape}"
            )

    def test_leaves_no_default_writer_behind(self, tmp_path):
        with writers.TensorBoardWriter(tmp_path) as writer:
            writer.scalars(0, {"a": 1.0})
            assert not tf.summary.scalar("outside", 1.0, step=0)
        assert "outside" not in self.read(tmp_path)[0].Tags()["tensors"]


class TestMemory:
    def test_keeps_copies(self):
        writer = writers.MemoryWriter()
        image, values = np.zeros([1, 1, 3], np.uint8), np.zeros(2)
        writer.scalars(1, {"a": 0.5, "b": 1})
        writer.clock_scalars(1, {"speed": 2.0})
        writer.image(2, "image", image)
        writer.histogram(3, "values", values)
        writer.arrays(4, "arrays", x=values)
        writer.text(5, "text", "words")
        image += 1
        values += 1
        assert writer.scalar_rows == [(1, "a", 0.5), (1, "b", 1.0)]
        assert writer.series("a") == [(1, 0.5)] and writer.series("speed") == []
        assert writer.clock_rows == [(1, "speed", 2.0)]
        assert writer.text_rows == [(5, "text", "words")]
        assert writer.image_rows[0][2].sum() == writer.histogram_rows[0][2].sum() == 0
        assert writer.array_rows[0][2]["x"].sum() == 0


class TestMany:
    def test_hands_everything_to_each(self):
        both = [writers.MemoryWriter(), writers.MemoryWriter()]
        with writers.ManyWriters(both) as many:
            many.scalars(1, {"a": 0.5})
            many.clock_scalars(1, {"speed": 2.0})
            many.image(2, "image", np.zeros([1, 1, 3], np.uint8))
            many.histogram(3, "values", np.zeros(2))
            many.arrays(4, "arrays", x=np.zeros(2))
            many.text(5, "text", "words")
            many.flush()
        for writer in both:
            assert all(len(rows) == 1 for rows in vars(writer).values()) and len(vars(writer)) == 6

    def test_closes_every_writer_even_after_a_failure(self):
        closed = []

        class Noted(writers.Writer):
            def __init__(self, name):
                self.name = name

            def close(self):
                closed.append(self.name)
                if self.name == "first":
                    raise OSError("disk full")

        with pytest.raises(OSError, match="disk full"):
            writers.ManyWriters([Noted("first"), Noted("second")]).close()
        assert closed == ["first", "second"]


class TestAtomicFile:
    def test_old_content_stays_until_the_end(self, tmp_path):
        path = tmp_path / "file"
        path.write_bytes(b"old")
        with writers.atomic_file(path) as file:
            file.write(b"new")
            file.flush()
            assert path.read_bytes() == b"old"
        assert path.read_bytes() == b"new"

    def test_an_error_leaves_the_old_content_and_nothing_else(self, tmp_path):
        path = tmp_path / "file"
        path.write_bytes(b"old")
        with pytest.raises(KeyError), writers.atomic_file(path) as file:
            file.write(b"new")
            raise KeyError
        assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_importing_it_does_not_import_tensorflow():
    code = "import sys, tfplastic.writers; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
