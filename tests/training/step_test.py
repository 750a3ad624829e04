"""The gradient step: its update, its report, and its error when the loss is not finite."""

import numpy as np
import pytest
import tensorflow as tf

from tests.training.regression_task import RegressionTask
from tfplastic._keras import keras
from tfplastic.training import GradientStep


def linear_task():
    """A task with a linear model, whose gradient is easily written down."""
    task = RegressionTask()
    task.build(0)
    initializer = keras.initializers.RandomUniform(-1, 1, seed=0)  # with some weights an error is nearly 0
    output = keras.layers.Dense(1, kernel_initializer=initializer, name="output")
    task.model = keras.Sequential([keras.layers.InputLayer((3,)), output])
    return task


def test_update_is_that_of_gradient_descent_on_the_mean_squared_error():
    task = linear_task()
    x, y = task.next()
    kernel, bias = (variable.numpy().astype(np.float64) for variable in task.model.trainable_variables)
    step = GradientStep(task, task.model, keras.optimizers.SGD(0.1))

    output = step((x, y))

    error = x.astype(np.float64) @ kernel + bias - y
    gradient = 2 * x.T.astype(np.float64) @ error / len(x), 2 * error.mean(axis=0)
    np.testing.assert_allclose(
        task.model.trainable_variables[0].numpy(), kernel - 0.1 * gradient[0], rtol=1e-5
    )
    np.testing.assert_allclose(task.model.trainable_variables[1].numpy(), bias - 0.1 * gradient[1], rtol=1e-5)
    np.testing.assert_allclose(output.loss, np.mean(error**2), rtol=1e-5)
    np.testing.assert_allclose(output.per_example_loss, error[:, 0] ** 2, rtol=1e-5)
    norm = np.sqrt(sum(np.sum(part**2) for part in gradient))
    np.testing.assert_allclose(output.metrics["gradient_norm"], norm, rtol=1e-5)


def test_a_variable_that_the_loss_does_not_touch_stays():
    task = linear_task()
    unused = keras.layers.Dense(2, name="unused")
    unused.build((None, 3))
    task.model.unused = unused
    before = unused.kernel.numpy()
    GradientStep(task, task.model, keras.optimizers.SGD(0.1))(task.next())
    np.testing.assert_array_equal(unused.kernel.numpy(), before)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_loss_that_is_not_finite_raises_and_leaves_the_weights(compiled):
    task = linear_task()
    step = GradientStep(task, task.model, keras.optimizers.SGD(0.1))
    step = tf.function(step, autograph=False) if compiled else step
    step(task.next())
    x, y = task.next()
    before = [variable.numpy() for variable in task.model.variables]
    with pytest.raises(tf.errors.InvalidArgumentError, match=GradientStep.NOT_FINITE):
        step((x, y * np.inf))
    for variable, value in zip(task.model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_eager_and_compiled_steps_agree_within_rounding():
    weights = []
    for compile_step in (lambda step: step, lambda step: tf.function(step, autograph=False)):
        task = RegressionTask()
        task.build(0)
        step = compile_step(GradientStep(task, task.model, keras.optimizers.RMSprop(0.01, centered=True)))
        for _ in range(10):
            step(task.next())
        weights.append(np.concatenate([variable.numpy().ravel() for variable in task.model.variables]))
    # Not bit for bit: the compiled program fuses a matrix product with its bias and nonlinearity.
    np.testing.assert_allclose(*weights, rtol=1e-5, atol=1e-6)


def test_gradients_of_embeddings_stay_sparse_on_one_device(monkeypatch):
    task = linear_task()
    layers = [keras.Input((3,), dtype="int32"), keras.layers.Embedding(9, 2), keras.layers.Flatten()]
    task.model = keras.Sequential([*layers, keras.layers.Dense(1)])
    optimizer = keras.optimizers.SGD(0.1)
    step = GradientStep(task, task.model, optimizer)
    kinds = []
    monkeypatch.setattr(
        optimizer, "apply_gradients", lambda pairs: kinds.extend(type(each) for each, _ in pairs)
    )
    step((np.array([[0, 3, 3], [8, 0, 1]], np.int32), np.ones((2, 1), np.float32)))
    assert kinds[0] is tf.IndexedSlices and not any(kind is tf.IndexedSlices for kind in kinds[1:])


def test_does_not_retrace():
    task = linear_task()
    step = tf.function(GradientStep(task, task.model, keras.optimizers.SGD(0.1)), autograph=False)
    for _ in range(3):
        step(tf.nest.map_structure(tf.constant, task.next()))
    assert step.experimental_get_tracing_count() == 1
