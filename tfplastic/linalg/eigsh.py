"""Extreme eigenvalues of a symmetric operator."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import eigh_tridiagonal

from tfplastic import _checks
from tfplastic.linalg.lanczos import Progress, Tridiagonal, check_square, runs

# Where the wanted eigenvalues come first: positions into values that ascend.
_ORDERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "LA": lambda values: np.arange(len(values))[::-1],
    "SA": lambda values: np.arange(len(values)),
    "LM": lambda values: np.argsort(-np.abs(values), kind="stable"),
}


@dataclasses.dataclass(frozen=True)
class Eigen:
    """Some eigenpairs of a symmetric operator A of size n.

    Attributes:
        values: `[k] float64`: descending for 'LA', ascending for 'SA', descending in magnitude for 'LM'.
        vectors: `[n, k]` in the operator's dtype; column i belongs to `values[i]` and has norm 1. Signs are
            arbitrary. `[n, 0]` if they were not asked for.
        residuals: `[k] float64`, |A v - theta v| as Lanczos knows it, and at least 10 epsilon |A|, what
            rounding makes of it. An eigenvalue of A lies this near `values[i]`.
        num_steps: products made.
        converged: whether every residual met the tolerance.
    """

    values: np.ndarray
    vectors: np.ndarray
    residuals: np.ndarray
    num_steps: int
    converged: bool


def eigsh(
    operator: Any,
    k: int = 1,
    which: str = "LA",
    tol: float = 1e-3,
    max_steps: int = 50,
    seed: int = 0,
    return_eigenvectors: bool = True,
    progress: Progress | None = None,
) -> Eigen:
    """Eigenpairs of a symmetric operator: the k largest ('LA'), smallest ('SA') or absolutely largest ('LM').

    Lanczos without restarts, from a random start vector, until beta_m |s_mi| <= tol |theta_i| for all k
    wanted Ritz pairs (theta_i, s_i), beta_m |s_mi| being the residual's norm (Parlett 1998, "The symmetric
    eigenvalue problem", section 13.2); residuals within rounding of the largest |theta| count as met. A Ritz
    value lies inside the spectrum: the largest one is not above the largest eigenvalue, but for rounding.

    One start vector sees an eigenvalue once: of a multiple one, copies beyond the first may be missing.

    Args:
        operator: symmetric, with `shape` (n, n), `dtype` float32 or float64, and `matvec` from `[n]` to
            `[n]`.
        k: how many, from 1 to n.
        which: 'LA', 'SA' or 'LM'.
        tol: relative tolerance of the residual, above 0. The default is PyHessian's number, whose criterion,
            the change between iterations, is weaker.
        max_steps: most products to make, at least k. Memory is max_steps vectors of n: 340 MB for the default
            and the 1.7 million float32 weights of the Nature DQN, taken up as steps are made.
        seed: of the start vector.
        return_eigenvectors: whether to compute the vectors, which takes k vectors of n more.
        progress: called after each product with their number so far and the number planned at most.

    Returns:
        An `Eigen`. Where `max_steps` were not enough its best values so far, with `converged` False.

    Raises:
        NonFiniteError: a product held NaN or Inf; names the step.
        ValueError: an argument is outside its range.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import linalg
        >>> x = tf.Variable([0., 0., 0.])
        >>> operator = linalg.HessianOperator(lambda: tf.reduce_sum([1., 2., 5.] * x ** 2) / 2, [x])
        >>> linalg.eigsh(operator, k=2).values.round(4).tolist()
        [5.0, 2.0]
    """
    _checks.check_one_of("which", which, _ORDERS)
    _checks.check_positive("tol", tol)
    size = check_square(operator)
    if _checks.check_positive_integer("k", k) > size:
        raise ValueError(f"`k` must be at most the operator's size, {size}. Received: {k}")
    _checks.check_integer("max_steps", max_steps, minimum=k)
    pairs, converged = [np.zeros(0)] * 3, False

    def is_enough(state: Tridiagonal) -> bool:
        nonlocal pairs, converged
        if len(state.alpha) < k:
            return False
        values, combinations, residuals = _ritz_pairs(state, k, which)
        largest = np.abs(state.alpha).max() + 2 * state.beta.max()  # bounds every |theta|, by Gershgorin
        floor = 10 * np.finfo(operator.dtype).eps * largest
        residuals = np.maximum(residuals, floor)
        pairs = [values, combinations, residuals]
        converged = bool(np.all(residuals <= np.maximum(tol * np.abs(values), floor)))
        return converged

    [state] = runs(operator, max_steps, [seed], "full", progress, is_enough)
    values, combinations, residuals = pairs  # there are some, because at least k steps were made
    wanted = combinations.astype(state.basis.dtype)[:, : k if return_eigenvectors else 0]
    vectors = state.basis.T @ wanted
    return Eigen(values, vectors, residuals, len(state.alpha), converged)


def _ritz_pairs(state: Tridiagonal, k: int, which: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values, combinations = eigh_tridiagonal(state.alpha, state.beta[:-1])
    wanted = _ORDERS[which](values)[:k]
    return values[wanted], combinations[:, wanted], state.beta[-1] * np.abs(combinations[-1, wanted])
