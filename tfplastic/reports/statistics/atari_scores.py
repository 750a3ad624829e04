"""Scores on Atari, relative to people and to another agent."""

import csv
import functools
import math
import numbers
from importlib import resources
from typing import Any

from tfplastic._checks import check_finite, shown
from tfplastic._text.near_names import near_matches


def human_normalized(game: str, score: float) -> float:
    """Returns (score - random) / (human - random): 0 for random play, 1 for a human.

    Args:
        game: one of the 57 games of the benchmark, such as 'Pong'.
        score: undiscounted and unclipped return of an episode, or a mean of such.

    Returns:
        Any number; NaN where `score` is.

    Raises:
        ValueError: the game is none of the 57.

    Source of the scores: Wang et al. 2016, "Dueling network architectures", appendix, Table 2.
    """
    random, human = _reference(game)
    score = _number("score", score)
    return (score - random) / (human - random)


def improvement(game: str, score: float, baseline: float) -> float:
    """Returns (score - baseline) / (max(human, baseline) - random): the gain as a share of the possible gain.

    The measure of Fig. 7 of the paper, there in percent. The human's score is the measure where the baseline
    is weaker, so that doubling a tiny score is not a large gain.

    Args:
        game: one of the 57 games of the benchmark, such as 'Pong'.
        score: score of the agent.
        baseline: score of the agent to compare with.

    Returns:
        Any number, negative where the agent is worse; NaN where a score is.

    Raises:
        ValueError: the game is none of the 57.

    Source: Wang et al. 2016, "Dueling network architectures", section 4.2; that the paper means it is our
        reading of its reference to them.

    Example:
        >>> from tfplastic.reports.statistics.atari_scores import improvement
        >>> round(improvement('Breakout', 60.0, 30.0), 4)  # (60 - 30) / (30.5 - 1.7)
        1.0417
    """
    random, human = _reference(game)
    score, baseline = _number("score", score), _number("baseline", baseline)
    return (score - baseline) / (max(human, baseline) - random)


def _number(name: str, value: Any) -> Any:
    """Returns `value` if it is a number, or an array of them."""
    is_array = getattr(getattr(value, "dtype", None), "kind", "") in ("f", "i", "u")
    if not is_array and (not isinstance(value, numbers.Real) or isinstance(value, bool)):
        raise TypeError(f"`{name}` must be a number. Received: {shown(value)}")
    is_finite = not is_array and value == value and value not in (math.inf, -math.inf)
    return check_finite(name, value) if is_finite else value


def _reference(game: str) -> tuple[float, float]:
    scores = _scores()
    if not isinstance(game, str) or game not in scores:
        hint = near_matches(str(game), scores)
        raise ValueError(
            f"`game` must be one of the 57 games of the benchmark. Received: {shown(game)}.{hint}"
        )
    return scores[game]


@functools.cache
def _scores() -> dict[str, tuple[float, float]]:
    # By the file, since the package that it lies in needs TensorFlow.
    file = resources.files("tfplastic").joinpath("rl/atari/scores.csv")
    rows = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
    return {row["game"]: (float(row["random"]), float(row["human"])) for row in rows}
