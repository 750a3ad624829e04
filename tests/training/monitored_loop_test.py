"""A network with activation monitors, in the loop: trained as without them."""

import numpy as np
import pytest

from tfplastic import tasks
from tfplastic.networks import mlp
from tfplastic.optimizers import adam
from tfplastic.training import Loop, RunDirectory, TrainConfig


def make_loop(seed=0, total_steps=20, **network):
    task = tasks.RandomLabelTask(
        "digits",
        lambda num_outputs, **more: mlp(num_outputs, (8,), **network, **more),
        num_examples=64,
        steps_per_task=10,
        batch_size=16,
    )
    return Loop(TrainConfig(task, adam(0.01), total_steps=total_steps, seed=seed, compiler="graph"))


def open_directory(path, total_steps=20):
    return RunDirectory.open(path, "", f"train.total_steps = {total_steps}")


def trained(loop, path, total_steps=20):
    with open_directory(path, total_steps) as directory:
        assert loop.run(directory) == 0
    return loop


def monitored(loop):
    layer = loop.task.model.get_layer("hidden1_monitor")
    return {name: values.numpy() for name, values in layer.result().items()}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return trained(make_loop(monitor=True), tmp_path_factory.mktemp("runs") / "alone")


def test_weights_are_those_of_a_run_without_monitors(alone, tmp_path):
    plain = trained(make_loop(), tmp_path / "plain")
    for one, other in zip(
        plain.task.model.trainable_variables, alone.task.model.trainable_variables, strict=True
    ):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_each_gradient_step_counts_once_and_evaluations_do_not(alone):
    monitor = alone.task.model.get_layer("hidden1_monitor")
    assert float(monitor.total_weight) == pytest.approx(1 - 0.99**20, rel=1e-5)
    result = monitored(alone)
    assert (result["mean_abs"] == result["mean"]).all()  # after a ReLU
    assert (result["variance"] > 0).any() and (0 < result["zero_fraction"]).any()


def test_a_resumed_run_goes_on_with_its_statistics(alone, tmp_path):
    for total_steps in (10, 20):
        loop = trained(make_loop(total_steps=total_steps, monitor=True), tmp_path, total_steps)
    for name, values in monitored(alone).items():
        np.testing.assert_array_equal(monitored(loop)[name], values, err_msg=name)
