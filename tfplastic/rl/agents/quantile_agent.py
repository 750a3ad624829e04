"""QR-DQN: the distribution of the return by its quantiles."""

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

from tfplastic._checks import check_boolean, check_non_negative
from tfplastic._shared_arguments import shares_arguments
from tfplastic.rl.agents.q_agents import QAgent
from tfplastic.rl.agents.q_network import QNetwork
from tfplastic.rl.agents.settings import AgentSettings


def quantile_huber_loss(quantiles: Any, targets: Any, threshold: float = 1.0) -> tf.Tensor:
    """Returns the quantile Huber loss of each example (Dabney et al. 2018, Eq. 10 and Algorithm 1).

    sum_i mean_j |tau_i - [u_ij < 0]| L(u_ij) with u_ij = targets_j - quantiles_i and the middles tau_i = (i -
    1/2) / N of N equal parts of [0, 1]. L(u) = u^2 / 2 up to |u| = threshold and threshold (|u| - threshold /
    2) beyond; with a threshold of 0, quantile regression, L(u) = |u|. As printed in the paper, L is not
    divided by the threshold.

    Args:
        quantiles: `[batch, N]` floats, the predicted values at tau_1 to tau_N; gradients flow into them.
        targets: `[batch, M]` floats, samples or quantiles of the return, taken as constants.
        threshold: kappa, at least 0. 1 in QR-DQN-1 of the paper.

    Returns:
        `[batch]`, of the dtype of `quantiles`, at least 0; NaN where an entry is.

    Raises:
        ValueError: if `threshold` is below 0.

    Example:
        >>> from tfplastic.rl import quantile_huber_loss
        >>> # u = 3 at tau 1/4 and -1 at tau 3/4: 1/4 (3 - 1/2) + 1/4 (1/2)
        >>> float(quantile_huber_loss([[0.0, 4.0]], [[3.0]])[0])
        0.75
    """
    check_non_negative("threshold", threshold)
    quantiles = tf.convert_to_tensor(quantiles)
    targets = tf.stop_gradient(tf.cast(targets, quantiles.dtype))
    count = quantiles.shape[-1]
    middles = tf.constant((np.arange(count) + 0.5) / count, quantiles.dtype)  # [N]
    errors = targets[:, None, :] - quantiles[:, :, None]  # [batch, N, M]
    sizes = tf.abs(errors)
    losses = sizes
    if threshold:
        beyond = threshold * (sizes - threshold / 2)
        losses = tf.where(sizes <= threshold, errors**2 / 2, beyond)  # [batch, N, M]
    signs = tf.cast(errors < 0, quantiles.dtype)
    weights = tf.abs(middles[:, None] - tf.stop_gradient(signs))  # [batch, N, M]
    return tf.reduce_sum(tf.reduce_mean(weights * losses, axis=-1), axis=-1)


class QuantileAgent(dqn_agent.DqnAgent):
    """TF-Agents' DQN agent for networks whose outputs `[batch, actions, quantiles]` are quantiles of returns.

    The targets of an example are r + gamma theta'_j(s', a') for each quantile j of the target network, n
    steps as in `DqnAgent`; the loss is `quantile_huber_loss`. Q-values are the means of the quantiles, by
    which policies and a' choose.

    Args:
        threshold: kappa of the loss.
        double_q: whether a' is best for the online network, as in Double DQN, or for the target network.
        time_step_spec: spec of a time step, see the parent.
        action_spec: spec of an action, see the parent.
        q_network: online network, see the parent.
        **kwargs: further arguments of the parent.
    """

    def __init__(
        self,
        threshold: float,
        double_q: bool,
        time_step_spec: ts.TimeStep,
        action_spec: Any,
        q_network: QNetwork,
        **kwargs: Any,
    ):
        self._threshold = threshold
        self._double_q = double_q
        self._num_quantiles = q_network.num_atoms
        super().__init__(time_step_spec, action_spec, q_network, **kwargs)

    def _check_network_output(self, net: Any, label: str) -> None:
        received = tuple(net.create_variables().shape)
        expected = (self._num_actions, self._num_quantiles)
        if received != expected:
            raise ValueError(f"`{label}` must have outputs of shape {expected}. Received: {received}")

    def _setup_policy(self, *args: Any, **kwargs: Any) -> Any:
        networks = self._q_network, self._target_q_network
        self._q_network, self._target_q_network = map(_MeanNetwork, networks)
        try:
            return super()._setup_policy(*args, **kwargs)
        finally:
            self._q_network, self._target_q_network = networks

    def _loss(
        self,
        experience: trajectory.Trajectory,
        td_errors_loss_fn: Any = None,
        gamma: float = 1.0,
        reward_scale_factor: float = 1.0,
        weights: Any = None,
        training: bool = False,
    ) -> tf_agent.LossInfo:
        del td_errors_loss_fn  # the agent's own is fixed
        time_steps, policy_steps, next_time_steps = self._as_transition(experience)
        outputs, _ = self._q_network(time_steps.observation, training=training)  # [batch, actions, quantiles]
        quantiles = tf.gather(outputs, policy_steps.action, batch_dims=1)  # [batch, quantiles]
        rewards = reward_scale_factor * next_time_steps.reward[:, None]  # [batch, 1]
        discounts = gamma * next_time_steps.discount[:, None]  # [batch, 1]
        targets = rewards + discounts * self._next_quantiles(next_time_steps)  # [batch, quantiles]
        per_example = quantile_huber_loss(quantiles, targets, self._threshold)  # [batch]
        weighted = common.aggregate_losses(per_example_loss=per_example, sample_weight=weights)
        extra = dqn_agent.DqnLossInfo(td_loss=per_example, td_error=())
        return tf_agent.LossInfo(weighted.total_loss, extra)

    def _next_quantiles(self, next_time_steps: ts.TimeStep) -> tf.Tensor:
        following, _ = self._target_q_network(next_time_steps.observation)  # [batch, actions, quantiles]
        chooser = following
        if self._double_q:
            chooser, _ = self._q_network(next_time_steps.observation)  # [batch, actions, quantiles]
        best = tf.argmax(tf.reduce_mean(chooser, axis=-1), axis=-1)  # [batch]
        return tf.gather(following, best, batch_dims=1)  # [batch, quantiles]


class _MeanNetwork(network.Network):
    """The means of the quantiles of a network, for TF-Agents' policies of Q-values."""

    def __init__(self, quantiles: QNetwork):
        super().__init__(quantiles.input_tensor_spec, state_spec=(), name=f"{quantiles.name}_means")
        self._quantiles = quantiles

    def call(
        self, observation: tf.Tensor, step_type: Any = None, network_state: Any = (), training: bool = False
    ) -> tuple[tf.Tensor, Any]:
        outputs, state = self._quantiles(observation, step_type, network_state, training=training)
        return tf.reduce_mean(outputs, axis=-1), state

    def create_variables(self, input_tensor_spec: Any = None, **kwargs: Any) -> tf.TensorSpec:
        spec = self._quantiles.create_variables(input_tensor_spec, **kwargs)
        self._network_output_spec = tf.TensorSpec(spec.shape[:-1], spec.dtype)
        return self._network_output_spec


@gin.register(module="tfplastic.rl")
@shares_arguments(AgentSettings)
def qr_dqn(
    *,
    num_quantiles: int = 200,
    threshold: float = 1.0,
    double_q: bool = False,
    settings: AgentSettings,
) -> QAgent:
    """Builds QR-DQN (Dabney et al. 2018): quantiles of the return, trained by `quantile_huber_loss`.

    Q(s, a) is the mean of the quantiles, for acting and for targets r + gamma theta'(s', a').

    Args:
        settings: settings of the agent, see `AgentSettings`.
        num_quantiles: quantiles of each action, at least 2. 200 in the paper, 201 in DQN Zoo.
        threshold: kappa of the loss, at least 0. 1 in the paper's QR-DQN-1; 0 is its QR-DQN-0.
        double_q: whether a' is the best action of the online network, as in Double DQN, or of the target
            network, as in the paper.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import functools
        >>> import tensorflow as tf, tfplastic as tp
        >>> from tf_agents.specs import BoundedTensorSpec
        >>> from tf_agents.trajectories import time_step_spec
        >>> agent = tp.rl.qr_dqn(
        ...     functools.partial(tp.networks.mlp, hidden=(32,), input_shape=(8, 8, 1)),
        ...     time_step_spec(tf.TensorSpec([8, 8, 1], tf.float32)),
        ...     BoundedTensorSpec([], tf.int32, 0, 9),
        ...     batch_size=32,
        ... )
        >>> agent.model.output_shape, agent.q_values(tf.zeros([2, 8, 8, 1])).shape
        ((None, 10, 200), TensorShape([2, 10]))
    """
    settings.check_num_atoms("num_quantiles", num_quantiles)
    check_non_negative("threshold", threshold)
    check_boolean("double_q", double_q)
    networks = settings.networks(num_quantiles)
    agent = QuantileAgent(
        threshold,
        double_q,
        settings.time_step_spec,
        settings.action_spec,
        networks[0],
        optimizer=None,  # the gradient step is training/step.py's
        target_q_network=networks[1],
        n_step_update=settings.n_step,
        gamma=settings.discount,
    )
    return QAgent(agent, *networks, None, settings.discount, settings.n_step, to_values=_means)


def _means(quantiles: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(quantiles, axis=-1)
