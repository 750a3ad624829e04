"""The loop on a tiny task: the events of each step, and that stopping and resuming leaves no trace."""

import importlib
import io
import json
import os
import signal
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.training.regression_task import RegressionTask
from tfplastic._keras import keras
from tfplastic.diagnostics import weight_norm
from tfplastic.training import Loop, NonFiniteLossError, RunDirectory, TrainConfig
from tfplastic.training.run.progress import Progress

PERIODS = dict(log_period=4, diagnostics_period=5, evaluation_period=6, checkpoint_period=3)


class QuietProgress(Progress):
    """Counts updates; sends this process a signal at the given update numbers."""

    def __init__(self, total_steps, initial_step, fields=(), signals=None):
        super().__init__(total_steps, initial_step, stream=io.StringIO())
        self.signals = signals or {}
        self.count = 0

    def update(self, step, **fields):
        self.count += 1
        if self.count in self.signals:
            os.kill(os.getpid(), self.signals[self.count])


def make_loop(task=None, seed=0, total_steps=14, **periods):
    config = TrainConfig(
        task=task or RegressionTask(),
        optimizer=keras.optimizers.RMSprop(0.01, centered=True),
        total_steps=total_steps,
        seed=seed,
        diagnostics=(weight_norm,),
        **{**PERIODS, **periods},
    )
    return Loop(config)


def run(path, loop=None, signals=None):
    """Runs a loop in the directory `path`; returns it with its exit code."""
    loop = loop or make_loop()
    directory = RunDirectory.open(path, "", f"train.total_steps = {loop.config.total_steps}")
    try:
        code = loop.run(
            directory, progress=lambda total, step, _: QuietProgress(total, step, signals=signals)
        )
    finally:
        directory.close()
    return loop, code


def rows(path):
    lines = (path / "metrics.csv").read_text().splitlines()
    assert lines[0] == "step,tag,value"
    return [(int(step), tag, float(value)) for step, tag, value in (line.split(",") for line in lines[1:])]


def steps_of(path, tag):
    return [step for step, row_tag, _ in rows(path) if row_tag == tag]


def read_status(path):
    return json.loads((path / "status.json").read_text())


def weights(loop):
    variables = [*loop.task.model.variables, *loop.config.optimizer.variables]
    return np.concatenate([np.asarray(variable).astype(np.float64).ravel() for variable in variables])


def test_everything_happens_at_exactly_its_step(tmp_path):
    task = RegressionTask()
    _, code = run(tmp_path, make_loop(task))
    assert code == 0
    assert steps_of(tmp_path, "train/loss") == [4, 8, 12, 14]
    assert steps_of(tmp_path, "diagnostics/weight_norm/hidden") == [0, 5, 10]
    assert steps_of(tmp_path, "evaluation/loss") == [6, 12, 14]
    checkpoints = sorted(path.name for path in (tmp_path / "checkpoints").glob("step_*"))
    assert checkpoints == ["step_000000000012", "step_000000000014"]
    assert task.calls == ["start", *(("after_step", step) for step in range(1, 15)), "close"]


def test_loss_is_the_mean_since_the_last_row(tmp_path):
    losses = []
    task = RegressionTask()
    loop = make_loop(task, total_steps=6)
    task_loss = task.loss

    def noted_loss(model, batch, training=False):
        output = task_loss(model, batch, training)
        if training:
            tf.py_function(lambda value: losses.append(float(value)), [output.loss], [])
        return output

    task.loss = noted_loss
    run(tmp_path, loop)
    logged = [value for _, tag, value in rows(tmp_path) if tag == "train/loss"]
    np.testing.assert_allclose(logged, [np.mean(losses[:4]), np.mean(losses[4:6])], rtol=1e-12)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The directory and the final weights of a run that nothing interrupts."""
    path = tmp_path_factory.mktemp("whole")
    return path, weights(run(path)[0])


# Progress is updated 3 times in the warm-up, once for each step, and as each event but a row of metrics
# begins: the stops are in the warm-up, at the first diagnostics, at a checkpoint, at an evaluation, and after
# step 9.
@pytest.mark.parametrize("stop_at", [1, 4, 8, 13, 18])
def test_stopped_and_resumed_is_the_same_as_not_stopped(tmp_path, whole, stop_at):
    _, code = run(tmp_path, signals={stop_at: signal.SIGTERM})
    resumed, second_code = run(tmp_path)
    assert (code, second_code) == (143, 0)
    assert rows(tmp_path) == rows(whole[0])
    np.testing.assert_array_equal(weights(resumed), whole[1])


def test_an_evaluation_that_is_cut_short_is_made_up_for(tmp_path, whole):
    loop, code = run(tmp_path, signals={13: signal.SIGINT})  # as the evaluation of step 6 begins
    assert code == 0
    assert steps_of(tmp_path, "evaluation/loss") == []
    assert read_status(tmp_path)["step"] == 6
    run(tmp_path)
    assert rows(tmp_path) == rows(whole[0])


def test_a_run_with_diagnostics_is_the_run_without(tmp_path, whole):
    without, _ = run(tmp_path, make_loop(diagnostics_period=1_000))
    np.testing.assert_array_equal(weights(without), whole[1])


def test_seeds(tmp_path, whole):
    np.testing.assert_array_equal(weights(run(tmp_path / "same")[0]), whole[1])
    assert np.any(weights(run(tmp_path / "other", make_loop(seed=1))[0]) != whole[1])


def test_a_longer_run_goes_on_from_the_end_of_a_shorter(tmp_path, whole):
    run(tmp_path, make_loop(total_steps=9))
    longer, _ = run(tmp_path, make_loop(total_steps=14))
    np.testing.assert_array_equal(weights(longer), whole[1])


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_what_was_written(tmp_path):
    with pytest.raises(
        NonFiniteLossError, match="at gradient step 11; the first was the batch at gradient step 11. "
    ):
        run(tmp_path, make_loop(RegressionTask(bad_step=11)))
    status = read_status(tmp_path)
    assert (status["state"], status["step"]) == ("failed", 10)
    assert "gradient step 11" in status["error"]
    assert steps_of(tmp_path, "train/loss") == [4, 8]
    assert (tmp_path / "checkpoints" / "step_000000000009" / "manifest.json").exists()


def test_status_and_text_of_a_finished_run(tmp_path):
    run(tmp_path)
    status = read_status(tmp_path)
    assert (status["state"], status["step"], status["total_steps"]) == ("finished", 14, 14)


def test_profile_is_written_and_parses(tmp_path):
    directory = RunDirectory.open(tmp_path, "", "")
    make_loop().run(directory, profile_steps=(5, 8), progress=QuietProgress)
    (trace,) = (tmp_path / "tensorboard" / "plugins" / "profile").glob("*/*.xplane.pb")
    xplane_pb2: Any = importlib.import_module("tensorflow.tsl.profiler.protobuf.xplane_pb2")
    space = xplane_pb2.XSpace.FromString(trace.read_bytes())
    events = {entry.name for plane in space.planes for entry in plane.event_metadata.values()}
    assert any("gradient_step" in name for name in events)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("total_steps", 0, "`total_steps` must be an integer of at least 1. Received: 0"),
        ("log_period", 2.5, "`log_period` must be an integer of at least 1. Received: 2.5"),
        ("keep_checkpoints", 0, "`keep_checkpoints` must be an integer of at least 1. Received: 0"),
        ("seed", -1, "`seed` must be an integer of at least 0. Received: -1"),
        ("task", 3, "`task` must be a task, such as @AtariTask(). Received: 3"),
    ],
)
def test_errors(field, value, message):
    arguments = {
        "task": RegressionTask(),
        "optimizer": keras.optimizers.SGD(),
        "total_steps": 1,
        field: value,
    }
    with pytest.raises(ValueError) as error:
        TrainConfig(**arguments)
    assert str(error.value).splitlines()[0] == message  # gin adds where it was configured
