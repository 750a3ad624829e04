"""ReDo against its rule in float64, and the units that it leaves alone."""

import numpy as np
import pytest
import tensorflow as tf

from tests.mitigations.oracle import NETWORKS, Oracle
from tests.mitigations.small_run import SmallRun, network
from tfplastic._keras import keras
from tfplastic.mitigations import ReDo
from tfplastic.optimizers import adam, sgd

PERIOD = 3


@pytest.mark.parametrize(("name", "max_units"), list(zip(NETWORKS, (None, 2), strict=True)))
def test_the_rule(tmp_path, name, max_units):
    threshold = 0.6
    oracle = Oracle(ReDo(PERIOD, threshold, max_units), 12, name, silent=(3, 5))
    numbers = []
    for step in oracle.steps():
        if step % PERIOD:
            continue
        chosen = []
        for h in oracle.hidden:
            activity = np.abs(h).mean(axis=0)
            dormant = np.flatnonzero(activity / activity.mean() <= threshold)
            least = dormant[np.argsort(activity[dormant], kind="stable")][:max_units]
            chosen.append(np.isin(np.arange(len(activity)), least))
        oracle.reset(chosen, oracle.fresh(step))
        numbers.append([which.sum() for which in chosen])
    assert np.all(np.sum(numbers, axis=0) >= 2)  # in every layer
    oracle.check(tmp_path)


def test_silent_units_are_reset_without_a_trace_in_the_outputs():
    training = SmallRun(model=network(norm=None)).train()
    model = training.model
    first = model.layers[0]
    first.bias.assign([-1e3, 0.1, 0.1, -1e3, 0.1, 0.1])
    before, kernel = model(training.inputs[0]).numpy(), first.kernel.numpy()
    training.act(ReDo(threshold=0.0))
    np.testing.assert_array_equal(model(training.inputs[0]), before)
    changed = (first.kernel.numpy() != kernel).any(axis=0)
    np.testing.assert_array_equal(changed, [True, False, False, True, False, False])
    np.testing.assert_array_equal(first.bias.numpy()[changed], 0)


def test_the_first_update_of_a_reset_unit_is_that_of_its_new_gradient_alone():
    training = SmallRun(model=network(norm=None), optimizer=sgd(0.1, momentum=0.9)).train()
    hidden, reader = training.model.layers[0], training.model.layers[2]
    hidden.bias.assign([-1e3, 0.1, 0.1, 0.1, 0.1, 0.1])
    training.act(ReDo(threshold=0.0))
    step = tf.constant(1, tf.int64)
    gradients = training._differentiate(step)[1]
    training._step(step)
    expected = -0.1 * gradients[2].numpy()[0]
    assert expected.any()  # it moves at once
    np.testing.assert_allclose(reader.kernel.numpy()[0], expected, rtol=1e-5)
    before = hidden.kernel.numpy()[:, 0]
    gradients = training._differentiate(step)[1]
    training._step(step)
    expected = -0.1 * gradients[0].numpy()[:, 0]
    assert expected.any()
    np.testing.assert_allclose(hidden.kernel.numpy()[:, 0] - before, expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("resets", [False, True])
def test_the_count_of_steps_is_reset_where_a_unit_is(resets):
    training = SmallRun(optimizer=adam()).train()
    steps = int(training.optimizer.iterations.numpy())
    training.act(ReDo(threshold=0.0, reset_step=resets, max_units=0))
    assert int(training.optimizer.iterations.numpy()) == steps
    training.act(ReDo(threshold=1e3, reset_step=resets))
    assert int(training.optimizer.iterations.numpy()) == (0 if resets else steps)


def test_small_outgoing_weights():
    training = SmallRun(model=network(norm=None)).train()
    training.act(ReDo(threshold=1e3, outgoing_scale=0.01))
    kernel = training.model.layers[-1].kernel.numpy()
    assert 0 < np.abs(kernel).max() < 0.02


def test_frozen_layers_are_left_alone():
    model = network(norm=None)
    model.layers[0].trainable = False
    before = model.layers[0].kernel.numpy()
    with pytest.raises(ValueError, match="must have a trained hidden layer with a nonlinearity after it"):
        small = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(3)])
        ReDo().build(small, adam(), seed=0)
    training = SmallRun(model=model).act(ReDo(threshold=1e3))
    np.testing.assert_array_equal(training.model.layers[0].kernel, before)
    assert not training.model.layers[-1].kernel.numpy().any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": -1.0}, "`threshold` must be a finite number of at least 0. Received: -1.0"),
        ({"max_units": -1}, "`max_units` must be an integer of at least 0. Received: -1"),
        ({"reset_step": 2}, "`reset_step` must be one of True, False. Received: 2"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as error:
        ReDo(**arguments)
    assert str(error.value) == message
