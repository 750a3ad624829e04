"""The record of a sequence of games: what was reached in each turn, how fast, and what is left of it."""

from typing import Any

from tfplastic.rl.playing.game_sequence import GameSequence

FEWEST_EPISODES = 10
"""Episodes of a turn from which on their mean return counts for the relearning time."""


class TurnRecord:
    """The returns at the ends of turns, and the time until they are reached again.

    Args:
        sequence: sequence of the games.

    Example:
        >>> from tfplastic.rl import GameSequence
        >>> from tfplastic.rl.playing.turn_record import TurnRecord
        >>> record = TurnRecord(GameSequence(['breakout', 'freeway'], agent_steps=1_000, cycles=2))
        >>> record.end_turn(0, mean_return=3.0)
        >>> record.begin_turn(episodes=50)
        >>> record.end_turn(1, mean_return=9.0)
        >>> record.begin_turn(episodes=70)
        >>> record.note(2, steps=400, episodes=82, mean_return=3.5)
        >>> record.metrics(2, mean_return=3.5)['sequence/breakout/relearning_steps']
        400.0
    """

    def __init__(self, sequence: GameSequence):
        self._sequence = sequence
        self._reached: dict[str, float] = {}  # mean return of training at the end of a game's last turn
        self._evaluated: dict[str, float] = {}  # that of an evaluation there
        self._relearning_steps: float | None = None  # of the turn in progress
        self._episodes_before = 0  # the turn in progress
        self._episodes = 0  # at the last `note`

    def end_turn(self, turn: int, mean_return: float | None) -> None:
        """Records the end of a turn.

        Args:
            turn: number of the turn.
            mean_return: mean return of training in the turn; None if no episode has ended in it.
        """
        self._relearning_steps = None
        if mean_return is not None:
            self._reached[self._sequence.game(turn)] = mean_return

    def begin_turn(self, episodes: int) -> None:
        """Records the beginning of a turn, after its own warm-up.

        Args:
            episodes: episodes that have ended since the start of the first turn.
        """
        self._episodes_before = self._episodes = episodes

    def is_new(self, episodes: int) -> bool:
        """Returns whether episodes have ended since the last `note`."""
        return episodes != self._episodes

    def note(self, turn: int, steps: int, episodes: int, mean_return: float | None) -> None:
        """Records the agent steps of a turn once it reaches the return at the end of the game's last turn.

        Args:
            turn: number of the turn in progress.
            steps: agent steps made in it.
            episodes: episodes that have ended since the start of the first turn. Fewer than 10 of the turn
                do not count.
            mean_return: mean return of the last ones of the turn, at most 100.
        """
        self._episodes = episodes
        few = episodes - self._episodes_before < FEWEST_EPISODES
        if few or self._relearning_steps is not None or mean_return is None:
            return
        reached = self._reached.get(self._sequence.game(turn))
        if reached is not None and mean_return >= reached:
            self._relearning_steps = float(steps)

    def metrics(self, turn: int, mean_return: float | None) -> dict[str, float]:
        """Returns the metrics of the turn in progress, by tag."""
        game, cycle = self._sequence.game(turn), self._sequence.cycle(turn)
        scalars: dict[str, float] = {"sequence/turn": float(turn), "sequence/cycle": float(cycle)}
        if mean_return is not None:
            scalars[f"sequence/{game}/episode_return_of_cycle_{cycle}"] = mean_return
        if self._relearning_steps is not None:
            scalars[f"sequence/{game}/relearning_steps"] = self._relearning_steps
        return scalars

    def note_evaluation(self, turn: int, means: dict[str, float], at_end: bool) -> dict[str, float]:
        """Records the evaluation at the end of a turn, and returns the forgetting of the other games.

        Args:
            turn: number of the turn in progress.
            means: mean return by game.
            at_end: whether the turn ends here.

        Returns:
            By tag, for each game that was evaluated at the end of its last turn and is not played now, that
            return less the present one.
        """
        playing = self._sequence.game(turn)
        if at_end:
            self._evaluated[playing] = means[playing]
        others = [game for game in means if game != playing and game in self._evaluated]
        return {f"evaluation/{game}/forgetting": self._evaluated[game] - means[game] for game in others}

    def state(self) -> dict[str, Any]:
        """Returns everything that `restore` needs, which JSON can hold."""
        return {
            "reached": self._reached,
            "evaluated": self._evaluated,
            "relearning_steps": self._relearning_steps,
            "episodes_before": self._episodes_before,
            "episodes": self._episodes,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Takes up a state from `state`."""
        self._reached, self._evaluated = dict(state["reached"]), dict(state["evaluated"])
        self._relearning_steps = state["relearning_steps"]
        self._episodes_before, self._episodes = state["episodes_before"], state["episodes"]
