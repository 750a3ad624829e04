"""Rainbow's loss against a float64 oracle, its noise, and a task with all of its parts."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.rl.agents import q_agents_test
from tests.rl.agents.q_agents_test import MAX_VALUE, NUM_ATOMS, disturb_target, projected, returns, softmax
from tests.rl.minatar_task_test import make as make_task
from tfplastic import networks, rl
from tfplastic.layers import NoisyDense, advance


def make(network=q_agents_test.dense, **arguments):
    arguments = {"num_atoms": NUM_ATOMS, "max_value": MAX_VALUE, **arguments}
    q_agents_test.MAKERS["rainbow"] = functools.partial(rl.rainbow, **arguments)
    try:
        return q_agents_test.make("rainbow", network=network)
    finally:
        del q_agents_test.MAKERS["rainbow"]


def test_the_losses_equal_a_float64_oracle():
    agent = make()
    assert agent.n_step == 3
    disturb_target(agent)
    batch = q_agents_test.trajectories(3)
    first, last = batch.observation.numpy()[:, 0], batch.observation.numpy()[:, 3]
    outputs, following, chooser = (
        softmax(q_agents_test.forward(*pair))
        for pair in ((agent.model, first), (agent.target_model, last), (agent.model, last))
    )
    atoms, expected, differ = np.linspace(-MAX_VALUE, MAX_VALUE, NUM_ATOMS), [], 0
    for i, (total, factor) in enumerate(returns(batch, 3, 0.99)):
        best = (chooser[i] @ atoms).argmax()
        differ += best != (following[i] @ atoms).argmax()
        target = projected(total + factor * atoms, following[i][best], atoms)
        expected.append(-(target * np.log(outputs[i][batch.action.numpy()[i, 0]])).sum())
    assert differ >= 3  # the choice matters
    loss, per_example = agent.loss(batch)
    np.testing.assert_allclose(per_example, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(loss, np.mean(expected), rtol=1e-5)
    compiled = tf.function(agent.loss, autograph=False)(batch)
    np.testing.assert_allclose(compiled[1], per_example, rtol=1e-5, atol=1e-6)


def test_every_call_of_a_network_in_training_has_noise_of_its_own(monkeypatch):
    def noisy(outputs):
        return tf.keras.Sequential(
            [
                tf.keras.Input((q_agents_test.FEATURES,)),
                NoisyDense(outputs[0] * outputs[1], name="output"),
                tf.keras.layers.Reshape(outputs),
            ]
        )

    agent, batch = make(noisy), q_agents_test.trajectories(3)
    drawn, noise = [], NoisyDense.noise
    monkeypatch.setattr(NoisyDense, "noise", lambda layer: [drawn.append(noise(layer)), drawn[-1]][1])
    losses = [agent.loss(batch, training=True)[0].numpy() for _ in range(2)]
    assert losses[0] == losses[1] and len(drawn) == 6
    first = [np.array(of_inputs) for of_inputs, _ in drawn[:3]]  # online, target, online that chooses
    for index, one in enumerate(first):
        assert all(np.abs(one - other).min() > 0 for other in first[:index])
    advance(agent.model)
    agent.loss(batch, training=True)
    for one, (other, _) in zip(first, drawn[6:], strict=True):
        assert np.abs(one - other).min() > 0  # of the target network, too, without a copy
    count = len(drawn)
    assert agent.loss(batch)[0] != losses[0] and len(drawn) == count


def test_noise_leaves_other_layers_as_they_are_at_inference(monkeypatch):
    def with_dropout(outputs):
        return tf.keras.Sequential(
            [
                tf.keras.Input((q_agents_test.FEATURES,)),
                tf.keras.layers.Dropout(0.5),
                NoisyDense(outputs[0] * outputs[1], sigma=5.0, name="output"),
                tf.keras.layers.Reshape(outputs),
            ]
        )

    agent, batch = make(with_dropout), q_agents_test.trajectories(3)
    seen, call = [], tf.keras.layers.Dropout.call
    monkeypatch.setattr(
        tf.keras.layers.Dropout,
        "call",
        lambda layer, x, training=None: [seen.append(training), call(layer, x, training=training)][1],
    )
    agent.loss(batch, training=True)
    assert seen == [True, False, False]  # online, target, online that chooses
    observation = batch.observation.numpy()[:, 0]
    exploring = agent.exploring_actions(observation)
    assert seen[3:] == [False] and (exploring != agent.greedy_actions(observation)).any()


@pytest.fixture(scope="module")
def task():
    network = functools.partial(networks.minatar_cnn, width=0.25, dueling=True, noise=2.0)
    task = make_task(
        agent=functools.partial(rl.rainbow, num_atoms=NUM_ATOMS),
        network=network,
        prioritization=rl.Prioritization(exponent=0.5, importance_steps=10),
        epsilon=rl.LinearEpsilon(0.0, 0.0, 0),
        num_envs=2,
    )
    task.build(0)
    task.start()
    for _ in task.warm_up():
        pass
    yield task
    task.close()


def test_a_task_acts_with_noise_and_evaluates_without(task):
    output = task.model.get_layer("value")
    assert int(output.step) >= 20  # 40 agent steps of two environments, before any gradient step
    batch = task.next()
    assert batch.observation.shape == (4, 4, 10, 10, 4) and batch.policy_info.shape == (4,)
    agent = task._learner.agent
    observation = np.random.default_rng(0).integers(0, 2, (64, 10, 10, 4), dtype=np.uint8)
    greedy, exploring = agent.greedy_actions(observation), agent.exploring_actions(observation)
    np.testing.assert_array_equal(exploring, agent.exploring_actions(observation))
    np.testing.assert_array_equal(exploring, task._actions(observation, np.array([0, 1])))
    advance(agent.model)
    assert (greedy != exploring).any() and (exploring != agent.exploring_actions(observation)).any()
    np.testing.assert_array_equal(greedy, agent.greedy_actions(observation))


def test_a_plain_network_explores_by_its_greedy_actions():
    agent = q_agents_test.make("dqn")
    observation = q_agents_test.trajectories(1).observation[:, 0].numpy()
    np.testing.assert_array_equal(agent.exploring_actions(observation), agent.greedy_actions(observation))
