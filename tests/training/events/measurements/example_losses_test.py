"""Diagnostics of a run see the regularizers of its network, as its gradient steps do: against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

import tfplastic as tp
from tests.training.graph_loop_test import make_loop, run, values_of
from tests.training.regression_task import RegressionTask
from tfplastic import diagnostics, networks
from tfplastic._keras import keras
from tfplastic.tasks import TaskLoss
from tfplastic.training.events.measurements.diagnostics import task_snapshot
from tfplastic.training.events.measurements.example_losses import example_losses

L2 = 0.7


def linear(outputs, *, input_shape, seed, l2=L2):
    """A dense layer with an L2 regularizer."""
    dense = keras.layers.Dense(
        outputs,
        kernel_initializer=keras.initializers.GlorotUniform(seed=seed if isinstance(seed, int) else 0),
        kernel_regularizer=keras.regularizers.L2(l2),
        name="output",
    )
    return keras.Sequential([keras.layers.InputLayer(input_shape), keras.layers.Flatten(), dense])


class Regularized(RegressionTask):
    """Linear regression, whose loss has the regularizer if `counts` says so."""

    def __init__(self, counts=True):
        super().__init__()
        self.counts = counts

    def build(self, seed):
        self.seed = seed
        self.model = linear(1, input_shape=(3,), seed=seed)

    def loss(self, model, batch, training=False):
        output = super().loss(model, batch, training)
        return output._replace(loss=output.loss + sum(model.losses)) if self.counts else output


@pytest.mark.parametrize("counts", [True, False])
def test_the_tasks_loss_is_the_one_that_a_step_takes(counts):
    task = Regularized(counts)
    task.build(0)
    batch, inputs = task.diagnostics_batch()
    snapshot = task_snapshot(task, batch, inputs)
    l2 = L2 if counts else 0.0
    x, y = (np.asarray(each, np.float64) for each in batch)
    w, b = (each.numpy().astype(np.float64) for each in task.model.trainable_variables)
    errors = x @ w + b - y
    loss = np.mean(errors**2) + l2 * np.sum(w**2)
    gradient = np.concatenate([(2 * x.T @ errors / len(x) + 2 * l2 * w)[:, 0], [2 * errors.mean()]])
    extended = np.concatenate([x, np.ones((len(x), 1))], 1)
    hessian = 2 * extended.T @ extended / len(x) + 2 * l2 * np.diag([1.0, 1.0, 1.0, 0.0])
    assert float(snapshot.loss) == pytest.approx(loss, rel=1e-5)
    assert diagnostics.gradient_norm(snapshot)["all"] == pytest.approx(np.linalg.norm(gradient), rel=1e-5)
    assert diagnostics.sharpness(snapshot, tol=1e-5)["all"] == pytest.approx(
        np.linalg.eigvalsh(hessian)[-1], rel=1e-3
    )


def test_the_next_task_too(tmp_path):
    task = tp.tasks.PermutedPixels("digits", linear, num_examples=40, batch_size=8, steps_per_task=5)
    event = tp.training.NextTaskDiagnostics([diagnostics.gradient_norm], 1, 24)
    loop = make_loop(task=task, events=[event], total_steps=5, learning_rate=1e-12)
    weights = loop.task.model.trainable_variables[0].numpy().astype(np.float64)
    state = task.initial_state()
    inputs, labels = task.examples(state, tf.range(24), tf.constant([0, 0]))
    x = np.asarray(inputs, np.float64).reshape(24, -1)
    p = np.exp(x @ weights)
    p /= p.sum(1, keepdims=True)
    error = (p - np.eye(10)[labels.numpy()]) / 24
    of_kernel = x.T @ error + 2 * L2 * weights
    expected = np.sqrt(np.sum(of_kernel**2) + np.sum(error.sum(0) ** 2))
    run(tmp_path, loop)
    assert values_of(tmp_path, "next_task/gradient_norm/all")[0] == pytest.approx(expected, rel=1e-4)


def test_a_sum_over_learners_stays_as_it_is():
    class Learners(Regularized):
        score_shape = (2,)

    task = Learners()
    task.build(0)
    batch, _ = task.diagnostics_batch()
    output = task.loss(task.model, batch)
    assert isinstance(output, TaskLoss)
    np.testing.assert_array_equal(example_losses(task, batch), output.per_example_loss)


def test_without_losses_of_the_network_nothing_is_added():
    task = RegressionTask()
    task.build(0)
    batch, _ = task.diagnostics_batch()
    losses = task.loss(task.model, batch).per_example_loss
    np.testing.assert_array_equal(example_losses(task, batch), losses)
    assert networks.mlp(1, (2,), input_shape=(3,)).losses == []
