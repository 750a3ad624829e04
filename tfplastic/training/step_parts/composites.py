"""Parts of batches that are more than one tensor."""

from typing import Any

import tensorflow as tf


def is_composite(value: Any) -> bool:
    """Returns whether a part of a batch is a ragged or a sparse tensor."""
    return isinstance(value, tf.RaggedTensor | tf.SparseTensor)
