"""TF-Agents' C51 agent, with the loss of each example next to their mean."""

from typing import Any

import tensorflow as tf
from tf_agents.agents import tf_agent
from tf_agents.agents.categorical_dqn import categorical_dqn_agent
from tf_agents.agents.dqn import dqn_agent
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory


class PerExampleC51Agent(categorical_dqn_agent.CategoricalDqnAgent):
    """`CategoricalDqnAgent` whose public `loss` fills `extra.td_loss`, which TF-Agents leaves empty.

    The loss is the cross-entropy between the projected target distribution (Bellemare et al. 2017, Algorithm
    1) and the predicted one, averaged over the batch with the weights of the examples; equal to
    the parent's, which takes no weights, for n steps too.

    Args:
        *args: arguments of the parent.
        double_q: whether the next action is best for the online network, as in Double DQN, or for the target
            network.
        **kwargs: further arguments of the parent.
    """

    def __init__(self, *args: Any, double_q: bool = False, **kwargs: Any):
        self._double_q = double_q
        super().__init__(*args, **kwargs)

    def _loss(
        self,
        experience: trajectory.Trajectory,
        td_errors_loss_fn: Any = None,
        gamma: float = 1.0,
        reward_scale_factor: float = 1.0,
        weights: Any = None,
        training: bool = False,
    ) -> tf_agent.LossInfo:
        del td_errors_loss_fn  # as in the parent, which does not use it either
        time_steps, policy_steps, next_time_steps = self._as_transition(experience)
        logits, _ = self._q_network(time_steps.observation, training=training)  # [batch, actions, atoms]
        logits = tf.gather(logits, policy_steps.action, batch_dims=1)  # [batch, atoms]
        rewards = reward_scale_factor * next_time_steps.reward[:, None]  # [batch, 1]
        discounts = gamma * next_time_steps.discount[:, None]  # [batch, 1]
        target = categorical_dqn_agent.project_distribution(
            rewards + discounts * self._support, self._next_distribution(next_time_steps), self._support
        )  # [batch, atoms]
        per_example = tf.nn.softmax_cross_entropy_with_logits(tf.stop_gradient(target), logits)  # [batch]
        extra = dqn_agent.DqnLossInfo(td_loss=per_example, td_error=())
        weighted = per_example if weights is None else weights * per_example  # [batch]
        return tf_agent.LossInfo(tf.reduce_mean(weighted), extra)

    def _next_distribution(self, next_time_steps: ts.TimeStep) -> tf.Tensor:
        """Returns the target network's distribution of the next action, `[batch, atoms]`."""
        if not self._double_q:
            return self._next_q_distribution(next_time_steps)
        following, _ = self._target_q_network(next_time_steps.observation)  # [batch, actions, atoms]
        logits, _ = self._q_network(next_time_steps.observation)  # [batch, actions, atoms]
        values = tf.reduce_sum(tf.nn.softmax(logits) * self._support, axis=-1)  # [batch, actions]
        return tf.nn.softmax(tf.gather(following, tf.argmax(values, axis=-1), batch_dims=1))
