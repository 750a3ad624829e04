"""The run directory: its cuts at a resume, and its repairs after a kill at any moment."""

import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training.runs import CONFIG, LIGHT, begin, tree
from tfplastic import writers
from tfplastic.training.run.directory import RunDirectoryError


def write(run, steps):
    """Writes the rows of a run at each of `steps`; returns the length of the metrics file after each."""
    with (
        writers.MetricsFileWriter(run.path) as metrics,
        writers.TensorBoardWriter(run.tensorboard) as tensorboard,
    ):
        positions = []
        for step in steps:
            for writer in (metrics, tensorboard):
                writer.scalars(step, {"loss": 1 / (step + 1)})
                writer.arrays(step, "spectrum/hessian", values=np.arange(step + 1))
            tensorboard.text(step, "note", f"step {step}")
            tensorboard.flush()
            positions.append(metrics.position())
        return positions


def events(run, tag):
    steps = []
    # By the numbers in their names: of two files of one second number 9 is before number 10.
    for file in sorted(
        run.tensorboard.iterdir(), key=lambda file: [*map(int, re.findall(r"\d+", file.name))]
    ):
        accumulator = EventAccumulator(str(file), {"tensors": 0})
        accumulator.Reload()
        if tag in accumulator.Tags()["tensors"]:
            steps += [event.step for event in accumulator.Tensors(tag)]
    return steps


def array_steps(run):
    return sorted(int(path.stem) for path in (run.path / "arrays").rglob("*.npz"))


class TestCut:
    def test_leaves_what_the_checkpoint_saw(self, path):
        with begin(path) as run:
            positions = write(run, range(6))
            run.cut_after(3, positions[3])
            assert (path / "metrics.csv").read_text().splitlines() == [
                "step,tag,value", "0,loss,1.0", "1,loss,0.5", f"2,loss,{1 / 3!r}", "3,loss,0.25"
            ]  # fmt: skip
            assert array_steps(run) == events(run, "loss") == events(run, "note") == [0, 1, 2, 3]

    def test_then_writing_on_gives_the_files_of_an_uninterrupted_run(self, path):
        with begin(path / "a") as run:
            write(run, range(6))
        with begin(path / "b") as other:
            positions = write(other, range(5))
        with begin(path / "b") as other:
            other.cut_after(2, positions[2])
            write(other, range(3, 6))
            assert events(other, "loss") == events(run, "loss") == list(range(6))
        public = ("metrics.csv", "arrays", "config.gin", "operative_config.gin")
        one, two = ({k: v for k, v in tree(path / name).items() if k.startswith(public)} for name in "ab")
        assert one == two

    def test_what_was_written_at_the_same_step_later_is_removed_where_sizes_are_known(self, path):
        with begin(path) as run, writers.TensorBoardWriter(run.tensorboard) as tensorboard:
            for step in range(3):
                tensorboard.scalars(step, {"loss": 0.5})
            tensorboard.flush()
            sizes = run.event_file_sizes()
            for tag in ("loss", "late"):
                tensorboard.scalars(2, {tag: 0.5})
                tensorboard.scalars(3, {tag: 0.5})
        with begin(path) as run, writers.TensorBoardWriter(run.tensorboard) as tensorboard:
            tensorboard.scalars(2, {"newer": 0.5})
        with begin(path) as run:
            assert (events(run, "loss"), events(run, "newer")) == ([0, 1, 2, 2, 3], [2])
            run.cut_after(2, 0, sizes)
            assert (events(run, "loss"), events(run, "late"), events(run, "newer")) == ([0, 1, 2], [], [])
            assert run.event_file_sizes() == sizes

    def test_to_nothing(self, path):
        with begin(path) as run:
            write(run, range(3))
            run.cut_after(-1, 0)
            assert (path / "metrics.csv").read_bytes() == b""
            assert array_steps(run) == events(run, "loss") == [] == list(run.tensorboard.iterdir())
            assert write(run, [0]) == [len("step,tag,value\n0,loss,1.0\n")]

    def test_of_a_run_that_wrote_nothing(self, path):
        with begin(path) as run:
            run.cut_after(-1, 0)
            assert not (path / "metrics.csv").exists() and not run.tensorboard.exists()

    def test_leaves_event_files_alone_that_need_no_cut(self, path):
        with begin(path) as run:
            positions = write(run, range(3))
            trace = run.tensorboard / "plugins/profile/now/host.xplane.pb"
            trace.parent.mkdir(parents=True)
            trace.write_bytes(b"trace")
            (run.tensorboard / "events.out.tfevents.1.host.profile-empty").write_bytes(b"")
            before = {file: (data, (path / file).stat().st_ino) for file, data in tree(path).items()}
            run.cut_after(2, positions[2])
            assert {file: (data, (path / file).stat().st_ino) for file, data in tree(path).items()} == before

    def test_keeps_graphs_and_other_events_that_are_no_summaries(self, path):
        with begin(path) as run:
            run.tensorboard.mkdir()
            file = run.tensorboard / "events.out.tfevents.1.host"
            kept = [
                tf.compat.v1.Event(file_version="brain.Event:2"),
                tf.compat.v1.Event(step=9, graph_def=b"graph"),
            ]
            with tf.io.TFRecordWriter(str(file)) as writer:
                for event in [*kept, tf.compat.v1.Event(step=9, summary=tf.compat.v1.Summary())]:
                    writer.write(event.SerializeToString())
            run.cut_after(5, 0)
            read = tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
            assert list(read) == [event.SerializeToString() for event in kept]

    def test_refuses_a_metrics_file_that_lost_rows(self, path):
        with begin(path) as run:
            position = write(run, range(3))[-1]
            os.truncate(path / "metrics.csv", position - 1)
            before = tree(path)
            with pytest.raises(RunDirectoryError) as caught:
                run.cut_after(0, position)
            assert str(caught.value) == (
                f"{path / 'metrics.csv'} must have the {position} bytes that the checkpoint counted. "
                f"Received: {position - 1} bytes. Choose another run directory, or restore the file."
            )
            with pytest.raises(RunDirectoryError, match="must have a row that ends at byte 20, "):
                run.cut_after(0, 20)
            assert tree(path) == before


class TestKill:
    """Half-done states after a kill: open() and cut_after() put it right."""

    @pytest.mark.parametrize("lost", [1, 5, 20])
    def test_torn_last_row_and_torn_last_event(self, path, lost):
        with begin(path) as run:
            positions = write(run, range(4))
            (event_file,) = run.tensorboard.iterdir()
        for file in (path / "metrics.csv", event_file):
            os.truncate(file, file.stat().st_size - lost)
        with begin(path) as run:
            run.cut_after(1, positions[1])
            write(run, [2, 3])
            assert (path / "metrics.csv").stat().st_size == positions[-1]
            assert events(run, "loss") == events(run, "note") == [0, 1, 2, 3]

    def test_torn_event_at_the_step_of_the_checkpoint(self, path):
        with begin(path) as run:
            positions = write(run, range(2))
            (event_file,) = run.tensorboard.iterdir()
            whole = event_file.read_bytes()
            os.truncate(event_file, len(whole) - 3)  # The last record is the text of step 1.
            run.cut_after(1, positions[1])
            assert events(run, "loss") == [0, 1] and events(run, "note") == [0]
            assert whole.startswith(event_file.read_bytes())

    def test_an_event_file_torn_in_its_header(self, path):
        with begin(path) as run:
            run.tensorboard.mkdir()
            (run.tensorboard / "events.out.tfevents.1.host").write_bytes(b"\x18\x00\x00")
            run.cut_after(5, 0)
            assert list(run.tensorboard.iterdir()) == []

    def test_half_written_files_are_removed(self, path):
        with begin(path) as run:
            write(run, [0])
        left = [
            ".status.json.tmp",
            "arrays/spectrum/hessian/.1.npz.tmp",
            "tensorboard/.events.out.tfevents.1.tmp",
        ]
        for name in left:
            (path / name).write_bytes(b"half")
        (path / "checkpoints").mkdir()
        (path / "checkpoints/.other.tmp").write_bytes(b"not ours")
        with begin(path):
            assert not any((path / name).exists() for name in left)
            assert (path / "checkpoints/.other.tmp").exists()

    def test_while_it_began(self, path):
        path.mkdir(parents=True)
        (path / "run.lock").write_text("")
        (path / ".operative_config.gin.tmp").write_text("train.se")
        with begin(path) as run:
            assert run.is_new
        assert set(tree(path)) == {"run.lock", "config.gin", "operative_config.gin", "status.json"}

    def test_after_the_operative_config_was_written(self, path):
        begin(path).close()
        (path / "config.gin").unlink()
        (path / "status.json").unlink()
        with begin(path) as run:
            assert not run.is_new and run.status()["step"] == 0
        assert (path / "config.gin").read_text() == CONFIG

    def test_at_any_moment(self, path):
        """A process that opens, writes and cuts without end, killed at random moments: always put right."""
        code = LIGHT + (
            "writer = MetricsFileWriter(run.path)\n"
            "for step in itertools.count():\n"
            "    writer.scalars(step, {'a': step})\n"
            "    writer.arrays(step % 7, 'x', y=np.full(1000, step))\n"
            "    run.write_status('running', step)\n"
            "    writer.flush()\n"
        )
        for delay in np.random.default_rng(0).uniform(0.01, 0.15, 4):
            with subprocess.Popen(
                [sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True
            ) as process:
                assert process.stdout is not None and process.stdout.readline() == "open\n"
                time.sleep(delay)
                process.kill()
            with begin(path, "train.seed = 0") as run:
                assert not run.is_new and run.status()["state"] == "starting"
                assert not list(path.rglob("*.tmp"))
                for file in (path / "arrays").rglob("*.npz"):
                    with np.load(file) as stored:
                        assert len(set(stored["y"])) == 1 and stored["y"].shape == (1000,)
                with writers.MetricsFileWriter(path):
                    rows = (path / "metrics.csv").read_text().splitlines()[1:]
                assert [float(row.split(",")[2]) for row in rows] == [*map(float, range(len(rows)))]
                run.cut_after(-1, 0)
                assert array_steps(run) == []
