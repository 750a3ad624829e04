"""`bin/train --init_from`: the step is recorded, the same command resumes, the other run stays as it is."""

import pathlib
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf

import tfplastic as tp
from tests.command_line.diagnose.tiny import undisturbed  # noqa: F401
from tests.training.regression_task import RegressionTask
from tests.training.runs import tree
from tfplastic.command_line import train
from tfplastic.sweeps.preflight.process import Checks
from tfplastic.sweeps.preflight.requests import Request
from tfplastic.training import TrainConfig
from tfplastic.training.run.bindings import parse_bindings

pytestmark = pytest.mark.usefixtures("undisturbed")
CONFIG = """
train.task = @RegressionTask()
train.optimizer = @centered_rmsprop()
centered_rmsprop.learning_rate = 0.01
train.total_steps = 4
train.checkpoint_period = 2
train.evaluation_period = 100
"""
SAME_SEED = "same seed as the source (0): its draws are drawn again; --seed=N draws others."


@pytest.fixture(autouse=True)
def tiny_only(monkeypatch, tmp_path):
    (tmp_path / "tiny.gin").write_text(CONFIG)


def call(capsys, *arguments):
    """The exit code of a command, and the last line it wrote."""
    code = train.main(["--gin_file=tiny.gin", "--device=cpu", *arguments])
    captured = capsys.readouterr()
    return code, (captured.out + captured.err).strip().splitlines()[-1]


def recorded(path):
    return parse_bindings(pathlib.Path(path, "operative_config.gin").read_text())["train.init_from"]


def kernel(path, step):
    reader = tf.train.load_checkpoint(f"{path}/checkpoints/step_{step:012d}/variables")
    return reader.get_tensor("model/layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE")


def test_a_run_from_another(capsys, tmp_path):
    assert call(capsys, "--run_dir=old")[0] == 0
    before = tree(pathlib.Path("old"))
    new = ["--run_dir=new", "--init_from=old", "--seed=5"]
    code, last = call(capsys, *new, "--dry_run")
    assert code == 0 and not pathlib.Path("new").exists()
    assert call(capsys, *new, "--gin_bindings=train.total_steps = 2")[0] == 0
    assert recorded("new") == f"'{tmp_path}/old@4'"
    assert tree(pathlib.Path("old")) == before
    # Two small steps from where the other run ended, not from where seed 5 begins.
    np.testing.assert_allclose(kernel("new", 2), kernel("old", 4), atol=0.2)
    assert call(capsys, "--run_dir=old", "--gin_bindings=train.total_steps = 6")[0] == 0
    assert call(capsys, *new)[0] == 0 and recorded("new") == f"'{tmp_path}/old@4'"  # resumed as it began
    shutil.rmtree("old")
    longer = "--gin_bindings=train.total_steps = 5"
    assert call(capsys, *new, longer)[0] == 0
    assert call(capsys, "--run_dir=new", "--init_from=old@4", "--seed=5", longer)[0] == 0
    code, last = call(capsys, "--run_dir=new", "--init_from=old@2", "--seed=5", longer)
    assert code == 2 and re.search(r"`train.init_from` is .*/old@4' there and .*/old@2' here", last)
    code, last = call(capsys, "--run_dir=other", "--init_from=old@2")
    assert (code, last) == (
        2,
        f"bin/train: error: `init_from` must name a run directory. Received: '{tmp_path}/old@2', "
        "which does not exist",
    )
    assert not pathlib.Path("other").exists()


def test_the_plan_names_it(capsys, tmp_path):
    assert call(capsys, "--run_dir=old")[0] == 0
    plan = ["--gin_file=tiny.gin", "--device=cpu", "--init_from=old@2", "--run_dir=new"]
    assert train.main([*plan, "--dry_run"]) == 0
    out = capsys.readouterr().out
    assert f"{tmp_path}/old@2" in out and out.count(SAME_SEED) == 1
    assert train.main([*plan, "--dry_run", "--seed=1"]) == 0
    assert "same seed" not in capsys.readouterr().out
    assert train.main(plan) == 0 and SAME_SEED in capsys.readouterr().out
    assert train.main([*plan, "--dry_run"]) == 0
    assert "same seed" not in capsys.readouterr().out  # it has begun, and reads nothing of the other


def test_a_sweep_takes_it_as_a_binding(capsys, tmp_path):
    assert call(capsys, "--run_dir=old")[0] == 0

    def answer(text):
        arms = [("a", ["tiny.gin"], [f"train.init_from = {text!r}"])]
        return next(Checks(Request(arms, [0], ["runs"], "cpu", False, False)).answers())

    # Its runs are started elsewhere, each from the newest checkpoint of then.
    assert parse_bindings(answer("old").config)["train.init_from"] == f"'{tmp_path}/old'"
    with pytest.raises(
        ValueError, match="arm 'a': `init_from` must name a step with a checkpoint: 2, 4. Rec"
    ):
        answer("old@3")
    (tmp_path / "config.gin").write_text(answer("old").config)
    arguments = ["--gin_file=config.gin", "--run_dir=runs/a-seed0", "--device=cpu", "--seed=0"]
    assert train.main(arguments) == 0
    assert recorded("runs/a-seed0") == f"'{tmp_path}/old@4'"
    (found,) = answer("old").seeds
    assert found.is_finished and found.step == 4


def test_an_empty_name(capsys):
    message = "bin/train: error: --init_from must name a run directory. Received: ''"
    assert call(capsys, "--init_from=") == (2, message)


def test_a_configuration_with_first_weights_is_checked_once(capsys, monkeypatch):
    assert call(capsys, "--run_dir=old")[0] == 0
    checked, check = [], TrainConfig.__post_init__

    def noted(config):
        checked.append(config.init_from)
        check(config)

    monkeypatch.setattr(TrainConfig, "__post_init__", noted)
    assert call(capsys, "--run_dir=new", "--init_from=old", "--seed=5")[0] == 0
    assert len(checked) == 1
    with pytest.raises(ValueError, match="`init_from` must name a run, such as 'runs/a' .* Received: ''"):
        small = TrainConfig(RegressionTask(), tp.optimizers.sgd(0.1), 1)
        small.initialized_from("")
