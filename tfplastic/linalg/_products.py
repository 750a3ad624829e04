"""Products of an operator with many vectors at a time, counted, and the random vectors for them."""

from typing import Any

import numpy as np

from tfplastic import _checks, seeds
from tfplastic.linalg.lanczos import NonFiniteError, Progress, check_deterministic, check_square

_SMALL_BLOCK = 8


class Products:
    """Multiplication by an operator in blocks of one size, within a budget.

    Vectors are rows here, so that each lies in one piece. Where the operator has a `matmat` every call of it
    has `block_size` columns, a short block being filled up with zeros, so that it is compiled once.

    Attributes:
        size: n.
        dtype: the operator's.
        block_size: most vectors in one call.
        budget: most products to make.
        done: products made; zeros that fill a block up are not counted.

    Raises:
        ValueError: an argument is outside its range, or the operator changes between two passes over its
            data.
    """

    def __init__(
        self, operator: Any, budget: int, minimum: int, block_size: int, progress: Progress | None = None
    ):
        self.size = check_square(operator)
        self.dtype = np.dtype(operator.dtype)
        self.budget = _checks.check_integer("max_products", budget, minimum=min(minimum, self.size))
        # More columns than products would be zeros. Small blocks keep their shape whatever the budget, so
        # that programs of another shape are not compiled.
        block_size = _checks.check_positive_integer("block_size", block_size)
        self.block_size = min(block_size, max(self.budget, _SMALL_BLOCK), self.size)
        self.done = 0
        self._operator = operator
        self._progress = _checks.check_optional_callable("progress", progress, "print")
        check_deterministic(operator)

    @property
    def left(self) -> int:
        """Products that the budget still allows."""
        return self.budget - self.done

    def __call__(self, vectors: np.ndarray, name: str, first: int) -> np.ndarray:
        """Returns the products A v.

        Args:
            vectors: `[k, n]`, k at most `block_size`.
            name: name of the vectors, for the error.
            first: the number of the first of them, for the error.

        Returns:
            `[k, n]`, in the operator's dtype.

        Raises:
            NonFiniteError: a product held NaN or Inf; names the vector, counted from 1.
        """
        if hasattr(self._operator, "matmat"):
            block = np.zeros((self.block_size, self.size), self.dtype)
            block[: len(vectors)] = vectors
            columns = np.asarray(self._operator.matmat(block.T), self.dtype)
            results = np.ascontiguousarray(columns.T[: len(vectors)])
            self._count(len(vectors))
        else:
            results = np.empty((len(vectors), self.size), self.dtype)
            for row, vector in enumerate(vectors):
                results[row] = self._operator.matvec(vector)
                self._count(1)
        finite = np.isfinite(results).all(axis=1)
        if not finite.all():
            received = f"NaN or Inf for {name} {first + int(np.argmin(finite)) + 1}"
            raise NonFiniteError.at(received)
        return results

    def _count(self, number: int) -> None:
        self.done += number
        if self._progress is not None:
            self._progress(self.done, self.budget)


def rademacher(seed: int, name: str, first: int, count: int, size: int, dtype: np.dtype) -> np.ndarray:
    """Draws vectors `first` to `first + count - 1` of a stream: `[count, size]`, -1 or 1, equally likely.

    Of all independent entries with mean 0 and variance 1 these give Hutchinson's estimator its least
    variance, 2 (|A|_F^2 - sum_i A_ii^2) against 2 |A|_F^2 for normal ones (Hutchinson 1990).
    """
    signs = np.empty((count, size), dtype)
    for row in range(count):
        generator = seeds.generator(seeds.derive(seed, "linalg", name, first + row))
        bits = np.unpackbits(np.frombuffer(generator.bytes((size + 7) // 8), np.uint8), count=size)
        signs[row] = bits
    signs *= 2
    signs -= 1
    return signs


def row_dots(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Returns the inner product of each row of `left` with that of `right`, `[k]`, summed in float64."""
    return np.einsum("ij,ij->i", left, right, dtype=np.float64)


def all_dots(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Returns the inner products of all rows of `left` and `right`, `[k, l]`, summed in float64."""
    sums = np.zeros((len(left), len(right)))
    width = 1 << 11  # columns at a time, so that their float64 copies stay in the cache
    for start in range(0, left.shape[1], width):
        part = slice(start, start + width)
        sums += left[:, part].astype(np.float64) @ right[:, part].astype(np.float64).T
    return sums
