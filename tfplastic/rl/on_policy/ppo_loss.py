"""PPO's clipped loss of each example, and generalized advantages of a rollout."""

from typing import Any, NamedTuple

import tensorflow as tf
from tf_agents.utils import value_ops

from tfplastic._checks import check_fraction, check_non_negative, check_positive


class PpoBatch(NamedTuple):
    """Steps of a rollout; each `[batch, ...]`.

    Attributes:
        observation: inputs of the network.
        action: `[batch] int32`, the action taken.
        log_probability: `[batch] float32`, log of its probability when it was taken.
        advantage: `[batch] float32`, its advantage.
        value_target: `[batch] float32`, target of the state's value.
        weight: `[batch] float32`, factor of the example's loss: 0 for a reset, which is no step, else 1.
    """

    observation: Any
    action: Any
    log_probability: Any
    advantage: Any
    value_target: Any
    weight: Any


class PpoLosses(NamedTuple):
    """The loss of each example and its parts; each `[batch] float32`, times the example's weight.

    Attributes:
        total: policy + value_coefficient * value - entropy_coefficient * entropy.
        policy: the clipped objective, negated.
        value: squared error of the value.
        entropy: entropy of the policy, in nats.
        is_clipped: 1 where the ratio of probabilities is beyond its bounds, else 0.
    """

    total: tf.Tensor
    policy: tf.Tensor
    value: tf.Tensor
    entropy: tf.Tensor
    is_clipped: tf.Tensor


def ppo_clip_loss(
    outputs: Any,
    batch: PpoBatch,
    clip: float = 0.1,
    value_coefficient: float = 1.0,
    entropy_coefficient: float = 0.01,
) -> PpoLosses:
    """Returns PPO's clipped loss of each example (Schulman et al. 2017, Eqs. 7 and 9).

    L = -min(r A, clip(r, 1 - c, 1 + c) A) + c_1 (V - V_target)^2 - c_2 H(pi), with the ratio r = pi(a | s) /
    pi_old(a | s). The mean over a batch is that of TF-Agents' `PPOClipAgent.get_loss`, which gives no losses
    of examples.

    Args:
        outputs: `[batch, actions + 1]` floats: the logits of the policy, and the value last.
        batch: steps of a rollout.
        clip: c, in (0, 1]. 0.1 on Atari in the paper, falling to 0 over the run there.
        value_coefficient: c_1, at least 0. 1 on Atari in the paper.
        entropy_coefficient: c_2, at least 0. 0.01 on Atari in the paper.

    Raises:
        ValueError: if a number is out of its range.

    Example:
        >>> from tfplastic.rl import PpoBatch, ppo_clip_loss
        >>> # Equal logits have log(1/2); of probability 1/4 before, r = 2 is clipped to 1.1 for A = 3.
        >>> batch = PpoBatch(None, [0], [-1.3862944], [3.0], [2.0], [1.0])
        >>> losses = ppo_clip_loss([[0.0, 0.0, 1.5]], batch, entropy_coefficient=0.0)
        >>> [round(float(each[0]), 3) for each in losses]
        [-3.05, -3.3, 0.25, 0.693, 1.0]
    """
    check_fraction("clip", check_positive("clip", clip))
    check_non_negative("value_coefficient", value_coefficient)
    check_non_negative("entropy_coefficient", entropy_coefficient)
    outputs = tf.convert_to_tensor(outputs)
    logits, values = outputs[:, :-1], outputs[:, -1]  # [batch, actions], [batch]
    log_policy = tf.nn.log_softmax(logits)  # [batch, actions]
    entropy = -tf.reduce_sum(tf.exp(log_policy) * log_policy, axis=-1)  # [batch]
    log_chosen = tf.gather(log_policy, tf.convert_to_tensor(batch.action), batch_dims=1)  # [batch]
    ratio = tf.exp(log_chosen - batch.log_probability)  # [batch]
    advantage = tf.convert_to_tensor(batch.advantage)
    objective = tf.minimum(ratio * advantage, tf.clip_by_value(ratio, 1 - clip, 1 + clip) * advantage)
    value = tf.math.squared_difference(values, tf.convert_to_tensor(batch.value_target))  # [batch]
    total = -objective + value_coefficient * value - entropy_coefficient * entropy  # [batch]
    is_clipped = tf.cast(tf.abs(ratio - 1) > clip, outputs.dtype)  # [batch]
    weight = tf.convert_to_tensor(batch.weight)
    return PpoLosses(*(weight * each for each in (total, -objective, value, entropy, is_clipped)))


def generalized_advantages(
    rewards: tf.Tensor,
    discounts: tf.Tensor,
    values: tf.Tensor,
    is_reset: tf.Tensor,
    trace_decay: float,
) -> tf.Tensor:
    """Returns generalized advantages of a rollout: A_t = delta_t + lambda d_t A_(t+1).

    They are those of TF-Agents' `value_ops`, with delta_t = r_t + d_t V(s_(t+1)) - V(s_t). At a reset the
    advantage is 0, and none flows back over it, so that an episode that was cut off counts the value of its
    last observation, and one that ended nothing.

    Args:
        rewards: `[steps, num_envs] float32`.
        discounts: `[steps, num_envs] float32`, gamma included; 0 where an episode ends.
        values: `[steps + 1, num_envs] float32`, with those after the last step.
        is_reset: `[steps, num_envs] bool`, steps that start an episode and take no action.
        trace_decay: lambda, in [0, 1].

    Returns:
        `[steps, num_envs] float32`.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic.rl.on_policy.ppo_loss import generalized_advantages
        >>> column = lambda *values: tf.constant(values)[:, None]
        >>> advantages = generalized_advantages(
        ...     column(1.0, 0.0, 2.0), column(0.5, 1.0, 0.5), column(1.0, 2.0, 0.0, 4.0),
        ...     column(False, True, False), trace_decay=0.5,
        ... )
        >>> advantages.numpy()[:, 0].tolist()  # 1 + 1/2 2 - 1; a reset; 2 + 1/2 4 - 0
        [1.0, 0.0, 4.0]
    """
    # With delta = V + 0 - V at a reset.
    rewards = tf.where(is_reset, values[:-1], rewards)
    discounts = tf.where(is_reset, tf.zeros_like(discounts), discounts)
    return value_ops.generalized_advantage_estimation(
        values[:-1], values[-1], discounts, rewards, td_lambda=trace_decay
    )
