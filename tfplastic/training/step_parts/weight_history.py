"""Older copies of the weights, for mitigations that compare the network with its past."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfplastic._keras import tf_variable


class WeightHistory:
    """The values that variables had before each of the last updates.

    Args:
        variables: trainable ones of the model.
        length: number of updates to keep; with 0 nothing is kept.

    Attributes:
        older: `older[k]`: copies of the variables as they were k + 1 updates ago; at first their values now.
    """

    def __init__(self, variables: Sequence[Any], length: int):
        self._variables = [tf_variable(each) for each in variables]
        self.older = [[tf.Variable(each, trainable=False) for each in self._variables] for _ in range(length)]

    def note(self) -> None:
        """Takes the present values as those before the update that follows; traceable."""
        newer = [self._variables, *self.older]
        for copies, values in reversed(list(zip(self.older, newer, strict=False))):  # the oldest first
            for copy, value in zip(copies, values, strict=True):
                copy.assign(tf.convert_to_tensor(value))

    @property
    def state(self) -> dict[str, tf.Variable]:
        """The copies by name, for checkpoints."""
        return {
            f"{updates}_{number}": copy
            for updates, copies in enumerate(self.older, start=1)
            for number, copy in enumerate(copies)
        }
