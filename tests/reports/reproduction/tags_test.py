"""Tags of the made-up runs, against those that runs of the small forms write."""

from typing import Any

import gin
import pytest

from tests.made_up_data import data_at_hand, no_configuration_left  # noqa: F401
from tests.reports.reproduction import made_up_grid
from tests.training.graph_loop_test import run
from tfplastic.configuration import gin_config
from tfplastic.reports import read_runs
from tfplastic.sweeps import experiment_file
from tfplastic.training import Loop, TrainConfig

SHORT = [
    *("train.total_steps = 6", "train.log_period = 3", "train.evaluation_period = 3"),
    *("train.checkpoint_period = 6", "train.diagnostics_period = 3"),
]
OF_MDP = ["ClassificationMdpTask.batch_size = 32", "ClassificationMdpTask.diagnostics_batch_size = 64"]
OF_PROBES = [
    *("train.probe_period = [0, 6]", "train.share_first_probe = False", "Probe.num_steps = 4"),
    *("Probe.num_targets = 2", "Probe.num_inputs = 50"),
]
CASES = {
    "fig02_both_losses": (
        "gin/paper/small/fig02.gin",
        "gradient_descent",
        [
            "train.diagnostics_periods = {'gradient_covariance': [3, 6], 'task_gradient_covariance': [3, 6],"
            " 'hessian_spectral_density': [0, 6]}",
            *("gradient_covariance.num_examples = 32", "hessian_spectral_density.num_steps = 8"),
            "hessian_spectral_density.num_probes = 1",
        ],
    ),
    "fig03": ("gin/paper/small/fig03.gin", "sparse-mnist-mlp", OF_PROBES),
    "fig12": ("gin/paper/small/fig12.gin", "hard-mnist-mlp-none", []),
    "fig14": (
        "gin/paper/small/fig14.gin",
        "easy-layer_norm",
        ["train.diagnostics_periods = {'sharpness': [0, 3, 6]}"],
    ),
    "fig17": ("gin/paper/small/fig17.gin", "easy-two_hot", OF_PROBES),
}


def without_layer(tag):
    """Returns a tag without its layer, which made-up runs have fewer of; that of the whole network stays."""
    return tag if tag.endswith("/all") or tag.count("/") < 2 else tag.rpartition("/")[0]


@pytest.mark.slow
@pytest.mark.parametrize("folder", CASES)
def test_made_up_runs_have_the_tags_of_real_ones(folder, tmp_path):
    experiment, name, bindings = CASES[folder]
    (arm,) = [each for each in experiment_file.read(experiment).arms if each.name == name]
    gin_config.parse(arm.files, [*arm.bindings, *SHORT, *OF_MDP, *bindings])
    loop: Any = Loop(gin.get_configurable(TrainConfig)())
    assert run(tmp_path / f"{name}-seed0", loop)[1] == 0
    runs = read_runs(tmp_path)
    scalars, arrays = made_up_grid.MAKE[folder](name, 0)
    assert {*map(without_layer, scalars)} <= {*map(without_layer, runs.tags())}
    assert set(arrays) <= set(runs.array_tags())
