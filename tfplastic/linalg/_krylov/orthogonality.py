"""Keeping Lanczos vectors orthogonal: sums, projections, and an estimate of when they are needed."""

import numpy as np

# Entries that are summed in the vectors' own dtype; such sums are added in float64. A piece of 64 float32
# rows is 1 MB.
_PIECE = 1 << 12
# Entries worked through at a time where no basis is read: few enough to stay in a cache.
_STRETCH = 1 << 17
_LEAST = 1e-30  # of float32 products, below which too few digits are left


def dot(left: np.ndarray, right: np.ndarray) -> float:
    """Returns the inner product of two vectors: a float64 sum over pieces, each summed in their dtype.

    The sums of pieces round independently of each other, which leaves, in float32, about 1e-9 of |left|
    |right|. Products that float32 cannot hold are summed again in float64.
    """
    whole = len(left) // _PIECE * _PIECE
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.vecdot(left[:whole].reshape(-1, _PIECE), right[:whole].reshape(-1, _PIECE))
        result = float(sums.sum(dtype=np.float64)) + float(np.dot(left[whole:], right[whole:]))
    if left.dtype == np.float32 and not _LEAST <= abs(result) < np.inf:
        return float(np.dot(left.astype(np.float64), right.astype(np.float64)))
    return result


def subtract(
    vector: np.ndarray, *parts: tuple[float, np.ndarray], along: np.ndarray, out: np.ndarray
) -> tuple[float, float]:
    """Writes `vector` less factor times direction of each part into `out`, which may be `vector` itself.

    Returns:
        The inner products of `out` with `along` and with itself.
    """
    inner, square = 0.0, 0.0
    product = np.empty(min(_STRETCH, len(vector)), vector.dtype)
    for stretch in _slices(len(vector), _STRETCH):
        source, target = vector[stretch], out[stretch]
        for factor, direction in parts:
            multiple = np.multiply(direction[stretch], vector.dtype.type(factor), out=product[: len(target)])
            source = np.subtract(source, multiple, out=target)
        inner += dot(along[stretch], target)
        square += dot(target, target)
    return inner, square


def project_out(vector: np.ndarray, basis: np.ndarray, passes: int = 2) -> None:
    """Takes from `vector`, in place, its parts along the rows of `basis`: classical Gram-Schmidt.

    One pass leaves an error of those parts times the rows' own deviation from orthogonality; two passes leave
    rounding errors only ("twice is enough"; Parlett 1998, "The symmetric eigenvalue problem", section 6.9).
    Coefficients are summed as those of `dot`. A pass reads the basis once more, not twice, because each piece
    of the vector meets the next pass's sums while it is in the cache.
    """
    coefficients = np.zeros(len(basis))
    for piece in _slices(len(vector), _PIECE):
        coefficients += basis[:, piece] @ vector[piece]
    for remaining in reversed(range(passes)):
        along, coefficients = coefficients.astype(vector.dtype), np.zeros(len(basis))
        for piece in _slices(len(vector), _PIECE):
            vector[piece] -= along @ basis[:, piece]
            if remaining:
                coefficients += basis[:, piece] @ vector[piece]


def project_out_pair(pair: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Applies `project_out` in one pass from the two rows of `pair`; the basis is read once for both.

    Returns:
        `[2]`, the largest part taken from each.
    """
    coefficients = np.zeros((2, len(basis)))
    for piece in _slices(pair.shape[1], _PIECE):
        coefficients += pair[:, piece] @ basis[:, piece].T
    along = coefficients.astype(pair.dtype)
    for piece in _slices(pair.shape[1], _PIECE):
        for row, factors in zip(pair, along, strict=True):
            row[piece] -= factors @ basis[:, piece]
    return np.abs(coefficients).max(axis=1, initial=0.0)


class OrthogonalityEstimate:
    """The rounding error of q_i . q_j, estimated without computing it: Simon's recurrence.

    The inner products of the next vector with the earlier ones follow from those of the two vectors before it
    by Lanczos' own three-term recurrence, to which step j adds rounding of the size epsilon (beta_i + beta_j)
    (Simon 1984, "The Lanczos algorithm with partial reorthogonalization", Mathematics of Computation 42).
    Here it is always added in the direction that makes things worse. Where the true inner products were
    computed for comparison (a Hessian of 670,000 weights in float32), the estimate was 10 to 50 times too
    large; it has to be, because far outliers make them grow a thousandfold from one step to the next.

    Args:
        epsilon: the relative rounding error of a product.
    """

    def __init__(self, epsilon: float):
        self._epsilon = epsilon
        # Of the newest vector and of the one before it with all up to themselves, so with a 1 at the end.
        self._newest, self._previous = np.ones(1), np.ones(0)

    def predict(self, alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
        """Returns the inner products of the vector that the last of `beta` normalizes with all earlier ones.

        Args:
            alpha: `[m]`, m being the number of vectors so far.
            beta: `[m]`, the last above 0.

        Returns:
            `[m]`.
        """
        last = len(alpha) - 1
        newest = self._newest
        products = np.zeros(last + 1)
        if last:
            sums = beta[:last] * newest[1:] + (alpha[:last] - alpha[last]) * newest[:last]
            sums[1:] += beta[: last - 1] * newest[: last - 1]
            sums -= beta[last - 1] * self._previous
            products[:last] = sums / beta[last]
        noise = self._epsilon * (beta + beta[last]) / beta[last]
        return products + np.copysign(noise, products)

    def advance(self, products: np.ndarray | None) -> None:
        """Advances to the next vector, which has these inner products; None where all were taken out."""
        if products is None:
            products = np.full(len(self._newest), self._epsilon)
        self._newest, self._previous = np.append(products, 1.0), self._newest

    def clean(self) -> None:
        """Notes that the newest vector was made orthogonal to all earlier ones."""
        self._newest[:-1] = self._epsilon


def _slices(size: int, width: int) -> list[slice]:
    return [slice(start, start + width) for start in range(0, size, width)]
