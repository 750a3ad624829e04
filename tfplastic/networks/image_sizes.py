"""The smallest image that a network takes."""

from typing import Any


class TooSmallImageError(ValueError):
    """An image that a network's convolutions leave nothing of.

    Attributes:
        smallest: pixels that it must be high and wide.
    """

    def __init__(self, name: str, smallest: int, shape: Any):
        super().__init__(f"`{name}` must be at least {smallest} pixels high and wide. Received: {shape!r}")
        self.smallest = smallest
