"""Games side by side as a batched TF-Agents environment whose episodes follow from seeds and actions."""

import abc
from typing import NamedTuple

import numpy as np
from tf_agents.environments import py_environment
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts
from tf_agents.typing import types

from tfplastic import seeds


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


class EpisodicEnvironment(py_environment.PyEnvironment, abc.ABC):
    """Copies of a game that are played side by side, each in an episode of its own.

    A subclass starts episodes from seeds and plays actions in them. The numbers of the episodes, their seeds,
    their actions and their returns are kept here, and with them everything that a checkpoint needs: an
    episode is restored by playing its actions again from its seed.

    A copy whose episode has ended starts the next one in the next call of `step`, ignores its action there,
    and returns FIRST, while the others continue. `reset` starts new episodes in all copies and drops those in
    progress.

    Args:
        num_envs: number of copies.
        seed: root seed of the seeds of the episodes, any integer.
        num_actions: number of the game's actions.
        versions: words for everything that decides where actions lead, for the error of a restored state.
    """

    def __init__(self, num_envs: int, seed: int, num_actions: int, versions: str):
        super().__init__()
        self._num_envs = num_envs
        self._seed = seed
        self._num_actions = num_actions
        self._versions = versions
        # The episodes in progress. Arrays that a time step hands out are replaced, never written to.
        self._episode_index = np.full(num_envs, -1, np.int64)
        self._episode_seed = np.zeros(num_envs, np.int64)
        self._actions = [bytearray() for _ in range(num_envs)]
        self._return = np.zeros(num_envs)
        self._finished: list[FinishedEpisode] = []
        # The current time step.
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
            and `checksum`, the CRC-32 of the observation. `actions` `[sum of num_steps] uint8`: those taken
            in these episodes, one episode after the other. Of the episodes that `pop_finished_episodes` has
            not returned yet: `finished_return` float64, `finished_num_steps` and `finished_seed` int64.

        Raises:
            ValueError: if the environment has not been reset yet.
        """
        if self._current_time_step is None:
            received = "an environment without any. Call `reset` first"
            raise ValueError(f"`get_state` must follow a `reset`. Received: {received}")
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

        Takes as long as the longest of them took to emulate, at most about 10 s by Atari's default protocol.

        Returns:
            The time step at which the state was saved, which is the current one from now on.

        Raises:
            ValueError: if the state was saved with another `num_envs` or `seed`, or if the replay ends in
                observations other than those it was saved at (another game, protocol or version of it).
        """
        num_envs = len(state["num_steps"])
        if num_envs != self._num_envs:
            received = f"one of {num_envs}. Make the environment with as many copies as were saved"
            raise ValueError(f"`state` must be of `num_envs` = {self._num_envs}. Received: {received}")
        episode_index = np.array(state["episode_index"], np.int64)
        episode_seed = np.array([self._derive_seed(*pair) for pair in enumerate(episode_index)], np.int64)
        if not np.array_equal(episode_seed, state["episode_seed"]):
            received = "one of another seed. Make the environment with the seed that was saved"
            raise ValueError(f"`state` must be of `seed` = {self._seed}. Received: {received}")
        histories = np.split(np.asarray(state["actions"], np.uint8), np.cumsum(state["num_steps"])[:-1])
        self._episode_index, self._episode_seed = episode_index, episode_seed
        self._actions = [bytearray(history.tobytes()) for history in histories]
        columns = (state["finished_return"], state["finished_num_steps"], state["finished_seed"])
        self._finished = [FinishedEpisode(float(r), int(n), int(s)) for r, n, s in zip(*columns, strict=True)]
        self._replay()
        if not np.array_equal(self._checksum(), state["checksum"]):
            raise ValueError(
                f"`state` must be of the same {self._versions}. "
                "Received: one whose actions lead to other frames here. "
                "Use those that saved it, or start a new run"
            )
        self._current_time_step = self._time_step()
        return self._current_time_step

    def _reset(self) -> ts.TimeStep:
        self._start_next_episodes(np.ones(self._num_envs, bool))
        return self._time_step()

    def _step(self, action: types.NestedArray) -> ts.TimeStep:
        actions = self._checked_actions(action)
        ended = self._step_type == ts.StepType.LAST
        if ended.all():
            return self._reset()
        # All copies are stepped or none. One that has ended is stepped to no effect: its next episode starts
        # right after.
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
        # ale-py waits forever after an action that is out of range.
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

    @abc.abstractmethod
    def _start_episodes(self, mask: np.ndarray) -> None:
        """Starts the episodes of the copies in `mask` `[num_envs] bool`; the others stay as they are."""

    @abc.abstractmethod
    def _play(self, actions: np.ndarray) -> None:
        """Takes one agent step in all copies. Actions are `[num_envs] int32`."""

    @abc.abstractmethod
    def _checksum(self) -> np.ndarray:
        """Returns the CRC-32 of each copy's observation, `[num_envs] int64`."""

    @abc.abstractmethod
    def _observation(self) -> np.ndarray:
        """Returns the current observations `[num_envs, ...]`, which nothing changes later."""

    def _begin(self, mask: np.ndarray) -> None:
        """Sets what is the same at the start of every episode, in the copies in `mask`."""
        self._return[mask] = 0.0
        self._step_type = np.where(mask, ts.StepType.FIRST, self._step_type)
        self._reward = np.where(mask, np.float32(0.0), self._reward)
        self._discount = np.where(mask, np.float32(1.0), self._discount)

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

    def _time_step(self) -> ts.TimeStep:
        return ts.TimeStep(self._step_type, self._reward, self._discount, self._observation())
