"""Value-based agents on a classification MDP, as a part of the compiled training loop."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gin
import numpy as np
import tensorflow as tf
from absl import logging
from tf_agents.specs import array_spec, tensor_spec
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory

from tfplastic import seeds
from tfplastic._checks import (
    check_fits_in_memory,
    check_fraction,
    check_interval,
    check_makes,
    check_positive_integer,
)
from tfplastic._keras import keras
from tfplastic._tf.programs import own_program
from tfplastic._tf.random import fold_in, split
from tfplastic.rl.agents import QAgent
from tfplastic.rl.replay.graph_replay import GraphReplay
from tfplastic.tasks import (
    ClassificationMdp,
    DataBatches,
    GraphTask,
    TaskLoss,
    TaskProgress,
    choose_examples,
    load_dataset,
)
from tfplastic.tasks.batch_memory import check_batch_fits
from tfplastic.tasks.classification_mdp import uniform_integers
from tfplastic.tasks.datasets import check_dataset_name

_TRANSITION_BYTES = 16  # of `Transition`
_REWARD_WINDOW = 4_000  # agent steps in the running mean of the reward
_EVALUATION_BATCH = 512  # images, which bounds the memory that activations take
_TIE = 1e-4  # optimal values that differ by less are equal; each is known to within 1e-6


class Transition(NamedTuple):
    """Contents of the replay for agent steps; each `[count]`. Observations are indices of images."""

    observation: tf.Tensor
    action: tf.Tensor
    reward: tf.Tensor
    next_observation: tf.Tensor


class MdpTaskState(NamedTuple):
    """The state of the task, which changes from step to step.

    Attributes:
        states: `[num_envs] int32`, the class that each environment is in.
        observation: `[num_envs] int32`, the image that it shows.
        replay: replay of `Transition`s.
    """

    states: tf.Tensor
    observation: tf.Tensor
    replay: GraphReplay


@gin.register(module="tfplastic.rl")
class ClassificationMdpTask(GraphTask):
    """A TF-Agents value-based agent that acts, stores and samples on a classification MDP.

    Before each gradient step every environment acts once, epsilon-greedily; so there is one gradient step
    per `num_envs` agent steps. The paper (Lyle et al. 2023, section 3.2 and appendix A.2) names the MDPs, the
    networks and the target period; where an argument says "not given", the paper is silent and the default
    is ours. That holds for the agent's discount and the optimizer too.

    Args:
        dataset: a name that `load_dataset` knows; its training images are used.
        mdp: `true_label_mdp`, `random_label_mdp` or `sparse_reward_mdp`; called with the labels, the number
            of classes and the seed.
        agent: `dqn`, `double_dqn`, `two_hot_dqn`, `qr_dqn` or `c51`, with returns of one step.
        network: builder of the model; called with the number of outputs and `input_shape`, `seed`.
        num_examples: images, drawn once from the data set; None for all. Not given.
        pixel_range: new values of the levels 0 and 255. Not given.
        num_envs: environments side by side. Not given; 4 agent steps for a gradient step are DQN's ratio on
            Atari.
        replay_capacity: transitions kept. Not given.
        batch_size: examples per gradient step. Not given; 32 in DQN Zoo.
        warm_up_agent_steps: agent steps of the uniformly random policy before the first gradient step. Not
            given; 5 % of the replay capacity in DQN Zoo.
        target_update_period: gradient steps between hard copies to the target network. The paper has 1,000 in
            section 5.1 (the default), 10,000 and 5,000 in appendix A; it does not say that copies are hard.
        epsilon: probability of a random action, from the first gradient step on. Not given; 0.1 is the
            paper's on Atari.
        evaluation_size: images of the greedy accuracy, drawn once, or all if there are fewer. 4,096 in the
            paper's appendix A.1.
        diagnostics_batch_size: transitions that diagnostics and the evaluation see, drawn once from the
            random policy. No rank can exceed it; 512, as in appendix A.1 for C_k, is enough for the paper's
            networks.

    Raises:
        ValueError: if an argument is out of its range; from `build` on, if there is no such data, or the
            agent's returns are longer than one step, or its discount is 1.

    Example:
        >>> import functools, tfplastic as tp
        >>> task = tp.rl.ClassificationMdpTask(
        ...     'digits',
        ...     tp.tasks.true_label_mdp,
        ...     tp.rl.double_dqn,
        ...     functools.partial(tp.networks.mlp, hidden=(32,)),
        ...     replay_capacity=1_000,
        ...     warm_up_agent_steps=100,
        ... )
        >>> task.build(seed=0)
        >>> state = task.initial_state()
        >>> batch, state = task.next(state, tp.seeds.derive(0, 'step', 1))
        >>> batch.observation.shape  # [batch, 2, height, width, channels]
        TensorShape([32, 2, 8, 8, 1])
        >>> task.metrics(state)['train/agent_steps']
        104
    """

    name = "classification_mdp"
    kind = "mdp"
    progress_fields = ("agent_steps", "epsilon")

    def __init__(
        self,
        dataset: str,
        mdp: Callable[..., ClassificationMdp],
        agent: Callable[..., QAgent],
        network: Callable[..., keras.Model],
        *,
        num_examples: int | None = None,
        pixel_range: Sequence[float] = (0.0, 1.0),
        num_envs: int = 4,
        replay_capacity: int = 100_000,
        batch_size: int = 32,
        warm_up_agent_steps: int = 5_000,
        target_update_period: int = 1_000,
        epsilon: float = 0.1,
        evaluation_size: int = 4_096,
        diagnostics_batch_size: int = 128,
    ):
        self._low, self._high = check_interval("pixel_range", pixel_range)
        self.num_examples = (
            None if num_examples is None else check_positive_integer("num_examples", num_examples)
        )
        self.num_envs = check_positive_integer("num_envs", num_envs)
        self.replay_capacity = check_positive_integer("replay_capacity", replay_capacity)
        self.batch_size = check_positive_integer("batch_size", batch_size)
        self.warm_up_agent_steps = check_positive_integer("warm_up_agent_steps", warm_up_agent_steps)
        self.target_update_period = check_positive_integer("target_update_period", target_update_period)
        self.epsilon = check_fraction("epsilon", epsilon)
        self.evaluation_size = check_positive_integer("evaluation_size", evaluation_size)
        self.diagnostics_batch_size = check_positive_integer("diagnostics_batch_size", diagnostics_batch_size)
        if warm_up_agent_steps % num_envs:
            raise ValueError(
                f"`warm_up_agent_steps` must be a multiple of `num_envs`, {num_envs}. "
                f"Received: {warm_up_agent_steps}"
            )
        if num_envs > replay_capacity:
            raise ValueError(
                f"`replay_capacity` must be at least `num_envs`, {num_envs}. Received: {replay_capacity}"
            )
        if batch_size > replay_capacity:
            raise ValueError(
                f"`batch_size` must be at most `replay_capacity`, {replay_capacity}. Received: {batch_size}"
            )
        # In a program the replay is copied once more at each addition.
        check_fits_in_memory("replay_capacity", replay_capacity, 2 * _TRANSITION_BYTES * replay_capacity)
        self.boundary_period = self.target_update_period
        self.dataset = check_dataset_name("dataset", dataset)
        self._make_mdp = check_makes("mdp", mdp, ClassificationMdp, "@true_label_mdp")
        self._make_agent = check_makes("agent", agent, QAgent, "@double_dqn")
        self._make_network = check_makes("network", network, keras.Model, "@mlp", ("input_shape", "seed"))

    def build(self, seed: int) -> None:
        dataset = load_dataset(self.dataset)
        if self.num_examples is not None:
            dataset = choose_examples(dataset, self.num_examples, seed)
        self._seed = seed
        self._images = tf.constant(dataset.x_train)  # [images, height, width, channels] uint8
        self.mdp = self._make_mdp(dataset.y_train, dataset.num_classes, seed)
        image_shape = dataset.x_train.shape[1:]
        observation_spec = tensor_spec.TensorSpec(image_shape, tf.float32, "observation")
        action_spec = tensor_spec.from_spec(
            array_spec.BoundedArraySpec((), np.int32, 0, self.mdp.num_states - 1, "action")
        )

        def build_model(outputs: Any) -> keras.Model:
            return self.extend_network(self._make_network(outputs, input_shape=image_shape, seed=seed))

        self._agent = self._make_agent(
            build_model, ts.time_step_spec(observation_spec), action_spec, batch_size=self.batch_size
        )
        if self._agent.n_step != 1:
            raise ValueError(f"`agent` must have an `n_step` of 1 here. Received: {self._agent.n_step}")
        if warning := self._agent.warning_of_support(*self.mdp.reward_range):
            logging.warning(warning)
        self.model = self._agent.model
        check_batch_fits("batch_size", self.batch_size, self.model)
        check_batch_fits("diagnostics_batch_size", self.diagnostics_batch_size, self.model)
        self._q_values_program = own_program(self._q_values)
        images = len(dataset.x_train)
        order = seeds.generator(seeds.derive(seed, "evaluation")).permutation(images)
        self._evaluation_images = order[: self.evaluation_size]
        self._evaluation_labels = self.mdp.labels.numpy()[self._evaluation_images]
        self._optimal_values = self.mdp.optimal_values(self._agent.discount)  # [states, actions]

    def initial_state(self) -> MdpTaskState:
        scalar = tf.TensorSpec([], tf.int32)
        spec = Transition(scalar, scalar, tf.TensorSpec([], tf.float32), scalar)
        key = tf.constant(seeds.derive(self._seed, "warm_up"))

        def warmed_up() -> MdpTaskState:
            replay = GraphReplay.empty(self.replay_capacity, spec)
            begin = MdpTaskState(*self._begin(self.num_envs, fold_in(key, 0)), replay)
            acts = self.warm_up_agent_steps // self.num_envs
            _, end = tf.while_loop(
                lambda act, state: act <= acts,
                lambda act, state: (act + 1, self._act(state, fold_in(key, act), self._random_actions)),
                (1, begin),
            )
            return end

        return own_program(warmed_up)()

    def next(self, state: MdpTaskState, key: tf.Tensor) -> tuple[trajectory.Trajectory, MdpTaskState]:
        act_key, sample_key = tf.unstack(split(key, 2))
        state = self._act(state, act_key, self._epsilon_greedy_actions)
        with tf.name_scope("replay_sample"):
            return self._batch(state.replay.sample(self.batch_size, sample_key)), state

    def boundary(self, state: MdpTaskState) -> tf.Tensor:
        # The copies of `after_step`: after the warm-up each gradient step adds `num_envs` transitions.
        added = state.replay.num_added - self.warm_up_agent_steps
        return (added > 0) & (added % (self.num_envs * self.target_update_period) == 0)

    def further_batch(self, state: MdpTaskState, key: tf.Tensor) -> trajectory.Trajectory:
        """Draws another sample of the replay."""
        return self._batch(state.replay.sample(self.batch_size, key))

    def data_batches(self, state: MdpTaskState) -> DataBatches:
        """Returns all transitions in the replay."""
        count = tf.cast(state.replay.size // self.batch_size, tf.int32)
        return DataBatches(count, lambda index: self._batch(state.replay.batch(index, self.batch_size)))

    def weights_replaced(self) -> None:
        self._agent.update_target()

    def loss(self, model: keras.Model, batch: trajectory.Trajectory, training: bool = False) -> TaskLoss:
        if model is not self.model:
            received = f"{model!r}. Give the task's `model`"
            raise ValueError(f"`model` must be the task's own online network. Received: {received}")
        loss, per_example_loss = self._agent.loss(batch, training)
        return TaskLoss(loss, per_example_loss, {})

    def after_step(self, state: MdpTaskState, step: tf.Tensor, output: TaskLoss) -> MdpTaskState:
        del output

        def copy() -> tf.Tensor:
            self._agent.update_target()
            return tf.constant(True)

        period = tf.constant(self.target_update_period, step.dtype)
        tf.cond(tf.equal(step % period, 0), copy, lambda: tf.constant(False))
        return state

    def metrics(self, state: MdpTaskState) -> dict[str, float]:
        rewards = state.replay.newest(_REWARD_WINDOW).reward
        return {
            "train/agent_steps": int(state.replay.num_added),
            "train/mean_reward": float(tf.reduce_mean(rewards)),
        }

    def progress(self, state: MdpTaskState) -> TaskProgress:
        return {"agent_steps": int(state.replay.num_added), "epsilon": self.epsilon}

    def evaluate(self, step: int, state: MdpTaskState) -> dict[str, float]:
        """Returns the scores of the greedy policy, and errors of the values.

        Over the evaluation images, `accuracy` is the fraction whose first action of largest Q-value is the
        label in force, `optimal_actions` the fraction for which that action is optimal (the same except in
        the sparse MDP, see `ClassificationMdp.optimal_values`), and `value_error` the mean of |Q - Q*| over
        images and actions. `td_loss` is the loss on the diagnostics batch.
        """
        images, labels = self._evaluation_images, self._evaluation_labels
        parts = np.split(images, range(_EVALUATION_BATCH, len(images), _EVALUATION_BATCH))
        # [images, actions]
        values = np.concatenate([self._q_values_program(tf.constant(part)) for part in parts])
        greedy = values.argmax(axis=1)  # [images]
        optimal = self._optimal_values[labels]  # [images, actions]
        chosen = np.take_along_axis(optimal, greedy[:, None], axis=1)[:, 0]  # [images]
        batch, _ = self.diagnostics_batch()
        return {
            "evaluation/accuracy": float((greedy == labels).mean()),
            "evaluation/optimal_actions": float((chosen >= optimal.max(axis=1) - _TIE).mean()),
            "evaluation/value_error": float(np.abs(values - optimal).mean()),
            "evaluation/td_loss": float(self.loss(self.model, batch).loss),
        }

    def diagnostics_batch(self) -> tuple[trajectory.Trajectory, tf.Tensor]:
        keys = split(tf.constant(seeds.derive(self._seed, "diagnostics")), 2)
        begin = self._begin(self.diagnostics_batch_size, keys[0])
        batch = self._batch(self._transition(*begin, keys[1], self._random_actions)[0])
        return batch, batch.observation[:, 0]

    def probe_inputs(self, state: MdpTaskState, count: int, key: np.ndarray) -> np.ndarray:
        """Returns observations in the replay buffer."""
        return self._pixels(state.replay.sample(count, tf.constant(key)).observation).numpy()

    def trackables(self) -> dict[str, Any]:
        return {"model": self._agent.model, "target_model": self._agent.target_model}

    def describe(self, total_steps: int) -> list[tuple[str, str]]:
        images, *shape = self._images.shape
        agent_steps = self.warm_up_agent_steps + total_steps * self.num_envs
        size = " x ".join(map(str, shape))
        megabytes = np.prod(self._images.shape) / 1e6
        replay_megabytes = _TRANSITION_BYTES * self.replay_capacity / 1e6
        return [
            ("images", f"{images:,} of {self.dataset}, {size}, {megabytes:.1f} MB"),
            ("states", f"{self.mdp.num_states}, as many actions, {self.num_envs} environment(s)"),
            ("agent steps", f"{agent_steps:,}, the first {self.warm_up_agent_steps:,} as warm-up"),
            ("gradient steps", f"{total_steps:,}, one per {self.num_envs} agent steps"),
            ("target network", f"copied every {self.target_update_period:,} gradient steps"),
            ("evaluation", f"greedy accuracy on {len(self._evaluation_images):,} images"),
            (
                "replay memory",
                f"{self.replay_capacity:,} transitions, {replay_megabytes:.2f} MB",
            ),
        ]

    def _begin(self, count: int, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws states and their observations, each `[count] int32`, at the beginning of the interaction."""
        keys = split(key, 2)
        states = self.mdp.initial_states(count, keys[0])
        return states, self.mdp.observe(states, keys[1])

    def _act(
        self, state: MdpTaskState, key: tf.Tensor, policy: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    ) -> MdpTaskState:
        """Takes and stores one step of every environment."""
        transition, states = self._transition(state.states, state.observation, key, policy)
        with tf.name_scope("replay_add"):
            replay = state.replay.add(transition)
        return MdpTaskState(states, transition.next_observation, replay)

    def _transition(
        self,
        states: tf.Tensor,
        observation: tf.Tensor,
        key: tf.Tensor,
        policy: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    ) -> tuple[Transition, tf.Tensor]:
        """Returns a policy's experience, from observations and a key to actions, and the states after it."""
        policy_key, step_key, observe_key = tf.unstack(split(key, 3))
        with tf.name_scope("acting"):  # scopes that separates operations in a profile
            actions = policy(observation, policy_key)  # [count]
        with tf.name_scope("environment"):
            rewards, next_states = self.mdp.step(states, actions, step_key)  # [count], [count]
            next_observation = self.mdp.observe(next_states, observe_key)  # [count]
        return Transition(observation, actions, rewards, next_observation), next_states

    def _random_actions(self, observation: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        return uniform_integers(observation.shape[0], key, self.mdp.num_states)

    def _epsilon_greedy_actions(self, observation: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        keys = split(key, 2)
        # Not a float draw, which is another one under XLA.
        explores = uniform_integers(observation.shape[0], keys[0], 2**30) < round(self.epsilon * 2**30)
        greedy = tf.argmax(self._q_values(observation), axis=-1, output_type=tf.int32)  # [count]
        return tf.where(explores, self._random_actions(observation, keys[1]), greedy)

    def _q_values(self, observation: tf.Tensor) -> tf.Tensor:
        return self._agent.q_values(self._pixels(observation))  # [count, actions]

    def _pixels(self, observation: tf.Tensor) -> tf.Tensor:
        """Returns `[..., height, width, channels] float32` in the range of the pixels."""
        images = tf.cast(tf.gather(self._images, observation), tf.float32)
        # One factor: the graph optimizer would turn a division into one, with other last bits than eagerly.
        return images * ((self._high - self._low) / 255) + self._low

    def _batch(self, transitions: Transition) -> trajectory.Trajectory:
        """Returns transitions as TF-Agents takes them: `[batch, 2, ...]`; the second step only observes."""
        observation = tf.stack([transitions.observation, transitions.next_observation], axis=1)  # [batch, 2]
        first = tf.constant([[1, 0]])
        mid = tf.fill(observation.shape, ts.StepType.MID)  # no episode ends
        return trajectory.Trajectory(
            step_type=mid,
            observation=self._pixels(observation),  # [batch, 2, height, width, channels]
            action=transitions.action[:, None] * first,
            policy_info=(),
            next_step_type=mid,
            reward=transitions.reward[:, None] * tf.cast(first, tf.float32),
            discount=tf.ones(observation.shape),
        )
