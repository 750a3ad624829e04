"""Singular values of the features and weights of a snapshot, computed once and shared by all quantities."""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.linalg import get_blas_funcs, get_lapack_funcs

from tfplastic.diagnostics import ranks
from tfplastic.diagnostics.quantities.shared.weight_matrices import weight_matrices
from tfplastic.diagnostics.snapshot import Snapshot

_BLOCK = 1 << 16  # entries that are in float64 at a time: half a megabyte, which the cache keeps
_PANEL = 12  # columns made tridiagonal at a time; LAPACK's 32 takes a tenth longer for k = 512

(_add_gram,) = get_blas_funcs(["syrk"], dtype=np.float64)
_tridiagonal, _eigenvalues_of_tridiagonal = get_lapack_funcs(["sytrd", "sterf"], dtype=np.float64)


class Spectrum:
    """The singular values of a matrix.

    They are roots of the eigenvalues of its Gram matrix of the smaller side, in float64, which takes a third
    to a tenth of the time of a singular value decomposition. The squares halve the digits: an eigenvalue is
    within k * 2e-16 of the largest from the truth, so a singular value below sqrt(k * 2e-16) of the largest
    is unknown, and taken to be zero: below 3e-7 for k = 512, where rounding of float32 entries is 1e-8.
    float64 matrices are decomposed directly, as is a matrix for which smaller ones matter.
    """

    def __init__(self, matrix: np.ndarray):
        self._matrix = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T  # [long side, short side]
        self.shape: tuple[int, int] = matrix.shape
        self.dtype = matrix.dtype

    @functools.cached_property
    def values(self) -> np.ndarray:
        """`[k] float64`, descending, k the smaller side. All NaN where an entry is NaN or infinite."""
        if self.dtype == np.float64:
            return self._decomposed
        gram = np.zeros((min(self.shape),) * 2, order="F")
        for block in self._blocks():
            is_tall = block.flags.f_contiguous  # else its transpose is, and nothing is copied
            rows = block if is_tall else block.T
            gram = _add_gram(1.0, rows, 1.0, gram, trans=int(is_tall), lower=1, overwrite_c=1)
        if not np.isfinite(np.trace(gram)):
            return np.full(len(gram), np.nan)
        squares = _eigenvalues(gram)[::-1]
        return np.sqrt(np.where(squares > self._blur**2 * squares[0], squares, 0))

    def values_down_to(self, threshold: float) -> np.ndarray:
        """Formats `values`, with at least three digits of those near `threshold`, which is at least 0."""
        is_blurred = threshold < 10 * self._blur * self.values[0]
        return self._decomposed if is_blurred and self.values[0] else self.values

    def numerical_rank(self, tolerance: float | None) -> float:
        """Returns `ranks.numerical_rank`, by default with `ranks.rounding_tolerance`."""
        if tolerance is None:
            tolerance = ranks.rounding_tolerance(self.shape, self.dtype)
        return ranks.numerical_rank(self.values_down_to(tolerance * self.values[0]), tolerance)

    @functools.cached_property
    def _decomposed(self) -> np.ndarray:
        if not np.isfinite(self._matrix).all():
            return np.full(min(self.shape), np.nan)
        return np.linalg.svd(self._matrix.astype(np.float64), compute_uv=False)

    @property
    def _blur(self) -> float:
        return float(np.sqrt(min(self.shape) * np.finfo(np.float64).eps))

    def _blocks(self) -> Iterator[np.ndarray]:
        count = max(1, _BLOCK // self._matrix.shape[1])
        for start in range(0, len(self._matrix), count):
            yield self._matrix[start : start + count].astype(np.float64)


def _eigenvalues(matrix: np.ndarray) -> np.ndarray:
    """Returns the ascending eigenvalues of the lower triangle of a symmetric matrix; overwrites it.

    The two steps of `eigvalsh`, which needs both triangles and copies them.
    """
    if len(matrix) == 1:
        return matrix[0]
    _, diagonal, beside, _, _ = _tridiagonal(matrix, lower=1, lwork=_PANEL * len(matrix), overwrite_a=1)
    values, failed = _eigenvalues_of_tridiagonal(diagonal, beside)
    if failed:
        raise np.linalg.LinAlgError("the eigenvalues of a Gram matrix did not converge")
    return values


def feature_spectra(snapshot: Snapshot) -> dict[str, Spectrum]:
    """Returns the outputs of each hidden nonlinearity and linear layer as a matrix `[n, positions * units]`.

    The matrices are kept until `refresh`.
    """

    def spectra() -> dict[str, Spectrum]:
        activations = {name: _features(snapshot, name, each) for name, each in snapshot.activations.items()}
        linear = {name: _features(snapshot, name, each) for name, each in snapshot.linear_outputs.items()}
        linear = {name: each.reshape(snapshot.num_examples, -1) for name, each in linear.items()}
        return {name: Spectrum(each) for name, each in {**activations, **linear}.items()}

    return snapshot.memoize("feature_spectra", spectra)


def weight_spectra(snapshot: Snapshot) -> dict[str, Spectrum]:
    """Returns the singular values of each of `weight_matrices`, kept until `refresh`."""
    return snapshot.memoize(
        "weight_spectra",
        lambda: {name: Spectrum(matrix) for name, matrix in weight_matrices(snapshot).items()},
    )


def _features(snapshot: Snapshot, layer: str, outputs: Any) -> np.ndarray:
    values, mask = np.asarray(outputs), snapshot.feature_masks.get(layer)
    if mask is not None:
        kept = np.asarray(mask)
        values = np.where(kept.reshape(*kept.shape, *[1] * (values.ndim - kept.ndim)), values, 0)
    return values.reshape(len(values), -1)
