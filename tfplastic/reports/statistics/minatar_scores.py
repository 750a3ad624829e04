"""Scores in MinAtar: of random play, of the best single action, and of DQN as published."""

import math
from collections.abc import Mapping

from tfplastic._text.near_names import near_matches

RANDOM: Mapping[str, tuple[float, float]] = {
    "breakout": (0.508, 0.0237),
    "freeway": (0.11, 0.0314),
    "space_invaders": (2.856, 0.0743),
}
"""{game: mean return of random play and its standard error}.

Each of all 6 actions is equally likely, with sticky actions and difficulty ramping:
`Evaluation(num_episodes=1_000, epsilon=1.0)` by `MinAtarProtocol()` with seed 0, in freeway 100 episodes.
"""

ONE_ACTION: Mapping[str, tuple[float, float]] = {
    "breakout": (0.577, 0.0196),
    "freeway": (27.73, 0.572),
    "space_invaders": (3.235, 0.0351),
}
"""{game: mean return of the best single action and its standard error}.

The action is replaced by a random one with probability 0.1; episodes, protocol and seed are those of
`RANDOM`. In freeway the action is up, action 2, which reaches 58 % of the published score; in the others it
is action 5.
"""

PUBLISHED: Mapping[str, float] = {"breakout": 9.0, "freeway": 48.0, "space_invaders": 33.0}
"""{game: return of DQN in training after 1M frames}, the mean of 30 seeds.

Read off learning_curves.gif in the repository of MinAtar, which goes with Young and Tian 2019, "MinAtar: an
Atari-inspired testbed for thorough and reproducible reinforcement learning experiments". No table has them.
"""


def improvement(game: str, score: float, baseline: float) -> float:
    """Returns (score - baseline) / (max(published, baseline) - random): the gain as a share of the possible.

    The measure of `atari_scores.improvement`, with the published score of DQN in place of the human's, which
    MinAtar lacks.

    Args:
        game: 'breakout', 'freeway' or 'space_invaders'.
        score: mean return of the agent.
        baseline: mean return of the agent to compare with.

    Returns:
        Any number, negative where the agent is worse; NaN where a score is.

    Raises:
        ValueError: there is no published score of the game.

    Example:
        >>> from tfplastic.reports.statistics.minatar_scores import improvement
        >>> round(improvement('freeway', 60.0, 48.0), 3)
        0.251
    """
    return (score - baseline) / possible(game, baseline)


def possible(game: str, baseline: float) -> float:
    """Returns max(published, baseline) - random, the gain that `improvement` counts as 1.

    Args:
        game: see `improvement`.
        baseline: mean return of the agent to compare with.

    Raises:
        ValueError: there is no published score of the game.

    Example:
        >>> from tfplastic.reports.statistics.minatar_scores import possible
        >>> round(possible('freeway', 6.0), 2), round(possible('freeway', 50.0), 2)
        (47.89, 49.89)
    """
    _check(game)
    return max(PUBLISHED[game], baseline) - RANDOM[game][0]


def above_random(game: str, score: float, error: float) -> float:
    """Returns (score - random) / sqrt(s^2 + s_random^2): the distance from random play in standard errors.

    Args:
        game: see `improvement`.
        score: mean return over episodes.
        error: standard error s of the mean.

    Raises:
        ValueError: there is no published score of the game.

    Example:
        >>> from tfplastic.reports.statistics.minatar_scores import above_random
        >>> round(above_random('breakout', 1.0, 0.1), 2)
        4.79
    """
    return _distance(RANDOM, game, score, error)


def above_blind(game: str, score: float, error: float) -> float:
    """Returns the distance from play that ignores what it sees: random, or the best single action.

    The smaller one of the distances from both, each as in `above_random`.

    Args:
        game: see `improvement`.
        score: mean return over episodes.
        error: standard error s of the mean.

    Raises:
        ValueError: there is no published score of the game.

    Example:
        >>> from tfplastic.reports.statistics.minatar_scores import above_blind, above_random
        >>> above_random('freeway', 27.0, 1.0) > 20, above_blind('freeway', 27.0, 1.0) > 1
        (True, False)
    """
    return min(_distance(each, game, score, error) for each in (RANDOM, ONE_ACTION))


def _distance(others: Mapping[str, tuple[float, float]], game: str, score: float, error: float) -> float:
    _check(game)
    mean, error_of_mean = others[game]
    return (score - mean) / math.hypot(error, error_of_mean)


def _check(game: str) -> None:
    if game not in PUBLISHED:
        hint = near_matches(str(game), PUBLISHED)
        rule = f"must be one of {', '.join(PUBLISHED)}, whose scores are published"
        raise ValueError(f"`game` {rule}. Received: {game!r}.{hint}")
