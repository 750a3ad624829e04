"""Learning values from a replay memory: the stored steps, their batches, and the target network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory

from tfplastic import seeds
from tfplastic._keras import keras
from tfplastic.rl.agents import QAgent
from tfplastic.rl.playing.player import Trace
from tfplastic.rl.replay import FrameReplay, PrioritizedReplay
from tfplastic.rl.replay.prioritized_replay import PrioritizedSample, with_weights
from tfplastic.tasks import TaskLoss


class QLearner:
    """A value-based agent with its replay memory and its target network, without an environment.

    Args:
        agent: agent whose networks learn.
        replay: replay of the played steps. From a `PrioritizedReplay` batches are drawn by priority, with
            importance weights in their `policy_info`; the batch of diagnostics is drawn uniformly.
        batch_size: transitions per gradient step.
        target_update_period: gradient steps between copies to the target network.
        seed: root seed.

    Attributes:
        agent: the argument.
        gradient_steps: batches that have been drawn.
    """

    def __init__(
        self, agent: QAgent, replay: FrameReplay, batch_size: int, target_update_period: int, seed: int
    ):
        self.agent = agent
        self._replay = replay
        self._prioritized = replay if isinstance(replay, PrioritizedReplay) else None
        self._places = np.zeros(0, np.int64)  # of the last batch in the replay
        self._weights = np.zeros(0, np.float32)
        self._batch_size = batch_size
        self._target_update_period = target_update_period
        self._seed = seed
        self.gradient_steps = 0
        self._diagnostics_batch: trajectory.Trajectory | None = None

    def add(self, steps: trajectory.Trajectory) -> None:
        """Stores one step of every environment, arrays `[num_envs, ...]`."""
        with Trace("replay_add"):
            self._replay.add_batch(steps)

    def empty_replay(self) -> None:
        """Drops all stored steps."""
        self._replay.clear()

    def next_batch(self) -> trajectory.Trajectory:
        """Draws the batch of the next gradient step, arrays `[batch, n_step + 1, ...]`."""
        self.gradient_steps += 1
        with Trace("replay_sample"):
            key = seeds.derive(self._seed, "sample", self.gradient_steps)
            if self._prioritized is None:
                return self._replay.sample(self._batch_size, key)
            batch, self._weights, self._places = self._sample_by_priority(self._prioritized, key)
            return with_weights(batch, self._weights)

    def further_batch(self, step: int) -> trajectory.Trajectory:
        """Draws another batch for gradient step `step`."""
        key = seeds.derive(self._seed, "further_batch", step)
        if self._prioritized is None:
            return self._replay.sample(self._batch_size, key)
        batch, weights, _ = self._sample_by_priority(self._prioritized, key)
        return with_weights(batch, weights)

    def data_batches(self) -> Sequence[trajectory.Trajectory]:
        """Returns all transitions in the replay, in whole batches."""
        batches = self._replay.batches(self._batch_size)
        return batches if self._prioritized is None else _Weighted(batches)

    def note_losses(self, losses: tf.Tensor) -> None:
        """Sets the priorities of the last batch by its examples' losses `[batch]`, before the update."""
        if self._prioritized is not None:
            unweighted = losses.numpy().astype(np.float64) / self._weights
            self._prioritized.set_priorities(self._places, self.agent.priorities(unweighted))

    def loss(self, model: keras.Model, batch: trajectory.Trajectory, training: bool = False) -> TaskLoss:
        """Returns the agent's loss of a batch; traceable.

        Raises:
            ValueError: if `model` is not the agent's online network.
        """
        if model is not self.agent.model:
            received = f"{model!r}. Give the task's `model`"
            raise ValueError(f"`model` must be the task's own online network. Received: {received}")
        return TaskLoss(*self.agent.loss(batch, training), metrics={})

    def after_step(self, step: int) -> None:
        """Copies the weights to the target network if gradient step `step` is one of its period."""
        if step % self._target_update_period == 0:
            self.agent.update_target()

    def draw_diagnostics_batch(self, size: int) -> None:
        """Draws the batch that diagnostics see, once; later calls change nothing."""
        if self._diagnostics_batch is None:
            batch = self._replay.sample(size, seeds.derive(self._seed, "diagnostics"))
            self._diagnostics_batch = batch if self._prioritized is None else with_weights(batch)

    def diagnostics_batch(self) -> tuple[trajectory.Trajectory, tf.Tensor]:
        """Returns the batch that was drawn for diagnostics, and the network's inputs in it.

        Raises:
            ValueError: if it has not been drawn.
        """
        if self._diagnostics_batch is None:
            raise ValueError("The diagnostics batch is available only after the warm-up. Train a step first.")
        batch = tf.nest.map_structure(tf.constant, self._diagnostics_batch)
        return batch, batch.observation[:, 0]

    def observations(self, count: int, key: np.ndarray) -> np.ndarray:
        """Draws observations from the replay, `[count, height, width, stack_size] uint8`."""
        return self._replay.sample(count, key).observation[:, 0]

    def example(self, observation_shape: Sequence[int]) -> trajectory.Trajectory:
        """Returns a batch of the right structure, shapes and dtypes, without meaning."""
        leading = (self._batch_size, self.agent.n_step + 1)
        return trajectory.Trajectory(
            step_type=np.full(leading, ts.StepType.MID),
            observation=np.zeros((*leading, *observation_shape), np.uint8),
            action=np.zeros(leading, np.int32),
            policy_info=() if self._prioritized is None else np.ones(self._batch_size, np.float32),
            next_step_type=np.full(leading, ts.StepType.MID),
            reward=np.zeros(leading, np.float32),
            discount=np.ones(leading, np.float32),
        )

    def trackables(self) -> dict[str, Any]:
        """Returns the networks, which belong in a checkpoint, by name."""
        return {"model": self.agent.model, "target_model": self.agent.target_model}

    def save(self, directory: Path, shared: Path) -> tuple[dict[str, Any], list[str]]:
        """Writes the state that is not in the networks.

        Args:
            directory: directory of the checkpoint.
            shared: directory of the replay's segments.

        Returns:
            The counters, which JSON can hold, and the names of the segments.
        """
        if self._diagnostics_batch is not None:
            batch = self._diagnostics_batch._asdict()
            del batch["policy_info"]  # () or ones
            arrays: dict[str, Any] = batch
            np.savez(directory / "diagnostics_batch.npz", **arrays)
        if self._prioritized is not None:
            self._prioritized.save_priorities(directory)
        return {"gradient_steps": self.gradient_steps}, self._replay.save(shared)

    def restore(
        self, directory: Path, shared: Path, shared_files: list[str], counters: dict[str, Any]
    ) -> None:
        """Takes up the state that `save` wrote and returned, exactly."""
        self.agent.note_changed_weights()
        self._replay.restore(shared, shared_files)
        if self._prioritized is not None:
            self._prioritized.restore_priorities(directory)
        self.gradient_steps = counters["gradient_steps"]
        if (directory / "diagnostics_batch.npz").exists():
            with np.load(directory / "diagnostics_batch.npz") as arrays:
                batch = trajectory.Trajectory(policy_info=(), **arrays)
            self._diagnostics_batch = batch if self._prioritized is None else with_weights(batch)

    def _sample_by_priority(self, replay: PrioritizedReplay, key: np.ndarray) -> PrioritizedSample:
        importance = replay.prioritization.importance(self.gradient_steps)
        return replay.sample_by_priority(self._batch_size, key, importance)


class _Weighted(Sequence[trajectory.Trajectory]):
    """Batches with importance weights of 1."""

    def __init__(self, batches: Sequence[trajectory.Trajectory]):
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: Any) -> Any:
        batch: Any = self._batches[index]
        return with_weights(batch)
