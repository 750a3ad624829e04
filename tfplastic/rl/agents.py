"""DQN, Double DQN and C51 of TF-Agents, trained by their public loss."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import gin
import numpy as np
import tensorflow as tf
from tf_agents.agents import tf_agent
from tf_agents.agents.dqn import dqn_agent
from tf_agents.networks import network
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory
from tf_agents.utils import common

from tfplastic._checks import (
    check_fits_in_memory,
    check_fraction,
    check_integer,
    check_positive,
    check_positive_integer,
)
from tfplastic._keras import is_legacy, keras
from tfplastic.rl.c51_agent import PerExampleC51Agent

ModelBuilder = Callable[[int | Sequence[int]], keras.Model]  # number of outputs, or (actions, atoms) -> model


class QNetwork(network.Network):
    """A Keras model as a TF-Agents network.

    Args:
        input_tensor_spec: of one observation.
        build_model: makes the model; called once for each copy of the network.
        num_atoms: size of the last axis of a categorical head, which C51 asks for.
        name: of the network.
    """

    def __init__(
        self, input_tensor_spec: Any, build_model: Callable[[], keras.Model], num_atoms: int, name: str
    ):
        super().__init__(input_tensor_spec=input_tensor_spec, state_spec=(), name=name)
        self.model = build_model()
        self.num_atoms = num_atoms

    def create_variables(self, input_tensor_spec: Any = None, **kwargs: Any) -> tf.TensorSpec:
        """As the parent, on an input of zeros.

        The parent draws a random input: from the global generator, and with an overflow for a bounded uint8
        under numpy 2.
        """
        if self._network_output_spec is None:
            (spec,) = tf.nest.flatten(self.input_tensor_spec)
            outputs, _ = self(
                tf.zeros([1, *spec.shape], spec.dtype), step_type=tf.fill([1], ts.StepType.FIRST), **kwargs
            )
            self._network_output_spec = tf.TensorSpec(outputs.shape[1:], outputs.dtype)
        return self._network_output_spec

    def call(
        self, observation: tf.Tensor, step_type: Any = None, network_state: Any = (), training: bool = False
    ) -> tuple[tf.Tensor, Any]:
        return self.model(observation, training=training), network_state


class QAgent:
    """A TF-Agents value-based agent, its two networks, and what acting and training need of them.

    Args:
        agent: the TF-Agents agent; its `train` is an error that names what to use instead.
        q_network: its online network.
        target_network: its target network; equal to the online one after construction.
        support: `[atoms] float32` values of a categorical head, or None where the outputs are Q-values.
        discount: gamma per agent step.
        n_step: steps that the agent folds into one return.
    """

    def __init__(
        self,
        agent: tf_agent.TFAgent,
        q_network: QNetwork,
        target_network: QNetwork,
        support: tf.Tensor | None,
        discount: float,
        n_step: int,
    ):
        self.agent = agent
        agent.__dict__["train"] = _train_is_elsewhere
        self.model = q_network.model
        self.target_model = target_network.model
        self.discount = discount
        self.n_step = n_step
        self._support = support
        self._greedy_actions = tf.function(
            lambda observation: tf.argmax(self.q_values(observation), axis=-1), autograph=False
        )
        self._greedy_programs: dict[tuple[int, ...], Any] = {}  # by the shape of the observation
        self.update_target()

    def warning_of_support(self, low: float, high: float) -> str:
        """A warning where a categorical head cannot hold the returns that rewards may add up to, else ''.

        Rewards in [low, high] have returns from low / (1 - discount) to high / (1 - discount), where a value
        that is beyond the support counts as its end.

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

    @tf.function
    def update_target(self) -> None:
        """Hard copy of the online weights to the target network."""
        common.soft_variables_update(self.model.variables, self.target_model.variables, tau=1.0)

    def q_values(self, observation: tf.Tensor) -> tf.Tensor:
        """`[batch, actions] float32`: the outputs, or the expectation of the categorical distribution."""
        outputs = self.model(observation)  # [batch, actions] or [batch, actions, atoms]
        if self._support is None:
            return outputs
        return tf.reduce_sum(tf.nn.softmax(outputs) * self._support, axis=-1)

    def greedy_actions(self, observation: np.ndarray) -> np.ndarray:
        """`[batch] int64`: the first action of largest Q-value."""
        # A traced program is called directly: finding it again by its arguments costs 0.3 ms of 1.9.
        program = self._greedy_programs.get(observation.shape)
        if program is None:
            spec = tf.TensorSpec(observation.shape, observation.dtype)
            program = self._greedy_programs[observation.shape] = self._greedy_actions.get_concrete_function(
                spec
            )
        return program(tf.constant(observation)).numpy()

    def loss(self, experience: trajectory.Trajectory, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """The agent's loss `[]` and that of each example `[batch]`, on `[batch, n_step + 1, ...]` experience.

        The agent's public `loss` takes gamma as an argument, 1 by default, and only its `train` passes the
        agent's own. TF-Agents writes summaries from within its loss, which must not get into a compiled
        program.
        """
        with tf.summary.record_if(False):
            info = self.agent.loss(experience, training=training, gamma=self.discount)
        return info.loss, info.extra.td_loss


@gin.register(module="tfplastic.rl")
def dqn(
    build_model: ModelBuilder,
    time_step_spec: ts.TimeStep,
    action_spec: Any,
    batch_size: int,
    *,
    discount: float = 0.99,
    n_step: int = 1,
    grad_error_bound: float = 1 / 32,
) -> QAgent:
    """DQN (Mnih et al. 2015): target r + gamma max_a Q'(s', a). Arguments as for `double_dqn`."""
    return _td_agent(
        _OnePassDqnAgent,
        build_model,
        time_step_spec,
        action_spec,
        batch_size,
        discount,
        n_step,
        grad_error_bound,
    )


@gin.register(module="tfplastic.rl")
def double_dqn(
    build_model: ModelBuilder,
    time_step_spec: ts.TimeStep,
    action_spec: Any,
    batch_size: int,
    *,
    discount: float = 0.99,
    n_step: int = 1,
    grad_error_bound: float = 1 / 32,
) -> QAgent:
    """Double DQN (van Hasselt et al. 2016): target r + gamma Q'(s', argmax_a Q(s', a)).

    The loss is the mean over the batch of TD-error^2 / 2, whose gradient with respect to each TD error,
    1/batch_size of it, is clipped to +-grad_error_bound. That equals a Huber loss with threshold
    grad_error_bound * batch_size.

    Args:
        build_model: makes a Keras model with the number of outputs it is given; called for each network.
        time_step_spec: TF-Agents specs of a time step, without batch.
        action_spec: of an action; a scalar integer from 0.
        batch_size: of the training batches.
        discount: gamma per agent step, in [0, 1]. 0.99 in DQN Zoo, which Lyle et al. 2023 start from.
        n_step: number of rewards in a return.
        grad_error_bound: as above. 1/32 in DQN Zoo.

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
    return _td_agent(
        dqn_agent.DdqnAgent,
        build_model,
        time_step_spec,
        action_spec,
        batch_size,
        discount,
        n_step,
        grad_error_bound,
    )


@gin.register(module="tfplastic.rl")
def c51(
    build_model: ModelBuilder,
    time_step_spec: ts.TimeStep,
    action_spec: Any,
    batch_size: int,
    *,
    discount: float = 0.99,
    n_step: int = 1,
    num_atoms: int = 51,
    max_value: float = 10.0,
) -> QAgent:
    """C51 (Bellemare et al. 2017): a categorical distribution over returns, trained by cross-entropy.

    Args:
        build_model: as for `double_dqn`; called with `(actions, num_atoms)`.
        time_step_spec: as for `double_dqn`.
        action_spec: as for `double_dqn`.
        batch_size: of the training batches; for an estimate of memory alone.
        discount: gamma per agent step, in [0, 1]. 0.99 in DQN Zoo.
        n_step: number of rewards in a return.
        num_atoms: atoms of the distribution, at least 2. 51 in the paper.
        max_value: the atoms are equally spaced over [-max_value, max_value]. 10 in the paper.

    Raises:
        ValueError: if an argument is out of its range.
    """
    check_return(discount, n_step)
    check_integer("num_atoms", num_atoms, minimum=2)
    check_fits_in_memory("num_atoms", num_atoms, 8 * num_atoms * batch_size)  # of the logits of a batch
    max_value = check_positive("max_value", max_value)
    make_agent = functools.partial(PerExampleC51Agent, min_q_value=-max_value, max_q_value=max_value)
    support = tf.linspace(-max_value, max_value, num_atoms)
    return categorical_agent(make_agent, support, build_model, time_step_spec, action_spec, discount, n_step)


def categorical_agent(
    make_agent: Callable[..., tf_agent.TFAgent],
    support: tf.Tensor,
    build_model: ModelBuilder,
    time_step_spec: ts.TimeStep,
    action_spec: Any,
    discount: float,
    n_step: int,
) -> QAgent:
    """An agent whose networks give a categorical distribution over `support` for each action.

    Args:
        make_agent: makes TF-Agents' agent, from what a `CategoricalDqnAgent` takes.
        support: `[atoms] float32`, their values.
        build_model: as for `double_dqn`; called with `(actions, atoms)`.
        time_step_spec: as for `double_dqn`.
        action_spec: as for `double_dqn`.
        discount: gamma per agent step, checked.
        n_step: number of rewards in a return, checked.
    """
    outputs = (_num_actions(action_spec), len(support))
    networks = _networks(lambda: build_model(outputs), time_step_spec, len(support))
    agent = make_agent(
        time_step_spec,
        action_spec,
        networks[0],
        optimizer=None,  # the gradient step is training/step.py's
        target_categorical_q_network=networks[1],
        n_step_update=n_step,
        gamma=discount,
    )
    return QAgent(agent, *networks, support, discount, n_step)


class _OnePassDqnAgent(dqn_agent.DqnAgent):
    """`DqnAgent` that runs the target network once for max_a Q'(s', a); TF-Agents runs it twice."""

    def _compute_next_q_values(self, next_time_steps: ts.TimeStep, info: Any) -> tf.Tensor:
        del info
        q_values, _ = self._target_q_network(next_time_steps.observation, step_type=next_time_steps.step_type)
        return tf.reduce_max(q_values, axis=-1)  # [batch]


def _td_agent(
    agent_class: type[dqn_agent.DqnAgent],
    build_model: ModelBuilder,
    time_step_spec: ts.TimeStep,
    action_spec: Any,
    batch_size: int,
    discount: float,
    n_step: int,
    grad_error_bound: float,
) -> QAgent:
    check_return(discount, n_step)
    check_positive("grad_error_bound", grad_error_bound)
    threshold = grad_error_bound * check_positive_integer("batch_size", batch_size)
    networks = _networks(lambda: build_model(_num_actions(action_spec)), time_step_spec, num_atoms=1)

    def clipped_error(targets: tf.Tensor, q_values: tf.Tensor) -> tf.Tensor:
        reduction = tf.compat.v1.losses.Reduction.NONE
        return tf.compat.v1.losses.huber_loss(targets, q_values, delta=threshold, reduction=reduction)

    agent = agent_class(
        time_step_spec,
        action_spec,
        networks[0],
        optimizer=None,  # the gradient step is training/step.py's
        target_q_network=networks[1],
        n_step_update=n_step,
        td_errors_loss_fn=clipped_error,
        gamma=discount,
    )
    return QAgent(agent, *networks, None, discount, n_step)


def _networks(
    build_model: Callable[[], keras.Model], time_step_spec: ts.TimeStep, num_atoms: int
) -> tuple[QNetwork, QNetwork]:
    """The online and the target network, each with a model of its own.

    Raises:
        ValueError: under Keras 3.
    """
    if not is_legacy():
        raise ValueError(
            "The environment variable `TF_USE_LEGACY_KERAS` must be 1 before TensorFlow is imported, as "
            "TF-Agents needs Keras 2. Received: Keras 3"
        )
    spec = time_step_spec.observation
    return (
        QNetwork(spec, build_model, num_atoms, "q_network"),
        QNetwork(spec, build_model, num_atoms, "target_q_network"),
    )


def _num_actions(action_spec: Any) -> int:
    """The number of actions of a scalar integer spec."""
    return int(action_spec.maximum - action_spec.minimum + 1)


def _train_is_elsewhere(*arguments: Any, **keywords: Any) -> None:
    """Stands for the agent's own `train`, which has no optimizer.

    Raises:
        ValueError: always.
    """
    raise ValueError(
        "`QAgent.agent.train` cannot be called, because the agent has no optimizer. Use "
        "`training.Loop`, which has one and applies mitigations, or differentiate `QAgent.loss(experience)`"
    )


def check_return(discount: float, n_step: int) -> None:
    """Checks that gamma is in [0, 1] and the number of rewards in a return at least 1."""
    check_fraction("discount", discount)
    check_positive_integer("n_step", n_step)
