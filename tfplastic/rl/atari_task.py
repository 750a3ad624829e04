"""Value-based agents on Atari, as a task of the training loop."""

import functools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gin
import numpy as np
import tensorflow as tf
from tf_agents.specs import array_spec, tensor_spec
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory

from tfplastic import seeds
from tfplastic._checks import (
    check_fits_in_memory,
    check_instance,
    check_integer,
    check_makes,
    check_positive_integer,
)
from tfplastic._keras import keras
from tfplastic.networks.image_sizes import TooSmallImageError
from tfplastic.rl.agents import QAgent
from tfplastic.rl.agents.acting import LinearEpsilon, epsilon_greedy
from tfplastic.rl.atari import AtariEnvironment, AtariProtocol
from tfplastic.rl.atari.games import check_game, num_actions
from tfplastic.rl.evaluation import EMULATOR_BYTES, Evaluation, scalars_of_returns
from tfplastic.rl.player import Player
from tfplastic.rl.q_learner import QLearner
from tfplastic.rl.replay.frame_replay import FrameReplay, replay_bytes
from tfplastic.tasks import HostTask, TaskLoss, TaskProgress
from tfplastic.tasks.batch_memory import check_batch_fits

_AGENT_STEPS_PER_YIELD = 100  # of the warm-up


@gin.register(module="tfplastic.rl")
class AtariTask(HostTask):
    """A TF-Agents value-based agent that acts, stores and samples on one Atari game.

    Agent steps and gradient steps keep the ratio `agent_steps_per_gradient_step` exactly, whatever `num_envs`
    is: after gradient step s, warm_up + s * ratio agent steps have been made, or up to num_envs - 1 more.

    Args:
        game: ALE name, such as `'Breakout'`.
        agent: `dqn`, `double_dqn` or `c51`.
        network: builder of the model; called with the number of outputs and `observation_shape`, `seed`.
        protocol: protocol of the emulator.
        num_envs: environments side by side. 1 in the paper.
        replay_capacity: steps kept. 100,000 in Lyle et al. 2023, appendix A.3.
        batch_size: examples per gradient step. 32 in DQN Zoo.
        warm_up_agent_steps: agent steps before the first gradient step. 5 % of the replay capacity in DQN
            Zoo.
        agent_steps_per_gradient_step: 4 in the paper.
        target_update_period: gradient steps between hard copies to the target network. 120,000 frames = 7,500
            gradient steps in DQN Zoo's `double_q`.
        epsilon: maps agent steps since the warm-up to the probability of a random action.
        evaluation: settings of the evaluation.
        diagnostics_batch_size: size of the batch that diagnostics see, drawn once at the end of the warm-up.

    Raises:
        ValueError: if the game is unknown or a number is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> task = tp.rl.AtariTask(
        ...     'Breakout', tp.rl.double_dqn, tp.networks.nature_dqn, warm_up_agent_steps=50
        ... )
        >>> task.build(seed=0)
        >>> task.start()
        >>> for _ in task.warm_up():
        ...     pass
        >>> task.next().observation.shape  # [batch, n_step + 1, height, width, stack]
        (32, 2, 84, 84, 4)
        >>> task.metrics()['train/agent_steps']
        54
        >>> task.close()
    """

    name = "atari"

    def __init__(
        self,
        game: str,
        agent: Callable[..., QAgent],
        network: Callable[..., keras.Model],
        *,
        protocol: AtariProtocol = AtariProtocol(),  # noqa: B008 (frozen)
        num_envs: int = 1,
        replay_capacity: int = 100_000,
        batch_size: int = 32,
        warm_up_agent_steps: int = 5_000,
        agent_steps_per_gradient_step: int = 4,
        target_update_period: int = 7_500,
        epsilon: Callable[[int], float] = LinearEpsilon(),  # noqa: B008 (frozen)
        evaluation: Evaluation = Evaluation(),  # noqa: B008 (frozen)
        diagnostics_batch_size: int = 128,
    ):
        self.game = check_game(game)
        check_instance("protocol", protocol, AtariProtocol, "@AtariProtocol()")
        check_makes("network", network, keras.Model, "@nature_dqn", ("observation_shape", "seed"))
        for name, value, kind, example in (
            ("agent", agent, QAgent, "@double_dqn"),
            ("epsilon", epsilon, float, "@LinearEpsilon()"),
            ("evaluation", evaluation, np.ndarray, "@Evaluation()"),
        ):
            check_makes(name, value, kind, example)
        self.protocol = protocol
        self.num_envs = check_positive_integer("num_envs", num_envs)
        self.replay_capacity = check_positive_integer("replay_capacity", replay_capacity)
        self.batch_size = check_positive_integer("batch_size", batch_size)
        self.warm_up_agent_steps = check_integer("warm_up_agent_steps", warm_up_agent_steps, minimum=1)
        self.agent_steps_per_gradient_step = check_positive_integer(
            "agent_steps_per_gradient_step", agent_steps_per_gradient_step
        )
        self.target_update_period = check_positive_integer("target_update_period", target_update_period)
        self.boundary_period = self.target_update_period
        self.epsilon = epsilon
        self.evaluation = evaluation
        self.diagnostics_batch_size = check_positive_integer("diagnostics_batch_size", diagnostics_batch_size)
        if warm_up_agent_steps >= replay_capacity:
            raise ValueError(
                f"`warm_up_agent_steps` must be below `replay_capacity`, {replay_capacity}. "
                f"Received: {warm_up_agent_steps}"
            )
        if batch_size > replay_capacity:
            raise ValueError(
                f"`batch_size` must be at most `replay_capacity`, {replay_capacity}. Received: {batch_size}"
            )
        frame_shape = (protocol.frame_size, protocol.frame_size)
        check_fits_in_memory("replay_capacity", replay_capacity, replay_bytes(replay_capacity, frame_shape))
        # Two observations of each transition, as bytes and as float32.
        observations = 2 * 5 * protocol.frame_size**2 * protocol.stack_size
        check_fits_in_memory("batch_size", batch_size, batch_size * observations)
        check_fits_in_memory(
            "diagnostics_batch_size", diagnostics_batch_size, diagnostics_batch_size * observations
        )
        check_fits_in_memory("num_envs", num_envs, num_envs * EMULATOR_BYTES)
        if replay_capacity % num_envs:
            raise ValueError(
                f"`replay_capacity` must be a multiple of `num_envs`, {num_envs}. Received: {replay_capacity}"
            )
        self._make_agent = agent
        self._make_network = network

    def build(self, seed: int) -> None:
        self._seed = seed
        self._num_actions = num_actions(self.game, self.protocol.full_action_set)
        size, stack = self.protocol.frame_size, self.protocol.stack_size
        observation_spec = tensor_spec.TensorSpec((size, size, stack), tf.uint8, "observation")
        action_spec = tensor_spec.from_spec(
            array_spec.BoundedArraySpec((), np.int32, 0, self._num_actions - 1, "action")
        )
        build_model = functools.partial(self._make_network, observation_shape=(size, size, stack), seed=seed)
        try:
            agent = self._make_agent(
                build_model, ts.time_step_spec(observation_spec), action_spec, batch_size=self.batch_size
            )
        except TooSmallImageError as error:
            rule = f"must be at least {error.smallest} for this network"
            raise ValueError(f"`AtariProtocol.frame_size` {rule}. Received: {size}") from None
        self.model = agent.model
        check_batch_fits("batch_size", self.batch_size, self.model)
        check_batch_fits("diagnostics_batch_size", self.diagnostics_batch_size, self.model)
        at_most = self.num_envs * agent.n_step  # agent steps without a transition of n steps
        if self.warm_up_agent_steps <= at_most:
            raise ValueError(
                f"`warm_up_agent_steps` must be above `num_envs` times the agent's `n_step`, {at_most}. "
                f"Received: {self.warm_up_agent_steps}"
            )
        self._player = Player(self._make_environment, seed)
        replay = FrameReplay(
            self.replay_capacity, self.num_envs, (size, size), stack_size=stack, n_step=agent.n_step
        )
        self._learner = QLearner(agent, replay, self.batch_size, self.target_update_period, seed)

    def start(self) -> None:
        self._player.start()

    def warm_up(self) -> Iterator[None]:
        pause_at = self._player.agent_steps
        while self._player.agent_steps < self.warm_up_agent_steps:
            if self._player.agent_steps >= pause_at:
                pause_at = self._player.agent_steps + _AGENT_STEPS_PER_YIELD
                yield
            self._act()
        self._learner.draw_diagnostics_batch(self.diagnostics_batch_size)

    def next(self) -> trajectory.Trajectory:
        gradient_steps = self._learner.gradient_steps + 1
        due = self.warm_up_agent_steps + gradient_steps * self.agent_steps_per_gradient_step
        while self._player.agent_steps < due:
            self._act()
        return self._learner.next_batch()

    def further_batch(self, step: int) -> trajectory.Trajectory:
        """Draws another sample of the replay."""
        return self._learner.further_batch(step)

    def data_batches(self) -> Sequence[trajectory.Trajectory]:
        """Returns all transitions in the replay."""
        return self._learner.data_batches()

    def weights_replaced(self) -> None:
        self._learner.agent.update_target()

    def loss(self, model: keras.Model, batch: trajectory.Trajectory, training: bool = False) -> TaskLoss:
        return self._learner.loss(model, batch, training)

    def after_step(self, step: int) -> None:
        self._learner.after_step(step)

    def metrics(self) -> dict[str, float]:
        player = self._player
        scalars = {
            "train/agent_steps": player.agent_steps,
            "train/frames": player.agent_steps * self.protocol.action_repeat,
            "train/episodes": player.num_episodes,
            "train/epsilon": self._epsilon(),
        }
        if player.mean_return is not None:
            scalars["train/episode_return"] = player.mean_return
        return scalars

    def progress(self) -> TaskProgress:
        fields: TaskProgress = {"agent_steps": self._player.agent_steps, "epsilon": self._epsilon()}
        if self._player.mean_return is not None:
            fields["episode_return"] = self._player.mean_return
        return fields

    def evaluate(self, step: int, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        seed = seeds.derive_integer(self._seed, "evaluation", step)
        greedy_actions = self._learner.agent.greedy_actions
        returns = self.evaluation(greedy_actions, self.game, self.protocol, seed, should_stop)
        return None if returns is None else scalars_of_returns(returns, self.game)

    def diagnostics_batch(self) -> tuple[trajectory.Trajectory, tf.Tensor]:
        return self._learner.diagnostics_batch()

    def probe_inputs(self, count: int, key: np.ndarray) -> np.ndarray:
        """Returns observations in the replay buffer, `[count, height, width, stack_size] uint8`."""
        return self._learner.observations(count, key)

    def trackables(self) -> dict[str, Any]:
        return self._learner.trackables()

    def save(self, directory: Path, shared: Path) -> list[str]:
        of_the_player = self._player.save(directory)
        of_the_learner, segments = self._learner.save(directory, shared)
        (directory / "task.json").write_text(json.dumps({**of_the_player, **of_the_learner}), "utf-8")
        return segments

    def restore(self, directory: Path, shared: Path, shared_files: list[str]) -> None:
        counters = json.loads((directory / "task.json").read_text("utf-8"))
        self._learner.restore(directory, shared, shared_files, counters)
        self._player.restore(directory, counters)

    def example(self) -> trajectory.Trajectory:
        size, stack = self.protocol.frame_size, self.protocol.stack_size
        return self._learner.example((size, size, stack))

    def seconds_per_batch(self) -> float:
        self.start()
        self.epsilon = lambda agent_steps: 0.0  # the network acts, as it does for most of a run
        for _ in range(20):
            self._act()
        begun, steps_before = time.perf_counter(), self._player.agent_steps
        for _ in range(100):
            self._act()
        seconds_per_agent_step = (time.perf_counter() - begun) / (self._player.agent_steps - steps_before)
        self.close()
        return seconds_per_agent_step * self.agent_steps_per_gradient_step

    def describe(
        self, total_steps: int, checkpoint_period: int, keep_checkpoints: int
    ) -> list[tuple[str, str]]:
        agent_steps = self.warm_up_agent_steps + total_steps * self.agent_steps_per_gradient_step
        frames = agent_steps * self.protocol.action_repeat
        size = self.protocol.frame_size
        # A checkpoint needs segments, one for each period, that cover the replay; an older one one more.
        segment = min(checkpoint_period * self.agent_steps_per_gradient_step, self.replay_capacity)
        covering = -(-self.replay_capacity // segment) * segment
        kept = min(agent_steps, covering + (keep_checkpoints - 1) * segment)
        peak = min(agent_steps, kept + segment)

        def gigabytes(steps: int) -> str:
            return f"{replay_bytes(steps, (size, size)) / 1e9:.2f} GB"

        return [
            ("game", f"{self.game}, {self._num_actions} actions, {self.num_envs} environment(s)"),
            (
                "agent steps",
                f"{agent_steps:,} = {frames:,} frames, the first {self.warm_up_agent_steps:,} as warm-up",
            ),
            ("gradient steps", f"{total_steps:,}, one per {self.agent_steps_per_gradient_step} agent steps"),
            ("target network", f"copied every {self.target_update_period:,} gradient steps"),
            ("evaluation", f"{self.evaluation.num_episodes} episodes at epsilon {self.evaluation.epsilon:g}"),
            ("replay memory", f"{self.replay_capacity:,} steps, {gigabytes(self.replay_capacity)}"),
            ("replay on disk", f"up to {gigabytes(kept)}, {gigabytes(peak)} while a checkpoint is written"),
        ]

    def close(self) -> None:
        self._player.close()

    def _make_environment(self, seed: int) -> AtariEnvironment:
        return AtariEnvironment(self.game, self.num_envs, seed, self.protocol)

    def _epsilon(self) -> float:
        return self.epsilon(self._player.agent_steps - self.warm_up_agent_steps)

    def _act(self) -> None:
        """Plays one step in every environment and stores it."""
        self._learner.add(self._player.play(self._actions))

    def _actions(self, observation: np.ndarray, key: np.ndarray) -> np.ndarray:
        greedy_actions = self._learner.agent.greedy_actions
        return epsilon_greedy(greedy_actions, observation, self._epsilon(), self._num_actions, key)
