"""Returns of random play, against the package that the games are from."""

import numpy as np
import pytest

from tfplastic.reports.statistics.minatar_scores import ONE_ACTION, PUBLISHED, RANDOM

EPISODES = {"breakout": 400, "freeway": 20, "space_invaders": 200}


def returns_of(game, episodes, action=None, epsilon=1.0):
    """Returns by the loop of the package's own `examples/random_play.py`; or of one action, with epsilon."""
    environment = pytest.importorskip("minatar").Environment(
        game, sticky_action_prob=0.1, difficulty_ramping=True
    )
    environment.seed(0)
    generator, returns = np.random.default_rng(0), []
    for _ in range(episodes):
        environment.reset()
        total, is_over = 0.0, False
        while not is_over:
            is_random = generator.random() < epsilon
            reward, is_over = environment.act(int(generator.integers(6)) if is_random else action)
            total += reward
        returns.append(total)
    return np.array(returns)


@pytest.mark.slow
@pytest.mark.parametrize("game", RANDOM)
def test_random_play_has_the_returns_that_are_recorded(game):
    mean, error = RANDOM[game]
    found = returns_of(game, EPISODES[game])
    other = found.std(ddof=1) / len(found) ** 0.5
    assert abs(found.mean() - mean) < 4 * np.hypot(error, other)
    assert 0 < error < 0.05 * mean + 0.05 and mean < PUBLISHED[game] / 2


@pytest.mark.slow
@pytest.mark.parametrize(("game", "action"), [("breakout", 5), ("freeway", 2), ("space_invaders", 5)])
def test_the_best_single_action_has_the_returns_that_are_recorded(game, action):
    mean, error = ONE_ACTION[game]
    found = returns_of(game, EPISODES[game], action, epsilon=0.1)
    other = found.std(ddof=1) / len(found) ** 0.5
    assert abs(found.mean() - mean) < 4 * np.hypot(error, other)
    assert mean > RANDOM[game][0]
