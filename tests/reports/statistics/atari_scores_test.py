import math

import pytest

from tfplastic.reports.statistics.atari_scores import human_normalized, improvement


def test_scores_by_hand():
    # Wang et al. 2016, Table 2: Pong -20.7 at random and 14.6 by a human, Boxing 0.1 and 12.1.
    assert human_normalized("Pong", 21.0) == pytest.approx(41.7 / 35.3)
    assert human_normalized("Pong", -20.7) == 0 and human_normalized("Pong", 14.6) == 1
    assert improvement("Boxing", 10.0, 4.0) == pytest.approx(6 / 12)  # the human is better than the baseline
    assert improvement("Boxing", 90.0, 50.1) == pytest.approx(39.9 / 50)  # the baseline is better
    assert improvement("Boxing", 4.0, 10.0) == pytest.approx(-6 / 12)
    assert math.isnan(improvement("Boxing", float("nan"), 1.0))


def test_there_are_57_games_of_the_benchmark():
    with pytest.raises(
        ValueError, match="^`game` must be one of the 57 games .* Received: 'pong'. Did you mean 'Pong'"
    ):
        human_normalized("pong", 1.0)
