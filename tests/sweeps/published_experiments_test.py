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
OF_PROBES = [
    "Probe.num_steps = 3",
    "Probe.baselines = 2",
    "Probe.num_targets = 2",
    "train.probe_period = [6]",
]
FAST = (
    *("kumar_table2-l2_init", "kumar_permuted_mnist-l2", "kumar_random_label_mnist-baseline"),
    *("upgd_permuted_mnist-upgd_w", "dohare_permuted_mnist-backprop"),
    *(
        "slowly_changing_regression_start-relu-sgd",
        "early_warning-baseline",
        "methods-random_labels-baseline",
    ),
)
EXPERIMENTS = {row.name: row.experiment for row in (*published.ROWS, *published.STUDIES)}
ARMS = [
    pytest.param(
        experiment,
        arm.name,
        id=f"{name}-{arm.name}",
        marks=() if f"{name}-{arm.name}" in FAST else pytest.mark.slow,
    )
    for name, experiment in EXPERIMENTS.items()
    for arm in experiment_file.read(experiment).arms
]


def test_continual_backprop_next_to_published_numbers_is_that_of_the_released_code():
    """Its correction of biases adds 0: f_hat is set to 0 before. Kumar's Adam counts steps per entry."""
    arms = [
        (experiment, arm)
        for experiment in EXPERIMENTS.values()
        for arm in experiment_file.read(experiment).arms
        if "gin/mitigations/continual_backprop.gin" in arm.files
    ]
    assert len(arms) == 6
    for experiment, arm in arms:
        assert "ContinualBackprop.correct_bias = False" in arm.bindings, experiment
        assert ("gin/optimizers/per_entry_steps.gin" in arm.files) is ("dohare" not in experiment), experiment


def test_penalties_of_tuned_coefficients_are_those_of_the_released_code():
    for name in ("kumar_permuted_mnist", "kumar_random_label_mnist", "early_warning"):
        arms = {arm.name: arm.bindings for arm in experiment_file.read(EXPERIMENTS[name]).arms}
        assert "L2Init.distance = 'half_l2'" in arms["l2_init"] and "WeightDecay.half = True" in arms["l2"]


@pytest.mark.parametrize(("experiment", "name"), ARMS)
def test_an_arm_trains(experiment, name, tmp_path):
    (arm,) = [arm for arm in experiment_file.read(experiment).arms if arm.name == name]
    has_labels = "random_label" in experiment or name.startswith("random_labels-")
    kind = OF_BITS if "regression" in experiment else OF_LABELS if has_labels else OF_PIXELS
    score = "error" if "regression" in experiment else "accuracy"
    probes = OF_PROBES if "methods" in experiment else []
    events = ["NextTaskDiagnostics.task_period = 2"] if "NextTask" in str(arm.bindings) else []
    sources = gin_config.parse(arm.files, [*arm.bindings, *SMALL, *kind, *probes, *events])
    loop: Any = Loop(gin.get_configurable(TrainConfig)())
    unused.check_all_bindings_used(sources)
    _, code = run(tmp_path, loop)
    assert code == 0 and len(values_of(tmp_path, f"train/{score}")) == 2
    average = values_of(tmp_path, f"evaluation/average_online_{score}")
    assert average[-1] == pytest.approx(sum(values_of(tmp_path, f"train/{score}")) / 2, rel=1e-6)
    if "table2" in experiment:
        assert len(values_of(tmp_path, "evaluation/backward_transfer")) == 1
    if events:
        assert len(values_of(tmp_path, "next_task/sharpness/all")) == 2
    if probes:
        assert len(values_of(tmp_path, "probe/plasticity")) == 1
