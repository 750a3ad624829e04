"""QR-DQN against a float64 oracle, written example by example from Dabney et al. 2018, Algorithm 1."""

import functools
import re

import numpy as np
import pytest
import tensorflow as tf
from tf_agents.trajectories import StepType, TimeStep

from tests.rl.agents import q_agents_test
from tests.rl.agents.q_agents_test import BATCH, disturb_target, forward, returns, trajectories
from tfplastic.rl import qr_dqn, quantile_huber_loss

NUM_QUANTILES = 5


def make(**arguments):
    arguments = {"num_quantiles": NUM_QUANTILES, **arguments}
    q_agents_test.MAKERS["qr_dqn"] = functools.partial(qr_dqn, **arguments)
    try:
        return q_agents_test.make("qr_dqn")
    finally:
        del q_agents_test.MAKERS["qr_dqn"]


def oracle_loss(quantiles, targets, threshold):
    total = 0.0
    for i, quantile in enumerate(quantiles):
        middle = (i + 0.5) / len(quantiles)
        for target in targets:
            error = target - quantile
            if threshold == 0:
                huber = abs(error)
            elif abs(error) <= threshold:
                huber = error**2 / 2
            else:
                huber = threshold * (abs(error) - threshold / 2)
            total += abs(middle - (error < 0)) * huber / len(targets)
    return total


@pytest.mark.parametrize("threshold", [0, 0.5, 1.0, 2])
def test_the_loss_equals_a_loop_over_all_pairs(threshold):
    generator = np.random.default_rng(0)
    quantiles, targets = generator.normal(size=(4, 3)), generator.normal(size=(4, 6)) * 2
    found = quantile_huber_loss(quantiles, targets, threshold)
    assert found.dtype == tf.float64
    expected = [oracle_loss(*pair, threshold) for pair in zip(quantiles, targets, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_minimum_of_quantile_regression_are_the_quantiles():
    targets = tf.constant(np.arange(1.0, 102.0)[None])  # the middles of 2 parts are at 1/4 and 3/4
    quantiles = tf.Variable(np.zeros((1, 2)))
    with tf.GradientTape() as tape:
        quantiles.assign([[26.0, 76.0]])
        loss = quantile_huber_loss(quantiles, targets, 0)
    gradient = tape.gradient(loss, quantiles)
    assert np.abs(gradient).max() < 0.02  # one of 101 targets


@pytest.mark.parametrize(("n_step", "double_q"), [(1, False), (3, True)])
def test_the_losses_equal_a_float64_oracle(n_step, double_q):
    agent = make(n_step=n_step, double_q=double_q, threshold=0.7)
    disturb_target(agent)
    batch = trajectories(n_step)
    loss, per_example = agent.loss(batch)
    first, last = batch.observation.numpy()[:, 0], batch.observation.numpy()[:, n_step]
    outputs, following = forward(agent.model, first), forward(agent.target_model, last)
    chooser = forward(agent.model, last) if double_q else following
    expected = []
    for i, (total, factor) in enumerate(returns(batch, n_step, 0.99)):
        best = chooser[i].mean(axis=-1).argmax()
        targets = total + factor * following[i][best]
        expected.append(oracle_loss(outputs[i][batch.action.numpy()[i, 0]], targets, 0.7))
    np.testing.assert_allclose(per_example, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(loss, np.mean(expected), rtol=1e-5)
    if double_q:
        compiled = tf.function(lambda each: agent.loss(each), jit_compile=True)(batch)
        np.testing.assert_allclose(compiled[1], per_example, rtol=1e-5, atol=1e-6)


def test_q_values_are_means_of_the_quantiles_for_all_policies():
    agent, observation = make(), trajectories(1).observation[:, 0]
    expected = forward(agent.model, observation.numpy()).mean(axis=-1)
    np.testing.assert_allclose(agent.q_values(observation), expected, rtol=1e-4, atol=1e-5)
    best = expected.argmax(axis=1)
    np.testing.assert_array_equal(agent.greedy_actions(observation.numpy()), best)
    step = TimeStep(tf.fill([BATCH], StepType.MID), tf.zeros(BATCH), tf.ones(BATCH), observation)
    np.testing.assert_array_equal(agent.agent.policy.action(step).action, best)
    assert len(set(best)) > 1 and agent.agent._q_network.model is agent.model


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_quantiles": 1}, "`num_quantiles` must be an integer of at least 2. Received: 1"),
        ({"threshold": -1}, "`threshold` must be a finite number of at least 0. Received: -1"),
        ({"double_q": 2}, "`double_q` must be one of True, False. Received: 2"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make(**arguments)
