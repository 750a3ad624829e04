"""TF-Agents' C51 agent, with the loss of each example next to their mean."""

from typing import Any

import tensorflow as tf
from tf_agents.agents import tf_agent
from tf_agents.agents.categorical_dqn import categorical_dqn_agent
from tf_agents.agents.dqn import dqn_agent
from tf_agents.trajectories import trajectory


class PerExampleC51Agent(categorical_dqn_agent.CategoricalDqnAgent):
    """`CategoricalDqnAgent` whose public `loss` fills `extra.td_loss`, which TF-Agents leaves empty.

    The loss is the cross-entropy between the projected target distribution (Bellemare et al. 2017, Algorithm
    1) and the predicted one, averaged over the batch with the weights of the examples; equal to
    the parent's, which takes no weights, for n steps too.
    """

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
            rewards + discounts * self._support, self._next_q_distribution(next_time_steps), self._support
        )  # [batch, atoms]
        per_example = tf.nn.softmax_cross_entropy_with_logits(tf.stop_gradient(target), logits)  # [batch]
        extra = dqn_agent.DqnLossInfo(td_loss=per_example, td_error=())
        weighted = per_example if weights is None else weights * per_example  # [batch]
        return tf_agent.LossInfo(tf.reduce_mean(weighted), extra)
