"""Playing: environments, the episodes in them, and the steps that a policy takes there."""

import collections
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory

from tfplastic import seeds

# Names a part of the step in a trace of `--profile_steps`; costs nothing otherwise.
Trace = tf.profiler.experimental.Trace

RETURN_WINDOW = 100  # episodes in the running mean of the return

Policy = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Maps observations `[num_envs, ...]` and a key `[2] int32` to actions `[num_envs] int32`."""


class Environment(Protocol):
    """The interface of environments for a `Player`; `AtariEnvironment` has it.

    It is batched, and an environment whose episode has ended is reset by the next `step`, without acting.
    """

    def reset(self) -> ts.TimeStep:
        """Starts an episode in each environment."""
        ...

    def current_time_step(self) -> ts.TimeStep:
        """Returns the last time step; each of its fields is `[num_envs, ...]`."""
        ...

    def step(self, action: np.ndarray) -> ts.TimeStep:
        """Takes one action in each environment."""
        ...

    def pop_finished_episodes(self) -> list[Any]:
        """Returns the episodes that have ended since the last call, each with an `episode_return`."""
        ...

    def get_state(self) -> dict[str, np.ndarray]:
        """Returns all that `set_state` needs."""
        ...

    def set_state(self, state: dict[str, np.ndarray]) -> Any:
        """Continues from a state."""
        ...

    def close(self) -> None:
        """Releases the environments."""
        ...


class Player:
    """Environments side by side in which a policy acts, without a network, replay or gradient step.

    Args:
        make_environment: function that makes the environments, from a seed that is an integer.
        seed: root seed.

    Attributes:
        agent_steps: actions that have been taken, over all environments.
        num_episodes: episodes that have ended.

    Example:
        >>> import functools, numpy as np, tfplastic as tp
        >>> player = tp.rl.Player(functools.partial(tp.rl.AtariEnvironment, 'Pong', 2), seed=0)
        >>> player.start()
        >>> steps = player.play(lambda observation, key: np.zeros(len(observation), np.int32))
        >>> steps.observation.shape, steps.reward, player.agent_steps
        ((2, 84, 84, 4), array([0., 0.], dtype=float32), 2)
        >>> player.close()
    """

    def __init__(self, make_environment: Callable[..., Environment], seed: int):
        self._make_environment = make_environment
        self._seed = seed
        self._environment: Environment | None = None
        self._acts = 0
        self.agent_steps = 0
        self.num_episodes = 0
        self._returns: collections.deque[float] = collections.deque(maxlen=RETURN_WINDOW)

    def start(self) -> None:
        """Makes the environments and starts their first episodes."""
        self._environment = self._make()
        self._environment.reset()

    def restart(self) -> None:
        """Makes new environments and starts episodes in them; drops those in progress and past returns."""
        self.close()
        self.forget_returns()
        self.start()

    def forget_returns(self) -> None:
        """Drops past returns, so that `mean_return` starts again."""
        self._returns.clear()

    def play(self, policy: Policy) -> trajectory.Trajectory:
        """Takes one step in every environment.

        Args:
            policy: function that chooses the actions. The key that it gets is another one in each call.

        Returns:
            Observations, actions and rewards, arrays `[num_envs, ...]`, and the type of the next step. An
            environment whose episode had ended has `step_type` LAST: it was reset instead.

        Raises:
            ValueError: if there is no environment yet.
        """
        time_step = self.environment.current_time_step()
        with Trace("acting"):
            actions = policy(time_step.observation, seeds.derive(self._seed, "act", self._acts))
        with Trace("emulator"):
            next_time_step = self.environment.step(actions)
        self._acts += 1
        self.agent_steps += int(np.count_nonzero(time_step.step_type != ts.StepType.LAST))
        for episode in self.environment.pop_finished_episodes():
            self.num_episodes += 1
            self._returns.append(episode.episode_return)
        return trajectory.Trajectory(
            step_type=time_step.step_type,
            observation=time_step.observation,
            action=actions,
            policy_info=(),
            next_step_type=next_time_step.step_type,
            reward=next_time_step.reward,
            discount=next_time_step.discount,
        )

    @property
    def environment(self) -> Environment:
        """The environments, once the player has been started or restored."""
        if self._environment is None:
            raise ValueError("The task must be started or restored before it acts.")
        return self._environment

    @property
    def mean_return(self) -> float | None:
        """The mean return of the last 100 episodes; None before the first has ended."""
        return float(np.mean(self._returns)) if self._returns else None

    def save(self, directory: Path) -> dict[str, Any]:
        """Writes the environments' state into `directory`, and returns the counters, which JSON can hold."""
        state: dict[str, Any] = self.environment.get_state()
        np.savez(directory / "environment.npz", **state)
        return {
            "acts": self._acts,
            "agent_steps": self.agent_steps,
            "num_episodes": self.num_episodes,
            "returns": list(self._returns),
        }

    def restore(self, directory: Path, counters: dict[str, Any]) -> None:
        """Takes up the state that `save` wrote and returned, exactly."""
        self._acts = counters["acts"]
        self.agent_steps = counters["agent_steps"]
        self.num_episodes = counters["num_episodes"]
        self._returns = collections.deque(counters["returns"], maxlen=RETURN_WINDOW)
        self._environment = self._make()
        with np.load(directory / "environment.npz") as arrays:
            self._environment.set_state(dict(arrays))

    def close(self) -> None:
        """Releases the environments; a player that is closed can be started again."""
        if self._environment is not None:
            self._environment.close()
            self._environment = None

    def _make(self) -> Environment:
        return self._make_environment(seed=seeds.derive_integer(self._seed, "environment"))
