"""Ends of a run's sessions: at a signal, during the last checkpoint, and beyond the last step."""

import json
import os
import signal

import pytest
from absl import logging

from tests.training.loop_test import make_loop, read_status, run, steps_of
from tests.training.regression_task import RegressionTask
from tests.training.run.directory_cut_test import events
from tfplastic.training import Event, RunDirectory


class Noting(RegressionTask):
    """Notes the evaluations in its state; the signal comes as an evaluation ends, if asked for."""

    def __init__(self, interrupts=False):
        super().__init__()
        self.interrupts, self.noted = interrupts, []

    def evaluate(self, step, should_stop):
        scalars = super().evaluate(step, should_stop)
        if scalars is not None:
            self.noted.append(step)
            if self.interrupts:
                os.kill(os.getpid(), signal.SIGTERM)
        return scalars

    def save(self, directory, shared):
        (directory / "noted.json").write_text(json.dumps(self.noted))
        return super().save(directory, shared)

    def restore(self, directory, shared, shared_files):
        super().restore(directory, shared, shared_files)
        self.noted = json.loads((directory / "noted.json").read_text())


def test_an_evaluation_that_was_made_up_for_is_in_the_next_checkpoint_of_the_same_step(tmp_path):
    run(tmp_path, make_loop(Noting()), signals={13: signal.SIGTERM})  # as the evaluation of step 6 begins
    assert (read_status(tmp_path)["step"], steps_of(tmp_path, "evaluation/loss")) == (6, [])
    run(tmp_path, make_loop(Noting(interrupts=True)))  # it is done, and the run stops again
    assert (read_status(tmp_path)["step"], steps_of(tmp_path, "evaluation/loss")) == (6, [6])
    task = Noting()
    run(tmp_path, make_loop(task))
    assert task.noted == [6, 12, 14]


class Terminated(RegressionTask):
    """Gets SIGTERM while each of its checkpoints is written."""

    def save(self, directory, shared):
        os.kill(os.getpid(), signal.SIGTERM)
        return super().save(directory, shared)


def test_a_second_signal_does_not_break_off_the_last_checkpoint(tmp_path):
    received = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        _, code = run(tmp_path, make_loop(Terminated()), signals={5: signal.SIGTERM})
        assert (code, received, read_status(tmp_path)["state"]) == (143, [], "stopped")
        os.kill(os.getpid(), signal.SIGTERM)  # the handler is again the one from before
        assert received == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_run_beyond_a_smaller_number_of_steps_is_finished(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(logging, "info", lambda text, *values: said.append(text % values))
    run(tmp_path, signals={18: signal.SIGTERM})
    status = read_status(tmp_path)
    assert (status["state"], status["step"]) == ("stopped", 9)
    for message in ("The run is beyond train.total_steps = 6, which is smaller now.", "Run already finished"):
        _, code = run(tmp_path, make_loop(total_steps=6))
        status = read_status(tmp_path)
        assert (code, status["state"], status["step"], status["total_steps"]) == (0, "finished", 9, 6)
        assert any(message in text for text in said)


@pytest.mark.parametrize("total_steps", [9, 14])
def test_a_run_that_was_finished_early_goes_on(tmp_path, total_steps):
    run(tmp_path, signals={18: signal.SIGTERM})
    run(tmp_path, make_loop(total_steps=6))
    run(tmp_path, make_loop(total_steps=total_steps))
    status = read_status(tmp_path)
    assert (status["state"], status["step"]) == ("finished", total_steps)


class Failing(Event):
    """Fails at step 6, after the evaluation."""

    name = "failing"

    def next_after(self, step):
        return 6 if step < 6 else None

    def is_due(self, step):
        return step == 6

    def run(self, session):
        raise RuntimeError("as asked for")


def test_rows_of_the_checkpoints_own_step_are_not_twice_in_tensorboard(tmp_path):
    run(tmp_path, make_loop(events=[Failing()]), signals={13: signal.SIGTERM})  # the evaluation is pending
    for _ in range(2):
        with pytest.raises(RuntimeError, match="as asked for"):
            run(tmp_path, make_loop(events=[Failing()]))  # it is done, and its row is written
    run(tmp_path, make_loop(events=[Harmless()]))
    with RunDirectory.open(tmp_path, "", "train.total_steps = 14") as directory:
        assert events(directory, "evaluation/loss") == steps_of(tmp_path, "evaluation/loss") == [6, 12, 14]
        assert events(directory, "train/loss") == steps_of(tmp_path, "train/loss") == [4, 8, 12, 14]


class Harmless(Failing):
    """Does not fail."""

    def run(self, session):
        return True
