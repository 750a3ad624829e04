"""Heads for the actions of several games, side by side in the outputs of one network."""

import dataclasses

import numpy as np
import tensorflow as tf

LOWEST = -1e30
"""Below every value; finite, so that gradients that are multiplied by 0 stay 0."""


@dataclasses.dataclass(frozen=True)
class ActionHeads:
    """The outputs of a network as heads, one after another, each for the actions of one game.

    Attributes:
        sizes: number of actions of each head.

    Example:
        >>> from tfplastic.rl.agents.heads import ActionHeads
        >>> heads = ActionHeads((3, 2))
        >>> heads.num_outputs, heads.span(1)
        (5, slice(3, 5, None))
        >>> heads.in_head_of([0, 4]).numpy().astype(int).tolist()
        [[1, 1, 1, 0, 0], [0, 0, 0, 1, 1]]
    """

    sizes: tuple[int, ...]

    @property
    def num_outputs(self) -> int:
        """The number of outputs of the network."""
        return sum(self.sizes)

    def span(self, head: int) -> slice:
        """Returns the outputs of a head."""
        begin = sum(self.sizes[:head])
        return slice(begin, begin + self.sizes[head])

    def in_head_of(self, outputs: tf.Tensor) -> tf.Tensor:
        """Returns the outputs that are in one head with a given one, `[batch, num_outputs] bool`.

        Args:
            outputs: `[batch]` integers.
        """
        head_of_output = tf.constant(np.repeat(np.arange(len(self.sizes)), self.sizes))
        return tf.gather(head_of_output, outputs)[:, None] == head_of_output

    def in_words(self) -> str:
        """Returns the numbers of actions for a plan."""
        if len(self.sizes) == 1:
            return f"{self.num_outputs} actions"
        return f"{' + '.join(map(str, self.sizes))} actions in {len(self.sizes)} heads"
