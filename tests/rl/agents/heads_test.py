"""Several heads in one network are, each for itself, the agent of a network that has this head alone."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from tf_agents.specs import BoundedArraySpec, tensor_spec
from tf_agents.trajectories import time_step_spec

from tests.rl.agents import q_agents_test
from tests.rl.agents.q_agents_test import BATCH, FEATURES, dense, disturb_target
from tfplastic import rl
from tfplastic.rl.agents.heads import ActionHeads

HEADS = ActionHeads((2, 3))
MAKERS = {
    "dqn": rl.dqn,
    "double_dqn": rl.double_dqn,
    "c51": functools.partial(rl.c51, num_atoms=11, max_value=2.0),
    "rainbow": functools.partial(rl.rainbow, num_atoms=11, max_value=2.0),
    "qr_dqn": functools.partial(rl.qr_dqn, num_quantiles=5),
    "qr_dqn, double": functools.partial(rl.qr_dqn, num_quantiles=5, double_q=True),
    "two_hot_dqn": functools.partial(rl.two_hot_dqn, num_bins=11, max_value=2.0, double_q=False),
    "two_hot_dqn, double": functools.partial(rl.two_hot_dqn, num_bins=11, min_value=-2.0, max_value=2.0),
}


def make(name, num_actions, **arguments):
    spec = time_step_spec(tf.TensorSpec([FEATURES], tf.float32))
    action_spec = tensor_spec.from_spec(BoundedArraySpec([], np.int32, 0, num_actions - 1))
    return MAKERS[name](dense, spec, action_spec, batch_size=BATCH, **arguments)


def with_heads(name, **arguments):
    agent = make(name, HEADS.num_outputs, **arguments)
    agent.heads = HEADS
    disturb_target(agent)
    return agent


def with_one_head(name, head, agent, **arguments):
    """Returns an agent whose networks are those of `agent` with one of its heads."""
    alone = make(name, HEADS.sizes[head], **arguments)
    for own, others in ((alone.model, agent.model), (alone.target_model, agent.target_model)):
        for variable, other in zip(own.variables, others.variables, strict=True):
            value = other.numpy()
            if value.shape != variable.shape:
                by_action = value.reshape(*value.shape[:-1], HEADS.num_outputs, -1)
                value = by_action[..., HEADS.span(head), :].reshape(variable.shape)
            variable.assign(value)
    return alone


def batch_of(head, n_step, seed=0):
    """Random transitions whose actions are outputs of a head."""
    batch = q_agents_test.trajectories(n_step, seed=seed)
    actions = batch.action % HEADS.sizes[head]
    return batch.replace(action=actions), batch.replace(action=actions + HEADS.span(head).start)


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("name", MAKERS)
def test_each_head_has_the_losses_of_an_agent_with_this_head_alone(name, n_step):
    agent = with_heads(name, n_step=n_step)
    batches, expected = [], []
    for head in range(2):
        own, shared = batch_of(head, n_step, seed=head)
        expected.append(with_one_head(name, head, agent, n_step=n_step).loss(own)[1])
        batches.append(shared)
    both = tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0), *batches)
    losses = tf.function(agent.loss, autograph=False)(both)[1]
    np.testing.assert_allclose(losses, np.concatenate(expected), rtol=1e-5, atol=1e-6)
    agent.heads = None
    assert np.abs(agent.loss(both)[1] - losses).max() > 0.01  # the other head's actions matter


@pytest.mark.parametrize("name", MAKERS)
def test_a_head_learns_from_its_own_transitions_alone(name):
    agent = with_heads(name)
    _, batch = batch_of(1, agent.n_step)
    with tf.GradientTape() as tape:
        loss, _ = agent.loss(batch, training=True)
    for gradient in tape.gradient(
        loss, agent.model.trainable_variables[-2:]
    ):  # of the output's kernel and bias
        by_action = gradient.numpy()
        by_action = by_action.reshape(*by_action.shape[:-1], HEADS.num_outputs, -1)
        assert not by_action[..., HEADS.span(0), :].any() and by_action[..., HEADS.span(1), :].any()
        assert np.isfinite(by_action).all()


@pytest.mark.parametrize("name", ["dqn", "rainbow", "qr_dqn"])
def test_a_head_acts_by_its_own_values(name):
    agent = with_heads(name)
    observation = np.random.default_rng(2).normal(size=(32, FEATURES)).astype(np.float32)
    chosen = [agent.greedy_actions(observation, head) for head in range(2)]
    for head in range(2):
        alone = with_one_head(name, head, agent)
        np.testing.assert_array_equal(chosen[head], alone.greedy_actions(observation))
    assert set(chosen[0]) == {0, 1} and set(chosen[1]) <= {0, 1, 2}
