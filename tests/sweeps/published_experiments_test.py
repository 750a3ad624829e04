"""Experiments of published numbers train, each arm for a few steps on made-up images."""

from typing import Any

import gin
import pytest

from tests.made_up_data import data_at_hand, no_configuration_left  # noqa: F401
from tests.training.graph_loop_test import run, values_of
from tfplastic.configuration import gin_config, unused
from tfplastic.reports import published
from tfplastic.sweeps import experiment_file
from tfplastic.training import Loop, TrainConfig

SMALL = [
    *("train.total_steps = 6", "train.log_period = 3", "train.evaluation_period = 3"),
    *("train.checkpoint_period = 6", "train.diagnostics_period = 6"),
]
OF_PIXELS = [
    "PermutedPixels.num_examples = 48",
    "PermutedPixels.steps_per_task = 3",
    "PermutedPixels.epochs_per_task = None",
]
OF_LABELS = ["RandomLabelTask.num_examples = 48", "RandomLabelTask.steps_per_task = 3"]
OF_BITS = [
    *("SlowlyChangingRegression.replicates = 3", "SlowlyChangingRegression.steps_per_task = 3"),
    "ReplicateScores.period = 3",
]
FAST = ("kumar_table2", "l2_init")
ARMS = [
    pytest.param(
        row.experiment,
        arm.name,
        id=f"{row.name}-{arm.name}",
        marks=() if (row.name, arm.name) == FAST else pytest.mark.slow,
    )
    for row in published.ROWS
    for arm in experiment_file.read(row.experiment).arms
]


@pytest.mark.parametrize(("experiment", "name"), ARMS)
def test_an_arm_trains(experiment, name, tmp_path):
    (arm,) = [arm for arm in experiment_file.read(experiment).arms if arm.name == name]
    kind = OF_BITS if "regression" in experiment else OF_LABELS if "random_label" in experiment else OF_PIXELS
    score = "error" if "regression" in experiment else "accuracy"
    sources = gin_config.parse(arm.files, [*arm.bindings, *SMALL, *kind])
    loop: Any = Loop(gin.get_configurable(TrainConfig)())
    unused.check_all_bindings_used(sources)
    _, code = run(tmp_path, loop)
    assert code == 0 and len(values_of(tmp_path, f"train/{score}")) == 2
    average = values_of(tmp_path, f"evaluation/average_online_{score}")
    assert average[-1] == pytest.approx(sum(values_of(tmp_path, f"train/{score}")) / 2, rel=1e-6)
    if "table2" in experiment:
        assert len(values_of(tmp_path, "evaluation/backward_transfer")) == 1
