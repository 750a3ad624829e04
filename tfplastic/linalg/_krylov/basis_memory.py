"""Memory for Lanczos bases, which are large and made again and again."""

import numpy as np


class BasisMemory:
    """Memory that one basis after another uses.

    The system hands memory out when it is first written, page by page, which for 64 vectors of 1.7 million
    float32 numbers takes as long as 10 to 25 gradients; memory that is kept was handed out before.

    Attributes:
        is_kept: whether the memory of the last basis is kept for the next one. Setting it to False gives it
            back.
    """

    def __init__(self) -> None:
        self._is_kept = True
        self._memory = np.empty(0, np.uint8)

    @property
    def is_kept(self) -> bool:
        return self._is_kept

    @is_kept.setter
    def is_kept(self, value: bool) -> None:
        self._is_kept = value
        if not value:
            self._memory = np.empty(0, np.uint8)

    def lend(self, num_bytes: int) -> np.ndarray:
        """Lends `num_bytes` or more of `uint8` with any content: the memory kept, or new while it is lent."""
        memory, self._memory = self._memory, np.empty(0, np.uint8)
        return memory if len(memory) >= num_bytes else np.empty(num_bytes, np.uint8)

    def take_back(self, memory: np.ndarray) -> None:
        """Keeps lent memory for the next time, if memory is kept and there is no larger one."""
        if self._is_kept and len(memory) > len(self._memory):
            self._memory = memory
