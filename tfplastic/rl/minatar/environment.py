"""MinAtar as a batched TF-Agents environment.

The protocol is that of Young and Tian 2019, "MinAtar: An Atari-inspired testbed for thorough and reproducible
reinforcement learning experiments":

    ======================  ==========================================  ==============================
    aspect                  default                                     argument of `MinAtarProtocol`
    ======================  ==========================================  ==============================
    observation             10 x 10 x channels, each value 0 or 1
    agent step              one frame
    sticky actions          0.1                                         sticky_actions
    difficulty              grows while an episode lasts                difficulty_ramping
    actions                 all 6                                       full_action_set
    end of an episode       game over, or 10,000 frames                 max_steps_per_episode
    ======================  ==========================================  ==============================

It differs from `minatar.Environment` in two points:

    *   an episode that lasts 10,000 frames is truncated, with discount 1, where theirs has no bound (freeway
        ends after 2,501 frames by its rules);
    *   the action that may be repeated in an episode's first frame is 0, no-op, instead of the last one of
        the episode before.

An episode is therefore determined by its seed and its actions, sticky actions included, and a checkpoint
holds only these. Each episode has a seed of its own, derived from the root seed, the index of the environment
and the index of the episode.
"""

import dataclasses
import zlib

import gin
import numpy as np
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts

from tfplastic import _checks
from tfplastic.rl.minatar import games
from tfplastic.rl.playing.episodic_environment import EpisodicEnvironment
from tfplastic.rl.playing.game_protocol import GameProtocol


@gin.register(module="tfplastic.rl")
@dataclasses.dataclass(frozen=True)
class MinAtarProtocol(GameProtocol):
    """The protocol of a game of MinAtar. The table at the top of this file explains each default.

    Attributes:
        sticky_actions: probability, in each frame, that the game repeats the previous action.
        difficulty_ramping: make asterix, seaquest and space_invaders harder while an episode lasts; breakout
            and freeway ignore it.
        full_action_set: offer all 6 actions instead of those that have an effect in the game.
        max_steps_per_episode: frames after which an episode is truncated.

    Raises:
        ValueError: if a value is out of its range.

    Example:
        >>> from tfplastic.rl.minatar import MinAtarProtocol
        >>> MinAtarProtocol(full_action_set=False).num_actions('space_invaders')
        4
    """

    sticky_actions: float = 0.1
    difficulty_ramping: bool = True
    full_action_set: bool = True
    max_steps_per_episode: int = 10_000

    action_repeat = 1
    stack_size = 1
    has_negative_rewards = False

    def __post_init__(self) -> None:
        _checks.check_fraction("sticky_actions", self.sticky_actions)
        _checks.check_boolean("difficulty_ramping", self.difficulty_ramping)
        _checks.check_boolean("full_action_set", self.full_action_set)
        _checks.check_positive_integer("max_steps_per_episode", self.max_steps_per_episode)

    def check_game(self, game: str) -> str:
        return games.check_game(game)

    def num_actions(self, game: str) -> int:
        return len(self.action_set(game))

    def action_set(self, game: str) -> tuple[int, ...]:
        return games.action_set(game, self.full_action_set)

    def with_all_actions(self) -> "MinAtarProtocol":
        return dataclasses.replace(self, full_action_set=True)

    def frame_shape(self, game: str) -> tuple[int, int, int]:
        return games.observation_shape(game)

    def make_environment(self, game: str, num_envs: int, seed: int) -> "MinAtarEnvironment":
        return MinAtarEnvironment(game, num_envs, seed, self)

    def too_small_error(self, smallest: int) -> ValueError:
        rule = "must be a network for 10 x 10 pixels, such as @minatar_cnn"
        return ValueError(f"`network` {rule}. Received: one for at least {smallest} x {smallest}")


class MinAtarEnvironment(EpisodicEnvironment):
    """`num_envs` copies of a game of MinAtar that are played side by side, each in an episode of its own.

    A time step holds, for each copy,

        *   step_type `[num_envs] int32`: FIRST, MID, or LAST if the game is over or the episode is truncated;
        *   reward `[num_envs] float32`, not clipped;
        *   discount `[num_envs] float32`: 0 if the game is over, else 1, as at a truncation;
        *   observation `[num_envs, 10, 10, channels] uint8`, each value 0 or 1.

    A copy whose episode has ended starts the next one in the next call of `step`, ignores its action there,
    and returns FIRST, while the others continue. `reset` starts new episodes in all copies and drops those in
    progress.

    Args:
        game: name of the game, see `tfplastic.rl.minatar.games.check_game`.
        num_envs: number of copies.
        seed: root seed of the seeds of the episodes, any integer.
        protocol: protocol of the game.

    Raises:
        ValueError: if the game is unknown or `num_envs` is not a positive integer.
        ImportError: if `minatar` is not installed.

    Example:
        >>> from tfplastic.rl.minatar import MinAtarEnvironment
        >>> environment = MinAtarEnvironment('breakout', num_envs=2, seed=0)
        >>> environment.reset().observation.shape
        (2, 10, 10, 4)
        >>> environment.step([1, 0]).reward
        array([0., 0.], dtype=float32)
    """

    def __init__(
        self,
        game: str,
        num_envs: int = 1,
        seed: int = 0,
        protocol: MinAtarProtocol = MinAtarProtocol(),  # noqa: B008
    ) -> None:
        self.game = games.check_game(game)
        self.protocol = protocol
        num_envs = _checks.check_positive_integer("num_envs", num_envs)
        self._action_set = games.action_set(self.game, protocol.full_action_set)
        super().__init__(num_envs, seed, len(self._action_set), "game, protocol and minatar")
        self._copies = [_Copy(self.game, protocol) for _ in range(num_envs)]
        self._age = np.zeros(num_envs, np.int64)  # frames of the episodes in progress
        self._observations = np.zeros((num_envs, *protocol.frame_shape(self.game)), np.uint8)

    def observation_spec(self) -> array_spec.ArraySpec:
        """Returns `[10, 10, channels] uint8`, without bounds, as `AtariEnvironment` does."""
        return array_spec.ArraySpec(self._observations.shape[1:], np.uint8, name="observation")

    def _start_episodes(self, mask: np.ndarray) -> None:
        self._observations = self._observations.copy()
        for i in np.flatnonzero(mask):
            self._copies[i].start(int(self._episode_seed[i]))
            self._observations[i] = self._copies[i].state()
        self._age[mask] = 0
        self._begin(mask)

    def _play(self, actions: np.ndarray) -> None:
        observations = np.empty_like(self._observations)
        rewards = np.empty(self._num_envs, np.float32)
        over = np.empty(self._num_envs, bool)
        for i, (copy, action) in enumerate(zip(self._copies, actions.tolist(), strict=True)):
            rewards[i], over[i] = copy.act(self._action_set[action])
            observations[i] = copy.state()
        self._observations = observations
        self._age += 1
        self._return += rewards
        self._reward = rewards
        self._discount = (~over).astype(np.float32)
        is_last = over | (self._age >= self.protocol.max_steps_per_episode)
        self._step_type = np.where(is_last, ts.StepType.LAST, ts.StepType.MID)

    def _checksum(self) -> np.ndarray:
        return np.array([zlib.crc32(each.tobytes()) for each in self._observations], np.int64)

    def _observation(self) -> np.ndarray:
        return self._observations


class _Copy:
    """A game with sticky actions, which draw from the game's generator as in `minatar.Environment`."""

    def __init__(self, game: str, protocol: MinAtarProtocol):
        self._game = games.game_class(game)(ramping=protocol.difficulty_ramping)
        self._sticky_actions = protocol.sticky_actions
        self._last_action = 0
        self.state = self._game.state

    def start(self, seed: int) -> None:
        self._random = self._game.random = np.random.RandomState(seed)
        self._game.reset()
        self._last_action = 0

    def act(self, action: int) -> tuple[float, bool]:
        if self._random.rand() < self._sticky_actions:
            action = self._last_action
        self._last_action = action
        return self._game.act(action)
