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
of the environment and the index of the episode. So an episode is its seed and its actions, sticky actions
included, and that is all that a checkpoint needs to hold of it. Loading the ROM takes about 0.1 s per
episode.

Units: emulator frames where a name says frames, agent steps (`action_repeat` frames each) everywhere else.
"""

import dataclasses
import zlib
from typing import NamedTuple

import gin
import numpy as np
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode
from tf_agents.environments import py_environment
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts
from tf_agents.typing import types

from tfplastic import _checks, seeds
from tfplastic.rl.atari import games

_LARGEST = 2**31 - 1  # of the emulator's integers


@gin.register(module="tfplastic.rl")
@dataclasses.dataclass(frozen=True)
class AtariProtocol:
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


class FinishedEpisode(NamedTuple):
    """Facts about an episode that has ended.

    Attributes:
        episode_return: sum of its unclipped rewards.
        num_steps: its length in agent steps.
        seed: the seed it started with.
    """

    episode_return: float
    num_steps: int
    seed: int


class AtariEnvironment(py_environment.PyEnvironment):
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
        super().__init__()
        self.game = games.check_game(game)
        self.protocol = protocol
        self._num_envs = _checks.check_positive_integer("num_envs", num_envs)
        self._seed = seed
        self._emulator = _start_emulator(self.game, self._num_envs, protocol)
        self._num_actions = len(self._emulator.ale.get_action_set())
        # The episodes in progress. Arrays that a time step hands out are replaced, never written to.
        self._episode_index = np.full(num_envs, -1, np.int64)
        self._episode_seed = np.zeros(num_envs, np.int64)
        self._actions = [bytearray() for _ in range(num_envs)]
        self._return = np.zeros(num_envs)
        self._lives = np.zeros(num_envs, np.int32)
        self._finished: list[FinishedEpisode] = []
        # The current time step; the stacks are [num_envs, stack_size, frame_size, frame_size] uint8.
        self._stacks = np.zeros(self._emulator.observation_space.shape or (), np.uint8)
        self._step_type = np.full(num_envs, ts.StepType.LAST, np.int32)
        self._reward = np.zeros(num_envs, np.float32)
        self._discount = np.ones(num_envs, np.float32)

    @property
    def batched(self) -> bool:
        """True: every array has a leading dimension of `batch_size`."""
        return True

    @property
    def batch_size(self) -> int:
        """The number of copies of the game."""
        return self._num_envs

    def observation_spec(self) -> array_spec.ArraySpec:
        """Returns `[frame_size, frame_size, stack_size] uint8`, without bounds.

        TF-Agents computes maximum + 1 when it samples a bounded spec, which overflows uint8 under numpy 2.
        """
        size = self.protocol.frame_size
        return array_spec.ArraySpec((size, size, self.protocol.stack_size), np.uint8, name="observation")

    def action_spec(self) -> array_spec.BoundedArraySpec:
        """Returns an index into the game's action set: `[] int32` in [0, number of actions - 1]."""
        return array_spec.BoundedArraySpec((), np.int32, 0, self._num_actions - 1, name="action")

    def pop_finished_episodes(self) -> list[FinishedEpisode]:
        """Returns the episodes that have ended since the last call, in the order in which they ended."""
        finished, self._finished = self._finished, []
        return finished

    def get_state(self) -> dict[str, np.ndarray]:
        """Returns everything that `set_state` needs to continue from here, even in another process.

        Returns:
            Of the episodes in progress, `[num_envs] int64` each: `episode_index`, `episode_seed`, `num_steps`
            and `checksum`, the CRC-32 of the stack. `actions` `[sum of num_steps] uint8`: those taken in
            these episodes, one episode after the other. Of the episodes that `pop_finished_episodes` has not
            returned yet: `finished_return` float64, `finished_num_steps` and `finished_seed` int64.

        Raises:
            ValueError: if the environment has not been reset yet.
        """
        if self._current_time_step is None:
            raise ValueError("`get_state` must follow a `reset`. Received: an environment without any")
        return {
            "episode_index": self._episode_index.copy(),
            "episode_seed": self._episode_seed.copy(),
            "num_steps": np.array([len(actions) for actions in self._actions], np.int64),
            "checksum": self._checksum(),
            "actions": np.frombuffer(b"".join(self._actions), np.uint8),
            "finished_return": np.array([episode.episode_return for episode in self._finished], np.float64),
            "finished_num_steps": np.array([episode.num_steps for episode in self._finished], np.int64),
            "finished_seed": np.array([episode.seed for episode in self._finished], np.int64),
        }

    def set_state(self, state: dict[str, np.ndarray]) -> ts.TimeStep:
        """Replays the episodes that were in progress in `get_state`, and continues from there.

        Takes as long as the longest of them took to emulate, at most about 10 s by the default protocol.

        Returns:
            The time step at which the state was saved, which is the current one from now on.

        Raises:
            ValueError: if the state was saved with another `num_envs` or `seed`, or if the replay ends in
                frames other than those it was saved at (another game, protocol or version of the emulator).
        """
        num_envs = len(state["num_steps"])
        if num_envs != self._num_envs:
            raise ValueError(f"`state` must be of `num_envs` = {self._num_envs}. Received: one of {num_envs}")
        episode_index = np.array(state["episode_index"], np.int64)
        episode_seed = np.array([self._derive_seed(*pair) for pair in enumerate(episode_index)], np.int64)
        if not np.array_equal(episode_seed, state["episode_seed"]):
            raise ValueError(f"`state` must be of `seed` = {self._seed}. Received: one of another seed")
        histories = np.split(np.asarray(state["actions"], np.uint8), np.cumsum(state["num_steps"])[:-1])
        self._episode_index, self._episode_seed = episode_index, episode_seed
        self._actions = [bytearray(history.tobytes()) for history in histories]
        columns = (state["finished_return"], state["finished_num_steps"], state["finished_seed"])
        self._finished = [FinishedEpisode(float(r), int(n), int(s)) for r, n, s in zip(*columns, strict=True)]
        self._replay()
        if not np.array_equal(self._checksum(), state["checksum"]):
            raise ValueError(
                "`state` must be of the same game, protocol and ale-py. "
                "Received: one whose actions lead to other frames here"
            )
        self._current_time_step = self._time_step()
        return self._current_time_step

    def close(self) -> None:
        """Ends the emulator and its threads. Closing twice is harmless; nothing else works afterwards."""
        self.__dict__.pop("_emulator", None)

    def _reset(self) -> ts.TimeStep:
        self._start_next_episodes(np.ones(self._num_envs, bool))
        return self._time_step()

    def _step(self, action: types.NestedArray) -> ts.TimeStep:
        actions = self._checked_actions(action)
        ended = self._step_type == ts.StepType.LAST
        if ended.all():
            return self._reset()
        # The emulator steps all copies or none. One that has ended is stepped to no effect: its next episode
        # starts from a freshly loaded ROM right after.
        self._play(actions)
        for history, one_action in zip(self._actions, actions.tolist(), strict=True):
            history.append(one_action)
        for i in np.flatnonzero((self._step_type == ts.StepType.LAST) & ~ended):
            num_steps, seed = len(self._actions[i]), int(self._episode_seed[i])
            self._finished.append(FinishedEpisode(float(self._return[i]), num_steps, seed))
        if ended.any():
            self._start_next_episodes(ended)
        return self._time_step()

    def _checked_actions(self, action: types.NestedArray) -> np.ndarray:
        # ale-py waits forever after an action that is out of range, so they are checked here.
        actions = np.asarray(action)
        if actions.shape != (self._num_envs,) or actions.dtype.kind not in "iu":
            raise ValueError(
                f"`action` must be integers of shape ({self._num_envs},). "
                f"Received: shape {actions.shape}, dtype {actions.dtype}"
            )
        if actions.min() < 0 or actions.max() >= self._num_actions:
            largest = self._num_actions - 1
            raise ValueError(f"`action` must be in [0, {largest}]. Received: {actions.tolist()}")
        return actions.astype(np.int32, copy=False)

    def _derive_seed(self, env_index: int, episode_index: int) -> int:
        return seeds.derive_integer(self._seed, "episode", int(env_index), int(episode_index))

    def _start_next_episodes(self, mask: np.ndarray) -> None:
        for i in np.flatnonzero(mask):
            self._episode_index[i] += 1
            self._episode_seed[i] = self._derive_seed(int(i), self._episode_index[i])
            self._actions[i].clear()
        self._start_episodes(mask)

    def _start_episodes(self, mask: np.ndarray) -> None:
        """Starts the episodes of the copies in `mask` `[num_envs] bool`; the others stay as they are."""
        self._stacks, info = self._emulator.reset(seed=self._episode_seed[mask], options={"reset_mask": mask})
        self._lives = info["lives"]
        self._return[mask] = 0.0
        self._step_type = np.where(mask, ts.StepType.FIRST, self._step_type)
        self._reward = np.where(mask, np.float32(0.0), self._reward)
        self._discount = np.where(mask, np.float32(1.0), self._discount)

    def _play(self, actions: np.ndarray) -> None:
        """Takes one agent step in all copies. Actions are `[num_envs] int32`."""
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

    def _replay(self) -> None:
        """Plays the recorded actions of the episodes in progress, so that all arrive at the same time.

        A shorter episode starts later. Until then its copy is stepped to no effect, as in `_step`.
        """
        lengths = np.array([len(actions) for actions in self._actions])
        delays = lengths.max() - lengths
        schedule = np.zeros((lengths.max(), self._num_envs), np.int32)
        for i, actions in enumerate(self._actions):
            schedule[delays[i] :, i] = np.frombuffer(actions, np.uint8)
        self._start_episodes(np.ones(self._num_envs, bool))
        for t, actions in enumerate(schedule):
            if t > 0 and t in delays:
                self._start_episodes(delays == t)
            self._play(actions)
        if len(schedule) in delays[delays > 0]:
            self._start_episodes(delays == len(schedule))

    def _checksum(self) -> np.ndarray:
        return np.array([zlib.crc32(stack) for stack in self._stacks], np.int64)

    def _time_step(self) -> ts.TimeStep:
        observation = self._stacks.transpose(0, 2, 3, 1)  # [num_envs, frame_size, frame_size, stack_size]
        return ts.TimeStep(self._step_type, self._reward, self._discount, observation)


def _start_emulator(game: str, num_envs: int, protocol: AtariProtocol) -> AtariVectorEnv:
    """Starts ale-py with every option set: by default it presses FIRE at resets and clips rewards."""
    return AtariVectorEnv(
        games.rom_name(game),
        num_envs,
        num_threads=0,  # one per environment, at most one per core
        max_num_frames_per_episode=protocol.max_frames_per_episode,
        repeat_action_probability=protocol.sticky_actions,
        full_action_space=protocol.full_action_set,
        autoreset_mode=AutoresetMode.NEXT_STEP,  # ale-py has no other that leaves resets to us
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
