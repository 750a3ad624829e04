"""Prioritized replay against the starts and the probabilities found one by one."""

import functools
import re

import numpy as np
import pytest
import tensorflow as tf
from tf_agents.trajectories.trajectory import Trajectory

from tests.rl.agents import q_agents_test
from tests.rl.replay.frame_replay_test import SHAPE, Stream
from tests.rl.small_atari import built
from tfplastic import rl, seeds
from tfplastic._keras import keras
from tfplastic.rl.replay import FrameReplay, Prioritization, PrioritizedReplay
from tfplastic.rl.replay.sum_tree import SumTree
from tfplastic.training import GradientStep
from tfplastic.training.execution.host_steps import HostSteps


def added(replay, streams, first, last):
    """Adds the steps from `first` to `last` of each environment."""
    for t in range(first, last):
        step = [stream.steps[t] for stream in streams]
        replay.add_batch(
            Trajectory(
                step_type=np.array([each.step_type for each in step], np.int32),
                observation=np.stack([each.observation for each in step]),
                action=np.array([each.action for each in step], np.int32),
                policy_info=(),
                next_step_type=np.array([each.next_step_type for each in step], np.int32),
                reward=np.array([each.reward for each in step], np.float32),
                discount=np.array([each.discount for each in step], np.float32),
            )
        )
    return replay


def streams_of(num_envs, stack_size, num_steps=200, seed=0):
    streams = [Stream(number, stack_size) for number in range(num_envs)]
    for stream in streams:
        stream.random_episodes(num_steps, np.random.default_rng((seed, stream.number)))
    return streams


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 100])
def test_the_tree_finds_in_proportion_to_the_weights(size):
    generator, tree = np.random.default_rng(size), SumTree(size)
    weights = generator.random(size) * (generator.random(size) < 0.7)
    weights[generator.integers(size)] = 0.5
    for index in generator.permutation(size):
        tree.assign(np.array([index]), generator.random(1))
    tree.assign(np.arange(size), weights)
    ends = np.cumsum(weights)
    assert tree.total == pytest.approx(ends[-1], rel=1e-12)
    targets = generator.random(500) * tree.total
    np.testing.assert_array_equal(tree.find(targets), np.searchsorted(ends, targets, side="right"))
    assert weights[tree.find(np.array([np.nextafter(tree.total, 0)]))[0]] > 0


def test_a_tree_made_again_of_the_same_weights_is_the_same():
    generator, tree, again = np.random.default_rng(0), SumTree(37), SumTree(37)
    for _ in range(50):
        tree.assign(generator.integers(37, size=5), generator.random(5))
    again.assign_all(tree.weights)
    np.testing.assert_array_equal(tree._sums, again._sums)


@pytest.mark.parametrize(
    ("num_envs", "stack_size", "n_step", "rows"), [(1, 1, 1, 12), (2, 3, 2, 17), (3, 4, 3, 20)]
)
def test_exactly_the_starts_have_a_priority(num_envs, stack_size, n_step, rows):
    streams = streams_of(num_envs, stack_size)
    replay = PrioritizedReplay(rows * num_envs, num_envs, SHAPE, stack_size, n_step)
    for t in range(100):
        added(replay, streams, t, t + 1)
        if t == 60:
            replay.clear()
        places = np.flatnonzero(replay._tree.weights)
        starts = replay._all_starts()
        np.testing.assert_array_equal(np.sort(replay._starts_at(places)), starts)
        if len(starts):  # those that were drawn have other priorities than new ones
            sample = replay.sample_by_priority(3, seeds.derive(0, t), 0.5)
            replay.set_priorities(sample.places, np.full(3, 0.25 + t % 7))


def test_rows_are_those_of_a_frame_replay():
    streams = streams_of(2, 3)
    one, other = (make(40, 2, SHAPE, 3, 2) for make in (FrameReplay, PrioritizedReplay))
    for replay in (one, other):
        added(replay, streams, 0, 50)
    batches = [replay.sample(16, seeds.derive(0, "sample")) for replay in (one, other)]
    for column, other_column in zip(batches[0], batches[1], strict=True):
        np.testing.assert_array_equal(column, other_column)


def test_draws_and_weights_follow_the_priorities():
    settings = Prioritization(exponent=0.5, offset=0.25)
    replay = PrioritizedReplay(40, 1, SHAPE, 1, 1, settings)
    added(replay, streams_of(1, 1), 0, 30)
    places = np.flatnonzero(replay._tree.weights)
    priorities = np.arange(len(places)) % 4 * 2.0
    replay.set_priorities(places, priorities)
    weights = (priorities + 0.25) ** 0.5
    expected = weights / weights.sum()
    batch_size = 1_000
    sample = replay.sample_by_priority(batch_size, seeds.derive(0, "sample"), 0.6)
    counts = np.array([(sample.places == place).sum() for place in places])
    # One draw from each of 1,000 equal strata: a transition has its share of them within the two at its ends.
    assert np.abs(counts - batch_size * expected).max() <= 2
    drawn = expected[np.searchsorted(places, sample.places)]
    importance = (len(places) * drawn) ** -0.6
    np.testing.assert_allclose(sample.weights, importance / importance.max(), rtol=1e-6)
    np.testing.assert_array_equal(sample.batch.reward, replay._read(replay._starts_at(sample.places)).reward)


def test_new_transitions_have_the_largest_priority_so_far():
    replay = PrioritizedReplay(40, 1, SHAPE, 1, 1, Prioritization(exponent=1.0, offset=0.0))
    streams = streams_of(1, 1)
    added(replay, streams, 0, 5)
    assert set(replay._tree.weights) == {0.0, 1.0}
    replay.set_priorities(np.flatnonzero(replay._tree.weights)[:1], np.array([3.0]))
    replay.set_priorities(np.flatnonzero(replay._tree.weights)[:1], np.array([0.5]))
    added(replay, streams, 5, 15)
    assert set(replay._tree.weights) == {0.0, 0.5, 1.0, 3.0}


def test_priorities_are_the_td_errors():
    agent = q_agents_test.make("double_dqn")  # a Huber loss with threshold 16 / 32
    errors = np.array([0.0, 0.1, 0.5, 0.7, 20.0])
    losses = np.where(errors <= 0.5, errors**2 / 2, 0.5 * (errors - 0.25))
    np.testing.assert_allclose(agent.priorities(losses), errors, rtol=1e-12)
    distributional = q_agents_test.make("c51")
    np.testing.assert_array_equal(distributional.priorities(losses), losses)


@pytest.mark.parametrize("name", ["double_dqn", "c51"])
def test_importance_weights_are_factors_of_the_examples_losses(name):
    agent, batch = q_agents_test.make(name), q_agents_test.trajectories(1)
    weights = np.linspace(0.1, 1, q_agents_test.BATCH).astype(np.float32)
    loss, losses = agent.loss(batch.replace(policy_info=weights))
    np.testing.assert_allclose(losses, weights * agent.loss(batch)[1], rtol=1e-6)
    np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-6)


def test_gradient_steps_set_priorities_by_errors_and_draw_by_them():
    settings = Prioritization(exponent=0.5, offset=0.25, importance_begin=0.5, importance_steps=10)
    task = built(num_envs=2, prioritization=settings)
    driver = HostSteps(task, GradientStep(task, task.model, keras.optimizers.SGD(0.0)))
    task.start()
    for _ in task.warm_up():
        pass
    tree = task._learner._replay._tree
    online, target = (task.trackables()[name] for name in ("model", "target_model"))
    for variable in target.trainable_variables:
        variable.assign(1.3 * variable)
    task.after_step = lambda step: None  # no copies
    spread = []
    for step in range(1, 9):
        before = None if step == 1 else tree.weights.copy()
        driver.advance(step - 1, step, {})
        batch, places = driver._last_batch, task._learner._places
        if before is not None:  # steps played since then have new places, or the largest priority
            drawn = np.where(before[places] > 0, before[places], before.max())
            beta = 0.5 + 0.5 * step / 10
            np.testing.assert_allclose(batch.policy_info, (drawn / drawn.min()) ** -beta, rtol=1e-5)
            spread.append(np.ptp(drawn))
        values, following, chooser = (
            np.asarray(model(batch.observation[:, now]), np.float64)
            for model, now in ((online, 0), (target, 1), (online, 1))
        )
        rows = np.arange(4)
        targets = batch.reward[:, 0] + 0.99 * batch.discount[:, 0] * following[rows, chooser.argmax(1)]
        errors = np.abs(targets - values[rows, batch.action[:, 0]])
        np.testing.assert_allclose(tree.weights[places], (errors + 0.25) ** 0.5, rtol=1e-4)
    assert max(spread) > 0
    task.close()


SETTINGS = Prioritization(importance_steps=20)


def learned(task, steps):
    """Draws batches and notes losses that are other ones in each step; returns the batches."""
    batches = []
    for _ in range(steps):
        batches.append(task.next())
        batch = tf.nest.map_structure(tf.constant, batches[-1])
        task.note_losses(task.loss(task.model, batch).per_example_loss)
    return batches


def test_a_task_is_restored_bit_for_bit(tmp_path):
    make = functools.partial(built, num_envs=2, prioritization=SETTINGS)
    task = make()
    task.start()
    for _ in task.warm_up():
        pass
    learned(task, 8)
    segments = task.save(tmp_path, tmp_path / "shared")
    again = make()
    again.restore(tmp_path, tmp_path / "shared", segments)
    for one, other in zip(learned(task, 12), learned(again, 12), strict=True):
        for column, other_column in zip(one, other, strict=True):
            np.testing.assert_array_equal(column, other_column)
    assert len({*one.policy_info}) > 1 and one.policy_info.max() == 1
    batch = task.diagnostics_batch()[0]
    assert set(batch.policy_info.numpy()) == {1} and len(batch.reward) == 6
    assert task.data_batches()[0].policy_info.shape == task.further_batch(3).policy_info.shape == (4,)
    assert dict(task.describe(10, 5, 1))["replay memory"] == (
        "600 steps, 0.00 GB, by priority^0.6, importance 0.4 to 1 over 20 gradient steps (0.7 at the end of"
        " the run)"
    )
    task.close()
    again.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"exponent": -0.5}, "`exponent` must be a number in [0, 1]. Received: -0.5"),
        ({"importance_end": 2}, "`importance_end` must be a number in [0, 1]. Received: 2"),
        ({"offset": -1e-3}, "`offset` must be a finite number of at least 0. Received: -0.001"),
    ],
)
def test_wrong_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Prioritization(**arguments)


def test_a_task_refuses_what_are_no_settings():
    with pytest.raises(ValueError, match=r"^`prioritization` must be .*@Prioritization\(\)\. Received: 0\.6"):
        built(prioritization=0.6)
    with pytest.raises(
        ValueError, match=r"^`sample_by_priority` needs .* Received: none in 0 frames\. Add more"
    ):
        rl.PrioritizedReplay(10, 1, SHAPE, 1).sample_by_priority(2, seeds.derive(0, "sample"), 0.4)
