"""The turns of a task: which game is played at a gradient step, since when, and with what result."""

import abc
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from tfplastic.rl.agents.heads import ActionHeads
from tfplastic.rl.playing.game_protocol import GameProtocol
from tfplastic.rl.playing.game_sequence import GameSequence
from tfplastic.rl.playing.player import Player
from tfplastic.rl.playing.shared_spaces import SharedSpaces
from tfplastic.rl.playing.turn_record import TurnRecord


class Turns(abc.ABC):
    """The course of a task on one game or several.

    Attributes:
        games: names of all games.
        protocol: protocol by which each of them is played.
        gradient_steps: gradient steps of a turn; None if there is only one, without an end.
        most_gradient_steps: gradient steps of all turns; None without an end.
        empty_replay: whether the replay is emptied at the end of a turn.
    """

    games: Sequence[str]
    protocol: GameProtocol
    gradient_steps: int | None = None
    most_gradient_steps: int | None = None
    empty_replay = False

    def turn(self, gradient_steps: int) -> int:
        """Returns the turn, from 0, of the gradient step that follows so many."""
        return 0 if self.gradient_steps is None else gradient_steps // self.gradient_steps

    @property
    def heads(self) -> ActionHeads:
        """The heads of the network."""
        return ActionHeads((self.protocol.num_actions(self.games[0]),))

    def head(self, game: str) -> int:
        """Returns the head of a game."""
        del game
        return 0

    @abc.abstractmethod
    def game(self, turn: int) -> str:
        """Returns the game of a turn."""

    def warm_ups(self, turn: int) -> int:
        """Returns the number of warm-ups that there have been when a turn has had its own."""
        return 1 + turn * self.empty_replay

    def agent_steps_before(self, turn: int, warm_up: int) -> int:
        """Returns the agent steps before a turn, with its own warm-up."""
        del turn
        return warm_up

    def epsilon_begins(self, turn: int, warm_up: int) -> int:
        """Returns the agent step from which epsilon's schedule counts in a turn."""
        del turn
        return warm_up

    def end_turn(self, turn: int, player: Player) -> None:
        """Records the end of a turn that a player has played."""

    def begin_turn(self, player: Player) -> None:
        """Records the beginning of a turn, after its own warm-up."""

    def note(self, turn: int, player: Player, warm_up: int) -> None:
        """Records how far a player has come in a turn."""

    def metrics(self, turn: int, mean_return: float | None) -> dict[str, float]:
        """Returns the metrics of the turn in progress, by tag."""
        return {}

    def evaluated_games(self, turn: int) -> Sequence[str]:
        """Returns the games that an evaluation plays besides that of the turn."""
        return ()

    def note_evaluation(self, turn: int, step: int, means: dict[str, float]) -> dict[str, float]:
        """Records mean returns by game after a gradient step, and returns the metrics that follow."""
        return {}

    def state(self) -> dict[str, Any]:
        """Returns everything that `restore` needs, which JSON can hold."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes up a state from `state`."""

    @abc.abstractmethod
    def in_words(self) -> str:
        """Returns the games and their order for a plan."""

    def warm_ups_in_words(self, warm_up: int) -> str:
        """Returns which agent steps are a warm-up, for a plan."""
        return f"the first {warm_up:,}{' of each turn' if self.empty_replay else ''} as warm-up"


class OneGame(Turns):
    """A game that is played throughout.

    Args:
        game: name of the game.
        protocol: protocol of the game.
    """

    def __init__(self, game: str, protocol: GameProtocol):
        self.games, self.protocol = (game,), protocol

    def game(self, turn: int) -> str:
        return self.games[0]

    def in_words(self) -> str:
        return self.games[0]


class GamesInTurn(Turns):
    """A sequence of games.

    Args:
        sequence: sequence with canonical names.
        protocol: protocol of each game.
        agent_steps_per_gradient_step: exact.

    Raises:
        ValueError: if a turn is no whole number of gradient steps, or one network cannot play all games.
    """

    def __init__(
        self, sequence: GameSequence, protocol: GameProtocol, agent_steps_per_gradient_step: Fraction
    ):
        self._sequence = sequence
        self.games, self.empty_replay = sequence.games, sequence.empty_replay
        self.gradient_steps = sequence.gradient_steps(agent_steps_per_gradient_step)
        self.most_gradient_steps = sequence.turns * self.gradient_steps
        self.protocol = SharedSpaces(protocol, sequence.games, shared_actions=not sequence.head_per_game)
        self._record = TurnRecord(sequence)

    @property
    def heads(self) -> ActionHeads:
        games = self.games if self._sequence.head_per_game else self.games[:1]
        return ActionHeads(tuple(self.protocol.num_actions(game) for game in games))

    def head(self, game: str) -> int:
        return self.games.index(game) if self._sequence.head_per_game else 0

    def game(self, turn: int) -> str:
        return self._sequence.game(turn)

    def agent_steps_before(self, turn: int, warm_up: int) -> int:
        return warm_up * self.warm_ups(turn) + turn * self._sequence.agent_steps

    def epsilon_begins(self, turn: int, warm_up: int) -> int:
        if self._sequence.restart_epsilon:
            return self.agent_steps_before(turn, warm_up)
        return warm_up * self.warm_ups(turn)  # a warm-up is no part of the schedule

    def end_turn(self, turn: int, player: Player) -> None:
        self._record.end_turn(turn, player.mean_return)

    def begin_turn(self, player: Player) -> None:
        self._record.begin_turn(player.num_episodes)

    def note(self, turn: int, player: Player, warm_up: int) -> None:
        if self._record.is_new(player.num_episodes):
            steps = player.agent_steps - self.agent_steps_before(turn, warm_up)
            self._record.note(turn, steps, player.num_episodes, player.mean_return)

    def metrics(self, turn: int, mean_return: float | None) -> dict[str, float]:
        return self._record.metrics(turn, mean_return)

    def evaluated_games(self, turn: int) -> Sequence[str]:
        return [game for game in self.games if game != self.game(turn)]

    def note_evaluation(self, turn: int, step: int, means: dict[str, float]) -> dict[str, float]:
        forgetting = self._record.note_evaluation(turn, means, step > 0 and self.turn(step) > turn)
        return {f"evaluation/{game}/episode_return": mean for game, mean in means.items()} | forgetting

    def state(self) -> dict[str, Any]:
        return self._record.state()

    def restore(self, state: dict[str, Any]) -> None:
        self._record.restore(state)

    def in_words(self) -> str:
        sequence = self._sequence
        cycles = f"{sequence.cycles} cycle{'s' * (sequence.cycles > 1)}"
        length = f"{sequence.agent_steps:,} agent steps each ({self.gradient_steps:,} gradient steps)"
        return f"{', '.join(self.games)} in turn, {length}, {cycles}"


def turns_of(
    game: str | GameSequence,
    protocol: GameProtocol,
    agent_steps_per_gradient_step: Fraction,
) -> Turns:
    """Returns the turns of a task whose `game` is a name or a sequence.

    Args:
        game: the task's argument.
        protocol: protocol of each game.
        agent_steps_per_gradient_step: exact.
    """
    if isinstance(game, GameSequence):
        return GamesInTurn(game.with_names(protocol.check_game), protocol, agent_steps_per_gradient_step)
    return OneGame(protocol.check_game(game), protocol)
