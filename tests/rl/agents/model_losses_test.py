"""Regularizers of a network count in the loss of every agent, once, and of no example."""

import numpy as np
import pytest
import tensorflow as tf

from tests.rl.agents import q_agents_test
from tests.rl.agents.heads_test import MAKERS
from tests.rl.agents.q_agents_test import BATCH, FEATURES, NUM_ACTIONS
from tfplastic._keras import keras


def regularized(outputs, seed=0):
    shape = (outputs,) if isinstance(outputs, int) else outputs
    return keras.Sequential(
        [
            keras.layers.InputLayer((FEATURES,)),
            keras.layers.Dense(8, kernel_regularizer="l2", activity_regularizer="l1", name="hidden"),
            keras.layers.Dense(int(np.prod(shape))),
            keras.layers.Reshape(shape),
        ]
    )


@pytest.mark.parametrize("in_graph", [True, False])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", MAKERS)
def test_losses_of_the_network_are_added_once(name, training, in_graph, monkeypatch):
    monkeypatch.setitem(q_agents_test.MAKERS, name, MAKERS[name])
    agent, batch = q_agents_test.make(name, network=regularized), q_agents_test.trajectories(3)
    batch = tf.nest.map_structure(lambda each: each[:, -agent.n_step - 1 :], batch)
    weights = np.linspace(0.1, 1, BATCH).astype(np.float32)
    function = tf.function(agent.loss, autograph=False) if in_graph else agent.loss
    loss, losses = function(batch.replace(policy_info=tf.constant(weights)), training)
    kernel, bias = agent.model.get_layer("hidden").get_weights()
    first = batch.observation.numpy()[:, 0].astype(np.float64)  # of the first call, not of that for a'
    activity = 0.01 * np.abs(first @ kernel + bias).sum() / BATCH
    expected = 0.01 * (kernel.astype(np.float64) ** 2).sum() + activity
    assert float(loss) - np.mean(losses) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("size", [0, -1, 2.5])
@pytest.mark.parametrize("name", MAKERS)
def test_a_wrong_size_of_a_batch_is_refused_by_every_agent(name, size, monkeypatch):
    monkeypatch.setitem(q_agents_test.MAKERS, name, MAKERS[name])
    with pytest.raises(
        ValueError, match=f"^`batch_size` must be an integer of at least 1. Received: {size}$"
    ):
        q_agents_test.make(name, batch_size=size, num_actions=NUM_ACTIONS)
