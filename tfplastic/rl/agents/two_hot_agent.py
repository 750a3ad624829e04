"""DQN whose Q-values are the means of categorical distributions: two-hot DQN, and with HL-Gauss."""

import functools
from typing import Any

import gin
import tensorflow as tf
from tf_agents.agents import tf_agent
from tf_agents.agents.categorical_dqn import categorical_dqn_agent
from tf_agents.agents.dqn import dqn_agent
from tf_agents.networks import network
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory

from tfplastic._checks import check_boolean, check_finite, check_makes
from tfplastic._shared_arguments import shares_arguments
from tfplastic.networks import CategoricalHead, two_hot
from tfplastic.networks.categorical import Encoding
from tfplastic.rl.agents.q_agents import QAgent, categorical_agent
from tfplastic.rl.agents.settings import AgentSettings


class CategoricalValueAgent(categorical_dqn_agent.CategoricalDqnAgent):
    """TF-Agents' DQN agent for networks whose outputs `[batch, actions, bins]` are the logits of a head.

    The loss of an example is the cross-entropy of the chosen action's distribution and the encoding of the
    scalar target y = r + gamma Q'(s', a'), where Q' is the mean under the target network; all else (n steps,
    masks, weights, the mean over the batch) is as in `DqnAgent`. Networks and policies are those of C51,
    TF-Agents' `CategoricalDqnAgent`; but C51 learns the distribution of the return, and this target encodes
    one number.

    Args:
        head: bins and encoding.
        double_q: whether a' is best for the online network, as in Double DQN, or for the target network.
        time_step_spec: spec of a time step, see the parent.
        action_spec: spec of an action, see the parent.
        q_network: online network, see the parent.
        **kwargs: further arguments of the parent.
    """

    def __init__(
        self,
        head: CategoricalHead,
        double_q: bool,
        time_step_spec: ts.TimeStep,
        action_spec: Any,
        q_network: network.Network,
        **kwargs: Any,
    ):
        self._head = head
        self._double_q = double_q
        bounds = {"min_q_value": head.minimum, "max_q_value": head.maximum}
        super().__init__(time_step_spec, action_spec, q_network, **bounds, **kwargs)

    def _loss(self, experience: trajectory.Trajectory, *args: Any, **kwargs: Any) -> tf_agent.LossInfo:
        return dqn_agent.DqnAgent._loss(self, experience, *args, **kwargs)

    def _compute_next_q_values(self, next_time_steps: ts.TimeStep, info: Any) -> tf.Tensor:
        del info
        target_values = self._values(self._target_q_network, next_time_steps)  # [batch, actions]
        if not self._double_q:
            return tf.reduce_max(target_values, axis=-1)  # [batch]
        best = tf.argmax(self._values(self._q_network, next_time_steps), axis=-1)  # [batch]
        return tf.gather(target_values, best, batch_dims=1)  # [batch]

    def _td_loss(
        self, q_values: tf.Tensor, next_q_values: tf.Tensor, rewards: tf.Tensor, discounts: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        # What `DqnAgent` calls Q-values of the chosen actions are their logits here, [batch, bins].
        targets = tf.stop_gradient(rewards + discounts * next_q_values)  # [batch]
        return self._head.loss(q_values, targets), targets - self._head.values(q_values)  # [batch], [batch]

    def _values(self, q_network: network.Network, time_steps: ts.TimeStep) -> tf.Tensor:
        logits, _ = q_network(time_steps.observation, step_type=time_steps.step_type)
        return self._head.values(logits)  # [batch, actions]


@gin.register(module="tfplastic.rl")
@shares_arguments(AgentSettings)
def two_hot_dqn(
    *,
    num_bins: int = 51,
    min_value: float = 0.0,
    max_value: float | None = None,
    encoding: Encoding = two_hot,
    double_q: bool = True,
    settings: AgentSettings,
) -> QAgent:
    """Builds two-hot DQN (Lyle et al. 2023, section 6.2): values are classified into bins.

    Q(s, a) is the mean of softmax(logits) over the bins, for acting and for targets; the loss is the mean
    cross-entropy to the encoded target r + gamma Q'(s', a'), whose mass is on the two bins next to it. The
    paper gives neither the bins nor their range, nor the form of the target.

    Args:
        settings: settings of the agent, see `AgentSettings`.
        num_bins: bins at equal distances, at least 2. C51's 51, as the paper gives none.
        min_value: value of the first bin; targets below it count as it. 0: rewards in [0, 1] have no other
            returns below. The paper gives none.
        max_value: value of the last bin. By default 1 / (1 - discount), the largest return of rewards in
            [0, 1]. The paper gives none.
        encoding: `two_hot`; or `hl_gauss` (Farebrother et al. 2024), in Python with
            `functools.partial(hl_gauss, sigma=...)` for another width.
        double_q: whether a' is the best action of the online network, as in Double DQN, or of the target
            network.

    Raises:
        ValueError: if an argument is out of its range, or `max_value` is missing where `discount` is 1.

    Example:
        >>> import functools
        >>> import tensorflow as tf, tfplastic as tp
        >>> from tf_agents.specs import BoundedTensorSpec
        >>> from tf_agents.trajectories import time_step_spec
        >>> agent = tp.rl.two_hot_dqn(
        ...     functools.partial(tp.networks.mlp, hidden=(32,), input_shape=(8, 8, 1)),
        ...     time_step_spec(tf.TensorSpec([8, 8, 1], tf.float32)),
        ...     BoundedTensorSpec([], tf.int32, 0, 9),
        ...     batch_size=32,
        ... )
        >>> agent.model.output_shape, agent.q_values(tf.zeros([2, 8, 8, 1])).shape
        ((None, 10, 51), TensorShape([2, 10]))
    """
    settings.check_num_atoms("num_bins", num_bins)
    check_finite("min_value", min_value)
    check_makes("encoding", encoding, tf.Tensor, "@two_hot")
    check_boolean("double_q", double_q)
    if max_value is None:
        if settings.discount == 1:
            raise ValueError("`max_value` must be given where `discount` is 1. Received: None")
        max_value = 1 / (1 - settings.discount)
    if not min_value < check_finite("max_value", max_value):
        raise ValueError(f"`max_value` must be above `min_value`, {min_value!r}. Received: {max_value!r}")
    head = CategoricalHead(min_value, max_value, num_bins, encoding)
    make_agent = functools.partial(CategoricalValueAgent, head, double_q)
    return categorical_agent(make_agent, head.support, settings)
