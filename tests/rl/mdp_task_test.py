import functools
import os
import re

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from tf_agents.trajectories import StepType

from tests import made_up_data
from tfplastic import seeds
from tfplastic._keras import keras
from tfplastic.networks import mlp
from tfplastic.rl import ClassificationMdpTask, c51, double_dqn, dqn, two_hot_dqn
from tfplastic.tasks import (
    TaskLoss,
    load_dataset,
    random_label_mdp,
    scale_pixels,
    sparse_reward_mdp,
    true_label_mdp,
)

WARM_UP, NUM_ENVS, CAPACITY = 40, 4, 64
AGENTS = {
    "dqn": dqn,
    "double_dqn": double_dqn,
    "two_hot_dqn": functools.partial(two_hot_dqn, num_bins=11),
    "c51": functools.partial(c51, num_atoms=11, max_value=100),
}
EVERY_AGENT = pytest.mark.parametrize("agent", AGENTS)


def built(seed=0, mdp=true_label_mdp, agent=double_dqn, network=None, **arguments):
    network = network or functools.partial(mlp, hidden=(16,))
    defaults = {
        "num_envs": NUM_ENVS,
        "replay_capacity": CAPACITY,
        "batch_size": 8,
        "warm_up_agent_steps": WARM_UP,
        "target_update_period": 3,
        "evaluation_size": 600,
        "diagnostics_batch_size": 6,
    }
    task = ClassificationMdpTask("digits", mdp, agent, network, **{**defaults, **arguments})
    task.build(seed)
    return task


def key(number=0):
    return tf.constant(seeds.derive(0, "test", number))


def transitions(state):
    """The content of the replay, the oldest first, by environment: four arrays `[acts, num_envs]`."""
    return [field.numpy()[::-1].reshape(-1, NUM_ENVS) for field in newest_first(state)]


def newest_first(state):
    replay = state.replay
    added, capacity = int(replay.num_added), replay.capacity
    places = [(added - 1 - age) % capacity for age in range(min(added, capacity))]
    return [tf.gather(field, places) for field in replay.items]


def trained(task, num_steps, jit_compile=None, learning_rate=1e-2):
    """The state and the losses after gradient steps, in a compiled loop, or eager where that is None."""
    variables = task.model.trainable_variables

    def step(number, state, losses):
        batch, state = task.next(state, tf.stack([tf.cast(number, tf.int32), 7]))
        with tf.GradientTape() as tape:
            output = task.loss(task.model, batch, training=True)
        for variable, gradient in zip(variables, tape.gradient(output.loss, variables), strict=True):
            variable.assign_sub(learning_rate * gradient)
        losses = tf.tensor_scatter_nd_update(losses, [[number - 1]], [output.loss])
        return number + 1, task.after_step(state, number, output), losses

    carry = (tf.constant(1, tf.int64), task.initial_state(), tf.zeros([num_steps]))
    if jit_compile is None:
        for _ in range(num_steps):
            carry = step(*carry)
        return carry[1:]

    @tf.function(jit_compile=jit_compile, autograph=False)
    def loop(carry):
        return tf.while_loop(lambda number, *_: number <= num_steps, step, carry)

    return loop(carry)[1:]


def assert_same(one, other):
    for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
        np.testing.assert_array_equal(a, b)


def differs(one, other):
    return any(
        not np.array_equal(a, b) for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True)
    )


@pytest.mark.parametrize("mdp", [true_label_mdp, random_label_mdp, sparse_reward_mdp])
def test_the_warm_up_fills_the_replay_with_what_the_random_policy_experiences(mdp):
    task = built(mdp=mdp, warm_up_agent_steps=8_000, replay_capacity=10_000)
    state = task.initial_state()
    assert int(state.replay.num_added) == 8_000
    observation, action, reward, next_observation = transitions(state)
    assert observation.shape == (2_000, NUM_ENVS)
    labels = task.mdp.labels.numpy()
    right = labels[observation] == action
    if mdp is sparse_reward_mdp:
        np.testing.assert_array_equal(reward, right & (action == 9))
        np.testing.assert_array_equal(labels[next_observation][right], (action[right] + 1) % 10)
    else:
        np.testing.assert_array_equal(reward, right)
    np.testing.assert_array_equal(observation[1:], next_observation[:-1])  # each environment goes on
    np.testing.assert_array_equal(state.observation, next_observation[-1])
    np.testing.assert_array_equal(state.states, labels[next_observation[-1]])
    pairs = 10 * labels[observation] + action
    assert stats.chisquare(np.bincount(action.ravel(), minlength=10)).pvalue > 0.01
    if mdp is not sparse_reward_mdp:
        assert stats.chisquare(np.bincount(pairs.ravel(), minlength=100)).pvalue > 0.01


def test_random_labels_are_in_force_in_the_random_label_mdp():
    task, true = built(mdp=random_label_mdp), load_dataset("digits").y_train
    assert 0.05 < (task.mdp.labels.numpy() == true).mean() < 0.15


def test_every_environment_acts_once_per_gradient_step_and_is_sampled_from():
    task = built()
    state = task.initial_state()
    images = scale_pixels(load_dataset("digits").x_train)
    for number in range(1, 11):
        before = state
        batch, state = task.next(state, key(number))
        assert int(state.replay.num_added) == WARM_UP + number * NUM_ENVS
        np.testing.assert_array_equal(transitions(state)[0][-1], before.observation)
        kept = {tuple(row) for row in np.stack(newest_first(state), axis=1).tolist()}
        for row in range(8):
            pixels, rest = batch.observation[row], (int(batch.action[row, 0]), float(batch.reward[row, 0]))
            assert any(
                rest == kept_row[1:3] and np.allclose(pixels, images[[int(kept_row[0]), int(kept_row[3])]])
                for kept_row in kept
            )
    assert batch.observation.shape == (8, 2, 8, 8, 1) and batch.observation.dtype == tf.float32
    for step_type in (batch.step_type, batch.next_step_type):
        np.testing.assert_array_equal(step_type, np.full([8, 2], StepType.MID))
    np.testing.assert_array_equal(batch.discount, np.ones([8, 2]))
    assert batch.action.dtype == tf.int32 and batch.action.shape == batch.reward.shape == (8, 2)


def test_pixels_are_scaled_to_their_range():
    _, inputs = built(pixel_range=(-1, 1)).diagnostics_batch()
    _, expected = built().diagnostics_batch()
    np.testing.assert_allclose(inputs, 2 * expected - 1, atol=1e-6)
    assert float(tf.reduce_min(inputs)) == -1 and float(tf.reduce_max(inputs)) == 1


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_actions_are_uniform_with_probability_epsilon_and_greedy_otherwise(epsilon):
    task = built(epsilon=epsilon, num_envs=2_000, replay_capacity=2_000, warm_up_agent_steps=2_000)
    task.model.layers[-1].set_weights([np.zeros([16, 10]), np.eye(10)[3]])
    _, state = task.next(task.initial_state(), key())
    counts = np.bincount(newest_first(state)[1], minlength=10)
    expected = np.full(10, 200 * epsilon) + 2_000 * (1 - epsilon) * np.eye(10)[3]
    if epsilon:
        assert stats.chisquare(counts, expected).pvalue > 0.01
    else:
        np.testing.assert_array_equal(counts, expected)


def test_the_greedy_action_is_that_of_the_online_network_for_the_image_seen():
    task = built(epsilon=0.0)
    task.model.layers[-1].kernel.assign(100 * task.model.layers[-1].kernel)
    state = task.initial_state()
    images = scale_pixels(load_dataset("digits").x_train)[state.observation.numpy()]
    _, state = task.next(state, key())
    np.testing.assert_array_equal(transitions(state)[1][-1], task.model(images).numpy().argmax(axis=1))


def test_the_loss_is_double_dqns_in_float64():
    task = built(agent=functools.partial(double_dqn, discount=0.9, grad_error_bound=1e6))
    target = task.trackables()["target_model"]
    generator = np.random.default_rng(0)
    target.set_weights([generator.normal(size=array.shape) for array in target.get_weights()])
    batch, _ = task.diagnostics_batch()

    def forward(model, x):
        weights = [array.astype(np.float64) for array in model.get_weights()]
        return np.maximum(x.reshape(6, -1) @ weights[0] + weights[1], 0) @ weights[2] + weights[3]

    first, last = batch.observation.numpy().astype(np.float64).swapaxes(0, 1)
    rows = np.arange(6)
    bootstrap = forward(target, last)[rows, forward(task.model, last).argmax(axis=1)]
    chosen = forward(task.model, first)[rows, batch.action.numpy()[:, 0]]
    errors = batch.reward.numpy()[:, 0] + 0.9 * bootstrap - chosen
    loss, per_example, metrics = task.loss(task.model, batch)
    np.testing.assert_allclose(per_example, errors**2 / 2, rtol=1e-4)
    np.testing.assert_allclose(loss, (errors**2 / 2).mean(), rtol=1e-4)
    assert metrics == {}


@pytest.mark.parametrize("jit_compile", [None, False, True])
def test_the_target_network_is_copied_at_each_multiple_of_the_period(jit_compile):
    task = built(target_update_period=3)
    assert task.boundary_period == 3
    state, (model, target) = task.initial_state(), task.trackables().values()
    output = TaskLoss(tf.constant(0.0), tf.zeros([8]), {})
    after_step = task.after_step
    if jit_compile is not None:
        after_step = tf.function(after_step, jit_compile=jit_compile, autograph=False)
    copied = []
    for step in range(1, 8):
        model.set_weights([array + 1 for array in model.get_weights()])
        assert_same(after_step(state, tf.constant(step, tf.int64), output), state)
        if np.array_equal(model.get_weights()[0], target.get_weights()[0]):
            copied.append(step)
            assert_same(model.get_weights(), target.get_weights())
    assert copied == [3, 6]


def test_a_loop_in_the_graph_equals_eager_steps_and_xla_nearly_does():
    runs = []
    for jit_compile in (None, False, True):
        task = built(epsilon=0.5)
        runs.append((*trained(task, 12, jit_compile), task.model.get_weights()))
    assert_same(runs[0], runs[1])
    assert_same(runs[0][0], runs[2][0])
    np.testing.assert_allclose(runs[0][1], runs[2][1], rtol=1e-5, atol=1e-6)


def test_the_same_seed_gives_the_same_bits_and_another_other_bits():
    def results(seed):
        task = built(seed=seed)
        state, losses = trained(task, 3)
        return [state, losses, task.diagnostics_batch(), task.evaluate(3, state), task.model.get_weights()]

    one, same, other = results(0), results(0), results(1)
    assert_same(one, same)
    assert all(differs(a, b) for a, b in zip(one, other, strict=True))


def test_another_key_gives_another_batch_and_state():
    task = built()
    state = task.initial_state()
    assert_same(task.next(state, key()), task.next(state, key()))
    for one, other in zip(task.next(state, key()), task.next(state, key(1)), strict=True):
        assert differs(one, other)


@EVERY_AGENT
@pytest.mark.parametrize("jit_compile", [False, True])
def test_no_summary_gets_into_a_compiled_loss(agent, jit_compile, tmp_path):
    task = built(agent=AGENTS[agent])
    batch, _ = task.diagnostics_batch()
    compiled = tf.function(
        lambda batch: task.loss(task.model, batch).loss, jit_compile=jit_compile, autograph=False
    )
    writer = tf.summary.create_file_writer(str(tmp_path))
    with writer.as_default(step=0):
        assert np.isfinite(compiled(batch))
    assert num_summaries(writer, tmp_path) == 0


def test_tf_agents_would_write_summaries(tmp_path):
    task = built()
    writer = tf.summary.create_file_writer(str(tmp_path))
    with writer.as_default(step=0):
        task._agent.agent.loss(task.diagnostics_batch()[0])
    assert num_summaries(writer, tmp_path) > 0


def num_summaries(writer, directory):
    writer.flush()
    (name,) = os.listdir(directory)
    return len(list(tf.data.TFRecordDataset(str(directory / name)))) - 1  # without the header


def test_the_evaluation_scores_the_greedy_policy_and_changes_nothing():
    task = built(mdp=sparse_reward_mdp, agent=functools.partial(double_dqn, discount=0.9))
    state, _ = trained(task, 3)
    weights = task.model.get_weights()
    scores = task.evaluate(3, state)
    assert_same(weights, task.model.get_weights())

    data, optimal = load_dataset("digits"), task.mdp.optimal_values(0.9)
    images = task._evaluation_images
    assert len(set(images)) == 600
    values, labels = task.model(scale_pixels(data.x_train[images])).numpy(), data.y_train[images]
    greedy = values.argmax(axis=1)
    # In the first six states every wrong action is optimal, in the last four the right one.
    expected = np.where(labels < 6, greedy != labels, greedy == labels)
    assert scores["evaluation/accuracy"] == (greedy == labels).mean()
    assert scores["evaluation/optimal_actions"] == expected.mean() != scores["evaluation/accuracy"]
    np.testing.assert_allclose(
        scores["evaluation/value_error"], np.abs(values - optimal[labels]).mean(), rtol=1e-5
    )
    assert scores["evaluation/td_loss"] == float(task.loss(task.model, task.diagnostics_batch()[0]).loss)


def test_a_perfect_policy_has_an_accuracy_of_one():
    def network(num_outputs, input_shape, seed):
        return keras.Sequential(
            [keras.layers.InputLayer(input_shape), keras.layers.Flatten(), table(num_outputs)]
        )

    def table(num_outputs):
        return keras.layers.Dense(num_outputs, kernel_initializer="zeros", name="output")

    task = built(network=network, num_examples=20, evaluation_size=5_000)
    # With fewer images than pixels, least squares fits any values exactly.
    pixels = scale_pixels(task._images.numpy()).reshape(20, 64)
    optimal = task.mdp.optimal_values(0.99)[task.mdp.labels.numpy()]
    kernel = np.linalg.lstsq(pixels.astype(np.float64), optimal, rcond=None)[0]
    task.model.get_layer("output").kernel.assign(kernel)
    scores = task.evaluate(0, task.initial_state())
    assert scores["evaluation/accuracy"] == scores["evaluation/optimal_actions"] == 1
    assert scores["evaluation/value_error"] < 1e-3


def test_the_diagnostics_batch_is_of_random_transitions():
    task = built(diagnostics_batch_size=500)
    batch, inputs = task.diagnostics_batch()
    np.testing.assert_array_equal(batch.observation[:, 0], inputs)
    assert inputs.shape == (500, 8, 8, 1)
    assert 0.05 < batch.reward.numpy()[:, 0].mean() < 0.15
    assert_same(task.diagnostics_batch(), (batch, inputs))


def test_probe_inputs_are_observations_of_the_replay():
    task = built(warm_up_agent_steps=400)
    state, key = task.initial_state(), seeds.derive(0, "probe")
    inputs = task.probe_inputs(state, 30, key)
    observed = set(transitions(state)[0].ravel().tolist())
    images = {task._pixels(tf.constant(image)).numpy().tobytes() for image in observed}
    assert inputs.shape == (30, 8, 8, 1)
    assert {image.tobytes() for image in inputs} <= images
    np.testing.assert_array_equal(inputs, task.probe_inputs(state, 30, key))
    assert (inputs != task.probe_inputs(state, 30, seeds.derive(1, "probe"))).any()


def test_metrics_and_progress_count_agent_steps_and_average_recent_rewards():
    task = built(warm_up_agent_steps=4_400, replay_capacity=8_000)
    state = task.initial_state()
    rewards = transitions(state)[2].ravel()[-4_000:]
    metrics = task.metrics(state)
    assert metrics["train/agent_steps"] == 4_400
    np.testing.assert_allclose(metrics["train/mean_reward"], rewards.mean(), rtol=1e-6)
    assert task.progress(state) == {"agent_steps": 4_400, "epsilon": 0.1}


def test_the_plan_says_what_is_done_and_how_much_memory_it_takes():
    rows = dict(built().describe(1_000))
    assert rows["images"] == "1,500 of digits, 8 x 8 x 1, 0.1 MB"
    assert rows["agent steps"] == "4,040, the first 40 as warm-up"
    assert rows["replay memory"] == "64 transitions, 0.00 MB"
    assert rows["target network"] == "copied every 3 gradient steps"


def test_the_true_labels_of_digits_are_learned():
    task = built(
        agent=functools.partial(double_dqn, discount=0.9),
        network=functools.partial(mlp, hidden=(64,)),
        replay_capacity=10_000,
        batch_size=32,
        warm_up_agent_steps=1_000,
        target_update_period=100,
    )
    before = task.evaluate(0, task.initial_state())["evaluation/accuracy"]
    state, _ = trained(task, 1_000, jit_compile=False, learning_rate=0.2)
    after = task.evaluate(1_000, state)["evaluation/accuracy"]
    assert before < 0.3 and after > 0.8
    assert task.metrics(state)["train/mean_reward"] > 0.5


def test_mnist(tmp_path, monkeypatch):
    made_up_data.write(tmp_path, "mnist")
    monkeypatch.setenv("TFPLASTIC_DATA_DIR", str(tmp_path))
    task = ClassificationMdpTask("mnist", true_label_mdp, double_dqn, mlp, warm_up_agent_steps=400)
    task.build(0)
    batch, _ = task.next(task.initial_state(), key())
    assert batch.observation.shape == (32, 2, 28, 28, 1)
    assert len(task._evaluation_images) == 4_096


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_envs": 0}, "`num_envs` must be an integer of at least 1. Received: 0"),
        ({"epsilon": 1.5}, "`epsilon` must be a number in [0, 1]. Received: 1.5"),
        ({"batch_size": 0}, "`batch_size` must be an integer of at least 1. Received: 0"),
        ({"num_examples": 0}, "`num_examples` must be an integer of at least 1. Received: 0"),
        ({"target_update_period": 0}, "`target_update_period` must be an integer of at least 1. Received: 0"),
        (
            {"warm_up_agent_steps": 41},
            "`warm_up_agent_steps` must be a multiple of `num_envs`, 4. Received: 41",
        ),
        ({"replay_capacity": 3}, "`replay_capacity` must be at least `num_envs`, 4. Received: 3"),
        ({"pixel_range": (1, 0)}, "`pixel_range` must be two ascending numbers. Received: (1, 0)"),
        ({"mdp": "true"}, "`mdp` must be a function, such as @true_label_mdp. Received: 'true'"),
        (
            {"agent": functools.partial(dqn, n_step=2)},
            "`agent` must have an `n_step` of 1 here. Received: 2",
        ),
        (
            {"agent": functools.partial(dqn, discount=1.0)},
            "`discount` must be a number in [0, 1). Received: 1.0",
        ),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        built(**arguments)


def test_only_the_own_model_has_a_loss():
    task = built()
    with pytest.raises(ValueError, match="^`model` must be the task's own online network. Received: "):
        task.loss(task.trackables()["target_model"], task.diagnostics_batch()[0])
