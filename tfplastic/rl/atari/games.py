"""Names of the games of the Arcade Learning Environment (ALE), and the number of actions of each."""

import functools

import ale_py
from ale_py import registration, roms

from tfplastic import _checks

BENCHMARK_GAMES: tuple[str, ...] = (
    "Alien", "Amidar", "Assault", "Asterix", "Asteroids", "Atlantis", "BankHeist", "BattleZone",
    "BeamRider", "Berzerk", "Bowling", "Boxing", "Breakout", "Centipede", "ChopperCommand", "CrazyClimber",
    "Defender", "DemonAttack", "DoubleDunk", "Enduro", "FishingDerby", "Freeway", "Frostbite", "Gopher",
    "Gravitar", "Hero", "IceHockey", "Jamesbond", "Kangaroo", "Krull", "KungFuMaster", "MontezumaRevenge",
    "MsPacman", "NameThisGame", "Phoenix", "Pitfall", "Pong", "PrivateEye", "Qbert", "Riverraid",
    "RoadRunner", "Robotank", "Seaquest", "Skiing", "Solaris", "SpaceInvaders", "StarGunner", "Surround",
    "Tennis", "TimePilot", "Tutankham", "UpNDown", "Venture", "VideoPinball", "WizardOfWor", "YarsRevenge",
    "Zaxxon",
)  # fmt: skip
"""The 57 games on which Atari agents are compared (Wang et al. 2016, appendix), in alphabetical order."""


def check_game(game: str) -> str:
    """Returns the canonical name of a game: the one that Gymnasium uses in 'ALE/<name>-v5'.

    Upper and lower case, spaces and punctuation do not matter, so that 'MsPacman', 'ms_pacman' and 'Ms.
    Pacman' name the same game. The 57 games of the benchmark are accepted, and all others whose ROM comes
    with ale-py.

    Args:
        game: name of the game, in any of those spellings.

    Returns:
        The name in CamelCase, such as 'MsPacman'.

    Raises:
        ValueError: if ale-py has no such game; the message names the nearest ones.

    Example:
        >>> from tfplastic.rl.atari.games import check_game
        >>> check_game('ms_pacman'), check_game('RiverRaid')
        ('MsPacman', 'Riverraid')
    """
    return registration.rom_id_to_name(rom_name(game))


def rom_name(game: str) -> str:
    """Returns the name of a game's ROM in ale-py, such as 'ms_pacman'. See `check_game` for the errors.

    Example:
        >>> from tfplastic.rl.atari.games import rom_name
        >>> rom_name('MsPacman')
        'ms_pacman'
    """
    rom = _roms_by_letters().get(_letters(game)) if isinstance(game, str) else None
    if rom is None:
        names = [registration.rom_id_to_name(rom) for rom in _roms_by_letters().values()]
        near = _checks.near_matches(_letters(game), names) if isinstance(game, str) else ""
        raise ValueError(
            f"`game` must be the name of a game of the Arcade Learning Environment, such as 'Breakout'. "
            f"Received: {game!r}.{near}"
        )
    return rom


def num_actions(game: str, full_action_set: bool = False) -> int:
    """Returns the number of actions of a game. Loads its ROM, which takes about 0.1 s, the first time.

    Args:
        game: name of the game, see `check_game`.
        full_action_set: count all 18 actions of the console instead of those that have an effect in this
            game.

    Example:
        >>> from tfplastic.rl.atari.games import num_actions
        >>> num_actions('Breakout'), num_actions('Breakout', full_action_set=True)
        (4, 18)
    """
    return len(action_set(game, full_action_set))


@functools.cache
def action_set(game: str, full: bool = False) -> tuple[int, ...]:
    """Returns the actions of a game, as the console numbers them. Loads its ROM the first time.

    Args:
        game: name of the game, see `check_game`.
        full: all 18 actions of the console, instead of those that have an effect in this game.

    Example:
        >>> from tfplastic.rl.atari.games import action_set
        >>> action_set('Breakout')  # no-op, fire, right, left
        (0, 1, 3, 4)
    """
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    emulator = ale_py.ALEInterface()
    emulator.loadROM(str(roms.get_rom_path(rom_name(game))))
    actions = emulator.getLegalActionSet() if full else emulator.getMinimalActionSet()
    return tuple(action.value for action in actions)


def _letters(game: str) -> str:
    return "".join(filter(str.isalnum, game)).lower()


@functools.cache
def _roms_by_letters() -> dict[str, str]:
    return {_letters(rom): rom for rom in roms.get_all_rom_ids()}
