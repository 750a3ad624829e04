"""Draws in proportion to weights that change, in a time that grows with the logarithm of their number."""

import numpy as np


class SumTree:
    """Binary tree of sums of non-negative weights, whose leaves are the weights.

    A sum is always that of the two nodes below it, never corrected by a difference, so that the tree is a
    function of the weights alone: a tree that is built again from the same weights is the same bit for bit.

    Args:
        size: number of weights, all 0 at the beginning.

    Example:
        >>> import numpy as np
        >>> from tfplastic.rl.replay.sum_tree import SumTree
        >>> tree = SumTree(3)
        >>> tree.assign(np.array([0, 2]), np.array([1.0, 3.0]))
        >>> tree.total, tree.find(np.array([0.0, 0.9, 1.0, 3.9])).tolist()
        (4.0, [0, 0, 2, 2])
    """

    def __init__(self, size: int):
        self._size = size
        self._depth = max(size - 1, 0).bit_length()
        self._first = 1 << self._depth  # place of the first leaf; node n has the nodes 2n and 2n + 1 below it
        self._sums = np.zeros(2 * self._first)

    @property
    def weights(self) -> np.ndarray:
        """The weights, `[size] float64`; a view."""
        return self._sums[self._first : self._first + self._size]

    @property
    def total(self) -> float:
        """The sum of all weights."""
        return float(self._sums[1])

    def assign(self, indices: np.ndarray, weights: np.ndarray | float) -> None:
        """Replaces weights.

        Args:
            indices: `[k] int64`; of an index that comes several times the last weight counts.
            weights: `[k]` or a number, at least 0.
        """
        nodes = self._first + np.asarray(indices, np.int64)
        self._sums[nodes] = weights
        for _ in range(self._depth):
            nodes = nodes >> 1
            self._sums[nodes] = self._sums[2 * nodes] + self._sums[2 * nodes + 1]

    def assign_all(self, weights: np.ndarray) -> None:
        """Replaces all weights, `[size]`."""
        self.weights[:] = weights
        first = self._first
        while first > 1:
            first >>= 1
            below = self._sums[2 * first : 4 * first]
            self._sums[first : 2 * first] = below[::2] + below[1::2]

    def find(self, targets: np.ndarray) -> np.ndarray:
        """Returns the index at which the sum of the weights up to it first exceeds each target.

        Args:
            targets: `[k] float64` in [0, total). An index of weight 0 is never found, however rounding falls.

        Returns:
            `[k] int64`.
        """
        left_over = np.array(targets, np.float64)
        nodes = np.ones(len(left_over), np.int64)
        for _ in range(self._depth):
            left = 2 * nodes
            of_left = self._sums[left]
            goes_right = (left_over >= of_left) & (self._sums[left + 1] > 0)
            left_over -= np.where(goes_right, of_left, 0.0)
            nodes = left + goes_right
        return nodes - self._first
