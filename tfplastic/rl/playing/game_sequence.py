"""Sequences of games: a schedule by which one agent plays several games, one after another and in cycles."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from fractions import Fraction

import gin

from tfplastic._checks import check_boolean, check_positive_integer


@gin.register(module="tfplastic.rl")
@dataclasses.dataclass(frozen=True)
class GameSequence:
    """Games that are played in turn, to be given as the `game` of `AtariTask` or `MinAtarTask`.

    A turn is `agent_steps` agent steps of one game with the gradient steps that belong to them; after the
    last game the next cycle begins with the first. The warm-up precedes the first turn, and each turn if the
    replay is emptied. A turn ends with its last gradient step, after which everything measures and acts
    that is due at this step: it is a boundary of the task, where mitigations without a `period` act. Episodes
    in progress are then dropped, and the next game starts.

    One network plays all games. Its outputs are the union of the games' actions, numbered as the console or
    MinAtar numbers them; with `head_per_game`, each game has outputs of its own, one for each action of its
    own set. Its inputs have the channels of the game that has the most, and the others' further channels are
    zeros. Diagnostics see transitions of the first game throughout.

    Attributes:
        games: names of the games, in their order.
        agent_steps: agent steps of each turn. They belong to a whole number of gradient steps.
        cycles: number of times that each game has its turn.
        empty_replay: empty the replay at each switch, and fill it by another warm-up.
        restart_epsilon: begin the schedule of epsilon again in each turn.
        head_per_game: give each game outputs of its own. Each game acts with its own outputs, and a
            transition trains the outputs of its own game and the hidden layers, which all games share.

    Raises:
        ValueError: if there is no game, or a number is below 1.

    Example:
        >>> from tfplastic.rl import GameSequence
        >>> sequence = GameSequence(['breakout', 'freeway'], agent_steps=1_000, cycles=2)
        >>> [sequence.game(turn) for turn in range(4)], sequence.cycle(3)
        (['breakout', 'freeway', 'breakout', 'freeway'], 2)
    """

    games: Sequence[str]
    agent_steps: int
    cycles: int = 1
    empty_replay: bool = False
    restart_epsilon: bool = True
    head_per_game: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.games, str) or not isinstance(self.games, Sequence) or not self.games:
            rule = "must be a list of one or more names, such as ['breakout', 'freeway']"
            raise ValueError(f"`games` {rule}. Received: {self.games!r}")
        if len({str(game) for game in self.games}) < len(self.games):
            received = f"{list(self.games)!r}. Use `cycles` to play games again"
            raise ValueError(f"`games` must hold each game once. Received: {received}")
        check_positive_integer("agent_steps", self.agent_steps)
        check_positive_integer("cycles", self.cycles)
        check_boolean("empty_replay", self.empty_replay)
        check_boolean("restart_epsilon", self.restart_epsilon)
        check_boolean("head_per_game", self.head_per_game)

    def with_names(self, check_game: Callable[[str], str]) -> "GameSequence":
        """Returns the sequence with the canonical names of its games, which `check_game` returns.

        Raises:
            ValueError: if there is no such game, or two names are those of one.
        """
        try:
            return dataclasses.replace(self, games=tuple(check_game(game) for game in self.games))
        except ValueError as error:
            message = re.sub("^`game` must", "`games` must each", str(error))
            raise ValueError(re.sub("^`games`", "`GameSequence.games`", message)) from None

    @property
    def turns(self) -> int:
        """The number of turns."""
        return len(self.games) * self.cycles

    def game(self, turn: int) -> str:
        """Returns the game of a turn, which counts from 0."""
        return self.games[turn % len(self.games)]

    def cycle(self, turn: int) -> int:
        """Returns the cycle of a turn, which counts from 1."""
        return turn // len(self.games) + 1

    def gradient_steps(self, agent_steps_per_gradient_step: Fraction) -> int:
        """Returns the gradient steps of a turn.

        Raises:
            ValueError: if it is no whole number.
        """
        steps = self.agent_steps / agent_steps_per_gradient_step
        if steps.denominator > 1:
            rule = f"must be a multiple of the agent steps per gradient step, {agent_steps_per_gradient_step}"
            raise ValueError(f"`GameSequence.agent_steps` {rule}. Received: {self.agent_steps}")
        return int(steps)
