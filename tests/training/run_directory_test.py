"""The run directory: new, resumed, refused; what it says; and what it repairs after a kill at any moment."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tfplastic import writers
from tfplastic.training import run_directory
from tfplastic.training.run_directory import RunDirectory, RunDirectoryError, versions

CONFIG = "include 'gin/sizes/quick.gin'\n"
OPERATIVE = """
# Parameters for AtariTask:
# ==============================================================================
AtariTask.agent = @double_dqn
AtariTask.game = 'Breakout'
AtariTask.epsilons = {'evaluation': 0.05, 'training': 0.1}

# Parameters for train:
# ==============================================================================
train.checkpoint_period = 500
train.log_period = 100
train.seed = 0
train.task = @eval/AtariTask()
train.total_steps = 1000
"""

# For processes of a test: the package without those of its modules that take seconds to import TensorFlow.
LIGHT = (
    "import itertools, sys, time, types, numpy as np, tfplastic\n"
    "package = sys.modules['tfplastic.training'] = types.ModuleType('tfplastic.training')\n"
    "package.__path__ = [f'{tfplastic.__path__[0]}/training']\n"
    "from tfplastic.training.run_directory import RunDirectory\n"
    "from tfplastic.writers import MetricsFileWriter\n"
    "run = RunDirectory.open(sys.argv[1], '', 'train.seed = 0')\n"
    "print('open', flush=True)\n"
)


def begin(path, operative=OPERATIVE, **keywords):
    return RunDirectory.open(path, CONFIG, operative, **keywords)


def refusal(path, operative=OPERATIVE, **keywords):
    with pytest.raises(RunDirectoryError) as caught:
        begin(path, operative, **keywords)
    message = str(caught.value)
    assert "\n" not in message
    return message


def tree(path):
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / "first"


class TestNew:
    def test_holds_config_and_status(self, path):
        with begin(path) as run:
            assert run.is_new and run.state == "starting" and run.path == path
            assert run.checkpoints == path / "checkpoints" and run.tensorboard == path / "tensorboard"
            assert (path / "config.gin").read_text() == CONFIG
            assert (path / "operative_config.gin").read_text() == OPERATIVE
            status = run.status()
        assert (status["state"], status["step"], status["total_steps"]) == ("starting", 0, 1000)
        assert status["error"] is None and status["device"] is None

    def test_an_empty_directory_will_do(self, path):
        path.mkdir(parents=True)
        with begin(path) as run:
            assert run.is_new

    def test_resume_false_is_fine_in_a_new_one(self, path):
        with begin(path, resume=False) as run:
            assert run.is_new

    @pytest.mark.parametrize("name", ["thesis.tex", "config.gin", "status.json"])
    def test_another_directory_is_refused_untouched(self, path, name):
        path.mkdir(parents=True)
        (path / name).write_text("words")
        assert refusal(path) == (
            f"{path} must be empty or hold a run. Received: a directory with {name!r} and no "
            "operative_config.gin. Choose another run directory."
        )
        assert tree(path) == {name: b"words"}

    def test_a_file_is_refused(self, path):
        path.parent.mkdir()
        path.write_text("words")
        assert refusal(path) == f"{path} must be a directory. Received: a file. Choose another run directory."
        assert refusal(path / "below").startswith(f"{path / 'below'} cannot be written: ")

    def test_a_broken_config_creates_nothing(self, path):
        with pytest.raises(ValueError, match="^A gin config must parse. Received: [^\n]*$"):
            begin(path, "train.x = [1, 2")
        assert not path.exists()


class TestSameRun:
    def test_is_resumed_with_its_files_as_they_are(self, path):
        with begin(path) as run:
            run.write_status("stopped", 400)
        before = tree(path)
        with RunDirectory.open(path, "# other words", OPERATIVE) as run:
            assert not run.is_new and run.state == "starting"
            assert (run.status()["state"], run.status()["step"]) == ("starting", 400)
        after = tree(path)
        assert set(after) == set(before)
        assert all(after[name] == before[name] for name in ("config.gin", "operative_config.gin"))

    def test_order_whitespace_comments_and_line_breaks_do_not_matter(self, path):
        begin(path).close()
        lines = [line for line in OPERATIVE.splitlines() if line and not line.startswith("#")]
        dictionary = "AtariTask.epsilons = \\\n    {'training': 0.1,\n     'evaluation':   0.05}"
        other = "\n".join(
            ["# new", dictionary, *reversed([line for line in lines if "epsilons" not in line])]
        )
        begin(path, other).close()

    def test_macros_count_by_their_values(self, path):
        begin(path).close()
        begin(path, "GAME = 'Breakout'\nUNUSED = 3\n" + OPERATIVE.replace("'Breakout'", "%GAME")).close()
        other = "GAME = 'Pong'\n" + OPERATIVE.replace("'Breakout'", "%GAME")
        assert "`AtariTask.game` is 'Breakout' there and 'Pong' here" in refusal(path, other)

    @pytest.mark.parametrize("name", ["total_steps", "log_period", "checkpoint_period", "keep_checkpoints"])
    def test_length_and_periods_may_change_and_are_brought_up_to_date(self, path, name):
        begin(path).close()
        lines = [line for line in OPERATIVE.splitlines() if not line.startswith(f"train.{name} =")]
        other = "\n".join([*lines, f"train.{name} = 2000"])
        with RunDirectory.open(path, "# longer", other) as run:
            assert not run.is_new
            assert run.status()["total_steps"] == (2000 if name == "total_steps" else 1000)
        assert (path / "operative_config.gin").read_text() == other
        assert (path / "config.gin").read_text() == "# longer"

    def test_resume_false_refuses(self, path):
        begin(path).close()
        before = tree(path)
        assert refusal(path, resume=False) == (
            f"{path} holds a run already, and this one must not resume. Choose another run directory."
        )
        assert {**tree(path), "run.lock": b""} == {**before, "run.lock": b""}


class TestOtherRun:
    def test_names_the_binding(self, path):
        begin(path).close()
        before = tree(path)
        assert refusal(path, OPERATIVE.replace("'Breakout'", "'Pong'")) == (
            f"{path} holds another run: `AtariTask.game` is 'Breakout' there and 'Pong' here. "
            "Choose another run directory, or the old value."
        )
        assert {**tree(path), "run.lock": b""} == {**before, "run.lock": b""}

    def test_counts_the_rest(self, path):
        begin(path).close()
        other = (
            OPERATIVE.replace("'Breakout'", "'Pong'").replace("seed = 0", "seed = 1").replace("0.05", "0.01")
        )
        message = refusal(path, other.replace("total_steps = 1000", "total_steps = 5"))
        assert "`AtariTask.epsilons` is {'evaluation': 0.05, 'training': 0.1} there and {" in message
        assert message.endswith("here and 2 more differ. Choose another run directory, or the old values.")

    @pytest.mark.parametrize(
        "old, new, difference",
        [
            ("@double_dqn", "@c51", "`AtariTask.agent` is @double_dqn there and @c51 here"),
            (
                "@eval/AtariTask()",
                "@AtariTask()",
                "`train.task` is @eval/AtariTask() there and @AtariTask() here",
            ),
            ("train.seed = 0\n", "", "`train.seed` is 0 there and not bound here"),
            ("train.seed = 0", "train.seed = 0.0", "`train.seed` is 0 there and 0.0 here"),
            ("train.seed", "two/train.seed", "`train.seed` is 0 there and not bound here and 1 more differs"),
            ("'Breakout'", repr("x" * 99), f"is 'Breakout' there and '{'x' * 56}... here"),
        ],
    )
    def test_sees_every_kind_of_difference(self, path, old, new, difference):
        begin(path).close()
        assert difference in refusal(path, OPERATIVE.replace(old, new))

    def test_an_unreadable_config_is_refused(self, path):
        begin(path).close()
        (path / "operative_config.gin").write_text("train.x = (")
        assert refusal(path).startswith(
            f"{path / 'operative_config.gin'} cannot be read: A gin config must parse."
        )


class TestFinished:
    def test_is_said_and_left_alone(self, path):
        with begin(path) as run:
            run.write_status("finished", 1000)
            assert run.state == "finished"
        before = tree(path)
        with begin(path) as run:
            assert run.state == "finished" and not run.is_new
        assert {**tree(path), "run.lock": b""} == {**before, "run.lock": b""}

    def test_more_steps_go_on(self, path):
        with begin(path) as run:
            run.write_status("finished", 1000)
        with begin(path, OPERATIVE.replace("total_steps = 1000", "total_steps = 1500")) as run:
            assert run.state == "starting" and run.status()["total_steps"] == 1500

    @pytest.mark.parametrize("state", ["starting", "running", "stopped", "failed"])
    def test_no_other_state_is_finished(self, path, state):
        with begin(path) as run:
            run.write_status(state, 1000)
        with begin(path) as run:
            assert run.state == "starting"


class TestStatus:
    def test_fields_stay_and_the_error_goes(self, path):
        with begin(path) as run:
            run.write_status("running", 10, device="cpu", note={"a": [1]})
            run.write_status("failed", 20, error="first line\nsecond  line", loss=float("nan"))
            status = run.status()
            assert (status["state"], status["step"], status["device"]) == ("failed", 20, "cpu")
            assert status["error"] == "first line second line"
            assert status["note"] == {"a": [1]} and status["loss"] is None
            run.write_status("running", 20)
            assert run.status()["error"] is None and run.status()["device"] == "cpu"
        json.loads((path / "status.json").read_text(), parse_constant=pytest.fail)  # No NaN: plain JSON.

    def test_times_add_up_over_resumes(self, path, monkeypatch):
        class Clock:
            wall = cpu = 0.0

            def monotonic(self):
                return self.wall

            def process_time(self):
                return self.cpu

        clock = Clock()
        monkeypatch.setattr(run_directory, "time", clock)
        with begin(path) as run:
            clock.wall, clock.cpu = 10.0, 15.0
            run.write_status("stopped", 10)
            first = run.status()
        assert (first["wall_time_s"], first["cpu_time_s"]) == (10, 15)
        clock.wall, clock.cpu = 110.0, 0.0  # Nobody holds the directory for 100 s, then a new process does.
        with begin(path) as run:
            clock.wall, clock.cpu = 112.0, 3.0
            run.write_status("running", 10)
            clock.wall, clock.cpu = 115.0, 4.0
            run.write_status("running", 11)
            second = run.status()
        assert (second["wall_time_s"], second["cpu_time_s"]) == (15, 19)
        assert second["started"] == first["started"] and second["updated"] >= first["updated"]

    def test_versions(self, path):
        with begin(path) as run:
            found = run.status()["versions"]
        assert (
            found == versions() and found["tensorflow"] == tf.__version__ and found["numpy"] == np.__version__
        )
        names = "python tensorflow keras tf_keras tf_agents ale_py numpy tfplastic"
        assert set(found) == set(names.split())

    def test_wrong_states_and_steps_are_refused(self, path):
        with begin(path) as run:
            with pytest.raises(ValueError, match="`state` must be one of 'starting', .* Received: 'done'"):
                run.write_status("done", 0)
            with pytest.raises(ValueError, match="`step` must be an integer of at least 0. Received: -1"):
                run.write_status("running", -1)
            assert run.status()["state"] == "starting"

    def test_a_damaged_status_is_refused(self, path):
        begin(path).close()
        (path / "status.json").write_text("{")
        message = refusal(path)
        assert message.startswith(f"{path / 'status.json'} cannot be read: ")
        assert message.endswith("or remove that file.")


class TestLock:
    def test_a_second_holder_is_refused_until_the_first_closes(self, path):
        run = begin(path)
        assert refusal(path) == (
            f"{path} is in use by another process (process {os.getpid()} on {os.uname().nodename}). "
            "Choose another run directory, or wait for its end."
        )
        run.close()
        run.close()
        begin(path).close()

    def test_a_refused_config_holds_no_lock(self, path):
        begin(path).close()
        refusal(path, OPERATIVE.replace("'Breakout'", "'Pong'"))
        begin(path).close()

    def test_a_killed_process_holds_no_lock(self, path):
        code = f"{LIGHT}time.sleep(60)"
        with subprocess.Popen(
            [sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True
        ) as holder:
            assert holder.stdout is not None and holder.stdout.readline() == "open\n"
            assert f"(process {holder.pid} on " in refusal(path, "train.seed = 0")
            holder.send_signal(signal.SIGKILL)
        begin(path, "train.seed = 0").close()


def write(run, steps):
    """What a run would write at each of `steps`; returns the length of the metrics file after each."""
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
    accumulator = EventAccumulator(str(run.tensorboard), {"tensors": 0})
    accumulator.Reload()
    return [event.step for event in accumulator.Tensors(tag)] if tag in accumulator.Tags()["tensors"] else []


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
    """What a kill can leave half-done: open() and cut_after() put it right."""

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
