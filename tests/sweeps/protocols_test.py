"""Protocols that no published number here is of train for a few steps, on made-up images of their shapes."""

from typing import Any

import gin
import numpy as np
import pytest

from tests.made_up_data import no_configuration_left  # noqa: F401
from tests.training.graph_loop_test import run, values_of
from tfplastic.configuration import gin_config, gin_files, unused
from tfplastic.training import Loop, TrainConfig

ROOT = gin_files.root()
SHORT = [
    *("train.total_steps = 8", "train.log_period = 4", "train.evaluation_period = 4"),
    *("train.checkpoint_period = 8", "train.diagnostics_period = 8"),
]
# What makes each small: eight steps are two tasks.
SMALL = {
    "ash_warm_start_cifar10": [
        *("WarmStart.num_examples = 24", "WarmStart.batch_size = 4", "WarmStart.epochs_per_task = 1"),
        "resnet18.width = 0.1",
    ],
    "gradual_random_label_mnist": ["RandomLabelTask.num_examples = 48", "RandomLabelTask.steps_per_task = 4"],
    "kumar_5_plus_1_cifar100": [
        *("ClassSplit.examples_per_class = 8", "ClassSplit.batch_size = 4", "ClassSplit.steps_per_task = 4"),
    ],
    "kumar_continual_imagenet": [
        *("ClassSplit.examples_per_class = 2", "ClassSplit.batch_size = 2", "ClassSplit.steps_per_task = 4"),
    ],
    "lyle_partial_label_reset_cifar10": [
        *("PartialLabelReset.num_examples = 48", "PartialLabelReset.batch_size = 4"),
        "PartialLabelReset.steps_per_task = 4",
    ],
    "lyle_offset_regression_mnist": [
        *("OffsetRegression.num_examples = 48", "OffsetRegression.batch_size = 4"),
        "OffsetRegression.steps_per_task = 4",
    ],
    "lyle_random_network_regression_mnist": [
        *("RandomNetworkRegression.num_examples = 48", "RandomNetworkRegression.batch_size = 4"),
        "RandomNetworkRegression.steps_per_task = 4",
    ],
    "upgd_two_inputs": ["TwoInputRegression.steps_per_task = 4"],
    "upgd_label_permuted_emnist": ["PermutedLabels.num_examples = 48", "PermutedLabels.steps_per_task = 4"],
}
FAST = "kumar_5_plus_1_cifar100"
# Shape of an image, and number of classes.
DATA = {
    "mnist": ((28, 28), 10),
    "cifar10": ((32, 32, 3), 10),
    "cifar100": ((32, 32, 3), 100),
    "emnist": ((28, 28), 47),
    "imagenet32": ((32, 32, 3), 1000),
}


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """Eight images of each class."""
    generator = np.random.default_rng(0)
    for name, (shape, classes) in DATA.items():
        arrays = {}
        for part, count in (("train", 8 * classes), ("test", 10)):
            arrays[f"x_{part}"] = generator.integers(256, size=(count, *shape), dtype=np.uint8)
            arrays[f"y_{part}"] = np.arange(count) % classes
        np.savez(tmp_path / f"{name}.npz", allow_pickle=False, **arrays)
    monkeypatch.setenv("TFPLASTIC_DATA_DIR", str(tmp_path))


def test_every_protocol_is_tested_here_or_with_its_number():
    experiments = "".join(path.read_text() for path in ROOT.glob("gin/published/*.gin"))
    names = {path.stem for path in ROOT.glob("gin/protocols/*.gin")}
    assert {name for name in names if f"gin/protocols/{name}.gin" not in experiments} == set(SMALL)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == FAST else pytest.mark.slow) for name in SMALL]
)
def test_a_protocol_trains(name, tmp_path):
    sources = gin_config.parse([f"gin/protocols/{name}.gin"], [*SHORT, *SMALL[name]])
    loop: Any = Loop(gin.get_configurable(TrainConfig)())
    unused.check_all_bindings_used(sources)
    _, code = run(tmp_path / "run", loop)
    assert code == 0 and len(values_of(tmp_path / "run", "train/loss")) == 2
    assert max(values_of(tmp_path / "run", "evaluation/task")) == 1
    measured = [values_of(tmp_path / "run", f"evaluation/{name}") for name in ("accuracy", "error")]
    assert any(measured) and np.isfinite(sum(measured, [])).all()
