"""PPO: its loss against TF-Agents' agent, advantages against loops by episode, and rollouts."""

import functools
import re
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tf_agents.agents.ppo import ppo_clip_agent
from tf_agents.networks import actor_distribution_network, value_network
from tf_agents.specs import BoundedArraySpec, tensor_spec
from tf_agents.trajectories import StepType, TimeStep, Trajectory, time_step_spec

from tests.contracts.tasks_table import on_policy
from tfplastic import networks, rl, seeds
from tfplastic.rl import PpoBatch, PpoTask, ppo_clip_loss
from tfplastic.rl.on_policy.ppo_loss import generalized_advantages
from tfplastic.rl.on_policy.rollout import RolloutMaker, sampled_actions

BATCH, NUM_ACTIONS = 12, 3


def test_the_mean_loss_is_that_of_tf_agents():
    generator = np.random.default_rng(0)
    spec = tf.TensorSpec([4], tf.float32)
    action_spec = tensor_spec.from_spec(BoundedArraySpec([], np.int32, 0, NUM_ACTIONS - 1))
    actor = actor_distribution_network.ActorDistributionNetwork(spec, action_spec, fc_layer_params=(5,))
    critic = value_network.ValueNetwork(spec, fc_layer_params=(5,))
    agent = ppo_clip_agent.PPOClipAgent(
        time_step_spec(spec),
        action_spec,
        tf.keras.optimizers.SGD(),
        actor,
        critic,
        importance_ratio_clipping=0.2,
        entropy_regularization=0.03,
        value_pred_loss_coef=0.7,
        normalize_rewards=False,
        normalize_observations=False,
    )
    observation = tf.constant(generator.normal(size=(BATCH, 4)).astype(np.float32) * 3)
    steps = TimeStep(tf.fill([BATCH], StepType.MID), tf.zeros(BATCH), tf.ones(BATCH), observation)
    distribution, _ = actor(observation, steps.step_type, ())
    values, _ = critic(observation, steps.step_type)
    numbers = generator.normal(size=(4, BATCH)).astype(np.float32)
    batch = PpoBatch(
        observation=observation,
        action=tf.constant(generator.integers(NUM_ACTIONS, size=BATCH, dtype=np.int32)),
        log_probability=tf.constant(-1.1 + 0.3 * numbers[0]),
        advantage=tf.constant(numbers[1]),
        value_target=tf.constant(numbers[2]),
        weight=tf.constant((numbers[3] < 1).astype(np.float32)),
    )
    expected = agent.get_loss(
        *(steps, batch.action, batch.log_probability, batch.value_target, batch.advantage),
        action_distribution_parameters={},
        weights=batch.weight,
        train_step=agent.train_step_counter,
        debug_summaries=False,
    )
    outputs = tf.concat([distribution.logits_parameter(), values[:, None]], axis=-1)
    losses = ppo_clip_loss(outputs, batch, 0.2, value_coefficient=0.7, entropy_coefficient=0.03)
    means = {name: float(tf.reduce_mean(each)) for name, each in losses._asdict().items()}
    assert means["total"] == pytest.approx(float(expected.loss), rel=1e-5)
    assert means["policy"] == pytest.approx(float(expected.extra.policy_gradient_loss), rel=1e-5)
    assert 0.7 * means["value"] == pytest.approx(float(expected.extra.value_estimation_loss), rel=1e-5)
    assert 0 < means["is_clipped"] < 1 and 0 < np.sum(batch.weight) < BATCH
    compiled = tf.function(ppo_clip_loss, jit_compile=True)(outputs, batch, 0.2, 0.7, 0.03)
    np.testing.assert_allclose(compiled.total, losses.total, rtol=1e-5, atol=1e-6)


def test_advantages_are_sums_over_the_rest_of_an_episode():
    generator, steps, envs, decay = np.random.default_rng(1), 30, 3, 0.8
    rewards = generator.normal(size=(steps, envs)).astype(np.float32)
    values = generator.normal(size=(steps + 1, envs)).astype(np.float32)
    is_reset = generator.random((steps, envs)) < 0.15
    ends = np.vstack([is_reset[1:], np.zeros((1, envs), bool)])  # the step before a reset
    discounts = np.where(ends & (generator.random((steps, envs)) < 0.6), 0, 0.9).astype(np.float32)
    assert (ends & (discounts > 0)).any() and (ends & (discounts == 0)).any()
    found = generalized_advantages(rewards, discounts, values, is_reset, decay).numpy()
    for env in range(envs):
        for t in range(steps):
            expected, factor, now = 0.0, 1.0, t
            while now < steps and not is_reset[now, env]:
                bootstrapped = float(discounts[now, env]) * float(values[now + 1, env])
                expected += factor * (float(rewards[now, env]) + bootstrapped - float(values[now, env]))
                factor *= decay * float(discounts[now, env])
                now += 1
            assert found[t, env] == pytest.approx(expected, abs=1e-5)


def test_actions_are_drawn_by_their_probabilities():
    logits = np.tile(np.log([0.2, 0.5, 0.3]), (20_000, 1))
    actions = sampled_actions(logits, seeds.derive(0, "act"))
    assert actions.dtype == np.int32
    np.testing.assert_array_equal(actions, sampled_actions(logits, seeds.derive(0, "act")))
    counts = np.bincount(actions, minlength=3) / len(actions)
    np.testing.assert_allclose(counts, [0.2, 0.5, 0.3], atol=5 * 0.5 / 20_000**0.5)
    certain = np.array([[-1e4, 0.0, -1e4]])
    assert {int(sampled_actions(certain, seeds.derive(0, step))[0]) for step in range(50)} == {1}


class ScriptedPlayer:
    """A player of given steps in two environments, the second of which is in other phases of its episodes."""

    def __init__(self, rewards, discounts, is_reset):
        self.rewards, self.discounts, self.is_reset = rewards, discounts, is_reset
        self.now, self.environment = 0, self

    def observation(self):
        return np.array([[self.now, env] for env in range(2)], np.uint8)

    def current_time_step(self):
        nothing = np.zeros(2)
        return TimeStep(nothing, nothing, nothing, self.observation())

    def play(self, policy):
        observation, action = self.observation(), policy(self.observation(), seeds.derive(0, self.now))
        kinds = np.where(self.is_reset[self.now], StepType.LAST, StepType.MID)
        now, self.now = self.now, self.now + 1
        return Trajectory(
            kinds, observation, action, (), kinds, self.rewards[now].copy(), self.discounts[now].copy()
        )


def test_a_rollout_bootstraps_where_an_episode_is_cut_off_and_not_where_it_ends():
    steps, discount, decay = 6, 0.9, 0.8
    generator = np.random.default_rng(3)
    rewards = generator.normal(size=(steps, 2)).astype(np.float32)
    is_reset = np.zeros((steps, 2), bool)
    is_reset[3, 0] = is_reset[2, 1] = True
    discounts = np.ones((steps, 2), np.float32)
    discounts[2, 0] = 0  # ends; that of the second environment is cut off after step 1
    table = generator.normal(size=(steps + 1, 2, 4)).astype(np.float32)
    make = RolloutMaker(lambda given: table[given[:, 0], given[:, 1]], steps, discount, decay)
    player: Any = ScriptedPlayer(rewards, discounts, is_reset)
    found = make(player)
    values, advantages = table[..., -1].astype(np.float64), np.zeros((steps, 2))
    for env, pieces in enumerate(([range(3), range(4, 6)], [range(2), range(3, 6)])):
        for piece in pieces:
            following = 0.0
            for t in reversed(piece):
                bootstrapped = discount * discounts[t, env] * values[t + 1, env]
                following = (
                    rewards[t, env]
                    + bootstrapped
                    - values[t, env]
                    + discount * decay * (discounts[t, env] * following)
                )
                advantages[t, env] = following
    known = ~is_reset
    np.testing.assert_array_equal(found.weight.reshape(steps, 2), known)
    targets = (advantages + values[:-1])[known]
    np.testing.assert_allclose(found.value_target.reshape(steps, 2)[known], targets, atol=1e-5)
    of_steps = advantages[known]
    expected = np.where(known, (advantages - of_steps.mean()) / of_steps.std(), 0)
    np.testing.assert_allclose(found.advantage.reshape(steps, 2), expected, atol=1e-5)
    logits = table[:-1, ..., :-1].astype(np.float64)
    log_policy = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    chosen = np.take_along_axis(log_policy, found.action.reshape(steps, 2, 1), -1)[..., 0]
    np.testing.assert_allclose(found.log_probability.reshape(steps, 2), chosen, atol=1e-5)


def test_the_time_of_a_batch_is_that_of_a_rollout_by_its_gradient_steps(monkeypatch):
    task: Any = on_policy(0)
    clock, play, played = [0.0], task._play, []

    def timed_play():
        play()
        played.append(None)
        clock[0] += 100.0 if len(played) == 1 else 3.0  # the first one traces programs

    task._play = timed_play
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    assert task.seconds_per_batch() == pytest.approx(3.0 / 6)


def test_regularizers_of_the_network_count():
    def network(outputs, observation_shape, seed):
        return tf.keras.Sequential(
            [
                tf.keras.layers.InputLayer(observation_shape, dtype="uint8"),
                tf.keras.layers.Flatten(),
                tf.keras.layers.Dense(outputs, kernel_regularizer="l2"),
            ]
        )

    task = PpoTask("breakout", network, rl.MinAtarProtocol(), num_envs=2, num_steps=4, batch_size=8)
    task.build(0)
    output = task.loss(task.model, PpoBatch(*map(tf.constant, task.example())))
    penalty = 0.01 * np.sum(task.model.trainable_variables[0].numpy().astype(np.float64) ** 2)
    assert float(output.loss) - np.mean(output.per_example_loss) == pytest.approx(penalty, rel=1e-4)


@pytest.fixture(scope="module", name="task")
def played():
    task = on_policy(0)
    task.start()
    for _ in task.warm_up():
        pass
    yield task
    task.close()


def test_an_epoch_has_each_step_once_and_the_next_rollout_follows(task):
    rollout = task._rollout
    assert len(rollout.action) == 48 and set(rollout.weight) == {0.0, 1.0}
    batches = [task.next() for _ in range(6)]
    for column, parts in zip(rollout, zip(*batches, strict=True), strict=True):
        rows = [sorted(row.tobytes() for row in each) for each in (column, np.concatenate(parts))]
        assert rows[0] == rows[1]
    known = rollout.advantage[rollout.weight == 1]
    assert abs(known.mean()) < 1e-5 and known.std() == pytest.approx(1, abs=1e-4)
    assert not rollout.advantage[rollout.weight == 0].any()
    steps = task.metrics()["train/agent_steps"]
    assert steps == rollout.weight.sum() and "train/epsilon" not in task.metrics()
    task.next()
    assert task._rollout is not rollout and steps < task.metrics()["train/agent_steps"] <= 96


def test_ratios_are_one_before_the_first_update(task):
    batch = PpoBatch(*map(tf.constant, task.next()))
    losses = ppo_clip_loss(task.model(batch.observation), batch)
    np.testing.assert_allclose(losses.policy, -batch.weight * batch.advantage, rtol=1e-4, atol=1e-5)
    assert not np.any(losses.is_clipped)


def test_metrics_are_means_over_the_steps_without_the_resets(task):
    rollout = task._rollout
    is_step = rollout.weight == 1
    assert 0 < is_step.mean() < 1
    found = task.loss(task.model, PpoBatch(*map(tf.constant, rollout))).metrics
    outputs = task.model(rollout.observation).numpy().astype(np.float64)[is_step]
    steps = PpoBatch(*(column[is_step] for column in rollout))
    log_policy = outputs[:, :-1] - np.log(np.exp(outputs[:, :-1]).sum(axis=1, keepdims=True))
    ratio = np.exp(log_policy[np.arange(len(outputs)), steps.action] - steps.log_probability)
    objective = np.minimum(ratio * steps.advantage, ratio.clip(0.9, 1.1) * steps.advantage)
    expected = {
        "policy_loss": -objective.mean(),
        "value_loss": ((outputs[:, -1] - steps.value_target) ** 2).mean(),
        "entropy": -(np.exp(log_policy) * log_policy).sum(axis=1).mean(),
        "clipped_fraction": (abs(ratio - 1) > 0.1).mean(),
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value, rel=1e-4, abs=1e-6), name


def test_metrics_of_resets_alone_are_zero(task):
    batch = PpoBatch(*map(tf.constant, task._rollout._replace(weight=np.zeros(48, np.float32))))
    assert {float(each) for each in task.loss(task.model, batch).metrics.values()} == {0.0}


@pytest.mark.parametrize(
    ("game", "protocol", "network", "name"),
    [
        ("SPACE invaders", rl.MinAtarProtocol(), networks.minatar_cnn, "space_invaders"),
        ("ms_pacman", rl.AtariProtocol(), networks.nature_dqn, "MsPacman"),
    ],
)
def test_a_game_has_its_canonical_name(game, protocol, network, name):
    task = PpoTask(game, network, protocol)
    assert task.game == name and task.describe(1, 1, 1)[0][1].startswith(f"{name}, ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 100}, "`batch_size` must divide `num_envs * num_steps`, 1024. Received: 100"),
        ({"clip": 0}, "`clip` must be a finite number above 0. Received: 0"),
        ({"trace_decay": 1.5}, "`trace_decay` must be a number in [0, 1]. Received: 1.5"),
        ({"protocol": 5}, "`protocol` must be of type GameProtocol, such as @MinAtarProtocol(). Received: 5"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    arguments = {"protocol": rl.MinAtarProtocol(), **arguments}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        PpoTask("breakout", networks.minatar_cnn, **arguments)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"dueling": True}, "`network` must not have a dueling head, which is for Q-values. Received: one"),
        (
            {"noise": 0.5},
            "`network` must not have noisy layers, which explore for Q-values: the policy draws its actions. "
            "Received: dense, output",
        ),
    ],
)
def test_parts_of_a_network_for_q_values_are_refused(option, message):
    network = functools.partial(networks.minatar_cnn, **option)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        PpoTask("breakout", network, rl.MinAtarProtocol()).build(0)


def test_an_unknown_game_is_refused():
    with pytest.raises(ValueError, match=r"^`game` must be one of MinAtar's: .* Received: 'pong'"):
        PpoTask("pong", networks.minatar_cnn, rl.MinAtarProtocol())


def test_a_sequence_of_games_is_refused():
    message = (
        "^`game` must be the name of one game: sequences are for agents with a replay, such as MinAtarTask's"
    )
    sequence: Any = rl.GameSequence(["breakout"], 4)
    with pytest.raises(ValueError, match=f"{message}. Received: GameSequence"):
        PpoTask(sequence, networks.minatar_cnn, rl.MinAtarProtocol())


def test_a_network_with_other_outputs_is_refused():
    def network(outputs, observation_shape, seed):
        return networks.minatar_cnn(outputs + 1, observation_shape=observation_shape, seed=seed)

    message = (
        "`network` must have 7 outputs, one for each action and the value. Received: outputs of shape (8,)"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        PpoTask("breakout", network, rl.MinAtarProtocol()).build(0)
