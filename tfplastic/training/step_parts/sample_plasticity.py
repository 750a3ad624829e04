"""Plasticity of a step, by the loss of its own batch before and after the update."""

import tensorflow as tf

_SMALLEST_LOSS = 1e-8


def sample_plasticity(before: tf.Tensor, after: tf.Tensor) -> tf.Tensor:
    """Returns by which share an update lowers the loss of the examples that it is made on.

    Formula: mean over the batch of max(1 - L_after / max(L_before, 1e-8), 0)
    Range: [0, 1] for losses of at least 0; 0 where no loss is lower after the update.
    Source: Elsayed and Mahmood 2024, "Addressing loss of plasticity and catastrophic forgetting in continual
    learning", of batches of one example.

    Args:
        before: `[batch]`, the losses that the update is made of.
        after: `[batch]`, the losses of the same examples by the new weights.

    Returns:
        `[] float32`; NaN where a loss is.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic.training.step_parts.sample_plasticity import sample_plasticity
        >>> float(sample_plasticity(tf.constant([1.0, 1.0]), tf.constant([0.5, 2.0])))  # (0.5 + 0) / 2
        0.25
    """
    before, after = tf.cast(before, tf.float32), tf.cast(after, tf.float32)
    gains = 1.0 - after / tf.maximum(before, _SMALLEST_LOSS)  # [batch]
    return tf.reduce_mean(tf.where(gains < 0, tf.zeros_like(gains), gains))  # NaN is not below 0
