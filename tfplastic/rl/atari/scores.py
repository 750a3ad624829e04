"""Human-normalized scores of the 57 games of the Atari benchmark.

The scores of a random agent and of a professional human tester stand in `scores.csv`. They are those of
Wang et al. 2016, 'Dueling Network Architectures for Deep Reinforcement Learning', appendix, Table 2 (episodes
that start with up to 30 no-ops and last at most 108,000 frames), as DQN Zoo tabulates them
(`dqn_zoo/atari_data.py`).
"""

import csv
import functools
from importlib import resources

from tfplastic.rl.atari.games import check_game


def human_normalized_score(game: str, score: float) -> float:
    """Returns the score of an agent on the scale where random play is 0 and a human is 1.

    It is (score - random) / (human - random).

    Args:
        game: name of one of the 57 games of the benchmark, see `tfplastic.rl.atari.games.check_game`.
        score: undiscounted and unclipped return of an episode, or a mean of such returns.

    Returns:
        The normalized score; negative below random play, above 1 beyond the human, NaN where `score` is NaN.

    Raises:
        ValueError: if ale-py has no such game, or if it is not one of the 57.

    Example:
        >>> from tfplastic.rl.atari.scores import human_normalized_score
        >>> round(human_normalized_score('Pong', 21.0), 3)      # (21 + 20.7) / (14.6 + 20.7)
        1.181
    """
    name = check_game(game)
    if name not in reference_scores():
        raise ValueError(f"`game` must be one of the 57 games with known human scores. Received: {game!r}")
    random, human = reference_scores()[name]
    return (score - random) / (human - random)


@functools.cache
def reference_scores() -> dict[str, tuple[float, float]]:
    """Returns (score of the random agent, score of the human) by the canonical name of the game.

    Example:
        >>> from tfplastic.rl.atari.scores import reference_scores
        >>> reference_scores()['Breakout']
        (1.7, 30.5)
    """
    with resources.files("tfplastic.rl.atari").joinpath("scores.csv").open(encoding="utf-8") as file:
        return {row["game"]: (float(row["random"]), float(row["human"])) for row in csv.DictReader(file)}
