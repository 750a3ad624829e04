"""The data of a task as batches, for one pass over them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf


class DataBatches(NamedTuple):
    """Batches of all data that a task trains on next, each example in at most one.

    Attributes:
        count: `[] int32`.
        at: function that returns the batch of an index `[] int32` below `count`; traceable.
    """

    count: tf.Tensor
    at: Callable[[tf.Tensor], Any]
