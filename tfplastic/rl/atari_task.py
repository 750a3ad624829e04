"""Value-based agents on Atari, as a task of the training loop."""

import collections
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
from tfplastic.networks._parts import TooSmallImageError
from tfplastic.rl.acting import LinearEpsilon, epsilon_greedy
from tfplastic.rl.agents import QAgent
from tfplastic.rl.atari import AtariEnvironment, AtariProtocol
from tfplastic.rl.atari_games import check_game, num_actions
from tfplastic.rl.atari_scores import human_normalized_score, reference_scores
from tfplastic.rl.evaluation import EMULATOR_BYTES, Evaluation
from tfplastic.rl.replay import FrameReplay, replay_bytes
from tfplastic.tasks import HostTask, TaskLoss
from tfplastic.tasks.batch_memory import check_batch_fits

# Names a part of the step in a trace of `--profile_steps`; costs nothing while none is taken.
Trace = tf.profiler.experimental.Trace

_RETURN_WINDOW = 100  # episodes in the running mean of the return
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
        protocol: of the emulator.
        num_envs: environments side by side. 1 in the paper.
        replay_capacity: steps kept. 100,000 in Lyle et al. 2023, appendix A.3.
        batch_size: of a gradient step. 32 in DQN Zoo.
        warm_up_agent_steps: agent steps before the first gradient step. 5 % of the replay capacity in DQN
            Zoo.
        agent_steps_per_gradient_step: 4 in the paper.
        target_update_period: gradient steps between hard copies to the target network. 120,000 frames = 7,500
            gradient steps in DQN Zoo's `double_q`.
        epsilon: maps agent steps since the warm-up to the probability of a random action.
        evaluation: how to evaluate.
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
        self._environment: AtariEnvironment | None = None

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
            self._agent = self._make_agent(
                build_model, ts.time_step_spec(observation_spec), action_spec, batch_size=self.batch_size
            )
        except TooSmallImageError as error:
            rule = f"must be at least {error.smallest} for this network"
            raise ValueError(f"`AtariProtocol.frame_size` {rule}. Received: {size}") from None
        self.model = self._agent.model
        check_batch_fits("batch_size", self.batch_size, self.model)
        check_batch_fits("diagnostics_batch_size", self.diagnostics_batch_size, self.model)
        at_most = self.num_envs * self._agent.n_step  # agent steps without a transition of n steps
        if self.warm_up_agent_steps <= at_most:
            raise ValueError(
                f"`warm_up_agent_steps` must be above `num_envs` times the agent's `n_step`, {at_most}. "
                f"Received: {self.warm_up_agent_steps}"
            )
        self._replay = FrameReplay(
            self.replay_capacity, self.num_envs, (size, size), stack_size=stack, n_step=self._agent.n_step
        )
        self._acts = 0
        self._agent_steps = 0
        self._gradient_steps = 0
        self._num_episodes = 0
        self._returns: collections.deque[float] = collections.deque(maxlen=_RETURN_WINDOW)
        self._diagnostics_batch: trajectory.Trajectory | None = None

    def start(self) -> None:
        self._environment = self._make_environment()
        self._environment.reset()

    def warm_up(self) -> Iterator[None]:
        pause_at = self._agent_steps
        while self._agent_steps < self.warm_up_agent_steps:
            if self._agent_steps >= pause_at:
                pause_at = self._agent_steps + _AGENT_STEPS_PER_YIELD
                yield
            self._act()
        if self._diagnostics_batch is None:
            self._diagnostics_batch = self._replay.sample(
                self.diagnostics_batch_size, seeds.derive(self._seed, "diagnostics")
            )

    def next(self) -> trajectory.Trajectory:
        due = self.warm_up_agent_steps + (self._gradient_steps + 1) * self.agent_steps_per_gradient_step
        while self._agent_steps < due:
            self._act()
        self._gradient_steps += 1
        with Trace("replay_sample"):
            return self._replay.sample(
                self.batch_size, seeds.derive(self._seed, "sample", self._gradient_steps)
            )

    def further_batch(self, step: int) -> trajectory.Trajectory:
        """Another sample of the replay."""
        return self._replay.sample(self.batch_size, seeds.derive(self._seed, "further_batch", step))

    def data_batches(self) -> Sequence[trajectory.Trajectory]:
        """All transitions in the replay."""
        return self._replay.batches(self.batch_size)

    def weights_replaced(self) -> None:
        self._agent.update_target()

    def loss(self, model: keras.Model, batch: trajectory.Trajectory, training: bool = False) -> TaskLoss:
        if model is not self.model:
            raise ValueError(f"`model` must be the task's own online network. Received: {model!r}")
        return TaskLoss(*self._agent.loss(batch, training), metrics={})

    def after_step(self, step: int) -> None:
        if step % self.target_update_period == 0:
            self._agent.update_target()

    def metrics(self) -> dict[str, float]:
        scalars = {
            "train/agent_steps": self._agent_steps,
            "train/frames": self._agent_steps * self.protocol.action_repeat,
            "train/episodes": self._num_episodes,
            "train/epsilon": self._epsilon(),
        }
        if self._returns:
            scalars["train/episode_return"] = float(np.mean(self._returns))
        return scalars

    def progress(self) -> dict[str, float | int]:
        fields: dict[str, float | int] = {"agent_steps": self._agent_steps, "epsilon": self._epsilon()}
        if self._returns:
            fields["episode_return"] = float(np.mean(self._returns))
        return fields

    def evaluate(self, step: int, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        seed = seeds.derive_integer(self._seed, "evaluation", step)
        returns = self.evaluation(self._agent.greedy_actions, self.game, self.protocol, seed, should_stop)
        if returns is None:
            return None
        mean = float(np.mean(returns))
        scalars = {"evaluation/episode_return": mean, "evaluation/episodes": len(returns)}
        if len(returns) > 1:
            scalars["evaluation/episode_return_stderr"] = float(np.std(returns, ddof=1) / len(returns) ** 0.5)
        if self.game in reference_scores():
            scalars["evaluation/human_normalized_score"] = human_normalized_score(self.game, mean)
        return scalars

    def diagnostics_batch(self) -> tuple[trajectory.Trajectory, tf.Tensor]:
        if self._diagnostics_batch is None:
            raise ValueError("The diagnostics batch exists from the end of the warm-up on.")
        batch = tf.nest.map_structure(tf.constant, self._diagnostics_batch)
        return batch, batch.observation[:, 0]

    def probe_inputs(self, count: int, key: np.ndarray) -> np.ndarray:
        """Observations in the replay buffer, `[count, height, width, stack_size] uint8`."""
        return self._replay.sample(count, key).observation[:, 0]

    def trackables(self) -> dict[str, Any]:
        return {"model": self._agent.model, "target_model": self._agent.target_model}

    def save(self, directory: Path, shared: Path) -> list[str]:
        counters = {
            "acts": self._acts,
            "agent_steps": self._agent_steps,
            "gradient_steps": self._gradient_steps,
            "num_episodes": self._num_episodes,
            "returns": list(self._returns),
        }
        (directory / "task.json").write_text(json.dumps(counters), "utf-8")
        _save_arrays(directory / "environment.npz", self._env.get_state())
        if self._diagnostics_batch is not None:
            batch = self._diagnostics_batch._asdict()
            del batch["policy_info"]  # ()
            _save_arrays(directory / "diagnostics_batch.npz", batch)
        return self._replay.save(shared)

    def restore(self, directory: Path, shared: Path, shared_files: list[str]) -> None:
        self._replay.restore(shared, shared_files)
        counters = json.loads((directory / "task.json").read_text("utf-8"))
        self._acts = counters["acts"]
        self._agent_steps = counters["agent_steps"]
        self._gradient_steps = counters["gradient_steps"]
        self._num_episodes = counters["num_episodes"]
        self._returns = collections.deque(counters["returns"], maxlen=_RETURN_WINDOW)
        if (directory / "diagnostics_batch.npz").exists():
            with np.load(directory / "diagnostics_batch.npz") as arrays:
                self._diagnostics_batch = trajectory.Trajectory(policy_info=(), **arrays)
        self._environment = self._make_environment()
        with np.load(directory / "environment.npz") as arrays:
            self._environment.set_state(dict(arrays))

    def example(self) -> trajectory.Trajectory:
        leading = (self.batch_size, self._agent.n_step + 1)
        size, stack = self.protocol.frame_size, self.protocol.stack_size
        return trajectory.Trajectory(
            step_type=np.full(leading, ts.StepType.MID),
            observation=np.zeros((*leading, size, size, stack), np.uint8),
            action=np.zeros(leading, np.int32),
            policy_info=(),
            next_step_type=np.full(leading, ts.StepType.MID),
            reward=np.zeros(leading, np.float32),
            discount=np.ones(leading, np.float32),
        )

    def seconds_per_batch(self) -> float:
        self.start()
        self.epsilon = lambda agent_steps: 0.0  # the network acts, as it does for most of a run
        for _ in range(20):
            self._act()
        begun, steps_before = time.perf_counter(), self._agent_steps
        for _ in range(100):
            self._act()
        seconds_per_agent_step = (time.perf_counter() - begun) / (self._agent_steps - steps_before)
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
        if self._environment is not None:
            self._environment.close()
            self._environment = None

    @property
    def _env(self) -> AtariEnvironment:
        if self._environment is None:
            raise ValueError("The task must be started or restored before it acts.")
        return self._environment

    def _make_environment(self) -> AtariEnvironment:
        seed = seeds.derive_integer(self._seed, "environment")
        return AtariEnvironment(self.game, self.num_envs, seed, self.protocol)

    def _epsilon(self) -> float:
        return self.epsilon(self._agent_steps - self.warm_up_agent_steps)

    def _act(self) -> None:
        """One step of every environment: act, step, store."""
        time_step = self._env.current_time_step()
        key = seeds.derive(self._seed, "act", self._acts)
        with Trace("acting"):
            actions = epsilon_greedy(
                self._agent.greedy_actions, time_step.observation, self._epsilon(), self._num_actions, key
            )
        with Trace("emulator"):
            next_time_step = self._env.step(actions)
        with Trace("replay_add"):
            self._replay.add_batch(
                trajectory.Trajectory(
                    step_type=time_step.step_type,
                    observation=time_step.observation,
                    action=actions,
                    policy_info=(),
                    next_step_type=next_time_step.step_type,
                    reward=next_time_step.reward,
                    discount=next_time_step.discount,
                )
            )
        self._acts += 1
        # An environment whose episode has ended is reset by this call instead of acting.
        self._agent_steps += int(np.count_nonzero(time_step.step_type != ts.StepType.LAST))
        for episode in self._env.pop_finished_episodes():
            self._num_episodes += 1
            self._returns.append(episode.episode_return)


def _save_arrays(path: Path, arrays: dict[str, Any]) -> None:
    np.savez(path, **arrays)
