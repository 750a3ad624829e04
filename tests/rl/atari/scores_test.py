import math

import pytest

from tfplastic.rl.atari.games import BENCHMARK_GAMES
from tfplastic.rl.atari.scores import human_normalized_score, reference_scores


def test_the_table_holds_the_benchmark_games():
    assert tuple(reference_scores()) == BENCHMARK_GAMES
    assert all(human > random for random, human in reference_scores().values())


@pytest.mark.parametrize(
    "game, score, normalized",
    [
        ("breakout", 1.7, 0.0),
        ("Breakout", 30.5, 1.0),
        ("Breakout", 401.2, 399.5 / 28.8),
        ("Pong", -20.7 - 35.3, -1.0),  # human - random = 14.6 + 20.7 = 35.3
        ("VideoPinball", 17667.9 + 1411.0, 2.0),  # 17667.9 - 16256.9 = 1411.0
        ("Skiing", -4336.9, 1.0),
        ("Surround", 6.5, 1.0),
        ("Defender", 2874.5, 0.0),
    ],
)
def test_random_play_is_zero_and_the_human_is_one(game, score, normalized):
    assert human_normalized_score(game, score) == pytest.approx(normalized, abs=1e-9)


def test_nan_stays_nan():
    assert math.isnan(human_normalized_score("Pong", math.nan))


def test_a_game_without_human_score_is_an_error():
    with pytest.raises(ValueError) as error:
        human_normalized_score("Tetris", 1.0)
    assert (
        str(error.value) == "`game` must be one of the 57 games with known human scores. Received: 'Tetris'"
    )
    with pytest.raises(ValueError, match="Did you mean 'Pong'"):
        human_normalized_score("Pongg", 1.0)
