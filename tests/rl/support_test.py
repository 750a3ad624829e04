"""Bins that cannot hold the returns are warned of when the task is built."""

import functools

import pytest

from tests.rl import minatar_task_test, small_atari
from tests.rl.mdp_task_test import built
from tfplastic.rl import c51, double_dqn, two_hot_dqn
from tfplastic.tasks import sparse_reward_mdp


def small_game(**arguments):
    minatar_task_test.make(**arguments).build(0)


@pytest.mark.parametrize(
    ("agent", "reach", "largest"),
    [
        (functools.partial(c51, num_atoms=5), "-10 to 10", 100),  # its default, that of Atari
        (functools.partial(two_hot_dqn, num_bins=5, max_value=99.0), "0 to 99", 100),
        (functools.partial(two_hot_dqn, num_bins=5, min_value=0.5), "0.5 to 100", 100),
        (functools.partial(c51, num_atoms=5, max_value=1.9, discount=0.5), "-1.9 to 1.9", 2),
    ],
)
def test_bins_that_are_too_short_are_warned_of(agent, reach, largest, caplog):
    built(agent=agent)
    (record,) = [each for each in caplog.records if "bins of the agent" in each.message]
    assert f"bins of the agent reach from {reach}, but rewards in [0, 1]" in record.message
    assert f"have returns from 0 to {largest}: those beyond" in record.message


@pytest.mark.parametrize(
    ("make", "agent", "is_warned"),
    [
        (small_atari.built, functools.partial(two_hot_dqn, num_bins=5), True),
        (small_atari.built, functools.partial(two_hot_dqn, num_bins=5, min_value=-5.0), False),
        (small_atari.built, c51, False),
        (small_game, functools.partial(two_hot_dqn, num_bins=5), False),  # no rewards below 0
    ],
)
def test_bins_without_negative_values_are_warned_of_where_rewards_may_be_negative(
    make, agent, is_warned, caplog
):
    make(agent=agent)
    assert ("bins of the agent begin at 0, but rewards of this game may be" in caplog.text) == is_warned


@pytest.mark.parametrize(
    "agent",
    [
        functools.partial(two_hot_dqn, num_bins=5),
        functools.partial(two_hot_dqn, num_bins=5, max_value=100.0, discount=0.99),
        functools.partial(c51, num_atoms=5, max_value=100),
        functools.partial(c51, num_atoms=5, max_value=1.0, discount=0.0),
        double_dqn,
    ],
)
def test_bins_that_hold_all_returns_are_not(agent, caplog):
    built(agent=agent)
    built(agent=agent, mdp=sparse_reward_mdp)
    assert "bins of the agent" not in caplog.text
