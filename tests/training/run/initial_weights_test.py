"""First weights of a run from a checkpoint of another: those alone, and by the same layers and shapes."""

import functools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfplastic as tp
from tests.training.graph_loop_test import make_loop, make_task, run
from tests.training.runs import tree
from tfplastic.training import BrownianTwin, Loop, TrainConfig
from tfplastic.training.run.config_differences import differences
from tfplastic.training.run.initial_source import is_same_source, parse_source
from tfplastic.training.run.initial_weights import find_source

SIZES = dict(total_steps=6, checkpoint_period=2, diagnostics_period=100, evaluation_period=100)
NEWEST = "checkpoints/step_000000000006"


def loop_of(init_from=None, network: Any = None, **config) -> Any:
    settings: dict[str, Any] = dict(num_examples=16, steps_per_task=10, batch_size=8)
    task = tp.tasks.RandomLabelTask("digits", network, **settings) if network else make_task(**settings)
    return make_loop(task=task, compiler="graph", init_from=init_from, **{**SIZES, **config})


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A run with checkpoints of steps 4 and 6, and its weights after step 6."""
    path = tmp_path_factory.mktemp("source")
    loop, _ = run(path, loop_of())
    (path / "operative_config.gin").write_text("train.seed = 0\n")
    return path, loop.task.model.get_weights()


def equal(one, other):
    return all(np.array_equal(*pair) for pair in zip(one, other, strict=True))


def test_weights_alone_are_taken(source, tmp_path):
    path, weights = source
    before = tree(path)
    loop = loop_of(str(path), seed=1, twin=BrownianTwin())
    assert equal(loop.task.model.get_weights(), weights)
    assert equal(loop.config.twin.model.get_weights(), weights)
    assert all(not np.any(each) for each in loop.config.optimizer.variables[2:])  # after step and rate
    assert int(loop.config.optimizer.iterations) == 0
    run(tmp_path, loop)
    assert int(loop.config.optimizer.iterations) == 6 and not equal(loop.task.model.get_weights(), weights)
    assert tree(path) == before


def test_a_directory_with_a_step_like_name_is_taken_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in ("lr@5", "lr@5@6"):
        (tmp_path / text.removesuffix("@6")).mkdir(exist_ok=True)
        directory, step = parse_source(text)
        assert (str(directory), step) == ("lr@5", 6 if text.endswith("@6") else None)
    assert parse_source("other@5") == (Path("other"), 5)
    assert is_same_source("lr@5@6", "lr@5") and not is_same_source("lr@5@6", "lr")


@pytest.mark.slow  # initial_run_test.py has the same of a smaller task
def test_a_run_that_is_resumed_reads_nothing(source, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(source[0], copy)
    whole, _ = run(tmp_path / "whole", loop_of(f"{copy}@4"))
    # At a step that has a checkpoint: how many updates there are is a matter of how fast the machine is.
    _, code = run(tmp_path / "new", loop_of(f"{copy}@4"), interrupt_at_step=2)
    assert (code, json.loads((tmp_path / "new/status.json").read_text())["step"]) == (143, 2)
    shutil.rmtree(copy)
    settings: Any = dict(log_period=8, compiler="graph", init_from=f"{copy}@4") | SIZES
    config = TrainConfig(make_task(num_examples=16), tp.optimizers.adam(1e-2), **settings)
    resumed, _ = run(tmp_path / "new", Loop(config, is_new=False))
    assert equal(resumed.task.model.get_weights(), whole.task.model.get_weights())


def test_a_target_network_follows(source):
    network = functools.partial(tp.networks.mlp, hidden=(16, 8))
    task = tp.rl.ClassificationMdpTask(
        "digits", tp.tasks.true_label_mdp, tp.rl.dqn, network, num_examples=64, warm_up_agent_steps=40
    )
    loop = make_loop(task=task, compiler="graph", init_from=f"{source[0]}@6", **SIZES)
    assert equal(loop.task.model.get_weights(), source[1])
    assert equal(task.trackables()["target_model"].get_weights(), source[1])


OTHER = {  # hidden layers and norm, and the first weights that differ there and here
    "shape": ((16, 9), None, "'hidden2/kernel' [16, 8]", "'hidden2/kernel' [16, 9]"),
    "layers": ((16, 8), "layer", "'hidden2/kernel' [16, 8]", "'hidden1_norm/gamma' [16]"),
    "more": ((16, 8, 8), None, "'output/kernel' [8, 10]", "'hidden3/kernel' [8, 8]"),
}


@pytest.mark.parametrize("name", OTHER)
def test_another_network_is_refused_in_one_line(source, name):
    hidden, norm, there, here = OTHER[name]
    with pytest.raises(ValueError) as error:
        loop_of(f"{source[0]}@6", functools.partial(tp.networks.mlp, hidden=hidden, norm=norm))
    rule = "`init_from` must name a run whose network has the same layers, of the same shapes"
    received = f"{there} float32 in {source[0] / NEWEST}, where this run has {here} float32"
    assert str(error.value) == f"{rule}. Received: {received}"


def test_there_is_no_such_checkpoint(source, tmp_path):
    def message(text):
        with pytest.raises(ValueError) as error:
            find_source(text)
        return str(error.value)

    path = source[0]
    rule = "`init_from` must name a run directory. Received"
    assert message(f"{tmp_path}/a") == f"{rule}: '{tmp_path}/a', which does not exist"
    assert message(str(tmp_path)).startswith(f"{rule}: '{tmp_path}', which holds no run")
    assert message(f"{path}@5") == (
        f"`init_from` must name a step with a checkpoint: 4, 6. Received: '{path}@5'"
    )
    (tmp_path / "operative_config.gin").write_text("")
    rule = "`init_from` must name a run with a checkpoint"
    assert message(str(tmp_path)) == f"{rule}. Received: '{tmp_path}', which has none"


def test_a_damaged_checkpoint(source, tmp_path, caplog):
    path = tmp_path / "copy"
    shutil.copytree(source[0], path)
    (path / NEWEST / "variables.index").write_bytes(b"")
    before = tree(path)
    assert find_source(str(path)).step == 4
    assert f"{path / NEWEST} is damaged (variables.index is empty); the older" in caplog.text
    with pytest.raises(ValueError) as error:
        find_source(f"{path}@6")
    rule = "`init_from` must name a checkpoint that can be read; others of the run: 4"
    damage = "where step_000000000006 is damaged: variables.index is empty"
    assert str(error.value) == f"{rule}. Received: '{path}@6', {damage}"
    assert tree(path) == before


@pytest.mark.parametrize("value", ["", 3, ["a"]])
def test_values(value):
    with pytest.raises(ValueError, match="`init_from` must name a run, such as 'runs/a' or 'runs/a@5000'"):
        loop_of(value)


@pytest.mark.parametrize(
    ("old", "new", "are_same"),
    [
        ("'/a@5'", "'/a@5'", True),
        ("'/a@5'", "'/a'", True),  # the newest when the run began
        ("'/a@5'", "'/a@6'", False),
        ("'/a@5'", "'/b'", False),
        ("'/a@5'", "None", False),
        ("None", "'/a'", False),
    ],
)
def test_runs_are_told_apart_by_their_first_weights(old, new, are_same):
    found = list(differences({"train.init_from": old}, {"train.init_from": new}))
    assert found == ([] if are_same else [("train.init_from", old, new)])
    without = list(differences({}, {"train.init_from": new}))
    assert len(without) == (new != "None")
