"""From `bin/train` to the gradient step: few calls of ours, each in the file that one would look in."""

import pathlib
import traceback

import pytest

import tfplastic
from tests.training.loop_test import make_loop as make_host_loop
from tests.training.loop_test import run as run_on_host
from tests.training.regression_task import RegressionTask
from tfplastic.command_line import train
from tfplastic.tasks import RandomLabelTask

PACKAGE = pathlib.Path(tfplastic.__file__).parent
STEP = ("training/step.py", "__call__")


class Reached(RuntimeError):
    """Ends a run at its first loss."""


def ending_at_its_loss(task, calls):
    """The loss of a kind of task, which in training appends the calls of ours that led to it, and ends."""
    measured = task.loss

    def loss(self, model, batch, training=False):
        if not training:  # diagnostics at the beginning
            return measured(self, model, batch)
        frames = [(pathlib.Path(frame.filename), frame.name) for frame in traceback.extract_stack()[:-1]]
        ours = [(path, name) for path, name in frames if path.is_relative_to(PACKAGE)]
        calls.extend((path.relative_to(PACKAGE).as_posix(), name) for path, name in ours)
        raise Reached

    return loss


def test_a_task_in_memory(monkeypatch, tmp_path, capsys):
    calls = []
    monkeypatch.setattr(RandomLabelTask, "loss", ending_at_its_loss(RandomLabelTask, calls))
    code = train.main(["--gin_file=gin/random_labels_digits.gin", "--device=cpu", f"--run_dir={tmp_path}"])
    assert code == 1 and "Reached" in capsys.readouterr().err
    to_the_step = calls[: calls.index(STEP) + 1]
    assert to_the_step == [
        ("command_line/train/command.py", "main"),
        ("training/loop.py", "run"),
        ("training/execution/graph_steps.py", "advance"),
        ("training/execution/graph_steps.py", "_take_step"),
        STEP,
    ]
    # The tape is in the step's own file: nothing else lies between the step and the loss.
    assert calls[len(to_the_step) :] == [("training/step.py", "gradients")]


def test_a_task_on_the_host(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(RegressionTask, "loss", ending_at_its_loss(RegressionTask, calls))
    with pytest.raises(Reached):
        run_on_host(tmp_path, make_host_loop())
    to_the_step = calls[: calls.index(STEP) + 1]
    assert to_the_step == [  # after `main`, as above
        ("training/loop.py", "run"),
        ("training/execution/host_steps.py", "advance"),
        ("training/execution/host_steps.py", "_take_step"),
        STEP,
    ]
    assert calls[len(to_the_step) :] == [("training/step.py", "gradients")]
