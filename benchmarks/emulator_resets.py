"""Costs of a reset of ale-py's emulator with and without a seed, and whether the episodes are the same.

    .venv/bin/python benchmarks/emulator_resets.py

With a seed the ROM is loaded again. Two emulators of one seed play 150 and 300 other random actions, and are
then reset in the way that a column names; from there on both take the same actions. `same` counts the games
and ways in which all frames and rewards are equal from then on.
"""

import argparse
import statistics
import sys
import time

import numpy as np
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode

_GAMES = ("breakout", "pong", "boxing", "freeway", "seaquest", "space_invaders", "ms_pacman", "asterix")
_SEED, _STEPS = 7, 150

Episode = list[tuple[bytes, float]]
"""Frames and rewards."""


def emulator(game: str, sticky: float) -> AtariVectorEnv:
    """One emulator of a game, as this library starts it."""
    return AtariVectorEnv(
        game,
        1,
        num_threads=1,
        repeat_action_probability=sticky,
        autoreset_mode=AutoresetMode.NEXT_STEP,
        noop_max=30,
        reward_clipping=False,
        use_fire_reset=False,
    )


def play(environment: AtariVectorEnv, actions: np.ndarray) -> Episode:
    """Frames and rewards of these actions."""
    found = []
    for action in actions:
        frames, rewards, *_ = environment.step(np.array([action], np.int32))
        found.append((frames.tobytes(), float(rewards[0])))
    return found


def after(game: str, sticky: float, history: int, seed: int | None) -> tuple[Episode, float]:
    """The episode after one of random actions and a reset, and the CPU milliseconds of that reset."""
    environment = emulator(game, sticky)
    environment.reset(seed=np.array([_SEED]))
    count = len(environment.ale.get_action_set())
    play(environment, np.random.default_rng(history).integers(count, size=history * _STEPS))
    begun = time.process_time()
    environment.reset(seed=None if seed is None else np.array([seed]))
    milliseconds = 1e3 * (time.process_time() - begun)
    return play(environment, np.random.default_rng(0).integers(count, size=_STEPS)), milliseconds


def main(games: list[str]) -> None:
    """Prints a row for each game and probability of sticky actions."""
    print(f"{'game':16}{'sticky':>7}{'reset, ms':>11}{'with seed':>11}   same episode: reset, with seed")
    for game in games:
        for sticky in (0.0, 0.25):
            found = {seed: [after(game, sticky, history, seed) for history in (1, 2)] for seed in (None, 11)}
            times = [statistics.mean(each[1] for each in found[seed]) for seed in (None, 11)]
            same = [found[seed][0][0] == found[seed][1][0] for seed in (None, 11)]
            print(
                f"{game:16}{sticky:7}{times[0]:11.1f}{times[1]:11.1f}   {same[0]!s:>19}, {same[1]}",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Costs and determinism of the emulator's resets.")
    parser.add_argument("--games", nargs="+", default=list(_GAMES), metavar="NAME")
    sys.exit(main(parser.parse_args().games))
