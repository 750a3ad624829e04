import re

import numpy as np
import pytest

from tfplastic import seeds
from tfplastic.rl.agents.acting import LinearEpsilon, epsilon_greedy

ROWS = 20_000
NUM_ACTIONS = 5


def act(epsilon, key=None, rows=ROWS, greedy_action=7):
    """Greedy actions are out of the range of the random ones, which separates them."""
    observation = np.zeros([rows, 2])
    key = seeds.derive(0, "act", 0) if key is None else key
    return epsilon_greedy(
        lambda seen: np.full(len(seen), greedy_action), observation, epsilon, NUM_ACTIONS, key
    )


def not_called(observation):
    raise AssertionError("the greedy actions were asked for")


def assert_binomial(successes, trials, probability):
    assert abs(successes - trials * probability) < 5 * (trials * probability * (1 - probability)) ** 0.5


def test_epsilon_zero_is_greedy_row_by_row():
    observation = np.arange(12).reshape(6, 2)
    actions = epsilon_greedy(lambda seen: seen[:, 0], observation, 0.0, NUM_ACTIONS, seeds.derive(0, "act"))
    assert actions.tolist() == [0, 2, 4, 6, 8, 10]


def test_epsilon_one_is_uniform_and_does_not_ask_for_greedy_actions():
    actions = epsilon_greedy(not_called, np.zeros([ROWS, 2]), 1.0, NUM_ACTIONS, seeds.derive(0, "act"))
    counts = np.bincount(actions)
    assert len(counts) == NUM_ACTIONS
    for count in counts:
        assert_binomial(count, ROWS, 1 / NUM_ACTIONS)


@pytest.mark.parametrize("epsilon", [0.01, 0.1, 0.5])
def test_a_fraction_epsilon_is_random_and_uniform(epsilon):
    actions = act(epsilon)
    explored = actions[actions != 7]
    assert_binomial(len(explored), ROWS, epsilon)
    for count in np.bincount(explored, minlength=NUM_ACTIONS):
        assert_binomial(count, ROWS, epsilon / NUM_ACTIONS)


def test_greedy_actions_are_not_asked_for_where_all_rows_explore():
    explored = [act(0.5, seeds.derive(0, step), rows=1)[0] != 7 for step in range(50)]
    assert 5 < sum(explored) < 45
    for step in np.flatnonzero(explored):
        epsilon_greedy(not_called, np.zeros([1, 2]), 0.5, NUM_ACTIONS, seeds.derive(0, int(step)))


def test_rows_are_independent():
    """Both of two rows explore with probability 1/4, and then take each pair of actions equally often."""
    pairs = np.array([act(0.5, seeds.derive(0, step), rows=2) for step in range(4_000)])
    both = pairs[(pairs != 7).all(axis=1)]
    assert_binomial(len(both), len(pairs), 0.25)
    assert_binomial((both[:, 0] == both[:, 1]).sum(), len(both), 1 / NUM_ACTIONS)


def test_consecutive_keys_are_independent():
    explores = np.array([act(0.5, seeds.derive(0, "act", step), rows=1)[0] != 7 for step in range(4_000)])
    assert_binomial((explores[1:] & explores[:-1]).sum(), len(explores) - 1, 0.25)


def test_the_same_key_gives_the_same_actions():
    np.testing.assert_array_equal(act(0.5), act(0.5))


def test_another_key_gives_other_actions():
    assert (act(0.5) != act(0.5, seeds.derive(1, "act", 0))).mean() > 0.5


def test_what_is_drawn_does_not_depend_on_epsilon_or_the_greedy_actions():
    low, high = act(0.1), act(0.9, greedy_action=9)
    assert (low[low != 7] == high[low != 7]).all()


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("rows", [1, 4])
def test_returns_int32_of_the_batch(epsilon, rows):
    actions = act(epsilon, rows=rows)
    assert actions.dtype == np.int32 and actions.shape == (rows,)


@pytest.mark.parametrize(
    ("agent_steps", "expected"),
    # From 1 to 0.2 in 400 steps: 0.002 less in each.
    [(-5_000, 1.0), (0, 1.0), (1, 0.998), (100, 0.8), (399, 0.202), (400, 0.2), (401, 0.2), (10**9, 0.2)],
)
def test_linear_epsilon(agent_steps, expected):
    epsilon = LinearEpsilon(begin=1.0, end=0.2, decay_agent_steps=400)
    assert epsilon(agent_steps) == pytest.approx(expected, abs=1e-12)


def test_linear_epsilon_of_no_length_ends_with_the_warm_up():
    epsilon = LinearEpsilon(begin=0.9, end=0.1, decay_agent_steps=0)
    assert [epsilon(steps) for steps in (-1, 0, 1, 2)] == [0.9, 0.9, 0.1, 0.1]


def test_linear_epsilon_may_rise():
    assert LinearEpsilon(begin=0.0, end=1.0, decay_agent_steps=10)(3) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"begin": 1.5}, "`begin` must be a number in [0, 1]. Received: 1.5"),
        ({"end": -0.1}, "`end` must be a number in [0, 1]. Received: -0.1"),
        ({"decay_agent_steps": -1}, "`decay_agent_steps` must be an integer of at least 0. Received: -1"),
        (
            {"decay_agent_steps": 1e6},
            "`decay_agent_steps` must be an integer of at least 0. Received: 1000000.0",
        ),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        LinearEpsilon(**arguments)
