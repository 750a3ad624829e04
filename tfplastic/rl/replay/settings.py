"""Settings of an agent that acts, stores and samples, as the tasks on games take them."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from tfplastic._checks import (
    check_fits_in_memory,
    check_instance,
    check_integer,
    check_makes,
    check_positive,
    check_positive_integer,
    shown,
)
from tfplastic.rl.agents.acting import LinearEpsilon
from tfplastic.rl.playing.evaluation import EMULATOR_BYTES, Evaluation
from tfplastic.rl.replay.frame_replay import replay_bytes
from tfplastic.rl.replay.prioritization import Prioritization

SMALLEST_RATIO = 1e-9
"""Least gradient steps per agent step."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReplaySettings:
    """Sizes and periods of acting, storing and sampling.

    Attributes:
        num_envs: environments side by side, which act in one call of the network.
        replay_capacity: steps kept.
        batch_size: examples per gradient step.
        warm_up_agent_steps: agent steps before the first gradient step.
        replay_ratio: gradient steps per agent step, at least 1e-9. Ratios of two integers, the smaller one up
            to 1,000, are exact.
        target_update_period: gradient steps between hard copies to the target network.
        epsilon: function that maps agent steps since the warm-up to the probability of a random action.
        evaluation: settings of the evaluation.
        prioritization: settings of draws from the replay by priority, with `importance_steps` in gradient
            steps; None for uniform draws.
        diagnostics_batch_size: size of the batch that diagnostics see, drawn once at the end of the warm-up.

    Raises:
        ValueError: if a number is out of its range.
    """

    num_envs: int = 1
    replay_capacity: int = 100_000
    batch_size: int = 32
    warm_up_agent_steps: int = 5_000
    replay_ratio: float = 0.25
    target_update_period: int = 7_500
    epsilon: Callable[[int], float] = LinearEpsilon()
    evaluation: Evaluation = Evaluation()
    prioritization: Prioritization | None = None
    diagnostics_batch_size: int = 128

    def __post_init__(self) -> None:
        check_makes("epsilon", self.epsilon, float, "@LinearEpsilon()")
        check_makes("evaluation", self.evaluation, np.ndarray, "@Evaluation()")
        if self.prioritization is not None:
            check_instance("prioritization", self.prioritization, Prioritization, "@Prioritization()")
        check_positive_integer("num_envs", self.num_envs)
        check_positive_integer("replay_capacity", self.replay_capacity)
        check_positive_integer("batch_size", self.batch_size)
        check_integer("warm_up_agent_steps", self.warm_up_agent_steps, minimum=1)
        if check_positive("replay_ratio", self.replay_ratio) < SMALLEST_RATIO:
            received = shown(self.replay_ratio)
            raise ValueError(f"`replay_ratio` must be at least {SMALLEST_RATIO:g}. Received: {received}")
        check_positive_integer("target_update_period", self.target_update_period)
        check_positive_integer("diagnostics_batch_size", self.diagnostics_batch_size)
        capacity = self.replay_capacity
        if self.warm_up_agent_steps >= capacity:
            rule = f"must be below `replay_capacity`, {capacity}"
            raise ValueError(f"`warm_up_agent_steps` {rule}. Received: {self.warm_up_agent_steps}")
        if self.batch_size > capacity:
            rule = f"must be at most `replay_capacity`, {capacity}"
            raise ValueError(f"`batch_size` {rule}. Received: {self.batch_size}")

    def check_memory(
        self, frame_shape: Sequence[int], observation_shape: Sequence[int], n_step: int = 1
    ) -> None:
        """Raises `ValueError` unless the machine has the memory for all of it, and frames fill the replay.

        Args:
            frame_shape: shape of one stored frame.
            observation_shape: shape of one observation.
            n_step: steps of a transition.
        """
        capacity = self.replay_capacity
        check_fits_in_memory("replay_capacity", capacity, replay_bytes(capacity, frame_shape))
        # The observations of each transition as bytes, and its first and last one as float32.
        observations = (n_step + 1 + 2 * 4) * math.prod(observation_shape)
        for name in ("batch_size", "diagnostics_batch_size"):
            check_fits_in_memory(name, getattr(self, name), getattr(self, name) * observations)
        check_fits_in_memory("num_envs", self.num_envs, self.num_envs * EMULATOR_BYTES)
        if capacity % self.num_envs:
            rule = f"must be a multiple of `num_envs`, {self.num_envs}"
            raise ValueError(f"`replay_capacity` {rule}. Received: {capacity}")
