"""The loss that diagnostics see of an agent is the one that it trains on."""

import numpy as np
import pytest
import tensorflow as tf

from tests.rl.agents import q_agents_test, two_hot_agent_test
from tfplastic.diagnostics import Snapshot


def _agent_and_batch(name, n_step):
    if name == "two_hot_dqn":
        return two_hot_agent_test.make(n_step=n_step), two_hot_agent_test.trajectories(n_step)
    agent = q_agents_test.make(name, n_step=n_step)
    q_agents_test.disturb_target(agent)
    return agent, q_agents_test.trajectories(n_step)


@pytest.mark.parametrize("name", [*q_agents_test.MAKERS, "two_hot_dqn"])
@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("batch_size", [512, 5])
def test_the_mean_of_the_examples_is_the_loss(name, n_step, batch_size):
    agent, batch = _agent_and_batch(name, n_step)
    snapshot = Snapshot(
        agent.model,
        batch.observation[:, 0],
        targets=batch,
        example_losses=lambda batch: agent.loss(batch)[1],
        batch_size=batch_size,
    )
    with tf.GradientTape() as tape:
        loss, per_example = agent.loss(batch)
    np.testing.assert_allclose(snapshot.loss, loss, rtol=1e-5)
    np.testing.assert_allclose(snapshot.losses_of(snapshot.examples), per_example, rtol=1e-5, atol=1e-6)
    gradients = tape.gradient(loss, agent.model.trainable_variables)
    found = [each for layer in snapshot.gradients.values() for each in layer]
    for one, other in zip(found, gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
