"""A player without a replay: the on-policy agent and the corridor of docs/extending.md play with it."""

import functools
import types

import gin
import numpy as np
import pytest

from tests.extending_test import FILE, SECTIONS
from tfplastic import networks, seeds
from tfplastic.rl import Player


@pytest.fixture(scope="module")
def corridor():
    """The page's module, of which gin hears nothing: names are registered once and for all."""
    module = types.ModuleType("corridor")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gin, "register", lambda each: each)
        exec(dict(FILE.findall(SECTIONS["An agent"]))["corridor.py"], module.__dict__)
    return module


@pytest.fixture
def player(corridor):
    player = Player(functools.partial(corridor.Corridor, 3), seed=0)
    player.start()
    yield player
    player.close()


def right(observation, key):
    return np.ones(len(observation), np.int32)


def left(observation, key):
    return np.zeros(len(observation), np.int32)


def test_it_counts_steps_and_episodes_but_not_resets(player):
    assert (player.agent_steps, player.num_episodes, player.mean_return) == (0, 0, None)
    steps = [player.play(right) for _ in range(9)]  # four to the right end, a reset, four
    assert [int(step.step_type[0]) for step in steps] == [0, 1, 1, 1, 2, 0, 1, 1, 1]
    assert [int(step.next_step_type[0]) for step in steps] == [1, 1, 1, 2, 0, 1, 1, 1, 2]
    np.testing.assert_array_equal([step.reward[0] for step in steps], [0, 0, 0, 1, 0, 0, 0, 0, 1])
    assert player.agent_steps == 3 * 8 and player.num_episodes == 6 and player.mean_return == 1.0
    for _ in range(21):  # a reset, then as many steps as an episode may have
        player.play(left)
    assert player.num_episodes == 9 and player.mean_return == pytest.approx(6 / 9)


def test_a_policy_gets_another_key_in_each_step_and_the_same_ones_from_the_same_seed(corridor):
    def keys(seed):
        player, seen = Player(functools.partial(corridor.Corridor, 3), seed), []

        def policy(observation, key):
            seen.append(tuple(key))
            return right(observation, key)

        player.start()
        for _ in range(3):
            player.play(policy)
        return seen

    assert keys(0) == keys(0) == [tuple(seeds.derive(0, "act", number)) for number in range(3)]
    assert len({*keys(0), *keys(1)}) == 6


def test_it_must_be_started(corridor):
    with pytest.raises(ValueError, match="must be started or restored before it acts"):
        Player(functools.partial(corridor.Corridor, 3), seed=0).play(right)


def on_policy(corridor):
    task = corridor.Reinforce(functools.partial(networks.mlp, hidden=(4,)), num_envs=3, num_steps=7)
    task.build(seed=0)
    return task


def test_an_on_policy_agent_continues_from_a_checkpoint_bit_for_bit(corridor, tmp_path):
    whole, saved, resumed = (on_policy(corridor) for _ in range(3))
    whole.start()
    saved.start()
    for _ in range(4):
        whole.next()
        saved.next()
    assert saved.save(tmp_path, tmp_path) == []
    resumed.restore(tmp_path, tmp_path, [])
    assert resumed.progress() == whole.progress()
    for _ in range(5):
        for one, other in zip(resumed.next(), whole.next(), strict=True):
            np.testing.assert_array_equal(one, other)
    assert resumed.progress() == whole.progress()
    assert resumed.progress()["agent_steps"] <= 9 * 7 * 3


def test_a_rollout_has_the_discounted_return_of_each_step(corridor):
    task = on_policy(corridor)
    task.start()
    task._policy = right
    weights = task.next().weight.reshape(7, 3)
    expected = [0.9**3, 0.9**2, 0.9, 1, 0, 0, 0]  # then a reset, and a return beyond the rollout
    np.testing.assert_allclose(weights, np.tile(np.array(expected)[:, None], 3), rtol=1e-6)


def test_host_tasks_have_what_most_do_not_change(corridor):
    task = on_policy(corridor)
    assert list(task.warm_up()) == [] and task.metrics() == {} and task.trackables() == {"model": task.model}
    task.after_step(1)
    assert task.seconds_per_batch() > 0 and not task.boundary(1)
