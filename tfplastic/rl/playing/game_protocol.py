"""The interface of game protocols: everything that tasks and evaluations need to know of a kind of games."""

import abc
from typing import Any, ClassVar, Protocol

from tfplastic.rl.playing.player import Environment


class GameEnvironment(Environment, Protocol):
    """The interface of a game's environments, whose actions are known before one is taken."""

    def action_spec(self) -> Any:
        """Returns the spec of actions, integers from 0 to its `maximum`."""
        ...


class GameProtocol(abc.ABC):
    """Rules by which games of one kind are played; `AtariProtocol` is one.

    Attributes:
        action_repeat: frames per agent step.
        stack_size: number of the newest frames in an observation.
        has_negative_rewards: whether there are games in which a reward may be below 0.
    """

    action_repeat: int
    stack_size: int
    has_negative_rewards: ClassVar[bool] = True

    @abc.abstractmethod
    def check_game(self, game: str) -> str:
        """Returns the canonical name of a game.

        Raises:
            ValueError: if there is no such game.
        """

    @abc.abstractmethod
    def num_actions(self, game: str) -> int:
        """Returns the number of a game's actions."""

    def action_set(self, game: str) -> tuple[int, ...]:
        """Returns the numbers of a game's actions among all that games of this kind know."""
        return tuple(range(self.num_actions(game)))

    def with_all_actions(self) -> "GameProtocol":
        """Returns the protocol in which each game offers all actions that games of this kind know."""
        return self

    @abc.abstractmethod
    def frame_shape(self, game: str) -> tuple[int, ...]:
        """Returns the shape of a game's frames, `(height, width)` or `(height, width, channels)`."""

    @abc.abstractmethod
    def make_environment(self, game: str, num_envs: int, seed: int) -> GameEnvironment:
        """Returns `num_envs` copies of a game, whose episodes come from a root seed."""

    @abc.abstractmethod
    def too_small_error(self, smallest: int) -> ValueError:
        """Returns the error of a network that needs images of at least `smallest` pixels."""

    def observation_shape(self, game: str) -> tuple[int, int, int]:
        """Returns the shape of a game's observations: the frames of a stack one after another, on axis 2."""
        height, width, *channels = self.frame_shape(game)
        return height, width, self.stack_size * (channels[0] if channels else 1)
