"""The run directory: new, resumed, refused, and its messages."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.training.runs import CONFIG, LIGHT, OPERATIVE, begin, tree
from tfplastic import _source
from tfplastic.training import TrainConfig
from tfplastic.training.run import directory as run_directory
from tfplastic.training.run.directory import RunDirectory, RunDirectoryError, versions

assert TrainConfig  # registers `train`, whose defaults count where a run lacks them


def refusal(path, operative=OPERATIVE, **keywords):
    with pytest.raises(RunDirectoryError) as caught:
        begin(path, operative, **keywords)
    message = str(caught.value)
    assert "\n" not in message
    return message


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
        assert (status["commit"], status["tree_changed"]) == _source.of_package()

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
            (
                "AtariTask.epsilons = {'evaluation': 0.05, 'training': 0.1}\n",
                "",
                "`AtariTask.epsilons` is {'evaluation': 0.05, 'training': 0.1} there and not bound here",
            ),
            ("train.seed = 0", "train.seed = 0.0", "`train.seed` is 0 there and 0.0 here"),
            ("train.seed = 0", "two/train.seed = 3", "`two/train.seed` is 0 there and 3 here"),
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

    @pytest.mark.parametrize(
        "text",
        [
            *("", "{", "[1]", "null", "\xff", '{"step": "x", "wall_time_s": "y"}', '{"step": -1}'),
            *('{"step": 1' + "0" * 400 + "}", '{"step": 18446744073709551616, "wall_time_s": 1e999}'),
        ],
    )
    def test_a_damaged_status_stops_nothing(self, path, text):
        begin(path).close()
        (path / "status.json").write_bytes(text.encode("latin-1"))
        with begin(path) as run:
            assert (run.status()["state"], run.status()["step"]) == ("starting", 0)

    def test_a_run_that_was_not_resumed_is_as_it_was_found(self, path):
        begin(path).close()
        (path / "status.json").write_text('{"state": "stopped", "step": 7}')
        with begin(path) as run:
            assert run.status()["state"] == "starting"
        assert (path / "status.json").read_text() == '{"state": "stopped", "step": 7}'
        with begin(path) as run:
            run.write_status("running", 8)
        assert run.status()["step"] == 8


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
