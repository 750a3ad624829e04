"""The replicas of a `tf.distribute` strategy, among which a global batch is shared."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def num_replicas() -> int:
    """Returns how many replicas trace the same program as this one; 1 without a strategy."""
    if tf.distribute.in_cross_replica_context():
        return 1
    return tf.distribute.get_strategy().num_replicas_in_sync


def replica_id() -> Any:
    """Returns the number of this replica, from 0: an integer or a tensor `[]`."""
    context = tf.distribute.get_replica_context()
    return 0 if context is None else context.replica_id_in_sync_group


def sum_over_replicas(tensors: Any) -> Any:
    """Returns a nest of tensors summed over the replicas, which is the same on each; alone it stays as it is.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic._tf.replicas import sum_over_replicas
        >>> float(sum_over_replicas(tf.constant(2.0)))
        2.0
    """
    if num_replicas() == 1:
        return tensors
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tensors)


def once_for_all_replicas(function: Callable[[], Any]) -> None:
    """Calls `function` where it assigns variables of all replicas at once; traceable.

    Branches are allowed in it: a variable that a single replica assigns in one cannot be kept in step.
    """
    if num_replicas() == 1:
        function()
    else:
        tf.distribute.get_replica_context().merge_call(lambda strategy: function())
