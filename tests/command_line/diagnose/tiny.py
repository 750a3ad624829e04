"""A tiny run and a tiny model to diagnose."""

import contextlib
import io
import pathlib

import gin
import numpy as np
import pytest

from tests.training.regression_task import RegressionTask
from tfplastic.configuration import gin_config
from tfplastic.training import Loop, RunDirectory, TrainConfig

gin.external_configurable(RegressionTask, module="tests.diagnose")


@pytest.fixture
def undisturbed(tmp_path, monkeypatch):
    """An empty working directory; the program's changes to the environment and to gin end with the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    yield
    gin.clear_config()


def train(path, total_steps=6, *more):
    """Runs the tiny task to `total_steps`, with gin as `bin/train` has it; each second step a checkpoint."""
    bindings = (
        "train.task = @RegressionTask()",
        "train.optimizer = @centered_rmsprop()",
        "centered_rmsprop.learning_rate = 0.01",
        f"train.total_steps = {total_steps}",
        "train.checkpoint_period = 2",
        "train.diagnostics = [@sharpness]",
        "train.diagnostics_period = 2",
        "train.evaluation_period = 100",
        "train.seed = 3",
        *more,
    )
    gin_config.parse([], bindings)
    loop = Loop(gin.get_configurable(TrainConfig)())
    with RunDirectory.open(path, gin_config.config_text(), gin_config.operative_text()) as directory:
        with contextlib.redirect_stderr(io.StringIO()):
            assert loop.run(directory) == 0
    return loop


def tree(path):
    """The content and the time of each file."""
    return {
        str(file.relative_to(path)): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in pathlib.Path(path).rglob("*")
        if file.is_file()
    }


def arrays(path):
    """The arrays of an `.npz` file."""
    with np.load(path) as file:
        return dict(file)


def metrics(path):
    """{(step, tag): value} of a run."""
    rows = [line.split(",") for line in (path / "metrics.csv").read_text().splitlines()[1:]]
    return {(int(step), tag): float(value) for step, tag, value in rows}


def regression(keras, path, num_examples=10, optimizer=None):
    """A linear model without bias with its data, whose Hessian is 2 X^T X / N; returned."""
    model = keras.Sequential([keras.layers.InputLayer((5,)), keras.layers.Dense(1, use_bias=False)])
    if optimizer is not None:
        model.compile(optimizer, "mse")
    model.save(path)
    x = np.random.default_rng(0).normal(size=(num_examples, 5))
    np.savez("data.npz", x=x, y=x.sum(axis=1))
    return 2 * x.T @ x / num_examples
