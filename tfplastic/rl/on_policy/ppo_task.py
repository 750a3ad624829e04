"""PPO on games, as a task of the training loop."""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gin
import numpy as np
import tensorflow as tf

from tfplastic import seeds
from tfplastic._checks import (
    check_fits_in_memory,
    check_fraction,
    check_instance,
    check_makes,
    check_non_negative,
    check_positive,
    check_positive_integer,
)
from tfplastic._keras import keras
from tfplastic._losses.keras_loss import with_model_losses
from tfplastic._tf.programs import ArrayProgram
from tfplastic.layers import Dueling, NoisyDense
from tfplastic.networks.image_sizes import TooSmallImageError
from tfplastic.rl.on_policy.ppo_loss import PpoBatch, ppo_clip_loss
from tfplastic.rl.on_policy.rollout import Minibatches, RolloutMaker, rows_of
from tfplastic.rl.playing.evaluation import EMULATOR_BYTES, Evaluation, scalars_of_returns
from tfplastic.rl.playing.game_protocol import GameEnvironment, GameProtocol
from tfplastic.rl.playing.game_sequence import GameSequence
from tfplastic.rl.playing.player import Player
from tfplastic.tasks import HostTask, TaskLoss, TaskProgress
from tfplastic.tasks.batch_memory import check_batch_fits

_TIMED_ROLLOUTS = 2
_ROLLOUT_FILE, _DIAGNOSTICS_FILE = "rollout.npz", "diagnostics_batch.npz"


@gin.register(module="tfplastic.rl")
class PpoTask(HostTask):
    """PPO with a clipped objective on a game of Atari or MinAtar, with one network for actor and critic.

    Rule: all environments are played for `num_steps` steps by the policy, actions drawn from it; then the
        steps are learned from in `num_epochs` passes of minibatches, by `ppo_clip_loss`, and forgotten. A
        batch of a gradient step is a minibatch. The network has one output more than there are actions: the
        logits of the policy, and the state's value last. Advantages are TF-Agents' generalized ones, with
        mean 0 and variance 1 over the rollout. The reset after an episode takes the place of a step, with
        weight 0: in the loss it counts as one of the batch, as in TF-Agents, in metrics not at all.
    Defaults: constants of Schulman et al. 2017 for Atari, table 5: 8 environments, 128 steps, 3 epochs of
        minibatches of 256, discount 0.99, lambda 0.95, clip 0.1, coefficients 1 and 0.01.
    Source: Schulman et al. 2017, "Proximal policy optimization algorithms"; TF-Agents' `PPOClipAgent`.
    Departures: the paper lets clip and learning rate fall to 0 over the run; they stay here. As in TF-Agents,
        the value's error is not halved, and advantages are normalized by rollout; OpenAI Baselines does so by
        minibatch. The evaluation takes the most probable action. Targets of the value stay during a rollout's
        epochs; no boundary follows a rollout, so that mitigations need a period. One that is a multiple of
        the gradient steps of a rollout lets them act between rollouts; another one changes weights while the
        ratios of a rollout are still those to its own policy.

    Args:
        game: name of the game, which `protocol` knows.
        network: builder of the model; called with the number of outputs, one more than the actions, and
            `observation_shape`, `seed`.
        protocol: protocol of the game, an `AtariProtocol` or a `MinAtarProtocol`.
        num_envs: environments side by side.
        num_steps: steps of every environment in a rollout.
        num_epochs: passes over a rollout.
        batch_size: steps in a minibatch; must divide `num_envs * num_steps`.
        discount: gamma per agent step, in [0, 1].
        trace_decay: lambda of generalized advantages, in [0, 1].
        clip: bound of the ratio of probabilities around 1, in (0, 1].
        value_coefficient: factor of the value's squared error, at least 0.
        entropy_coefficient: factor of the entropy, at least 0.
        evaluation: settings of the evaluation.
        diagnostics_batch_size: size of the batch that diagnostics see, drawn once from the first rollout.

    Raises:
        ValueError: if the game is unknown, a number is out of its range, or minibatches do not divide a
            rollout.

    Example:
        >>> import tfplastic as tp
        >>> task = tp.rl.PpoTask(
        ...     'breakout', tp.networks.minatar_cnn, tp.rl.MinAtarProtocol(), num_steps=16, batch_size=32
        ... )
        >>> task.build(seed=0)
        >>> task.start()
        >>> batch = task.next()
        >>> batch.observation.shape, task.model.output_shape, task.progress()['agent_steps'] > 100
        ((32, 10, 10, 4), (None, 7), True)
        >>> task.close()
    """

    name = "ppo"
    progress_fields = ("agent_steps", "episode_return")
    boundary_period = None

    def __init__(
        self,
        game: str,
        network: Callable[..., keras.Model],
        protocol: GameProtocol,
        *,
        num_envs: int = 8,
        num_steps: int = 128,
        num_epochs: int = 3,
        batch_size: int = 256,
        discount: float = 0.99,
        trace_decay: float = 0.95,
        clip: float = 0.1,
        value_coefficient: float = 1.0,
        entropy_coefficient: float = 0.01,
        evaluation: Evaluation = Evaluation(),  # noqa: B008 (frozen)
        diagnostics_batch_size: int = 128,
    ):
        arguments = "observation_shape", "seed"
        self._make_network = check_makes("network", network, keras.Model, "@minatar_cnn", arguments)
        self.protocol = check_instance("protocol", protocol, GameProtocol, "@MinAtarProtocol()")
        if isinstance(game, GameSequence):
            rule = (
                "must be the name of one game: sequences are for agents with a replay, such as MinAtarTask's"
            )
            raise ValueError(f"`game` {rule}. Received: {game!r}")
        self.game = protocol.check_game(game)
        self._num_actions = protocol.num_actions(self.game)
        self._observation_shape = protocol.observation_shape(self.game)
        self.num_envs = check_positive_integer("num_envs", num_envs)
        self.num_steps = check_positive_integer("num_steps", num_steps)
        self.num_epochs = check_positive_integer("num_epochs", num_epochs)
        self.batch_size = check_positive_integer("batch_size", batch_size)
        self.discount = check_fraction("discount", discount)
        self.trace_decay = check_fraction("trace_decay", trace_decay)
        self._coefficients = {
            "clip": check_fraction("clip", check_positive("clip", clip)),
            "value_coefficient": check_non_negative("value_coefficient", value_coefficient),
            "entropy_coefficient": check_non_negative("entropy_coefficient", entropy_coefficient),
        }
        check_makes("evaluation", evaluation, np.ndarray, "@Evaluation()")
        self.evaluation = evaluation
        self.diagnostics_batch_size = check_positive_integer("diagnostics_batch_size", diagnostics_batch_size)
        observation_bytes = math.prod(self._observation_shape)
        check_fits_in_memory("num_envs", num_envs, num_envs * (EMULATOR_BYTES + observation_bytes))
        check_fits_in_memory("num_steps", num_steps, 2 * num_envs * num_steps * observation_bytes)
        check_fits_in_memory("batch_size", batch_size, 5 * batch_size * observation_bytes)
        check_fits_in_memory(
            "diagnostics_batch_size", diagnostics_batch_size, 5 * diagnostics_batch_size * observation_bytes
        )
        if num_envs * num_steps % batch_size:
            raise ValueError(
                f"`batch_size` must divide `num_envs * num_steps`, {num_envs * num_steps}. "
                f"Received: {batch_size}"
            )
        self._steps_per_epoch = num_envs * num_steps // batch_size
        self._steps_per_rollout = num_epochs * self._steps_per_epoch

    def build(self, seed: int) -> None:
        self._seed = seed
        try:
            network = self._network(seed)
        except TooSmallImageError as error:
            raise self.protocol.too_small_error(error.smallest) from None
        _check_has_no_parts_for_q_values(network)
        if (outputs := tuple(network.output_shape[1:])) != (self._num_actions + 1,):
            rule = f"must have {self._num_actions + 1} outputs, one for each action and the value"
            raise ValueError(f"`network` {rule}. Received: outputs of shape {outputs}")
        self.model = self.extend_network(network)
        check_batch_fits("batch_size", self.batch_size, self.model)
        check_batch_fits("diagnostics_batch_size", self.diagnostics_batch_size, self.model)
        self._player = Player(self._make_environment, seed)
        self._outputs = ArrayProgram(lambda observation: self.model(observation, training=False))
        self._make_rollout = RolloutMaker(self._outputs, self.num_steps, self.discount, self.trace_decay)
        self._rollout: PpoBatch | None = None
        self._diagnostics: PpoBatch | None = None
        self._num_rollouts = self._gradient_steps = 0

    def start(self) -> None:
        self._player.start()

    def warm_up(self) -> Iterator[None]:
        yield
        if self._rollout is None:
            self._play()

    def next(self) -> PpoBatch:
        if self._gradient_steps >= self._num_rollouts * self._steps_per_rollout:
            self._play()
        step = self._gradient_steps
        self._gradient_steps += 1
        epoch, minibatch = divmod(step, self._steps_per_epoch)
        return self._in_order("epoch", epoch)[minibatch]

    def seconds_per_batch(self) -> float:
        self.start()
        self._play()  # traces the programs
        begun = time.perf_counter()
        for _ in range(_TIMED_ROLLOUTS):
            self._play()
        self.close()
        return (time.perf_counter() - begun) / (_TIMED_ROLLOUTS * self._steps_per_rollout)

    def further_batch(self, step: int) -> PpoBatch:
        """Draws another minibatch of the rollout."""
        return self._in_order("further_batch", step)[0]

    def data_batches(self) -> Sequence[PpoBatch]:
        """Returns all steps of the rollout."""
        rollout = self._known_rollout
        return Minibatches(rollout, np.arange(len(rollout.action)), self.batch_size)

    def loss(self, model: keras.Model, batch: PpoBatch, training: bool = False) -> TaskLoss:
        outputs = model(batch.observation, training=training)
        losses = ppo_clip_loss(outputs, batch, **self._coefficients)
        num_steps = tf.reduce_sum(tf.convert_to_tensor(batch.weight))

        def over_steps(values: tf.Tensor) -> tf.Tensor:
            return tf.math.divide_no_nan(tf.reduce_sum(values), num_steps)

        metrics = {  # means without the resets
            "policy_loss": over_steps(losses.policy),
            "value_loss": over_steps(losses.value),
            "entropy": over_steps(losses.entropy),
            "clipped_fraction": over_steps(losses.is_clipped),
        }
        loss = with_model_losses(tf.reduce_mean(losses.total), model)
        return TaskLoss(loss, losses.total, metrics)

    def metrics(self) -> dict[str, float]:
        player = self._player
        scalars: dict[str, float] = {
            "train/agent_steps": player.agent_steps,
            "train/frames": player.agent_steps * self.protocol.action_repeat,
            "train/episodes": player.num_episodes,
        }
        if player.mean_return is not None:
            scalars["train/episode_return"] = player.mean_return
        return scalars

    def progress(self) -> TaskProgress:
        fields: TaskProgress = {"agent_steps": self._player.agent_steps}
        if self._player.mean_return is not None:
            fields["episode_return"] = self._player.mean_return
        return fields

    def evaluate(self, step: int, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        seed = seeds.derive_integer(self._seed, "evaluation", step)
        returns = self.evaluation(self._best_actions, self.game, self.protocol, seed, should_stop)
        return None if returns is None else scalars_of_returns(returns, self.game)

    def diagnostics_batch(self) -> tuple[PpoBatch, tf.Tensor]:
        if self._diagnostics is None:
            raise ValueError("The diagnostics batch is available only after the warm-up. Train a step first.")
        batch = PpoBatch(*map(tf.constant, self._diagnostics))
        return batch, batch.observation

    def probe_inputs(self, count: int, key: np.ndarray) -> np.ndarray:
        """Returns observations of the rollout, `[count, height, width, channels] uint8`."""
        rollout = self._known_rollout
        return rollout.observation[seeds.generator(key).integers(len(rollout.action), size=count)]

    def save(self, directory: Path, shared: Path) -> list[str]:
        counters = {**self._player.save(directory), "gradient_steps": self._gradient_steps}
        counters["num_rollouts"] = self._num_rollouts
        for name, batch in ((_ROLLOUT_FILE, self._rollout), (_DIAGNOSTICS_FILE, self._diagnostics)):
            if batch is not None:
                np.savez(directory / name, **batch._asdict())
        (directory / "task.json").write_text(json.dumps(counters), "utf-8")
        return []

    def restore(self, directory: Path, shared: Path, shared_files: list[str]) -> None:
        counters = json.loads((directory / "task.json").read_text("utf-8"))
        self._player.restore(directory, counters)
        self._gradient_steps, self._num_rollouts = counters["gradient_steps"], counters["num_rollouts"]
        self._rollout, self._diagnostics = (
            _read(directory / name) for name in (_ROLLOUT_FILE, _DIAGNOSTICS_FILE)
        )

    def example(self) -> PpoBatch:
        numbers = np.zeros(self.batch_size, np.float32)
        observation = np.zeros((self.batch_size, *self._observation_shape), np.uint8)
        return PpoBatch(observation, np.zeros(self.batch_size, np.int32), *[numbers] * 4)

    def describe(
        self, total_steps: int, checkpoint_period: int, keep_checkpoints: int
    ) -> list[tuple[str, str]]:
        rollouts = -(-total_steps // self._steps_per_rollout)
        steps = self.num_envs * self.num_steps
        repeat = self.protocol.action_repeat
        frames = f" = {rollouts * steps * repeat:,} frames" if repeat > 1 else ""
        return [
            ("game", f"{self.game}, {self._num_actions} actions, {self.num_envs} environment(s)"),
            ("agent steps", f"up to {rollouts * steps:,}{frames}, in rollouts of {steps:,} with resets"),
            (
                "gradient steps",
                f"{total_steps:,}, {self._steps_per_rollout} per rollout: {self.num_epochs} passes of "
                f"{self._steps_per_epoch} minibatches",
            ),
            ("evaluation", f"{self.evaluation.num_episodes} episodes at epsilon {self.evaluation.epsilon:g}"),
        ]

    def close(self) -> None:
        self._player.close()

    @property
    def _known_rollout(self) -> PpoBatch:
        if self._rollout is None:
            raise ValueError("The task must be started or restored, and train a step, before it has steps.")
        return self._rollout

    def _network(self, seed: int) -> keras.Model:
        return self._make_network(self._num_actions + 1, observation_shape=self._observation_shape, seed=seed)

    def _make_environment(self, seed: int) -> GameEnvironment:
        return self.protocol.make_environment(self.game, self.num_envs, seed)

    def _best_actions(self, observation: np.ndarray) -> np.ndarray:
        return self._outputs(observation)[:, :-1].argmax(axis=-1)

    def _play(self) -> None:
        self._rollout = self._make_rollout(self._player)
        self._num_rollouts += 1
        if self._diagnostics is None:
            generator = seeds.generator(seeds.derive(self._seed, "diagnostics"))
            steps = np.flatnonzero(self._rollout.weight)
            size = self.diagnostics_batch_size
            self._diagnostics = rows_of(
                self._rollout, generator.choice(steps, size, replace=size > len(steps))
            )

    def _in_order(self, *parts: Any) -> Minibatches:
        rollout = self._known_rollout
        order = seeds.generator(seeds.derive(self._seed, *parts)).permutation(len(rollout.action))
        return Minibatches(rollout, order, self.batch_size)


def _check_has_no_parts_for_q_values(network: keras.Model) -> None:
    layers = list(network._flatten_layers())
    if any(isinstance(each, Dueling) for each in layers):
        raise ValueError("`network` must not have a dueling head, which is for Q-values. Received: one")
    if noisy := [each.name for each in layers if isinstance(each, NoisyDense)]:
        rule = "must not have noisy layers, which explore for Q-values: the policy draws its actions"
        raise ValueError(f"`network` {rule}. Received: {', '.join(noisy)}")


def _read(path: Path) -> PpoBatch | None:
    if not path.exists():
        return None
    with np.load(path) as arrays:
        return PpoBatch(**arrays)
