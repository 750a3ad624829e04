"""The interface of game protocols: everything that tasks and evaluations need to know of a kind of games."""

import abc

from tfplastic.rl.playing.episodic_environment import EpisodicEnvironment


class GameProtocol(abc.ABC):
    """Rules by which games of one kind are played; `AtariProtocol` is one.

    Attributes:
        action_repeat: frames per agent step.
        stack_size: number of the newest frames in an observation.
    """

    action_repeat: int
    stack_size: int

    @abc.abstractmethod
    def num_actions(self, game: str) -> int:
        """Returns the number of a game's actions."""

    @abc.abstractmethod
    def frame_shape(self, game: str) -> tuple[int, ...]:
        """Returns the shape of a game's frames, `(height, width)` or `(height, width, channels)`."""

    @abc.abstractmethod
    def make_environment(self, game: str, num_envs: int, seed: int) -> EpisodicEnvironment:
        """Returns `num_envs` copies of a game, whose episodes come from a root seed."""

    @abc.abstractmethod
    def too_small_error(self, smallest: int) -> ValueError:
        """Returns the error of a network that needs images of at least `smallest` pixels."""

    def observation_shape(self, game: str) -> tuple[int, int, int]:
        """Returns the shape of a game's observations: the frames of a stack one after another, on axis 2."""
        height, width, *channels = self.frame_shape(game)
        return height, width, self.stack_size * (channels[0] if channels else 1)
