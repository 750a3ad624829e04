"""Value-based agents with a replay memory on games, as a task of the training loop."""

import contextlib
import fractions
import functools
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging
from tf_agents.specs import array_spec, tensor_spec
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory

from tfplastic import seeds
from tfplastic._checks import check_makes
from tfplastic._keras import keras
from tfplastic._shared_arguments import REQUIRED, shares_arguments
from tfplastic.layers import Dueling, SharedBias
from tfplastic.networks.image_sizes import TooSmallImageError
from tfplastic.rl.agents import QAgent
from tfplastic.rl.agents.acting import epsilon_greedy
from tfplastic.rl.playing.evaluation import scalars_of_returns
from tfplastic.rl.playing.game_protocol import GameEnvironment, GameProtocol
from tfplastic.rl.playing.game_sequence import GameSequence
from tfplastic.rl.playing.player import Player
from tfplastic.rl.playing.turns import turns_of
from tfplastic.rl.q_learner import QLearner
from tfplastic.rl.replay import FrameReplay, PrioritizedReplay
from tfplastic.rl.replay.frame_replay import replay_bytes
from tfplastic.rl.replay.settings import ReplaySettings
from tfplastic.tasks import HostTask, TaskLoss, TaskProgress
from tfplastic.tasks.batch_memory import check_batch_fits

_AGENT_STEPS_PER_YIELD = 100  # of the warm-up


class ReplayTask(HostTask):
    """A TF-Agents value-based agent that acts, stores and samples on a game; `AtariTask` is one for Atari.

    Agent steps and gradient steps keep `replay_ratio` exactly, whatever `num_envs` is: after gradient step s,
    warm_up + s / replay_ratio agent steps have been made, rounded up, or up to num_envs - 1 more.

    Args:
        game: name of the game, which `protocol` knows, or a `GameSequence`.
        agent: `dqn`, `double_dqn`, `c51`, `qr_dqn`, `two_hot_dqn` or `rainbow`.
        network: builder of the model; called with the number of outputs and `observation_shape`, `seed`.
        protocol: protocol of the game.
        settings: see `ReplaySettings`.

    Raises:
        ValueError: if a number is out of its range.
    """

    @shares_arguments(ReplaySettings, replay_ratio=REQUIRED, target_update_period=REQUIRED)
    def __init__(
        self,
        game: str | GameSequence,
        agent: Callable[..., QAgent],
        network: Callable[..., keras.Model],
        *,
        protocol: GameProtocol,
        settings: ReplaySettings,
    ):
        check_makes("network", network, keras.Model, "@nature_dqn", ("observation_shape", "seed"))
        check_makes("agent", agent, QAgent, "@double_dqn")
        self._steps_per_gradient_step = _agent_steps_per_gradient_step(settings.replay_ratio)
        self._turns = turns_of(game, protocol, self._steps_per_gradient_step)
        self._turn = 0
        self.protocol = self._turns.protocol
        self._frame_shape = self.protocol.frame_shape(self.game)
        self._observation_shape = self.protocol.observation_shape(self.game)
        settings.check_memory(self._frame_shape, self._observation_shape)
        self._settings = settings
        self.num_envs = settings.num_envs
        self.replay_capacity = settings.replay_capacity
        self.batch_size = settings.batch_size
        self.warm_up_agent_steps = settings.warm_up_agent_steps
        self.replay_ratio = settings.replay_ratio
        self.target_update_period = settings.target_update_period
        self.boundary_period = self._turns.gradient_steps or settings.target_update_period
        self.most_steps = self._turns.most_gradient_steps
        self.epsilon = settings.epsilon
        self.evaluation = settings.evaluation
        self.prioritization = settings.prioritization
        self.diagnostics_batch_size = settings.diagnostics_batch_size
        self._make_agent = agent
        self._make_network = network

    @property
    def game(self) -> str:
        """The game that is played now."""
        return self._turns.game(self._turn)

    def build(self, seed: int) -> None:
        self._seed = seed
        self._heads = self._turns.heads
        shape = self._observation_shape
        observation_spec = tensor_spec.TensorSpec(shape, tf.uint8, "observation")
        action_spec = tensor_spec.from_spec(
            array_spec.BoundedArraySpec((), np.int32, 0, self._heads.num_outputs - 1, "action")
        )

        def build_model(outputs: Any) -> keras.Model:
            return self.extend_network(self._make_network(outputs, observation_shape=shape, seed=seed))

        try:
            agent = self._make_agent(
                build_model, ts.time_step_spec(observation_spec), action_spec, batch_size=self.batch_size
            )
        except TooSmallImageError as error:
            raise self.protocol.too_small_error(error.smallest) from None
        self.model = agent.model
        if len(self._heads.sizes) > 1:
            _check_has_nothing_for_all_games(self.model)
            agent.heads = self._heads
        check_batch_fits("batch_size", self.batch_size, self.model)
        check_batch_fits("diagnostics_batch_size", self.diagnostics_batch_size, self.model)
        self._settings.check_memory(self._frame_shape, shape, agent.n_step)
        least = self.num_envs * (self.protocol.stack_size + agent.n_step)
        if self.replay_capacity < least:
            rule = f"must be at least `num_envs` times the frames of a transition, {least}"
            raise ValueError(f"`replay_capacity` {rule}. Received: {self.replay_capacity}")
        self._check_warm_up(agent.n_step)
        if self.protocol.has_negative_rewards and (warning := agent.warning_of_negative_rewards()):
            logging.warning(warning)
        self._player = Player(self._make_environment, seed)
        arguments = {"stack_size": self.protocol.stack_size, "n_step": agent.n_step}
        sizes = self.replay_capacity, self.num_envs, self._frame_shape
        if self.prioritization is None:
            replay = FrameReplay(*sizes, **arguments)
        else:
            replay = PrioritizedReplay(*sizes, **arguments, prioritization=self.prioritization)
        self._learner = QLearner(agent, replay, self.batch_size, self.target_update_period, seed)

    def start(self) -> None:
        self._player.start()

    def warm_up(self) -> Iterator[None]:
        pause_at = self._player.agent_steps
        while self._player.agent_steps < self.warm_up_agent_steps:
            if self._player.agent_steps >= pause_at:
                pause_at = self._player.agent_steps + _AGENT_STEPS_PER_YIELD
                yield
            self._act_in_warm_up()
        self._learner.draw_diagnostics_batch(self.diagnostics_batch_size)

    def next(self) -> trajectory.Trajectory:
        gradient_steps = self._learner.gradient_steps + 1
        if (turn := self._turns.turn(gradient_steps - 1)) != self._turn:
            self._begin_turn(turn)
        due = self._agent_steps_by(gradient_steps)
        with self._learner.agent.acting_by_copies():
            while self._player.agent_steps < due:
                self._act()
                self._turns.note(self._turn, self._player, self.warm_up_agent_steps)
        self._learner.agent.refresh_target_copies()
        return self._learner.next_batch()

    def agent_steps_of(self, gradient_steps: int) -> float:
        return float(gradient_steps * self._steps_per_gradient_step)

    def tracing_step(self) -> contextlib.AbstractContextManager[None]:
        return self._learner.agent.learning_by_copies()

    def note_event(self) -> None:
        self._learner.agent.note_changed_weights()

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

    def note_losses(self, losses: tf.Tensor) -> None:
        self._learner.note_losses(losses)

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
        return scalars | self._turns.metrics(self._turn, player.mean_return)

    def progress(self) -> TaskProgress:
        fields: TaskProgress = {"agent_steps": self._player.agent_steps, "epsilon": self._epsilon()}
        if self._player.mean_return is not None:
            fields["episode_return"] = self._player.mean_return
        return fields

    def evaluate(self, step: int, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        with self._learner.agent.acting_by_copies():
            return self._evaluate(step, should_stop)

    def _evaluate(self, step: int, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        seed = seeds.derive_integer(self._seed, "evaluation", step)

        def returns_in(game: str) -> np.ndarray | None:
            greedy_actions = functools.partial(
                self._learner.agent.greedy_actions, head=self._turns.head(game)
            )
            return self.evaluation(greedy_actions, game, self.protocol, seed, should_stop)

        returns = returns_in(self.game)
        if returns is None:
            return None
        means = {self.game: float(np.mean(returns))}
        for game in self._turns.evaluated_games(self._turn):
            of_game = returns_in(game)
            if of_game is None:
                return None
            means[game] = float(np.mean(of_game))
        of_turns = self._turns.note_evaluation(self._turn, step, means)
        return scalars_of_returns(returns, self.game) | of_turns

    def diagnostics_batch(self) -> tuple[trajectory.Trajectory, tf.Tensor]:
        return self._learner.diagnostics_batch()

    def probe_inputs(self, count: int, key: np.ndarray) -> np.ndarray:
        """Returns observations in the replay buffer, `[count, height, width, channels] uint8`."""
        return self._learner.observations(count, key)

    def trackables(self) -> dict[str, Any]:
        return self._learner.trackables()

    def save(self, directory: Path, shared: Path) -> list[str]:
        of_the_player = self._player.save(directory)
        of_the_learner, segments = self._learner.save(directory, shared)
        of_the_turn = {"turn": self._turn, "turns": self._turns.state()}
        counters = {**of_the_player, **of_the_learner, **of_the_turn}
        (directory / "task.json").write_text(json.dumps(counters), "utf-8")
        return segments

    def restore(self, directory: Path, shared: Path, shared_files: list[str]) -> None:
        counters = json.loads((directory / "task.json").read_text("utf-8"))
        self._learner.restore(directory, shared, shared_files, counters)
        if "turn" in counters:  # absent from checkpoints of version 0.2
            self._turn = counters["turn"]
            self._turns.restore(counters["turns"])
        self._player.restore(directory, counters)

    def example(self) -> trajectory.Trajectory:
        return self._learner.example(self._observation_shape)

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
        return seconds_per_agent_step * float(self._steps_per_gradient_step)

    def describe(
        self, total_steps: int, checkpoint_period: int, keep_checkpoints: int
    ) -> list[tuple[str, str]]:
        agent_steps = self._agent_steps_by(total_steps)
        repeat = self.protocol.action_repeat
        frames = f" = {agent_steps * repeat:,} frames" if repeat > 1 else ""
        # A checkpoint needs segments, one for each period, that cover the replay; an older one one more.
        played = math.ceil(checkpoint_period * self._steps_per_gradient_step)
        segment = min(played, self.replay_capacity)
        covering = -(-self.replay_capacity // segment) * segment
        kept = min(agent_steps, covering + (keep_checkpoints - 1) * segment)
        peak = min(agent_steps, kept + segment)

        def gigabytes(steps: int) -> str:
            return f"{replay_bytes(steps, self._frame_shape) / 1e9:.2f} GB"

        return [
            (
                "game",
                f"{self._turns.in_words()}, {self._heads.in_words()}, {self.num_envs} environment(s)",
            ),
            (
                "agent steps",
                f"{agent_steps:,}{frames}, {self._turns.warm_ups_in_words(self.warm_up_agent_steps)}",
            ),
            ("gradient steps", f"{total_steps:,}, {self._ratio_in_words()}"),
            ("target network", f"copied every {self.target_update_period:,} gradient steps"),
            ("evaluation", f"{self.evaluation.num_episodes} episodes at epsilon {self.evaluation.epsilon:g}"),
            (
                "replay memory",
                f"{self.replay_capacity:,} steps, {gigabytes(self.replay_capacity)}"
                f"{self._draws_in_words(total_steps)}",
            ),
            ("replay on disk", f"up to {gigabytes(kept)}, {gigabytes(peak)} while a checkpoint is written"),
        ]

    def close(self) -> None:
        self._player.close()

    def _make_environment(self, seed: int) -> GameEnvironment:
        if self._turn > 0:
            seed = seeds.derive_integer(seed, "turn", self._turn)
        return self.protocol.make_environment(self.game, self.num_envs, seed)

    def _check_warm_up(self, n_step: int) -> None:
        at_most = self.num_envs * n_step  # agent steps without a transition of n steps
        more = ""
        if self._turns.empty_replay:  # a turn may have been played that far beyond its end
            at_most += self.num_envs - 1
            more = ", and `num_envs` - 1 more where the replay is emptied"
        if self.warm_up_agent_steps <= at_most:
            rule = f"must be above `num_envs` times the agent's `n_step`{more}, {at_most}"
            raise ValueError(f"`warm_up_agent_steps` {rule}. Received: {self.warm_up_agent_steps}")

    def _begin_turn(self, turn: int) -> None:
        """Ends a turn: its game, its replay if the sequence says so, and begins another with its warm-up."""
        self._turns.end_turn(self._turn, self._player)
        self._turn = turn
        self._player.restart()
        if self._turns.empty_replay:
            self._learner.empty_replay()
            while self._player.agent_steps < self._turns.agent_steps_before(turn, self.warm_up_agent_steps):
                self._act_in_warm_up()
            self._player.forget_returns()
        self._turns.begin_turn(self._player)

    def _agent_steps_by(self, gradient_step: int) -> int:
        """Returns the agent steps that must have been made before a gradient step, at least."""
        warm_ups = self._turns.warm_ups(self._turns.turn(gradient_step - 1))
        return warm_ups * self.warm_up_agent_steps + math.ceil(gradient_step * self._steps_per_gradient_step)

    def _ratio_in_words(self) -> str:
        steps = self._steps_per_gradient_step
        if steps >= 1:
            return f"one per {'' if steps == 1 else f'{float(steps):g} '}agent step{'s' * (steps != 1)}"
        return f"{float(1 / steps):g} per agent step"

    def _draws_in_words(self, total_steps: int) -> str:
        return "" if self.prioritization is None else f", {self.prioritization.in_words(total_steps)}"

    def _epsilon(self) -> float:
        steps, warm_up = self._player.agent_steps, self.warm_up_agent_steps
        if self._turns.empty_replay and steps < self._turns.agent_steps_before(self._turn, warm_up):
            return self.epsilon(0)
        return self.epsilon(steps - self._turns.epsilon_begins(self._turn, warm_up))

    def _act(self) -> None:
        """Plays one step in every environment and stores it, with its action as an output of the network."""
        steps = self._player.play(self._actions)
        begin = self._heads.span(self._turns.head(self.game)).start
        self._learner.add(steps.replace(action=steps.action + begin) if begin else steps)

    def _act_in_warm_up(self) -> None:
        self._act()
        self._learner.agent.advance_noise()  # which gradient steps do later

    def _actions(self, observation: np.ndarray, key: np.ndarray) -> np.ndarray:
        head = self._turns.head(self.game)
        best_actions = functools.partial(self._learner.agent.exploring_actions, head=head)
        return epsilon_greedy(best_actions, observation, self._epsilon(), self._heads.sizes[head], key)


def _check_has_nothing_for_all_games(network: keras.Model) -> None:
    """Raises `ValueError` where a part of the network is added to the outputs of all heads."""
    parts = {
        "dueling": (Dueling, "a dueling head", "it has one value for all games"),
        "shared_bias": (SharedBias, "a shared bias", "it is one for all games"),
    }
    for argument, (kind, name, reason) in parts.items():
        if any(isinstance(each, kind) for each in network._flatten_layers()):
            rule = f"must not have {name} with `GameSequence.head_per_game`: {reason}"
            raise ValueError(f"`network` {rule}. Received: one. Set `{argument}` of the network to False")


def _agent_steps_per_gradient_step(replay_ratio: float) -> fractions.Fraction:
    """Returns 1 / `replay_ratio` as a fraction, of which every multiple is exact."""
    if replay_ratio > 1:
        return 1 / fractions.Fraction(replay_ratio).limit_denominator(1_000)
    return fractions.Fraction(1 / replay_ratio).limit_denominator(1_000)
