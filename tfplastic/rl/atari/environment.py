"""The Arcade Learning Environment (ALE) as a batched TF-Agents environment.

The protocol is that of the DQN paper (Mnih et al. 2015, Methods) as DQN Zoo implements it:

    ======================  ==========================================  ==============================
    aspect                  default                                     argument of `AtariProtocol`
    ======================  ==========================================  ==============================
    observation             84 x 84 gray, the newest 4, newest last     frame_size, stack_size
    agent step              the action for 4 emulator frames            action_repeat
    flicker                 maximum over the last 2 emulator frames     max_pool
    start of an episode     0 to 29 no-ops, drawn by its seed           max_noops
    end of an episode       game over, or 108,000 emulator frames       max_frames_per_episode
    loss of a life          discount 0, the episode continues           life_loss_ends_discount
    reward                  clipped to [-1, 1], returns unclipped       clip_reward
    sticky actions          off (Machado et al. 2018: 0.25)             sticky_actions
    actions                 the game's minimal set                      full_action_set
    ======================  ==========================================  ==============================

Where ale-py's `AtariVectorEnv` leaves no choice, the protocol deviates from DQN Zoo's:

    *   an episode starts with 0 to 29 no-ops instead of 1 to 30, and they do not count as its frames;
    *   the first stack of an episode holds zeros in its older channels (gymnasium repeats the first frame).

Every episode starts from a freshly loaded ROM with a seed of its own, derived from the root seed, the index
of the environment and the index of the episode. An episode is therefore determined by its seed and its
actions, sticky actions included, and a checkpoint holds only these. Loading the ROM takes about 0.1 s per
episode.

Units: emulator frames where a name says frames, agent steps (`action_repeat` frames each) everywhere else.
"""

import dataclasses
import zlib

import gin
import numpy as np
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts

from tfplastic import _checks
from tfplastic.rl.atari import games
from tfplastic.rl.playing.episodic_environment import EpisodicEnvironment
from tfplastic.rl.playing.game_protocol import GameProtocol

_LARGEST = 2**31 - 1  # of the emulator's integers


@gin.register(module="tfplastic.rl")
@dataclasses.dataclass(frozen=True)
class AtariProtocol(GameProtocol):
    """The protocol of a game. The defaults are DQN Zoo's; the table at the top of this file explains each.

    Attributes:
        frame_size: height and width of a frame, pixels.
        stack_size: number of the newest frames in an observation.
        action_repeat: emulator frames per agent step.
        max_pool: take each pixel's maximum over the last two emulator frames of an agent step.
        max_noops: an episode starts with 0 to `max_noops` - 1 no-ops, uniformly; with none for 0.
        max_frames_per_episode: emulator frames after which an episode is truncated; 108,000 are 30 minutes.
        life_loss_ends_discount: give discount 0 when a life is lost.
        clip_reward: clip the rewards of the time steps to [-1, 1]. The returns of episodes are never clipped.
        sticky_actions: probability, in each frame, that the emulator repeats the previous action (Machado et
            al. 2018 use 0.25).
        full_action_set: offer all 18 actions instead of those that have an effect in the game.

    Raises:
        ValueError: if a value is out of its range.

    Example:
        >>> from tfplastic.rl.atari import AtariProtocol
        >>> AtariProtocol(sticky_actions=0.25).action_repeat
        4
    """

    frame_size: int = 84
    stack_size: int = 4
    action_repeat: int = 4
    max_pool: bool = True
    max_noops: int = 30
    max_frames_per_episode: int = 108_000
    life_loss_ends_discount: bool = True
    clip_reward: bool = True
    sticky_actions: float = 0.0
    full_action_set: bool = False

    def __post_init__(self) -> None:
        for name in ("frame_size", "stack_size", "action_repeat", "max_frames_per_episode"):
            _checks.check_integer(name, getattr(self, name), 1, _LARGEST)
        largest = max(("frame_size", "stack_size"), key=lambda name: getattr(self, name))
        _checks.check_fits_in_memory(largest, getattr(self, largest), self.frame_size**2 * self.stack_size)
        if self.action_repeat > self.max_frames_per_episode:
            rule = f"must be at most `max_frames_per_episode`, {self.max_frames_per_episode}"
            raise ValueError(f"`action_repeat` {rule}. Received: {self.action_repeat}")
        for name in ("max_pool", "life_loss_ends_discount", "clip_reward", "full_action_set"):
            _checks.check_boolean(name, getattr(self, name))
        _checks.check_integer("max_noops", self.max_noops, 0, _LARGEST)
        _checks.check_fraction("sticky_actions", self.sticky_actions)

    def check_game(self, game: str) -> str:
        return games.check_game(game)

    def num_actions(self, game: str) -> int:
        return len(self.action_set(game))

    def action_set(self, game: str) -> tuple[int, ...]:
        return games.action_set(game, self.full_action_set)

    def with_all_actions(self) -> "AtariProtocol":
        return dataclasses.replace(self, full_action_set=True)

    def frame_shape(self, game: str) -> tuple[int, int]:
        return self.frame_size, self.frame_size

    def make_environment(self, game: str, num_envs: int, seed: int) -> "AtariEnvironment":
        return AtariEnvironment(game, num_envs, seed, self)

    def too_small_error(self, smallest: int) -> ValueError:
        rule = f"must be at least {smallest} for this network"
        return ValueError(f"`AtariProtocol.frame_size` {rule}. Received: {self.frame_size}")


class AtariEnvironment(EpisodicEnvironment):
    """`num_envs` copies of a game that are played side by side, each in an episode of its own.

    A time step holds, for each copy,

        *   step_type `[num_envs] int32`: FIRST, MID, or LAST if the game is over or the episode is truncated;
        *   reward `[num_envs] float32`: the sum over the frames of the agent step, clipped if the protocol
            says so;
        *   discount `[num_envs] float32`: 0 if the game is over or, if the protocol says so, a life is lost,
            else 1. So it is 1 at a truncation, unless a life is lost in that very step;
        *   observation `[num_envs, frame_size, frame_size, stack_size] uint8`, newest frame last. It is a
            view of the emulator's array of stacks, so that each frame `observation[i, :, :, k]` is contiguous
            in memory.

    A copy whose episode has ended starts the next one in the next call of `step`, ignores its action there,
    and returns FIRST, while the others continue. `reset` starts new episodes in all copies and drops those in
    progress.

    Args:
        game: name of the game, see `tfplastic.rl.atari.games.check_game`.
        num_envs: number of copies. They are emulated by as many threads, at most one per processor core.
        seed: root seed of the seeds of the episodes, any integer.
        protocol: protocol of the game.

    Raises:
        ValueError: if the game is unknown or `num_envs` is not a positive integer.

    Example:
        >>> from tfplastic.rl.atari import AtariEnvironment
        >>> environment = AtariEnvironment('Breakout', num_envs=2, seed=0)
        >>> environment.reset().observation.shape
        (2, 84, 84, 4)
        >>> environment.step([1, 0]).reward
        array([0., 0.], dtype=float32)
        >>> environment.close()
    """

    def __init__(
        self,
        game: str,
        num_envs: int = 1,
        seed: int = 0,
        protocol: AtariProtocol = AtariProtocol(),  # noqa: B008
    ) -> None:
        self.game = games.check_game(game)
        self.protocol = protocol
        num_envs = _checks.check_positive_integer("num_envs", num_envs)
        self._emulator = _start_emulator(self.game, num_envs, protocol)
        num_actions = len(self._emulator.ale.get_action_set())
        super().__init__(num_envs, seed, num_actions, "game, protocol and ale-py")
        self._lives = np.zeros(num_envs, np.int32)
        # [num_envs, stack_size, frame_size, frame_size] uint8
        self._stacks = np.zeros(self._emulator.observation_space.shape or (), np.uint8)

    def observation_spec(self) -> array_spec.ArraySpec:
        """Returns `[frame_size, frame_size, stack_size] uint8`, without bounds.

        TF-Agents computes maximum + 1 when it samples a bounded spec, which overflows uint8 under numpy 2.
        """
        size = self.protocol.frame_size
        return array_spec.ArraySpec((size, size, self.protocol.stack_size), np.uint8, name="observation")

    def close(self) -> None:
        """Ends the emulator and its threads. It may be closed twice, but not used afterwards."""
        vars(self).pop("_emulator", None)

    def _start_episodes(self, mask: np.ndarray) -> None:
        self._stacks, info = self._emulator.reset(seed=self._episode_seed[mask], options={"reset_mask": mask})
        self._lives = info["lives"]
        self._begin(mask)

    def _play(self, actions: np.ndarray) -> None:
        self._stacks, rewards, over, truncated, info = self._emulator.step(actions)
        # Lives are compared here rather than by ale-py's `life_loss_info`, which reports a life that is lost
        # in the very step of a truncation as a termination and hides the truncation.
        lives = info["lives"]
        no_future = over | (lives < self._lives) if self.protocol.life_loss_ends_discount else over
        self._lives = lives
        self._return += rewards
        self._reward = (rewards.clip(-1, 1) if self.protocol.clip_reward else rewards).astype(np.float32)
        self._discount = (~no_future).astype(np.float32)
        self._step_type = np.where(over | truncated, ts.StepType.LAST, ts.StepType.MID)

    def _checksum(self) -> np.ndarray:
        return np.array([zlib.crc32(stack) for stack in self._stacks], np.int64)

    def _observation(self) -> np.ndarray:
        return self._stacks.transpose(0, 2, 3, 1)  # [num_envs, frame_size, frame_size, stack_size]


def _start_emulator(game: str, num_envs: int, protocol: AtariProtocol) -> AtariVectorEnv:
    """Starts ale-py with every option set: by default it presses FIRE at resets and clips rewards."""
    return AtariVectorEnv(
        games.rom_name(game),
        num_envs,
        num_threads=0,  # one per environment, at most one per core
        max_num_frames_per_episode=protocol.max_frames_per_episode,
        repeat_action_probability=protocol.sticky_actions,
        full_action_space=protocol.full_action_set,
        autoreset_mode=AutoresetMode.NEXT_STEP,  # the only mode that leaves resets to us
        img_height=protocol.frame_size,
        img_width=protocol.frame_size,
        grayscale=True,
        stack_num=protocol.stack_size,
        frameskip=protocol.action_repeat,
        maxpool=protocol.max_pool,
        noop_max=protocol.max_noops,
        episodic_life=False,
        life_loss_info=False,
        reward_clipping=False,
        use_fire_reset=False,
    )
