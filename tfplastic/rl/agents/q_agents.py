"""DQN, Double DQN and C51 of TF-Agents, trained by their public loss."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import gin
import numpy as np
import tensorflow as tf
from tf_agents.agents import tf_agent
from tf_agents.agents.dqn import dqn_agent
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory
from tf_agents.utils import common

from tfplastic._checks import check_positive
from tfplastic._shared_arguments import shares_arguments
from tfplastic._tf.programs import ArrayProgram
from tfplastic.layers.noisy_dense import noise_stream
from tfplastic.rl.agents.c51_agent import PerExampleC51Agent
from tfplastic.rl.agents.heads import LOWEST, ActionHeads
from tfplastic.rl.agents.q_network import QNetwork
from tfplastic.rl.agents.settings import AgentSettings
from tfplastic.rl.agents.weight_copies import WeightCopies


class QAgent:
    """A TF-Agents value-based agent with its two networks, for acting and training.

    Args:
        agent: the TF-Agents agent; its `train` raises an error that names the alternative.
        q_network: its online network.
        target_network: its target network; equal to the online one after construction.
        support: `[atoms] float32` values of a categorical head, or None where the outputs are Q-values.
        discount: gamma per agent step.
        n_step: steps that the agent folds into one return.
        priorities: function from the loss of examples to their priorities in a prioritized replay, both
            `[batch] float64`; the loss itself by default.
        to_values: function from the network's outputs to Q-values `[batch, actions]`; by default the outputs
            themselves, or the expectation over `support`.

    Attributes:
        priorities: the argument.
        heads: heads of the networks' outputs if there are several, else None. Set it before the first action
            and the first loss. The loss then chooses the next action within the head of the action taken.
    """

    def __init__(
        self,
        agent: tf_agent.TFAgent,
        q_network: QNetwork,
        target_network: QNetwork,
        support: tf.Tensor | None,
        discount: float,
        n_step: int,
        priorities: Callable[[np.ndarray], np.ndarray] = lambda losses: losses,
        to_values: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ):
        self.agent = agent
        self.priorities = priorities
        self.heads: ActionHeads | None = None
        agent.__dict__["train"] = _train_is_elsewhere
        self.model = q_network.model
        self.target_model = target_network.model
        self.discount = discount
        self.n_step = n_step
        self._support = support
        self._to_values = to_values or self._expectation
        self._networks = q_network, target_network
        target_network.noise_stream = 2
        for online, target in zip(q_network.noisy_layers, target_network.noisy_layers, strict=True):
            target.follow(online)
        self._has_noise = bool(q_network.noisy_layers)
        # By whether the network has noise, the head, and whether copies are read.
        self._programs: dict[tuple[bool, int, bool], ArrayProgram] = {}
        self._copies, self._target_copies = WeightCopies(self.model), WeightCopies(self.target_model)
        self._acts_by_copies = self._learns_by_copies = False
        self.update_target()

    def warning_of_negative_rewards(self) -> str:
        """Returns a warning where a categorical head has no values below 0, else ''."""
        if self._support is None or float(self._support[0]) < 0:
            return ""
        return (
            f"the bins of the agent begin at {float(self._support[0]):g}, but rewards of this game may be"
            " negative: such returns count as the first bin; set min_value of the agent"
        )

    def warning_of_support(self, low: float, high: float) -> str:
        """Returns a warning where a categorical head cannot hold the possible returns, else ''.

        Rewards in [low, high] have returns from low / (1 - discount) to high / (1 - discount), where a value
        beyond the support counts as the end of the support.

        Args:
            low: least reward of an agent step.
            high: largest reward.
        """
        if self._support is None or self.discount == 1:
            return ""
        least, largest = low / (1 - self.discount), high / (1 - self.discount)
        first, last = float(self._support[0]), float(self._support[-1])
        margin = 1e-6 * max(abs(least), abs(largest))
        if first <= least + margin and largest - margin <= last:
            return ""
        return (
            f"the bins of the agent reach from {first:g} to {last:g}, but rewards in [{low:g}, {high:g}] with"
            f" a discount of {self.discount:g} have returns from {least:g} to {largest:g}: those beyond the"
            " bins count as their ends; set max_value (and min_value) of the agent"
        )

    def update_target(self) -> None:
        """Copies the online weights to the target network."""
        common.soft_variables_update(self.model.variables, self.target_model.variables, tau=1.0)
        self.note_changed_weights()

    def note_changed_weights(self) -> None:
        """Has the target network's copies in bfloat16 made again, where they are used next."""
        self._has_target_copies = False

    @contextlib.contextmanager
    def acting_by_copies(self) -> Iterator[None]:
        """While open, networks that compute in bfloat16 act by copies of the weights of this moment.

        Their actions are those that they would have anyway. The loss of the next gradient step may read the
        same copies, see `learning_by_copies`.
        """
        self._copies.refresh()
        self._acts_by_copies = bool(self._copies)
        try:
            yield
        finally:
            self._acts_by_copies = False

    @contextlib.contextmanager
    def learning_by_copies(self) -> Iterator[None]:
        """While open, the first loss to be traced reads the copies that `acting_by_copies` has made.

        For the program of a gradient step, before any weight changes; `refresh_target_copies` precedes each
        of its calls.
        """
        self._learns_by_copies = bool(self._copies)
        try:
            yield
        finally:
            self._learns_by_copies = False

    def refresh_target_copies(self) -> None:
        """Makes the target network's copies in bfloat16, if its weights have changed since the last time."""
        if not self._has_target_copies:
            self._target_copies.refresh()
            self._has_target_copies = True

    def q_values(self, observation: tf.Tensor) -> tf.Tensor:
        """Returns `[batch, actions] float32`: the outputs, or the expectation of the distribution.

        Args:
            observation: `[batch, ...]`.
        """
        return self._to_values(self.model(observation, training=False))

    def greedy_actions(self, observation: np.ndarray, head: int = 0) -> np.ndarray:
        """Returns `[batch] int64`: the first action of largest Q-value, without noise.

        Args:
            observation: `[batch, ...]`.
            head: head that chooses, where there are several; actions count from its first.
        """
        return self._best_actions(observation, False, head)

    def exploring_actions(self, observation: np.ndarray, head: int = 0) -> np.ndarray:
        """Returns the actions of largest Q-value with the noise of the network's last gradient step.

        Without noisy layers they equal `greedy_actions`.

        Args:
            observation: `[batch, ...]`.
            head: head that chooses, see `greedy_actions`.
        """
        if not self._has_noise:
            return self.greedy_actions(observation, head)
        return self._best_actions(observation, True, head)

    def advance_noise(self) -> None:
        """Advances to the next noise of noisy layers, as a gradient step does at its beginning."""
        for layer in self._networks[0].noisy_layers:
            layer.advance()

    def loss(self, experience: trajectory.Trajectory, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the loss `[]` and each example's `[batch]`, on `[batch, n_step + 1, ...]` experience.

        In training, the weights of noisy layers have noise in every call: independent ones of the online
        network at the first observations, of the online network where it chooses the next action, and of the
        target network.

        The loss has the losses of the network itself as well, `model.losses` (regularizers, `add_loss`).
        Importance weights `[batch]` may stand in `experience.policy_info`; they are factors of the examples'
        losses, whose mean is in the loss.

        The agent's public `loss` takes gamma as an argument, 1 by default, and only its `train` passes the
        agent's own. TF-Agents writes summaries from within its loss, which must not get into a compiled
        program.
        """
        has_weights = tf.is_tensor(experience.policy_info) or isinstance(experience.policy_info, np.ndarray)
        weights = tf.convert_to_tensor(experience.policy_info) if has_weights else None  # [batch]
        experience = experience.replace(policy_info=())
        with contextlib.ExitStack() as stack:
            stack.enter_context(tf.summary.record_if(False))
            if self._learns_by_copies:
                self._learns_by_copies = False
                for copies in (self._copies, self._target_copies):
                    stack.enter_context(copies.read())
            for network in self._networks if training else ():
                stack.enter_context(network.with_noise())
            if self.heads is not None:
                allowed = self.heads.in_head_of(experience.action[:, 0])
                for network in self._networks:
                    stack.enter_context(network.allowing(allowed, self._worst_outputs()))
            added = stack.enter_context(self._networks[0].keeping_losses())
            info = self.agent.loss(experience, weights=weights, training=training, gamma=self.discount)
        losses = info.extra.td_loss  # [batch]
        loss = info.loss if not added else info.loss + tf.cast(added[0], info.loss.dtype)  # []
        return loss, losses if weights is None else weights * losses

    def _expectation(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the Q-values of outputs `[batch, actions]` or logits `[batch, actions, atoms]`."""
        if self._support is None:
            return outputs
        return tf.reduce_sum(tf.nn.softmax(outputs) * self._support, axis=-1)

    def _worst_outputs(self) -> tf.Tensor:
        """Returns the outputs of an action that no other is worse than: Q-values, quantiles or logits."""
        if self._support is None:
            return tf.constant(LOWEST)
        return tf.constant([0.0] + [LOWEST] * (len(self._support) - 1))  # all probability on the least value

    def _best_actions(self, observation: np.ndarray, has_noise: bool, head: int) -> np.ndarray:
        by_copies = self._acts_by_copies
        if (key := (has_noise, head, by_copies)) not in self._programs:

            def best(given: tf.Tensor) -> tf.Tensor:
                with contextlib.ExitStack() as stack:
                    if by_copies:
                        stack.enter_context(self._copies.read())
                    if has_noise:
                        stack.enter_context(noise_stream(0))
                    values = self.q_values(given)
                    if self.heads is not None:
                        values = values[:, self.heads.span(head)]
                    return tf.argmax(values, axis=-1)

            self._programs[key] = ArrayProgram(best)
        return self._programs[key](observation)


@gin.register(module="tfplastic.rl")
@shares_arguments(AgentSettings)
def dqn(*, grad_error_bound: float = 1 / 32, settings: AgentSettings) -> QAgent:
    """Builds DQN (Mnih et al. 2015): target r + gamma max_a Q'(s', a).

    Args:
        settings: settings of the agent, see `AgentSettings`.
        grad_error_bound: bound of the error's gradient, see `double_dqn`.

    Raises:
        ValueError: if an argument is out of its range.
    """
    return _td_agent(_OnePassDqnAgent, settings, grad_error_bound)


@gin.register(module="tfplastic.rl")
@shares_arguments(AgentSettings)
def double_dqn(*, grad_error_bound: float = 1 / 32, settings: AgentSettings) -> QAgent:
    """Builds Double DQN (van Hasselt et al. 2016): target r + gamma Q'(s', argmax_a Q(s', a)).

    The loss is the mean over the batch of TD-error^2 / 2, whose gradient with respect to each TD error,
    1/batch_size of it, is clipped to +-grad_error_bound. That equals a Huber loss with threshold
    grad_error_bound * batch_size.

    Args:
        settings: settings of the agent, see `AgentSettings`.
        grad_error_bound: bound of the error's gradient, see above. 1/32 in DQN Zoo.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import functools
        >>> import numpy as np, tensorflow as tf, tfplastic as tp
        >>> from tf_agents.specs import BoundedTensorSpec
        >>> from tf_agents.trajectories import time_step_spec
        >>> agent = tp.rl.double_dqn(
        ...     functools.partial(tp.networks.nature_dqn, seed=0),
        ...     time_step_spec(tf.TensorSpec([84, 84, 4], tf.uint8)),
        ...     BoundedTensorSpec([], tf.int32, 0, 5),
        ...     batch_size=32,
        ... )
        >>> agent.greedy_actions(np.zeros([8, 84, 84, 4], np.uint8)).shape
        (8,)
    """
    return _td_agent(dqn_agent.DdqnAgent, settings, grad_error_bound)


@gin.register(module="tfplastic.rl")
@shares_arguments(AgentSettings)
def c51(*, num_atoms: int = 51, max_value: float = 10.0, settings: AgentSettings) -> QAgent:
    """Builds C51 (Bellemare et al. 2017): a categorical distribution over returns.

    Args:
        settings: settings of the agent, see `AgentSettings`.
        num_atoms: atoms of the distribution, at least 2. 51 in the paper.
        max_value: the atoms are equally spaced over [-max_value, max_value]. 10 in the paper.

    Raises:
        ValueError: if an argument is out of its range.
    """
    settings.check_num_atoms("num_atoms", num_atoms)
    max_value = check_positive("max_value", max_value)
    make_agent = functools.partial(PerExampleC51Agent, min_q_value=-max_value, max_q_value=max_value)
    return categorical_agent(make_agent, tf.linspace(-max_value, max_value, num_atoms), settings)


@gin.register(module="tfplastic.rl")
@shares_arguments(AgentSettings, n_step=3)
def rainbow(*, num_atoms: int = 51, max_value: float = 10.0, settings: AgentSettings) -> QAgent:
    """Builds the agent of Rainbow (Hessel et al. 2018): C51 of several steps, with Double DQN's next action.

    The target is the projection of the return of `n_step` steps plus gamma^n times the target network's
    distribution of the action that is best for the online network. The other parts of Rainbow are arguments
    of the network, `dueling` and `noise`, and of the task, `prioritization`, whose priorities are the losses;
    `gin/agents/minatar_rainbow.gin` and `atari_rainbow.gin` set all.

    Args:
        settings: settings of the agent, see `AgentSettings`; returns of 3 steps, as in the paper.
        num_atoms: atoms of the distribution, at least 2. 51 in the paper.
        max_value: the atoms are equally spaced over [-max_value, max_value]. 10 in the paper.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import functools
        >>> import tensorflow as tf, tfplastic as tp
        >>> from tf_agents.specs import BoundedTensorSpec
        >>> from tf_agents.trajectories import time_step_spec
        >>> agent = tp.rl.rainbow(
        ...     functools.partial(tp.networks.minatar_cnn, dueling=True, noise=0.5, seed=0),
        ...     time_step_spec(tf.TensorSpec([10, 10, 4], tf.uint8)),
        ...     BoundedTensorSpec([], tf.int32, 0, 5),
        ...     batch_size=32,
        ... )
        >>> agent.model.output_shape, agent.n_step
        ((None, 6, 51), 3)
    """
    settings.check_num_atoms("num_atoms", num_atoms)
    max_value = check_positive("max_value", max_value)
    bounds = {"min_q_value": -max_value, "max_q_value": max_value}
    make_agent = functools.partial(PerExampleC51Agent, double_q=True, **bounds)
    return categorical_agent(make_agent, tf.linspace(-max_value, max_value, num_atoms), settings)


def categorical_agent(
    make_agent: Callable[..., tf_agent.TFAgent], support: tf.Tensor, settings: AgentSettings
) -> QAgent:
    """Returns an agent whose networks give a categorical distribution over `support` for each action.

    Args:
        make_agent: function that makes TF-Agents' agent, from the arguments of a `CategoricalDqnAgent`.
        support: `[atoms] float32`, their values.
        settings: the arguments that all agents share.
    """
    networks = settings.networks(len(support))
    agent = make_agent(
        settings.time_step_spec,
        settings.action_spec,
        networks[0],
        optimizer=None,  # the gradient step is training/step.py's
        target_categorical_q_network=networks[1],
        n_step_update=settings.n_step,
        gamma=settings.discount,
    )
    return QAgent(agent, *networks, support, settings.discount, settings.n_step)


class _OnePassDqnAgent(dqn_agent.DqnAgent):
    """`DqnAgent` that runs the target network once for max_a Q'(s', a); TF-Agents runs it twice."""

    def _compute_next_q_values(self, next_time_steps: ts.TimeStep, info: Any) -> tf.Tensor:
        del info
        q_values, _ = self._target_q_network(next_time_steps.observation, step_type=next_time_steps.step_type)
        return tf.reduce_max(q_values, axis=-1)  # [batch]


def _td_agent(
    agent_class: type[dqn_agent.DqnAgent], settings: AgentSettings, grad_error_bound: float
) -> QAgent:
    check_positive("grad_error_bound", grad_error_bound)
    threshold = grad_error_bound * settings.batch_size
    networks = settings.networks()

    def clipped_error(targets: tf.Tensor, q_values: tf.Tensor) -> tf.Tensor:
        reduction = tf.compat.v1.losses.Reduction.NONE
        return tf.compat.v1.losses.huber_loss(targets, q_values, delta=threshold, reduction=reduction)

    agent = agent_class(
        settings.time_step_spec,
        settings.action_spec,
        networks[0],
        optimizer=None,  # the gradient step is training/step.py's
        target_q_network=networks[1],
        n_step_update=settings.n_step,
        td_errors_loss_fn=clipped_error,
        gamma=settings.discount,
    )
    td_errors = functools.partial(_td_errors, threshold=threshold)
    return QAgent(agent, *networks, None, settings.discount, settings.n_step, td_errors)


def _td_errors(losses: np.ndarray, threshold: float) -> np.ndarray:
    """Returns the magnitudes of TD errors by their Huber losses."""
    return np.where(
        losses <= threshold**2 / 2, np.sqrt(2 * np.maximum(losses, 0)), losses / threshold + threshold / 2
    )


def _train_is_elsewhere(*arguments: Any, **keywords: Any) -> None:
    """Stands for the agent's own `train`, which has no optimizer.

    Raises:
        ValueError: always.
    """
    raise ValueError(
        "`QAgent.agent.train` cannot be called, because the agent has no optimizer. Use "
        "`training.Loop`, which has one and applies mitigations, or differentiate `QAgent.loss(experience)`"
    )
