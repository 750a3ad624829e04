"""Scalars of an evaluation of a task on Atari, from returns that are given."""

import numpy as np
import pytest

from tests.rl.small_atari import SHORT, built


def evaluating(returns, calls, **arguments):
    def evaluation(greedy_actions, game, protocol, seed, should_stop):
        calls.append((greedy_actions, game, protocol, seed, should_stop))
        return None if returns is None else np.array(returns)

    return built(evaluation=evaluation, **arguments)


def test_the_scalars_of_an_evaluation():
    # Mean 10; standard deviation sqrt((64 + 16 + 144) / 2) = 10.583, over sqrt(3): 6.1101.
    # Breakout: random play 1.7, a human 30.5, so (10 - 1.7) / 28.8 = 0.28819.
    calls = []
    task = evaluating([2.0, 6.0, 22.0], calls)

    def should_stop():
        return False

    scalars = task.evaluate(5, should_stop)
    assert scalars == {
        "evaluation/episode_return": 10.0,
        "evaluation/episodes": 3,
        "evaluation/episode_return_stderr": pytest.approx(6.1101, rel=1e-4),
        "evaluation/human_normalized_score": pytest.approx(0.28819, rel=1e-4),
    }
    ((greedy_actions, game, protocol, _, stop),) = calls
    assert (game, protocol, stop) == ("Breakout", SHORT, should_stop)
    assert greedy_actions(np.zeros([5, 12, 12, 2], np.uint8)).shape == (5,)


def test_one_episode_has_no_standard_error_and_an_unlisted_game_no_human_score():
    scalars = evaluating([3.0], [], game="Adventure").evaluate(5, lambda: False)
    assert scalars == {"evaluation/episode_return": 3.0, "evaluation/episodes": 1}


def test_each_evaluation_has_a_seed_of_its_own_that_the_root_seed_and_the_step_fix():
    calls = []
    for seed, step in [(0, 5), (0, 5), (0, 6), (1, 5)]:
        evaluating([0.0], calls, seed=seed).evaluate(step, lambda: False)
    drawn = [seed for _, _, _, seed, _ in calls]
    assert drawn[0] == drawn[1] and len(set(drawn)) == 3


def test_a_stopped_evaluation_has_no_scalars():
    assert evaluating(None, []).evaluate(5, lambda: True) is None
