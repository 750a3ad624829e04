"""The games of MinAtar (Young and Tian 2019), which are loaded from the package `minatar`.

The package is licensed under the GPL and is optional: nothing of it is imported before a game is asked for.
Games are loaded from its files one by one, because the package itself imports seaborn and matplotlib, which
only its display needs.
"""

import functools
import importlib.util
from pathlib import Path
from typing import Any

from tfplastic._checks import near_matches

GAMES = ("asterix", "breakout", "freeway", "seaquest", "space_invaders")
"""The five games, by their names in `minatar`."""


def check_game(game: str) -> str:
    """Returns the name of a game in `minatar`.

    Upper and lower case, spaces and punctuation do not matter, so that 'space_invaders' and 'SpaceInvaders'
    name the same game.

    Args:
        game: name of the game, in any of those spellings.

    Raises:
        ValueError: if MinAtar has no such game; the message names the nearest ones.

    Example:
        >>> from tfplastic.rl.minatar.games import check_game
        >>> check_game('SpaceInvaders')
        'space_invaders'
    """
    found = {_letters(name): name for name in GAMES}
    name = found.get(_letters(game)) if isinstance(game, str) else None
    if name is None:
        near = near_matches(_letters(game), GAMES) if isinstance(game, str) else ""
        raise ValueError(f"`game` must be one of MinAtar's: {', '.join(GAMES)}. Received: {game!r}.{near}")
    return name


@functools.cache
def game_class(game: str) -> Any:
    """Returns the class of a game, `Env` of its file in `minatar`.

    Args:
        game: name of the game, see `check_game`.

    Raises:
        ImportError: if `minatar` is not installed.
    """
    package = importlib.util.find_spec("minatar")
    if package is None or not package.submodule_search_locations:
        raise ImportError("MinAtar's games need minatar: pip install 'tfplastic[minatar]'")
    path = Path(package.submodule_search_locations[0], "environments", f"{check_game(game)}.py")
    spec = importlib.util.spec_from_file_location(f"minatar.environments.{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"MinAtar's games need {path}: pip install 'tfplastic[minatar]'")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Env


@functools.cache
def observation_shape(game: str) -> tuple[int, int, int]:
    """Returns the shape of a game's observations, `(10, 10, channels)`.

    Example:
        >>> from tfplastic.rl.minatar import games
        >>> games.observation_shape('freeway')
        (10, 10, 7)
    """
    height, width, channels = game_class(game)().state_shape()
    return height, width, channels


@functools.cache
def action_set(game: str, full: bool) -> tuple[int, ...]:
    """Returns the actions of a game, as `minatar` numbers them.

    Args:
        game: name of the game.
        full: all 6 actions, instead of those that have an effect in this game.

    Example:
        >>> from tfplastic.rl.minatar import games
        >>> games.action_set('breakout', full=False)
        (0, 1, 3)
    """
    made = game_class(game)()
    return tuple(range(len(made.action_map)) if full else made.minimal_action_set())


def _letters(game: str) -> str:
    return "".join(filter(str.isalnum, game)).lower()
