import pytest

from tfplastic.rl.atari.games import BENCHMARK_GAMES, check_game, num_actions, rom_name


@pytest.mark.parametrize(
    "spelling, name",
    [
        ("Breakout", "Breakout"),
        ("breakout", "Breakout"),
        ("MsPacman", "MsPacman"),
        ("ms_pacman", "MsPacman"),
        ("Ms. Pac-Man", "MsPacman"),
        ("JamesBond", "Jamesbond"),
        ("Jamesbond", "Jamesbond"),
        ("RiverRaid", "Riverraid"),
        ("Riverraid", "Riverraid"),
        ("MontezumaRevenge", "MontezumaRevenge"),
        ("Hero", "Hero"),
        ("H.E.R.O.", "Hero"),
        ("Q*bert", "Qbert"),
        ("up_n_down", "UpNDown"),
        ("Tetris", "Tetris"),
    ],
)
def test_a_game_has_one_name_in_all_spellings(spelling, name):
    assert check_game(spelling) == name


def test_every_benchmark_game_loads_and_has_its_own_canonical_name():
    assert len(set(BENCHMARK_GAMES)) == 57
    for game in BENCHMARK_GAMES:
        assert check_game(game) == game
        assert check_game(rom_name(game)) == game
        assert 3 <= num_actions(game) <= 18


@pytest.mark.parametrize(
    "game, count", [("Freeway", 3), ("Breakout", 4), ("Pong", 6), ("MsPacman", 9), ("Boxing", 18)]
)
def test_minimal_and_full_action_sets(game, count):
    assert num_actions(game) == count
    assert num_actions(game, full_action_set=True) == 18


@pytest.mark.parametrize(
    "game, near",
    [
        ("Brekout", " Did you mean 'Breakout'?"),
        ("Montezuma", " Did you mean 'MontezumaRevenge'?"),
        ("xyzzy", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_an_unknown_game_is_an_error_that_names_the_near_ones(game, near):
    with pytest.raises(ValueError) as error:
        check_game(game)
    assert str(error.value) == (
        "`game` must be the name of a game of the Arcade Learning Environment, such as 'Breakout'. "
        f"Received: {game!r}.{near}"
    )
