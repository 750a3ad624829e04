"""Rollouts: the steps that a policy has just taken, with advantages, for learning on policy."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tf_agents.trajectories import time_step as ts

from tfplastic import seeds
from tfplastic.rl.on_policy.ppo_loss import PpoBatch, generalized_advantages
from tfplastic.rl.playing.player import Player

_VARIANCE_EPSILON = 1e-8  # that of TF-Agents' PPOAgent


class RolloutMaker:
    """Maker of rollouts, with their advantages.

    Args:
        outputs: function from observations `[num_envs, ...]` to the network's outputs `[num_envs, actions +
            1]`: logits and the value.
        num_steps: steps of every environment in a rollout.
        discount: gamma per agent step.
        trace_decay: lambda of the advantages.
    """

    def __init__(
        self, outputs: Callable[[np.ndarray], np.ndarray], num_steps: int, discount: float, trace_decay: float
    ):
        self._outputs = outputs
        self._num_steps = num_steps
        self._discount = discount
        self._advantages = tf.function(
            lambda *arrays: generalized_advantages(*arrays, trace_decay=trace_decay), autograph=False
        )

    def __call__(self, player: Player) -> PpoBatch:
        """Plays one rollout; returns its steps, arrays `[num_steps * num_envs, ...]`, the steps one by one.

        Advantages have mean 0 and variance 1 over the rollout, resets left out.
        """
        outputs: list[np.ndarray] = []

        def policy(observation: np.ndarray, key: np.ndarray) -> np.ndarray:
            outputs.append(self._outputs(observation))
            return sampled_actions(outputs[-1][:, :-1], key)

        steps = [player.play(policy) for _ in range(self._num_steps)]
        outputs.append(self._outputs(player.environment.current_time_step().observation))
        stacked = np.stack(outputs)  # [steps + 1, num_envs, actions + 1]
        values, logits = stacked[..., -1], stacked[:-1, :, :-1]
        actions = np.stack([step.action for step in steps]).astype(np.int32)
        is_reset = np.stack([step.step_type for step in steps]) == ts.StepType.LAST
        advantages = self._advantages(
            np.stack([step.reward for step in steps]),
            np.float32(self._discount) * np.stack([step.discount for step in steps]),
            values,
            is_reset,
        ).numpy()  # [steps, num_envs]
        weight = (~is_reset).astype(np.float32)
        columns = PpoBatch(
            observation=np.stack([step.observation for step in steps]),
            action=actions,
            log_probability=_log_probabilities(logits, actions),
            advantage=_normalized(advantages, ~is_reset),
            value_target=advantages + values[:-1],
            weight=weight,
        )
        return PpoBatch(*(column.reshape(-1, *column.shape[2:]) for column in columns))


def sampled_actions(logits: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Draws actions of a policy, by its distribution function and one uniform draw each.

    Args:
        logits: `[num_envs, actions]`.
        key: `[2] int32`.

    Returns:
        `[num_envs] int32`.
    """
    cumulative = np.cumsum(np.exp(_log_softmax(logits)), axis=-1)  # [num_envs, actions]
    draws = seeds.generator(key).random(len(logits))[:, None] * cumulative[:, -1:]
    return (draws >= cumulative).sum(axis=-1).astype(np.int32)


def rows_of(batch: PpoBatch, indices: Any) -> PpoBatch:
    """Returns the steps of `indices`."""
    return PpoBatch(*(column[indices] for column in batch))


class Minibatches(Sequence[PpoBatch]):
    """The steps of a rollout in minibatches, in the order of `indices`; made when they are asked for.

    Args:
        rollout: all steps.
        indices: order of the steps, as many as are to be given.
        size: steps in a minibatch; those that are left over are left out.
    """

    def __init__(self, rollout: PpoBatch, indices: np.ndarray, size: int):
        self._rollout, self._indices, self._size = rollout, indices, size

    def __len__(self) -> int:
        return len(self._indices) // self._size

    def __getitem__(self, index: Any) -> Any:
        first = range(len(self))[index] * self._size
        return rows_of(self._rollout, self._indices[first : first + self._size])


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _log_probabilities(logits: np.ndarray, actions: np.ndarray) -> np.ndarray:
    chosen = np.take_along_axis(_log_softmax(logits), actions[..., None].astype(np.int64), axis=-1)
    return chosen[..., 0].astype(np.float32)


def _normalized(advantages: np.ndarray, counts: np.ndarray) -> np.ndarray:
    known = advantages[counts].astype(np.float64)
    scaled = (advantages - known.mean()) / np.sqrt(known.var() + _VARIANCE_EPSILON)
    return np.where(counts, scaled, 0).astype(np.float32)
